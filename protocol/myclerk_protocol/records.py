"""The agent's sessions, apart from the connections that carry them, and the tickets that resume them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .environment import Environment
from .events import Request
from .exchange import Mode
from .handshake import Capability, Policy
from .ledger import Ledger
from .mesh import udf
from .outbox import Outbox
from .seal import Aead
from .status import InvalidSession, TooMany
from .tickets import Ticket, TicketKeeper

if TYPE_CHECKING:
    from .agent_handshake import Resumption

DAY = 86400.0
UNPROVEN_RESUMES = 4
MAX_SESSIONS = 4096
"""Sessions that an agent keeps at once, dormant ones included; bounds memory."""


class Carrier(Protocol):
    """The connection that carries a session now: an ``AgentSession``, or one on the Unix socket."""

    outbox: Outbox

    def end(self, reason: str, *, linger: bool) -> None:
        """Close the connection."""


@dataclass(eq=False)
class SessionRecord:
    """One session: it outlives its connection for as long as its ticket is valid.

    ``device`` is the fingerprint (28 characters) once authenticated; ``registered_at`` is monotonic seconds
    of the last CLIENT_REGISTER; ``holdings`` belongs to the agent (what the session holds, None once
    released).
    """

    id: int
    version: int
    mode: Mode
    aead: Aead
    tier: int
    capabilities: frozenset[int]
    transcript: bytes
    device: str | None = None
    registered_at: float = 0.0
    ticket: Hashable = None
    session: Carrier | None = None
    unproven: list[Carrier] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    outstanding: set[int] = field(default_factory=set)
    holdings: Any = None
    dead: bool = False

    @property
    def zstd(self) -> bool:
        """Whether compression was selected."""
        return Capability.ZSTD in self.capabilities

    def respond(self, request: Request, payload: bytes, failed: bool = False) -> None:
        """Answer a request, on whatever connection carries the session now; kept for a resume otherwise.

        The draft's own pairs answer under their second opcode, failures under the request's own.
        """
        opcode, request_id, tier = request.opcode, request.request_id, request.tier
        if opcode < 0x0100 and not failed:  # all the pairs are there
            opcode = request.operation.response
        if request.version == 0:
            self.outstanding.discard(request.opcode)
            asked = True
        elif request_id == 0:
            return
        else:
            asked = self.ledger.finish(request_id, opcode, tier, payload)
        session = self.session
        if asked and session is not None:
            session.outbox.send(request.version, tier, opcode, request_id, payload)

    def push(
        self, request_id: int, opcode: int, payload: bytes, *, tier: int = 3, compress: bool = False
    ) -> None:
        """Push on an open stream; dropped when no connection carries the session (the stream keeps data)."""
        if self.session is not None:
            self.session.outbox.send(
                self.version, tier, opcode, request_id, payload, True, compress and self.zstd
            )


class SessionRegistry:
    """All sessions of an agent, by ID and by valid ticket.

    ``on_end`` is called once for each record that dies, so that what it holds is released.
    """

    def __init__(
        self, environment: Environment, policy: Policy, on_end: Callable[[SessionRecord], None]
    ) -> None:
        self._environment = environment
        self._policy = policy
        self._on_end = on_end
        self._records: dict[int, SessionRecord] = {}
        self._tickets: dict[Hashable, SessionRecord] = {}
        self._keeper = TicketKeeper(environment)

    def __iter__(self) -> Iterator[SessionRecord]:
        return iter(dict.fromkeys(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)

    def get(self, session_id: int) -> SessionRecord | None:
        """The session with this ID, live, lingering or dormant."""
        return self._records.get(session_id)

    def of_device(self, fingerprint: str) -> list[SessionRecord]:
        """The sessions of one device."""
        return [record for record in self if record.device == fingerprint]

    def reserve_id(self) -> int:
        """A random session ID, not 0 and not in use. Raises TooMany when the agent keeps too many."""
        if len(self._records) >= MAX_SESSIONS:
            raise TooMany("the agent keeps as many sessions as it can; close some")
        while True:
            session_id = int.from_bytes(self._environment.random(2), "big")
            if session_id and session_id not in self._records:
                return session_id

    def add(self, record: SessionRecord) -> None:
        """Keep a new session under its ID."""
        self._records[record.id] = record

    def issue_ticket(self, record: SessionRecord, key: bytes, session_id: int) -> Ticket:
        """A ticket for the session under ``session_id``, its lifetime counted from the last
        CLIENT_REGISTER; not yet valid."""
        now = self._environment.monotonic()
        lifetime = min(self._policy.ticket_lifetime, DAY) - (now - record.registered_at)
        assert record.device is not None
        return self._keeper.issue(key, udf.fingerprint_bytes(record.device), session_id, max(lifetime, 0.0))

    def make_valid(self, record: SessionRecord, ticket: Ticket) -> None:
        """Let ``ticket`` resume the session; its earlier tickets die, with the resumes that used them."""
        for other in list(record.unproven):
            other.end("the ticket of this resume is not valid any more", linger=False)
        self._drop_ticket(record)
        record.ticket = ticket.identity
        self._tickets[ticket.identity] = record

    def find_resumable(self, ticket: bytes, tag: bytes, old_session_id: int) -> tuple[SessionRecord, bytes]:
        """The session that a ticket resumes, and the ticket's key. Raises InvalidSession."""
        opened = self._keeper.open(ticket, tag, old_session_id)
        record = self._tickets.get(opened.identity)
        if (
            record is None
            or record.dead
            or record.device is None
            or record.id != old_session_id
            or udf.fingerprint_bytes(record.device) != opened.device
        ):
            raise InvalidSession("the ticket is not valid (any more); start a session with SESSION_INIT")
        return record, opened.key

    def hold_id(self, session_id: int, record: SessionRecord) -> None:
        """Reserve the ID under which a resume was offered."""
        self._records.setdefault(session_id, record)

    def await_proof(self, record: SessionRecord, session: Carrier) -> None:
        """Note an unproven resume; a fifth of one session ends the oldest."""
        record.unproven.append(session)
        if len(record.unproven) > UNPROVEN_RESUMES:
            record.unproven[0].end("another resume of the same session came", linger=False)

    def drop_proof(self, record: SessionRecord, session: Carrier, session_id: int) -> None:
        """An unproven resume came to nothing: it leaves no trace."""
        if session in record.unproven:
            record.unproven.remove(session)
        if record.id != session_id and self._records.get(session_id) is record:
            del self._records[session_id]

    def take_over(self, record: SessionRecord, session: Carrier, resumption: Resumption) -> None:
        """A resume was proven: the ticket is spent, other resumes end, the old connection is closed."""
        record.unproven.remove(session)
        old, record.session = record.session, session
        self._records.pop(record.id, None)
        record.id = resumption.session_id
        self._records[record.id] = record
        record.transcript = resumption.transcript
        record.ledger.resumed()
        self.make_valid(record, resumption.fresh)
        if old is not None:
            old.end("another connection resumed this session", linger=False)

    def kill(self, record: SessionRecord) -> None:
        """End the session for good: its tickets die and what it holds is released. Idempotent."""
        if record.dead:
            return
        record.dead = True
        self._drop_ticket(record)
        for session_id in [i for i, other in self._records.items() if other is record]:
            del self._records[session_id]
        for session in [*record.unproven, record.session]:
            if session is not None:
                session.end("the session is over", linger=False)
        record.session = None
        self._on_end(record)

    def sweep(self) -> None:
        """Kill sessions that nobody is connected to and no ticket can resume any more."""
        self._keeper.sweep()
        now = self._environment.monotonic()
        for record in self:
            expired = now - record.registered_at >= min(self._policy.ticket_lifetime, DAY)
            if record.session is None and (record.ticket is None or expired):
                self.kill(record)

    def _drop_ticket(self, record: SessionRecord) -> None:
        if record.ticket is not None:
            self._tickets.pop(record.ticket, None)
            record.ticket = None
