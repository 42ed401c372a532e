"""The agent's side of the two handshakes (docs/protocol.md): one message in, an outcome out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import exchange, header, keys, payloads
from .channel import Channel
from .clock import SessionClock
from .environment import Environment
from .exchange import Mode
from .handshake import (
    HANDSHAKE_ID,
    HANDSHAKE_TIER,
    SESSION_ACK,
    SESSION_INIT,
    SESSION_RESUME,
    SESSION_RESUMED,
    Capability,
    Policy,
    check_init,
    check_resume,
    message,
    select_capabilities,
)
from .keys import Direction
from .operations import ANSWER_OPCODES, REGISTRY
from .records import SessionRecord, SessionRegistry
from .schema import Schema
from .seal import Aead
from .status import Forbidden, InvalidSession, OperationError, TooMany, error_fields
from .tickets import Ticket

KEY_EXCHANGE_COMPLETE = REGISTRY.by_name("KEY_EXCHANGE_COMPLETE").code
HANDSHAKES = 3
"""Attempts that one connection has."""

AgentProof = Callable[[bytes], Mapping[str, Any]]
"""From the transcript to the fields of the agent's KEY_EXCHANGE_COMPLETE (docs/protocol.md)."""


@dataclass(slots=True)
class Resumption:
    """A SESSION_RESUME that was answered but not proven yet: it has changed nothing so far."""

    record: SessionRecord
    session_id: int
    transcript: bytes
    fresh: Ticket


@dataclass(slots=True)
class Outcome:
    """What a message led to: ``replies`` to send, then a channel or the end or another attempt.

    Without replies the message was dropped.
    """

    replies: list[bytes] = field(default_factory=list)
    close: str = ""
    version: int = 1
    channel: Channel | None = None
    record: SessionRecord | None = None
    resumption: Resumption | None = None


class AgentHandshake:
    """Answers SESSION_INIT and SESSION_RESUME on one connection, three attempts in all.

    ``admit`` is asked before any cryptography whether this address may try; False is TOO_MANY and close.
    ``attempts`` counts the handshakes begun.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        environment: Environment,
        policy: Policy,
        proof: AgentProof,
        admit: Callable[[], bool],
        clock: SessionClock,
    ) -> None:
        self._registry = registry
        self._environment = environment
        self._policy = policy
        self._proof = proof
        self._admit = admit
        self._clock = clock
        self.attempts = 0

    def receive(self, data: bytes | memoryview) -> Outcome:
        """Judge one message before a session. Raises MalformedMessage for what is closed without answer."""
        head, payload = header.decode_plain(data)
        outcome = Outcome(version=head.version)
        if head.tier == 0 or head.opcode in ANSWER_OPCODES:
            return outcome
        try:
            if head.opcode not in (SESSION_INIT, SESSION_RESUME):
                raise InvalidSession("no session is open on this connection; send SESSION_INIT")
            self.attempts += 1
            if self.attempts > HANDSHAKES or not self._admit():
                outcome.close = "too many handshakes"
                raise TooMany("too many handshakes; wait a second and connect again")
            if head.opcode == SESSION_INIT:
                self._init(data, head, payload, outcome)
            else:
                self._resume(data, head, payload, outcome)
        except OperationError as error:
            outcome.replies = [unsealed_answer(head, error_fields(error), self._clock.now())]
            outcome.channel = outcome.record = outcome.resumption = None
        return outcome

    def _init(
        self, data: bytes | memoryview, head: header.Header, payload: bytes | memoryview, outcome: Outcome
    ) -> None:
        fields = check_init(head, payload)
        mode = Mode(fields["kex_mode"])
        capabilities = select_capabilities(fields.get("capabilities"), self._policy, mode, head.version)
        if mode is Mode.CLASSICAL and self._policy.require_pq:
            raise Forbidden("this agent requires the post-quantum key exchange: kex-mode 1 with ML-KEM-768")
        tier = min(fields.get("max_tier", 5), self._policy.max_tier)
        public, ciphertext, shared = exchange.answer(
            self._environment, fields["x25519_public"], fields.get("mlkem_public")
        )
        nonce = self._environment.random(8)
        session_id = self._registry.reserve_id()
        self._clock.restart()
        rule = Schema.load().response("SESSION_INIT")
        assert rule is not None
        body = rule.encode(
            {
                "session_id": session_id,
                "nonce": nonce,
                "selected_tier": tier,
                "selected_kex_mode": int(mode),
                "x25519_public": public,
                "mlkem_ciphertext": ciphertext,
                "selected_capabilities": capabilities,
            }
        )
        ack = message(head.version, SESSION_ACK, body, session_id=session_id, timestamp=self._clock.now())
        self._clock.note_peer(head.timestamp)
        transcript = hashlib.sha256(bytes(data) + ack).digest()
        key = keys.session_key(shared, fields["nonce"], nonce, transcript)
        aead = Aead.AES256GCM if Capability.AES256GCM in capabilities else Aead.CHACHA20
        record = SessionRecord(
            id=session_id,
            version=head.version,
            mode=mode,
            aead=aead,
            tier=tier,
            capabilities=frozenset(capabilities),
            transcript=transcript,
        )
        channel = Channel(Direction.AGENT, aead, session_id, key, self._clock)
        proof = Schema.load().map("agent-proof").encode(self._proof(transcript))
        self._registry.add(record)
        self._open(outcome, head, channel, ack, proof)
        outcome.record = record

    def _resume(
        self, data: bytes | memoryview, head: header.Header, payload: bytes | memoryview, outcome: Outcome
    ) -> None:
        fields = check_resume(head, payload)
        record, ticket_key = self._registry.find_resumable(
            fields["ticket"], fields["ticket_tag"], fields["old_session_id"]
        )
        public, _, shared = exchange.answer(self._environment, fields["x25519_public"], None)
        nonce = self._environment.random(8)
        session_id = self._registry.reserve_id()
        self._clock.restart()
        rule = Schema.load().response("SESSION_RESUME")
        assert rule is not None
        body = rule.encode(
            {
                "session_id": session_id,
                "nonce": nonce,
                "selected_tier": record.tier,
                "x25519_public": public,
            }
        )
        resumed = message(1, SESSION_RESUMED, body, session_id=session_id, timestamp=self._clock.now())
        self._clock.note_peer(head.timestamp)
        transcript = hashlib.sha256(bytes(data) + resumed).digest()
        key = keys.resumed_key(ticket_key, shared, fields["nonce"], nonce, transcript)
        fresh = self._registry.issue_ticket(record, keys.resume_secret(key, transcript), session_id)
        channel = Channel(Direction.AGENT, record.aead, session_id, key, self._clock)
        proof = (
            Schema.load()
            .map("resume-proof")
            .encode(
                {
                    "ticket": fresh.ticket,
                    "ticket_tag": fresh.tag,
                    "expires_at": fresh.expires_at,
                    "held": record.holdings is not None,
                }
            )
        )
        self._registry.hold_id(session_id, record)
        self._open(outcome, head, channel, resumed, proof)
        outcome.resumption = Resumption(record, session_id, transcript, fresh)

    def _open(
        self, outcome: Outcome, head: header.Header, channel: Channel, answer: bytes, proof: bytes
    ) -> None:
        request_id = HANDSHAKE_ID if head.version else 0
        complete = channel.seal(
            head.version, HANDSHAKE_TIER, KEY_EXCHANGE_COMPLETE, request_id, proof, push=True
        )
        outcome.replies = [answer, complete]
        outcome.channel = channel


def unsealed_answer(head: header.Header, fields: Mapping[str, Any], timestamp: int) -> bytes:
    """An unauthenticated error in the tier and version of what it answers (docs/protocol.md, Limits).

    Tiers 3 and 5 cannot be unsealed and never get here.
    """
    answer = header.Header(
        version=head.version,
        tier=head.tier,
        opcode=head.opcode,
        sequence=head.sequence if head.tier <= 2 else 0,
        timestamp=timestamp,
        request_id=head.request_id,
    )
    return header.encode_plain(answer, payloads.pack(fields))
