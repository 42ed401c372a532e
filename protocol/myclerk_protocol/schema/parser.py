"""Reads the subset of CDDL (RFC 8610) in which payloads are written down: text in, syntax tree out.

What is read::

    rule  = name "=" (type / group)      group = "(" members ")"        only to be named inside of maps
    type  = type1 *("/" type1)           type1 = type2 [".." type2 / control type2]
    type2 = number / text / true / false / name / "(" type ")" / "{" members "}" / "[" items "]"
          / "&(" name ":" value, ... ")"
    members: ["?"] key ":" type, or the name of a group, or "*" tstr "=>" type
    items: one type with "*", "+" or "n*m", or any number of types without

Everything else is a :class:`.syntax.SchemaError` that names the rule and the line. Which controls apply to
which types is the compiler's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

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
    Sequence,
    Type,
    Value,
    Wildcard,
)

TOKEN = re.compile(
    r"""
      (?P<blank> [ \t\r\n]+ | ;[^\n]* )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* (?: -+[A-Za-z0-9_]+ )* )
    | (?P<number> -? (?: 0x[0-9A-Fa-f]+ | [0-9]+ (?: \.[0-9]+ )? ) )
    | (?P<text> "[^"\\\n]*" )
    | (?P<control> \.[a-z]+ )
    | (?P<mark> \.\.\. | \.\. | => | //= | /= | // | . )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is a group of :data:`TOKEN`; ``end`` stands behind the last one."""

    kind: str
    text: str
    line: int


def parse(text: str, source: str) -> list[Rule]:
    """The rules of ``text`` in their order. Raises SchemaError."""
    parser = _Parser(_tokens(text), source)
    rules = []
    while parser.token.kind != "end":
        rules.append(parser.rule())
    return rules


def _tokens(text: str) -> list[Token]:
    tokens, line = [], 1
    for match in TOKEN.finditer(text):
        if match.lastgroup != "blank":
            tokens.append(Token(match.lastgroup or "", match.group(), line))
        line += match.group().count("\n")
    tokens.append(Token("end", "the end of the text", line))
    return tokens


@dataclass(slots=True)
class _Parser:
    tokens: list[Token]
    source: str
    position: int = 0
    name: str = "(none)"

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    @property
    def behind(self) -> Token:
        """The token behind the current one."""
        return self.tokens[min(self.position + 1, len(self.tokens) - 1)]

    def fail(self, problem: str) -> NoReturn:
        raise Rule(self.name, Group(()), self.source, self.token.line).error(problem)

    def take(self, kind: str) -> str:
        token = self.token
        if token.kind != kind:
            self.fail(f"a {kind} is needed here, not {token.text}")
        self.position += 1
        return token.text

    def accept(self, mark: str) -> bool:
        if self.token.kind != "mark" or self.token.text != mark:
            return False
        self.position += 1
        return True

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            self.fail(f"{mark} is needed here, not {self.token.text}; the rest of CDDL is not in the subset")

    def rule(self) -> Rule:
        line = self.token.line
        self.name = self.take("name")
        self.expect("=")
        body = self.group(")") if self.at_group() else self.type()
        return Rule(self.name, body, self.source, line)

    def at_group(self) -> bool:
        """Whether the parenthesis that opens here holds a group's members, not a type; takes it then."""
        if self.token.text != "(" or self.token.kind != "mark":
            return False
        first, second = self.behind, self.tokens[min(self.position + 2, len(self.tokens) - 1)]
        members = first.text in ("?", "*", "+", ")") or (
            first.kind in ("name", "text") and second.text in (":", "=>", ",")
        )
        self.position += members
        return members

    def type(self) -> Type:
        options = [self.type1()]
        while self.accept("/"):
            options.append(self.type1())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def type1(self) -> Type:
        target = self.type2()
        if self.accept(".."):
            high = self.type2()
            if isinstance(target, Literal) and isinstance(high, Literal):
                return self.range(target.value, high.value)
            self.fail("a range lies between two numbers")
        if self.token.kind == "control":
            target = Control(target, self.take("control")[1:], self.type2())
        if self.token.kind == "control" or self.token.text == "..":
            self.fail("a type has one control or range; give the first a name to apply a second")
        return target

    def range(self, low: Value, high: Value) -> Range:
        for bound in (low, high):
            if type(bound) not in (int, float) or type(bound) is not type(low):
                self.fail("a range lies between two integers or two floats")
        assert not isinstance(low, str)
        assert not isinstance(high, str)
        if low > high:
            self.fail(f"the range {low}..{high} is empty")
        return Range(low, high)

    def type2(self) -> Type:
        token = self.token
        if token.kind == "number":
            return Literal(self.number())
        if token.kind == "text":
            return Literal(self.take("text")[1:-1])
        if token.kind == "name":
            name = self.take("name")
            return Literal(name == "true") if name in ("true", "false") else Reference(name)
        if self.accept("("):
            inner = self.type()
            self.expect(")")
            return inner
        if self.accept("{"):
            return Map(self.group("}"))
        if self.accept("["):
            return self.array()
        if not self.accept("&"):
            self.fail(f"{token.text} is not in the subset of CDDL that is used here")
        return self.enumeration()

    def number(self) -> int | float:
        text = self.take("number")
        return float(text) if "." in text else int(text, 0 if "0x" in text else 10)

    def group(self, end: str) -> Group:
        members: list[Member | Inclusion | Wildcard] = []
        while not self.accept(end):
            members.append(self.member())
            if not self.accept(",") and self.token.text != end:
                self.fail(f"a comma or {end} is needed here, not {self.token.text}")
        return Group(tuple(members))

    def member(self) -> Member | Inclusion | Wildcard:
        line = self.token.line
        if self.accept("*"):
            if self.take("name") not in ("tstr", "text"):
                self.fail("only `* tstr => type` stands for any further keys")
            self.expect("=>")
            return Wildcard(self.type(), line)
        optional = self.accept("?")
        if self.token.kind == "name" and self.behind.text != ":" and not optional:
            return Inclusion(self.take("name"), line)
        key = self.take("text")[1:-1] if self.token.kind == "text" else self.take("name")
        self.expect(":")
        return Member(key, self.type(), optional, line)

    def array(self) -> Type:
        repeated = self.occurrence()
        items: list[Type] = []
        while not self.accept("]"):
            items.append(self.type())
            if not self.accept(",") and self.token.text != "]":
                self.fail(f"a comma or ] is needed here, not {self.token.text}")
        if repeated is None:
            return Sequence(tuple(items))
        if len(items) != 1:
            self.fail("an array has either one repeated type, or a fixed number of types")
        return Repeated(items[0], *repeated)

    def occurrence(self) -> tuple[int, int | None] | None:
        if self.accept("*"):
            return 0, None
        if self.accept("+"):
            return 1, None
        if self.token.kind != "number" or self.behind.text != "*":
            return None
        minimum = self.number()
        self.expect("*")
        maximum = self.number() if self.token.kind == "number" else None
        if isinstance(minimum, float) or isinstance(maximum, float) or minimum < 0:
            self.fail("how often an item occurs is a non-negative integer")
        if maximum is not None and maximum < minimum:
            self.fail(f"{minimum}*{maximum} items are impossible")
        return minimum, maximum

    def enumeration(self) -> Enumeration:
        self.expect("(")
        members: list[tuple[str, int | str]] = []
        while not self.accept(")"):
            name = self.take("name")
            self.expect(":")
            value = self.type2()
            if not isinstance(value, Literal) or type(value.value) not in (int, str):
                self.fail(f"the value of {name} in an enumeration is an integer or text")
            assert isinstance(value.value, int | str)
            members.append((name, value.value))
            if not self.accept(",") and self.token.text != ")":
                self.fail(f"a comma or ) is needed here, not {self.token.text}")
        return Enumeration(tuple(members))
