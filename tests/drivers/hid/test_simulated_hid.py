"""Simulated keyboards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from loop_context import CollectingSink, LoopContext

from myclerk_drivers.hid import HidDriver
from myclerk_drivers.hid.events import EV_KEY, EV_LED

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_it_types_what_it_is_told_to(run: Run) -> None:
    async def main() -> None:
        driver = HidDriver.simulated(LoopContext(), {"event0": {"keys": [35, 23], "every": 0.01}})
        (found,) = driver.resources()
        assert (found.name, found.properties["kinds"]) == ("hid:event0", ["keyboard"])
        handle = await asyncio.to_thread(driver.open_stream_handle, found, {})
        handle.pass_to({})
        sink = CollectingSink(handle.open_stream(), credit=100).start()
        await sink.until(lambda: len(sink.events) > 8)
        strokes = [change for event in sink.events for change in event["events"] if change[0] == EV_KEY]
        first = strokes.index((EV_KEY, 35, 1))
        cycle = [(EV_KEY, 35, 1), (EV_KEY, 35, 0), (EV_KEY, 23, 1), (EV_KEY, 23, 0)]
        assert strokes[first : first + 4] == cycle
        assert handle.describe_stream()["hid"]["name"] == "Simulated keyboard"
        handle.close()
        driver.close()

    run(main())


def test_lights_are_told_to_everybody(run: Run) -> None:
    async def main() -> None:
        driver = HidDriver.simulated(LoopContext(), {"event0": {}})
        (found,) = driver.resources()
        one, other = (driver.open_stream_handle(found, {}) for _ in range(2))
        sink = CollectingSink(other.open_stream(), credit=100).start()
        one.write_events([[EV_LED, 1, 1]])
        one.write_events([[EV_LED, 1, 1]])
        await sink.until(lambda: [(EV_LED, 1, 1)] in [event["events"] for event in sink.events])
        await asyncio.sleep(0.02)
        assert len(sink.events) == 2, "what is on already does not change"
        for handle in (one, other):
            handle.close()
        driver.close()

    run(main())


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"event0": 1}, "hid.event0"),
        ({"event0": {"key": [1]}}, "key"),
        ({"event0": {"keys": [0]}}, "keys"),
        ({"event0": {"keys": [True]}}, "keys"),
        ({"event0": {"every": 0}}, "every"),
        ({"event0": {"name": 5}}, "name"),
    ],
)
def test_a_wrong_description_is_refused(run: Run, table: dict[str, Any], named: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=named):
            HidDriver.simulated(LoopContext(), table)

    run(main())
