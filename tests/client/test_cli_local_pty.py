"""The local pty of `serial link`, as programs that open it find it: a real pty of the kernel."""

from __future__ import annotations

import asyncio
import os
import struct
import termios
import time
import tty
from collections.abc import Awaitable, Callable, Iterator
from fcntl import ioctl
from typing import Any

import pytest

from myclerk_client.cli.local_pty import Heard, LocalPty

SETTINGS = {
    "baud": 9600, "data_bits": 8, "parity": "none", "stop_bits": 1, "rts_cts": False, "xon_xoff": False,
}  # fmt: skip
CMSPAR = 0x40000000
TCGETS2, TCSETS2, BOTHER = 0x802C542A, 0x402C542B, 0x1000


@pytest.fixture
def pty() -> Iterator[LocalPty]:
    pty = LocalPty(SETTINGS)
    yield pty
    pty.close()


@pytest.fixture
def program(pty: LocalPty) -> Iterator[int]:
    """A descriptor of a program that has opened the pty."""
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


async def hear(pty: LocalPty, wanted: Callable[[Heard], object] = lambda heard: heard.data) -> Heard:
    """The next that is ``wanted``."""
    async with asyncio.timeout(5):
        while not wanted(heard := await pty.hear(0.01)):
            pass
    return heard


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await story()

    asyncio.run(main())


def set_attributes(fd: int, change: Callable[[list[Any]], None]) -> None:
    attributes = termios.tcgetattr(fd)
    change(attributes)
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def flags(index: int, on: int, off: int = 0) -> Callable[[list[Any]], None]:
    def change(attributes: list[Any]) -> None:
        attributes[index] = attributes[index] & ~off | on

    return change


def rate(code: int) -> Callable[[list[Any]], None]:
    def change(attributes: list[Any]) -> None:
        attributes[4] = attributes[5] = code

    return change


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (rate(termios.B115200), {"baud": 115200}),
        (rate(termios.B921600), {"baud": 921600}),
        (flags(2, termios.CSTOPB), {"stop_bits": 2}),
        (flags(2, termios.CRTSCTS), {"rts_cts": True}),
        (flags(0, termios.IXON | termios.IXOFF), {"xon_xoff": True}),
        (flags(0, termios.IXON), {}),
        (flags(2, termios.PARENB | termios.PARODD), {"parity": "odd"}),
        (flags(2, termios.PARENB | termios.PARODD | CMSPAR), {"parity": "mark"}),
        (flags(2, termios.PARENB | CMSPAR), {"parity": "space"}),
        (flags(2, termios.CS7 | termios.PARENB | termios.CSTOPB, termios.CSIZE), {"stop_bits": 2}),
    ],
)
def test_what_tcsetattr_sets_is_seen(
    pty: LocalPty, program: int, change: Callable[[list[Any]], None], seen: dict[str, Any]
) -> None:
    before = pty.settings()
    set_attributes(program, change)
    assert pty.settings() == {**before, **seen}


def test_any_rate_is_seen(pty: LocalPty, program: int) -> None:
    fields = list(struct.unpack("IIIIB19s2I", ioctl(program, TCGETS2, bytes(44))))
    fields[2] = fields[2] & ~(termios.CBAUD | termios.CIBAUD) | BOTHER
    fields[6:] = [250_000, 250_000]
    ioctl(program, TCSETS2, struct.pack("IIIIB19s2I", *fields))
    assert pty.settings()["baud"] == 250_000


def test_rate_zero_is_no_rate(pty: LocalPty, program: int) -> None:
    set_attributes(program, rate(termios.B0))
    assert "baud" not in pty.settings()


def test_parity_that_a_pty_forgets_is_that_of_the_start() -> None:
    pty = LocalPty({**SETTINGS, "parity": "even", "data_bits": 7})
    try:
        assert pty.settings()["parity"] == "even"
    finally:
        pty.close()


def test_a_program_finds_the_ports_settings_and_raw_mode() -> None:
    pty = LocalPty({**SETTINGS, "baud": 57600, "stop_bits": 2, "rts_cts": True, "xon_xoff": True})
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    try:
        iflag, oflag, cflag, lflag, ispeed, ospeed, _ = termios.tcgetattr(fd)
        assert (ispeed, ospeed) == (termios.B57600, termios.B57600)
        assert cflag & termios.CSTOPB
        assert cflag & termios.CRTSCTS
        assert iflag == termios.IXON | termios.IXOFF
        assert not oflag & termios.OPOST
        assert not lflag & (termios.ICANON | termios.ECHO | termios.ISIG)
    finally:
        os.close(fd)
        pty.close()


def test_settings_stay_when_the_program_closes(pty: LocalPty) -> None:
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    set_attributes(fd, rate(termios.B19200))
    os.close(fd)
    assert pty.settings()["baud"] == 19200


def test_bytes_pass_both_ways(pty: LocalPty, program: int) -> None:
    everything = bytes(range(256)) * 4

    async def story() -> None:
        os.write(program, everything)
        heard = b""
        while len(heard) < len(everything):
            heard += (await hear(pty)).data
        assert heard == everything
        await pty.write(everything)
        await asyncio.sleep(0.05)
        assert os.read(program, 4096) == everything

    run(story)


def test_a_program_that_closed_at_once_is_still_heard(pty: LocalPty) -> None:
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, b"AT\r")
    os.close(fd)

    async def story() -> None:
        assert await hear(pty) == Heard(b"AT\r")
        assert await pty.hear(0.01) == Heard()

    run(story)


def test_one_program_after_another(pty: LocalPty) -> None:
    async def story() -> None:
        for word in (b"first", b"second", b"third"):
            fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
            os.write(fd, word)
            assert (await hear(pty)).data == word
            os.close(fd)
            assert await pty.hear(0.01) == Heard()

    run(story)


def test_without_a_program_bytes_are_dropped(pty: LocalPty) -> None:
    async def story() -> None:
        await pty.write(b"x" * (1 << 20))
        fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            await pty.hear(0.01)
            with pytest.raises(BlockingIOError):
                os.read(fd, 100)
        finally:
            os.close(fd)

    run(story)


def test_the_next_program_does_not_get_what_the_last_one_left(pty: LocalPty) -> None:
    async def story() -> None:
        fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
        await pty.hear(0.01)
        await pty.write(b"not read")
        os.close(fd)
        await pty.hear(0.01)
        fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            await pty.hear(0.01)
            with pytest.raises(BlockingIOError):
                os.read(fd, 100)
        finally:
            os.close(fd)

    run(story)


def test_a_program_that_does_not_read_holds_back_the_writer_until_it_does(
    pty: LocalPty, program: int
) -> None:
    everything = os.urandom(1 << 18)

    async def story() -> None:
        await pty.hear(0.01)
        writing = asyncio.create_task(pty.write(everything))
        await asyncio.sleep(0.05)
        assert not writing.done()
        received = b""
        async with asyncio.timeout(20):
            while len(received) < len(everything):
                try:
                    received += os.read(program, 65536)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
        await writing
        assert received == everything

    run(story)


@pytest.mark.parametrize("leaves", [False, True])
def test_a_writer_is_freed_when_the_program_flushes_or_leaves(pty: LocalPty, leaves: bool) -> None:
    async def story() -> None:
        fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
        await pty.hear(0.01)
        writing = asyncio.create_task(pty.write(bytes(1 << 20)))
        await asyncio.sleep(0.05)
        if leaves:
            os.close(fd)
            pty.glance()
        else:
            termios.tcflush(fd, termios.TCIFLUSH)
            assert pty.glance() == Heard(b"", flushed_input=True)
        async with asyncio.timeout(5):
            await writing
        if not leaves:
            os.close(fd)

    run(story)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (termios.TCIFLUSH, Heard(b"", flushed_input=True)),
        (termios.TCOFLUSH, Heard(b"", flushed_output=True)),
        (termios.TCIOFLUSH, Heard(b"", flushed_input=True, flushed_output=True)),
    ],
)
def test_flushes_are_heard(pty: LocalPty, program: int, queue: int, expected: Heard) -> None:
    async def story() -> None:
        await pty.hear(0.01)
        termios.tcflush(program, queue)
        assert await hear(pty, lambda heard: heard != Heard()) == expected

    run(story)


def test_a_glance_takes_no_data(pty: LocalPty, program: int) -> None:
    async def story() -> None:
        await pty.hear(0.01)
        os.write(program, b"data")
        assert pty.glance() == Heard()
        assert (await hear(pty)).data == b"data"

    run(story)


def test_nobody_there_costs_no_wake_ups(pty: LocalPty) -> None:
    async def story() -> None:
        before = time.process_time()
        async with asyncio.timeout(5):
            await pty.hear(0.5)
        assert time.process_time() - before < 0.2

    run(story)


def test_a_program_may_use_its_own_line_discipline(pty: LocalPty) -> None:
    """Canonical mode belongs to the program; it works as on a real port."""
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    async def story() -> None:
        tty.setraw(fd)
        set_attributes(fd, flags(3, termios.ICANON))
        await pty.hear(0.01)
        await pty.write(b"half ")
        await asyncio.sleep(0.05)
        with pytest.raises(BlockingIOError):
            os.read(fd, 100)
        await pty.write(b"line\n")
        await asyncio.sleep(0.05)
        assert os.read(fd, 100) == b"half line\n"

    try:
        run(story)
    finally:
        os.close(fd)
