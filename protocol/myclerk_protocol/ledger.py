"""Exactly-once execution of requests over resumes (docs/protocol.md), the agent's side."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple

KEPT_ANSWERS = 256
KEPT_BYTES = 2 << 20
"""So that what a disk gives for one command of 1 MiB, with what is around it, survives a lost connection."""


class Verdict(Enum):
    """What to do with a request that arrived."""

    EXECUTE = "execute"
    RUNNING = "running"  # a repeat of one still running: its answer comes when it is done
    ANSWERED = "answered"  # a repeat: send the kept answer again
    FORGOTTEN = "forgotten"  # a repeat whose answer is gone: CONFLICT with executed = true
    STALE = "stale"  # an ID not above the highest seen: BAD_REQUEST, not executed


class Answer(NamedTuple):
    """An answer as it was sent: opcode, tier and payload."""

    opcode: int
    tier: int
    payload: bytes


class Ledger:
    """Which Request IDs were seen, which still run, and the last answers (256, 2 MiB together).

    It belongs to the session, not to the connection. ``running`` maps each ID still executing to whether
    the present connection asked for it, so that a resume repeats no answer that nobody awaits.
    """

    def __init__(self) -> None:
        self.highest = 1  # the handshake's
        self.running: dict[int, bool] = {}
        self._kept: dict[int, tuple[int, int, bytes]] = {}  # plain tuples: one is made for each request
        self._order: deque[int] = deque()
        self._kept_bytes = 0
        self._repeats_allowed = False
        self._repeated: set[int] = set()  # IDs repeated since the resume: each once

    def admit(self, request_id: int) -> Verdict:
        """Judge an ID (not 0) as it arrives; EXECUTE notes it as running.

        An ID is new when it comes behind the highest one seen, modulo the wrap from 0xFFFFFFFF to 1.
        """
        ahead = (request_id - self.highest) & 0xFFFFFFFF
        if 0 < ahead < 0x80000000 and request_id not in self.running:
            self.highest = request_id
            self._repeats_allowed = False
            self.running[request_id] = True
            return Verdict.EXECUTE
        if not self._repeats_allowed:
            return Verdict.STALE
        if request_id in self.running:
            self.running[request_id] = True
            return Verdict.RUNNING
        if request_id in self._repeated:
            return Verdict.STALE
        self._repeated.add(request_id)
        return Verdict.ANSWERED if request_id in self._kept else Verdict.FORGOTTEN

    def finish(self, request_id: int, opcode: int, tier: int, payload: bytes) -> bool:
        """Note the answer of a running request; True when the present connection awaits it."""
        kept, order = self._kept, self._order
        if request_id in kept:  # the IDs went all the way round
            order.remove(request_id)
            self._kept_bytes -= len(kept[request_id][2])
        kept[request_id] = (opcode, tier, payload)
        order.append(request_id)
        self._kept_bytes += len(payload)
        while len(order) > KEPT_ANSWERS or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(kept.pop(order.popleft())[2])
        return self.running.pop(request_id, False)

    def kept(self, request_id: int) -> Answer:
        """The kept answer of an ID for which :meth:`admit` said ANSWERED."""
        return Answer(*self._kept[request_id])

    def resumed(self) -> None:
        """A resume was proven: repeats are expected until the first new ID, of each ID one."""
        self._repeats_allowed = True
        self._repeated.clear()
        for request_id in self.running:
            self.running[request_id] = False

    def forget_answers(self) -> None:
        """Drop the kept answers; IDs already executed still never execute again."""
        self._kept.clear()
        self._order.clear()
        self._kept_bytes = 0
