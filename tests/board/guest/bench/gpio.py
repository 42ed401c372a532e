"""GPIO and PWM: what is wired to the pins (Documentation/admin-guide/gpio/gpio-sim.rst)."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

CONFIGFS = Path("/sys/kernel/config/gpio-sim")
PLATFORM = Path("/sys/devices/platform")
PWM_DEBUG = Path("/sys/kernel/debug/pwm")

CHIPS: dict[str, tuple[str | None, ...]] = {
    "board": ("BUTTON", "LED", "RELAY", "SENSOR", "LINE4", "LINE5", "LINE6", "LINE7"),
    "spare": (None, None, None, None),
}
"""Names of the lines, by the chip's label."""
HOGGED = ("spare", 3, "reserved")
"""Chip, line and consumer of a line that the kernel itself uses."""

PULLS = ("up", "down")
_ACTUAL = re.compile(r"actual configuration:\s+(en|dis)abled, (\d+)/(\d+) ns, (normal|inverse) polarity")


class Gpio:
    """The chips, and what pulls at their lines. A line is a name or an offset."""

    def set_up(self) -> None:
        """Make the chips."""
        for label, names in CHIPS.items():
            bank = CONFIGFS / label / "bank0"
            bank.mkdir(parents=True)
            (bank / "num_lines").write_text(str(len(names)))
            (bank / "label").write_text(label)
            for offset, name in enumerate(names):
                if name is not None:
                    (bank / f"line{offset}").mkdir()
                    (bank / f"line{offset}" / "name").write_text(name)
            if label == HOGGED[0]:
                hog = bank / f"line{HOGGED[1]}" / "hog"
                hog.mkdir(parents=True)
                (hog / "name").write_text(HOGGED[2])
                (hog / "direction").write_text("output-high")
            (CONFIGFS / label / "live").write_text("1")

    async def gpio_pull(self, line: str | int, pull: str, chip: str = "board") -> None:
        """Pull a line "up" or "down"; an input sees an edge if that changes it."""
        self._attribute(chip, line, "pull").write_text(_pull(pull))

    async def gpio_value(self, line: str | int, chip: str = "board") -> int:
        """The level of a line, 0 or 1: what an output drives, what an input is pulled to."""
        return int(self._attribute(chip, line, "value").read_text())

    async def gpio_pulse_train(
        self, line: str | int, count: int, hertz: float, chip: str = "board"
    ) -> dict[str, Any]:
        """Pull a line up and down ``count`` times: {count, edges, seconds}.

        ``hertz`` is pulses per second at most; a board in emulation reaches some thousands.
        """
        path = self._attribute(chip, line, "pull")
        seconds = await asyncio.to_thread(_pulse_train, path, count, 1 / hertz)
        return {"count": count, "edges": 2 * count, "seconds": seconds}

    async def gpio_unplug(self, chip: str) -> None:
        """Remove a chip, as a GPIO adapter that is pulled out."""
        await asyncio.to_thread((CONFIGFS / chip / "live").write_text, "0")

    async def gpio_plug(self, chip: str) -> str:
        """Bring it back; the name of its device ("gpiochip2")."""
        (CONFIGFS / chip / "live").write_text("1")
        return _read(CONFIGFS / chip / "bank0" / "chip_name")

    async def pwm_state(self) -> list[dict[str, Any]]:
        """What each channel of the PWM chip puts out: {enabled, period_ns, duty_ns, polarity}."""
        return [
            {
                "enabled": enabled == "en",
                "period_ns": int(period),
                "duty_ns": int(duty),
                "polarity": "normal" if polarity == "normal" else "inversed",
            }
            for enabled, duty, period, polarity in _ACTUAL.findall(PWM_DEBUG.read_text())
        ]

    def _attribute(self, chip: str, line: str | int, name: str) -> Path:
        if chip not in CHIPS:
            raise LookupError(f"no GPIO chip {chip}: it is one of {', '.join(CHIPS)}")
        offset = _offset(chip, line)
        device = _read(CONFIGFS / chip / "dev_name")
        return PLATFORM / device / _read(CONFIGFS / chip / "bank0" / "chip_name") / f"sim_gpio{offset}" / name


def _offset(chip: str, line: str | int) -> int:
    names = CHIPS[chip]
    if isinstance(line, int) and 0 <= line < len(names):
        return line
    if isinstance(line, str) and line in names:
        return names.index(line)
    raise LookupError(f"GPIO chip {chip} has no line {line!r}")


def _pull(pull: str) -> str:
    if pull not in PULLS:
        raise ValueError(f'a line is pulled "up" or "down", not {pull!r}')
    return f"pull-{pull}"


def _pulse_train(path: Path, count: int, period: float) -> float:
    """In a thread: edges at even times, as fast as it goes if it is late."""
    fd = os.open(path, os.O_WRONLY)
    tick = threading.Event()
    try:
        start = time.monotonic()
        for edge in range(2 * count):
            os.pwrite(fd, b"pull-down" if edge & 1 else b"pull-up", 0)
            wait = start + (edge + 1) * period / 2 - time.monotonic()
            if wait > 0:
                tick.wait(wait)
        return time.monotonic() - start
    finally:
        os.close(fd)


def _read(path: Path) -> str:
    return path.read_text().strip()
