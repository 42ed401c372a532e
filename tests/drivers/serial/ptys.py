"""Real ttys to test with: pseudo-terminals, and one that has the modem lines of a UART."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import inspect
import os
import struct
import subprocess
import termios
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import pytest
from loop_context import LoopContext

from myclerk_drivers.serial import SerialDriver
from myclerk_drivers.serial.port import SerialPort

Run = Callable[[Coroutine[Any, Any, Any]], Any]
TIOCSBRK, TIOCCBRK, TIOCGRS485, TIOCSRS485 = 0x5427, 0x5428, 0x542E, 0x542F


class Pty:
    """A pseudo-terminal: the driver gets ``path``, the test plays the device on ``master``."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self.master, False)

    def send(self, data: bytes) -> None:
        """The device sends."""
        assert os.write(self.master, data) == len(data)

    async def receive(self, size: int, seconds: float = 10) -> bytes:
        """What the device received, ``size`` bytes."""
        received = b""
        async with asyncio.timeout(seconds):
            while len(received) < size:
                if not (data := self.received(size - len(received))):
                    await asyncio.sleep(0.001)
                received += data
        return received

    def received(self, size: int = 65536) -> bytes:
        """What the device has received by now."""
        try:
            return os.read(self.master, size)
        except BlockingIOError:
            return b""

    def hang_up(self) -> None:
        """The device goes away."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def stty(self, *arguments: str) -> str:
        """What coreutils' stty has to say about it, or does to it."""
        command = ["stty", "-F", self.path, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def a_pty() -> Iterator[Pty]:
    """A pseudo-terminal for the time of a test."""
    pty = Pty()
    try:
        yield pty
    finally:
        pty.hang_up()


def driver_for(pty: Pty, **settings: Any) -> SerialDriver:
    """A driver that knows the pty as serial:demo."""
    return SerialDriver(LoopContext({"ports": {"demo": pty.path}, **settings}))


async def open_port(driver: SerialDriver, **settings: Any) -> SerialPort:
    """Open serial:demo on a thread, as the agent does."""
    resource = driver.find("serial:demo")
    assert resource is not None
    return await asyncio.to_thread(driver.open_port, resource, **settings)


@asynccontextmanager
async def opened(pty: Pty, **settings: Any) -> AsyncIterator[SerialPort]:
    """The pty as an open port, closed for good at the end."""
    driver = driver_for(pty)
    port = await open_port(driver, **settings)
    try:
        yield port
    finally:
        port.close()
        while any(p.properties["in_use"] for p in driver.resources()):
            await asyncio.sleep(0.001)


async def written(port: SerialPort, data: bytes, **options: Any) -> Mapping[str, int]:
    """Write, whether the answer comes at once or later."""
    answer = port.write(data, **options)
    if inspect.isawaitable(answer):
        answer = await answer
    return answer


async def read(port: SerialPort, **options: Any) -> Mapping[str, Any]:
    """A one-shot read."""
    answer = await port.read(**options)
    assert isinstance(answer, Mapping)
    return answer


async def slow(method: Any, *arguments: Any, **fields: Any) -> Any:
    """Call a slow method on a thread, as the agent does."""
    return await asyncio.to_thread(partial(method, *arguments, **fields))


class Uart:
    """The registers of a UART behind a pty: modem lines, counters, RS-485, break and unsent bytes, at the
    level of the ioctls that a pty does not have. All others go to the kernel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines = termios.TIOCM_DTR | termios.TIOCM_RTS
        self.line_writes: list[int] = []
        self.counts = [0] * 11
        self.unsent: list[int] = []
        self.breaks: list[str] = []
        self.break_began = threading.Event()
        self.rs485: bytes | None = None
        self.longest_delay = 100
        self.stuck_bits = 0
        self._kernel = fcntl.ioctl
        monkeypatch.setattr(fcntl, "ioctl", self._ioctl)

    def turn(self, bit: int, counter: int) -> None:
        """An input changes, and its counter says so."""
        self.lines ^= bit
        self.counts[counter] += 1

    def _ioctl(self, fd: int, request: int, argument: Any = 0, mutate: bool = True) -> Any:
        if request == termios.TIOCMGET:
            return struct.pack("i", self.lines)
        if request == termios.TIOCMSET:
            (bits,) = struct.unpack("i", argument)
            self.line_writes.append(bits)
            self.lines = bits & ~self.stuck_bits | self.lines & self.stuck_bits
            return argument
        if request == termios.TIOCGICOUNT:
            return struct.pack("20i", *self.counts, *[0] * 9)
        if request == termios.TIOCOUTQ and self.unsent:
            return struct.pack("i", self.unsent.pop(0))
        if request in (TIOCSBRK, TIOCCBRK):
            self.breaks.append("on" if request == TIOCSBRK else "off")
            self.break_began.set()
            return 0
        if request in (TIOCGRS485, TIOCSRS485):
            return self._rs485_ioctl(request, argument)
        return self._kernel(fd, request, argument)

    def _rs485_ioctl(self, request: int, argument: bytes) -> bytes:
        if self.rs485 is None:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        if request == TIOCSRS485:
            flags, before, after, *rest = struct.unpack("8I", argument)
            delays = (min(delay, self.longest_delay) for delay in (before, after))
            self.rs485 = struct.pack("8I", flags, *delays, *rest)
        return self.rs485
