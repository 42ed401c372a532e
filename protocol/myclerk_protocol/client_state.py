"""What a client keeps of its session from one connection to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .exchange import Mode
from .seal import Aead


@dataclass(slots=True, eq=False)
class PendingRequest:
    """A request that was not answered yet. ``context`` belongs to the caller (a future, say).

    ``internal`` requests (registration, rotation, probes) are the session's own and are not repeated.
    """

    request_id: int
    opcode: int
    tier: int
    payload: bytes
    context: Any = None
    sent: bool = False
    internal: bool = False


@dataclass(slots=True)
class ResumeTicket:
    """A ticket with what it takes to use it; ``expires`` is monotonic seconds."""

    ticket: bytes = field(repr=False)
    tag: bytes = field(repr=False)
    key: bytes = field(repr=False)
    session_id: int = 0
    expires: float = 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """What a handshake settled, and resumes keep."""

    mode: Mode = Mode.HYBRID
    tier: int = 5
    aead: Aead = Aead.CHACHA20
    zstd: bool = False


@dataclass(slots=True)
class ClientState:
    """A session as its client sees it, apart from any connection.

    ``tickets`` holds at most two, the freshest first. ``streams`` are the Request IDs of open streams, each
    with whether it was opened compressed; their IDs are not used again meanwhile.
    """

    tickets: list[ResumeTicket] = field(default_factory=list)
    pending: dict[int, PendingRequest] = field(default_factory=dict)
    streams: dict[int, bool] = field(default_factory=dict)
    selected: Selection = Selection()
    last_id: int = 1

    def next_id(self) -> int:
        """The next Request ID: +1 each, 0xFFFFFFFF wraps to 1, IDs of open streams are skipped."""
        request_id = self.last_id
        while True:
            request_id = request_id + 1 if request_id < 0xFFFFFFFF else 1
            if request_id not in self.pending and request_id not in self.streams:
                self.last_id = request_id
                return request_id

    def drop_internal(self) -> None:
        """Forget the session's own requests: a new connection makes its own."""
        self.pending = {i: p for i, p in self.pending.items() if not p.internal}

    def restart(self, selected: Selection) -> tuple[list[PendingRequest], list[PendingRequest]]:
        """A new session begins: what was sent is lost, what was not sent waits for :meth:`adopt`.

        Returns both.
        """
        self.selected = selected
        self.drop_internal()
        requests = list(self.pending.values())
        self.pending, self.streams, self.tickets, self.last_id = {}, {}, [], 1
        return [r for r in requests if r.sent], [r for r in requests if not r.sent]

    def adopt(self, request: PendingRequest) -> None:
        """Give a request that was not sent yet its ID in this session."""
        request.request_id = self.next_id()
        self.pending[request.request_id] = request
