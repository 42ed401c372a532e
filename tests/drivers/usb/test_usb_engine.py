"""The order of transfers, their pieces, memory, cancelling and failing, against a usbfs in memory."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from fake_usbfs import ALL, FakeContext, FakeUsbfs

from myclerk_drivers.usb import engine as module
from myclerk_drivers.usb.engine import Engine
from myclerk_drivers.usb.memory import Memory
from myclerk_drivers.usb.transfer import ControlTransfer, IsochronousTransfer, Transfer, setup_packet
from myclerk_drivers.usb.usbfs import Capability, Flag, IsochronousUrb, Usbfs
from myclerk_protocol.status import BadRequest, DeviceGone, HardwareError, NotFound, TooMany

Run = Callable[[Coroutine[Any, Any, Any]], Any]
NO_LISTS = ALL & ~Capability.SCATTER_GATHER
NO_CONTINUATION = ALL & ~Capability.BULK_CONTINUATION
PIECE = 16384


class Bench:
    """An engine with its device."""

    def __init__(self, capabilities: Capability = ALL, memory: Memory | None = None) -> None:
        self.usbfs = FakeUsbfs(capabilities)
        context = FakeContext(self.usbfs)
        self.engine = Engine(context, cast(Usbfs, self.usbfs), "usb:1-1", memory or Memory())

    def send(self, kind: str = "bulk", endpoint: int = 0x02, **fields: Any) -> asyncio.Future[dict[str, Any]]:
        return self.submit(Transfer(kind, endpoint, **fields))

    def read(self, length: int, **fields: Any) -> asyncio.Future[dict[str, Any]]:
        return self.send(endpoint=0x81, length=length, **fields)

    def submit(self, transfer: Transfer) -> asyncio.Future[dict[str, Any]]:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def done(transfer: Transfer) -> None:
            if transfer.error is not None:
                future.set_exception(transfer.error)
            else:
                future.set_result(transfer.result())

        self.engine.submit(transfer, done)
        return future

    async def close(self) -> None:
        await self.engine.close(lambda: None)


async def turn() -> None:
    """Let threads and the loop do what they were asked for."""
    for _ in range(5):
        await asyncio.sleep(0.005)


def test_a_transfer_goes_out_and_another_comes_in(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        out, into = bench.send(data=b"hello"), bench.read(64)
        assert bench.usbfs.data == [b"hello", bytes(64)]
        bench.usbfs.answer(b"world", index=1)
        assert await into == {"data": b"world", "transferred": 5}
        bench.usbfs.answer(actual=5)
        assert await out == {"transferred": 5}
        await bench.close()

    run(main())


def test_without_scatter_gather_a_transfer_goes_in_pieces(run: Run) -> None:
    async def main() -> None:
        bench = Bench(NO_LISTS)
        data = bytes(range(256)) * 160
        out = bench.send(data=data, flags=Flag.ZERO_PACKET)
        assert [len(piece) for piece in bench.usbfs.data] == [PIECE, PIECE, 8192]
        assert b"".join(bench.usbfs.data) == data
        assert bench.usbfs.flags == [0, Flag.BULK_CONTINUATION, Flag.BULK_CONTINUATION | Flag.ZERO_PACKET]
        for size in (PIECE, PIECE, 8192):
            bench.usbfs.answer(actual=size)
        assert await out == {"transferred": 40960}
        bench.usbfs.flags.clear()
        into = bench.read(40960)
        continued = Flag.BULK_CONTINUATION
        assert bench.usbfs.flags == [Flag.SHORT_NOT_OK, Flag.SHORT_NOT_OK | continued, continued]
        bench.usbfs.answer(data[:PIECE])
        bench.usbfs.answer(data[PIECE:20000], status=errno.EREMOTEIO)  # short: the kernel drops the next one
        bench.usbfs.answer(status=errno.ECONNRESET)
        assert await into == {"data": data[:20000], "transferred": 20000}
        strict = bench.read(40960, flags=Flag.SHORT_NOT_OK)
        bench.usbfs.answer(b"short", status=errno.EREMOTEIO)
        bench.usbfs.answer(status=errno.ECONNRESET)
        bench.usbfs.answer(status=errno.ECONNRESET)
        assert await strict == {"data": b"short", "transferred": 5, "errno": "EREMOTEIO"}
        await bench.close()

    run(main())


def test_what_comes_after_a_transfer_begins_when_that_has_ended_well(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        first, second, third = bench.read(512), bench.read(13, after=True), bench.read(8)
        assert [urb.length for urb in bench.usbfs.pending] == [512]
        bench.usbfs.answer(b"short")
        assert (await first)["data"] == b"short"
        assert [urb.length for urb in bench.usbfs.pending] == [13, 8]
        bench.usbfs.answer(b"status")
        bench.usbfs.answer(b"more")
        assert (await second)["data"] == b"status"
        assert (await third)["data"] == b"more"

        first, second = bench.read(512), bench.read(13, after=True)
        bench.usbfs.answer(status=errno.EPIPE)
        assert (await first)["errno"] == "EPIPE"
        assert await second == {"data": b"", "transferred": 0, "errno": "ECONNRESET"}
        assert bench.usbfs.pending == []
        await bench.close()

    run(main())


@pytest.mark.parametrize("capabilities", [ALL, NO_CONTINUATION])
def test_what_continues_a_transfer_is_done_behind_a_whole_one_only(
    run: Run, capabilities: Capability
) -> None:
    async def main() -> None:
        bench = Bench(capabilities)
        by_kernel = Capability.BULK_CONTINUATION in capabilities
        first = bench.read(512, flags=Flag.SHORT_NOT_OK)
        second = bench.read(512, continued=True)
        third = bench.read(64)
        other = bench.send(data=b"elsewhere")
        assert len(bench.usbfs.pending) == (4 if by_kernel else 2)
        bench.usbfs.answer(bytes(512))
        assert (await first)["transferred"] == 512
        if not by_kernel:
            assert [urb.length for urb in bench.usbfs.pending] == [9, 512, 64]
            bench.usbfs.answer(actual=9)
        bench.usbfs.answer(b"whole")
        assert (await second)["data"] == b"whole"
        bench.usbfs.answer(b"next")
        assert (await third)["data"] == b"next"
        if by_kernel:
            bench.usbfs.answer(actual=9)
        await other

        first = bench.read(512, flags=Flag.SHORT_NOT_OK)
        second = bench.read(512, continued=True)
        bench.usbfs.answer(b"short", status=errno.EREMOTEIO)
        if by_kernel:
            bench.usbfs.answer(status=errno.ECONNRESET)
        assert (await first)["errno"] == "EREMOTEIO"
        dropped = {"data": b"", "transferred": 0, "errno": "ECONNRESET"}
        assert await second == dropped
        assert await bench.read(512, continued=True) == dropped  # still of the same transfer
        assert bench.usbfs.pending == []
        fresh = bench.read(64)
        bench.usbfs.answer(b"fresh")
        assert (await fresh)["data"] == b"fresh"
        await bench.close()

    run(main())


def test_control_transfers_carry_their_setup_packet(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        setup = setup_packet(0x40, 0x5B, 1, 2, 3)
        out = bench.submit(ControlTransfer(setup, b"abc", 0))
        assert bench.usbfs.data == [bytes.fromhex("405b010002000300") + b"abc"]
        bench.usbfs.answer(actual=3)
        assert await out == {"transferred": 3}
        into = bench.submit(ControlTransfer(setup_packet(0xC0, 1, 0, 0, 4), None, 4))
        bench.usbfs.answer(bytes(8) + b"data", actual=4)
        assert await into == {"data": b"data", "transferred": 4}
        stalled = bench.submit(ControlTransfer(setup_packet(0xC0, 1, 0, 0, 4), None, 4))
        bench.usbfs.answer(status=errno.EPIPE)
        assert await stalled == {"data": b"", "transferred": 0, "errno": "EPIPE"}
        await bench.close()

    run(main())


def test_isochronous_packets_keep_their_places(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        into = bench.submit(IsochronousTransfer(0x81, [4, 4, 4], None))
        (urb,) = bench.usbfs.pending
        assert isinstance(urb, IsochronousUrb)
        assert (urb.packet_count, [urb.packets[i].length for i in range(3)]) == (3, [4, 4, 4])
        urb.start_frame = 77
        for number, (actual, status) in enumerate([(4, 0), (0, -errno.EXDEV), (2, 0)]):
            urb.packets[number].actual, urb.packets[number].status = actual, status
        bench.usbfs.answer(b"aaaa????bb??", actual=6)
        assert await into == {
            "data": b"aaaabb", "lengths": [4, 0, 2], "errors": [(1, "EXDEV")], "start_frame": 77,
        }  # fmt: skip
        await bench.close()

    run(main())


# -- memory and limits -------------------------------------------------------------------------------------


def test_who_finds_no_memory_waits_until_some_comes_back(run: Run) -> None:
    async def main() -> None:
        memory = Memory()
        bench, other = Bench(memory=memory), Bench(memory=memory)
        held = other.send(data=b"holds the memory")
        bench.usbfs.refusals.extend([errno.ENOMEM])
        first, second = bench.send(data=b"1"), bench.send(data=b"2")
        assert bench.usbfs.data == []
        other.usbfs.answer(actual=16)
        await held
        assert bench.usbfs.data == [b"1", b"2"]
        for future in (first, second):
            bench.usbfs.answer(actual=1)
            await future
        bench.usbfs.refusals.extend([errno.ENOMEM])
        with pytest.raises(HardwareError, match="usbfs_memory_mb"):  # none of ours could come back
            await bench.send(data=b"3")
        await bench.close()
        await other.close()

    run(main())


def test_a_transfer_that_waits_for_memory_in_its_middle_can_be_cancelled(run: Run) -> None:
    async def main() -> None:
        bench = Bench(NO_LISTS)
        bench.usbfs.refusals.extend([0, errno.ENOMEM, errno.ENOMEM, errno.ENOMEM])
        out, behind = bench.send(data=bytes(40000), tag=1), bench.send(data=b"behind")
        assert [len(data) for data in bench.usbfs.data] == [PIECE]
        bench.engine.cancel([1])
        bench.usbfs.refusals.clear()
        await turn()
        assert await out == {"transferred": 0, "errno": "ECONNRESET"}
        assert bench.usbfs.data[1:] == [b"behind"]
        bench.usbfs.answer(actual=6)
        await behind
        await bench.close()

    run(main())


def test_what_is_on_its_way_is_bounded(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        futures = [bench.read(1 << 19) for _ in range(32)]
        with pytest.raises(TooMany, match="await some"):
            bench.read(1)
        bench.usbfs.answer()
        futures.append(bench.read(1))
        with pytest.raises(BadRequest, match="tag 5"):
            futures += [bench.send(data=b"", tag=5), bench.send(data=b"", tag=5)]
        await bench.close()
        assert {(await future).get("errno") for future in futures[1:]} == {"ECONNRESET"}

    run(main())


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOENT, BadRequest), (errno.EMSGSIZE, HardwareError)])
def test_what_the_kernel_does_not_take_fails(run: Run, number: int, kind: type[Exception]) -> None:
    async def main() -> None:
        bench = Bench()
        bench.usbfs.refusals.append(number)
        with pytest.raises(kind) as caught:
            await bench.send(data=b"x")
        assert cast(Any, caught.value).details["errno"] == errno.errorcode[number]
        after = bench.send(data=b"y")
        bench.usbfs.answer(actual=1)
        assert await after == {"transferred": 1}
        await bench.close()

    run(main())


# -- ending early ------------------------------------------------------------------------------------------


def test_a_transfer_is_cancelled_by_its_tag_and_by_its_time(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        first, second, third = bench.read(8, tag=1), bench.read(8, tag=2), bench.read(8, timeout=0.01)
        bench.engine.cancel([2, 99])
        assert (await second)["errno"] == "ECONNRESET"
        assert (await third)["errno"] == "ETIMEDOUT"
        bench.usbfs.answer(b"x")
        bench.engine.cancel([1])  # is done
        assert await first == {"data": b"x", "transferred": 1}
        again = bench.read(8, tag=2)
        bench.usbfs.answer()
        await again
        await bench.close()

    run(main())


def test_everything_ends_at_once_when_the_device_leaves(run: Run) -> None:
    async def main() -> None:
        bench = Bench(NO_CONTINUATION)
        futures = [bench.read(8), bench.read(8, continued=True), bench.send(data=b"x")]
        bench.usbfs.gate.clear()
        slow = bench.engine.exclusively(lambda: bench.usbfs.clear_halt(2))
        futures.append(bench.read(8))
        waiting = bench.engine.exclusively(lambda: bench.usbfs.clear_halt(2))
        bench.usbfs.connected = False
        bench.usbfs.failures["clear_halt"] = errno.ENODEV
        bench.usbfs.gate.set()
        with pytest.raises(OSError, match="failed"):
            await slow
        for future in (*futures, waiting):
            with pytest.raises(DeviceGone):
                await future
        assert bench.usbfs.calls == [("clear_halt", 2)]
        with pytest.raises(DeviceGone):
            bench.read(8)
        with pytest.raises(DeviceGone):
            bench.engine.exclusively(lambda: None)
        await bench.close()

    run(main())


@pytest.mark.parametrize("leaves", [True, False])
def test_bus_errors_are_told_when_it_is_clear_that_the_device_is_still_there(
    run: Run, leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DOUBT", 0.05)

    async def main() -> None:
        bench = Bench()
        futures = [bench.read(8) for _ in range(3)]
        bench.usbfs.answer(status=errno.EPROTO)
        bench.usbfs.answer(b"late")
        assert not any(future.done() for future in futures)
        if leaves:
            bench.usbfs.unplug()
            for future in futures:
                with pytest.raises(DeviceGone):
                    await future
        else:
            assert (await futures[0])["errno"] == "EPROTO"
            assert await futures[1] == {"data": b"late", "transferred": 4}
            bench.usbfs.answer()
            await futures[2]
        await asyncio.sleep(0.1)
        await bench.close()

    run(main())


def test_urbs_that_the_kernel_shuts_down_say_that_the_device_leaves(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        futures = [bench.read(8) for _ in range(3)]
        watching, bench.usbfs.writable = bench.usbfs.writable, None
        for _ in range(3):  # all are done before anybody looks
            bench.usbfs.answer(status=errno.ESHUTDOWN)
        assert watching is not None
        watching()
        for future in futures:
            with pytest.raises(DeviceGone):
                await future
        await bench.close()

    run(main())


# -- slow calls --------------------------------------------------------------------------------------------


def test_slow_calls_take_their_place_among_transfers(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        usbfs = bench.usbfs
        usbfs.gate.clear()
        before = bench.send(data=b"before")
        first = bench.engine.exclusively(lambda: usbfs.set_interface(0, 1))
        between = bench.send(data=b"between", tag=7)
        cancelled = bench.send(data=b"cancelled", tag=8)
        second = bench.engine.exclusively(lambda: usbfs.clear_halt(2))
        behind = bench.send(data=b"behind")
        bench.engine.cancel([8])
        assert (await cancelled)["errno"] == "ECONNRESET"  # at once
        assert usbfs.data == [b"before"]
        usbfs.answer(status=errno.ENOENT)  # the new setting cancels it; nobody reaps meanwhile
        assert not before.done()
        usbfs.gate.set()
        await first
        assert (await before)["errno"] == "ECONNRESET"
        await second
        await turn()
        assert usbfs.data == [b"before", b"between", b"behind"]
        assert usbfs.calls == [("set_interface", 0, 1), ("clear_halt", 2)]
        for future in (between, behind):
            usbfs.answer(actual=1)
            await future
        await bench.close()

    run(main())


def test_a_slow_call_that_fails_lets_the_others_go_on(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        bench.usbfs.failures["clear_halt"] = errno.EPIPE
        failing = bench.engine.exclusively(lambda: bench.usbfs.clear_halt(2))
        behind = bench.send(data=b"behind")
        with pytest.raises(OSError, match="failed"):
            await failing
        await turn()
        bench.usbfs.answer(actual=6)
        assert await behind == {"transferred": 6}
        await bench.close()

    run(main())


def test_closing_gives_back_behind_a_slow_call_and_ends_the_rest(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        bench.usbfs.gate.clear()
        running = bench.read(8)
        slow = bench.engine.exclusively(lambda: bench.usbfs.reset())
        waiting = bench.engine.exclusively(lambda: bench.usbfs.clear_halt(2))
        later = bench.read(8)
        given_back = bench.engine.close(lambda: bench.usbfs.release(0))
        for future in (running, later):
            assert (await future)["errno"] == "ECONNRESET"
        with pytest.raises(NotFound):
            await waiting
        bench.usbfs.gate.set()
        await slow
        await given_back
        assert bench.usbfs.calls == [("reset",), ("release", 0)]
        with pytest.raises(NotFound):
            bench.read(8)

    run(main())
