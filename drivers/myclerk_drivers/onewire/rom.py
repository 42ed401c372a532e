"""ROM codes: how Linux writes them, whether they are intact, and what their family says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from ..models.onewire import crc8, rom_code

FAMILIES: Mapping[int, str] = MappingProxyType({
    0x01: "DS1990A", 0x05: "DS2405", 0x09: "DS2502", 0x10: "DS18S20", 0x12: "DS2406", 0x14: "DS2430A",
    0x19: "DS28E17", 0x1C: "DS28E04", 0x1D: "DS2423", 0x20: "DS2450", 0x22: "DS1822", 0x23: "DS2433",
    0x26: "DS2438", 0x28: "DS18B20", 0x29: "DS2408", 0x2D: "DS2431", 0x3A: "DS2413", 0x3B: "DS1825",
    0x42: "DS28EA00", 0x43: "DS28EC20", 0x81: "DS1420", 0x85: "DS28EC20",
})  # fmt: skip
"""Family code -> the best known part of that family (drivers/w1/slaves of the kernel; application note 155)."""

STRAPPED = 0x1C
"""DS28E04: pins set the low seven bits of its serial number, its CRC is that of all seven set."""

_NAME = re.compile(r"([0-9a-f]{2})-([0-9a-f]{12})")


def code_of(rom: str) -> bytes:
    """The 8 bytes of "28-0000075f4d2c". Raises ValueError for what is no such name."""
    match = _NAME.fullmatch(rom.lower())
    if match is None:
        raise ValueError(f"{rom!r} is no ROM code; write it as Linux does: 28-0000075f4d2c")
    return rom_code(int(match[1], 16), int(match[2], 16))


def rom_of(code: bytes) -> str:
    """How Linux writes a ROM code: family and serial number, without the CRC."""
    return f"{code[0]:02x}-{int.from_bytes(code[1:7], 'little'):012x}"


def is_intact(code: bytes) -> bool:
    """Whether the CRC of a ROM code is right and it is not all zeros, as from a line held low."""
    if code[0] == STRAPPED:
        code = bytes([code[0], code[1] | 0x7F, *code[2:]])
    return any(code) and crc8(code) == 0
