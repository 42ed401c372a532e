"""What commands print: tables and text for people, JSON for programs. Nothing else writes to standard output.

Text that may come from a board is cleaned of control characters; only :meth:`Output.data` passes bytes on.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import click

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], object]]
"""Heading -> what a row shows below it; None shows nothing."""

UNLIMITED = 10_000
"""Columns of a table that goes to a file or a pipe: enough to break no line."""


def clean(text: str) -> str:
    """``text`` with everything that could steer a terminal (control, format, separators) as U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def jsonable(value: Any) -> Any:
    """``value`` for JSON: keys as on the wire (``in-use``), bytes as base64."""
    if isinstance(value, Mapping):
        return {str(key).replace("_", "-"): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def data_record(data: bytes) -> dict[str, str]:
    """Bytes for JSON: base64 as ``data``, and as ``text`` if they are UTF-8 that can be printed."""
    record = {"data": base64.b64encode(data).decode("ascii")}
    with suppress(UnicodeDecodeError):
        text = data.decode()
        if all(c.isprintable() or c in "\r\n\t" for c in text):
            record["text"] = text
    return record


class Output:
    """Standard output, for people or as JSON. BrokenPipeError when nobody reads it any more."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, value: Any, *lines: str) -> None:
        """The one result of a command, or one of a stream: ``value`` as a line of JSON, or ``lines``."""
        if self.as_json:
            self._json(value)
        else:
            self.say(*lines)

    def table(self, rows: Iterable[Row], columns: Columns, *, empty: str) -> None:
        """Rows as a JSON list, or the ``columns`` of a table; ``empty`` is a note when there are none."""
        rows = list(rows)
        if self.as_json:
            self._json(rows)
        elif rows:
            _write(_rendered(rows, columns))
        else:
            self.note(empty)

    def say(self, *lines: str) -> None:
        """Lines for people only."""
        if not self.as_json:
            for line in lines:
                _write(clean(line) + "\n")

    def data(self, data: bytes) -> None:
        """Bytes of a device, as they are; in JSON a line with ``data`` and ``text``."""
        if self.as_json:
            self._json(data_record(data))
        else:
            stream = sys.stdout.buffer
            stream.write(data)
            stream.flush()

    def note(self, text: str, end: str = "\n") -> None:
        """What is worth knowing but no result: to standard error, people only."""
        if not self.as_json:
            click.echo(f"myclerk: {clean(text)}{end}", err=True, nl=False)

    def _json(self, value: Any) -> None:
        _write(json.dumps(jsonable(value)) + "\n")


def abandon() -> None:
    """Nobody reads standard output any more: what is still in its buffer goes nowhere, without an error."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _rendered(rows: list[Row], columns: Columns) -> str:
    from rich.console import Console  # costs a tenth of a second, which most commands need not pay
    from rich.table import Table
    from rich.text import Text

    width = None if sys.stdout.isatty() else UNLIMITED
    console = Console(file=sys.stdout, width=width, highlight=False, emoji=False, markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        cells = (show(row) for show in columns.values())
        table.add_row(*(Text("" if cell is None else clean(str(cell))) for cell in cells))
    with console.capture() as captured:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
