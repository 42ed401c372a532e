"""Holds payloads against the CDDL with two validators that share nothing with ours, or with each other.

Both have gaps, which are bridged by writing the CDDL in other words of the same meaning:

* pycddl 0.6.4 matches nothing against ranges of floats or of negative integers; it accepts unknown keys in
  maps within arrays and in empty maps; its Rust code panics over binary where literal text has to be.
* zcbor 0.9 has no bare words as keys, no enumerations as types and no ranges of floats, matches the keys of a
  map in the order of the rule only, and counts characters of text, not bytes.
"""

from __future__ import annotations

import math
import re
from typing import Any

import cbor2
import msgpack
import pycddl
from zcbor import CddlValidationError, DataTranslator

ITEMS_LIMIT = 4096  # zcbor wants to know how often `*` is at most
SLOW_SIZE = 16384  # zcbor formats each value for messages that nobody reads: minutes, from some size on
ZCBOR_PRELUDE = "\nnumber = int / float\ntext = tstr\nbytes = bstr\n"

NUMBER = r"-?\d+(?:\.\d+)?"
HARD_RANGE = re.compile(rf"(?<![\w.])(-\d+|-?\d+\.\d+)\.\.({NUMBER})")


class _Translator(DataTranslator):  # type: ignore[misc]  # zcbor has no types
    """Makes tuples with named fields of what it reads; no field must have the name of a Python keyword."""

    def id(self) -> str:
        return f"{super().id()}_"


class CddlChecker:
    """Validators for the rules of one CDDL text; what is compiled is kept."""

    def __init__(self, text: str) -> None:
        plain = re.sub(r";.*", "", text)
        self._pycddl_text = HARD_RANGE.sub(_range_for_pycddl, plain)
        self._pycddl: dict[str, pycddl.Schema] = {}
        rewritten = _for_zcbor(plain) + ZCBOR_PRELUDE
        self._types = _Translator.from_cddl(rewritten, ITEMS_LIMIT).my_types
        self._nodes = [node for root in self._types.values() for node in _descendants(root)]

    def check(self, rule: str, payload: bytes) -> None:
        """Raise AssertionError unless the MessagePack ``payload`` is what ``rule`` says."""
        refusals = self.refusals(rule, payload)
        shown = _without_nil(msgpack.unpackb(payload)) if payload else {}
        assert not refusals, f"{rule} does not fit {shown!r:.2000}: {refusals}"

    def refusals(self, rule: str, payload: bytes) -> dict[str, str]:
        """What each validator that refuses ``payload`` says, by its name."""
        value = _without_nil(msgpack.unpackb(payload)) if payload else {}
        refusals = {}
        try:
            self._pycddl_schema(rule).validate_cbor(cbor2.dumps(value))
        except BaseException as error:
            if not isinstance(error, pycddl.ValidationError) and type(error).__name__ != "PanicException":
                raise
            refusals["pycddl"] = str(error)
        if len(payload) <= SLOW_SIZE:
            node = self._types[rule]
            try:
                node.validate_str(cbor2.dumps(self._ordered(value, node)))
            except CddlValidationError as error:
                refusals["zcbor"] = str(error)
            for node in self._nodes:
                node.errors.clear()
        return refusals

    def _pycddl_schema(self, rule: str) -> pycddl.Schema:
        if rule not in self._pycddl:
            self._pycddl[rule] = pycddl.Schema(f"root-of-the-check = {rule}\n{self._pycddl_text}")
        return self._pycddl[rule]

    def _ordered(self, value: Any, node: Any) -> Any:
        """``value`` with the keys of its maps in the order of their rules."""
        while node.type == "OTHER":
            node = self._types[node.value]
        if isinstance(value, list) and node.type == "LIST":
            items = node.value * len(value) if len(node.value) == 1 else node.value
            return [self._ordered(item, items[i]) if i < len(items) else item for i, item in enumerate(value)]
        if not isinstance(value, dict) or node.type != "MAP":
            return value
        members = {member.key.value: member for member in self._members(node)}
        known = {key: self._ordered(value[key], members[key]) for key in members if key in value}
        return known | {key: item for key, item in value.items() if key not in members}

    def _members(self, node: Any) -> list[Any]:
        members = []
        for member in node.value:
            if member.key is not None:
                members.append(member)
            else:
                members += self._members(self._types[member.value] if member.type == "OTHER" else member)
        return members


def _without_nil(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nil(item) for key, item in value.items() if item is not None}
    return [_without_nil(item) for item in value] if isinstance(value, list) else value


def _range_for_pycddl(match: re.Match[str]) -> str:
    kind = "float64" if "." in match[1] else "int"
    return f"(({kind} .ge {match[1]}) .and ({kind} .le {match[2]}))"


def _for_zcbor(text: str) -> str:
    text = re.sub(
        r"&\s*\(([^)]*)\)", lambda m: "(" + re.sub(r"[\w-]+\s*:", "", m[1]).replace(",", " /") + ")", text
    )
    text = re.sub(r"(?<![\w\"-])([A-Za-z][\w-]*)(?=\s*:)", r'"\1"', text)
    return HARD_RANGE.sub(_range_for_zcbor, text)


def _range_for_zcbor(match: re.Match[str]) -> str:
    if "." not in match[1]:
        return match[0]
    low, high = math.floor(float(match[1])), math.ceil(float(match[2]))  # pycddl judges fractions
    return f"float64 .ge {low} .le {high}"


def _descendants(node: Any) -> list[Any]:
    children = list(node.value) if isinstance(node.value, list) else []
    if node.key is not None:
        children.append(node.key)
    return [node, *(found for child in children for found in _descendants(child))]
