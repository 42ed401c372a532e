"""Simulated GPIO and PWM chips.

The table ``[gpio]`` of a board's description::

    [gpio]
    wires = [["gpiochip0/LED", "gpiochip0/SENSOR"]]   # these lines are soldered together
    pwm-chips = [2]                                   # pwmchip0 with two channels

    [[gpio.chips]]                                    # gpiochip0, the next one is gpiochip1
    label = "board"                                   # default: simulated
    lines = ["BUTTON", "LED", "SENSOR", ""]           # names by offset, or just how many lines: 8
    pulls = { BUTTON = "up" }                         # resistors, by name or offset: "up" or "down"

Lines that are wired together have one level: that of the output that drives it, low when outputs fight, else
that of a resistor or bias, else low. Each change of the level is an edge, with the time of the change, on every
line of the wire that detects it. A line that is released drives no more, as on most boards.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ..description import check_keys
from .backend import Chip, PwmChip
from .simulated_lines import SimulatedLines
from .simulated_pwm import SimulatedPwm

KEYS = ("chips", "wires", "pwm-chips")
CHIP_KEYS = ("label", "lines", "pulls")
MOST = 1024
"""Lines of a chip, channels of a PWM chip."""


class SimulatedGpio(SimulatedLines):
    """The chips of a simulated board (:class:`.backend.GpioBackend`). Thread-safe, as the kernel is."""

    def __init__(
        self,
        chips: Sequence[Chip],
        wires: Sequence[Sequence[tuple[str, int]]] = (),
        pulls: Mapping[tuple[str, int], bool] | None = None,
        pwm_channels: Sequence[int] = (),
    ) -> None:
        """``wires`` join lines, each (chip, offset); ``pulls`` are resistors, True = up."""
        super().__init__(chips, wires, pulls or {})
        self._pwm_chips = [
            PwmChip(f"pwmchip{number}", "simulated", channels) for number, channels in enumerate(pwm_channels)
        ]
        self._pwm_outputs: dict[tuple[str, int], SimulatedPwm] = {}
        self._pwm_lock = threading.Lock()

    @classmethod
    def from_description(cls, table: Mapping[str, Any]) -> SimulatedGpio:
        """The chips that ``table`` tells of. Raises ValueError naming what is wrong."""
        check_keys(table, "gpio", KEYS)
        described = _listed("gpio.chips", table.get("chips", []))
        chips = [_chip(number, entry) for number, entry in enumerate(described)]
        pulls = {}
        for chip, entry in zip(chips, described, strict=True):
            for line, pull in entry.get("pulls", {}).items():
                where = f"`gpio.chips.pulls.{line}`"
                if pull not in ("up", "down"):
                    raise ValueError(f'{where} must be "up" or "down"')
                pulls[chip.name, _offset(chip, str(line), where)] = pull == "up"
        wires = [_wire(chips, wire) for wire in _listed("gpio.wires", table.get("wires", []))]
        channels = _listed("gpio.pwm-chips", table.get("pwm-chips", []))
        if not all(type(count) is int and 1 <= count <= MOST for count in channels):
            raise ValueError(f"`gpio.pwm-chips` must be numbers of channels, each from 1 to {MOST}")
        if not chips and not channels:
            raise ValueError("`gpio` describes no chip: write [[gpio.chips]] or pwm-chips = [2]")
        return cls(chips, wires, pulls, channels)

    def pwm_chips(self) -> Sequence[PwmChip]:
        """The PWM chips."""
        return self._pwm_chips

    def pwm(self, chip: str, channel: int) -> SimulatedPwm:
        """Take a channel. Raises OSError: EBUSY when it is taken."""
        with self._pwm_lock:
            output = self._pwm_outputs.setdefault((chip, channel), SimulatedPwm())
            output.take()
            return output


def _listed(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"`{where}` must be a list")
    return value


def _chip(number: int, entry: Any) -> Chip:
    if not isinstance(entry, dict):
        raise ValueError("`gpio.chips` must be a list of tables: write [[gpio.chips]]")
    check_keys(entry, "gpio.chips", CHIP_KEYS)
    label, lines, pulls = entry.get("label", "simulated"), entry.get("lines"), entry.get("pulls", {})
    if not isinstance(label, str) or not label:
        raise ValueError("`gpio.chips.label` must be a text")
    if type(lines) is int and 1 <= lines <= MOST:
        lines = [""] * lines
    if not isinstance(lines, list) or not 1 <= len(lines) <= MOST:
        raise ValueError("`gpio.chips.lines` must be the names of the lines, or how many there are")
    if not all(isinstance(name, str) and len(name.encode()) <= 31 for name in lines):
        raise ValueError('`gpio.chips.lines` must be names of at most 31 bytes; "" is a line without one')
    if not isinstance(pulls, dict):
        raise ValueError('`gpio.chips.pulls` must be a table: { BUTTON = "up" }')
    return Chip(f"gpiochip{number}", label, tuple(lines))


def _wire(chips: Sequence[Chip], wire: Any) -> list[tuple[str, int]]:
    if not isinstance(wire, list) or len(wire) < 2 or not all(isinstance(end, str) for end in wire):
        raise ValueError('`gpio.wires` must be lists of two or more lines: [["gpiochip0/1", "gpiochip0/2"]]')
    ends = []
    for end in wire:
        name, _, line = end.partition("/")
        chip = next((chip for chip in chips if chip.name == name), None)
        if chip is None:
            raise ValueError(f"`gpio.wires`: there is no chip `{name}` for `{end}`")
        ends.append((chip.name, _offset(chip, line, f"`gpio.wires`: `{end}`")))
    return ends


def _offset(chip: Chip, line: str, where: str) -> int:
    if line and chip.line_names.count(line) == 1:
        return chip.line_names.index(line)
    if line.isdecimal() and int(line) < len(chip.line_names):
        return int(line)
    raise ValueError(f"{where}: {chip.name} has no line `{line}`")
