"""Polls: never more than there is credit for, nothing lost, and how they end."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from fake_usbfs import FakeContext, FakeUsbfs
from loop_context import CollectingSink

from myclerk_drivers.usb import engine as engine_module
from myclerk_drivers.usb import polling
from myclerk_drivers.usb.engine import Engine
from myclerk_drivers.usb.memory import Memory
from myclerk_drivers.usb.polling import IsochronousPoll, Poll
from myclerk_drivers.usb.transfer import IsochronousTransfer, Transfer
from myclerk_drivers.usb.usbfs import IsochronousUrb, Usbfs
from myclerk_protocol.status import DeviceGone, HardwareError

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Bench:
    """A poll of an interrupt endpoint into a sink."""

    def __init__(self, credit: int) -> None:
        self.usbfs = FakeUsbfs()
        self.context = FakeContext(self.usbfs)
        self.engine = Engine(self.context, cast(Usbfs, self.usbfs), "usb:1-1", Memory())
        poll = Poll(self.context, self.engine, "usb:1-1", lambda: Transfer("interrupt", 0x81, length=8))
        self.sink = CollectingSink(poll, credit).start()

    @property
    def data(self) -> list[bytes]:
        return [event["data"] for event in self.sink.events]

    async def close(self) -> None:
        self.sink.stream.close()
        await self.engine.close(lambda: None)


def test_transfers_are_kept_queued_as_far_as_credit_goes(run: Run) -> None:
    async def main() -> None:
        bench = Bench(credit=6)
        assert len(bench.usbfs.pending) == 4
        for number in range(4):
            bench.usbfs.answer(bytes([number]))
        assert len(bench.usbfs.pending) == 2  # six were granted, four have come
        for number in range(4, 6):
            bench.usbfs.answer(bytes([number]))
        assert bench.usbfs.pending == []
        bench.sink.grant(1)
        bench.usbfs.answer(b"\6")
        assert bench.data == [bytes([number]) for number in range(7)]
        assert bench.sink.dropped == 0
        await bench.close()

    run(main())


def test_what_was_under_way_when_the_credit_went_is_pushed_when_it_is_back(run: Run) -> None:
    async def main() -> None:
        bench = Bench(credit=10)
        bench.sink.credit = 0  # the connection is lost
        bench.sink.stream.pause()
        for number in range(4):
            bench.usbfs.answer(bytes([number]))
        assert bench.usbfs.pending == []
        assert bench.data == []
        bench.sink.grant(2)
        assert bench.data == [b"\0", b"\1"]
        assert bench.usbfs.pending == []
        bench.sink.grant(5)
        assert bench.data == [b"\0", b"\1", b"\2", b"\3"]
        assert len(bench.usbfs.pending) == 3
        await bench.close()

    run(main())


def test_a_stall_ends_it(run: Run) -> None:
    async def main() -> None:
        bench = Bench(credit=10)
        bench.usbfs.answer(status=errno.EPIPE)
        assert isinstance(bench.sink.error, HardwareError)
        assert bench.sink.error.details["errno"] == "EPIPE"
        await bench.close()

    run(main())


def test_the_end_of_the_device_ends_it(run: Run) -> None:
    async def main() -> None:
        bench = Bench(credit=10)
        bench.usbfs.unplug()
        assert isinstance(bench.sink.error, DeviceGone)
        await bench.close()

    run(main())


def test_closing_cancels_what_is_queued(run: Run) -> None:
    async def main() -> None:
        bench = Bench(credit=10)
        bench.sink.stream.close()
        async with asyncio.timeout(10):
            while bench.usbfs.pending:
                await asyncio.sleep(0.01)
        assert bench.data == []
        await bench.close()

    run(main())


def test_failures_are_told_and_slow_it_down_until_it_gives_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "DOUBT", 0)
    monkeypatch.setattr(polling, "LAST_PAUSE", 0.01)
    monkeypatch.setattr(polling, "MOST_ERRORS", 6)

    async def main() -> None:
        bench = Bench(credit=100)
        async with asyncio.timeout(20):
            bench.usbfs.answer(status=errno.EOVERFLOW)
            assert bench.sink.events[-1] == {"data": b"", "errno": "EOVERFLOW"}
            assert len(bench.usbfs.pending) == 3
            while len(bench.usbfs.pending) < 4:  # after a pause
                await asyncio.sleep(0.01)
            bench.usbfs.answer(b"works")
            assert bench.sink.events[-1] == {"data": b"works"}
            while not bench.sink.ended:
                while bench.usbfs.pending and not bench.sink.ended:
                    bench.usbfs.answer(status=errno.EPROTO)
                await asyncio.sleep(0.01)
        assert [event.get("errno") for event in bench.sink.events].count("EPROTO") == 6
        assert isinstance(bench.sink.error, HardwareError)
        await bench.close()

    run(main())


def test_an_isochronous_poll_gives_packets(run: Run) -> None:
    async def main() -> None:
        usbfs = FakeUsbfs()
        context = FakeContext(usbfs)
        engine = Engine(context, cast(Usbfs, usbfs), "usb:1-1", Memory())
        poll = IsochronousPoll(context, engine, "usb:1-1", lambda: IsochronousTransfer(0x81, [2, 2], None))
        sink = CollectingSink(poll, 8).start()
        urb = usbfs.pending[0]
        assert isinstance(urb, IsochronousUrb)
        urb.packets[0].actual, urb.packets[1].status = 2, -errno.EPROTO
        usbfs.answer(b"ab", actual=2)
        assert sink.events == [
            {"data": b"ab", "lengths": [2, 0], "errors": [(1, "EPROTO")], "start_frame": 0}
        ]
        assert len(usbfs.pending) == 4
        poll.close()
        await engine.close(lambda: None)

    run(main())
