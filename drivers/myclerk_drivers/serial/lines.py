"""Modem lines: reading, setting, and telling what changed between two looks (ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import struct
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import kernel
from .faults import LACKING

BITS = {
    "dtr": termios.TIOCM_DTR,
    "rts": termios.TIOCM_RTS,
    "cts": termios.TIOCM_CTS,
    "dsr": termios.TIOCM_DSR,
    "ri": termios.TIOCM_RI,
    "dcd": termios.TIOCM_CD,
}
WATCHED = ("cts", "dsr", "ri", "dcd")
"""The inputs, in the order of their counters in ``struct serial_icounter_struct``."""

COUNTERS = ("rx", "tx", "frame", "overrun", "parity", "break", "buffer_overrun")
_COUNTS = struct.Struct("20i")
_MASK = 0xFFFFFFFF


def read(fd: int) -> int:
    """All lines as the bits of TIOCMGET. Raises OSError; ENOTTY on a pty, which has none."""
    return kernel.get_int(fd, termios.TIOCMGET)


def read_if_there(fd: int) -> int | None:
    """All lines, or None when the driver has no modem lines. Raises OSError."""
    try:
        return read(fd)
    except OSError as error:
        if error.errno in LACKING:
            return None
        raise


def write(fd: int, bits: int) -> None:
    """Set all outputs at once (TIOCMSET). Raises OSError."""
    kernel.set_int(fd, termios.TIOCMSET, bits)


def changed(bits: int, dtr: bool | None = None, rts: bool | None = None) -> int:
    """``bits`` with DTR and RTS as asked; None leaves one as it is."""
    for line, value in ((BITS["dtr"], dtr), (BITS["rts"], rts)):
        if value is not None:
            bits = bits | line if value else bits & ~line
    return bits


def decode(bits: int) -> dict[str, bool]:
    """Line name -> asserted."""
    return {name: bool(bits & bit) for name, bit in BITS.items()}


def counts(fd: int) -> tuple[int, ...] | None:
    """The eleven counters of TIOCGICOUNT, or None when the driver keeps none. Raises OSError."""
    try:
        raw = fcntl.ioctl(fd, termios.TIOCGICOUNT, bytes(_COUNTS.size))
    except OSError as error:
        if error.errno in LACKING:
            return None
        raise
    return tuple(count & _MASK for count in _COUNTS.unpack(raw)[: len(WATCHED) + len(COUNTERS)])


def named_counters(values: tuple[int, ...]) -> dict[str, int]:
    """The counters of :func:`counts` that concern data, by name; each wraps at 2^32."""
    return dict(zip(COUNTERS, values[len(WATCHED) :], strict=True))


@dataclass(frozen=True, slots=True)
class Look:
    """The lines at one moment: CLOCK_REALTIME nanoseconds, TIOCMGET's bits, the inputs' edge counters."""

    timestamp_ns: int
    bits: int
    edges: tuple[int, ...]


def look(fd: int) -> Look:
    """Look at lines and counters; again when an edge fell between the two. Raises OSError."""
    before = _edges(fd)
    for _ in range(3):
        bits = read(fd)
        timestamp = time.time_ns()
        after = _edges(fd)
        if before == after:
            break
        before = after
    return Look(timestamp, bits, after)


def _edges(fd: int) -> tuple[int, ...]:
    return (counts(fd) or (0,) * len(WATCHED))[: len(WATCHED)]


class Changes:
    """What happened between looks: the levels say what changed, the counters what came back meanwhile.

    A pulse between two looks is reported as two events at the time of the second look; several pulses of
    one line between two looks count as one. Drivers of USB adapters may count an edge some time after (or
    never) showing it, so only edges in excess of those already reported make a pulse. UARTs count the
    trailing edge of RI alone, therefore one edge makes a pulse there, elsewhere two.
    """

    def __init__(self, first: Look) -> None:
        self._last = first
        self._excess = dict.fromkeys(WATCHED, 0)

    def since(self, now: Look) -> list[Mapping[str, Any]]:
        """Events {``timestamp_ns``, ``line``, ``value``} since the look before this one."""
        events: list[Mapping[str, Any]] = []
        for index, line in enumerate(WATCHED):
            value = bool(now.bits & BITS[line])
            turned = bool(self._last.bits & BITS[line]) is not value
            counted = now.edges[index] - self._last.edges[index] & _MASK
            excess = max(self._excess[line] + counted - turned, -1)
            pulse = not turned and excess >= (1 if line == "ri" else 2)
            self._excess[line] = 0 if pulse else excess
            for level in [not value, value] if pulse else [value] if turned else []:
                events.append({"timestamp_ns": now.timestamp_ns, "line": line, "value": level})
        self._last = now
        return events
