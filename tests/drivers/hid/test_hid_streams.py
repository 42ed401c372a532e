"""The stream of an input device: whole reports, no key that stays down, grabbing, lights, the end."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from input_devices import RESOURCE, PipeInput
from loop_context import CollectingSink, LoopContext

from myclerk_drivers.base import Access
from myclerk_drivers.hid import HidDriver
from myclerk_drivers.hid.device import OpenInput
from myclerk_drivers.hid.events import EV_ABS, EV_KEY, EV_LED, EV_SW
from myclerk_protocol.status import BadRequest, Conflict, DeviceGone

Run = Callable[[Coroutine[Any, Any, Any]], Any]
A, B = 30, 31
FIRST = [(EV_ABS, 0, 5), (EV_SW, 0, 1), (EV_LED, 1, 0)]
"""Where everything is at the start."""


@pytest.fixture
def device() -> Iterator[PipeInput]:
    device = PipeInput()
    yield device
    device.close()


def opened(device: PipeInput, **options: Any) -> OpenInput:
    handle = HidDriver(LoopContext(), device).open_stream_handle(RESOURCE, options)
    handle.pass_to(options)
    return handle


def changes(sink: CollectingSink) -> list[list[tuple[int, int, int]]]:
    return [list(event["events"]) for event in sink.events]


def test_reports_come_whole_with_their_time(run: Run, device: PipeInput) -> None:
    async def main() -> None:
        handle = opened(device)
        sink = CollectingSink(handle.open_stream(), credit=10).start()
        device.report((EV_KEY, A, 1), (4, 4, 7), at=5_000)
        device.report((EV_KEY, A, 0), at=7_000)
        await sink.until(lambda: len(sink.events) == 3)
        assert changes(sink) == [FIRST, [(EV_KEY, A, 1), (4, 4, 7)], [(EV_KEY, A, 0)]]
        assert [event.get("resync") for event in sink.events] == [True, None, None]
        assert [event["timestamp_ns"] for event in sink.events[1:]] == [5_000, 7_000]
        handle.close()

    run(main())


def test_what_found_no_credit_is_made_good(run: Run, device: PipeInput) -> None:
    async def main() -> None:
        handle = opened(device)
        sink = CollectingSink(handle.open_stream(), credit=2).start()
        device.report((EV_KEY, A, 1))
        await sink.until(lambda: len(sink.events) == 2)
        device.report((EV_KEY, A, 0))
        device.report((EV_KEY, B, 1))
        device.report((EV_KEY, B, 0), (EV_ABS, 0, 9))
        device.report((2, 0, 100))
        await asyncio.sleep(0.05)
        assert len(sink.events) == 2
        sink.grant(10)
        assert changes(sink)[2:] == [[(EV_KEY, A, 0), (EV_ABS, 0, 9)]], "B was pressed and released in vain"
        assert sink.dropped == 4
        device.report((EV_KEY, B, 1))
        await sink.until(lambda: len(sink.events) == 4)
        assert changes(sink)[3:] == [[(EV_KEY, B, 1)]]
        assert sink.dropped == 4
        handle.close()

    run(main())


def test_what_was_lost_is_told_even_if_it_led_nowhere(run: Run, device: PipeInput) -> None:
    async def main() -> None:
        handle = opened(device)
        sink = CollectingSink(handle.open_stream(), credit=1).start()
        device.report((EV_KEY, A, 1))
        device.report((EV_KEY, A, 0))
        await asyncio.sleep(0.05)
        sink.grant(10)
        assert (changes(sink), sink.dropped) == ([FIRST], 2)
        handle.close()

    run(main())


def test_what_the_kernel_dropped_is_made_good(run: Run, device: PipeInput) -> None:
    async def main() -> None:
        handle = opened(device)
        sink = CollectingSink(handle.open_stream(), credit=10).start()
        device.report((EV_KEY, A, 1))
        device.overrun((EV_KEY, A, 0), (EV_KEY, B, 1))
        await sink.until(lambda: len(sink.events) == 3)
        assert changes(sink)[1:] == [[(EV_KEY, A, 1)], [(EV_KEY, A, 0), (EV_KEY, B, 1)]]
        assert sink.events[2]["resync"] is True
        assert sink.dropped > 0
        handle.close()

    run(main())


def test_who_gets_it_next_learns_where_things_are_but_of_no_key_pressed_before(
    run: Run, device: PipeInput
) -> None:
    async def main() -> None:
        device.present.keys.add(B)
        handle = opened(device)
        stream = handle.open_stream()
        sink = CollectingSink(stream, credit=10).start()
        assert changes(sink) == [FIRST], "and not of B"
        device.report((EV_KEY, A, 1), (EV_ABS, 0, 7))
        await sink.until(lambda: len(sink.events) == 2)
        handle.pass_to({})
        stream.resume()
        assert changes(sink)[2:] == [[(EV_ABS, 0, 7), (EV_SW, 0, 1), (EV_LED, 1, 0)]]
        device.report((EV_KEY, A, 0))
        await sink.until(lambda: len(sink.events) == 4)
        handle.close()

    run(main())


def test_a_device_is_grabbed_as_long_as_its_present_client_wants_that(run: Run, device: PipeInput) -> None:
    async def main() -> None:
        handle = opened(device, grab=True)
        handle.pass_to({"grab": True})
        handle.pass_to({})
        handle.pass_to({"grab": False})
        assert device.grabbed == [True, False]
        device.grabbed_elsewhere = True
        with pytest.raises(Conflict, match="another program on the board has grabbed hid:event0") as refused:
            handle.pass_to({"grab": True})
        assert refused.value.details["errno"] == "EBUSY"
        handle.close()
        handle.close()
        assert device.closed == 1

    run(main())


def test_grabbing_needs_more_than_reading(run: Run, device: PipeInput) -> None:
    async def main() -> None:
        driver = HidDriver(LoopContext(), device)
        assert driver.stream_access({}) is Access.READ
        assert driver.stream_access({"grab": True}) is Access.READ_WRITE

    run(main())


def test_lights_are_set_and_nothing_else(run: Run, device: PipeInput) -> None:
    async def main() -> None:
        handle = opened(device)
        handle.write_events([[EV_LED, 1, 1]])
        assert device.written == [[(EV_LED, 1, 1)]]
        for wrong in ([EV_LED, 0, 1], [EV_KEY, A, 1], [EV_LED, 1, -1], [EV_LED, 1, 1 << 31]):
            with pytest.raises(BadRequest):
                handle.write_events([wrong])
        assert len(device.written) == 1
        handle.close()

    run(main())


def test_a_device_that_is_pulled_out_ends_the_stream(
    run: Run, device: PipeInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read

    def gone(fd: int, size: int) -> bytes:
        if fd == device.fd:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return read(fd, size)

    async def main() -> None:
        handle = opened(device)
        sink = CollectingSink(handle.open_stream(), credit=10).start()
        monkeypatch.setattr(os, "read", gone)
        device.report((EV_KEY, A, 1))
        await sink.until(lambda: sink.ended)
        assert isinstance(sink.error, DeviceGone)
        assert sink.error.details["errno"] == "ENODEV"
        handle.close()

    run(main())


def test_a_device_that_is_hidden(run: Run, device: PipeInput) -> None:
    async def main() -> None:
        assert HidDriver(LoopContext({"hide": ["event0"]}), device).resources() == []
        with pytest.raises(ValueError, match="hide"):
            HidDriver(LoopContext({"hide": [1]}), device)

    run(main())


def test_a_device_that_is_gone_when_it_is_opened(run: Run) -> None:
    class Gone(PipeInput):
        def open(self, path: str) -> PipeInput:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

        def state(self) -> Any:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    async def main() -> None:
        device = Gone()
        with pytest.raises(DeviceGone):
            opened(device)
        device.open = lambda path: device  # type: ignore[method-assign]
        with pytest.raises(DeviceGone):
            opened(device)
        assert device.closed == 1, "what failed behind the opening is closed"

    run(main())
