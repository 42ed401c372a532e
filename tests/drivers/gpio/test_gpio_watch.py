"""Edges: who sees which, how lost ones are counted, and how watching ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar

import pytest
from gpio_bench import BUTTON, LED, RELAY, SENSOR, Bench, Run, seen, watched

from myclerk_drivers.gpio import simulated_lines
from myclerk_drivers.gpio.backend import EVENT_BUFFER
from myclerk_protocol.status import BadRequest, DeviceGone, NotFound, Unsupported


def test_an_output_drives_an_input_with_edges(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", {"line": "LED", "direction": "output"}, "SENSOR")
        sink = watched(lines)
        for value in (True, False, True):
            lines.set([value], [LED])
        await sink.until(lambda: len(sink.events) == 3)
        assert seen(sink) == [(3, "rising"), (3, "falling"), (3, "rising")]
        assert [event["sequence"] for event in sink.events] == [1, 2, 3]
        assert {event["name"] for event in sink.events} == {"SENSOR"}
        times = [event["timestamp_ns"] for event in sink.events]
        assert times == sorted(times)
        lines.close()
        assert sink.ended
        assert bench.context.watched == (set(), set())

    run(main())


def test_edges_are_logical(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("SENSOR", active_low=True)
        sink = watched(lines, edges="rising")
        for level in (True, False, True, False):
            bench.push("SENSOR", level)
        await sink.until(lambda: len(sink.events) == 2)
        assert seen(sink) == [(3, "rising"), (3, "rising")]
        lines.close()

    run(main())


def test_several_watch_the_same_handle(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", "BUTTON", "SENSOR")
        everything = watched(lines)
        falling = watched(lines, BUTTON, edges="falling")
        rising = watched(lines, SENSOR, edges="rising")
        bench.push("BUTTON", False)
        bench.push("BUTTON", True)
        bench.push("SENSOR", True)
        await everything.until(lambda: len(everything.events) == 3)
        assert seen(everything) == [(0, "falling"), (0, "rising"), (3, "rising")]
        assert (seen(falling), seen(rising)) == ([(0, "falling")], [(3, "rising")])
        everything.stream.close()
        assert bench.info("BUTTON")["edges"] == "falling", "the kernel detects what is still wanted"
        falling.stream.close()
        assert "edges" not in bench.info("BUTTON")
        bench.push("SENSOR", False)
        bench.push("SENSOR", True)
        await rising.until(lambda: len(rising.events) == 2)
        rising.stream.close()
        rising.stream.close()
        assert bench.context.watched == (set(), set())
        lines.close()

    run(main())


def test_watching_leaves_outputs_and_values_alone(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", {"line": "RELAY", "direction": "output"}, "SENSOR")
        lines.set([True], [RELAY])
        sink = watched(lines)
        assert bench.level("RELAY")
        sink.stream.close()
        assert bench.level("RELAY")
        lines.close()

    run(main())


def test_what_the_kernel_could_not_keep_is_counted(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", "BUTTON", "SENSOR")
        both, button = watched(lines), watched(lines, BUTTON)
        for index in range(EVENT_BUFFER + 300):
            bench.push("SENSOR", index % 2 == 0)
        await both.until(lambda: len(both.events) == EVENT_BUFFER)
        assert both.dropped == 300
        assert both.events[0]["sequence"] == 301
        assert (button.events, button.dropped) == ([], 0)
        bench.push("SENSOR", True)
        await both.until(lambda: len(both.events) == EVENT_BUFFER + 1)
        assert both.dropped == 300, "each loss is told once"
        lines.close()

    run(main())


def test_edges_without_credit_are_dropped_not_kept(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("SENSOR")
        sink = watched(lines, credit=2)
        for level in (True, False, True, False, True):
            bench.push("SENSOR", level)
        await sink.until(lambda: sink.dropped == 3)
        assert [event["sequence"] for event in sink.events] == [1, 2]
        sink.grant(10)
        bench.push("SENSOR", False)
        await sink.until(lambda: len(sink.events) == 3)
        assert sink.events[-1]["sequence"] == 6
        lines.close()

    run(main())


def test_edges_behind_others_are_fetched_together(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timer, "started", [])

    def call_later(seconds: float, look: Callable[[], None]) -> Timer:
        timer = Timer(seconds, look)
        timer.start()
        return timer

    async def main() -> None:
        bench = Bench()
        monkeypatch.setattr(bench.context, "call_later", call_later)
        lines = bench.request("SENSOR")
        sink = watched(lines)
        bench.push("SENSOR", True)
        await sink.until(lambda: len(sink.events) == 1)
        assert bench.context.watched == (set(), set()), "nobody is woken for the next ones"
        for level in (False, True):
            bench.push("SENSOR", level)
        Timer.started[0].fire()
        assert [event["sequence"] for event in sink.events] == [1, 2, 3]
        Timer.started[1].fire()
        assert bench.context.watched[0], "there was nothing more: it waits again"
        bench.push("SENSOR", False)
        await sink.until(lambda: len(sink.events) == 4)
        lines.close()
        assert Timer.started[-1].cancelled
        assert bench.context.watched == (set(), set())

    run(main())


def test_edges_while_nobody_watched_are_no_loss(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("SENSOR")
        first = watched(lines)
        for level in (True, False):
            bench.push("SENSOR", level)
        first.stream.close()  # before the event loop could read them
        for level in (True, False):
            bench.push("SENSOR", level)
        second = watched(lines)
        bench.push("SENSOR", True)
        await second.until(lambda: len(second.events) == 1)
        assert (seen(second), second.dropped) == ([(3, "rising")], 0)
        assert first.events == []
        lines.close()

    run(main())


def test_only_inputs_can_be_watched(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request(
            "gpiochip0", {"line": "LED", "direction": "output"}, {"line": "RELAY", "direction": "as-is"}
        )
        for which, error in (
            ([LED], BadRequest),
            ([RELAY], BadRequest),
            (None, BadRequest),
            ([0], NotFound),
        ):
            with pytest.raises(error) as refusal:
                lines.watch(which)
            assert refusal.value.details["key"] == "lines"
        assert bench.context.watched == (set(), set())
        lines.close()

    run(main())


def test_a_chip_without_interrupts_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_interrupt(*_: object) -> None:
        raise OSError(6, "No such device or address")

    async def main() -> None:
        bench = Bench()
        lines = bench.request("SENSOR")
        monkeypatch.setattr(lines._request, "configure", no_interrupt)
        with pytest.raises(Unsupported, match="cannot detect edges"):
            lines.watch()
        assert bench.context.watched == (set(), set())
        lines.close()

    run(main())


def test_a_chip_that_goes_ends_every_stream(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OSError(19, "No such device")

    async def main() -> None:
        bench = Bench()
        lines = bench.request("SENSOR")
        sinks = [watched(lines), watched(lines)]
        monkeypatch.setattr(lines._request, "read_edges", gone)
        bench.push("SENSOR", True)
        for sink in sinks:
            await sink.until(lambda sink=sink: sink.ended)  # type: ignore[misc]
            assert isinstance(sink.error, DeviceGone)
        assert bench.context.watched == (set(), set())
        lines.close()

    run(main())


def test_a_kernel_that_numbers_across_the_wrap_loses_nothing(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("SENSOR")
        line = bench.board._lines["gpiochip0", 3]
        sink = watched(lines)
        bench.push("SENSOR", True)
        await sink.until(lambda: len(sink.events) == 1)
        line.sequence = lines._request.sequences[3] = 2**32 - 1
        bench.push("SENSOR", False)
        await sink.until(lambda: len(sink.events) == 2)
        assert (sink.events[-1]["sequence"], sink.dropped) == (0, 0)
        lines.close()

    run(main())


def test_edges_that_others_saw_before_are_not_lost(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        first = bench.request("gpiochip0", {"line": "BUTTON"}, on_release="low")
        sink = watched(first)
        for level in (False, True, False):
            bench.push("BUTTON", level)
        await sink.until(lambda: len(sink.events) == 3)
        first.close()
        second = bench.request("gpiochip0", {"line": "BUTTON"})  # handed over: the kernel counts on
        sink = watched(second)
        bench.push("BUTTON", True)
        await sink.until(lambda: len(sink.events) == 1)
        assert sink.dropped == 0
        second.close()
        bench.driver.close()

    run(main())


class Timer:
    """A :class:`threading.Timer`, or one of an event loop, whose time is over when the test says so."""

    started: ClassVar[list[Timer]] = []

    def __init__(self, interval: float, function: Callable[[], None]) -> None:
        self.interval, self.fire = interval, function
        self.cancelled = False

    def start(self) -> None:
        self.started.append(self)

    def cancel(self) -> None:
        self.cancelled = True


def test_debounced_lines_see_no_short_pulses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_lines.threading, "Timer", Timer)
    monkeypatch.setattr(Timer, "started", [])

    async def main() -> None:
        bench = Bench()
        lines = bench.request("SENSOR", debounce=0.02)
        sink = watched(lines)
        for level in (True, False, True, False, True):
            bench.push("SENSOR", level)
        assert lines.get() == {"values": [False]}, "it has not stood still yet"
        assert [timer.cancelled for timer in Timer.started] == [True, True, False]
        assert {timer.interval for timer in Timer.started} == {0.02}
        for timer in Timer.started:  # also those that came too late to be cancelled
            timer.fire()
        await sink.until(lambda: len(sink.events) == 1)
        assert seen(sink) == [(3, "rising")]
        assert lines.get() == {"values": [True]}
        lines.close()

    run(main())


def test_no_descriptor_is_left_by_many_requests(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            lines = bench.request("gpiochip0", "SENSOR", "BUTTON")
            watched(lines)
            lines.close()
        assert len(os.listdir("/proc/self/fd")) == before

    run(main())
