"""Modem lines: read, set together, watched; with a UART's registers modelled behind a pty."""

from __future__ import annotations

import asyncio
import termios
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from loop_context import CollectingSink
from ptys import Pty, Run, Uart, driver_for, open_port, opened, slow

from myclerk_drivers.serial.lines import Changes, Look
from myclerk_drivers.serial.port import SerialPort
from myclerk_drivers.serial.streams import LineStream
from myclerk_protocol.status import BadRequest, DeviceGone, NotFound, Unsupported

CTS, DSR, RI, DCD = termios.TIOCM_CTS, termios.TIOCM_DSR, termios.TIOCM_RI, termios.TIOCM_CD


async def watched(port: SerialPort, credit: int = 100) -> CollectingSink:
    stream = await slow(port.get_control, watch=True)
    assert isinstance(stream, LineStream)
    return CollectingSink(stream, credit).start()


def changes(*looks: tuple[int, tuple[int, int, int, int]]) -> list[list[tuple[str, bool]]]:
    """The events at each of these looks (bits, counters) behind the first."""
    watch = Changes(Look(0, *looks[0]))
    return [[(e["line"], e["value"]) for e in watch.since(Look(1, *look))] for look in looks[1:]]


def test_levels_that_differ_are_events() -> None:
    assert changes(
        (0, (0, 0, 0, 0)), (CTS | DCD, (1, 0, 0, 1)), (DCD, (2, 0, 0, 1)), (DCD, (2, 0, 0, 1))
    ) == [
        [("cts", True), ("dcd", True)],
        [("cts", False)],
        [],
    ]


def test_counters_betray_a_pulse() -> None:
    assert changes((DSR, (0, 5, 0, 0)), (DSR, (0, 7, 0, 0)), (DSR, (0, 7, 0, 0))) == [
        [("dsr", False), ("dsr", True)],
        [],
    ]


def test_ring_counts_one_edge_of_a_pulse() -> None:
    """The 8250's TERI: only the trailing edge of RI counts (16550 data sheet, modem status register)."""
    assert changes((0, (0, 0, 0, 0)), (0, (0, 0, 1, 0))) == [[("ri", True), ("ri", False)]]
    assert changes((0, (0, 0, 0, 0)), (RI, (0, 0, 0, 0)), (0, (0, 0, 1, 0)), (0, (0, 0, 1, 0))) == [
        [("ri", True)],
        [("ri", False)],
        [],
    ]


def test_a_counter_that_comes_late_is_no_pulse() -> None:
    assert changes(
        (0, (0, 0, 0, 0)), (CTS, (0, 0, 0, 0)), (CTS, (1, 0, 0, 0)), (0, (1, 0, 0, 0)), (0, (2, 0, 0, 0))
    ) == [[("cts", True)], [], [("cts", False)], []]


def test_a_driver_that_never_counts_gives_levels() -> None:
    none = (0, 0, 0, 0)
    assert changes(*[(CTS * (i % 2), none) for i in range(5)]) == [
        [("cts", bool(i % 2))] for i in range(1, 5)
    ]


def test_counters_wrap() -> None:
    top = 0xFFFFFFFF
    assert changes((CTS, (top, 0, 0, 0)), (CTS, (1, 0, 0, 0))) == [[("cts", False), ("cts", True)]]


def test_reading_names_every_line_and_counter(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            uart.lines = termios.TIOCM_DTR | CTS | DCD
            uart.counts = [1, 2, 3, 4, 50, 60, 7, 8, 9, -1, 11]
            pty.send(b"abc")
            await asyncio.sleep(0.02)
            uart.unsent = [17]
            assert await slow(port.get_control) == {
                "dtr": True,
                "rts": False,
                "cts": True,
                "dsr": False,
                "ri": False,
                "dcd": True,
                "input_waiting": 3,
                "output_waiting": 17,
                "counters": {
                    "rx": 50,
                    "tx": 60,
                    "frame": 7,
                    "overrun": 8,
                    "parity": 9,
                    "break": 0xFFFFFFFF,
                    "buffer_overrun": 11,
                },
            }

    run(main())


def test_waiting_counts_what_the_port_itself_holds(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"line\nrest")
            await port.read(terminator=b"\n")
            writing = port.write(bytes(1 << 20))
            assert not isinstance(writing, dict)
            task = asyncio.ensure_future(writing)  # type: ignore[arg-type]
            await asyncio.sleep(0.01)
            taken = len(pty.received(100000))
            state = await slow(port.get_control)
            assert state["input_waiting"] == 4
            assert 0 < state["output_waiting"] <= (1 << 20) - taken
            task.cancel()
            await asyncio.wait([task])

    run(main())


@pytest.mark.parametrize(
    ("request_fields", "bits"),
    [
        ({"dtr": False, "rts": False}, 0),
        ({"dtr": False}, termios.TIOCM_RTS),
        ({"rts": False}, termios.TIOCM_DTR),
        ({"dtr": False, "rts": True}, termios.TIOCM_RTS),
        ({"dtr": True, "rts": False}, termios.TIOCM_DTR),
    ],
    ids=str,
)
def test_outputs_change_in_one_step(
    run: Run, pty: Pty, uart: Uart, request_fields: dict[str, bool], bits: int
) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            assert await slow(port.set_control, **request_fields) is None
            assert uart.line_writes == [bits]

    run(main())


def test_a_pty_has_no_modem_lines(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            pty.send(b"stays")
            await asyncio.sleep(0.02)
            calls: list[Callable[[], Any]] = [
                port.get_control,
                lambda: port.get_control(watch=True),
                lambda: port.set_control(dtr=True, flush="input"),
            ]
            for call in calls:
                with pytest.raises(Unsupported, match="does not support modem lines") as refusal:
                    await slow(call)
                assert refusal.value.details["errno"] == "ENOTTY"
            assert await port.read(minimum=5) == {"data": b"stays", "complete": True}
            assert await slow(port.set_control) is None

    run(main())


def test_a_senseless_flush_changes_nothing(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            with pytest.raises(BadRequest) as refusal:
                await slow(port.set_control, dtr=False, flush="everything")
            assert refusal.value.details["key"] == "flush"
            assert uart.line_writes == []

    run(main())


@pytest.mark.parametrize("parent", [None, "usb:1-1.4"])
def test_watching_tells_of_changes_and_pulses(run: Run, pty: Pty, uart: Uart, parent: str | None) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            port.resource = replace(port.resource, parent=parent)
            sink = await watched(port)
            before = time.time_ns()
            uart.turn(CTS, 0)
            await sink.until(lambda: len(sink.events) == 1)
            uart.turn(DSR, 1)
            uart.turn(DSR, 1)
            await sink.until(lambda: len(sink.events) == 3)
            told = [(event["line"], event["value"]) for event in sink.events]
            assert told == [("cts", True), ("dsr", True), ("dsr", False)]
            assert all(before <= event["timestamp_ns"] <= time.time_ns() for event in sink.events)
            sink.stream.close()
            sink.stream.close()
            await asyncio.sleep(0.02)
            uart.turn(CTS, 0)
            await asyncio.sleep(0.03)
            assert len(sink.events) == 3

    run(main())


def test_a_change_before_the_start_is_told(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            stream = await slow(port.get_control, watch=True)
            uart.turn(DCD, 3)
            sink = CollectingSink(stream, 5).start()
            await sink.until(lambda: len(sink.events) == 1)
            assert (sink.events[0]["line"], sink.events[0]["value"]) == ("dcd", True)
            stream.close()

    run(main())


def test_events_beyond_the_credit_are_the_sinks_to_count(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            sink = await watched(port, credit=1)
            uart.turn(CTS, 0)
            await sink.until(lambda: len(sink.events) == 1)
            uart.turn(DSR, 1)
            await sink.until(lambda: sink.dropped == 1)
            sink.stream.close()

    run(main())


def test_hang_up_and_close_end_a_watch(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            sink = await watched(port)
            port.close()
            await sink.until(lambda: sink.ended, 1)
            assert isinstance(sink.error, NotFound)
        port = await open_port(driver_for(pty, modem_poll_interval=10.0))
        sink = await watched(port)
        await asyncio.sleep(0.05)
        pty.hang_up()
        with pytest.raises(DeviceGone):
            port.write(b"x")
        await sink.until(lambda: sink.ended, 1)
        assert isinstance(sink.error, DeviceGone)
        port.close()

    run(main())
