"""A pty that other programs open as a serial port: their bytes, their settings, their coming and going.

The kernel's ptys (drivers/tty/pty.c, tty_ioctl(4)) keep rate, stop bits and flow control of tcsetattr(3), but
neither the size of a character nor whether it has a parity bit; of parity only the kind is left: PARODD and
CMSPAR. So odd, mark and space can be told, even looks like none. Modem lines and breaks there are none.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import struct
import termios
import tty
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .terminal import until_ready

LOOK = 0.1
"""Seconds between looks at a pty that nobody has open."""
PACKET = 4096

_TCGETS2: Final = 0x802C542A
_TCSETS2: Final = 0x402C542B
_BOTHER: Final = 0x1000
_CMSPAR: Final = 0x40000000
_TERMIOS2 = struct.Struct("IIIIB19s2I")
_PARITIES = {termios.PARODD: "odd", termios.PARODD | _CMSPAR: "mark", _CMSPAR: "space"}
_RATES = termios.CBAUD | termios.CIBAUD
_SOFTWARE_FLOW = termios.IXON | termios.IXOFF


class Heard(NamedTuple):
    """What a local program did: bytes it wrote, and which directions it flushed (tcflush(3))."""

    data: bytes = b""
    flushed_input: bool = False
    flushed_output: bool = False


NOTHING = Heard()


class LocalPty:
    """The master side of a new pty in raw mode with ``settings`` (those of a serial port); ``path`` is the
    other side's. The pty outlives every program that opens it, until :meth:`close`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._master, slave = os.openpty()
        self.path = os.ttyname(slave)
        self._parity = settings["parity"]
        self._used = False
        self._flushes = 0
        try:
            tty.setraw(slave)
            _apply(slave, settings)
            fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
            os.set_blocking(self._master, False)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(slave)
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN | select.POLLPRI)

    def close(self) -> None:
        """Remove the pty; programs that have it open see a hang-up."""
        os.close(self._master)

    def settings(self) -> dict[str, Any]:
        """What programs set by tcsetattr: ``baud`` (unless 0), ``parity`` (where nothing can be told, that of
        the start), ``stop_bits``, ``rts_cts``, ``xon_xoff``."""
        iflag, _, cflag, _, _, _, _, speed = _TERMIOS2.unpack(
            fcntl.ioctl(self._master, _TCGETS2, bytes(_TERMIOS2.size))
        )
        return {
            **({"baud": speed} if speed else {}),
            "parity": _PARITIES.get(cflag & (termios.PARODD | _CMSPAR), self._parity),
            "stop_bits": 2 if cflag & termios.CSTOPB else 1,
            "rts_cts": bool(cflag & termios.CRTSCTS),
            "xon_xoff": iflag & _SOFTWARE_FLOW == _SOFTWARE_FLOW,
        }

    async def hear(self, seconds: float = LOOK) -> Heard:
        """What a program did last, or nothing after ``seconds``."""
        if self._used:
            try:
                async with asyncio.timeout(seconds):
                    await until_ready(self._master)
            except TimeoutError:
                return NOTHING
        else:
            await asyncio.sleep(seconds)
            events = self._events()
            if events & select.POLLHUP and not events & select.POLLIN:
                return NOTHING
            self._used = True
        return self._read()

    def glance(self) -> Heard:
        """What a program did beside writing; for while its bytes must wait."""
        events = self._events()
        if events & select.POLLPRI:
            return self._read()
        if events & select.POLLHUP:
            self._left()
        return NOTHING

    async def write(self, data: bytes) -> None:
        """Hand over to the program. Without one, or when it flushes its input, the rest is dropped."""
        rest, flushes = memoryview(data), self._flushes
        while rest and self._used and flushes == self._flushes:
            try:
                rest = rest[os.write(self._master, rest) :]
            except BlockingIOError:
                try:
                    async with asyncio.timeout(LOOK):
                        await until_ready(self._master, writing=True)
                except TimeoutError:
                    continue

    def _read(self) -> Heard:
        """One packet (TIOCPKT of ioctl_tty(2)): a byte of flags, or 0 and data."""
        try:
            packet = os.read(self._master, PACKET + 1)
        except BlockingIOError:
            return NOTHING
        except OSError:  # EIO: the last program closed it
            self._left()
            return NOTHING
        if packet[0] == termios.TIOCPKT_DATA:
            return Heard(packet[1:])
        flushed_input = bool(packet[0] & termios.TIOCPKT_FLUSHREAD)
        self._flushes += flushed_input
        return Heard(b"", flushed_input, bool(packet[0] & termios.TIOCPKT_FLUSHWRITE))

    def _left(self) -> None:
        """Nobody has it open: what was not read is not for the next program, as with a real port."""
        self._used = False
        termios.tcflush(self._master, termios.TCOFLUSH)  # what is on its way, then what has arrived
        slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        termios.tcflush(slave, termios.TCIFLUSH)
        os.close(slave)

    def _events(self) -> int:
        return next((events for _, events in self._poll.poll(0)), 0)


def _apply(slave: int, settings: Mapping[str, Any]) -> None:
    """Let programs find the remote port's settings, as far as a pty has them."""
    attributes = termios.tcgetattr(slave)
    attributes[0] = attributes[0] & ~_SOFTWARE_FLOW | (_SOFTWARE_FLOW if settings["xon_xoff"] else 0)
    attributes[2] &= ~(termios.CSTOPB | termios.CRTSCTS)
    attributes[2] |= termios.CSTOPB if settings["stop_bits"] == 2 else 0
    attributes[2] |= termios.CRTSCTS if settings["rts_cts"] else 0
    code = getattr(termios, f"B{settings['baud']}", None)
    attributes[4] = attributes[5] = termios.B38400 if code is None else code
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    if code is None:
        _set_rate(slave, settings["baud"])


def _set_rate(slave: int, baud: int) -> None:
    """A rate that has no code of its own."""
    iflag, oflag, cflag, lflag, line, cc, _, _ = _TERMIOS2.unpack(
        fcntl.ioctl(slave, _TCGETS2, bytes(_TERMIOS2.size))
    )
    cflag = cflag & ~_RATES | _BOTHER
    fcntl.ioctl(slave, _TCSETS2, _TERMIOS2.pack(iflag, oflag, cflag, lflag, line, cc, baud, baud))
