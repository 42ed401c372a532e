"""Septets in octets: the packing of SMS, of cell broadcast and of USSD (3GPP TS 23.038, section 6.1.2)."""

from __future__ import annotations

from collections.abc import Sequence

CARRIAGE_RETURN = 0x0D


def pack(septets: Sequence[int], fill_bits: int = 0) -> bytes:
    """Septets (0 to 127) one behind the other, least significant bit first, behind ``fill_bits`` zero bits (0 to 6).

    With a user data header the fill bits let the text begin on a septet boundary (3GPP TS 23.040, section 9.2.3.24).
    """
    bits = fill_bits
    value = 0
    for septet in septets:
        value |= septet << bits
        bits += 7
    return value.to_bytes((bits + 7) // 8, "little")


def unpack(data: bytes, count: int, fill_bits: int = 0) -> list[int]:
    """The ``count`` septets that ``data`` begins with; fewer if it is too short."""
    value = int.from_bytes(data, "little") >> fill_bits
    count = min(count, (len(data) * 8 - fill_bits) // 7)
    return [value >> 7 * at & 0x7F for at in range(max(count, 0))]


def pack_ussd(septets: Sequence[int]) -> bytes:
    """As :func:`pack`, but seven spare bits at the end are a carriage return, not an ``@`` (section 6.1.2.3.1)."""
    padded = list(septets)
    if len(padded) % 8 == 7 or (len(padded) and len(padded) % 8 == 0 and padded[-1] == CARRIAGE_RETURN):
        padded.append(CARRIAGE_RETURN)
    return pack(padded)


def unpack_ussd(data: bytes) -> list[int]:
    """The septets of a USSD string; a carriage return that only pads is taken off."""
    septets = unpack(data, len(data) * 8 // 7)
    if len(septets) % 8 == 0 and septets and septets[-1] == CARRIAGE_RETURN:
        septets.pop()
    return septets
