"""Hardware PWM through /sys/class/pwm (Documentation/driver-api/pwm.rst, Documentation/ABI/testing/sysfs-class-pwm)."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from .backend import PwmChip, Waveform

PERMISSION_WAIT = 1.0
"""Seconds that udev has to hand an exported channel to the agent's group."""


def natural(name: str) -> tuple[str, int]:
    """gpiochip2 before gpiochip10."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or -1)


def list_pwm_chips(directory: Path) -> list[PwmChip]:
    """The chips below /sys/class/pwm. Never raises."""
    chips = []
    for path in sorted(directory.glob("pwmchip*"), key=lambda path: natural(path.name)):
        with suppress(OSError, ValueError):  # gone meanwhile
            channels = int((path / "npwm").read_text())
            chips.append(PwmChip(path.name, (path / "device").resolve().name, channels))
    return chips


class SysfsPwm:
    """A channel that we exported (:class:`.backend.PwmOutput`)."""

    def __init__(self, chip: Path, channel: int) -> None:
        """Export. Raises OSError; EBUSY when another program has the channel."""
        self._chip = chip
        self._channel = channel
        self._directory = chip / f"pwm{channel}"
        self._last: Waveform | None = None
        self._released = False
        if self._directory.exists():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        _write(chip / "export", channel)
        try:
            self._await_permission()
        except OSError:
            self.release()
            raise

    def apply(self, waveform: Waveform) -> None:
        """Set period, duty cycle, polarity and enable, in the order that the kernel takes. Raises OSError.

        At no moment may the duty cycle exceed the period, a period of 0 is refused with everything else, and
        polarity changes only while the channel is disabled.
        """
        last, self._last = self._last, None  # unknown while it changes
        turned = last is None or waveform.inversed != last.inversed
        if last is None:
            for name in ("enable", "duty_cycle"):
                self._set(name, 0, ignore=errno.EINVAL)  # before the first period: it stands still, then
        elif turned or not waveform.enabled:
            self._set("enable", 0)
        if last is not None and waveform.period_ns < last.period_ns:
            self._set("duty_cycle", min(waveform.duty_ns, last.duty_ns))
        if last is None or waveform.period_ns != last.period_ns:
            self._set("period", waveform.period_ns)
        self._set("duty_cycle", waveform.duty_ns)
        if turned:
            self._set_polarity(waveform.inversed)
        if waveform.enabled and (turned or last is None or not last.enabled):
            self._set("enable", 1)
        self._last = waveform

    def release(self) -> None:
        """Stop and unexport. Idempotent."""
        if self._released:
            return
        self._released = True
        for name in ("duty_cycle", "enable"):
            with suppress(OSError):  # a chip that is gone stands still
                self._set(name, 0)
        with suppress(OSError):
            _write(self._chip / "unexport", self._channel)

    def _set_polarity(self, inversed: bool) -> None:
        """Where a chip has no choice the kernel has no such file, or refuses what it is already."""
        wanted = "inversed" if inversed else "normal"
        path = self._directory / "polarity"
        try:
            if path.read_text().strip() != wanted:
                _write(path, wanted)
        except FileNotFoundError:
            if inversed:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)) from None

    def _set(self, name: str, value: int, ignore: int | None = None) -> None:
        try:
            _write(self._directory / name, value)
        except OSError as error:
            if error.errno != ignore:
                raise

    def _await_permission(self) -> None:
        deadline = time.monotonic() + PERMISSION_WAIT
        while not os.access(self._directory / "enable", os.W_OK):
            if time.monotonic() > deadline:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            time.sleep(0.01)


def _write(path: Path, value: int | str) -> None:
    """One write, as attributes of sysfs want it. Raises OSError, here and not when the file is closed."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)
