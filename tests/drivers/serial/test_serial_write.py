"""Writes: whole, in order, at once when there is room; and breaks in their place among them."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from typing import Any

import pytest
from ptys import TIOCSBRK, Pty, Run, Uart, opened, slow, written

from myclerk_protocol.status import BadRequest, DeviceGone, NotFound, OperationTimeout

MEGABYTE = random.Random(1).randbytes(1 << 20)


async def filled(port: Any) -> int:
    """Write until the kernel takes no more; how many bytes it took. The other side moves what it has got out
    of the way for a moment yet, so once is not enough."""
    total = taken = 0
    while total == 0 or taken > 0:
        with pytest.raises(OperationTimeout) as late:
            await written(port, bytes(1 << 20), timeout=0.01)
        taken = int(late.value.details["written"])
        total += taken
    return total


def test_a_write_with_room_answers_without_waiting(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            assert port.write(b"AT\r") == {"written": 3}
            assert port.write(b"") == {"written": 0}
            assert await pty.receive(3) == b"AT\r"

    run(main())


def test_a_megabyte_arrives_whole(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            writing = asyncio.ensure_future(written(port, MEGABYTE, drain=True))
            assert await pty.receive(len(MEGABYTE)) == MEGABYTE
            assert await writing == {"written": len(MEGABYTE)}

    run(main())


def test_writes_keep_their_order_when_one_must_wait(run: Run, pty: Pty) -> None:
    async def main() -> None:
        rng = random.Random(2)
        blocks = [rng.randbytes(rng.choice([0, 1, 10, 1000, 30000])) for _ in range(60)]
        async with opened(pty) as port:
            answers = [port.write(block) for block in blocks]
            waiting = [asyncio.ensure_future(a) for a in answers if inspect.isawaitable(a)]
            assert len(waiting) > 10
            everything = b"".join(blocks)
            assert await pty.receive(len(everything)) == everything
            assert [await w for w in waiting] == [{"written": len(b)} for b in blocks[-len(waiting) :]]
            assert port.write(b"fast again") == {"written": 10}

    run(main())


def test_timeout_says_how_much_was_taken(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            taken = await filled(port)
            assert 0 < taken < 1 << 20
            later = asyncio.ensure_future(written(port, b"later"))
            await asyncio.sleep(0)
            with pytest.raises(OperationTimeout) as late:
                await written(port, b"never", timeout=0)
            assert late.value.details["written"] == 0
            assert await pty.receive(taken + 5) == bytes(taken) + b"later"
            assert await later == {"written": 5}
            await asyncio.sleep(0.01)
            assert pty.received() == b""

    run(main())


def test_software_flow_control_holds_a_write_back(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty, xon_xoff=True) as port:
            pty.send(b"\x13")
            await asyncio.sleep(0.02)
            with pytest.raises(OperationTimeout):
                await written(port, b"stopped", drain=True, timeout=0.05)
            writing = asyncio.ensure_future(written(port, b"going", drain=True))
            await asyncio.sleep(0.02)
            assert not writing.done()
            pty.send(b"\x11")
            assert await writing == {"written": 5}
            assert await pty.receive(5) == b"going"

    run(main())


def test_a_cancelled_write_makes_way(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            taken = await filled(port)
            first = asyncio.ensure_future(written(port, b"cancelled"))
            second = asyncio.ensure_future(written(port, b"second"))
            await asyncio.sleep(0.01)
            first.cancel()
            assert await pty.receive(taken + 6) == bytes(taken) + b"second"
            assert await second == {"written": 6}
            assert first.cancelled()

    run(main())


def test_closing_fails_what_waits_and_discards_it(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            await filled(port)
            writing = asyncio.ensure_future(written(port, b"waits"))
            await asyncio.sleep(0)
            port.close()
            with pytest.raises(NotFound, match="was closed"):
                await writing
            with pytest.raises(NotFound):
                port.write(b"x")

    run(main())


def test_hang_up_fails_every_write_at_once(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            await filled(port)
            writing = [asyncio.ensure_future(written(port, b"waits")) for _ in range(3)]
            await asyncio.sleep(0.01)
            pty.hang_up()
            async with asyncio.timeout(1):
                for write in writing:
                    with pytest.raises(DeviceGone):
                        await write

    run(main())


def test_drain_waits_for_the_transmitter(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty, baud=115200) as port:
            uart.unsent = [300, 200, 100]
            clock = time.monotonic
            started = clock()
            assert await written(port, bytes(300), drain=True) == {"written": 300}
            assert uart.unsent == []
            assert 600 * 10 / 115200 <= clock() - started < 2

    run(main())


def test_drain_does_not_hang_when_nothing_leaves(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            uart.unsent = [5] * 100000
            with pytest.raises(OperationTimeout) as late:
                await written(port, b"stuck", drain=True, timeout=0.1)
            assert late.value.details["written"] == 5
            drained = asyncio.ensure_future(written(port, b"", drain=True))
            await asyncio.sleep(0.02)
            port.close()
            with pytest.raises(NotFound):
                await drained

    run(main())


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf")])
def test_senseless_timeouts_are_refused(run: Run, pty: Pty, timeout: float) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            with pytest.raises(BadRequest) as refusal:
                port.write(b"not sent", timeout=timeout)
            assert refusal.value.details["key"] == "timeout"
            await asyncio.sleep(0.01)
            assert pty.received() == b""

    run(main())


def test_a_break_lasts_as_long_as_asked(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            clock = time.monotonic
            started = clock()
            await port.send_break(0.05)
            assert 0.05 <= clock() - started < 1
            assert uart.breaks == ["on", "off"]

    run(main())


def test_a_break_takes_its_turn_among_writes(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            taken = await filled(port)
            before = asyncio.ensure_future(written(port, b"before"))
            await asyncio.sleep(0)
            breaking = asyncio.ensure_future(port.send_break(0.1))
            await asyncio.sleep(0.01)
            after = asyncio.ensure_future(written(port, b"after"))
            assert uart.breaks == []
            assert await pty.receive(taken + 6) == bytes(taken) + b"before"
            await before
            assert await asyncio.to_thread(uart.break_began.wait, 1)
            assert pty.received() == b""
            await breaking
            assert uart.breaks == ["on", "off"]
            assert await after == {"written": 5}
            assert await pty.receive(5) == b"after"

    run(main())


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_a_break_ends_early(run: Run, pty: Pty, uart: Uart, how: str) -> None:
    async def main() -> None:
        clock = time.monotonic
        started = clock()
        async with opened(pty) as port:
            breaking = asyncio.ensure_future(port.send_break(10))
            await asyncio.to_thread(uart.break_began.wait, 1)
            if how == "close":
                port.close()
                with pytest.raises(NotFound):
                    await breaking
            else:
                breaking.cancel()
                await asyncio.wait([breaking])
                assert port.write(b"x") == {"written": 1}
        await asyncio.get_running_loop().shutdown_default_executor()
        assert uart.breaks == ["on", "off"]
        assert clock() - started < 2

    run(main())


def test_a_pty_takes_a_break_and_ignores_it(run: Run, pty: Pty) -> None:
    """The kernel answers 0 for a tty without break_ctl; no byte reaches the other side."""

    async def main() -> None:
        async with opened(pty) as port:
            await port.send_break(0)
            await asyncio.sleep(0.01)
            assert pty.received() == b""

    run(main())
    assert TIOCSBRK == 0x5427


@pytest.mark.parametrize("duration", [-0.1, 10.01, float("nan")])
def test_senseless_breaks_are_refused(run: Run, pty: Pty, uart: Uart, duration: float) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            with pytest.raises(BadRequest) as refusal:
                await port.send_break(duration)
            assert refusal.value.details["key"] == "duration"
            assert uart.breaks == []

    run(main())


def test_flush_discards_output(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty, xon_xoff=True) as port:
            port.write(b"arrives")
            await asyncio.sleep(0.01)
            await slow(port.set_control, flush="output")
            assert port.write(b"too") == {"written": 3}

    run(main())
