"""The client's end of one connection: bytes in, events out (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol, TypeVar

from . import compression, header, payloads, tunnel
from .channel import Channel
from .client_handshake import ClientHandshake
from .client_rotation import ClientRotation
from .client_state import ClientState, PendingRequest, ResumeTicket
from .clock import WINDOW, SessionClock, difference
from .environment import Environment
from .events import ClientEvent, Ended, Established, Failure, Push, Registered, Response
from .exchange import Mode
from .handshake import HANDSHAKE_ID, HANDSHAKE_TIER, Policy
from .keys import resume_secret
from .operations import REGISTRY
from .outbox import Outbox
from .schema import Schema
from .seal import Opened
from .status import (
    BadRequest,
    InvalidSession,
    MalformedMessage,
    MyClerkError,
    OperationError,
    ProtocolError,
    UnopenedMessage,
    error_from_fields,
)
from .tickets import MAX_LIFETIME

NOP = REGISTRY.by_name("NOP").code
KEEPALIVE = REGISTRY.by_name("KEEPALIVE").code
SESSION_CLOSE = REGISTRY.by_name("SESSION_CLOSE").code
SESSION_CLOSE_ACK = REGISTRY.by_name("SESSION_CLOSE_ACK").code
SESSION_ROTATE = REGISTRY.by_name("SESSION_ROTATE").code
SESSION_REVOKE = REGISTRY.by_name("SESSION_REVOKE").code
KEY_EXCHANGE_COMPLETE = REGISTRY.by_name("KEY_EXCHANGE_COMPLETE").code
KEY_EXCHANGE_INIT = REGISTRY.by_name("KEY_EXCHANGE_INIT").code
CLIENT_REGISTER = REGISTRY.by_name("CLIENT_REGISTER").code
USB_BULK_TRANSFER = REGISTRY.by_name("USB_BULK_TRANSFER").code

Pending = TypeVar("Pending", bound=PendingRequest)

HANDSHAKE_SECONDS = 10.0
KEEPALIVE_SECONDS = 15.0
DEAD_PEER_SECONDS = 45.0
REGISTER_PAUSE = 10.0
"""Seconds between two registrations at least, however short a ticket lives."""


class Authenticator(Protocol):
    """Who the client is and whom it trusts. Each raises a MyClerkError to give up."""

    def first(self, proof: Mapping[str, Any], transcript: bytes) -> Mapping[str, Any]:
        """Check the agent's proof (section 4) against what is pinned; the fields of CLIENT_REGISTER."""

    def again(self, transcript: bytes) -> Mapping[str, Any]:
        """The fields of a repeated CLIENT_REGISTER, by ``device`` and signature over ``transcript``."""

    def follow_up(
        self, answer: Mapping[str, Any] | OperationError, transcript: bytes
    ) -> Mapping[str, Any] | None:
        """The fields of another CLIENT_REGISTER behind the ``answer`` to one, if that makes sense; else None."""


class Phase(Enum):
    """Where the connection stands."""

    HANDSHAKE = "handshake"  # an unsealed answer is due
    PROOF = "proof"  # the agent's KEY_EXCHANGE_COMPLETE is due
    OPEN = "open"  # requests flow
    CLOSED = "closed"


class ClientSession:
    """One connection of a client. Call :meth:`start`, then feed whole messages to :meth:`receive`.

    ``state`` is carried over from an earlier connection to resume its session. Messages to send are in
    ``outbox``. ``message_limit`` is what this side takes, always the session limit. With ``on_answer`` set,
    answers go there at once instead of into events: the short way.
    """

    def __init__(
        self,
        environment: Environment,
        authenticator: Authenticator,
        state: ClientState | None = None,
        policy: Policy | None = None,
        mode: Mode = Mode.HYBRID,
    ) -> None:
        self.state = state or ClientState()
        self.policy = policy or Policy()
        self.outbox = Outbox(self.policy.message_limit)
        self.message_limit = self.policy.message_limit
        self.phase = Phase.HANDSHAKE
        self.resumed = False
        self.on_answer: Callable[[PendingRequest, bytes | memoryview], None] | None = None
        self.dropped = 0
        self._environment = environment
        self._monotonic = environment.monotonic
        self._authenticator = authenticator
        self._clock = SessionClock(environment)
        self._handshake = ClientHandshake(environment, self._clock, self.state, self.policy, mode)
        self._channel: Channel | None = None
        self._rotation: ClientRotation | None = None
        self._transcript = b""
        self._selected = self.state.selected
        self._register_by: float | None = None
        self._events: list[ClientEvent] = []
        now = self._monotonic()
        self._deadline: float | None = now + HANDSHAKE_SECONDS
        self._last_received = self._last_sent = now

    def start(self) -> None:
        """Put the first handshake message into the outbox: SESSION_RESUME with a ticket, or SESSION_INIT."""
        self.state.drop_internal()
        self.outbox.put(self._handshake.next_attempt())

    # -- requests ------------------------------------------------------------------------------------------

    def request(self, opcode: int, payload: bytes, *, tier: int = 3, context: Any = None) -> PendingRequest:
        """Send a request, or queue it until the session is open; it stays in ``state.pending``.

        Raises LocalError for a payload that fits no message.
        """
        return self.submit(PendingRequest(0, opcode, tier, payload, context))

    def submit(self, pending: Pending) -> Pending:
        """As :meth:`request`, for a request that the caller made; it gets its Request ID here."""
        payload = pending.payload
        self.outbox.check(payload)
        state = self.state
        pending.request_id = request_id = state.next_id()
        state.pending[request_id] = pending
        if self.phase is Phase.OPEN:
            pending.sent = True
            self.outbox.send(1, pending.tier, pending.opcode, request_id, payload)
        return pending

    def post(self, opcode: int, payload: bytes, *, tier: int = 3) -> None:
        """Send without awaiting an answer (Request ID 0): never repeated, lost when not connected.

        Raises as :meth:`request`.
        """
        self.outbox.check(payload)
        if self.phase is Phase.OPEN:
            self.outbox.send(1, tier, opcode, 0, payload)

    def close(self) -> None:
        """Ask the agent to end the session and release what it holds."""
        if self.phase is Phase.OPEN:
            self._send_internal(SESSION_CLOSE, 3, b"", lambda payload, opcode: self._closed_by_agent())

    # -- what arrives --------------------------------------------------------------------------------------

    def receive(self, message: bytes | memoryview) -> list[ClientEvent]:
        """One whole message from the agent; what follows from it, in order. Never raises for bad input."""
        if self.phase is Phase.CLOSED:
            return []
        try:
            if self._channel is None:
                self._receive_handshake(message)
            elif len(message) and message[0] & 1:
                opened = self._channel.open(message)
                self._last_received = self._clock.read_at
                if self.phase is Phase.OPEN:
                    self._receive_sealed(opened)
                else:
                    self._receive_proof(opened)
            else:
                self._receive_unsealed(message)
        except UnopenedMessage:
            self.end("a message from the agent did not open", linger=True)
        except ProtocolError as error:
            self.end(f"the agent broke the protocol: {error}", linger=True, error=error)
        except MyClerkError as error:  # a hint that spends no ticket, before the agent proved itself
            self.end(str(error), linger=self.phase is not Phase.OPEN, error=error)
        return self.take_events()

    def _receive_handshake(self, message: bytes | memoryview) -> None:
        head, payload = header.decode_plain(message)
        opened = self._handshake.receive(message, head, payload)
        if opened is None:
            self.outbox.put(self._handshake.next_attempt())
            return
        self._transcript, self._selected = opened.transcript, opened.selected
        self._channel = self.outbox.channel = opened.channel
        mode = opened.selected.mode
        self._rotation = ClientRotation(opened.channel, self.outbox, self._environment, mode)
        self.resumed = opened.resumed
        self.phase = Phase.PROOF

    def _receive_unsealed(self, message: bytes | memoryview) -> None:
        head, _ = header.decode_plain(message)
        if head.tier:
            raise UnopenedMessage("an unsealed message inside a session")
        self.dropped += 1

    def _receive_proof(self, opened: Opened) -> None:
        if (
            (opened.opcode, opened.request_id) != (KEY_EXCHANGE_COMPLETE, HANDSHAKE_ID)
            or (opened.version, opened.tier) != (1, HANDSHAKE_TIER)
            or (opened.push, opened.compressed) != (True, False)
        ):
            raise MalformedMessage("the agent did not prove itself first")
        self._deadline = None
        if self.resumed:
            fields = Schema.load().map("resume-proof").decode(opened.payload)
            assert self._channel is not None
            self._keep_ticket(fields, resume_secret(self._channel.receive_key, self._transcript), fresh=True)
            self._open(held=fields["held"], lost=[])
            self.outbox.send(1, 3, NOP, 0, b"")  # the proof: small, as before it only 32 KiB are taken
            self.outbox.gather = True
            for pending in list(self.state.pending.values()):
                self._send_pending(pending)
            self._send_internal(NOP, 3, b"", self._ignore)  # its answer shows that the proof arrived
        else:
            proof = Schema.load().map("agent-proof").decode(opened.payload)
            registration = self._authenticator.first(proof, self._transcript)
            lost, waiting = self.state.restart(self._selected)
            self._register(registration)
            self._open(held=False, lost=lost)
            for pending in waiting:
                self.state.adopt(pending)
                self._send_pending(pending)

    def _open(self, *, held: bool, lost: list[PendingRequest]) -> None:
        self.phase = Phase.OPEN
        classical = self._selected.mode is Mode.CLASSICAL
        self._events.append(Established(self.resumed, classical, self._selected.tier, held, tuple(lost)))

    def _receive_sealed(self, opened: Opened) -> None:
        payload = opened.payload
        if opened.compressed:
            payload = self._inflate(opened)
        if opened.opcode == NOP and opened.request_id == 0 and len(payload) and not opened.push:
            self._receive_tunnel(payload)
        elif opened.push:
            self._receive_push(opened.opcode, opened.request_id, payload)
        else:
            self._receive_answer(opened.opcode, opened.request_id, payload)

    def _receive_tunnel(self, payload: bytes | memoryview) -> None:
        if payload[0] >= 0x80:  # one map: our batch was refused whole
            fields = Schema.load().map("batch-error").decode(payload)
            lost = [self.state.pending.pop(i, None) for i in fields["request_ids"]]
            self._events.append(Failure(tuple(p for p in lost if p is not None), fields))
            return
        for opcode, request_id, push, body in tunnel.parse(payload, 1):
            if push:
                self._receive_push(opcode, request_id, body)
            else:
                self._receive_answer(opcode, request_id, body)

    def _receive_answer(self, opcode: int, request_id: int, payload: bytes | memoryview) -> None:
        state = self.state
        pending = state.pending.pop(request_id, None)
        if pending is None:
            self.dropped += 1
            return
        if len(state.tickets) > 1:
            del state.tickets[1:]
        if pending.internal:
            pending.context(payload, opcode)
        elif self.on_answer is not None:
            self.on_answer(pending, payload)
        else:
            self._events.append(Response(pending, opcode, payload))

    def _receive_push(self, opcode: int, request_id: int, payload: bytes | memoryview) -> None:
        if opcode == KEEPALIVE:
            return
        if opcode == SESSION_ROTATE and request_id == 0:
            rule = Schema.load().push("SESSION_ROTATE")
            assert rule is not None
            self.rotate(fresh=rule.decode(payload).get("fresh", False))
        elif opcode == SESSION_REVOKE and request_id == 0:
            self._closed_by_agent(InvalidSession("the agent ended this session"))
        elif opcode == SESSION_CLOSE and request_id == 0:  # who comes back finds no session, but is welcome
            self.end("the agent is stopping", linger=False)
        else:
            self._events.append(Push(request_id, opcode, payload))

    def _inflate(self, opened: Opened) -> bytes:
        compressible = (
            self.state.streams.get(opened.request_id, False)
            if opened.push
            else opened.opcode == USB_BULK_TRANSFER
        )
        if not (compressible and self._selected.zstd):
            raise MalformedMessage("C was set where nothing is compressed")
        try:
            return compression.decompress(opened.payload, self.message_limit)
        except OperationError as error:
            raise MalformedMessage(error.message) from None

    # -- the session's own requests ------------------------------------------------------------------------

    def _send_pending(self, pending: PendingRequest) -> None:
        pending.sent = True
        self.outbox.send(1, pending.tier, pending.opcode, pending.request_id, pending.payload)

    def _send_internal(
        self, opcode: int, tier: int, payload: bytes, then: Callable[[bytes | memoryview, int], None]
    ) -> None:
        state = self.state
        pending = PendingRequest(state.next_id(), opcode, tier, payload, then, internal=True)
        state.pending[pending.request_id] = pending
        self._send_pending(pending)

    def _ignore(self, payload: bytes | memoryview, opcode: int) -> None:
        pass

    def _register(self, fields: Mapping[str, Any]) -> None:
        rule = Schema.load().request("CLIENT_REGISTER")
        assert rule is not None
        self._send_internal(CLIENT_REGISTER, 3, rule.encode(fields), self._registered)

    def _registered(self, payload: bytes | memoryview, opcode: int) -> None:
        try:
            check_answer(payload)
        except OperationError as refusal:
            if not self._register_again(refusal):
                raise
            return
        rule = Schema.load().response("CLIENT_REGISTER")
        assert rule is not None
        fields = rule.decode(payload)
        if "ticket" in fields:
            assert self._channel is not None
            secret = resume_secret(self._channel.receive_key, self._transcript)
            self._keep_ticket(fields, secret, fresh=False)
            self.outbox.gather = True
        self._events.append(Registered(fields))
        self._register_again(fields)

    def _register_again(self, answer: Mapping[str, Any] | OperationError) -> bool:
        again = self._authenticator.follow_up(answer, self._transcript)
        if again is not None:
            self._register(again)
        return again is not None

    def _keep_ticket(self, fields: Mapping[str, Any], key: bytes, *, fresh: bool) -> None:
        if "ticket_tag" not in fields or "expires_at" not in fields:
            raise BadRequest("a ticket comes with its `ticket-tag` and `expires-at`", key="ticket-tag")
        life = difference(fields["expires_at"], self._clock.peer_now())
        if not -WINDOW <= life <= MAX_LIFETIME + WINDOW:  # the agent's wall clock was set meanwhile
            life = MAX_LIFETIME
        assert self._channel is not None
        ticket = ResumeTicket(
            fields["ticket"],
            fields["ticket_tag"],
            key,
            self._channel.session_id,
            self._monotonic() + life,
        )
        used = self._handshake.ticket
        self.state.tickets = [ticket, used] if fresh and used is not None else [ticket]
        self._register_by = self._monotonic() + max(life / 2, REGISTER_PAUSE)

    def rotate(self, *, fresh: bool) -> None:
        """Start a key rotation, with fresh keys or without; nothing while one is under way."""
        assert self._rotation is not None
        started = self._rotation.start(fresh)
        if started is not None:
            opcode, payload = started
            self._send_internal(opcode, 4, payload, self._rotated)

    def _rotated(self, payload: bytes | memoryview, opcode: int) -> None:
        assert self._rotation is not None
        try:
            check_answer(payload)
            error = None
        except OperationError as refusal:
            error = refusal
        if self._rotation.answered(bytes(payload), error):
            self._register(self._authenticator.again(self._transcript))

    # -- the end and time ----------------------------------------------------------------------------------

    def _closed_by_agent(self, error: MyClerkError | None = None) -> None:
        self.end(str(error) if error else "closed", linger=False, error=error)

    def end(self, reason: str, *, linger: bool, error: MyClerkError | None = None) -> None:
        """This connection is over; with ``linger`` the session may be resumed by its ticket."""
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self._handshake.wipe()
        if not linger:
            self.state.tickets = []
        self._events.append(Ended(reason, linger and bool(self.state.tickets), None, error))

    def take_events(self) -> list[ClientEvent]:
        """What happened and was not handed out yet."""
        events, self._events = self._events, []
        return events

    @property
    def closed(self) -> bool:
        """Whether this connection is over."""
        return self.phase is Phase.CLOSED

    def sent(self) -> None:
        """Something was just sent: the next KEEPALIVE is due 15 s from now."""
        self._last_sent = self._clock.read_at

    def tick(self) -> list[ClientEvent]:
        """Let time pass: deadlines, liveness, rotation, the repeated registration. About once a second."""
        if self.phase is Phase.CLOSED:
            return []
        now = self._monotonic()
        if self._deadline is not None and now >= self._deadline:
            self.end("the agent did not complete the handshake in 10 s", linger=True)
        elif self.phase is Phase.OPEN:
            assert self._rotation is not None
            if now - self._last_received >= DEAD_PEER_SECONDS:
                self.end("nothing heard from the agent for 45 s", linger=True)
                return self.take_events()
            due = self._rotation.due(now)
            if due is not None:
                self.rotate(fresh=due)
            if self._register_by is not None and now >= self._register_by:
                self._register_by = None
                self._register(self._authenticator.again(self._transcript))
            if now - self._last_sent >= KEEPALIVE_SECONDS:
                self.outbox.send(1, 3, KEEPALIVE, 0, b"")
        return self.take_events()


def check_answer(payload: bytes | memoryview) -> None:
    """Raise the error that an answer reports; return if it reports success."""
    fields = payloads.unpack(payload) if len(payload) else {}
    if fields.get("status", 0):
        raise error_from_fields(fields)
