"""Who did what to which resource, and what came of it: in the log, and in a chain of JSON lines of its own.

:mod:`.audit_chain` keeps the files, :mod:`.audit_check` reads them. docs/trust.md.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myclerk_protocol.environment import Environment

from .audit_chain import NAME, SIZE_LIMIT, ChainWriter
from .log import clean, event

if TYPE_CHECKING:
    from .resources import Holdings

WAITING_LIMIT = 10_000
"""Records that wait to be written; more are counted instead."""
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 5.0

log = logging.getLogger("myclerk.audit")


class Audit:
    """The audit log in ``directory``, shared with the commands beside the agent.

    :meth:`record` waits for nobody: a thread of its own writes. Files that cannot be written stop nothing: the
    first failure is logged, then the first success again, and the records wait meanwhile. The log has every
    record in any case.
    """

    def __init__(self, directory: Path, environment: Environment, size_limit: int = SIZE_LIMIT) -> None:
        self._path = directory / NAME
        self._environment = environment
        self._writer = ChainWriter(directory, size_limit)
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failing = False
        self._lost = 0

    def record(self, actor: str, action: str, resource: str, outcome: str, **fields: Any) -> None:
        """Note that ``actor`` (a device's fingerprint or a local user) did ``action`` (an operation's name)
        to ``resource`` ("" for none) with ``outcome`` ("ok", or a status's name).

        Secrets have no place in ``fields``: binary values are recorded by their length alone, and text is
        cleaned, as a peer may have chosen it. Fields of None are left out.
        """
        shown = {name: _shown(value) for name, value in fields.items() if value is not None}
        entry = {"actor": actor, "action": action, "resource": resource, "outcome": outcome}
        entry = {name: clean(value) for name, value in entry.items()}
        event(log, logging.INFO, "audit", **(shown | entry))
        self._submit({**shown, "time": round(self._environment.wall(), 3), **entry})

    def flush(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Wait until everything recorded so far is on the disk; False if it is not within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._lost, timeout)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Write what waits, for ``timeout`` seconds at most, and let the thread end. Idempotent."""
        with self._changed:
            if self._thread is None:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            unwritten = len(self._waiting) + self._lost
        if unwritten:
            event(
                log, logging.ERROR, "Audit records could not be written", file=self._path, records=unwritten
            )

    def _submit(self, entry: Mapping[str, Any]) -> None:
        with self._changed:
            if len(self._waiting) >= WAITING_LIMIT:
                self._lost += 1
                return
            self._waiting.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="myclerk audit", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._failing and not self._closing:
                    self._changed.wait(RETRY_SECONDS)
                self._changed.wait_for(lambda: self._waiting or self._lost or self._closing)
                batch, lost = list(self._waiting), self._lost
            if not (batch or lost) or (not self._write(batch, lost) and self._closing):
                return

    def _write(self, batch: list[Mapping[str, Any]], lost: int) -> bool:
        """Write ``batch``, and how many records were ``lost`` behind it; whether that succeeded."""
        gap = [self._gap(lost)] if lost else []
        try:
            self._writer.append([*batch, *gap])
        except OSError as error:
            if not self._failing:
                event(log, logging.ERROR, "The audit log cannot be written", file=self._path, reason=error)
            self._failing = True
            return False
        if self._failing:
            event(log, logging.WARNING, "The audit log can be written again", file=self._path)
        self._failing = False
        with self._changed:
            for _ in batch:
                self._waiting.popleft()
            self._lost -= lost
            self._changed.notify_all()
        return True

    def _gap(self, lost: int) -> Mapping[str, Any]:
        now = round(self._environment.wall(), 3)
        return {
            "records": lost,
            "time": now,
            "actor": "agent",
            "action": "audit",
            "resource": "",
            "outcome": "lost",
        }


def origin(holdings: Holdings) -> dict[str, Any]:
    """Where a session's requests come from: its peer, number and key exchange ("local" on the Unix socket)."""
    record = holdings.record
    keys = record.mode.name.lower() if record.transcript else "local"
    return {"peer": holdings.peer or None, "session": record.id or None, "keys": keys}


def _shown(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, bool | int | float):
        return value
    return clean(str(value))
