"""Values made up from the schema: a smallest one that fits each rule, so that requests can be generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myclerk_protocol.schema import MapType
from myclerk_protocol.schema.compounds import ArrayOf, Either, Fixed
from myclerk_protocol.schema.shapes import (
    Anything,
    Integer,
    Literals,
    Mismatch,
    Number,
    Octets,
    Plain,
    Shape,
    Text,
)


def sample(shape: Shape) -> Any:
    """A value of this shape, by Python names; no longer than it must be."""
    match shape:
        case MapType():
            return {field.name: sample(member) for field, member in shape.members if field.required}
        case Integer():
            return min(max(shape.low, 0), shape.high)
        case Number():
            return min(max(shape.low, 0.0), shape.high)
        case Octets():
            return bytes(shape.low)
        case Text():
            return "a" * shape.low
        case Literals():
            return shape.values[0]
        case Plain():
            return shape.kind()
        case ArrayOf():
            return [sample(shape.item) for _ in range(shape.low)]
        case Fixed():
            return [sample(item) for item in shape.items]
        case Either():
            return sample(shape.options[0])
        case Anything():
            return 0
    raise AssertionError(f"no sample of {shape}")


def request_of(rule: MapType, hints: Mapping[str, Any]) -> dict[str, Any]:
    """A smallest request, with what ``hints`` say of its fields where that fits them."""
    shapes = {field.name: shape for field, shape in rule.members}
    fitting = {name: value for name, value in hints.items() if name in shapes and fits(shapes[name], value)}
    return {**sample(rule), **fitting}


def fits(shape: Shape, value: Any) -> bool:
    """Whether a value has a shape; maps in it by Python names."""
    rename = shape.renamer()
    try:
        shape.checker()(value if rename is None else rename(value))
    except Mismatch:
        return False
    return True
