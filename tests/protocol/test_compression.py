"""Compressed payloads (docs/protocol.md, Compression; the frame format is RFC 8878)."""

from __future__ import annotations

import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol import compression
from myclerk_protocol.compression import MINIMUM_SIZE, compress, decompress
from myclerk_protocol.status import BadRequest, LocalError

LIMIT = 1 << 20
TEXT = b"hardware passthrough " * 200
SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"\x00\x04\x00\x00"  # RFC 8878 section 3.1.2


def rle_frame(declared: int, content: int, dictionary: int | None = None) -> bytes:
    """A frame that declares one content size (8 bytes) and holds one RLE block of another (section 3.1.1)."""
    descriptor = 0b11_0_00000 | (dictionary is not None)
    window = 10 << 3  # 1 MiB
    header = bytes([descriptor, window]) + (b"" if dictionary is None else bytes([dictionary]))
    block = content << 3 | 1 << 1 | 1
    return b"\x28\xb5\x2f\xfd" + header + struct.pack("<Q", declared) + struct.pack("<I", block)[:3] + b"a"


def test_compressed_payloads_come_back() -> None:
    compressed = compress(TEXT)
    assert len(compressed) < len(TEXT) // 10
    assert decompress(compressed, LIMIT) == TEXT
    assert decompress(memoryview(compressed), LIMIT) == TEXT
    assert compress(memoryview(TEXT)) == compressed


def test_the_frame_says_its_size_and_uses_no_dictionary() -> None:
    compressed = compress(TEXT)
    parameters = zstandard.get_frame_parameters(compressed)
    assert compressed[:4] == b"\x28\xb5\x2f\xfd"
    assert parameters.content_size == len(TEXT)
    assert parameters.dict_id == 0


def test_a_hand_made_frame_is_understood() -> None:
    assert decompress(rle_frame(5000, 5000), LIMIT) == b"a" * 5000


@given(st.binary(max_size=2000).map(lambda data: data + bytes(MINIMUM_SIZE)))
def test_any_payload_comes_back(payload: bytes) -> None:
    assert decompress(compress(payload), LIMIT) == payload


def test_a_payload_below_1024_bytes_is_never_compressed() -> None:
    with pytest.raises(LocalError):
        compress(bytes(MINIMUM_SIZE - 1))
    assert decompress(compress(bytes(MINIMUM_SIZE)), LIMIT) == bytes(MINIMUM_SIZE)


def test_content_as_large_as_the_limit_is_fine() -> None:
    assert decompress(compress(TEXT), len(TEXT)) == TEXT
    with pytest.raises(BadRequest):
        decompress(compress(TEXT), len(TEXT) - 1)


GOOD = compress(TEXT)
NOT_A_FRAME = "does not begin with a zstd frame"
NOT_WHOLE = "not one whole zstd frame"
HOSTILE = {
    "empty": (b"", NOT_A_FRAME),
    "not zstd": (b"\x81\xa4data\xc4\x00" * 200, NOT_A_FRAME),
    "magic number alone": (GOOD[:4], "no readable zstd header"),
    "header cut short": (GOOD[:5], "no readable zstd header"),
    "no content size": (zstandard.ZstdCompressor(write_content_size=False).compress(TEXT), "does not say"),
    "one byte behind it": (GOOD + b"\x00", NOT_WHOLE),
    "a second frame behind it": (GOOD + GOOD, NOT_WHOLE),
    "a skippable frame behind it": (GOOD + SKIPPABLE, NOT_WHOLE),
    "a skippable frame before it": (SKIPPABLE + GOOD, NOT_A_FRAME),
    "a skippable frame alone": (b"\x50\x2a\x4d\x18" + struct.pack("<I", 2000) + bytes(2000), NOT_A_FRAME),
    "cut short": (GOOD[:-1], NOT_WHOLE),
    "larger than it says": (rle_frame(2000, 5000), NOT_WHOLE),
    "smaller than it says": (rle_frame(5000, 2000), NOT_WHOLE),
    "a dictionary": (rle_frame(5000, 5000, dictionary=7), "needs a dictionary"),
    "below 1,024 bytes": (rle_frame(1023, 1023), "below 1024 bytes are not compressed"),
    "no bytes": (zstandard.compress(b""), "below 1024 bytes are not compressed"),
    "no bytes and junk": (zstandard.compress(b"") + b"junk", "below 1024 bytes are not compressed"),
    "a petabyte": (rle_frame(1 << 50, 5000), "holds 1125899906842624 bytes, above"),
    "the largest size": (rle_frame((1 << 64) - 3, 5000), "above"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_payloads_are_bad_requests(name: str) -> None:
    payload, reason = HOSTILE[name]
    with pytest.raises(BadRequest, match=reason):
        decompress(payload, LIMIT)
    with pytest.raises(BadRequest, match=reason):
        decompress(memoryview(payload), LIMIT)
    assert decompress(GOOD, LIMIT) == TEXT


def test_every_flipped_byte_is_refused_or_decodes_to_the_declared_size() -> None:
    for position in range(len(GOOD)):
        damaged = bytearray(GOOD)
        damaged[position] ^= 0xFF
        try:
            content = decompress(bytes(damaged), LIMIT)
        except BadRequest:
            continue
        assert len(content) == zstandard.frame_content_size(bytes(damaged))


def test_threads_do_not_share_a_context() -> None:
    payloads = [bytes([number]) * 50_000 + os.urandom(50_000) for number in range(32)]
    with ThreadPoolExecutor(8) as pool:
        compressed = list(pool.map(compress, payloads))
        assert list(pool.map(lambda frame: decompress(frame, LIMIT), compressed)) == payloads


def test_without_zstandard(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compression.available()
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert not compression.available()
    with pytest.raises(LocalError, match="zstandard"):
        compress(TEXT)
    with pytest.raises(LocalError, match="zstandard"):
        decompress(GOOD, LIMIT)
