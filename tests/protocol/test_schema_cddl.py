"""Our decoders against two other CDDL validators: all accept what a rule says, we refuse what it forbids.

Values are made up from the compiled rules, so the other validators hold our reading of the CDDL against
theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isinf
from typing import Any

import msgpack
import pytest
from cddl_check import CddlChecker
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from myclerk_protocol.schema import MapType, Schema
from myclerk_protocol.schema.compounds import ArrayOf, Either, Fixed
from myclerk_protocol.schema.names import to_wire_names
from myclerk_protocol.schema.shapes import Anything, Integer, Literals, Number, Octets, Plain, Shape, Text
from myclerk_protocol.status import BadRequest, TooLarge

SCHEMA = Schema.load()
CHECKER = CddlChecker(SCHEMA.text)
LONGEST = 64  # bytes, beyond the fewest that a length allows

names = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z]{1,3})?", fullmatch=True)
letters = st.characters(min_codepoint=32, max_codepoint=126)


def values_of(shape: Shape) -> st.SearchStrategy[Any]:
    """Values, as they are on the wire, of that shape."""
    match shape:
        case Integer(low, high):
            return st.integers(max(low, -(2**63) + 1), high)
        case Number(low, high, integers):
            floats = st.floats(None if isinf(low) else low, None if isinf(high) else high, allow_nan=False)
            whole = st.integers(int(low), int(high)) if integers and not isinf(low) else floats
            return floats | whole
        case Octets(low, high):
            return st.binary(
                min_size=low, max_size=low + LONGEST if high is None else min(high, low + LONGEST)
            )
        case Text(low, high):
            limit = low + LONGEST if high is None else min(high, low + LONGEST)
            ascii_text = st.text(letters, min_size=low, max_size=limit)
            return ascii_text if low > 1 else ascii_text | st.text(min_size=low, max_size=limit // 4)
        case Literals(values):
            return st.sampled_from(values)
        case Plain(kind):
            return st.booleans() if kind is bool else st.none()
        case ArrayOf(item, low, high):
            return st.lists(values_of(item), min_size=low, max_size=low + 3 if high is None else high)
        case Fixed(items):
            return st.tuples(*map(values_of, items)).map(list)
        case Either(options):
            return st.one_of(*map(values_of, options))
        case MapType():
            return maps_of(shape)
        case Anything():
            scalars = (
                st.integers(-(2**31), 2**32)
                | st.booleans()
                | st.text(letters, max_size=8)
                | st.binary(max_size=8)
            )
            return scalars | st.lists(scalars, max_size=2) | st.dictionaries(names, scalars, max_size=2)
    raise AssertionError(f"no values for {shape!r}")


def maps_of(shape: MapType) -> st.SearchStrategy[dict[str, Any]]:
    required = {field.wire: values_of(inner) for field, inner in shape.members if field.required}
    optional = {field.wire: values_of(inner) for field, inner in shape.members if not field.required}
    known = st.fixed_dictionaries(required, optional=optional)
    if shape.rest is None:
        return known
    return st.dictionaries(names, values_of(shape.rest), max_size=3).flatmap(
        lambda more: known.map(more.__or__)
    )


STRATEGIES = {name: maps_of(shape) for name, shape in SCHEMA.maps.items()}
FULL = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("rule", STRATEGIES)
@FULL
@given(data=st.data())
def test_all_validators_accept_what_a_rule_describes(rule: str, data: st.DataObject) -> None:
    wire = data.draw(STRATEGIES[rule])
    payload = msgpack.packb(wire)
    shape = SCHEMA.map(rule)
    decoded = shape.decode(payload)
    assert to_wire_names(decoded) == wire
    encoded = shape.encode(decoded)
    assert msgpack.unpackb(encoded or b"\x80") == wire
    CHECKER.check(rule, payload)
    CHECKER.check(rule, encoded)


# -- spoiling ----------------------------------------------------------------------------------------------

Spoil = Callable[[], None]


def wrong_types(shape: Shape) -> Iterator[Any]:
    """Values of other types than the shape has; an integer is good for a float, so it is no example there."""
    for value in (7, "text", b"bytes", True, 0.25, [], {}):
        if type(value) not in shape.kinds:
            yield value


def out_of_bounds(shape: Shape) -> Iterator[Any]:
    """Values of the right type, just outside of what the shape allows."""
    match shape:
        case Integer(low, high):
            yield from (value for value in (low - 1, high + 1) if -(2**63) < value < 2**64)
        case Number(low, high):
            yield from (value for value in (low - 0.5, high + 0.5) if not isinf(value))
        case Octets(low, high):
            yield from (bytes(size) for size in sizes_around(low, high))
        case Text(low, high):
            yield from ("x" * size for size in sizes_around(low, high))
        case Literals(values):
            yield "no such word" if isinstance(values[0], str) else 99
        case ArrayOf(_, low, high) if low:
            yield []


def sizes_around(low: int, high: int | None) -> Iterator[int]:
    if low:
        yield low - 1
    if high is not None and high < 4096:
        yield high + 1


def spoiled(value: Any, shape: Shape) -> Iterator[tuple[str, Spoil]]:
    """Every way to spoil one thing in ``value``: what it is, and a function that does it in place."""
    if isinstance(shape, MapType) and isinstance(value, dict):
        for field, inner in shape.members:
            if field.wire not in value:
                continue
            if field.required:
                yield f"{field.wire} is missing", lambda key=field.wire: value.pop(key)
            for wrong in (*wrong_types(inner), *out_of_bounds(inner)):
                yield (
                    f"{field.wire} is {wrong!r:.40}",
                    lambda key=field.wire, wrong=wrong: value.update({key: wrong}),
                )
            yield from spoiled(value[field.wire], inner)
    elif isinstance(shape, ArrayOf) and isinstance(value, list) and value:
        for wrong in (*wrong_types(shape.item), *out_of_bounds(shape.item)):
            yield f"an item is {wrong!r:.40}", lambda wrong=wrong: value.__setitem__(0, wrong)
        yield from spoiled(value[0], shape.item)


SPOILABLE = [name for name, shape in SCHEMA.maps.items() if shape.members]


@pytest.mark.parametrize("rule", SPOILABLE)
@FULL
@given(data=st.data())
def test_we_refuse_what_a_rule_forbids_and_so_does_another(rule: str, data: st.DataObject) -> None:
    shape = SCHEMA.map(rule)
    wire = data.draw(STRATEGIES[rule])
    ways = list(spoiled(wire, shape))
    assume(ways)
    what, spoil = data.draw(st.sampled_from(ways))
    spoil()
    payload = msgpack.packb(wire)
    with pytest.raises((BadRequest, TooLarge)):
        shape.decode(payload)
    assert CHECKER.refusals(rule, payload), f"only we refuse that {what}"


# -- the helper itself -------------------------------------------------------------------------------------


def test_the_checker_refuses_by_both_validators() -> None:
    payload = msgpack.packb({"handle": "seven"})
    assert set(CHECKER.refusals("serial-port-close-request", payload)) == {"pycddl", "zcbor"}
    with pytest.raises(AssertionError, match="serial-port-close-request does not fit"):
        CHECKER.check("serial-port-close-request", payload)


def test_the_checker_takes_any_order_of_keys_nil_and_no_bytes() -> None:
    CHECKER.check(
        "device-lock-request", msgpack.packb({"ttl": 0.5, "wait": None, "resource": "serial:ttyUSB0"})
    )
    CHECKER.check("nop-request", b"")


def test_the_checker_refuses_unknown_keys() -> None:
    payload = msgpack.packb(
        {"devices": [{"name": "x", "kind": "x", "description": "", "access": 1, "colour": 1}]}
    )
    assert "zcbor" in CHECKER.refusals("device-list-response", payload)


def test_the_checker_reads_large_payloads() -> None:
    CHECKER.check("stream-data-push", msgpack.packb({"offset": 0, "data": bytes(1 << 20)}))
    assert CHECKER.refusals("stream-data-push", msgpack.packb({"offset": -1, "data": bytes(1 << 20)}))
