"""Headers and unsealed messages: layouts of docs/protocol.md, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol.header import (
    Header,
    crc16,
    decode,
    decode_plain,
    encode,
    encode_plain,
    first_byte,
    header_size,
    parse_first_byte,
)
from myclerk_protocol.status import LocalError, MalformedMessage

TAG = "00" * 16
FIELDS = {
    0: {},
    1: {"opcode": 0x0624, "sequence": 0x07},
    2: {"opcode": 0x0624, "sequence": 0x07, "session_id": 0x1234},
    3: {"opcode": 0x0624, "sequence": 7, "session_id": 0x1234, "timestamp": 0x65A0BC01, "nonce": 0xBEEF},
}
FIELDS[4] = FIELDS[5] = {**FIELDS[3], "key_id": 0x0102}

# tier, version, encrypted, the header's bytes: first | opcode sequence | session | time nonce | key id | ...
VECTORS = [
    (0, 0, False, "00"),
    (0, 1, False, "40 0a0b0c0d"),
    (1, 0, False, "08 0624 07"),
    (1, 1, False, "48 0624 07 0a0b0c0d"),
    (2, 0, False, "10 0624 07 1234"),
    (2, 1, False, "50 0624 07 1234 0a0b0c0d"),
    (3, 0, True, "19 0624 07 1234 65a0bc01 beef"),
    (3, 1, True, "59 0624 07 1234 65a0bc01 beef 0a0b0c0d"),
    (4, 0, False, "20 0624 07 1234 65a0bc01 beef 0102"),
    (4, 1, False, "60 0624 07 1234 65a0bc01 beef 0102 0a0b0c0d"),
    (4, 0, True, "21 0624 07 1234 65a0bc01 beef 0102"),
    (4, 1, True, "61 0624 07 1234 65a0bc01 beef 0102 0a0b0c0d"),
    (5, 0, True, "29 0624 07 1234 65a0bc01 beef 0102" + TAG),
    (5, 1, True, "69 0624 07 1234 65a0bc01 beef 0102" + TAG + "0a0b0c0d"),
]

# Every first byte that exists, from the table of section 1: tiers 0-2 without E, 3 and 5 with E, 4 with both.
VALID_FIRST_BYTES = {
    version + byte
    for version in (0x00, 0x40)
    for byte in (
        *(0x00, 0x02, 0x04, 0x06),
        *(0x08, 0x0A, 0x0C, 0x0E),
        *(0x10, 0x12, 0x14, 0x16),
        *(0x19, 0x1B, 0x1D, 0x1F),
        *(0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27),
        *(0x29, 0x2B, 0x2D, 0x2F),
    )
}


def header_of(tier: int, version: int, encrypted: bool) -> Header:
    header = Header(version, tier, encrypted=encrypted, request_id=0x0A0B0C0D if version else 0)
    for name, value in FIELDS[tier].items():
        setattr(header, name, value)
    return header


@pytest.mark.parametrize(("tier", "version", "encrypted", "expected"), VECTORS)
def test_header_bytes(tier: int, version: int, encrypted: bool, expected: str) -> None:
    header = header_of(tier, version, encrypted)
    sent = bytes.fromhex(expected)
    assert encode(header) == sent
    assert decode(sent + b"payload") == (header, len(sent))
    assert decode(memoryview(sent)) == (header, len(sent))
    assert header_size(tier, version) == len(sent)


def test_header_sizes_of_the_profile() -> None:
    assert [header_size(tier, 0) for tier in range(6)] == [1, 4, 6, 12, 14, 30]
    assert [header_size(tier, 1) for tier in range(6)] == [5, 8, 10, 16, 18, 34]


@pytest.mark.parametrize(("tier", "version"), [(6, 0), (7, 1), (-1, 1), (3, 2), (0, -1)])
def test_there_are_no_other_sizes(tier: int, version: int) -> None:
    with pytest.raises(LocalError):
        header_size(tier, version)


def test_each_tier_5_tag_is_skipped() -> None:
    sent = bytes.fromhex("69 0624 07 1234 65a0bc01 beef 0102" + "ff" * 16 + "0a0b0c0d")
    assert decode(sent) == (header_of(5, 1, True), 34)


@pytest.mark.parametrize(
    ("byte", "flags"),
    [
        (0x00, (0, 0, False, False, False)),
        (0x42, (1, 0, False, True, False)),
        (0x0C, (0, 1, True, False, False)),
        (0x59, (1, 3, False, False, True)),
        (0x66, (1, 4, True, True, False)),
        (0x2F, (0, 5, True, True, True)),
    ],
)
def test_first_bytes(byte: int, flags: tuple[int, int, bool, bool, bool]) -> None:
    assert parse_first_byte(byte) == flags
    assert first_byte(*flags) == byte


@pytest.mark.parametrize("byte", range(256))
def test_every_first_byte_is_accepted_or_refused_as_the_profile_says(byte: int) -> None:
    message = bytes([byte]) + bytes(40)
    if byte in VALID_FIRST_BYTES:
        assert encode(decode(message)[0])[0] == byte
        return
    with pytest.raises(MalformedMessage):
        parse_first_byte(byte)
    with pytest.raises(MalformedMessage):
        decode(message)
    with pytest.raises(MalformedMessage):
        decode_plain(message)


@pytest.mark.parametrize(
    ("version", "tier", "encrypted"),
    [
        (2, 1, False),
        (-1, 1, False),
        (1, 6, False),
        (1, -1, False),
        (1, 2, True),
        (1, 3, False),
        (0, 5, False),
    ],
)
def test_headers_that_do_not_exist_are_not_encoded(version: int, tier: int, encrypted: bool) -> None:
    with pytest.raises(LocalError):
        encode(Header(version, tier, encrypted=encrypted))


@pytest.mark.parametrize(
    "field",
    [
        {"opcode": 0x10000},
        {"opcode": -1},
        {"sequence": 0x100},
        {"session_id": 0x10000},
        {"timestamp": 1 << 32},
        {"nonce": 0x10000},
        {"key_id": 0x10000},
        {"request_id": 1 << 32},
    ],
)
def test_fields_out_of_range_are_not_encoded(field: dict[str, int]) -> None:
    with pytest.raises(LocalError):
        encode(Header(1, 4, **field))  # type: ignore[arg-type]


@pytest.mark.parametrize(("tier", "version", "encrypted", "expected"), VECTORS)
def test_headers_cut_short_are_malformed(tier: int, version: int, encrypted: bool, expected: str) -> None:
    sent = bytes.fromhex(expected)
    for length in range(len(sent)):
        with pytest.raises(MalformedMessage):
            decode(sent[:length])


def test_crc_check_value() -> None:
    """The check value that docs/protocol.md gives for CRC-16/CCITT-FALSE."""
    assert crc16(b"123456789") == 0x29B1
    assert crc16(memoryview(b"123456789")) == 0x29B1


# The CRCs (8f07, 2ea2) were computed bit by bit from the polynomial.
PLAIN = [
    (0, 0, "00" "81a26f6b01"),
    (0, 1, "40 0a0b0c0d" "81a26f6b01"),
    (1, 0, "08 0624 07" "81a26f6b01"),
    (1, 1, "48 0624 07 0a0b0c0d" "81a26f6b01"),
    (2, 0, "10 0624 07 1234" "81a26f6b01" "8f07"),
    (2, 1, "50 0624 07 1234 0a0b0c0d" "81a26f6b01" "2ea2"),
    (4, 0, "20 0624 07 1234 65a0bc01 beef 0102" "81a26f6b01"),
    (4, 1, "60 0624 07 1234 65a0bc01 beef 0102 0a0b0c0d" "81a26f6b01"),
]  # fmt: skip


@pytest.mark.parametrize(("tier", "version", "expected"), PLAIN)
def test_unsealed_messages(tier: int, version: int, expected: str) -> None:
    header = header_of(tier, version, False)
    payload = bytes.fromhex("81a26f6b01")
    sent = bytes.fromhex(expected)
    assert encode_plain(header, payload) == sent
    assert encode_plain(header, memoryview(payload)) == sent
    assert decode_plain(sent) == (header, payload)
    assert decode_plain(memoryview(sent)) == (header, payload)


@pytest.mark.parametrize("version", [0, 1])
def test_any_damage_to_a_tier_2_message_is_noticed(version: int) -> None:
    sent = encode_plain(header_of(2, version, False), b"payload")
    for position in range(1, len(sent)):
        for bit in range(8):
            damaged = bytearray(sent)
            damaged[position] ^= 1 << bit
            with pytest.raises(MalformedMessage):
                decode_plain(bytes(damaged))


def test_a_tier_2_message_without_room_for_its_crc_is_malformed() -> None:
    header = bytes.fromhex("10 0624 07 1234")
    for trailer in (b"", b"\x00"):
        with pytest.raises(MalformedMessage):
            decode_plain(header + trailer)
    assert decode_plain(encode_plain(header_of(2, 0, False)))[1] == b""


def test_a_tier_2_header_is_not_taken_for_its_own_crc() -> None:
    start = bytes.fromhex("10 0624 07")
    with pytest.raises(MalformedMessage):
        decode_plain(start + crc16(start).to_bytes(2, "big"))


@pytest.mark.parametrize("first", ["19", "59", "21", "61", "29", "69"])
def test_an_encrypted_message_is_not_read_without_a_key(first: str) -> None:
    with pytest.raises(MalformedMessage):
        decode_plain(bytes.fromhex(first) + bytes(60))


def test_an_encrypted_message_is_not_made_without_a_key() -> None:
    with pytest.raises(LocalError):
        encode_plain(Header(1, 4, encrypted=True), b"secret")


def test_no_message_is_empty() -> None:
    with pytest.raises(MalformedMessage):
        decode(b"")
    with pytest.raises(MalformedMessage):
        decode_plain(memoryview(b""))


@st.composite
def headers(draw: st.DrawFn, tiers: tuple[int, ...] = (0, 1, 2, 3, 4, 5)) -> Header:
    tier = draw(st.sampled_from(tiers))
    version = draw(st.integers(0, 1))
    encrypted = tier in (3, 5) or (tier == 4 and len(tiers) == 6 and draw(st.booleans()))
    header = Header(version, tier, draw(st.booleans()), draw(st.booleans()), encrypted)
    widths = {"opcode": 16, "sequence": 8, "session_id": 16, "timestamp": 32, "nonce": 16, "key_id": 16}
    for name in FIELDS[tier]:
        setattr(header, name, draw(st.integers(0, (1 << widths[name]) - 1)))
    if version:
        header.request_id = draw(st.integers(0, (1 << 32) - 1))
    return header


@given(headers(), st.binary(max_size=40))
def test_headers_survive_the_wire(header: Header, rest: bytes) -> None:
    sent = encode(header)
    assert decode(sent + rest) == (header, len(sent))


@given(headers(tiers=(0, 1, 2, 4)), st.binary(max_size=200))
def test_unsealed_messages_survive_the_wire(header: Header, payload: bytes) -> None:
    assert decode_plain(encode_plain(header, payload)) == (header, payload)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        header, payload = decode_plain(data)
    except MalformedMessage:
        return
    assert encode_plain(header, payload) == data
