"""The compiler of our subset of CDDL: what rules accept, and what they say when they do not."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest

from myclerk_protocol.schema import Field, MapType, Schema
from myclerk_protocol.status import BadRequest, LocalError, OperationError, Status, TooLarge


def rule(text: str, more: str = "") -> MapType:
    """The map ``{ value: <text> }`` with further rules beside it."""
    return Schema({"test.cddl": f"m = {{ value: {text} }}\n{more}"}).map("m")


def refusal(schema: MapType, values: dict[str, Any]) -> OperationError:
    with pytest.raises(OperationError) as caught:
        schema.decode(msgpack.packb(values))
    return caught.value


# -- types -------------------------------------------------------------------------------------------------

ACCEPTED: list[tuple[str, list[Any]]] = [
    ("uint", [0, 2**64 - 1]),
    ("int", [-(2**63), 0, 2**64 - 1]),
    ("nint", [-1, -(2**63)]),
    ("bool", [True, False]),
    ("tstr", ["", "grün", "x" * 100_000]),
    ("text", ["x"]),
    ("bstr", [b"", b"\xff" * 100_000]),
    ("bytes", [b"x"]),
    ("float64", [0.5, -math.inf, 1e308]),
    ("number", [1, -1, 0.5]),
    ("any", [0, "x", b"x", True, 0.5, [], {}, [1, ["x"]]]),
    ("5", [5]),
    ("-5", [-5]),
    ("0x10", [16]),
    ('"on"', ["on"]),
    ("true", [True]),
    ('"none" / "even" / 7 / false', ["none", "even", 7, False]),
    ("1..5", [1, 3, 5]),
    ("-2..2", [-2, 0, 2]),
    ("0.5..2.5", [0.5, 2.5]),
    ("0..10 / 0.0..10.0", [0, 10, 0.0, 9.5]),
    ("uint .size 1", [0, 255]),
    ("uint .size 8", [2**64 - 1]),
    ("uint .le 5", [0, 5]),
    ("uint .lt 5", [4]),
    ("int .ge -5", [-5, 7]),
    ("int .gt -5", [-4]),
    ("float64 .ge 0", [0.0, 5.5]),
    ("float64 .le 0.5", [0.5, -1e9]),
    ("bstr .size 3", [b"abc"]),
    ("bstr .size (0..3)", [b"", b"abc"]),
    ("tstr .size 2", ["ab", "ü"]),
    ("tstr .size (1..4)", ["a", "üü"]),
    ("&( off: 0, on: 1 )", [0, 1]),
    ('&( off: "0", on: "1" )', ["0", "1"]),
    ("[* uint]", [[], [1], list(range(1000))]),
    ("[+ uint]", [[1], [1, 2]]),
    ("[2*3 uint]", [[1, 2], [1, 2, 3]]),
    ("[2* uint]", [[1, 2], [1] * 50]),
    ("[uint, tstr]", [[1, "x"]]),
    ("[* uint / tstr]", [[1, "x"]]),
    ("[* (uint / nil)]", [[1, None]]),
    ("[* [* bool]]", [[[], [True]]]),
    ("{}", [{}]),
    ("{ a: uint, ? b: tstr }", [{"a": 1}, {"a": 1, "b": "x"}]),
    ('{ "a": uint }', [{"a": 1}]),
    ("{* tstr => any}", [{}, {"x": 1, "y": [{"z": 0.5}]}]),
    ("{* tstr => uint}", [{}, {"x": 1}]),
    ("{ a: bool, * tstr => uint }", [{"a": True}, {"a": False, "b": 1}]),
    ("{ a: uint } / uint", [{"a": 1}, 5]),
    ("(uint)", [1]),
]


@pytest.mark.parametrize(("text", "values"), ACCEPTED, ids=[text for text, _ in ACCEPTED])
def test_accepted(text: str, values: list[Any]) -> None:
    schema = rule(text)
    for value in values:
        decoded = schema.decode(msgpack.packb({"value": value}))["value"]
        assert decoded == value
        assert type(decoded) is type(value)


REFUSED: list[tuple[str, Any, str]] = [
    ("uint", -1, "an integer of 0 or more, not -1"),
    ("uint", True, "an integer of 0 or more, not true"),
    ("uint", 1.0, "an integer of 0 or more, not 1.0"),
    ("uint", "1", "an integer of 0 or more, not text"),
    ("uint", b"1", "an integer of 0 or more, not binary"),
    ("uint", [1], "an integer of 0 or more, not an array"),
    ("uint", {"x": 1}, "an integer of 0 or more, not a map"),
    ("int", "x", "an integer, not text"),
    ("nint", 0, "an integer of -1 or less, not 0"),
    ("bool", 1, "true or false, not 1"),
    ("bool", 0, "true or false, not 0"),
    ("tstr", b"x", "text, not binary"),
    ("bstr", "x", "binary, not text"),
    ("float64", "x", "a number, not text"),
    ("float64", True, "a number, not true"),
    ("5", 6, "5, not 6"),
    ("1", True, "1, not true"),
    ("1", 1.0, "1, not 1.0"),
    ("true", False, "true, not false"),
    ("true", 1, "true, not 1"),
    ('"on"', "off", '"on", not "off"'),
    ('"on"', b"on", '"on", not binary'),
    ('"none" / "even"', "odd", '"none" or "even", not "odd"'),
    ('"none" / "even" / "odd"', 5, '"none", "even" or "odd", not 5'),
    ('"none" / "even"', [], '"none" or "even", not an array'),
    ('"on"', "x" * 99, '"on", not "' + "x" * 32 + '"'),
    ("1..4294967295", "x", "an integer from 1 to 4294967295, not text"),
    ("1..5", 0, "an integer from 1 to 5, not 0"),
    ("1..5", 6, "an integer from 1 to 5, not 6"),
    ("0.5..2.5", 2.6, "a number from 0.5 to 2.5, not 2.6"),
    ("0.5..2.5", math.nan, "a number from 0.5 to 2.5, not NaN"),
    ("0..10 / 0.0..10.0", 11, "a number from 0 to 10, not 11"),
    ("0..10 / 0.0..10.0", -0.5, "a number from 0 to 10, not -0.5"),
    ("0..10 / 0.0..10.0", math.inf, "a number from 0 to 10, not Infinity"),
    ("0..10 / 0.0..10.0", math.nan, "a number from 0 to 10, not NaN"),
    ("0..10 / 0.0..10.0", False, "a number from 0 to 10, not false"),
    ("uint .size 1", 256, "an integer from 0 to 255, not 256"),
    ("uint .le 5", 6, "an integer from 0 to 5, not 6"),
    ("uint .lt 5", 5, "an integer from 0 to 4, not 5"),
    ("int .ge -5", -6, "an integer of -5 or more, not -6"),
    ("int .gt -5", -5, "an integer of -4 or more, not -5"),
    ("float64 .ge 0", -0.1, "a number of 0 or more, not -0.1"),
    ("bstr .size 3", b"ab", "binary of 3 bytes, not 2 bytes"),
    ("bstr .size 3", b"abcd", "binary of 3 bytes, not 4 bytes"),
    ("bstr .size 1", b"", "binary of 1 byte, not 0 bytes"),
    ("bstr .size (2..3)", b"a", "binary of 2 to 3 bytes, not 1 byte"),
    ("bstr .size (2..3)", "abc", "binary of 2 to 3 bytes, not text"),
    ("tstr .size 2", "üü", "text of 2 bytes, not 4 bytes"),
    ("tstr .size (1..4)", "", "text of 1 to 4 bytes, not 0 bytes"),
    ("&( off: 0, on: 1 )", 2, "0 (off) or 1 (on), not 2"),
    ("&( off: 0, on: 1 )", True, "0 (off) or 1 (on), not true"),
    ("[* uint]", {"x": 1}, "an array, not a map"),
    ("[+ uint]", [], "an array of 1 item or more, not an array of 0"),
    ("[2*3 uint]", [1], "an array of 2 to 3 items, not an array of 1"),
    ("[2*3 uint]", [1, 2, 3, 4], "an array of 2 to 3 items, not an array of 4"),
    ("[uint, tstr]", [1], "an array of 2 items, not an array of 1"),
    ("[uint, tstr]", 1, "an array of 2 items, not 1"),
    ("{ a: uint }", [], "a map, not an array"),
    ("{* tstr => any}", 5, "a map, not 5"),
    ("uint / tstr", b"x", "an integer of 0 or more or text, not binary"),
    ("uint / tstr", -1, "an integer of 0 or more or text, not -1"),
]


@pytest.mark.parametrize(
    ("text", "value", "problem"), REFUSED, ids=[f"{t} <- {v!r:.20}" for t, v, _ in REFUSED]
)
def test_refused(text: str, value: Any, problem: str) -> None:
    error = refusal(rule(text), {"value": value})
    assert error.status is Status.BAD_REQUEST
    assert error.message == f"`value` must be {problem}"
    assert error.details == {"key": "value"}


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        ("bstr .size (0..3)", b"abcd", "binary of at most 3 bytes, not 4 bytes"),
        ("bstr .size (2..3)", b"abcd", "binary of 2 to 3 bytes, not 4 bytes"),
        ("tstr .size (1..4)", "üüü", "text of 1 to 4 bytes, not 6 bytes"),
        ("uint / tstr .size (1..4)", "12345", "text of 1 to 4 bytes, not 5 bytes"),
    ],
)
def test_a_length_above_its_limit_is_too_large(text: str, value: Any, problem: str) -> None:
    error = refusal(rule(text), {"value": value})
    assert isinstance(error, TooLarge)
    assert error.message == f"`value` must be {problem}"
    assert error.details == {"key": "value"}


def test_an_integer_stands_for_a_float() -> None:
    decoded = rule("float64").decode(msgpack.packb({"value": 2}))["value"]
    assert (type(decoded), decoded) == (float, 2.0)
    assert type(rule("uint / float64").decode(msgpack.packb({"value": 2}))["value"]) is int


def test_a_choice_takes_the_option_that_fits() -> None:
    schema = rule("{ a: uint } / { b: tstr }")
    assert schema.decode(msgpack.packb({"value": {"b": "x"}})) == {"value": {"b": "x"}}


def test_a_choice_of_maps_tells_what_is_wrong_inside() -> None:
    assert refusal(rule("{ a: uint } / uint"), {"value": {"a": "x"}}).details == {"key": "value.a"}


# -- maps --------------------------------------------------------------------------------------------------

PORTS = """
; a comment, with "quotes" and = signs
list-response = { ports: [* port], ? port-count: uint }
port = {
  common-fields,      ; included
  ? usb-ids: [uint .size 2, uint .size 2],
  ? properties: {* tstr => any},
}
common-fields = ( name: name, ? in-use: bool, more-fields )
more-fields = ( ? serial-number: tstr )
name = tstr .size (1..8)
"""


@pytest.fixture
def ports() -> MapType:
    return Schema({"ports.cddl": PORTS}).map("list-response")


def test_names_are_python_names_at_every_level(ports: MapType) -> None:
    wire = {
        "ports": [{"name": "a", "in-use": True, "usb-ids": [1, 2]}, {"name": "b", "serial-number": "x"}],
        "port-count": 2,
    }
    assert ports.decode(msgpack.packb(wire)) == {
        "ports": [{"name": "a", "in_use": True, "usb_ids": [1, 2]}, {"name": "b", "serial_number": "x"}],
        "port_count": 2,
    }


def test_names_below_any_are_names_too(ports: MapType) -> None:
    wire = {"ports": [{"name": "a", "properties": {"vendor-id": 1, "list-of": [{"in-ner": {"y-y": 2}}]}}]}
    python = {"ports": [{"name": "a", "properties": {"vendor_id": 1, "list_of": [{"in_ner": {"y_y": 2}}]}}]}
    assert ports.decode(msgpack.packb(wire)) == python
    assert msgpack.unpackb(ports.encode(python)) == wire


def test_unknown_keys_are_dropped_at_every_level(ports: MapType) -> None:
    wire = {"ports": [{"name": "a", "colour": "red"}], "later": {"x": 1}, "port_count": 5}
    assert ports.decode(msgpack.packb(wire)) == {"ports": [{"name": "a"}]}


def test_nil_means_absent(ports: MapType) -> None:
    assert ports.decode(msgpack.packb({"ports": [], "port-count": None})) == {"ports": []}
    assert refusal(ports, {"ports": None}).message == "`ports` is missing; it must be an array"


def test_no_payload_is_the_empty_map(ports: MapType) -> None:
    with pytest.raises(BadRequest, match="`ports` is missing"):
        ports.decode(b"")
    assert Schema({"test.cddl": "m = { ? a: uint }"}).map("m").decode(b"") == {}


@pytest.mark.parametrize(
    ("wire", "key", "message"),
    [
        ({}, "ports", "`ports` is missing; it must be an array"),
        ({"ports": [{"name": "a"}, 5]}, "ports[1]", "`ports[1]` must be a map, not 5"),
        (
            {"ports": [{"name": "a"}, {}]},
            "ports[1].name",
            "`ports[1].name` is missing; it must be text of 1 to 8 bytes",
        ),
        (
            {"ports": [{"name": "a", "in-use": 1}]},
            "ports[0].in-use",
            "`ports[0].in-use` must be true or false, not 1",
        ),
        (
            {"ports": [{"name": "a", "usb-ids": [1, 70000]}]},
            "ports[0].usb-ids[1]",
            "`ports[0].usb-ids[1]` must be an integer from 0 to 65535, not 70000",
        ),
    ],
)  # fmt: skip
def test_an_error_names_the_path_to_the_key(ports: MapType, wire: Any, key: str, message: str) -> None:
    error = refusal(ports, wire)
    assert (error.details, error.message) == ({"key": key}, message)


def test_a_nested_length_above_its_limit_is_too_large(ports: MapType) -> None:
    error = refusal(ports, {"ports": [{"name": "a" * 9}]})
    assert isinstance(error, TooLarge)
    assert error.details == {"key": "ports[0].name"}


def test_further_keys_are_checked_and_named_in_errors() -> None:
    schema = rule("{* tstr => uint}")
    assert refusal(schema, {"value": {"a": 1, "b-c": "x"}}).details == {"key": "value.b-c"}
    assert len(refusal(schema, {"value": {"k" * 100_000: "x"}}).message) < 200


def test_further_keys_beside_known_ones_are_kept() -> None:
    schema = rule("{ a-b: bool, * tstr => uint }")
    assert schema.decode(msgpack.packb({"value": {"a-b": True, "c-d": 1}})) == {
        "value": {"a_b": True, "c_d": 1}
    }
    assert msgpack.unpackb(schema.encode({"value": {"a_b": True, "c_d": 1}})) == {
        "value": {"a-b": True, "c-d": 1}
    }


def test_what_is_no_strict_map_is_refused_before_it_is_looked_at(ports: MapType) -> None:
    with pytest.raises(BadRequest) as caught:
        ports.decode(b"\x82\xa5ports\x90\xa5ports\x90")
    assert caught.value.details == {"key": "ports"}


def test_decode_map_takes_what_is_unpacked(ports: MapType) -> None:
    assert ports.decode_map({"ports": [{"name": "a", "x": 1}]}) == {"ports": [{"name": "a"}]}


def test_a_memoryview_is_decoded(ports: MapType) -> None:
    assert ports.decode(memoryview(msgpack.packb({"ports": []}))) == {"ports": []}


# -- encoding ----------------------------------------------------------------------------------------------


def test_encoding_renames_and_drops_none_at_every_level(ports: MapType) -> None:
    values = {
        "ports": [{"name": "a", "in_use": None, "usb_ids": (1, 2), "properties": {"x_y": None, "z": 1}}],
        "port_count": None,
    }
    assert msgpack.unpackb(ports.encode(values)) == {
        "ports": [{"name": "a", "usb-ids": [1, 2], "properties": {"z": 1}}]
    }


def test_nothing_is_encoded_as_no_bytes(ports: MapType) -> None:
    assert ports.encode({}) == b""
    assert ports.encode({"port_count": None}) == b""


@pytest.mark.parametrize(
    "values",
    [{"colour": 1}, {"colour": None}, {"port-count": 1}, {"ports": [{"name": "a", "colour": "red"}]}],
)
def test_a_name_that_the_rule_lacks_is_a_local_error(ports: MapType, values: dict[str, Any]) -> None:
    with pytest.raises(LocalError, match=r"has no field '(colour|port-count)'"):
        ports.encode(values)


# -- what a map says of itself -----------------------------------------------------------------------------


def test_fields_in_the_order_of_the_rule(ports: MapType) -> None:
    assert ports.fields == (
        Field("ports", "ports", True, "[* port]"),
        Field("port-count", "port_count", False, "uint"),
    )
    port = Schema({"ports.cddl": PORTS}).map("port")
    assert [(f.wire, f.required, f.type_text) for f in port.fields] == [
        ("name", True, "name"),
        ("in-use", False, "bool"),
        ("serial-number", False, "tstr"),
        ("usb-ids", False, "[uint .size 2, uint .size 2]"),
        ("properties", False, "{* tstr => any}"),
    ]


@pytest.mark.parametrize(
    "text",
    ["uint", "1..5", "-1.5..2.0", "true", "-7", '"none" / "even"', "bstr .size (1..64)", "uint .le 5",
     "[+ uint]", "[* uint / tstr]", "[2*3 uint]", "[2* uint]", "[0*2 uint]", "[uint, bool]",
     "&(off: 0, on: 1)", "{a: uint, ? b: tstr, g, * tstr => any}"],
)  # fmt: skip
def test_a_type_is_shown_as_it_was_written(text: str) -> None:
    assert rule(text, "g = ( c: uint )").fields[0].type_text == text
