"""Numbers, bytes and dumps on the command line, written as hardware people write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import click

_DIGITS = re.compile(r"(?:[0-9a-fA-F]{2})+")


def integer(least: int, largest: int) -> Callable[[str | int], int]:
    """A type for options and arguments: decimal, hexadecimal (0x48) or octal (0o110), within limits."""

    def number(value: str | int) -> int:
        try:
            found = value if isinstance(value, int) else int(value, 0)
        except ValueError:
            raise click.BadParameter(f"{value!r} is no number") from None
        if not least <= found <= largest:
            raise click.BadParameter(f"{value} is not in the range 0x{least:02x} to 0x{largest:02x}")
        return found

    return number


BYTE = integer(0, 0xFF)


def hex_bytes(words: Iterable[str]) -> bytes:
    """Bytes from words like "9f", "0x9f", "9f0000ff" and "9f 00 00". Raises BadParameter."""
    data = bytearray()
    for word in " ".join(words).split():
        digits = word[2:] if word[:2] in ("0x", "0X") else word
        if _DIGITS.fullmatch(digits) is None:
            raise click.BadParameter(
                f"{word!r} is no byte in hexadecimal; write 9f, 0x9f, or several: 9f0000"
            )
        data += bytes.fromhex(digits)
    return bytes(data)


def hex_line(data: bytes, prefix: str = "") -> str:
    """``9f 00``, or with the prefix "0x" as i2c-tools has it, ``0x9f 0x00``."""
    return " ".join(f"{prefix}{byte:02x}" for byte in data)


def dump(data: bytes) -> Iterator[str]:
    """Lines like those of xxd: offset, 16 bytes in pairs, the same as text."""
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        pairs = " ".join(row[i : i + 2].hex() for i in range(0, len(row), 2))
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:08x}: {pairs:<39}  {text}"
