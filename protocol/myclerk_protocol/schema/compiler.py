"""Turns rules into shapes: looks names up, applies controls, puts groups into maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .compounds import ArrayOf, Either, Fixed
from .maps import Field, MapType
from .names import python_name
from .shapes import (
    HIGHEST,
    LOWEST,
    Anything,
    Integer,
    Literals,
    Number,
    Octets,
    Plain,
    Shape,
    Text,
)
from .syntax import (
    Choice,
    Control,
    Enumeration,
    Group,
    Inclusion,
    Literal,
    Map,
    Member,
    Range,
    Reference,
    Repeated,
    Rule,
    SchemaError,
    Sequence,
    Type,
    Value,
    Wildcard,
    show,
)

PRELUDE: Mapping[str, Shape] = {
    "uint": Integer(0),
    "nint": Integer(high=-1),
    "int": Integer(),
    "tstr": Text(),
    "text": Text(),
    "bstr": Octets(),
    "bytes": Octets(),
    "bool": Plain(bool, "true or false"),
    "float": Number(),
    "float64": Number(),
    "number": Number(integers=True),
    "any": Anything(),
    "nil": Plain(type(None), "nil"),
}
"""What RFC 8610 appendix D calls its standard prelude, as far as payloads use it."""


def compile_rules(rules: Iterable[Rule]) -> dict[str, Shape]:
    """The shape of each rule that is a type, by name. Raises SchemaError."""
    by_name: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in PRELUDE:
            raise rule.error("this name belongs to the prelude")
        if rule.name in by_name:
            raise rule.error(f"{by_name[rule.name].source} has a rule of this name already")
        by_name[rule.name] = rule
    compiler = _Compiler(by_name)
    for rule in by_name.values():
        compiler.check(rule)
    return compiler.shapes


class _Compiler:
    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.shapes: dict[str, Shape] = {}
        self._rules = rules
        self._active: list[Rule] = []  # rules being compiled, each named by the one before
        self._line = 0

    def check(self, rule: Rule) -> None:
        """Compile a rule; a group too, although only maps keep what comes out."""
        if isinstance(rule.body, Group):
            self._enter(rule)
            self._map(rule.name, rule.body)
            self._active.pop()
        else:
            self._named(rule.name)

    def _error(self, problem: str) -> SchemaError:
        return self._active[-1].error(problem, self._line)

    def _enter(self, rule: Rule) -> None:
        if rule in self._active:
            raise self._error(f"{rule.name} contains itself; recursive rules are not in the subset")
        self._active.append(rule)
        self._line = rule.line

    def _rule(self, name: str) -> Rule:
        if name not in self._rules:
            raise self._error(f"there is no rule {name}")
        return self._rules[name]

    def _named(self, name: str) -> Shape:
        if name in PRELUDE:
            return PRELUDE[name]
        if name not in self.shapes:
            line = self._line
            rule = self._rules[name] if not self._active else self._rule(name)
            if isinstance(rule.body, Group):
                raise self._error(f"{name} is a group; it can only be named inside of a map")
            self._enter(rule)
            self.shapes[name] = self._shape(rule.body, name)
            self._active.pop()
            self._line = line
        return self.shapes[name]

    def _shape(self, node: Type, name: str = "(map)") -> Shape:
        match node:
            case Reference(named):
                return self._named(named)
            case Literal(value):
                return Literals((value,))
            case Range(low, high):
                return self._range(low, high)
            case Control():
                return self._control(node)
            case Choice(options):
                return self._choice([self._shape(option) for option in options])
            case Enumeration(members):
                return Literals(tuple(v for _, v in members), tuple(n for n, _ in members))
            case Repeated(item, minimum, maximum):
                return ArrayOf(self._shape(item), minimum, maximum)
            case Sequence(items):
                return Fixed(tuple(self._shape(item) for item in items))
            case Map(group):
                return self._map(name, group)

    def _range(self, low: float, high: float) -> Shape:
        if isinstance(low, int) and isinstance(high, int):
            if low < LOWEST or high > HIGHEST:
                raise self._error("MessagePack has integers from -2^63 to 2^64-1 only")
            return Integer(low, high)
        return Number(low, high)

    def _choice(self, options: list[Shape]) -> Shape:
        if all(isinstance(option, Literals) and not option.names for option in options):
            values: list[Value] = [v for o in options if isinstance(o, Literals) for v in o.values]
            return Literals(tuple(values))
        match options:
            case [Integer() as whole, Number() as real] if (whole.low, whole.high) == (real.low, real.high):
                return Number(whole.low, whole.high, integers=True)
        return Either(tuple(options))

    # -- controls ------------------------------------------------------------------------------------------

    def _control(self, node: Control) -> Shape:
        target = self._shape(node.target)
        match target, node.operator, node.argument:
            case Octets(0, None), "size", Literal(int(size)):
                return Octets(size, size)
            case Octets(0, None), "size", Range(int(low), int(high)):
                return Octets(low, high)
            case Text(0, None), "size", Literal(int(size)):
                return Text(size, size)
            case Text(0, None), "size", Range(int(low), int(high)):
                return Text(low, high)
            case Integer(0, high), "size", Literal(int(size)) if 1 <= size <= 8:
                return Integer(0, min(high, (1 << 8 * size) - 1))
            case Integer(), "le" | "ge" | "lt" | "gt", Literal(int(bound)):
                return self._bounded(target, node.operator, bound)
            case Number(low, high, integers), "le" | "ge", Literal(int(bound) | float(bound)):
                if node.operator == "le":
                    return Number(low, min(high, bound), integers)
                return Number(max(low, bound), high, integers)
        raise self._error(f"`{show(node)}` is not in the subset: .size goes with unrestricted bstr and tstr "
                          "and with uint (1 to 8 bytes), .le, .ge, .lt and .gt with integers, .le and .ge "
                          "with floats")  # fmt: skip

    def _bounded(self, target: Integer, operator: str, bound: int) -> Integer:
        low, high = target.low, target.high
        if operator in ("le", "lt"):
            high = min(high, bound - (operator == "lt"))
        else:
            low = max(low, bound + (operator == "gt"))
        if low > high:
            raise self._error("no integer satisfies this control")
        return Integer(low, high)

    # -- maps ----------------------------------------------------------------------------------------------

    def _map(self, name: str, group: Group) -> MapType:
        members: dict[str, tuple[Field, Shape]] = {}
        rest = self._members(group, members)
        return MapType(name, tuple(members.values()), rest)

    def _members(self, group: Group, members: dict[str, tuple[Field, Shape]]) -> Shape | None:
        """Add the members of ``group`` to ``members``, by Python name; the shape of further keys, if any."""
        rest: Shape | None = None
        for member in group.members:
            self._line = member.line
            match member:
                case Member(key, kind, optional):
                    field = Field(key, python_name(key), not optional, show(kind))
                    if field.name in members:
                        raise self._error(f"the key {key} is there twice")
                    members[field.name] = field, self._shape(kind)
                case Inclusion(named):
                    inner = self._included(named, members)
                    rest = inner or rest
                case Wildcard(kind):
                    rest = self._shape(kind)
            self._line = member.line
        return rest

    def _included(self, name: str, members: dict[str, tuple[Field, Shape]]) -> Shape | None:
        rule = self._rule(name)
        if not isinstance(rule.body, Group):
            raise self._error(f"{name} is a type; only a group can be named without a key")
        line = self._line
        self._enter(rule)
        rest = self._members(rule.body, members)
        self._active.pop()
        self._line = line
        return rest
