"""RS-485 half duplex: the driver turns the transmitter on by RTS (kernel: driver-api/serial/serial-rs485).

Settings are {``enabled``, ``rts_on_send``, ``rts_after_send``, ``delay_before_send``, ``delay_after_send``,
``receive_during_send``}; delays are seconds, of which the kernel keeps whole milliseconds.
"""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Mapping
from typing import Any, Final

from .faults import LACKING

TIOCGRS485: Final = 0x542E
TIOCSRS485: Final = 0x542F
DEFAULTS: Mapping[str, Any] = {
    "rts_on_send": True,
    "rts_after_send": False,
    "delay_before_send": 0.0,
    "delay_after_send": 0.0,
    "receive_during_send": False,
}
MAX_DELAY = 10.0
"""Seconds. Drivers allow 0.1 s at most and show it by what they hand back; this one is for the arithmetic."""

FLAGS = {"enabled": 1, "rts_on_send": 2, "rts_after_send": 4, "receive_during_send": 16}
_LAYOUT = struct.Struct("8I")


def encode(settings: Mapping[str, Any]) -> bytes:
    """``struct serial_rs485`` of ``settings``, absent ones being the defaults."""
    full = {**DEFAULTS, **settings}
    flags = sum(bit for name, bit in FLAGS.items() if full[name])
    before, after = (round(full[key] * 1000) for key in ("delay_before_send", "delay_after_send"))
    return _LAYOUT.pack(flags, before, after, *bytes(5))


def decode(raw: bytes) -> dict[str, Any]:
    """The settings in a ``struct serial_rs485``."""
    flags, before, after, *_ = _LAYOUT.unpack(raw)
    settings: dict[str, Any] = {name: bool(flags & bit) for name, bit in FLAGS.items()}
    return {**settings, "delay_before_send": before / 1000, "delay_after_send": after / 1000}


def read_raw(fd: int) -> bytes | None:
    """What the driver has now, or None when it knows no RS-485. Raises OSError."""
    try:
        return bytes(fcntl.ioctl(fd, TIOCGRS485, bytes(_LAYOUT.size)))
    except OSError as error:
        if error.errno in LACKING:
            return None
        raise


def write_raw(fd: int, raw: bytes) -> None:
    """Hand a ``struct serial_rs485`` to the driver. Raises OSError."""
    fcntl.ioctl(fd, TIOCSRS485, raw)


def not_taken(wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> str | None:
    """The first setting that the driver changed. What a disabled RS-485 is set to is of no account."""
    if not wanted["enabled"]:
        return "enabled" if actual["enabled"] else None
    asked = decode(encode(wanted))
    return next((key for key in asked if asked[key] != actual[key]), None)
