"""The syntax tree of the CDDL (RFC 8610) in which payloads are written down.

One class for each construct of the subset that :mod:`.parser` reads; :func:`show` turns types back into text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..status import LocalError

Value: TypeAlias = int | float | str | bool


class SchemaError(LocalError):
    """A schema that is wrong, or uses what the subset does not have."""


@dataclass(frozen=True, slots=True)
class Literal:
    """One value: an integer, a float, text, true or false."""

    value: Value


@dataclass(frozen=True, slots=True)
class Range:
    """``low..high``, both included."""

    low: int | float
    high: int | float


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of a rule or of a type of the prelude."""

    name: str


@dataclass(frozen=True, slots=True)
class Control:
    """``target .size argument`` and the like; ``operator`` has no dot."""

    target: Type
    operator: str
    argument: Type


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several types."""

    options: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Enumeration:
    """``&( name: value, ... )``: one of several values that have names."""

    members: tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An array of ``minimum`` to ``maximum`` (None: any number of) items of one type."""

    item: Type
    minimum: int
    maximum: int | None


@dataclass(frozen=True, slots=True)
class Sequence:
    """An array of exactly these items."""

    items: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """``key: type`` of a map, possibly optional."""

    key: str
    type: Type
    optional: bool
    line: int


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The members of a named group, in a map."""

    group: str
    line: int


@dataclass(frozen=True, slots=True)
class Wildcard:
    """``* tstr => type``: any further keys."""

    type: Type
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """What stands between the braces of a map, or between the parentheses of a group."""

    members: tuple[Member | Inclusion | Wildcard, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """A map."""

    group: Group


Type: TypeAlias = Literal | Range | Reference | Control | Choice | Enumeration | Repeated | Sequence | Map


@dataclass(frozen=True, slots=True)
class Rule:
    """``name = body``; a body that is a :class:`Group` is no type. ``source`` is the file's name."""

    name: str
    body: Type | Group
    source: str
    line: int

    def error(self, problem: str, line: int | None = None) -> SchemaError:
        """The exception that says what is wrong, and where."""
        return SchemaError(f"{self.source}, line {line or self.line}, rule {self.name}: {problem}")


def show(node: Type) -> str:
    """``node`` as CDDL on one line, as documentation shows the type of a field."""
    match node:
        case Literal(value):
            return _literal(value)
        case Range(low, high):
            return f"{low}..{high}"
        case Reference(name):
            return name
        case Control(target, operator, argument):
            inner = show(argument)
            whole = show(target) if not isinstance(target, Choice) else f"({show(target)})"
            return f"{whole} .{operator} {inner if isinstance(argument, Literal) else f'({inner})'}"
        case Choice(options):
            return " / ".join(map(show, options))
        case Enumeration(members):
            return "&(" + ", ".join(f"{name}: {_literal(value)}" for name, value in members) + ")"
        case Repeated(item, minimum, maximum):
            times = f"{minimum}*{'' if maximum is None else maximum}"
            return f"[{ {'0*': '*', '1*': '+'}.get(times, times) } {show(item)}]"
        case Sequence(items):
            return "[" + ", ".join(map(show, items)) + "]"
        case Map(group):
            return "{" + ", ".join(map(_show_member, group.members)) + "}"


def _show_member(member: Member | Inclusion | Wildcard) -> str:
    match member:
        case Member(key, kind, optional):
            return f"{'? ' if optional else ''}{key}: {show(kind)}"
        case Inclusion(group):
            return group
        case Wildcard(kind):
            return f"* tstr => {show(kind)}"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
