"""A picture of the 40-pin header of a Raspberry Pi, drawn from what the kernel says of its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEADER: Sequence[int | str] = (
    "3V3", "5V", 2, "5V", 3, "GND", 4, 14, "GND", 15, 17, 18, 27, "GND", 22, 23, "3V3", 24, 10, "GND",
    9, 25, 11, 8, "GND", 7, 0, 1, 5, "GND", 6, 12, 13, "GND", 19, 16, 26, 20, "GND", 21,
)  # fmt: skip
"""What is on pins 1 to 40: a supply, or a line of the first chip by its offset, which is its BCM number."""

Line = Mapping[str, Any]


def is_raspberry_pi(lines: Sequence[Line]) -> bool:
    """Whether these are all lines of a chip whose names are those of a Raspberry Pi's header.

    Old kernels name some lines by a second function (SDA1, TXD1), but never GPIO16 to GPIO27.
    """
    names = [line.get("name", "") for line in lines]
    return names[:1] in (["ID_SDA"], ["ID_SD"]) or names[16:28] == [f"GPIO{n}" for n in range(16, 28)]


def pinout(lines: Sequence[Line]) -> list[str]:
    """The picture: o is a free line, * a used one, = a supply. The first pin is at the top left."""
    by_offset = {line["offset"]: line for line in lines}
    sides = [_side(by_offset, pin) for pin in HEADER]
    state_width = max(len(state) for _, state, _ in sides[::2])
    name_width = max(len(name) for name, _, _ in sides)
    rows = []
    for index in range(0, len(HEADER), 2):
        (left, left_state, left_mark), (right, right_state, right_mark) = sides[index : index + 2]
        pins = f"{index + 1:>2} {left_mark} {right_mark} {index + 2:<2}"
        row = f"{left_state:>{state_width}}  {left:>{name_width}} {pins} {right:<{name_width}}  {right_state}"
        rows.append(row.rstrip())
    return rows


def _side(by_offset: Mapping[int, Line], pin: int | str) -> tuple[str, str, str]:
    """Name, state and mark of a pin."""
    line = by_offset.get(pin) if isinstance(pin, int) else None
    if line is None:
        return (f"GPIO{pin}" if isinstance(pin, int) else pin), "", "="
    name = line.get("name") or f"GPIO{pin}"
    shown = name if name == f"GPIO{pin}" else f"{name}/{pin}"
    words = [
        line["direction"],
        line["bias"] if line["bias"] != "unknown" else "",
        line.get("consumer") or ("kernel" if line["used"] else ""),
    ]
    return shown, " ".join(filter(None, words)), "*" if line["used"] else "o"
