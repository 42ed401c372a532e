"""The words and pictures of i2c-tools: what i2ctransfer and i2cset read, what i2cdetect and i2cdump draw."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from ..i2c import I2cMessage, read, read_block, write

FLAGS = {
    "i": "ignore_nak",
    "n": "no_read_ack",
    "p": "stop",
    "s": "no_start",
    "t": "reverse_direction",
}
"""The letters before the direction of a message, and what they are called in the API."""

FILLS: Mapping[str, Callable[[int], int]] = {
    "=": lambda value: value,
    "+": lambda value: value + 1,
    "-": lambda value: value - 1,
    "p": lambda value: _rotated(((value ^ 27) + 13) & 0xFF),
}
"""The suffixes of a data byte: what comes behind each byte until the message is full."""

_DESCRIPTION = re.compile(r"([inpst]*)([rw])(\?|0[xX][0-9a-fA-F]+|[0-9]+)(?:@(\w+))?")
_DATA = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)([=+p-]?)")
_MODE = re.compile(r"([bcwWis])(p?)")


def _rotated(value: int) -> int:
    return (value << 1 | value >> 7) & 0xFF


def _refuse(text: str) -> click.BadParameter:
    return click.BadParameter(text)


# -- words -------------------------------------------------------------------------------------------------


def parse_transfer(words: Sequence[str]) -> list[I2cMessage]:
    """Messages from i2ctransfer's words: ``w1@0x50 0x10 r6``. Raises BadParameter."""
    messages: list[I2cMessage] = []
    rest, address = list(words), None
    while rest:
        word = rest.pop(0)
        match = _DESCRIPTION.fullmatch(word)
        if match is None:
            raise _refuse(f"{word!r} describes no message; write w1@0x50 or r6, the data behind it")
        letters, direction, length, at = match.groups()
        address = address if at is None else _number(at, 0x7F, "an address")
        if address is None:
            raise _refuse(f"{word!r} says no address, nor did one before it: write {word}@0x50")
        flags = {FLAGS[letter]: True for letter in letters}
        if length == "?":
            if direction == "w":
                raise _refuse(f"{word!r}: only a read can have its length from the device")
            messages.append(read_block(address, **flags))
        elif direction == "r":
            messages.append(read(address, _number(length, 8192, "a length"), **flags))
        else:
            data = _take_data(rest, _number(length, 8192, "a length"), word)
            messages.append(write(address, data, **flags))
    if not messages:
        raise _refuse("say what to transfer: w1@0x50 0x10 r6")
    return messages


def _take_data(rest: list[str], length: int, description: str) -> bytes:
    """The data words of a write message, taken off ``rest``."""
    data = bytearray()
    while len(data) < length:
        match = _DATA.fullmatch(rest[0]) if rest else None
        if match is None:
            raise _refuse(f"{description} needs {length} bytes of data, not {len(data)}")
        rest.pop(0)
        value = _number(match[1], 0xFF, "a byte")
        data.append(value)
        if match[2]:
            while len(data) < length:
                value = FILLS[match[2]](value) & 0xFF
                data.append(value)
    return bytes(data)


def parse_mode(word: str, allowed: str) -> tuple[str, bool]:
    """A mode of i2cget and its kin, such as ``wp``: its letter, whether there is a checksum. Raises BadParameter."""
    match = _MODE.fullmatch(word)
    if match is None or match[1] not in allowed:
        raise _refuse(f"{word!r} is no mode; there are: {', '.join(allowed)}, each with p for PEC")
    if match[2] and match[1] == "i":
        raise _refuse("I2C blocks have no checksum: ip is no mode")
    return match[1], bool(match[2])


def parse_values(words: Sequence[str]) -> tuple[list[int], str, bool]:
    """i2cset's values and mode, the default of which depends on the values. Raises BadParameter."""
    rest = list(words)
    mode, pec = "b" if rest else "c", False
    if rest and _MODE.fullmatch(rest[-1]):
        mode, pec = parse_mode(rest.pop(), "cbwis")
    largest = 0xFFFF if mode == "w" else 0xFF
    values = [_number(word, largest, "a value") for word in rest]
    if mode in "bwc" and len(values) != (0 if mode == "c" else 1):
        raise _refuse(f"mode {mode} takes {'no value' if mode == 'c' else 'one value'}")
    if mode in "is" and not 1 <= len(values) <= 32:
        raise _refuse(f"mode {mode} takes 1 to 32 values")
    return values, mode, pec


def parse_range(text: str) -> tuple[int, int]:
    """i2cdump's FIRST-LAST. Raises BadParameter."""
    first, dash, last = text.partition("-")
    if not dash:
        raise _refuse("a range is written FIRST-LAST: 0x00-0x3f")
    limits = _number(first, 0xFF, "a register"), _number(last, 0xFF, "a register")
    if limits[0] > limits[1]:
        raise _refuse("the range's first register is above its last")
    return limits


def _number(text: str, largest: int, what: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= largest:
        raise _refuse(f"{text!r} is not {what} from 0 to 0x{largest:02x}")
    return number


# -- pictures ----------------------------------------------------------------------------------------------

GRID_HEAD = "     " + "  ".join(f"{column:x}" for column in range(16))


class Grid:
    """i2cdetect's picture, row by row as the probes come."""

    def __init__(self) -> None:
        self._cells: dict[int, str] = {}
        self._next = 0

    def add(self, probe: Mapping[str, Any]) -> None:
        """Note one probe."""
        address = probe["address"]
        cells = {"present": f"{address:02x}", "busy": "UU", "absent": "--"}
        self._cells[address] = cells.get(probe["state"], "  ")

    def rows(self, behind: int) -> Iterator[str]:
        """The rows not drawn yet in which everything below address ``behind`` is known."""
        while self._next + 16 <= min(behind, 0x80):
            start, self._next = self._next, self._next + 16
            yield f"{start:02x}: " + "".join(f"{self._cells.get(start + i, '  ')} " for i in range(16))


def draw_bytes(values: Mapping[int, int | None]) -> Iterator[str]:
    """i2cdump's picture of registers, None where reading failed; only rows that have some."""
    yield f"{GRID_HEAD}    0123456789abcdef"
    for start in sorted({register & ~15 for register in values}):
        row = range(start, start + 16)
        cells = "".join(_cell(values, register) for register in row)
        text = "".join(_character(values, register) for register in row)
        yield f"{start:02x}: {cells}   {text}"


def _cell(values: Mapping[int, int | None], register: int) -> str:
    if register not in values:
        return "   "
    value = values[register]
    return "XX " if value is None else f"{value:02x} "


def _character(values: Mapping[int, int | None], register: int) -> str:
    if register not in values:
        return " "
    value = values[register]
    if value is None:
        return "X"
    if value in (0x00, 0xFF):
        return "."
    return chr(value) if 32 <= value < 127 else "?"


def draw_words(values: Mapping[int, int | None]) -> Iterator[str]:
    """i2cdump's picture of registers that are words."""
    yield "     0,8  1,9  2,a  3,b  4,c  5,d  6,e  7,f"
    for start in sorted({register & ~7 for register in values}):
        cells = []
        for register in range(start, start + 8):
            value = values.get(register)
            cells.append("     " if register not in values else "XXXX " if value is None else f"{value:04x} ")
        yield f"{start:02x}: {''.join(cells)}"
