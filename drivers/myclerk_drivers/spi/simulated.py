"""Simulated SPI devices (:mod:`myclerk_drivers.models`).

The table ``[spi]`` of a board's description has one table for each device, by bus and chip select::

    [spi]
    buffer-size = 4096             # bytes of one transfer, as spidev's bufsiz; this is the default

    [spi.devices."0.0"]
    model = "loopback"             # MOSI and MISO are connected

    [spi.devices."0.1"]
    model = "flash"                # a W25Qxx
    capacity = 8388608             # bytes, a power of two from 65536 to 16777216; the default
    contents = "48656c6c6f"        # hexadecimal, from address 0; the rest is erased
    time-scale = 1.0               # of programming and erasing; 0: they are done at once

The controller is a plain one: words of 8 bits, most significant bit first, one data line each way, clock rates up to
125 MHz. It ignores the clock's polarity and phase, which must fit a real chip.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..description import check_keys, get, load
from ..models.flash import Flash
from ..models.interfaces import SpiPeripheral
from .backend import Device
from .segments import Segment
from .settings import CLOCK_MODE, FLAGS, KernelSettings

FASTEST = 125_000_000
"""Hertz."""

ABILITIES = CLOCK_MODE | FLAGS["cs_high"] | FLAGS["no_cs"] | FLAGS["loop"] | FLAGS["three_wire"]
POWER_ON = KernelSettings(mode=0, bits_per_word=8, speed_hz=500_000)

_NAME = re.compile(r"([0-9]{1,5})\.([0-9]{1,5})")


class Loopback:
    """MOSI and MISO connected (:class:`..models.interfaces.SpiPeripheral`)."""

    def select(self) -> None:
        """Nothing listens."""

    def exchange(self, tx: bytes) -> bytes:
        """What is sent comes back."""
        return tx

    def deselect(self) -> None:
        """Nothing listened."""


class SimulatedDevice:
    """One chip select with a chip (:class:`.backend.OpenDevice`). Its settings outlive a close, as the kernel's do."""

    def __init__(self, chip: SpiPeripheral, buffer_size: int = 4096) -> None:
        self.chip = chip
        self.buffer_size = buffer_size
        self.messages = 0
        """How many were sent: how often chip select became active."""
        self._settings = POWER_ON
        self._selected = False

    def settings(self) -> KernelSettings:
        """What is in force."""
        return self._settings

    def set_mode(self, mode: int) -> None:
        """Set the mode bits, which releases chip select. Raises OSError EINVAL."""
        _require(mode & ~ABILITIES == 0)
        self._deselect()
        self._settings = replace(self._settings, mode=mode)

    def set_bits_per_word(self, bits: int) -> None:
        """Set the length of a word. Raises OSError EINVAL."""
        _require(bits == 8)
        self._settings = replace(self._settings, bits_per_word=bits)

    def set_speed(self, hertz: int) -> None:
        """Set the clock rate. Raises OSError EINVAL."""
        _require(hertz > 0)
        self._settings = replace(self._settings, speed_hz=hertz)

    def message(self, segments: Sequence[Segment]) -> list[bytes]:
        """Send all in one message. Raises OSError EMSGSIZE, EINVAL."""
        for sizes in (
            [segment.size for segment in segments if segment.data is not None],
            [segment.size for segment in segments if segment.receive],
        ):
            if sum(sizes) > self.buffer_size:
                raise OSError(errno.EMSGSIZE, "Message too long")
        _require(all(segment.bits_per_word == 8 for segment in segments))
        self.messages += 1
        received = []
        for i, segment in enumerate(segments):
            self._select()
            data = self._exchange(segment)
            if segment.receive:
                received.append(data)
            if segment.cs_change is not (i == len(segments) - 1):  # behind the last one it means the opposite
                self._deselect()
        return received

    def _exchange(self, segment: Segment) -> bytes:
        sent = bytes(segment.size) if segment.data is None else segment.data
        return sent if self._settings.mode & FLAGS["loop"] else self.chip.exchange(sent)

    def _select(self) -> None:
        if not self._selected and not self._settings.mode & FLAGS["no_cs"]:
            self._selected = True
            self.chip.select()

    def _deselect(self) -> None:
        if self._selected:
            self._selected = False
            self.chip.deselect()

    def close(self) -> None:
        """Nothing was opened."""


def _require(condition: bool) -> None:
    if not condition:
        raise OSError(errno.EINVAL, "Invalid argument")


class SimulatedSpi:
    """The devices of a simulated board (:class:`.backend.Backend`), by short name."""

    def __init__(self, chips: Mapping[str, SimulatedDevice], buffer_size: int = 4096) -> None:
        self.chips = dict(chips)
        self.buffer_size = buffer_size

    @classmethod
    def from_description(cls, table: Mapping[str, Any]) -> SimulatedSpi:
        """The devices that ``table`` tells of. Raises ValueError naming the key that is wrong."""
        check_keys(table, "spi", ("buffer-size", "devices"))
        buffer_size = get(table, "spi", "buffer-size", int, 4096)
        if not 1 <= buffer_size <= 1 << 20:
            raise ValueError("`spi.buffer-size` must lie between 1 and 1048576")
        chips = {}
        for name, device in get(table, "spi", "devices", dict, {}).items():
            where = f'spi.devices."{name}"'
            if _NAME.fullmatch(name) is None or not isinstance(device, dict):
                raise ValueError(
                    f'`{where}` must be a table named by bus and chip select: [spi.devices."0.1"]'
                )
            model = get(device, where, "model", str, "")
            if model not in MODELS:
                raise ValueError(f"`{where}.model` must be one of {', '.join(MODELS)}")
            chips[name] = SimulatedDevice(MODELS[model](device, where), buffer_size)
        return cls(chips, buffer_size)

    def devices(self) -> Sequence[Device]:
        """All devices, by bus and chip select."""
        return sorted(map(_device, self.chips), key=lambda device: (device.bus, device.chip_select))

    def device(self, name: str) -> Device | None:
        """The device of this short name, or None."""
        return _device(name) if name in self.chips else None

    def open(self, device: Device) -> SimulatedDevice:
        """A device."""
        return self.chips[device.name]


def _device(name: str) -> Device:
    bus, _, chip_select = name.partition(".")
    path = f"/dev/spidev{name}"
    return Device(int(bus), int(chip_select), path, "spi:spidev", "simulated", FASTEST)


def _loopback(table: Mapping[str, Any], where: str) -> SpiPeripheral:
    check_keys(table, where, ("model",))
    return Loopback()


def _flash(table: Mapping[str, Any], where: str) -> SpiPeripheral:
    check_keys(table, where, ("model", "capacity", "contents", "time-scale"))
    time_scale = get(table, where, "time-scale", (int, float), 1.0)
    try:
        flash = Flash(get(table, where, "capacity", int, 8 << 20), time_scale=time_scale)
    except ValueError as error:
        raise ValueError(f"`{where}.capacity`: {error}") from None
    memory = bytearray(flash.capacity)
    contents = get(table, where, "contents", str, "")
    load(memory, 0, contents, f"{where}.contents")
    flash.poke(0, bytes.fromhex(contents))
    return flash


MODELS: Mapping[str, Callable[[Mapping[str, Any], str], SpiPeripheral]] = {
    "loopback": _loopback,
    "flash": _flash,
}
"""What can be a simulated device."""
