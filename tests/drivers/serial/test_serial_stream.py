"""Byte streams: all bytes, in order, never more than the credit; and how they end."""

from __future__ import annotations

import asyncio
import os
import random

import pytest
from loop_context import CollectingSink, LoopContext
from ptys import Pty, Run, opened, read

from myclerk_drivers.serial.port import SerialPort
from myclerk_drivers.serial.streams import ByteStream
from myclerk_protocol.status import DeviceGone, NotFound

MEGABYTE = random.Random(3).randbytes(1 << 20)


async def stream_of(port: SerialPort, credit: int = 0) -> CollectingSink:
    stream = await port.read(stream=True)
    assert isinstance(stream, ByteStream)
    return CollectingSink(stream, credit)


async def send_all(pty: Pty, data: bytes) -> None:
    """The device sends as fast as it may."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(pty.master, view) :]
        except BlockingIOError:
            await asyncio.sleep(0.0005)


def test_a_megabyte_under_odd_credits(run: Run, pty: Pty) -> None:
    async def main() -> None:
        rng = random.Random(4)
        async with opened(pty) as port:
            sink = (await stream_of(port)).start()
            sending = asyncio.ensure_future(send_all(pty, MEGABYTE))
            granted = 0
            while granted < len(MEGABYTE):
                credit = min(rng.choice([1, 3, 7, 255, 4095, 4097, 10007, 65537]), len(MEGABYTE) - granted)
                granted += credit
                sink.grant(credit)
                if rng.random() < 0.5:
                    await sink.until(lambda: sink.credit == 0)
                    assert len(sink.data) == granted
            await sink.until(lambda: len(sink.data) == granted)
            await sending
            assert sink.data == MEGABYTE
            assert max(sink.pushes) > 4095

    run(main())


def test_both_ways_at_once(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            sink = (await stream_of(port, 1 << 20)).start()
            sending = asyncio.ensure_future(send_all(pty, MEGABYTE))
            writing = port.write(MEGABYTE[::-1])
            assert not isinstance(writing, dict)
            answer = asyncio.ensure_future(writing)  # type: ignore[arg-type]
            assert await pty.receive(1 << 20) == MEGABYTE[::-1]
            await sending
            await sink.until(lambda: len(sink.data) == 1 << 20)
            assert sink.data == MEGABYTE
            assert await answer == {"written": 1 << 20}

    run(main())


def test_without_credit_nothing_is_read(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            context = port._tty.context
            assert isinstance(context, LoopContext)
            sink = (await stream_of(port)).start()
            pty.send(b"held by the kernel")
            await asyncio.sleep(0.02)
            assert sink.data == b""
            assert context.watched == (set(), set())
            sink.grant(4)
            await sink.until(lambda: sink.credit == 0)
            await asyncio.sleep(0.01)
            assert sink.data == b"held"
            assert context.watched == (set(), set())
            sink.grant(100)
            await sink.until(lambda: len(sink.data) == 18)

    run(main())


def test_what_reads_left_over_comes_first(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"line\nrest")
            assert (await read(port, terminator=b"\n"))["data"] == b"line\n"
            sink = (await stream_of(port, 2)).start()
            assert sink.data == b"re"
            pty.send(b" and more")
            sink.grant(100)
            await sink.until(lambda: len(sink.data) == 13)
            assert sink.data == b"rest and more"

    run(main())


def test_a_stopped_stream_loses_nothing_for_the_next_reader(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"line\nab")
            await read(port, terminator=b"\n")
            sink = (await stream_of(port, 1)).start()
            sink.stream.close()
            sink.stream.close()
            sink.stream.resume()
            pty.send(b"c")
            assert sink.data == b"a"
            assert (await read(port, minimum=2))["data"] == b"bc"

    run(main())


def test_hang_up_ends_a_stream_at_once(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            sink = (await stream_of(port, 100)).start()
            pty.send(b"last words")
            await sink.until(lambda: len(sink.data) == 10)
            pty.hang_up()
            await sink.until(lambda: sink.ended, 1)
            assert isinstance(sink.error, DeviceGone)
            with pytest.raises(DeviceGone):
                await port.read(stream=True)

    run(main())


def test_a_paused_stream_ends_when_it_goes_on(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            sink = (await stream_of(port)).start()
            pty.hang_up()
            await asyncio.sleep(0.02)
            assert not sink.ended
            sink.grant(1)
            await sink.until(lambda: sink.ended, 1)
            assert isinstance(sink.error, DeviceGone)

    run(main())


def test_a_failing_write_ends_the_stream_too(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            sink = (await stream_of(port)).start()
            pty.hang_up()
            with pytest.raises(DeviceGone):
                port.write(b"x")
            assert sink.ended
            assert isinstance(sink.error, DeviceGone)

    run(main())


def test_closing_the_port_ends_its_stream(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            sink = (await stream_of(port, 10)).start()
            unstarted = sink.stream
            port.close()
            assert sink.ended
            assert isinstance(sink.error, NotFound)
            unstarted.close()
        async with opened(pty) as port:
            sink = await stream_of(port, 10)
            port.close()
            with pytest.raises(NotFound):
                sink.start()

    run(main())


def test_a_sink_may_stop_the_stream_while_it_pushes(run: Run, pty: Pty) -> None:
    async def main() -> None:
        class Impatient(CollectingSink):
            def push_bytes(self, data: bytes) -> None:
                super().push_bytes(data)
                self.stream.close()

        async with opened(pty) as port:
            pty.send(b"x\nkept")
            await read(port, terminator=b"\n")
            stream = await port.read(stream=True)
            assert isinstance(stream, ByteStream)
            sink = Impatient(stream, 100).start()
            assert sink.data == b"kept"
            assert await read(port, timeout=0) == {"data": b"", "complete": False}

    run(main())
