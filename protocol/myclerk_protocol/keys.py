"""Every key derivation of the protocol (draft section 5; docs/protocol.md).

HKDF is RFC 5869 with SHA-256, Extract then Expand. Keys are 32 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from enum import IntEnum

from .status import LocalError

KEY_SIZE = 32
HASH_SIZE = 32

_COUNTER = struct.Struct(">I")
_NONCE = struct.Struct(">III")


class Direction(IntEnum):
    """Who sends; one byte in the derivations."""

    CLIENT = 0
    AGENT = 1


@dataclass(frozen=True, slots=True)
class TrafficKeys:
    """What one direction of one epoch seals with: an AEAD key (32 bytes) and R, the nonce's 32-bit base."""

    key: bytes = field(repr=False)
    random: int = field(repr=False)


def hkdf_extract(salt: bytes, secret: bytes) -> bytes:
    """HKDF-Extract of RFC 5869 section 2.2: a pseudorandom key of 32 bytes."""
    return hmac.digest(salt, secret, "sha256")


def hkdf_expand(pseudorandom_key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand of RFC 5869 section 2.3. Raises LocalError for more than 255 * 32 bytes."""
    if length > 255 * HASH_SIZE:
        raise LocalError(f"HKDF gives at most {255 * HASH_SIZE} bytes, not {length}")
    output = block = b""
    for number in range(1, -(-length // HASH_SIZE) + 1):
        block = hmac.digest(pseudorandom_key, block + info + bytes((number,)), "sha256")
        output += block
    return output[:length]


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF(IKM, salt, info, L) with SHA-256: Extract, then Expand."""
    return hkdf_expand(hkdf_extract(salt, secret), info, length)


def session_key(shared: bytes, nonce_initiator: bytes, nonce_responder: bytes, transcript: bytes) -> bytes:
    """The first epoch's key (draft sections 5.1 and 5.2).

    ``shared`` is X25519 ‖ ML-KEM-768 (64 bytes, hybrid) or X25519 alone (32 bytes, classical), the nonces are
    8 bytes each, ``transcript`` is SHA-256 over SESSION_INIT ‖ SESSION_ACK. Raises LocalError for another
    length of ``shared``.
    """
    labels = {64: b"myclerk-session-v1-hybrid", 32: b"myclerk-session-v1-classical"}
    label = labels.get(len(shared))
    if label is None:
        raise LocalError(f"a shared secret has 32 or 64 bytes, not {len(shared)}")
    return hkdf_sha256(shared, nonce_initiator + nonce_responder, label + transcript, KEY_SIZE)


def resumed_key(
    ticket_key: bytes, shared: bytes, nonce_initiator: bytes, nonce_responder: bytes, transcript: bytes
) -> bytes:
    """The first epoch's key of a resumed session.

    ``ticket_key`` comes from :func:`resume_secret`, ``shared`` is X25519's output, ``transcript`` is SHA-256
    over SESSION_RESUME ‖ SESSION_RESUMED.
    """
    info = b"myclerk-session-v1-resume" + transcript
    return hkdf_sha256(ticket_key + shared, nonce_initiator + nonce_responder, info, KEY_SIZE)


def resume_secret(key: bytes, transcript: bytes) -> bytes:
    """The key inside a ticket, from the epoch key at issue and the transcript of the session's handshake."""
    return hkdf_sha256(key, b"resume", transcript, KEY_SIZE)


def rotated_key(key: bytes, counter: int) -> bytes:
    """The next epoch's key (draft section 5.3); ``counter`` is the rotation counter, 1 for the first."""
    return hkdf_sha256(key, b"rotate", _COUNTER.pack(counter), KEY_SIZE)


def fresh_key(key: bytes, shared: bytes, counter: int, request: bytes, response: bytes) -> bytes:
    """The next epoch's key with fresh secrets mixed in.

    ``shared`` is X25519 [‖ ML-KEM-768] in the session's mode; ``request`` and ``response`` are the payloads
    of KEY_EXCHANGE_INIT and KEY_EXCHANGE_RESPONSE as sent.
    """
    info = _COUNTER.pack(counter) + hashlib.sha256(request + response).digest()
    return hkdf_sha256(key + shared, b"rotate", info, KEY_SIZE)


def traffic(key: bytes, direction: Direction) -> TrafficKeys:
    """What ``direction`` seals with in the epoch of ``key``."""
    return _split(hkdf_sha256(key, b"traffic", bytes((direction,)), KEY_SIZE + 4))


def udp_keys(key: bytes, direction: Direction, request_id: int) -> TrafficKeys:
    """What ``direction`` seals with on the UDP side path of the stream that ``request_id`` opened.

    ``key`` is that of the epoch in which the stream was opened (docs/protocol.md).
    """
    info = bytes((direction,)) + _COUNTER.pack(request_id)
    return _split(hkdf_sha256(key, b"udp", info, KEY_SIZE + 4))


def mac_key(key: bytes, direction: Direction) -> bytes:
    """The key of the HMAC trailers (docs/protocol.md)."""
    return hkdf_sha256(key, b"mac", bytes((direction,)), KEY_SIZE)


def nonce(timestamp: int, random: int, counter: int) -> bytes:
    """The 12-byte AEAD nonce of a message (draft section 4).

    ``random`` is R of the traffic keys; bits 8-23 of the counter are mixed into its low half.
    """
    return _NONCE.pack(timestamp, random ^ (counter >> 8 & 0xFFFF), counter)


def _split(material: bytes) -> TrafficKeys:
    return TrafficKeys(material[:KEY_SIZE], int.from_bytes(material[KEY_SIZE:], "big"))
