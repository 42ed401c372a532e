"""The schema of all payloads: CDDL files, compiled when they are first needed into decoders and encoders.

The ``*.cddl`` files beside this module are the one definition of what is in a payload. A rule is found by its
name: ``serial-port-open-request`` is what SERIAL_PORT_OPEN asks, ``-response`` what answers it successfully
(whatever the opcode of the answer), ``-push`` what the agent sends under this operation by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Self

from ..status import LocalError
from .compiler import compile_rules
from .maps import Field, MapType
from .parser import parse
from .shapes import Shape
from .syntax import SchemaError

__all__ = ["Field", "MapType", "Schema", "SchemaError"]

ROLES = ("request", "response", "push")


class Schema:
    """A set of CDDL texts, compiled. Immutable."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """Compile ``sources``, CDDL text by file name. Raises SchemaError, naming file, line and rule."""
        self.sources = dict(sources)
        rules = [rule for source, text in self.sources.items() for rule in parse(text, source)]
        self._source_of = {rule.name: rule.source for rule in rules}
        self._shapes = compile_rules(rules)

    @classmethod
    @cache
    def load(cls) -> Self:
        """The schema that comes with this package."""
        bundled = [file for file in files(__package__).iterdir() if file.name.endswith(".cddl")]
        return cls({file.name: file.read_text("utf-8") for file in sorted(bundled, key=lambda f: f.name)})

    def extended(self, text: str, source: str = "extension.cddl") -> Schema:
        """This schema and the rules of ``text``, which may name rules that are here already.

        Raises SchemaError, also when a rule of that name exists.
        """
        if source in self.sources:
            raise SchemaError(f"this schema has a {source} already")
        return Schema({**self.sources, source: text})

    @property
    def text(self) -> str:
        """All CDDL in one text, for other CDDL tools."""
        return "\n".join(self.sources.values())

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Every rule that is a type, by name."""
        return self._shapes

    @property
    def maps(self) -> Mapping[str, MapType]:
        """Every rule that is a map, by name."""
        return {name: shape for name, shape in self._shapes.items() if isinstance(shape, MapType)}

    def map(self, name: str) -> MapType:
        """The map rule of that name. Raises LocalError when there is none."""
        shape = self._shapes.get(name)
        if not isinstance(shape, MapType):
            raise LocalError(f"the schema has no map named {name}")
        return shape

    def request(self, operation: str) -> MapType | None:
        """What the operation of that registry name asks, or None when the schema does not know it."""
        return self._of(operation, "request")

    def response(self, operation: str) -> MapType | None:
        """What answers the operation when it succeeds, or None."""
        return self._of(operation, "response")

    def push(self, operation: str) -> MapType | None:
        """What the agent pushes under the operation, or None."""
        return self._of(operation, "push")

    def source(self, operation: str) -> str:
        """The name of the file that holds the operation's rules. Raises LocalError when there are none."""
        for role in ROLES:
            source = self._source_of.get(_rule_name(operation, role))
            if source is not None:
                return source
        raise LocalError(f"the schema has no rules for {operation}")

    def _of(self, operation: str, role: str) -> MapType | None:
        shape = self._shapes.get(_rule_name(operation, role))
        return shape if isinstance(shape, MapType) else None


def _rule_name(operation: str, role: str) -> str:
    return f"{operation.lower().replace('_', '-')}-{role}"
