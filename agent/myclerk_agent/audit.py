"""Who did what to which resource, and what came of it: in the log, and as JSON lines in a file of its own."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from myclerk_protocol.environment import Environment

from .log import clean, event

SIZE_LIMIT = 10 << 20
"""Bytes of the file before it becomes ``audit.jsonl.1``, replacing the one before."""

log = logging.getLogger("myclerk.audit")


class Audit:
    """The audit log in ``directory`` (``audit.jsonl``, mode 0600), shared with the commands beside the agent.

    A file that cannot be written never stops the agent: the first failure is logged, then the first success
    again. The log has every record in any case.
    """

    def __init__(self, directory: Path, environment: Environment, size_limit: int = SIZE_LIMIT) -> None:
        self._path = directory / "audit.jsonl"
        self._environment = environment
        self._size_limit = size_limit
        self._failing = False

    def record(self, actor: str, action: str, resource: str, outcome: str, **fields: Any) -> None:
        """Note that ``actor`` (a device's fingerprint or a local user) did ``action`` (an operation's name)
        to ``resource`` ("" for none) with ``outcome`` ("ok", or a status's name).

        Secrets have no place in ``fields``: binary values are recorded by their length alone, and text is
        cleaned, as a peer may have chosen it. Fields of None are left out.
        """
        shown = {name: _shown(value) for name, value in fields.items() if value is not None}
        entry = {"actor": actor, "action": action, "resource": resource, "outcome": outcome}
        entry = shown | {name: clean(value) for name, value in entry.items()}
        event(log, logging.INFO, "audit", **entry)
        line = entry | {"time": round(self._environment.wall(), 3)}
        self._append(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            with self._locked() as descriptor:
                written = os.write(descriptor, line)
                if written < len(line):
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
                    raise OSError("the disk is full")
        except OSError as error:
            if not self._failing:
                event(log, logging.ERROR, "The audit log cannot be written", file=self._path, reason=error)
            self._failing = True
            return
        if self._failing:
            event(log, logging.WARNING, "The audit log can be written again", file=self._path)
        self._failing = False

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file open for appending, below its size limit, locked against other processes."""
        while True:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not self._is_current(descriptor):
                    continue  # another process has just rotated it away
                if os.fstat(descriptor).st_size < self._size_limit:
                    yield descriptor
                    return
                os.replace(self._path, f"{self._path}.1")
            finally:
                os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False


def _shown(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, bool | int | float):
        return value
    return clean(str(value))
