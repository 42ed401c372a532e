"""Test vectors of whole handshakes, and of the first sealed message of each side."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
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
    sealed,
)

from myclerk_protocol import exchange, handshake, keys
from myclerk_protocol.exchange import Mode, Offer
from myclerk_protocol.keys import Direction
from myclerk_protocol.operations import Opcode
from myclerk_protocol.seal import Aead


@dataclass(frozen=True)
class Setting:
    """What distinguishes one handshake from another."""

    name: str
    version: int = 1
    mode: Mode = Mode.HYBRID
    aead: Aead = Aead.CHACHA20
    offered: tuple[int, ...] = (1, 2, 5, 11, 12)
    selected: tuple[int, ...] = (1, 2, 5, 11, 12)
    max_tier: int = 5
    session_id: int = 0x1234


SETTINGS = (
    Setting("hybrid"),
    Setting(
        "classical", mode=Mode.CLASSICAL, aead=Aead.AES256GCM, offered=(2, 3, 5, 11), selected=(3, 5, 11),
        max_tier=4, session_id=0xBEEF,
    ),
    Setting("hybrid, version 0", version=0, offered=(2,), selected=(2,), session_id=0x0102),
)  # fmt: skip


class Handshake:
    """A whole handshake with its inputs; ``document`` is its vector."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.inputs = {
            name: octets(f"{setting.name}: {name}", size)
            for name, size in (
                ("client nonce", 8), ("client X25519 key", 32), ("agent nonce", 8), ("agent X25519 key", 32),
            )
        }  # fmt: skip
        self.kem = recorded()["ml-kem-768"]["handshake"] if setting.mode is Mode.HYBRID else None
        self._exchange()

    def _exchange(self) -> None:
        setting, inputs = self.setting, self.inputs
        provider = RecordedKem(self.kem) if self.kem else None
        offer = Offer(setting.mode, environment(inputs["client X25519 key"]), provider)
        self.init = self._init(offer)
        public, ciphertext, shared = exchange.answer(
            environment(inputs["agent X25519 key"]), offer.x25519_public, offer.mlkem_public, provider
        )
        self.ack = self._ack(public, ciphertext)
        self.publics = {"client": offer.x25519_public, "agent": public}
        assert offer.shared(public, ciphertext) == shared
        self.shared = shared
        self.transcript = hashlib.sha256(self.init + self.ack).digest()
        self.key = keys.session_key(shared, inputs["client nonce"], inputs["agent nonce"], self.transcript)

    def _init(self, offer: Offer) -> bytes:
        timestamp = WALL + CLIENT_AHEAD
        fields = {
            "nonce": self.inputs["client nonce"],
            "timestamp": timestamp,
            "kex_mode": int(self.setting.mode),
            "x25519_public": offer.x25519_public,
            "mlkem_public": offer.mlkem_public,
            "capabilities": list(self.setting.offered),
            "max_tier": self.setting.max_tier,
        }
        body = rule("session-init-request").encode(fields)
        return handshake.message(
            self.setting.version, Opcode.SESSION_INIT, body, session_id=0, timestamp=timestamp
        )

    def _ack(self, public: bytes, ciphertext: bytes | None) -> bytes:
        fields = {
            "session_id": self.setting.session_id,
            "nonce": self.inputs["agent nonce"],
            "selected_tier": self.setting.max_tier,
            "selected_kex_mode": int(self.setting.mode),
            "x25519_public": public,
            "mlkem_ciphertext": ciphertext,
            "selected_capabilities": list(self.setting.selected),
        }
        body = rule("session-init-response").encode(fields)
        version, session_id = self.setting.version, self.setting.session_id
        return handshake.message(version, Opcode.SESSION_ACK, body, session_id=session_id, timestamp=WALL)

    def seal(self, direction: Direction, opcode: int, payload: bytes, **options: Any) -> Document:
        """One sealed message of this session, by its own AEAD and version."""
        setting = self.setting
        timestamp = WALL if direction is Direction.AGENT else WALL + CLIENT_AHEAD
        options = {"timestamp": timestamp, "session_id": setting.session_id, **options}
        options |= {"aead": setting.aead, "version": setting.version, "opcode": opcode, "payload": payload}
        key = options.pop("key", self.key)
        return sealed(key, direction, **options)

    def complete(self) -> Document:
        """The agent's KEY_EXCHANGE_COMPLETE."""
        agent = identity("host")
        fields = {
            "profile": agent.profile.raw,
            "signature": agent.agent_proof(self.transcript).signature,
            "time": WALL,
        }
        payload = rule("agent-proof").encode(fields)
        request_id = self.setting.version
        return self.seal(
            Direction.AGENT, Opcode.KEY_EXCHANGE_COMPLETE, payload, tier=4, request_id=request_id, push=True
        )

    def register(self) -> Document:
        """The client's CLIENT_REGISTER."""
        device = identity("device")
        signature = device.client_proof(self.transcript, identity("host").fingerprint).signature
        payload = rule("client-register-request").encode(
            {"device": device.fingerprint, "signature": signature}
        )
        return self.seal(Direction.CLIENT, Opcode.CLIENT_REGISTER, payload, request_id=2)

    def document(self) -> Document:
        """The vector: inputs, both messages, each derivation, the first sealed message of each side."""
        setting = self.setting
        label = "myclerk-session-v1-" + ("hybrid" if self.kem else "classical")
        return {
            "name": setting.name,
            "version": setting.version,
            "kex-mode": int(setting.mode),
            "client-nonce": self.inputs["client nonce"].hex(),
            "client-timestamp": WALL + CLIENT_AHEAD,
            "client-x25519-private": self.inputs["client X25519 key"].hex(),
            "client-x25519-public": self.publics["client"].hex(),
            "agent-nonce": self.inputs["agent nonce"].hex(),
            "agent-timestamp": WALL,
            "agent-x25519-private": self.inputs["agent X25519 key"].hex(),
            "agent-x25519-public": self.publics["agent"].hex(),
            "ml-kem-768": self.kem,
            "session-id": setting.session_id,
            "selected-tier": setting.max_tier,
            "offered-capabilities": list(setting.offered),
            "selected-capabilities": list(setting.selected),
            "session-init": self.init.hex(),
            "session-ack": self.ack.hex(),
            "transcript": self.transcript.hex(),
            "input-key-material": self.shared.hex(),
            "salt": (self.inputs["client nonce"] + self.inputs["agent nonce"]).hex(),
            "info": (label.encode() + self.transcript).hex(),
            "session-key": self.key.hex(),
            "traffic": both_traffic(self.key),
            "key-exchange-complete": self.complete(),
            "client-register": self.register(),
        }


def handshakes() -> list[Document]:
    """One vector for each setting."""
    return [Handshake(setting).document() for setting in SETTINGS]
