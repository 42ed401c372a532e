"""The Unix socket (docs/protocol.md): tier 1 version 1 messages, the connection is the session.

The kernel names the peer and keeps others out; there is no handshake, no linger, no resume, no tunnel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from . import header, payloads
from .client_state import ClientState, PendingRequest, Selection
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
Pending = TypeVar("Pending", bound=PendingRequest)


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
    if head.tier != 0 and (head.version != 1 or head.tier != TIER):
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
        self.record.ledger.highest = 0  # no handshake has used up Request ID 1
        self._policy = policy
        self._by_code = operations.by_code
        self._events: list[AgentEvent] = []

    def receive(self, message: bytes | memoryview) -> list[AgentEvent]:
        """One whole message; what follows from it, in order. Never raises for bad input."""
        if self.closed:
            return []
        try:
            head, payload = _decode(message)
            if head.tier == 0 or head.opcode in ANSWER_OPCODES:
                self.dropped += 1
            else:
                self._judge(head, payload)
        except MalformedMessage as error:
            self.end(f"malformed message: {error}", linger=False)
        return self.take_events()

    def _judge(self, head: header.Header, payload: bytes | memoryview) -> None:
        operation = self._by_code(head.opcode)
        asked = operation or REGISTRY.by_name("NOP")
        request = Request(head.opcode, asked, head.request_id, TIER, 1, payload)
        if not self._admit(request):
            return
        try:
            if head.push or head.compressed:
                raise BadRequest("S and C are the agent's to set")
            if operation is None:
                raise Unsupported(f"operation 0x{head.opcode:04X} is not known here")
            self._serve(request)
        except OperationError as error:
            self.refuse(request, error)

    def _serve(self, request: Request) -> None:
        opcode = request.opcode
        if opcode >= 0x0100 or opcode == SESSION_REVOKE:
            self._events.append(request)
            return
        payloads.unpack(request.payload)  # also where nothing in it matters
        if opcode not in (NOP, KEEPALIVE, SESSION_CLOSE):
            raise BadRequest("the Unix socket has no handshake and no keys")
        self.record.respond(request, b"")
        if opcode == SESSION_CLOSE:
            self.end("closed by the client", linger=False)

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
        """What happened and was not handed out yet."""
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
        self.state = ClientState(selected=Selection(tier=TIER))
        self.outbox = _plain_outbox(policy.message_limit)
        self.message_limit = policy.message_limit
        self.closed = False
        self.resumed = False
        self.on_answer: Callable[[PendingRequest, bytes | memoryview], None] | None = None
        self.dropped = 0
        self._events: list[ClientEvent] = [Established(False, False, TIER)]

    def start(self) -> None:
        """Nothing to send: the connection is the session."""

    def request(
        self, opcode: int, payload: bytes, *, tier: int = TIER, context: Any = None
    ) -> PendingRequest:
        """Send a request; it stays in ``state.pending`` until answered.

        Raises LocalError for a payload that fits no message.
        """
        return self.submit(PendingRequest(0, opcode, TIER, payload, context))

    def submit(self, pending: Pending) -> Pending:
        """As :meth:`request`, for a request that the caller made; it gets its Request ID here."""
        self.outbox.check(pending.payload)
        state = self.state
        pending.request_id = state.next_id()
        state.pending[pending.request_id] = pending
        pending.sent = True
        self.outbox.send(1, TIER, pending.opcode, pending.request_id, pending.payload)
        return pending

    def post(self, opcode: int, payload: bytes, *, tier: int = TIER) -> None:
        """Send without awaiting an answer (Request ID 0). Raises as :meth:`request`."""
        self.outbox.check(payload)
        self.outbox.send(1, TIER, opcode, 0, payload)

    def close(self) -> None:
        """Ask the agent to end the session and release what it holds."""
        self.request(SESSION_CLOSE, b"")

    def receive(self, message: bytes | memoryview) -> list[ClientEvent]:
        """One whole message from the agent; what follows from it. Never raises for bad input."""
        if self.closed:
            return []
        try:
            head, payload = _decode(message)
            if head.push and head.tier:
                self._events.append(Push(head.request_id, head.opcode, payload))
            else:
                pending = self.state.pending.pop(head.request_id, None) if head.tier else None
                if pending is None:
                    self.dropped += 1
                elif self.on_answer is not None:
                    self.on_answer(pending, payload)
                else:
                    self._events.append(Response(pending, head.opcode, payload))
        except MalformedMessage as error:
            self.end(str(error), linger=False, error=error)
        return self.take_events()

    def end(self, reason: str, *, linger: bool, error: MyClerkError | None = None) -> None:
        """This connection is over."""
        if not self.closed:
            self.closed = True
            self._events.append(Ended(reason, False, None, error))

    def take_events(self) -> list[ClientEvent]:
        """What happened and was not handed out yet; at first, that the session is open."""
        events, self._events = self._events, []
        return events

    def sent(self) -> None:
        """Nothing to note."""

    def tick(self) -> list[ClientEvent]:
        """Nothing is timed here."""
        return []
