"""Settings of an open device: the kernel's bits (include/uapi/linux/spi/spi.h) and the schema's names for them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myclerk_protocol.status import BadRequest, Unsupported

from .faults import setting_fault

if TYPE_CHECKING:
    from .backend import OpenDevice

CLOCK_MODE = 0x03
FLAGS = {
    "cs_high": 0x04,
    "lsb_first": 0x08,
    "three_wire": 0x10,
    "loop": 0x20,
    "no_cs": 0x40,
    "ready": 0x80,
}
LINES = {
    "tx_lines": {2: 0x0100, 4: 0x0200, 8: 0x2000},
    "rx_lines": {2: 0x0400, 4: 0x0800, 8: 0x4000},
}
"""The mode bit for each number of data lines above one."""

DELAYS = {"delay_us": 65535, "word_delay_us": 255}
"""Settings that each segment carries, and the largest value of each."""

DEFAULT_SPEED = 500_000
"""Hertz where neither the request nor the device tree says any."""


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """What spidev keeps of a device; ``speed_hz`` 0: none is set."""

    mode: int
    bits_per_word: int
    speed_hz: int


def check(settings: Mapping[str, Any]) -> None:
    """Raise BadRequest for a value out of its range."""
    ranges = {"mode": (0, 3), "bits_per_word": (1, 32), "speed_hz": (1, 0xFFFFFFFF)}
    ranges |= {name: (0, largest) for name, largest in DELAYS.items()}
    for name, value in settings.items():
        key = name.replace("_", "-")
        if name in ranges and not ranges[name][0] <= value <= ranges[name][1]:
            least, largest = ranges[name]
            raise BadRequest(f"`{key}` must lie between {least} and {largest}", key=key)
        if name in LINES and value != 1 and value not in LINES[name]:
            raise BadRequest(f"`{key}` must be 1, 2, 4 or 8", key=key)


def mode_bits(mode: int, settings: Mapping[str, Any]) -> int:
    """The kernel's mode with ``settings`` put into it."""
    if "mode" in settings:
        mode = mode & ~CLOCK_MODE | settings["mode"]
    for name, bit in FLAGS.items():
        if name in settings:
            mode = mode | bit if settings[name] else mode & ~bit
    for name, bits in LINES.items():
        if name in settings:
            mode = mode & ~sum(bits.values()) | bits.get(settings[name], 0)
    return mode


def named(kernel: KernelSettings) -> dict[str, Any]:
    """The kernel's settings by the schema's names."""
    found: dict[str, Any] = {"mode": kernel.mode & CLOCK_MODE, "bits_per_word": kernel.bits_per_word}
    found["speed_hz"] = kernel.speed_hz or DEFAULT_SPEED
    found |= {name: bool(kernel.mode & bit) for name, bit in FLAGS.items()}
    for name, bits in LINES.items():
        found[name] = max((lines for lines, bit in bits.items() if kernel.mode & bit), default=1)
    return found


def apply(device: OpenDevice, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Change the settings given, all or none; the effective ones as the kernel has them, by the schema's names.

    Raises Unsupported when the controller cannot do one of them, HardwareError or DeviceGone.
    """
    before = device.settings()
    try:
        _change(device, before, settings)
        after = device.settings()
        for key in (*LINES, *FLAGS, "mode"):  # the kernel drops what it does not know of dual, quad and octal
            if key in settings and named(after)[key] != settings[key]:
                wire = key.replace("_", "-")
                raise Unsupported(f"the controller of {name} cannot do `{wire}` {settings[key]}", key=wire)
    except OSError as error:
        restore(device, before)
        raise setting_fault(name, settings, error) from None
    except BaseException:
        restore(device, before)
        raise
    return named(after)


def restore(device: OpenDevice, before: KernelSettings) -> None:
    """Make the kernel's settings again what they were, as far as it lets us."""
    with suppress(OSError):
        _set(device, device.settings(), before)


def deselect(device: OpenDevice) -> None:
    """Release chip select, which `cs-change` behind the last segment has left active: spi_setup() does that."""
    with suppress(OSError):
        device.set_mode(device.settings().mode)


def _change(device: OpenDevice, before: KernelSettings, settings: Mapping[str, Any]) -> None:
    speed = settings.get("speed_hz", before.speed_hz) or DEFAULT_SPEED
    bits = settings.get("bits_per_word", before.bits_per_word)
    _set(device, before, KernelSettings(mode_bits(before.mode, settings), bits, speed))


def _set(device: OpenDevice, now: KernelSettings, wanted: KernelSettings) -> None:
    if wanted.mode != now.mode:
        device.set_mode(wanted.mode)
    if wanted.bits_per_word != now.bits_per_word:
        device.set_bits_per_word(wanted.bits_per_word)
    if wanted.speed_hz != now.speed_hz and wanted.speed_hz:
        device.set_speed(wanted.speed_hz)
