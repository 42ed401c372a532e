"""What is typed into a console: escape commands told from data, line ends made CR LF. Pure, without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

ESCAPE = 0x1D
"""Ctrl-]"""

_LINE_END = re.compile(rb"\r\n?|\n")


class Action(Enum):
    """What Ctrl-] and a key ask for; the value is the key."""

    QUIT = "q"
    BREAK = "b"
    DTR = "d"
    RTS = "r"
    HELP = "?"


HELP = {
    Action.QUIT: "quit",
    Action.BREAK: "send a break",
    Action.DTR: "toggle DTR",
    Action.RTS: "toggle RTS",
    Action.HELP: "this help",
}
_BY_KEY = {ord(action.value): action for action in Action}


class EscapeReader:
    """Tells data from actions. Ctrl-] twice sends one Ctrl-]; a key without a meaning asks for help."""

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, typed: bytes) -> Iterator[bytes | Action]:
        """The data and actions that ``typed`` completes, in order."""
        data = bytearray()
        for byte in typed:
            if self._escaped:
                self._escaped = False
                if byte == ESCAPE:
                    data.append(byte)
                    continue
                if data:
                    yield bytes(data)
                    data.clear()
                yield _BY_KEY.get(byte | 0x20 if chr(byte).isalpha() else byte, Action.HELP)
            elif byte == ESCAPE:
                self._escaped = True
            else:
                data.append(byte)
        if data:
            yield bytes(data)


class LineEnds:
    """Makes each CR, LF or CR LF of what passes a CR LF, also where a pair is split between two pieces."""

    def __init__(self) -> None:
        self._after_return = False

    def convert(self, data: bytes) -> bytes:
        """The piece with its line ends converted."""
        if not data:
            return data
        if self._after_return and data[:1] == b"\n":
            data = data[1:]
            self._after_return = False
        if data:
            self._after_return = data[-1:] == b"\r"
        return _LINE_END.sub(b"\r\n", data)
