"""The agent's end of one connection: bytes in, events out (docs/protocol.md).

What arrives is judged in the order that section 1 fixes: answer opcode, S and C, authentication, minimum
tier, known operation. What is left to the agent proper is payload, access and lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from . import compression, header, keys, payloads, tunnel
from .agent_handshake import AgentHandshake, AgentProof, Outcome, Resumption, unsealed_answer
from .agent_rotation import AgentRotation
from .channel import Channel
from .clock import SessionClock
from .environment import Environment
from .events import AgentEvent, Ended, Established, Registration, Request
from .exchange import Mode
from .handshake import Policy
from .ledger import Verdict
from .operations import ANSWER_OPCODES, REGISTRY, Operation, Registry
from .outbox import Outbox
from .records import SessionRecord, SessionRegistry
from .schema import Schema
from .seal import Opened
from .status import (
    BadRequest,
    Conflict,
    Forbidden,
    MalformedMessage,
    OperationError,
    TooMany,
    Unauthorized,
    UnopenedMessage,
    Unsupported,
    error_fields,
)

NOP = REGISTRY.by_name("NOP").code
KEEPALIVE = REGISTRY.by_name("KEEPALIVE").code
SESSION_CLOSE = REGISTRY.by_name("SESSION_CLOSE").code
SESSION_INIT = REGISTRY.by_name("SESSION_INIT").code
SESSION_RESUME = REGISTRY.by_name("SESSION_RESUME").code
SESSION_ROTATE = REGISTRY.by_name("SESSION_ROTATE").code
SESSION_REVOKE = REGISTRY.by_name("SESSION_REVOKE").code
KEY_EXCHANGE_INIT = REGISTRY.by_name("KEY_EXCHANGE_INIT").code
KEY_EXCHANGE_COMPLETE = REGISTRY.by_name("KEY_EXCHANGE_COMPLETE").code
CLIENT_REGISTER = REGISTRY.by_name("CLIENT_REGISTER").code
USB_BULK_TRANSFER = REGISTRY.by_name("USB_BULK_TRANSFER").code
UNKNOWN = Operation(-1, "UNKNOWN", "", 3, -1, None, "an operation that the registry does not know")

BEFORE_SESSION_LIMIT = 4096
BEFORE_AUTHENTICATION_LIMIT = 32768
HANDSHAKE_SECONDS = 5.0
ATTEMPTS_SECONDS = 15.0
AUTHENTICATION_SECONDS = 10.0
PENDING_SECONDS = 600.0
KEEPALIVE_SECONDS = 15.0
DEAD_PEER_SECONDS = 45.0
REGISTRATIONS = 3


class Phase(Enum):
    """Where a connection stands; what is served in each is a row of docs/protocol.md."""

    OPENING = "waiting for a handshake"
    UNPROVEN = "waiting for the proof of a resume"
    UNAUTHENTICATED = "waiting for authentication"
    AUTHENTICATED = "authenticated"
    CLOSED = "closed"


SERVED_UNAUTHENTICATED = frozenset({NOP, KEEPALIVE, SESSION_CLOSE, CLIENT_REGISTER})
UNAUTHENTICATED = "authenticate with CLIENT_REGISTER first"


class AgentSession:
    """One connection of the agent, from accept to close.

    Feed whole messages to :meth:`receive`, send what ``outbox.take()`` gives, call :meth:`tick` about once a
    second. ``message_limit`` is the size in bytes that the next message may have. ``dropped`` counts what
    was ignored. With ``on_request`` set, requests go there at once instead of into events: the short way.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        environment: Environment,
        policy: Policy,
        proof: AgentProof,
        admit_handshake: Callable[[], bool] = lambda: True,
        operations: Registry = REGISTRY,
    ) -> None:
        self.registry = registry
        self.policy = policy
        self.outbox = Outbox(policy.message_limit)
        self.phase = Phase.OPENING
        self.closed = False  # True: close the transport once everything was sent
        self.record: SessionRecord | None = None
        self.version = 1
        self.on_request: Callable[[Request], None] | None = None
        self.dropped = 0
        self.message_limit = BEFORE_SESSION_LIMIT
        self._environment = environment
        self._monotonic = environment.monotonic
        self._by_code = operations.by_code
        self._clock = SessionClock(environment)
        self._handshake = AgentHandshake(registry, environment, policy, proof, admit_handshake, self._clock)
        self._channel: Channel | None = None
        self._rotation: AgentRotation | None = None
        self._resumption: Resumption | None = None
        self._registrations = 0
        self._events: list[AgentEvent] = []
        self._opened_at = self._monotonic()
        self._deadline: float | None = self._opened_at + HANDSHAKE_SECONDS
        self._last_received = self._last_sent = self._opened_at

    # -- what arrives --------------------------------------------------------------------------------------

    def receive(self, message: bytes | memoryview) -> list[AgentEvent]:
        """One whole message from the client; what follows from it, in order. Never raises for bad input."""
        if self.phase is Phase.CLOSED:
            return []
        try:
            if self._channel is None:
                self._receive_handshake(message)
            elif len(message) and message[0] & 1:
                self._receive_sealed(self._channel.open(message))
            else:
                self._receive_unsealed(message)
        except UnopenedMessage:
            self.end("a message did not open", linger=True)
        except MalformedMessage as error:
            self.end(f"malformed message: {error}", linger=True)
        return self.take_events()

    def _receive_handshake(self, message: bytes | memoryview) -> None:
        outcome = self._handshake.receive(message)
        for reply in outcome.replies:
            self.outbox.put(reply)
        if not outcome.replies:
            self.dropped += 1
        if outcome.channel is not None:
            self._open(outcome.channel, outcome)
        elif outcome.close:
            self.end(outcome.close, linger=False)
        elif self._handshake.attempts:  # a further one has until 15 s after the accept
            self._deadline = self._opened_at + ATTEMPTS_SECONDS

    def _open(self, channel: Channel, outcome: Outcome) -> None:
        self._channel = self.outbox.channel = channel
        self._rotation = AgentRotation(channel, self.outbox, self._environment)
        self.version = outcome.version
        self.message_limit = BEFORE_AUTHENTICATION_LIMIT
        self._last_received = self._monotonic()
        self._deadline = self._last_received + AUTHENTICATION_SECONDS
        if outcome.resumption is not None:
            self.phase = Phase.UNPROVEN
            self._resumption = outcome.resumption
            self.registry.await_proof(outcome.resumption.record, self)
        else:
            self.phase = Phase.UNAUTHENTICATED
            self.record = record = outcome.record
            assert record is not None
            record.session = self
            self._events.append(Established(False, record.mode is Mode.CLASSICAL, record.tier))

    def _prove(self) -> None:
        """The first message behind SESSION_RESUMED opened: only now is the old session taken over."""
        resumption, self._resumption = self._resumption, None
        assert resumption is not None
        self.record = record = resumption.record
        self.registry.take_over(record, self, resumption)
        self._become_authenticated()
        self._events.append(Established(True, record.mode is Mode.CLASSICAL, record.tier))

    def _receive_sealed(self, opened: Opened) -> None:
        self._last_received = self._clock.read_at
        if self._resumption is not None:
            self._prove()
        if opened.opcode == NOP and len(opened.payload):
            self._receive_tunnel(opened)
        else:
            self._judge(
                opened.version,
                opened.tier,
                opened.opcode,
                opened.request_id,
                opened.payload,
                opened.push,
                opened.compressed,
            )

    def _receive_unsealed(self, message: bytes | memoryview) -> None:
        head, _ = header.decode_plain(message)
        if head.tier == 0:
            self.dropped += 1
        elif head.tier <= 2:
            if head.opcode not in ANSWER_OPCODES:
                error = Forbidden("everything in a session is sealed, at tier 3 or above", required_tier=3)
                self.outbox.put(unsealed_answer(head, error_fields(error), self._clock.now()))
            self.end("an unsealed message", linger=True)
        else:
            raise UnopenedMessage("an unsealed message inside a session")

    def _receive_tunnel(self, opened: Opened) -> None:
        version, tier, request_id, payload = opened.version, opened.tier, opened.request_id, opened.payload
        if request_id == 0 and not tunnel.is_batch(payload):  # what answers a batch, and is never answered
            self.dropped += 1
            return
        request = Request(NOP, NOP_OPERATION, request_id, tier, version, payload)
        fault = self._fault(request, opened.push, opened.compressed)
        if fault is None and self.phase is not Phase.AUTHENTICATED:
            fault = Unauthorized(UNAUTHENTICATED)
        if fault is None and request_id:
            fault = BadRequest("a NOP with a payload bears Request ID 0")
        if fault is not None:
            if self._admit(request):
                self.refuse(request, fault)
            return
        try:
            inner = tunnel.parse(payload, version)
        except tunnel.TunnelError as error:
            fields = {**error_fields(error), "request-ids": list(error.request_ids)}
            self.outbox.send(version, tier, NOP, 0, payloads.pack(fields))
            return
        judge = self._judge
        for opcode, inner_id, push, body in inner:
            judge(version, tier, opcode, inner_id, body, push, False)

    # -- judging -------------------------------------------------------------------------------------------

    def _judge(
        self,
        version: int,
        tier: int,
        opcode: int,
        request_id: int,
        payload: bytes | memoryview,
        push: bool,
        compressed: bool,
    ) -> None:
        if opcode in ANSWER_OPCODES:
            self.dropped += 1
            return
        operation = self._by_code(opcode) or UNKNOWN
        request = Request(opcode, operation, request_id, tier, version, payload)
        if not self._admit(request):
            return
        fine = (
            self.phase is Phase.AUTHENTICATED
            and not (push or compressed or version != self.version or operation is UNKNOWN)
            and operation.minimum_tier <= tier <= self._record.tier
        )
        error = None if fine else self._fault(request, push, compressed)
        if error is not None:
            self.refuse(request, error)
        elif opcode < 0x0100 or opcode == CLIENT_REGISTER:
            self._serve_core(request)
        elif self.on_request is not None:
            self.on_request(request)
        else:
            self._events.append(request)

    def _fault(self, request: Request, push: bool, compressed: bool) -> OperationError | None:
        """The first check of section 1 that fails, or None. A compressed payload is inflated here."""
        error: OperationError | None = None
        operation = request.operation
        if push:
            error = BadRequest("only the agent pushes: S must be clear")
        elif compressed:
            error = self._inflate(request)
        if error is None and request.version != self.version:
            error = BadRequest("SESSION_INIT chose the other version for this session")
        elif error is None and request.tier > self._record.tier:
            error = BadRequest("this tier is above the one selected for the session")
        if error is not None:
            return error
        if self.phase is not Phase.AUTHENTICATED and request.opcode not in SERVED_UNAUTHENTICATED:
            return Unauthorized(UNAUTHENTICATED)
        if request.tier < operation.minimum_tier:
            tier = operation.minimum_tier
            return Forbidden(f"{operation.name} needs tier {tier} or above", required_tier=tier)
        if operation is UNKNOWN:
            return Unsupported(f"operation 0x{request.opcode:04X} is not known here")
        return None

    def _inflate(self, request: Request) -> OperationError | None:
        served = request.opcode == USB_BULK_TRANSFER and self.phase is Phase.AUTHENTICATED
        if not (served and self._record.zstd):
            return BadRequest("this operation's payload is never compressed: C must be clear")
        try:
            request.payload = compression.decompress(request.payload, self.message_limit)
        except OperationError as error:
            return error
        return None

    def _admit(self, request: Request) -> bool:
        """Exactly-once and the limit on requests in flight; False when the request is dealt with."""
        record = self._record
        request_id = request.request_id
        if request.version == 0:
            return self._admit_version_0(request)
        if request_id == 0:
            return True
        ledger = record.ledger
        verdict = ledger.admit(request_id)
        if verdict is Verdict.EXECUTE:
            if len(ledger.running) <= self.policy.requests_in_flight:
                return True
            self.refuse(request, TooMany("too many requests in flight; await some answers"))
        elif verdict is Verdict.ANSWERED:
            kept = ledger.kept(request_id)
            self.outbox.send(1, kept.tier, kept.opcode, request_id, kept.payload)
        elif verdict is Verdict.FORGOTTEN:
            self._answer_once(
                request, Conflict("executed before; its answer is not kept any more", executed=True)
            )
        elif verdict is Verdict.STALE:
            self._answer_once(
                request, BadRequest(f"Request ID {request_id} is not above the highest one seen")
            )
        return False

    def _admit_version_0(self, request: Request) -> bool:
        outstanding = self._record.outstanding
        if request.opcode == KEY_EXCHANGE_COMPLETE:  # never answered
            return True
        if request.opcode in outstanding:
            self._answer_once(
                request, BadRequest("version 0 has one outstanding request per operation", key="opcode")
            )
            return False
        outstanding.add(request.opcode)
        return True

    def _answer_once(self, request: Request, error: OperationError) -> None:
        """An error that leaves the ledger alone: the ID belongs to another request."""
        self.outbox.send(
            request.version,
            request.tier,
            request.opcode,
            request.request_id,
            payloads.pack(error_fields(error)),
        )

    # -- core operations -----------------------------------------------------------------------------------

    def _serve_core(self, request: Request) -> None:
        opcode = request.opcode
        try:
            payloads.unpack(request.payload)  # also where nothing in it matters
            if opcode == CLIENT_REGISTER:
                self._register(request)
            elif opcode in (NOP, KEEPALIVE):
                self.respond(request, b"")
            elif opcode == SESSION_CLOSE:
                self.respond(request, b"")
                self.end("closed by the client", linger=False)
            elif opcode == SESSION_REVOKE:
                self._events.append(request)
            elif opcode == KEY_EXCHANGE_COMPLETE:
                self._complete(request)
            elif opcode in (SESSION_ROTATE, KEY_EXCHANGE_INIT):
                assert self._rotation is not None
                self._rotation.start(request, self._record)
            else:
                raise BadRequest("a session is open already on this connection")
        except OperationError as error:
            self.refuse(request, error)

    def _complete(self, request: Request) -> None:
        assert self._rotation is not None
        if request.request_id:
            raise BadRequest("KEY_EXCHANGE_COMPLETE bears Request ID 0")
        self._rotation.complete()

    def _register(self, request: Request) -> None:
        repeat = self.phase is Phase.AUTHENTICATED
        if not repeat:
            self._registrations += 1
            if self._registrations > REGISTRATIONS:
                self.refuse(request, TooMany("too many registrations on one connection"))
                self.end("too many registrations", linger=False)
                return
        if request.version and request.request_id == 0:
            self.dropped += 1
            return
        rule = Schema.load().request("CLIENT_REGISTER")
        assert rule is not None
        self._events.append(
            Registration(request, rule.decode(request.payload), self._record.transcript, repeat)
        )

    def accept(self, registration: Registration, device: str, fields: Mapping[str, Any]) -> None:
        """The client proved to be ``device`` (28 characters): serve it; version 1 gets a ticket.

        ``fields`` are further fields of the answer, by Python name.
        """
        record = self._record
        record.device = device
        record.registered_at = self._monotonic()
        self._become_authenticated()
        answer = dict(fields)
        ticket = None
        if self.version:
            assert self._channel is not None
            secret = keys.resume_secret(self._channel.send_key, record.transcript)
            ticket = self.registry.issue_ticket(record, secret, record.id)
            answer.update(ticket=ticket.ticket, ticket_tag=ticket.tag, expires_at=ticket.expires_at)
        rule = Schema.load().response("CLIENT_REGISTER")
        assert rule is not None
        self.respond(registration.request, rule.encode(answer))
        if ticket is not None:
            self.registry.make_valid(record, ticket)

    def hold(self) -> None:
        """The registration waits for an administrator: the connection lives ten minutes from now."""
        self._deadline = self._monotonic() + PENDING_SECONDS

    def _become_authenticated(self) -> None:
        self.phase = Phase.AUTHENTICATED
        self._deadline = None
        self.message_limit = self.policy.message_limit
        self.outbox.gather = self.version == 1

    # -- answers and the end -------------------------------------------------------------------------------

    def respond(self, request: Request, payload: bytes) -> None:
        """Answer a request of this connection's session."""
        self._record.respond(request, payload)

    def refuse(self, request: Request, error: OperationError) -> None:
        """Answer a request with an error; one that wants no answer is dropped and counted."""
        no_answer = request.request_id == 0 if request.version else request.opcode == KEY_EXCHANGE_COMPLETE
        if no_answer:
            self.dropped += 1
        else:
            self._record.respond(request, payloads.pack(error_fields(error)), failed=True)

    def end(self, reason: str, *, linger: bool) -> None:
        """Close this connection; ``linger`` keeps an authenticated version 1 session resumable."""
        if self.phase is Phase.CLOSED:
            return
        phase, self.phase = self.phase, Phase.CLOSED
        self.closed = True
        record = self.record
        if self._resumption is not None:
            self.registry.drop_proof(self._resumption.record, self, self._resumption.session_id)
        linger = linger and phase is Phase.AUTHENTICATED and self.version == 1
        if record is not None and record.session is self:
            record.session = None
            linger = linger and not record.dead
        else:
            linger = False
        self._events.append(Ended(reason, linger, record))
        if record is not None and not linger and record.session is None:
            self.registry.kill(record)
        self.outbox.wakeup()

    def take_events(self) -> list[AgentEvent]:
        """What happened and was not handed out yet: an end that came from elsewhere."""
        events, self._events = self._events, []
        return events

    @property
    def clock_difference(self) -> int:
        """Seconds by which the client's clock is ahead of ours, as of the handshake."""
        return self._clock.peer_offset

    def sent(self) -> None:
        """Something was just sent: the next KEEPALIVE is due 15 s from now."""
        self._last_sent = self._clock.read_at

    def tick(self) -> list[AgentEvent]:
        """Let time pass: deadlines, liveness (15 s, 45 s), rotation pushes. Call about once a second."""
        if self.phase is Phase.CLOSED:
            return []
        now = self._monotonic()
        if self._deadline is not None and now >= self._deadline:
            self.end(f"too long {self.phase.value}", linger=False)
        elif self._rotation is not None and self._resumption is None:
            reason = self._rotation.tick(now, self.version)
            if now - self._last_received >= DEAD_PEER_SECONDS:
                reason = "nothing heard for 45 s"
            if reason:
                self.end(reason, linger=True)
            elif now - self._last_sent >= KEEPALIVE_SECONDS:
                self.outbox.send(self.version, 3, KEEPALIVE, 0, b"", push=True)
        return self.take_events()

    @property
    def _record(self) -> SessionRecord:
        assert self.record is not None
        return self.record


NOP_OPERATION = REGISTRY.by_name("NOP")
