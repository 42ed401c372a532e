"""The client's side of the two handshakes (docs/protocol.md): tickets first, freshest first, then INIT."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from . import header, keys, payloads
from .channel import Channel
from .client_state import ClientState, ResumeTicket, Selection
from .clock import SessionClock
from .environment import Environment
from .exchange import Mode, Offer
from .handshake import (
    HANDSHAKE_TIER,
    SESSION_ACK,
    SESSION_INIT,
    SESSION_RESUME,
    SESSION_RESUMED,
    Capability,
    Policy,
    check_ack,
    check_fields,
    decode_payload,
    message,
)
from .keys import Direction
from .schema import Schema
from .seal import Aead
from .status import BadRequest, InvalidSession, MalformedMessage, OperationError, error_from


@dataclass(slots=True)
class Opened:
    """A handshake that succeeded on the wire; the agent has not proven itself yet."""

    channel: Channel
    transcript: bytes
    resumed: bool
    selected: Selection


class ClientHandshake:
    """Makes one attempt after another and judges the answers. ``ticket`` is the one the last attempt used."""

    def __init__(
        self,
        environment: Environment,
        clock: SessionClock,
        state: ClientState,
        policy: Policy,
        mode: Mode,
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._state = state
        self._policy = policy
        self._mode = mode
        self.ticket: ResumeTicket | None = None
        self._offer: Offer | None = None
        self._nonce = b""
        self._sent = b""
        self._attempt = -1

    def next_attempt(self) -> bytes:
        """The next handshake message: each valid ticket once, freshest first, then SESSION_INIT."""
        now = self._environment.monotonic()
        tickets = [t for t in self._state.tickets if t.expires > now]
        self._attempt += 1
        self._nonce = self._environment.random(8)
        self._clock.restart()
        if self._attempt < len(tickets):
            self.ticket = tickets[self._attempt]
            self._sent = self._resume(self.ticket)
        else:
            self.ticket = None
            self._sent = self._init()
        return self._sent

    @property
    def offered(self) -> list[int]:
        """The capabilities offered in SESSION_INIT."""
        offer = [Capability.CHACHA20, Capability.STREAMING, Capability.REQUEST_CORRELATION]
        if self._policy.zstd:
            offer.append(Capability.ZSTD)
        if self._policy.aes:
            offer.append(Capability.AES256GCM)
        if self._mode is Mode.HYBRID:
            offer.append(Capability.PQ_MLKEM768)
        return sorted(int(c) for c in offer)

    def receive(
        self, data: bytes | memoryview, head: header.Header, payload: bytes | memoryview
    ) -> Opened | None:
        """Judge the answer; None means: try :meth:`next_attempt` on the same connection.

        Raises the agent's refusal as its OperationError, BadRequest or MalformedMessage for a bad answer.
        """
        expected, asked = (
            (SESSION_ACK, SESSION_INIT) if self.ticket is None else (SESSION_RESUMED, SESSION_RESUME)
        )
        if head.tier != HANDSHAKE_TIER or head.version != 1 or head.encrypted:
            raise MalformedMessage("the handshake was answered at another tier or version")
        if head.opcode == asked:
            check_fields(head, session_id=0)
            error = _refusal(payload)
            if self.ticket is not None and isinstance(error, InvalidSession):
                return None
            raise error
        if head.opcode != expected:
            raise MalformedMessage(f"operation 0x{head.opcode:04X} does not answer the handshake")
        return (
            self._acknowledged(data, head, payload)
            if self.ticket is None
            else self._resumed(data, head, payload)
        )

    def wipe(self) -> None:
        """Forget private keys of an attempt that came to nothing."""
        if self._offer is not None:
            self._offer.wipe()
            self._offer = None

    def _init(self) -> bytes:
        self.wipe()
        self._offer = offer = Offer(self._mode, self._environment)
        rule = Schema.load().request("SESSION_INIT")
        assert rule is not None
        timestamp = self._clock.now()
        body = rule.encode(
            {
                "nonce": self._nonce,
                "timestamp": timestamp,
                "kex_mode": int(self._mode),
                "x25519_public": offer.x25519_public,
                "mlkem_public": offer.mlkem_public,
                "capabilities": self.offered,
                "max_tier": self._policy.max_tier,
            }
        )
        return message(1, SESSION_INIT, body, session_id=0, timestamp=timestamp)

    def _resume(self, ticket: ResumeTicket) -> bytes:
        self.wipe()
        self._offer = offer = Offer(Mode.CLASSICAL, self._environment)
        rule = Schema.load().request("SESSION_RESUME")
        assert rule is not None
        timestamp = self._clock.now()
        body = rule.encode(
            {
                "old_session_id": ticket.session_id,
                "ticket": ticket.ticket,
                "ticket_tag": ticket.tag,
                "nonce": self._nonce,
                "timestamp": timestamp,
                "x25519_public": offer.x25519_public,
            }
        )
        return message(1, SESSION_RESUME, body, session_id=0, timestamp=timestamp)

    def _acknowledged(
        self, data: bytes | memoryview, head: header.Header, payload: bytes | memoryview
    ) -> Opened:
        fields = decode_payload("SESSION_INIT", payload, answer=True)
        check_ack(head, fields, mode=self._mode, offered=self.offered, max_tier=self._policy.max_tier)
        self._clock.note_peer(head.timestamp)
        assert self._offer is not None
        shared = self._offer.shared(fields["x25519_public"], fields.get("mlkem_ciphertext"))
        transcript = hashlib.sha256(self._sent + bytes(data)).digest()
        key = keys.session_key(shared, self._nonce, fields["nonce"], transcript)
        capabilities = fields["selected_capabilities"]
        aead = Aead.AES256GCM if Capability.AES256GCM in capabilities else Aead.CHACHA20
        selected = Selection(self._mode, fields["selected_tier"], aead, Capability.ZSTD in capabilities)
        channel = Channel(Direction.CLIENT, aead, head.session_id, key, self._clock)
        return Opened(channel, transcript, False, selected)

    def _resumed(self, data: bytes | memoryview, head: header.Header, payload: bytes | memoryview) -> Opened:
        fields = decode_payload("SESSION_RESUME", payload, answer=True)
        check_fields(head, session_id=None)
        if fields["session_id"] != head.session_id:
            raise BadRequest("the agent's `session-id` differs from its header's", key="session-id")
        if fields["selected_tier"] != self._state.selected.tier:
            raise BadRequest("a resume keeps the session's tier", key="selected-tier")
        self._clock.note_peer(head.timestamp)
        assert self._offer is not None
        assert self.ticket is not None
        shared = self._offer.shared(fields["x25519_public"], None)
        transcript = hashlib.sha256(self._sent + bytes(data)).digest()
        key = keys.resumed_key(self.ticket.key, shared, self._nonce, fields["nonce"], transcript)
        selected = self._state.selected
        channel = Channel(Direction.CLIENT, selected.aead, head.session_id, key, self._clock)
        return Opened(channel, transcript, True, selected)


def _refusal(payload: bytes | memoryview) -> OperationError:
    """An error before the session: an unauthenticated hint, bounded and checked like any payload."""
    fields = Schema.load().map("error").decode_map(payloads.unpack(payload))
    status, text = fields.pop("status"), fields.pop("message", None)
    return error_from(status, text, **fields)
