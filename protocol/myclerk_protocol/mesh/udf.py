"""Uniform Data Fingerprints: the base32 names of keys and messages, and the form of PINs and nonces.

A UDF is base32 over a type byte and data in groups of four, as in ``MC44-IZC3-IWZT-VCVZ-L2AG-HI4E-LOV2``.
A fingerprint is cut to 140 bits: 28 characters, 34 with the hyphens. docs/protocol.md; the rules were
checked against the examples of the Mesh drafts (Part II and Part IV).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from ..status import BadRequest


class Kind(IntEnum):
    """Type bytes. The two digests leave room for 1 to 4 above them: proof of trailing zero bits."""

    AUTHENTICATOR = 0
    ENCRYPTION_KEY = 32
    SHA3_512 = 80
    SHA2_512 = 96
    NONCE = 104


FINGERPRINT_BITS = 140
FINGERPRINT_CHARACTERS = 28
FINGERPRINT_BYTES = 16
"""Data bytes that 28 characters hold beside the type; the last 4 bits fill no byte and are dropped."""

MAXIMUM_CHARACTERS = 128
COMPRESSION_BITS = (20, 30, 40, 50)

_BASE32 = re.compile(r"[A-Z2-7]+", re.ASCII)
_GROUPED = re.compile(r"[A-Za-z0-9]{4}(-[A-Za-z0-9]{4})*(-[A-Za-z0-9]{1,4})?", re.ASCII)

_ALGORITHMS = {"Ed448": bytes.fromhex("300706032b65710500"), "X448": bytes.fromhex("300706032b656f0500")}
_KEY_SIZE = 57


def present(kind: int, data: bytes, bits: int = FINGERPRINT_BITS) -> str:
    """Type byte ‖ ``data``, cut to ``bits`` (a multiple of 5) where it is longer, with hyphens."""
    text = base64.b32encode(bytes([kind]) + data).decode("ascii").rstrip("=")
    return grouped(text[: bits // 5])


def compact(udf: str) -> str:
    """``udf`` in upper case without hyphens; takes either case, hyphens at every fourth place or none.

    Raises BadRequest for everything that is no UDF. The sentence does not quote it: it may be a PIN.
    """
    if len(udf) > MAXIMUM_CHARACTERS:
        raise BadRequest(f"a fingerprint or PIN has at most {MAXIMUM_CHARACTERS} characters")
    if not udf.isascii() or ("-" in udf and not _GROUPED.fullmatch(udf)):
        raise BadRequest("a fingerprint or PIN is letters and digits, with hyphens between groups of four")
    text = udf.replace("-", "").upper()
    if not _BASE32.fullmatch(text):
        raise BadRequest("a fingerprint or PIN has the letters A-Z and the digits 2-7 only")
    if len(text) < 4 or len(text) % 8 in (1, 3, 6):
        raise BadRequest("a fingerprint or PIN is incomplete: characters are missing or too many")
    return text


def grouped(text: str) -> str:
    """A compact UDF with its hyphens: 34 characters for a fingerprint."""
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def parse(udf: str) -> tuple[int, bytes]:
    """Type byte and data bytes; the spare bits that fill no byte are dropped. Raises BadRequest."""
    text = compact(udf)
    raw = base64.b32decode(text + "A" * (-len(text) % 8))[: len(text) * 5 // 8]
    return raw[0], raw[1:]


def check_fingerprint(text: str) -> str:
    """``text`` if it is a key fingerprint as the wire has it: 28 characters, upper case, no hyphens.

    Raises BadRequest otherwise, also for a UDF that is no SHA-2-512 digest.
    """
    if len(text) != FINGERPRINT_CHARACTERS or compact(text) != text:
        raise BadRequest("a fingerprint here is 28 characters in upper case without hyphens")
    if not Kind.SHA2_512 <= parse(text)[0] <= Kind.SHA2_512 + len(COMPRESSION_BITS):
        raise BadRequest("this is not the fingerprint of a key: those begin with M")
    return text


def fingerprint_bytes(udf: str) -> bytes:
    """The 16 data bytes of a 28-character UDF, with or without hyphens. Raises BadRequest."""
    _, data = parse(udf)
    if len(data) != FINGERPRINT_BYTES:
        raise BadRequest("a fingerprint has 28 characters")
    return data


def same(a: str, b: str) -> bool:
    """Whether two UDFs are the same text but for case and hyphens, in constant time. Raises BadRequest."""
    return hmac.compare_digest(compact(a), compact(b))


def content_digest(content_type: str, data: bytes, *, sha3: bool = False) -> str:
    """The fingerprint of ``data`` as ``content_type`` (an IANA media type, or ``PKIXKey``)."""
    value = _digest(hashlib.sha3_512 if sha3 else hashlib.sha512, content_type, data)
    return present((Kind.SHA3_512 if sha3 else Kind.SHA2_512) + compression(value), value)


def compression(digest: bytes) -> int:
    """What a digest's trailing zero bits add to its type byte: 0, or 1-4 from 20, 30, 40, 50 of them on."""
    number = int.from_bytes(digest, "big")
    zeros = (number & -number).bit_length() - 1 if number else len(digest) * 8
    return sum(zeros >= bits for bits in COMPRESSION_BITS)


def key_fingerprint(public: bytes, curve: str = "Ed448") -> str:
    """The fingerprint of a raw public key of ``curve`` "Ed448" or "X448", with hyphens.

    Both have 57 bytes: the Mesh writes an X448 key with an octet more than RFC 7748.

    Hashed is a SubjectPublicKeyInfo as the Mesh writes it: NULL parameters, and the key in an OCTET STRING
    inside the BIT STRING (RFC 8410 has neither). Raises BadRequest for a key of another curve or length.
    """
    return content_digest("PKIXKey", _key_info(public, curve))


def key_digest(public: bytes, curve: str = "Ed448") -> bytes:
    """The fingerprint of a public key in binary, cut to 64 bytes (type byte and digest), as witnesses use it.

    Raises as :func:`key_fingerprint`.
    """
    value = _digest(hashlib.sha512, "PKIXKey", _key_info(public, curve))
    return (bytes([Kind.SHA2_512 + compression(value)]) + value)[:64]


def nonce(random: Callable[[int], bytes]) -> str:
    """A fresh message id: 128 random bits as a UDF of type 104."""
    return present(Kind.NONCE, random(FINGERPRINT_BYTES))


def envelope_id(message_id: str) -> str:
    """The EnvelopeId of the envelope around a message (Mesh Part IV section 6.2). Raises BadRequest."""
    return _derived_id(message_id, "application/mmm/envelopeid")


def response_id(message_id: str) -> str:
    """The MessageId of the response to a message (Mesh Part IV section 6.2). Raises BadRequest."""
    return _derived_id(message_id, "application/mmm/responseid")


def _derived_id(message_id: str, content_type: str) -> str:
    kind, data = parse(message_id)
    sha3 = Kind.SHA3_512 <= kind <= Kind.SHA3_512 + len(COMPRESSION_BITS)
    return content_digest(content_type, data, sha3=sha3)


def _digest(digest: Callable[..., Any], content_type: str, data: bytes) -> bytes:
    value: bytes = digest(content_type.encode() + b":" + digest(data).digest()).digest()
    return value


def _key_info(public: bytes, curve: str) -> bytes:
    if curve not in _ALGORITHMS or len(public) != _KEY_SIZE:
        raise BadRequest(f"not a public key of {' or '.join(_ALGORITHMS)}, {_KEY_SIZE} bytes")
    return _der(0x30, _ALGORITHMS[curve] + _der(0x03, b"\x00" + _der(0x04, public)))


def _der(tag: int, content: bytes) -> bytes:
    """A DER element of fewer than 128 content bytes."""
    return bytes([tag, len(content)]) + content
