"""A TOML text that knows on which line each of its keys stands, which ``tomllib`` does not tell.

The text is valid TOML already when it is scanned here, so the scanner only has to tell keys from values:
strings, comments and brackets are tokens, everything else inside a value is skipped.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from myclerk_protocol.status import MyClerkError

Path = tuple[str, ...]

TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<string>\"{3}(?:[^\\]|\\.)*?\"{3,5} | '{3}.*?'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*')
  | (?P<bare>[A-Za-z0-9_-]+)
  | (?P<newline>\n)
  | (?P<opening>[\[{])
  | (?P<closing>[\]}])
  | (?P<equals>=)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class ConfigError(MyClerkError):
    """A setting that cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings came from: ``origin`` (a file's path), and the line of each dotted key, from 1."""

    origin: str = "built-in defaults"
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False)

    def line(self, path: Path) -> int | None:
        """The line of ``path``, or of the nearest thing around it that has one (an inline table, a table)."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return None

    def error(self, path: Path, sentence: str) -> ConfigError:
        """The error that says ``sentence`` about the setting at ``path``."""
        line = self.line(path)
        return ConfigError(
            f"{self.origin}: {sentence}" if line is None else f"{self.origin}:{line}: {sentence}"
        )


def parse_toml(text: str, origin: str) -> tuple[dict[str, Any], Source]:
    """The tables of a TOML text and its source.

    Raises ConfigError with the line when the text is not TOML.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        sentence = str(error)[: found.start()] if found else str(error)
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        raise ConfigError(f"{origin}:{line}: {sentence[:1].lower()}{sentence[1:]}") from None
    return tables, Source(origin, key_lines(text))


def key_lines(text: str) -> dict[Path, int]:
    """The line of each table and each ``key =`` of a valid TOML text, by its dotted path.

    What stands inside an inline table or an array has no entry of its own.
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    for line, keys, is_header in _statements(text):
        path = keys if is_header else (*table, *keys)
        table = keys if is_header else table
        for depth in range(1, len(path) + 1):
            lines.setdefault(path[:depth], line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, Path, bool]]:
    """Line, key and whether it is a table's header, of each statement of ``text``."""
    line = start = 1
    keys: list[str] = []
    depth = 0  # of the brackets within a value
    state = "start"  # of a statement, then "header" (within the brackets) or "key" (before =), then "value"
    for token in TOKEN.finditer(text):
        kind, value = token.lastgroup, token[0]
        if state == "value":
            depth = max(0, depth + (kind == "opening") - (kind == "closing"))
            if kind == "newline" and depth == 0:
                state = "start"
        elif kind == "opening":
            state, start = "header", line
        elif kind in ("bare", "string"):
            if state == "start":
                state, start = "key", line
            keys.append(value if kind == "bare" else tomllib.loads(f"key = {value}")["key"])
        elif kind in ("equals", "closing"):
            yield start, tuple(keys), kind == "closing"
            state, keys = "value", []
        line += value.count("\n")
