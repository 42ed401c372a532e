"""Names of input events, as linux/input-event-codes.h has them; ``tools/input_codes.py`` made the table."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

EV_KEY, EV_ABS, EV_SW, EV_LED, EV_SND = 0x01, 0x03, 0x05, 0x11, 0x12
TYPES = {
    0x00: "EV_SYN", 0x01: "EV_KEY", 0x02: "EV_REL", 0x03: "EV_ABS", 0x04: "EV_MSC", 0x05: "EV_SW", 0x11: "EV_LED",
    0x12: "EV_SND", 0x14: "EV_REP", 0x15: "EV_FF",
}  # fmt: skip


def type_name(kind: int) -> str:
    """``EV_KEY`` for 1; the number where there is no name."""
    return TYPES.get(kind, str(kind))


def code_name(kind: int, code: int) -> str:
    """``KEY_A`` for 1, 30; the number where there is no name."""
    return _names().get((type_name(kind), code), str(code))


@cache
def _names() -> dict[tuple[str, int], str]:
    table = files(__package__).joinpath("input_codes.txt").read_text("ascii")
    rows = (line.split() for line in table.splitlines())
    return {(kind, int(code)): name for kind, code, name in rows}
