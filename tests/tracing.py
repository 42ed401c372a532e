"""What the recorded agents took and gave: validated against the CDDL, and kept as evidence."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import msgpack

from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.schema import Schema
from protocol.cddl_check import CddlChecker

RULES = {("KEY_EXCHANGE_COMPLETE", "push"): ("agent-proof", "resume-proof")}
LARGEST = 4096
"""Bytes of a payload that the (slow) CDDL tools are asked about; larger ones repeat a smaller one's form."""


class Trace:
    """The trace files of this test run."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "trace"
        self.path.touch()
        self.proven: dict[str, dict[str, str]] = defaultdict(dict)
        self._position = 0
        self._seen: set[tuple[str, str, bytes]] = set()
        self._checker = CddlChecker(Schema.load().text)

    def add(self, notes: bytes) -> None:
        """Notes that an agent on another machine took."""
        with self.path.open("ab") as file:
            file.write(notes)

    def take(self, test: str, backend: str) -> None:
        """Judge what came since the last time; it is ``test``'s, which ran against ``backend``."""
        with self.path.open("rb") as file:
            file.seek(self._position)
            unpacker = msgpack.Unpacker(file, raw=False, max_buffer_size=1 << 30)
            for operation, role, payload in unpacker:
                self._position_after(unpacker)
                if role in ("response", "push", "answer"):
                    self.proven[operation].setdefault(backend, test)
                self._validate(operation, role, payload, test)
            self._position += self._consumed
            self._consumed = 0

    _consumed = 0

    def _position_after(self, unpacker: msgpack.Unpacker) -> None:
        self._consumed = unpacker.tell()

    def _validate(self, operation: str, role: str, payload: bytes, test: str) -> None:
        key = (operation, role, payload)
        if len(payload) > LARGEST or key in self._seen or role == "answer":
            return
        self._seen.add(key)
        if role == "error":
            self._checker.check("error", payload)
            return
        if operation not in {op.name for op in REGISTRY}:
            return  # a third party's: its own schema says what fits
        name = f"{operation.lower().replace('_', '-')}-{role}"
        rules = RULES.get((operation, role), (name,))
        failures = []
        for rule in rules:
            try:
                self._checker.check(rule, payload)
            except AssertionError as error:
                failures.append(str(error))
        if len(failures) == len(rules):
            raise AssertionError(f"{test}: a message does not fit the schema:\n" + "\n".join(failures))

    def save(self, path: Path) -> None:
        """Write the evidence: operation -> back end -> a test that drove it."""
        path.write_text(json.dumps(self.proven, indent=1, sort_keys=True) + "\n")
