"""Test vectors of later epochs: the ticket, the resume that it allows, rotations of both kinds."""

from __future__ import annotations

import hashlib
from typing import Any

from vector_parts import (
    CLIENT_AHEAD,
    WALL,
    Document,
    RecordedKem,
    both_traffic,
    environment,
    identity,
    octets,
    recorded,
    rule,
)
from vector_sessions import SETTINGS, Handshake

from myclerk_protocol import exchange, handshake, keys
from myclerk_protocol.exchange import Mode, Offer
from myclerk_protocol.keys import Direction
from myclerk_protocol.mesh import udf
from myclerk_protocol.operations import Opcode
from myclerk_protocol.tickets import TicketKeeper

TICKET_LIFETIME = 86400
RESUMED_ID = 0x4321


class Issued:
    """The ticket that answers the CLIENT_REGISTER of a handshake, and the agent's sealing key."""

    def __init__(self, first: Handshake) -> None:
        self.first = first
        self.sealing_key = octets("ticket sealing key", 32)
        self.keeper = TicketKeeper(environment(self.sealing_key))
        self.key = keys.resume_secret(first.key, first.transcript)
        self.device = udf.fingerprint_bytes(identity("device").fingerprint)
        self.ticket = self.keeper.issue(self.key, self.device, first.setting.session_id, TICKET_LIFETIME)

    def fields(self) -> dict[str, Any]:
        """The map in which the ticket travels, by Python name."""
        ticket = self.ticket
        return {"ticket": ticket.ticket, "ticket_tag": ticket.tag, "expires_at": ticket.expires_at}

    def document(self) -> Document:
        """The vector of the ticket."""
        first, ticket = self.first, self.ticket
        plaintext = self.key + self.device + WALL.to_bytes(4, "big") + ticket.expires_at.to_bytes(4, "big")
        answer = rule("client-register-response").encode(self.fields())
        return {
            "epoch-key": first.key.hex(),
            "transcript": first.transcript.hex(),
            "ticket-key": self.key.hex(),
            "device": identity("device").fingerprint,
            "device-data": self.device.hex(),
            "issued-at": WALL,
            "expires-at": ticket.expires_at,
            "session-id": first.setting.session_id,
            "sealing-key": self.sealing_key.hex(),
            "iv": (bytes(4) + ticket.ticket[:8]).hex(),
            "associated-data": (b"myclerk-ticket-v1" + first.setting.session_id.to_bytes(2, "big")).hex(),
            "plaintext": plaintext.hex(),
            "ticket": ticket.ticket.hex(),
            "ticket-tag": ticket.tag.hex(),
            "client-register-answer": first.seal(
                Direction.AGENT, Opcode.CLIENT_REGISTER, answer, request_id=2, counter=1
            ),
        }


class Resumed:
    """The resume of the first handshake's session."""

    def __init__(self) -> None:
        self.first = Handshake(SETTINGS[0])
        self.issued = Issued(self.first)
        sizes = {"client nonce": 8, "client X25519 key": 32, "agent nonce": 8, "agent X25519 key": 32}
        self.inputs = {name: octets(f"resume: {name}", size) for name, size in sizes.items()}
        offer = Offer(Mode.CLASSICAL, environment(self.inputs["client X25519 key"]))
        agent = environment(self.inputs["agent X25519 key"])
        public, _, self.shared = exchange.answer(agent, offer.x25519_public, None)
        self.publics = {"client": offer.x25519_public, "agent": public}
        self.asked = self._asked()
        self.answered = self._answered()
        self.transcript = hashlib.sha256(self.asked + self.answered).digest()
        nonces = self.inputs["client nonce"], self.inputs["agent nonce"]
        self.key = keys.resumed_key(self.issued.key, self.shared, *nonces, self.transcript)

    def _asked(self) -> bytes:
        timestamp = WALL + CLIENT_AHEAD
        ticket = self.issued.ticket
        fields = {
            "old_session_id": self.first.setting.session_id,
            "ticket": ticket.ticket,
            "ticket_tag": ticket.tag,
            "nonce": self.inputs["client nonce"],
            "timestamp": timestamp,
            "x25519_public": self.publics["client"],
        }
        body = rule("session-resume-request").encode(fields)
        return handshake.message(1, Opcode.SESSION_RESUME, body, session_id=0, timestamp=timestamp)

    def _answered(self) -> bytes:
        fields = {
            "session_id": RESUMED_ID,
            "nonce": self.inputs["agent nonce"],
            "selected_tier": self.first.setting.max_tier,
            "x25519_public": self.publics["agent"],
        }
        body = rule("session-resume-response").encode(fields)
        return handshake.message(1, Opcode.SESSION_RESUMED, body, session_id=RESUMED_ID, timestamp=WALL)

    def _fresh(self) -> tuple[bytes, dict[str, Any]]:
        """The fresh ticket's key, and the map of the agent's KEY_EXCHANGE_COMPLETE."""
        secret = keys.resume_secret(self.key, self.transcript)
        ticket = self.issued.keeper.issue(secret, self.issued.device, RESUMED_ID, TICKET_LIFETIME)
        fields = {"ticket": ticket.ticket, "ticket_tag": ticket.tag, "expires_at": ticket.expires_at}
        return secret, {**fields, "held": True}

    def document(self) -> Document:
        """The vector: inputs, both messages, the derivation, proof and counter-proof."""
        secret, fields = self._fresh()
        proof = rule("resume-proof").encode(fields)
        options: dict[str, Any] = {"key": self.key, "session_id": RESUMED_ID}
        complete = {"tier": 4, "request_id": 1, "push": True, **options}
        return {
            "ticket-key": self.issued.key.hex(),
            "client-nonce": self.inputs["client nonce"].hex(),
            "client-timestamp": WALL + CLIENT_AHEAD,
            "client-x25519-private": self.inputs["client X25519 key"].hex(),
            "client-x25519-public": self.publics["client"].hex(),
            "agent-nonce": self.inputs["agent nonce"].hex(),
            "agent-timestamp": WALL,
            "agent-x25519-private": self.inputs["agent X25519 key"].hex(),
            "agent-x25519-public": self.publics["agent"].hex(),
            "old-session-id": self.first.setting.session_id,
            "session-id": RESUMED_ID,
            "session-resume": self.asked.hex(),
            "session-resumed": self.answered.hex(),
            "transcript": self.transcript.hex(),
            "input-key-material": (self.issued.key + self.shared).hex(),
            "salt": (self.inputs["client nonce"] + self.inputs["agent nonce"]).hex(),
            "info": (b"myclerk-session-v1-resume" + self.transcript).hex(),
            "epoch-key": self.key.hex(),
            "traffic": both_traffic(self.key),
            "key-exchange-complete": self.first.seal(
                Direction.AGENT, Opcode.KEY_EXCHANGE_COMPLETE, proof, **complete
            ),
            "proof": self.first.seal(Direction.CLIENT, Opcode.NOP, b"", **options),
            "fresh-ticket-key": secret.hex(),
        }


# -- rotation ------------------------------------------------------------------------------------------------


def rotations() -> list[Document]:
    """A plain rotation, then one with fresh keys in each mode; all from the first handshake's session key."""
    return [_plain(), _fresh_keys(Mode.HYBRID), _fresh_keys(Mode.CLASSICAL)]


def _plain() -> Document:
    first = Handshake(SETTINGS[0])
    new_key = keys.rotated_key(first.key, 1)
    return {
        "name": "plain",
        "rotation-counter": 1,
        "current-key": first.key.hex(),
        "salt": b"rotate".hex(),
        "info": (1).to_bytes(4, "big").hex(),
        "new-key": new_key.hex(),
        **_switch(first, new_key, Opcode.SESSION_ROTATE, Opcode.SESSION_ROTATE, b"", b""),
    }


def _fresh_keys(mode: Mode) -> Document:
    first = Handshake(SETTINGS[0])
    recording = recorded()["ml-kem-768"]["rotation"] if mode is Mode.HYBRID else None
    provider = RecordedKem(recording) if recording else None
    privates = {side: octets(f"rotation {mode.name}: {side} X25519 key", 32) for side in ("client", "agent")}
    offer = Offer(mode, environment(privates["client"]), provider)
    request = rule("key-exchange-init-request").encode(
        {"x25519_public": offer.x25519_public, "mlkem_public": offer.mlkem_public}
    )
    public, ciphertext, shared = exchange.answer(
        environment(privates["agent"]), offer.x25519_public, offer.mlkem_public, provider
    )
    response = rule("key-exchange-init-response").encode(
        {"x25519_public": public, "mlkem_ciphertext": ciphertext}
    )
    new_key = keys.fresh_key(first.key, shared, 1, request, response)
    switch = _switch(
        first, new_key, Opcode.KEY_EXCHANGE_INIT, Opcode.KEY_EXCHANGE_RESPONSE, request, response
    )
    return {
        "name": f"fresh keys, {mode.name.lower()}",
        "rotation-counter": 1,
        "current-key": first.key.hex(),
        "client-x25519-private": privates["client"].hex(),
        "agent-x25519-private": privates["agent"].hex(),
        "ml-kem-768": recording,
        "request": request.hex(),
        "response": response.hex(),
        "input-key-material": (first.key + shared).hex(),
        "salt": b"rotate".hex(),
        "info": ((1).to_bytes(4, "big") + hashlib.sha256(request + response).digest()).hex(),
        "new-key": new_key.hex(),
        **switch,
    }


def _switch(
    first: Handshake, new_key: bytes, asked: int, answered: int, request: bytes, response: bytes
) -> Document:
    """The messages of a rotation in order, right behind the registration and its answer."""
    new = {"key": new_key, "key_id": 2}
    client, agent = Direction.CLIENT, Direction.AGENT
    messages = [
        first.seal(client, asked, request, tier=4, request_id=3, counter=1),
        first.seal(agent, answered, response, tier=4, request_id=3, counter=2),
        first.seal(client, Opcode.KEY_EXCHANGE_COMPLETE, b"", tier=4, counter=2),
        first.seal(client, Opcode.KEEPALIVE, b"", tier=4, request_id=4, **new),
        first.seal(agent, Opcode.KEEPALIVE_ACK, b"", tier=4, request_id=4, **new),
    ]
    return {"traffic": both_traffic(new_key), "messages": messages}
