"""Reading the description of a simulated board strictly: each mistake is a ValueError that names its key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def check_keys(table: Mapping[str, Any], where: str, known: Iterable[str]) -> None:
    """Raise ValueError if ``table``, which is ``where``, has a key that is not known."""
    for key in table:
        if key not in known:
            raise ValueError(f"`{where}` has no key `{key}`; there are: {', '.join(known)}")


def get(
    table: Mapping[str, Any], where: str, key: str, kind: type | tuple[type, ...], default: Any = None
) -> Any:
    """``table[key]``, or ``default`` where it is absent. Raises ValueError if it is not of this ``kind``."""
    value = table.get(key, default)
    if key in table and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(KINDS[each] for each in kinds)
        raise ValueError(f"`{where}.{key}` must be {wanted}, not {value!r}")
    return value


KINDS = {
    str: "a text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def number(text: str, largest: int) -> int | None:
    """A key that is a number, 0x48 or 72, from 0 to ``largest``; None if it is none."""
    try:
        value = int(text, 0)
    except ValueError:
        return None
    return value if 0 <= value <= largest else None


def load(memory: bytearray, start: int, text: str, where: str) -> None:
    """Put hexadecimal digits into ``memory``. Raises ValueError if they are none, or too many."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"`{where}` must be hexadecimal digits") from None
    if start + len(data) > len(memory):
        raise ValueError(f"`{where}` has {len(data)} bytes; there is room for {len(memory) - start}")
    memory[start : start + len(data)] = data
