"""What the test vectors are made of: fixed inputs, recorded post-quantum values, one sealed message.

Ed448, X25519, the AEADs and HKDF give the same output each time. ML-KEM's encapsulation and ML-DSA's signing
do not, so their values were drawn once, by :func:`record_kem` and :func:`record_signatures`, and stand in
``docs/vectors/recorded.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from myclerk_protocol import header, keys
from myclerk_protocol.environment import Environment
from myclerk_protocol.keys import Direction
from myclerk_protocol.mesh.profiles import Identity
from myclerk_protocol.schema import MapType, Schema
from myclerk_protocol.seal import Aead, Sealer

VECTORS = Path(__file__).parent.parent / "docs" / "vectors"
RECORDED = VECTORS / "recorded.json"
WALL = 0x6B49D200
"""The agent's clock in every vector, in Unix seconds."""
CLIENT_AHEAD = -7200
"""The client's clock is two hours behind: clocks may differ by any amount."""

CREATED = 1_700_000_000.0
"""When the profiles were made, in Unix seconds."""

Document = dict[str, Any]


def octets(label: str, size: int) -> bytes:
    """Fixed bytes that stand for random ones: SHAKE-256 of the label."""
    return hashlib.shake_256(label.encode()).digest(size)


def environment(*draws: bytes, wall: float = WALL) -> Environment:
    """An environment whose randomness is ``draws``, in this order, and whose clocks stand still."""
    left = list(draws)

    def random(size: int) -> bytes:
        drawn = left.pop(0)
        assert len(drawn) == size, f"{size} bytes were asked for, the next draw has {len(drawn)}"
        return drawn

    return Environment(random, lambda: wall, lambda: 0.0)


def recorded() -> dict[str, Any]:
    """What ``recorded.json`` holds."""
    values: dict[str, Any] = json.loads(RECORDED.read_text("utf-8"))
    return values


class RecordedKem:
    """An ML-KEM-768 provider that replays one recorded exchange and refuses any other."""

    name = "recorded"

    def __init__(self, values: Mapping[str, str]) -> None:
        self.public, self.ciphertext, self.secret = (
            bytes.fromhex(values[name]) for name in ("encapsulation-key", "ciphertext", "shared-secret")
        )

    def keygen(self) -> tuple[bytes, object]:
        """The recorded encapsulation key; there is no private key, as :meth:`decapsulate` needs none."""
        return self.public, None

    def encapsulate(self, key: bytes) -> tuple[bytes, bytes]:
        """The recorded ciphertext and secret."""
        assert key == self.public
        return self.ciphertext, self.secret

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """The recorded secret."""
        assert ciphertext == self.ciphertext
        return self.secret


def identity(kind: str) -> Identity:
    """The agent ("host") or the client ("device") of all vectors, without an ML-DSA-65 key."""
    seed = octets(f"{kind} Ed448 seed", 57)
    return Identity.create(kind, f"vector {kind}", lambda size: seed, CREATED, with_pq=False)


def rule(name: str) -> MapType:
    """A map of the payload schema."""
    return Schema.load().map(name)


def traffic(key: bytes, direction: Direction) -> Document:
    """The traffic keys of one direction as vectors show them."""
    derived = keys.traffic(key, direction)
    return {"direction": int(direction), "key": derived.key.hex(), "random": f"{derived.random:08x}"}


def both_traffic(key: bytes) -> Document:
    """The traffic keys of both directions."""
    return {"client": traffic(key, Direction.CLIENT), "agent": traffic(key, Direction.AGENT)}


def sealed(
    key: bytes,
    direction: Direction,
    *,
    session_id: int,
    opcode: int,
    payload: bytes,
    counter: int = 0,
    aead: Aead = Aead.CHACHA20,
    version: int = 1,
    tier: int = 3,
    request_id: int = 0,
    timestamp: int = WALL,
    push: bool = False,
    compressed: bool = False,
    key_id: int = 1,
) -> Document:
    """One sealed message with everything it takes to make it; ``key`` is the epoch's."""
    traffic_keys = keys.traffic(key, direction)
    sealer = Sealer(aead, traffic_keys, key_id)
    sealer.messages = counter
    message = sealer.seal(version, tier, opcode, session_id, request_id, timestamp, payload, push, compressed)
    size = header.header_size(tier, version)
    associated = message[:14] + message[30:size] if tier == 5 else message[:size]
    return {
        "aead": aead.name.lower(),
        "direction": int(direction),
        "version": version,
        "tier": tier,
        "compressed": compressed,
        "push": push,
        "opcode": opcode,
        "session-id": session_id,
        "request-id": request_id if version else None,
        "timestamp": timestamp,
        "key-id": key_id,
        "counter": counter,
        "traffic-key": traffic_keys.key.hex(),
        "random": f"{traffic_keys.random:08x}",
        "nonce": keys.nonce(timestamp, traffic_keys.random, counter).hex(),
        "associated-data": associated.hex(),
        "payload": payload.hex(),
        "message": message.hex(),
    }


def record_kem() -> Document:
    """New ML-KEM-768 key pairs, each with an encapsulation. Needs ``cryptography`` 48 or newer."""
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

    exchanges = {}
    for name in ("handshake", "rotation"):
        seed = os.urandom(64)
        public = MLKEM768PrivateKey.from_seed_bytes(seed).public_key()
        secret, ciphertext = public.encapsulate()
        exchanges[name] = {
            "seed": seed.hex(),
            "encapsulation-key": public.public_bytes_raw().hex(),
            "ciphertext": ciphertext.hex(),
            "shared-secret": secret.hex(),
        }
    return exchanges


def record_signatures(messages: Mapping[str, bytes]) -> Document:
    """New ML-DSA-65 keys, each with a signature. Needs ``cryptography`` 48 or newer."""
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

    signatures = {}
    for name, message in messages.items():
        seed = os.urandom(32)
        private = MLDSA65PrivateKey.from_seed_bytes(seed)
        signatures[name] = {
            "seed": seed.hex(),
            "public-key": private.public_key().public_bytes_raw().hex(),
            "message": message.hex(),
            "signature": private.sign(message).hex(),
        }
    return signatures
