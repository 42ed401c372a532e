"""Checks of single settings: each takes what TOML gave and returns what the agent uses, or raises Unfit."""

from __future__ import annotations

import json
import pwd
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .access import check_pattern

T = TypeVar("T")


class Unfit(ValueError):
    """A value that a setting cannot have; ``below`` leads from the setting to the part at fault."""

    def __init__(self, wanted: str, value: Any, *below: str) -> None:
        shown = json.dumps(value, default=str, ensure_ascii=False)
        super().__init__(f"must be {wanted}, not {shown if len(shown) <= 80 else shown[:79] + '…'}")
        self.below = below


class Address(NamedTuple):
    """A host (name, IPv4 or IPv6 address without brackets) and a TCP port; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def boolean(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise Unfit("true or false", value)
    return value


def text(value: Any) -> str:
    """Any string without control characters."""
    if not isinstance(value, str) or not all(c.isprintable() for c in value):
        raise Unfit("a string of printable characters", value)
    return value


def whole(low: int, high: int) -> Callable[[Any], int]:
    """An integer from ``low`` to ``high``."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Unfit(f"a whole number from {low} to {high}", value)
        return value

    return check


def seconds(low: float, high: float) -> Callable[[Any], float]:
    """A number of seconds from ``low`` to ``high``, with or without a fraction."""

    def check(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise Unfit(f"a number of seconds from {low:g} to {high:g}", value)
        return float(value)

    return check


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of the strings ``choices``."""

    def check(value: Any) -> str:
        if value not in choices:
            raise Unfit("one of " + ", ".join(f'"{choice}"' for choice in choices), value)
        return str(value)

    return check


def many(check: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """A list whose elements all pass ``check``."""

    def check_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Unfit("a list", value)
        return tuple(check(element) for element in value)

    return check_all


def address(value: Any) -> Address:
    """``"HOST:PORT"`` or ``"[IPV6]:PORT"``."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^\s:\[\]]+)):([0-9]{1,5})", str(value))
    if not isinstance(value, str) or found is None or int(found[3]) > 0xFFFF:
        raise Unfit('an address such as "0.0.0.0:5657", "[::]:5657" or "board.lan:5657"', value)
    return Address(found[1] or found[2], int(found[3]))


def absolute_path(value: Any) -> Path:
    """A path that begins with ``/``."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise Unfit("a path that begins with /", value)
    return Path(value)


def optional_path(value: Any) -> Path | None:
    """A path that begins with ``/``, or ``""`` for none."""
    return None if value == "" else absolute_path(value)


def pattern(value: Any) -> str:
    """The name of a resource; ``*`` in it stands for any characters."""
    try:
        return check_pattern(text(value))
    except ValueError:
        raise Unfit("the name of a resource, perhaps with * for any characters", value) from None


def user(value: Any) -> int:
    """A user of this machine, by name or by number; gives the number."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 0xFFFFFFFF:
        return value
    try:
        return pwd.getpwnam(text(value)).pw_uid
    except (KeyError, ValueError):
        raise Unfit("the name or number of a user of this machine", value) from None


def tiers(value: Any) -> dict[str, int]:
    """A table of operation names, each with a tier from 1 to 5."""
    if not isinstance(value, dict):
        raise Unfit("a table of operations and tiers", value)
    check = whole(1, 5)
    for operation, tier in value.items():
        try:
            check(tier)
        except Unfit:
            raise Unfit("a tier from 1 to 5", tier, operation) from None
    return value


def same_type(default: Any) -> Callable[[Any], Any]:
    """A value of ``default``'s type: integers do for floats, lists are judged by the default's first element.

    A default of None admits every type.
    """

    def check(value: Any) -> Any:
        if isinstance(default, list | tuple) and isinstance(value, list):
            return [same_type(default[0])(element) for element in value] if default else value
        if default is None or type(value) is type(default) or (type(default) is float and type(value) is int):
            return value
        raise Unfit(TYPE_NAMES.get(type(default), f"a {type(default).__name__}"), value)

    return check


TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    tuple: "a list",
    dict: "a table",
}
