"""Line settings in ``struct termios2`` (termios(3), asm-generic/termbits.h): any rate, all five parities."""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

TCGETS2: Final = 0x802C542A
TCSETS2: Final = 0x402C542B
BOTHER: Final = 0x1000
CMSPAR: Final = 0x40000000
XON, XOFF = 0x11, 0x13

DEFAULTS: Mapping[str, Any] = {
    "baud": 9600,
    "data_bits": 8,
    "parity": "none",
    "stop_bits": 1,
    "rts_cts": False,
    "xon_xoff": False,
    "hang_up_on_close": True,
}
"""What a port is opened with where the request is silent: 9600 8N1, the same as pyserial."""

DATA_BITS = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
PARITY = {
    "none": 0,
    "even": termios.PARENB,
    "odd": termios.PARENB | termios.PARODD,
    "mark": termios.PARENB | termios.PARODD | CMSPAR,
    "space": termios.PARENB | CMSPAR,
}
_LOW_RATES = (50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400)
_HIGH_RATES = (
    57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000,
    3500000, 4000000,
)  # fmt: skip
RATE_CODES = dict(zip(_LOW_RATES, range(1, 16), strict=True)) | dict(
    zip(_HIGH_RATES, range(0x1001, 0x1010), strict=True)
)
"""The kernel's B50 to B4000000. Those of the module termios are the rates themselves from glibc 2.42 on."""

_PARITY_BITS = termios.PARENB | termios.PARODD | CMSPAR
_RATE_BITS = termios.CBAUD | termios.CIBAUD
_MANAGED = (
    _RATE_BITS | _PARITY_BITS | termios.CSIZE | termios.CSTOPB | termios.CRTSCTS | termios.HUPCL
)  # fmt: skip
_SOFTWARE_FLOW = termios.IXON | termios.IXOFF
_BAUD_TOLERANCE = 0.03
_LAYOUT = struct.Struct("IIIIB19s2I")


class Termios(NamedTuple):
    """``struct termios2``, field by field."""

    iflag: int
    oflag: int
    cflag: int
    lflag: int
    line: int
    cc: bytes
    ispeed: int
    ospeed: int


def read(fd: int) -> Termios:
    """What the kernel has for this tty now. Raises OSError."""
    return Termios(*_LAYOUT.unpack(fcntl.ioctl(fd, TCGETS2, bytes(_LAYOUT.size))))


def write(fd: int, wanted: Termios) -> None:
    """Set at once, neither waiting for output nor discarding input. Raises OSError."""
    fcntl.ioctl(fd, TCSETS2, _LAYOUT.pack(*wanted))


def encode(settings: Mapping[str, Any], base: Termios) -> Termios:
    """``base`` with all of ``settings`` (the keys of :data:`DEFAULTS`), in raw mode, carrier ignored.

    Rates that have a code of their own are set by it, so that every program can read them back; all
    others by BOTHER. VMIN is 1: a read of nothing then means a hang-up, not an empty buffer.
    """
    cflag = base.cflag & ~_MANAGED | termios.CREAD | termios.CLOCAL
    cflag |= RATE_CODES.get(settings["baud"], BOTHER)
    cflag |= DATA_BITS[settings["data_bits"]] | PARITY[settings["parity"]]
    cflag |= termios.CSTOPB if settings["stop_bits"] == 2 else 0
    cflag |= termios.CRTSCTS if settings["rts_cts"] else 0
    cflag |= termios.HUPCL if settings["hang_up_on_close"] else 0
    cc = bytearray(base.cc)
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    cc[termios.VSTART], cc[termios.VSTOP] = XON, XOFF
    iflag = _SOFTWARE_FLOW if settings["xon_xoff"] else 0
    return Termios(iflag, 0, cflag, 0, base.line, bytes(cc), settings["baud"], settings["baud"])


def decode(state: Termios) -> dict[str, Any]:
    """The settings that a ``struct termios2`` stands for (the keys of :data:`DEFAULTS`)."""
    cflag = state.cflag
    parity = cflag & _PARITY_BITS if cflag & termios.PARENB else 0
    return {
        "baud": state.ospeed,
        "data_bits": next(n for n, bits in DATA_BITS.items() if bits == cflag & termios.CSIZE),
        "parity": next(name for name, bits in PARITY.items() if bits == parity),
        "stop_bits": 2 if cflag & termios.CSTOPB else 1,
        "rts_cts": bool(cflag & termios.CRTSCTS),
        "xon_xoff": state.iflag & _SOFTWARE_FLOW == _SOFTWARE_FLOW,
        "hang_up_on_close": bool(cflag & termios.HUPCL),
    }


def not_taken(wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> str | None:
    """The first key of ``wanted`` that ``actual`` does not honour; a rate may be 3 % off, as UARTs divide."""
    for key, value in wanted.items():
        if key == "baud":
            if abs(actual[key] - value) > value * _BAUD_TOLERANCE:
                return key
        elif actual[key] != value:
            return key
    return None
