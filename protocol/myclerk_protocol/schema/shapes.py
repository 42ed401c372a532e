"""What a value in a payload may be: each shape makes the function that checks one value, and names itself.

A check is called once for each value of each payload, so shapes turn into closures that compare the exact
type first; values come from MessagePack, where an integer is ``int`` and never ``bool``. A check returns the
value as Python code gets it, or raises :class:`Mismatch`; shapes themselves are only used while a schema is
loaded, and by tests that make up values from them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NoReturn, TypeAlias

from ..status import BadRequest, OperationError, TooLarge
from .names import to_python_names, to_wire_names
from .syntax import Value

Check: TypeAlias = Callable[[Any], Any]
Rename: TypeAlias = Callable[[Any], Any]

LOWEST, HIGHEST = -(1 << 63), (1 << 64) - 1
"""The integers that MessagePack has."""

SHOWN_TEXT = 32  # characters of a peer's text, in a message that goes back to it


class Mismatch(Exception):
    """A value that does not have its shape; ``path`` leads to it, outermost key or index first."""

    def __init__(self, problem: str, error: type[OperationError] = BadRequest) -> None:
        super().__init__(problem)
        self.problem = problem
        self.error = error
        self.path: list[str | int] = []


def unexpected(expected: str, found: str, error: type[OperationError] = BadRequest) -> Mismatch:
    """The mismatch of a value that is there, but is not what it must be."""
    return Mismatch(f"must be {expected}, not {found}", error)


def describe(value: Any) -> str:
    """What a value is, in words; numbers are shown, text and binary may be secret and are not."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    words = {str: "text", bytes: "binary", list: "an array", dict: "a map", type(None): "nil"}
    return words.get(type(value), type(value).__name__)


class Shape(ABC):
    """A set of values."""

    @property
    @abstractmethod
    def kinds(self) -> tuple[type, ...]:
        """The Python types that the values have."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What to expect, to be read after "must be"."""

    @abstractmethod
    def checker(self) -> Check:
        """The function that checks a value."""

    def renamer(self) -> Rename | None:
        """The function that gives a Python value its wire names, or None where there are no names in it."""
        return None


@dataclass(frozen=True, slots=True)
class Integer(Shape):
    """An integer from ``low`` to ``high``."""

    low: int = LOWEST
    high: int = HIGHEST

    @property
    def kinds(self) -> tuple[type, ...]:
        return (int,)

    @property
    def expected(self) -> str:
        return "an integer" + _between(self.low, self.high, LOWEST, HIGHEST)

    def checker(self) -> Check:
        low, high, expected = self.low, self.high, self.expected

        def check(value: Any) -> Any:
            if type(value) is int and low <= value <= high:
                return value
            raise unexpected(expected, describe(value))

        return check


@dataclass(frozen=True, slots=True)
class Number(Shape):
    """A float from ``low`` to ``high``; an integer stands for the float of the same value.

    That is what MessagePack encoders without two kinds of numbers send for 2.0. With ``integers`` the CDDL
    allows integers by itself, and they stay what they are.
    """

    low: float = -inf
    high: float = inf
    integers: bool = False

    @property
    def kinds(self) -> tuple[type, ...]:
        return (float, int)

    @property
    def expected(self) -> str:
        return "a number" + _between(self.low, self.high, -inf, inf)

    def checker(self) -> Check:
        low, high, expected, integers = self.low, self.high, self.expected, self.integers
        unbounded = (low, high) == (-inf, inf)  # only then NaN is welcome

        def check(value: Any) -> Any:
            kind = type(value)
            if (kind is float or kind is int) and (low <= value <= high or unbounded):
                return value if kind is float or integers else float(value)
            raise unexpected(expected, describe(value))

        return check


@dataclass(frozen=True, slots=True)
class Octets(Shape):
    """Binary of ``low`` to ``high`` bytes (None: any number)."""

    low: int = 0
    high: int | None = None

    @property
    def kinds(self) -> tuple[type, ...]:
        return (bytes,)

    @property
    def expected(self) -> str:
        return "binary" + of_length(self.low, self.high, "byte")

    def checker(self) -> Check:
        low, high, expected = self.low, self.high, self.expected
        limit = inf if high is None else high

        def check(value: Any) -> Any:
            if type(value) is bytes and low <= len(value) <= limit:
                return value
            if type(value) is bytes:
                _wrong_length(expected, len(value), low, limit)
            raise unexpected(expected, describe(value))

        return check


@dataclass(frozen=True, slots=True)
class Text(Shape):
    """Text of ``low`` to ``high`` bytes in UTF-8 (None: any number), as RFC 8610 3.8.1 counts."""

    low: int = 0
    high: int | None = None

    @property
    def kinds(self) -> tuple[type, ...]:
        return (str,)

    @property
    def expected(self) -> str:
        return "text" + of_length(self.low, self.high, "byte")

    def checker(self) -> Check:
        low, high, expected = self.low, self.high, self.expected
        limit = inf if high is None else high

        def check(value: Any) -> Any:
            if type(value) is not str:
                raise unexpected(expected, describe(value))
            size = len(value) if value.isascii() else len(value.encode())
            if low <= size <= limit:
                return value
            _wrong_length(expected, size, low, limit)

        return check if low or high is not None else Plain(str, "text").checker()


@dataclass(frozen=True, slots=True)
class Plain(Shape):
    """Any value of one type."""

    kind: type
    words: str

    @property
    def kinds(self) -> tuple[type, ...]:
        return (self.kind,)

    @property
    def expected(self) -> str:
        return self.words

    def checker(self) -> Check:
        wanted, expected = self.kind, self.words

        def check(value: Any) -> Any:
            if type(value) is wanted:
                return value
            raise unexpected(expected, describe(value))

        return check


@dataclass(frozen=True, slots=True)
class Anything(Shape):
    """Any value; the names in maps below it are names like all others."""

    @property
    def kinds(self) -> tuple[type, ...]:
        return (int, float, str, bytes, bool, list, dict, type(None))

    @property
    def expected(self) -> str:
        return "any value"

    def checker(self) -> Check:
        return to_python_names

    def renamer(self) -> Rename:
        return to_wire_names


@dataclass(frozen=True, slots=True)
class Literals(Shape):
    """One of several values; ``names`` has theirs, if it is not empty."""

    values: tuple[Value, ...]
    names: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[type, ...]:
        return tuple({type(value) for value in self.values})

    @property
    def expected(self) -> str:
        shown = [json.dumps(value) for value in self.values]
        if self.names:
            shown = [f"{value} ({name})" for value, name in zip(shown, self.names, strict=True)]
        return one_of(shown)

    def checker(self) -> Check:
        expected = self.expected
        allowed = {
            kind: frozenset(value for value in self.values if type(value) is kind) for kind in self.kinds
        }

        def check(value: Any) -> Any:
            same_kind = allowed.get(type(value))
            if same_kind is not None and value in same_kind:
                return value
            is_text = type(value) is str
            raise unexpected(expected, json.dumps(value[:SHOWN_TEXT]) if is_text else describe(value))

        return check


def one_of(words: Sequence[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _between(low: float, high: float, lowest: float, highest: float) -> str:
    if low > lowest and high < highest:
        return f" from {low} to {high}"
    if low > lowest:
        return f" of {low} or more"
    return f" of {high} or less" if high < highest else ""


def of_length(low: int, high: int | None, unit: str) -> str:
    if low == high:
        return f" of {_count(low, unit)}"
    if high is None:
        return f" of {_count(low, unit)} or more" if low else ""
    return f" of {low} to {_count(high, unit)}" if low else f" of at most {_count(high, unit)}"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _wrong_length(expected: str, size: int, low: float, high: float) -> NoReturn:
    """A length above a limit is TOO_LARGE; one that had to be a certain number is a bad request."""
    error = TooLarge if size > high and low != high else BadRequest
    raise unexpected(expected, _count(size, "byte"), error)
