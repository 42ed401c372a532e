"""Strict MessagePack payloads: what is taken, and one test per thing that must not be (docs/protocol.md)."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from myclerk_protocol.payloads import MAXIMUM_DEPTH, pack, unpack
from myclerk_protocol.status import BadRequest, LocalError, Status


def in_map(value: bytes, key: str = "a") -> bytes:
    """The MessagePack of a map with one key, over a value that is packed already."""
    return b"\x81" + msgpack.packb(key) + value


# -- what is taken ---------------------------------------------------------------------------------------


def test_zero_bytes_are_the_empty_map() -> None:
    assert unpack(b"") == {}
    assert unpack(memoryview(b"")) == {}
    assert unpack(b"\x80") == {}


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_any_buffer_is_read(convert: Any) -> None:
    assert unpack(convert(msgpack.packb({"a": 1, "b": b"\0", "c": "x", "d": 1.5, "e": True}))) == {
        "a": 1, "b": b"\0", "c": "x", "d": 1.5, "e": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "packed",
    [
        "07",
        "cc07",
        "cd0007",
        "ce00000007",
        "cf0000000000000007",
        "d007",
        "d10007",
        "d200000007",
        "d30000000000000007",
    ],
)
def test_any_integer_width_is_the_same_integer(packed: str) -> None:
    value = unpack(in_map(bytes.fromhex(packed)))["a"]
    assert (type(value), value) == (int, 7)


@pytest.mark.parametrize("header", ["81", "de0001", "df00000001"])
def test_any_map_header_is_the_same_map(header: str) -> None:
    assert unpack(bytes.fromhex(header) + b"\xa1a\x01") == {"a": 1}


@pytest.mark.parametrize("header", ["a161", "d90161", "da000161", "db0000000161"])
def test_any_text_header_is_the_same_key(header: str) -> None:
    assert unpack(b"\x81" + bytes.fromhex(header) + b"\x01") == {"a": 1}


def test_nil_means_absent_at_every_level_of_maps() -> None:
    packed = msgpack.packb({"a": None, "b": {"c": None, "d": [{"e": None, "f": 1}]}, "g": 2})
    assert unpack(packed) == {"b": {"d": [{"f": 1}]}, "g": 2}


def test_nil_keeps_its_place_in_an_array() -> None:
    assert unpack(msgpack.packb({"a": [1, None, 2]})) == {"a": [1, None, 2]}


def test_a_key_with_nil_still_counts_as_there_once() -> None:
    with pytest.raises(BadRequest) as caught:
        unpack(b"\x82\xa1a\xc0\xa1a\x01")
    assert caught.value.details == {"key": "a"}


def test_more_than_fifteen_keys() -> None:
    values = {f"key-{n}": n for n in range(70000)}
    assert unpack(msgpack.packb(values)) == values


@pytest.mark.parametrize("size", [1, 15, 16, 1000, 70000])
def test_arrays_of_any_length(size: int) -> None:
    assert unpack(msgpack.packb({"a": list(range(size))})) == {"a": list(range(size))}


def nested(containers: int, innermost: Any = 1) -> dict[str, Any]:
    """A map in which that many containers are nested, maps and arrays in turn."""
    value = innermost
    for level in range(containers - 1):
        value = [value] if level % 2 else {"x": value}
    return {"deep": value}


@pytest.mark.parametrize("containers", range(1, MAXIMUM_DEPTH + 1))
def test_eight_nested_containers_are_allowed(containers: int) -> None:
    assert unpack(msgpack.packb(nested(containers))) == nested(containers)


text = st.text(max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | text
    | st.binary()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
)


def without_nil(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nil(item) for key, item in value.items() if item is not None}
    return [without_nil(item) for item in value] if isinstance(value, list) else value


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(st.dictionaries(text, values, max_size=20))
def test_what_was_packed_is_unpacked_or_is_too_deep(value: dict[str, Any]) -> None:
    if depth(value) <= MAXIMUM_DEPTH:
        assert unpack(pack(value)) == without_nil(value)
    else:
        with pytest.raises(BadRequest):
            unpack(pack(value))


# -- what is refused -------------------------------------------------------------------------------------

HOSTILE = {
    "nine nested containers": (msgpack.packb(nested(9)), "deep"),
    "nine nested containers, the last one empty": (msgpack.packb(nested(8, [])), "deep"),
    "nine nested arrays": (in_map(b"\x91" * 8 + b"\x01"), "a"),
    "a thousand nested arrays": (in_map(b"\x91" * 1000 + b"\x01"), "a"),
    "a thousand nested maps": (b"\x81\xa1a" * 1000 + b"\x01", "a"),
    "a hundred thousand nested arrays": (in_map(b"\x91" * 100_000 + b"\x01"), "a"),
    "a duplicate key": (b"\x82\xa1a\x01\xa1a\x02", "a"),
    "a duplicate key with the same value": (b"\x82\xa1a\x01\xa1a\x01", "a"),
    "a duplicate key under another text header": (b"\x82\xa1a\x01\xd9\x01a\x01", "a"),
    "a duplicate key in an inner map": (in_map(b"\x82\xa1b\x01\xa1b\x02"), "a"),
    "a duplicate key in a map in an array": (in_map(b"\x91\x82\xa1b\x01\xa1b\x02"), "a"),
    "a duplicate key behind good ones": (b"\x83\xa1x\x01\xa1y\x02\xa1x\x03", "x"),
    "an extension type": (in_map(b"\xd4\x05\x00"), "a"),
    "an empty extension type": (in_map(b"\xc7\x00\x05"), "a"),
    "an extension type in an array": (in_map(b"\x92\x01\xd4\x05\x00"), "a"),
    "an extension type in an inner map": (in_map(b"\x81\xa1b\xd4\x05\x00"), "a"),
    "a timestamp of 4 bytes": (in_map(b"\xd6\xff" + bytes(4)), "a"),
    "a timestamp of 8 bytes": (in_map(b"\xd7\xff" + bytes(8)), "a"),
    "a timestamp of 12 bytes": (in_map(b"\xc7\x0c\xff" + bytes(12)), "a"),
    "a timestamp with impossible nanoseconds": (in_map(b"\xd7\xff" + b"\xff" * 8), "a"),
    "an extension type as a key": (b"\x81\xd4\x05\x00\x01", ""),
    "invalid UTF-8 in a value": (in_map(b"\xa2\xc3\x28"), "a"),
    "an overlong UTF-8 form": (in_map(b"\xa2\xc0\x80"), "a"),
    "a surrogate in UTF-8": (in_map(b"\xa3\xed\xa0\x80"), "a"),
    "invalid UTF-8 in an inner map": (in_map(b"\x81\xa1b\xa1\xff"), "a"),
    "invalid UTF-8 in a key": (b"\x81\xa1\xff\x01", ""),
    "invalid UTF-8 in an inner key": (in_map(b"\x81\xa1\xff\x01"), "a"),
    "binary as a key": (b"\x81\xc4\x01a\x01", ""),
    "an integer as a key": (b"\x81\x01\x01", ""),
    "an integer as a key behind a good one": (b"\x82\xa1a\x01\x01\x01", ""),
    "nil as a key": (b"\x81\xc0\x01", ""),
    "a boolean as a key": (b"\x81\xc3\x01", ""),
    "a float as a key": (b"\x81\xcb" + bytes(8) + b"\x01", ""),
    "an array as a key": (b"\x81\x91\x01\x01", ""),
    "a map as a key": (b"\x81\x80\x01", ""),
    "a thousand nested arrays as a key": (b"\x81" + b"\x91" * 1000 + b"\x01\x01", ""),
    "an integer as an inner key": (in_map(b"\x81\x01\x01"), "a"),
    "binary as an inner key": (in_map(b"\x81\xc4\x01b\x01"), "a"),
    "an array as an inner key": (in_map(b"\x81\x91\x01\x01"), "a"),
    "an array instead of a map": (b"\x91\x01", ""),
    "an integer instead of a map": (b"\x01", ""),
    "nil instead of a map": (b"\xc0", ""),
    "binary instead of a map": (b"\xc4\x01\x00", ""),
    "text instead of a map": (b"\xa1a", ""),
    "an extension type instead of a map": (b"\xd4\x05\x00", ""),
    "a byte behind the map": (in_map(b"\x01") + b"\x00", ""),
    "a second map behind the map": (in_map(b"\x01") * 2, ""),
    "a byte behind an empty map": (b"\x80\x80", ""),
    "a byte behind a nested map": (in_map(b"\x91\x01") + b"\xc0", ""),
    "the byte that MessagePack never uses": (in_map(b"\xc1"), "a"),
    "only the byte that MessagePack never uses": (b"\xc1", ""),
    "a map without its pairs": (b"\x82", ""),
    "a key without its value": (b"\x81\xa1a", "a"),
    "a key that is cut off": (b"\x81\xa5ab", ""),
    "a value that is cut off": (in_map(b"\xc4\x05ab"), "a"),
    "a map of 2**32-1 pairs": (b"\xdf\xff\xff\xff\xff\xa1a\x01", ""),
    "an array of 2**32-1 items": (in_map(b"\xdd\xff\xff\xff\xff\x01"), "a"),
    "an inner map of 2**32-1 pairs": (in_map(b"\xdf\xff\xff\xff\xff\xa1b\x01"), "a"),
    "binary of 2**32-1 bytes": (in_map(b"\xc6\xff\xff\xff\xff\x01"), "a"),
    "text of 2**32-1 bytes": (in_map(b"\xdb\xff\xff\xff\xff\x01"), "a"),
    "an extension type of 2**32-1 bytes": (in_map(b"\xc9\xff\xff\xff\xff\x05\x01"), "a"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_refused(name: str) -> None:
    payload, key = HOSTILE[name]
    for data in (payload, memoryview(payload)):
        with pytest.raises(BadRequest) as caught:
            unpack(data)
        assert caught.value.status is Status.BAD_REQUEST
        assert caught.value.details == {"key": key}
        assert caught.value.message


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (in_map(b"\xd4\x05\x00"), "`a` has an extension type, which payloads do not use"),
        (in_map(b"\xa1\xff"), "`a` has text that is not valid UTF-8"),
        (b"\x82\xa1a\x01\xa1a\x01", "`a` is there twice"),
        (in_map(b"\x82\xa1b\x01\xa1b\x01"), "`a` has a key twice"),
        (msgpack.packb(nested(9)), "`deep` nests more than 8 containers"),
        (b"\x81\x01\x01", "the payload has a key that is not text"),
        (in_map(b"\xc4\x05ab"), "`a` is not complete, valid MessagePack"),
    ],
)
def test_a_refusal_says_what_is_wrong(payload: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        unpack(payload)
    assert caught.value.message == message


def test_a_long_key_is_not_sent_back_whole() -> None:
    with pytest.raises(BadRequest) as caught:
        unpack(in_map(b"\xc1", "k" * 100_000))
    assert caught.value.details["key"].startswith("kkkk")
    assert len(caught.value.details["key"]) <= 64
    assert len(caught.value.message) < 200


def test_a_fault_behind_many_keys_is_refused_without_a_search_for_its_key() -> None:
    good = b"".join(msgpack.packb(f"{n}") + b"\x01" for n in range(70000))
    with pytest.raises(BadRequest) as caught:
        unpack(b"\xdf" + struct.pack(">I", 70001) + good + b"\xa1z\xc1")
    assert caught.value.details == {"key": ""}


MIB = 1 << 20
BOMBS = {
    "nested arrays that declare all they could": in_map(b"\xdd\x00\x0f\xff\xff" * (MIB // 5)),
    "nested arrays, in a small message": in_map(b"\xdc\x00\xff" * 80),
    "nested maps that declare all they could": b"\xdf\x00\x07\xff\xff\xa1a" * (MIB // 7),
    "nested arrays as a key": b"\x81" + b"\xdd\x00\x0f\xff\xff" * (MIB // 5),
    "nested arrays, eight deep": in_map((b"\xdd\x00\x0f\xff\xff" * 7 + b"\x01") * (MIB // 36)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_bounded_by_the_input(name: str) -> None:
    payload = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest):
            unpack(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(payload) + MIB


def is_map_or_bad_request(data: bytes | bytearray) -> bool:
    """False for a wrong result; any other exception than BadRequest goes through."""
    try:
        return type(unpack(data)) is dict
    except BadRequest as error:
        return set(error.details) == {"key"}


@given(st.binary(max_size=64))
@settings(max_examples=1000)
@example(b"\x81\xa1a\xc1")
def test_any_bytes_are_a_map_or_a_bad_request(data: bytes) -> None:
    assert is_map_or_bad_request(data)


@given(st.dictionaries(text, values, min_size=1, max_size=4), st.data())
@settings(max_examples=300)
def test_a_damaged_payload_is_a_map_or_a_bad_request(value: dict[str, Any], data: st.DataObject) -> None:
    payload = bytearray(msgpack.packb(value))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    assert is_map_or_bad_request(payload)


def test_every_truncation_is_refused() -> None:
    payload = msgpack.packb({"handle": 7, "data": b"x" * 20, "map": {"list": [1, "two", 3.0]}, "end": True})
    for length in range(1, len(payload)):
        with pytest.raises(BadRequest):
            unpack(payload[:length])


# -- packing ---------------------------------------------------------------------------------------------


def test_pack_drops_what_is_none() -> None:
    assert pack({"a": 1, "b": None, "c": b"\x00"}) == b"\x82\xa1a\x01\xa1c\xc4\x01\x00"


def test_pack_makes_nothing_of_nothing() -> None:
    assert pack({}) == b""
    assert pack({"a": None}) == b""


@pytest.mark.parametrize("value", [object(), 2**64, -(2**63) - 1, {1, 2}, 1j])
def test_pack_refuses_what_messagepack_has_no_type_for(value: Any) -> None:
    with pytest.raises(LocalError):
        pack({"a": value})


def test_a_payload_that_could_not_be_packed_leaves_nothing_behind() -> None:
    with pytest.raises(LocalError):
        pack({"a": b"secret" * 100, "b": 2**64})
    assert pack({"c": 1}) == b"\x81\xa1c\x01"
