"""The Unix socket (profile section 5): tier 1 version 1 messages, the connection is the session.

The kernel names the peer and keeps others out; there is no handshake, no linger, no resume, no tunnel.
"""

from __future__ import annotations

from typing import Any

from . import header, payloads
from .client_state import ClientState, PendingRequest
from .events import AgentEvent, ClientEvent, Ended, Established, Push, Request, Response
from .exchange import Mode
from .handshake import Policy
from .ledger import Verdict
from .operations import ANSWER_OPCODES, REGISTRY, Registry
from .outbox import Outbox
from .records import SessionRecord
from .seal import Aead
from .status import (
    BadRequest,
    MalformedMessage,
    MyClerkError,
    OperationError,
    TooMany,
    Unsupported,
    error_fields,
)

NOP = REGISTRY.by_name("NOP").code
KEEPALIVE = REGISTRY.by_name("KEEPALIVE").code
SESSION_CLOSE = REGISTRY.by_name("SESSION_CLOSE").code
SESSION_REVOKE = REGISTRY.by_name("SESSION_REVOKE").code
TIER = 1


class PlainChannel:
    """Stands where a sealed channel stands elsewhere: unsealed tier 1 version 1 messages."""

    def seal(
        self,
        version: int,
        tier: int,
        opcode: int,
        request_id: int,
        payload: bytes,
        push: bool = False,
        compressed: bool = False,
    ) -> bytes:
        """One message; the tier asked for is ignored, compression is never asked for here."""
        head = header.Header(version=1, tier=TIER, push=push, opcode=opcode, request_id=request_id)
        return header.encode_plain(head, payload)


def _plain_outbox(message_limit: int) -> Outbox:
    outbox = Outbox(message_limit)
    outbox.channel = PlainChannel()
    return outbox


def _decode(message: bytes | memoryview) -> tuple[header.Header, bytes | memoryview]:
    head, payload = header.decode_plain(message)
    if head.version != 1 or head.tier != TIER:
        raise MalformedMessage("the Unix socket speaks tier 1, version 1")
    return head, payload


class LocalAgentSession:
    """The agent's end of a Unix socket connection; the same face as ``AgentSession``.

    ``peer`` is what the kernel says of the other side ("uid 0", say), used as the device's name.
    """

    def __init__(self, peer: str, policy: Policy, operations: Registry = REGISTRY) -> None:
        self.outbox = _plain_outbox(policy.message_limit)
        self.message_limit = policy.message_limit
        self.closed = False
        self.dropped = 0
        self.record = SessionRecord(0, 1, Mode.CLASSICAL, Aead.CHACHA20, TIER, frozenset(), b"", peer)
        self.record.session = self
        self._policy = policy
        self._by_code = operations.by_code
        self._events: list[AgentEvent] = []

    def receive(self, message: bytes | memoryview) -> list[AgentEvent]:
        """One whole message; what follows from it, in order. Never raises for bad input."""
        if self.closed:
            return []
        events: list[AgentEvent] = []
        self._events = events
        try:
            head, payload = _decode(message)
            if head.opcode in ANSWER_OPCODES:
                self.dropped += 1
            else:
                self._judge(head, payload)
        except MalformedMessage as error:
            self.end(f"malformed message: {error}", linger=False)
        self._events = []
        return events

    def _judge(self, head: header.Header, payload: bytes | memoryview) -> None:
        operation = self._by_code(head.opcode)
        asked = operation or REGISTRY.by_name("NOP")
        request = Request(head.opcode, asked, head.request_id, TIER, 1, payload)
        if not self._admit(request):
            return
        if head.push or head.compressed:
            self.refuse(request, BadRequest("S and C are the agent's to set"))
        elif operation is None:
            self.refuse(request, Unsupported(f"operation 0x{head.opcode:04X} is not known here"))
        elif head.opcode in (NOP, KEEPALIVE):
            self.record.respond(request, b"")
        elif head.opcode == SESSION_CLOSE:
            self.record.respond(request, b"")
            self.end("closed by the client", linger=False)
        elif head.opcode < 0x0100 and head.opcode != SESSION_REVOKE:
            self.refuse(request, BadRequest("the Unix socket has no handshake and no keys"))
        else:
            self._events.append(request)

    def _admit(self, request: Request) -> bool:
        ledger = self.record.ledger
        if request.request_id == 0:
            return True
        if ledger.admit(request.request_id) is not Verdict.EXECUTE:
            error = BadRequest(f"Request ID {request.request_id} is not above the highest one seen")
            self.outbox.send(1, TIER, request.opcode, request.request_id, payloads.pack(error_fields(error)))
            return False
        if len(ledger.running) > self._policy.requests_in_flight:
            self.refuse(request, TooMany("too many requests in flight; await some answers"))
            return False
        return True

    def refuse(self, request: Request, error: OperationError) -> None:
        """Answer a request with an error; one that wants no answer is dropped and counted."""
        if request.request_id == 0:
            self.dropped += 1
        else:
            self.record.respond(request, payloads.pack(error_fields(error)), failed=True)

    def end(self, reason: str, *, linger: bool) -> None:
        """Close the connection; there is nothing to resume."""
        if not self.closed:
            self.closed = True
            self.record.session = None
            self._events.append(Ended(reason, False, self.record))
            self.outbox.wakeup()

    def take_events(self) -> list[AgentEvent]:
        """What happened outside :meth:`receive`."""
        events, self._events = self._events, []
        return events

    def sent(self) -> None:
        """Nothing to note: the kernel tells when the peer is gone."""

    def tick(self) -> list[AgentEvent]:
        """Nothing is timed here."""
        return []


class LocalClientSession:
    """The client's end of a Unix socket connection; the same face as ``ClientSession``."""

    def __init__(self, policy: Policy | None = None) -> None:
        policy = policy or Policy()
        self.state = ClientState(tier=TIER)
        self.outbox = _plain_outbox(policy.message_limit)
        self.message_limit = policy.message_limit
        self.closed = False
        self.resumed = False
        self.dropped = 0
        self._events: list[ClientEvent] = [Established(False, False, TIER)]

    def start(self) -> None:
        """Nothing to send: the connection is the session."""

    def request(
        self, opcode: int, payload: bytes, *, tier: int = TIER, context: Any = None
    ) -> PendingRequest:
        """Send a request; it stays in ``state.pending`` until answered."""
        state = self.state
        pending = PendingRequest(state.next_id(), opcode, TIER, payload, context, sent=True)
        state.pending[pending.request_id] = pending
        self.outbox.send(1, TIER, opcode, pending.request_id, payload)
        return pending

    def post(self, opcode: int, payload: bytes, *, tier: int = TIER) -> None:
        """Send without awaiting an answer (Request ID 0)."""
        self.outbox.send(1, TIER, opcode, 0, payload)

    def close(self) -> None:
        """Ask the agent to end the session and release what it holds."""
        self.request(SESSION_CLOSE, b"")

    def receive(self, message: bytes | memoryview) -> list[ClientEvent]:
        """One whole message from the agent; what follows from it."""
        events: list[ClientEvent] = []
        self._events = events
        try:
            head, payload = _decode(message)
            if head.push:
                events.append(Push(head.request_id, head.opcode, payload))
            else:
                pending = self.state.pending.pop(head.request_id, None)
                if pending is None:
                    self.dropped += 1
                else:
                    events.append(Response(pending, head.opcode, payload))
        except MyClerkError as error:
            self.end(str(error), linger=False, error=error)
        self._events = []
        return events

    def end(self, reason: str, *, linger: bool, error: MyClerkError | None = None) -> None:
        """This connection is over."""
        if not self.closed:
            self.closed = True
            self._events.append(Ended(reason, False, None, error))

    def take_events(self) -> list[ClientEvent]:
        """What happened outside :meth:`receive`; at first, that the session is open."""
        events, self._events = self._events, []
        return events

    def sent(self) -> None:
        """Nothing to note."""

    def tick(self) -> list[ClientEvent]:
        """Nothing is timed here."""
        return []
