"""One-shot reads: nothing is lost, whatever the chunks, terminators, timeouts and cancellations."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ptys import Pty, Run, opened, read, slow

from myclerk_drivers.serial.intake import Intake, Wanted
from myclerk_drivers.serial.streams import ByteStream
from myclerk_protocol.status import BadRequest, Conflict, DeviceGone, NotFound

ALPHABET = st.sampled_from(b"ab\r\n")
TEXT = st.lists(ALPHABET, max_size=60).map(bytes)


def expected_end(data: bytes, wanted: Wanted) -> int | None:
    """Where a read ends that sees all of ``data``, byte by byte, by the definition."""
    for end in range(1, len(data) + 1):
        found = wanted.terminator is not None and data[:end].endswith(wanted.terminator)
        enough = end >= wanted.minimum and (wanted.terminator is None or found)
        if enough or end == wanted.size:
            return end
    return None


@given(
    st.lists(TEXT, max_size=12),
    st.binary(min_size=1, max_size=3).map(lambda b: bytes(b"ab\r\n"[x % 4] for x in b)),
    st.integers(3, 40),
    st.integers(1, 40),
)
def test_any_chunking_gives_the_same_lines(
    chunks: list[bytes], terminator: bytes, size: int, minimum: int
) -> None:
    wanted = Wanted(size, min(minimum, size), terminator)
    intake, taken, position = Intake(), [], 0
    everything = b"".join(chunks)
    for chunk in chunks:
        while chunk:
            room = max(size - len(intake), 0)
            intake.feed(chunk[:room])
            chunk = chunk[room:]
            while (data := intake.take(wanted)) is not None:
                taken.append(data)
    for data in taken:
        assert len(data) == expected_end(everything[position:], wanted)
        position += len(data)
    assert expected_end(everything[position:], wanted) is None
    assert b"".join(taken) + intake.take_any(1000) == everything


@given(st.lists(TEXT, max_size=8), st.integers(1, 30), st.integers(1, 30))
def test_without_terminator_minimum_and_size_bound_each_read(
    chunks: list[bytes], size: int, minimum: int
) -> None:
    wanted = Wanted(size, min(minimum, size))
    intake, taken = Intake(), []
    for chunk in chunks:
        intake.feed(chunk)
        while (data := intake.take(wanted)) is not None:
            assert wanted.minimum <= len(data) <= wanted.size
            taken.append(data)
    assert len(intake) < wanted.minimum
    assert b"".join(taken) + intake.take_any(1000) == b"".join(chunks)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"size": 0}, "size"),
        ({"size": -1}, "size"),
        ({"size": (1 << 20) + 1}, "size"),
        ({"minimum": 0}, "minimum"),
        ({"minimum": 11, "size": 10}, "minimum"),
        ({"terminator": b""}, "terminator"),
        ({"terminator": bytes(65)}, "terminator"),
        ({"terminator": b"abc", "size": 2}, "terminator"),
        ({"timeout": -0.1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
    ],
    ids=str,
)
def test_senseless_reads_are_refused(run: Run, pty: Pty, options: dict[str, Any], key: str) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"kept")
            with pytest.raises(BadRequest) as refusal:
                await port.read(**options)
            assert refusal.value.details["key"] == key
            assert await read(port, minimum=4) == {"data": b"kept", "complete": True}

    run(main())


def test_what_follows_a_terminator_is_kept(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"one\r\ntwo\r\nthree")
            assert await read(port, terminator=b"\r\n") == {"data": b"one\r\n", "complete": True}
            pty.send(b"+\r\nfour")
            assert (await read(port, terminator=b"\r\n"))["data"] == b"two\r\n"
            assert (await read(port, terminator=b"\r\n"))["data"] == b"three+\r\n"
            assert await read(port, timeout=0) == {"data": b"four", "complete": True}

    run(main())


def test_size_ends_a_read_without_its_terminator(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"0123456789\n")
            assert await read(port, terminator=b"\n", size=4) == {"data": b"0123", "complete": True}
            assert await read(port, terminator=b"\n") == {"data": b"456789\n", "complete": True}

    run(main())


def test_minimum_waits_and_may_lie_behind_a_terminator(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"\n\n\nab")
            reading = asyncio.ensure_future(read(port, terminator=b"\n", minimum=5))
            await asyncio.sleep(0.02)
            assert not reading.done()
            pty.send(b"c\nd")
            assert (await reading)["data"] == b"\n\n\nabc\n"
            reading = asyncio.ensure_future(read(port, minimum=3))
            await asyncio.sleep(0.02)
            pty.send(b"ef")
            assert await reading == {"data": b"def", "complete": True}

    run(main())


def test_timeout_answers_with_what_is_there(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            clock = time.monotonic
            assert await read(port, timeout=0) == {"data": b"", "complete": False}
            started = clock()
            assert await read(port, timeout=0.05) == {"data": b"", "complete": False}
            assert 0.04 < clock() - started < 1
            pty.send(b"half")
            assert await read(port, timeout=0.05, terminator=b"\n") == {"data": b"half", "complete": False}
            pty.send(b"ab")
            assert await read(port, timeout=0, minimum=3) == {"data": b"ab", "complete": False}

    run(main())


def test_all_that_waits_comes_at_once(run: Run, pty: Pty) -> None:
    """More than the 4,095 bytes that one read of a tty gives. A kernel thread hands them over when it gets to run."""

    async def main() -> None:
        async with opened(pty) as port:
            for _ in range(100):
                pty.send(bytes(10000))
                await asyncio.sleep(0.01)
                sizes = []
                while sum(sizes) < 10000:
                    sizes.append(len((await read(port, timeout=1))["data"]))
                if sizes == [10000]:
                    return
            pytest.fail(f"never all at once, {sizes} in the end")

    run(main())


def test_a_cancelled_read_loses_nothing(run: Run, pty: Pty) -> None:
    """Cancelled at any step, also when the bytes are there and the task has not run yet."""

    async def main() -> None:
        sent, got, rng = bytearray(), bytearray(), random.Random(5)
        async with opened(pty) as port:
            for _ in range(150):
                reading = asyncio.ensure_future(read(port, minimum=rng.choice([1, 7, 30])))
                chunk = rng.randbytes(rng.randint(0, 20))
                for _ in range(rng.randint(0, 3)):
                    await asyncio.sleep(0)
                pty.send(chunk)
                sent += chunk
                for _ in range(rng.randint(0, 6)):
                    await asyncio.sleep(rng.choice([0, 0, 0.0003]))
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    got += (await reading)["data"]
            got += (await read(port, timeout=0.1, minimum=30))["data"]
        assert got == sent

    run(main())


def test_one_reader_at_a_time(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            reading = asyncio.ensure_future(port.read())
            await asyncio.sleep(0)
            with pytest.raises(Conflict):
                await port.read(timeout=0)
            with pytest.raises(Conflict):
                await port.read(stream=True)
            reading.cancel()
            await asyncio.wait([reading])
            stream = await port.read(stream=True)
            assert isinstance(stream, ByteStream)
            with pytest.raises(Conflict):
                await port.read(timeout=0)
            stream.close()
            assert await read(port, timeout=0) == {"data": b"", "complete": False}

    run(main())


def test_flush_discards_what_was_kept_too(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"line\nstale")
            assert (await read(port, terminator=b"\n"))["data"] == b"line\n"
            pty.send(b"in the kernel")
            await asyncio.sleep(0.02)
            assert await slow(port.set_control, flush="input") is None
            pty.send(b"fresh")
            assert (await read(port, minimum=5))["data"] == b"fresh"

    run(main())


def test_hang_up_fails_a_read_at_once(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            reading = asyncio.ensure_future(port.read(minimum=100))
            await asyncio.sleep(0.01)
            pty.hang_up()
            async with asyncio.timeout(1):
                with pytest.raises(DeviceGone, match="serial:demo is gone"):
                    await reading
            with pytest.raises(DeviceGone):
                await port.read(timeout=0)
            with pytest.raises(DeviceGone):
                port.write(b"x")
            with pytest.raises(DeviceGone):
                await slow(port.configure, baud=300)
            with pytest.raises(DeviceGone):
                await port.send_break(0)

    run(main())


def test_a_hang_up_between_operations_is_noticed_by_each(run: Run) -> None:
    from ptys import a_pty

    async def main() -> None:
        for operation in (
            lambda port: port.read(timeout=0),
            lambda port: asyncio.to_thread(port.configure, baud=300),
            lambda port: asyncio.to_thread(port.set_control, flush="both"),
            lambda port: asyncio.to_thread(port.get_control),
            lambda port: asyncio.to_thread(port.write, b"x"),
            lambda port: port.send_break(0),
        ):
            with a_pty() as pty:
                async with opened(pty) as port:
                    pty.hang_up()
                    with pytest.raises(DeviceGone):
                        await operation(port)

    run(main())


def test_close_fails_a_read(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            reading = asyncio.ensure_future(port.read())
            await asyncio.sleep(0.01)
            assert port.close_port() is None
            port.close()
            port.close()
            with pytest.raises(NotFound, match="was closed"):
                await reading
            with pytest.raises(NotFound):
                await port.read(timeout=0)
            with pytest.raises(NotFound):
                await slow(port.get_control)
            assert port.close_port() is None

    run(main())
