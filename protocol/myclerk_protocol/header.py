"""Headers of all tiers and both versions, and whole messages without encryption (docs/protocol.md).

The layouts are table data. Sealed messages are made and opened in :mod:`myclerk_protocol.seal`.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass
from typing import NamedTuple

from .status import LocalError, MalformedMessage

TAG_SIZE = 16
"""Bytes of a Poly1305 or GCM tag."""

_CRC = struct.Struct(">H")

# First byte, opcode, sequence | session id | timestamp, nonce | key id | room for tier 5's tag.
_FORMATS = ("B", "BHB", "BHBH", "BHBHIH", "BHBHIHH", f"BHBHIHH{TAG_SIZE}x")
_LAYOUTS = (
    tuple(struct.Struct(f">{fields}") for fields in _FORMATS),
    tuple(struct.Struct(f">{fields}I") for fields in _FORMATS),
)
# How many of opcode, sequence, session id, timestamp, nonce, key id a tier has.
_FIELD_COUNTS = (0, 2, 3, 5, 6, 6)


class Flags(NamedTuple):
    """The first byte ``VV TTT C S E`` taken apart."""

    version: int
    tier: int
    compressed: bool
    push: bool
    encrypted: bool


@dataclass(slots=True)
class Header:
    """A header's fields. What the tier or version does not have is 0 when decoded and not sent.

    ``opcode``, ``session_id``, ``nonce`` and ``key_id`` (the Key ID's low bits) have 16 bits, ``sequence`` 8,
    ``timestamp`` (seconds modulo 2**32) and ``request_id`` 32.
    """

    version: int
    tier: int
    compressed: bool = False
    push: bool = False
    encrypted: bool = False
    opcode: int = 0
    sequence: int = 0
    session_id: int = 0
    timestamp: int = 0
    nonce: int = 0
    key_id: int = 0
    request_id: int = 0


def _fault(version: int, tier: int, encrypted: bool) -> str | None:
    if version not in (0, 1):
        return f"version {version} is unknown"
    if not 0 <= tier <= 5:
        return f"tier {tier} is unknown"
    if encrypted and tier <= 2:
        return f"tier {tier} is never encrypted"
    if not encrypted and tier in (3, 5):
        return f"tier {tier} is always encrypted"
    return None


def _flags(first: int) -> Flags:
    return Flags(first >> 6, first >> 3 & 7, bool(first & 4), bool(first & 2), bool(first & 1))


_FLAGS = tuple(_flags(first) for first in range(256))
_FAULTS = tuple(_fault(flags.version, flags.tier, flags.encrypted) for flags in _FLAGS)


def first_byte(
    version: int, tier: int, compressed: bool = False, push: bool = False, encrypted: bool = False
) -> int:
    """The first byte, 0-255. Raises LocalError for a version, tier or E that no message has."""
    fault = _fault(version, tier, encrypted)
    if fault:
        raise LocalError(fault)
    return version << 6 | tier << 3 | compressed << 2 | push << 1 | encrypted


def parse_first_byte(first: int) -> Flags:
    """Version, tier and flags of a first byte.

    Raises MalformedMessage for an unknown version or tier, E on tiers 0-2 and tiers 3 and 5 without E.
    """
    fault = _FAULTS[first]
    if fault:
        raise MalformedMessage(fault)
    return _FLAGS[first]


def header_size(tier: int, version: int) -> int:
    """Bytes of a header, tier 5's tag included: 1 (tier 0, version 0) to 34 (tier 5, version 1)."""
    if version not in (0, 1) or not 0 <= tier <= 5:
        raise LocalError(f"there is no tier {tier} in version {version}")
    return _LAYOUTS[version][tier].size


def encode(header: Header) -> bytes:
    """The header as sent; in tier 5 the tag's 16 bytes are 0, to be filled in by who seals.

    Raises LocalError for a field out of range.
    """
    first = first_byte(header.version, header.tier, header.compressed, header.push, header.encrypted)
    fields = (
        header.opcode,
        header.sequence,
        header.session_id,
        header.timestamp,
        header.nonce,
        header.key_id,
    )[: _FIELD_COUNTS[header.tier]]
    if header.version:
        fields += (header.request_id,)
    try:
        return _LAYOUTS[header.version][header.tier].pack(first, *fields)
    except struct.error as error:
        raise LocalError(f"a header field is out of range: {error}") from None


def decode(message: bytes | memoryview) -> tuple[Header, int]:
    """A message's header and its length in bytes, tier 5's tag included.

    Raises MalformedMessage for a message that is too short or has a wrong first byte.
    """
    if not message:
        raise MalformedMessage("the message is empty")
    flags = parse_first_byte(message[0])
    layout = _LAYOUTS[flags.version][flags.tier]
    if len(message) < layout.size:
        raise MalformedMessage(f"{len(message)} bytes are no tier {flags.tier} message")
    fields = layout.unpack_from(message)
    count = _FIELD_COUNTS[flags.tier]
    header = Header(*flags, *fields[1 : count + 1])
    if flags.version:
        header.request_id = fields[-1]
    return header, layout.size


def crc16(data: bytes | memoryview) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, no reflection, no final XOR."""
    return binascii.crc_hqx(data, 0xFFFF)


def encode_plain(header: Header, payload: bytes | memoryview = b"") -> bytes:
    """A whole message without encryption, tiers 0, 1, 2 (with its CRC) and 4 (the handshake).

    Raises LocalError for a header of any other kind.
    """
    if header.encrypted:
        raise LocalError("an encrypted message is sealed, not encoded")
    message = b"".join((encode(header), payload))
    return message + _CRC.pack(crc16(message)) if header.tier == 2 else message


def decode_plain(message: bytes | memoryview) -> tuple[Header, bytes | memoryview]:
    """Header and payload of a whole message without encryption; the payload is a slice of ``message``.

    Raises MalformedMessage for a message that is too short, has a wrong CRC or is encrypted.
    """
    header, size = decode(message)
    if header.encrypted:
        raise MalformedMessage("the message is encrypted and there is no key for it")
    if header.tier != 2:
        return header, message[size:]
    end = len(message) - _CRC.size
    if end < size:
        raise MalformedMessage("the message is too short for its CRC")
    if _CRC.unpack_from(message, end)[0] != crc16(message[:end]):
        raise MalformedMessage("the message's CRC is wrong")
    return header, message[size:end]
