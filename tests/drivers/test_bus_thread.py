"""The thread of a bus: order, cancelling, and results that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from myclerk_drivers import bus_thread
from myclerk_drivers.bus_thread import BusThread
from myclerk_protocol.status import TooMany


def test_calls_run_in_the_order_submitted_and_one_at_a_time(run: Any) -> None:
    done: list[int] = []

    async def story() -> None:
        thread = BusThread("test")
        gate = threading.Event()
        first = thread.submit(lambda: (gate.wait(10), done.append(0)))
        others = [thread.submit(lambda i=i: done.append(i)) for i in range(1, 20)]
        assert not thread.idle
        assert done == []
        gate.set()
        await asyncio.gather(first, *others)
        assert done == list(range(20))
        assert thread.idle
        thread.close(10)

    run(story())


def test_results_and_errors_reach_the_one_who_asked(run: Any) -> None:
    async def story() -> None:
        thread = BusThread("test")
        assert await thread.submit(lambda: 42) == 42
        with pytest.raises(ZeroDivisionError):
            await thread.submit(lambda: 1 // 0)
        assert await thread.submit(threading.get_ident) != threading.get_ident()
        thread.close(10)

    run(story())


def test_what_is_cancelled_in_time_is_not_run(run: Any) -> None:
    async def story() -> None:
        thread = BusThread("test")
        gate, ran = threading.Event(), []
        first = thread.submit(lambda: gate.wait(10))
        second = thread.submit(lambda: ran.append("second"), discard=ran.append)
        second.cancel()
        gate.set()
        await first
        await thread.submit(lambda: None)
        assert ran == []
        thread.close(10)

    run(story())


def test_a_result_that_comes_too_late_is_discarded(run: Any) -> None:
    async def story() -> None:
        thread = BusThread("test")
        started, gate, discarded = threading.Event(), threading.Event(), list[str]()

        def work() -> str:
            started.set()
            gate.wait(10)
            return "a descriptor"

        future = thread.submit(work, discard=discarded.append)
        await asyncio.to_thread(started.wait, 10)
        future.cancel()
        gate.set()
        await thread.submit(lambda: None)
        assert discarded == ["a descriptor"]
        assert thread.idle
        thread.close(10)

    run(story())


def test_closing_waits_for_what_was_submitted(run: Any) -> None:
    async def story() -> None:
        thread, done = BusThread("test"), list[int]()
        for i in range(10):
            thread.submit(lambda i=i: done.append(i))
        thread.close(10)
        assert done == list(range(10))

    run(story())


def test_a_bus_has_a_queue_of_limited_length(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_thread, "MAX_WAITING", 3)

    async def story() -> None:
        thread = BusThread("test")
        gate, closed = threading.Event(), list[bool]()
        calls = [thread.submit(lambda: gate.wait(10)) for _ in range(3)]
        calls[2].cancel()  # it is in the queue nevertheless
        with pytest.raises(TooMany):
            thread.submit(lambda: None)
        closing = thread.submit(lambda: closed.append(True), limited=False)
        gate.set()
        await closing
        assert closed == [True]
        assert await thread.submit(lambda: 42) == 42
        thread.close(10)

    run(story())
