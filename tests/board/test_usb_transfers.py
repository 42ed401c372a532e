"""Control and bulk transfers through usbfs: what arrives, in which order, and how they fail."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from myclerk_client import (
    BadRequest,
    HardwareError,
    OperationTimeout,
    TooMany,
    UrbResult,
    UsbDevice,
)

from .hand import Hand
from .usb_bench import appeared, lab, place
from .virtual_board import VirtualBoard

pytestmark = pytest.mark.backend("virtual board: dummy_hcd")

VENDOR_WRITE, VENDOR_READ = 0x5B, 0x5C
"""Requests of the kernel's source/sink gadget: fill a buffer, read it back."""
MODULUS = bytes(range(63))
"""The pattern of the lab's source and sink, from the start of each packet (f_sourcesink.c)."""


@pytest.fixture(scope="module")
def lab_resource(board: VirtualBoard, hand: Hand) -> Iterator[str]:
    with lab(hand) as resource:
        yield resource


@asynccontextmanager
async def loopback(board: VirtualBoard, resource: str) -> AsyncIterator[tuple[UsbDevice, int, int]]:
    """The gadget that sends everything back, with its IN and OUT endpoint."""
    async with await board.connect() as client, await client.usb.attach(resource) as device:
        info = await device.set_configuration(2)
        addresses = sorted(e["address"] for e in info["interfaces"][0]["endpoints"])
        yield device, addresses[1], addresses[0]


# -- control -----------------------------------------------------------------------------------------------


def test_control_transfers_both_ways(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with (
            await board.connect() as client,
            await client.usb.attach(place(hand, "source-sink")) as device,
        ):
            data = random.randbytes(2000)
            assert await device.control(0x40, VENDOR_WRITE, 0, 0, data, timeout=20) == 2000
            assert await device.control(0xC0, VENDOR_READ, 0, 0, 2000, timeout=20) == data
            assert await device.control(0xC0, VENDOR_READ, 0, 0, 0, timeout=20) == b""
            assert await device.control(0x80, 6, 0x0100, 0, 4096, timeout=20) == device.descriptors[:18]
            with pytest.raises(HardwareError, match="stalled") as caught:
                await device.control(0xC0, 0x99, 0, 0, 8, timeout=20)
            assert caught.value.details["errno"] == "EPIPE"
            with pytest.raises(BadRequest, match="SET_ADDRESS"):
                await device.control(0x00, 5, 9, 0, b"")

    asyncio.run(main())


# -- bulk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 64, 511, 512, 513, 4096, 65536, 3_000_000])
def test_what_is_written_comes_back(board: VirtualBoard, lab_resource: str, size: int) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            data = random.randbytes(size)

            async def back() -> bytes:
                found = b""
                while len(found) < size:
                    found += await device.read(
                        into, min(4096, size - len(found)) if size > 4096 else 4096, timeout=60
                    )
                return found if size else await device.read(into, 4096, timeout=60)

            written, found = await asyncio.gather(
                device.write(out, data, timeout=60, zero_packet=True), back()
            )
            assert written == size
            assert found == data

    asyncio.run(main())


def test_many_transfers_are_done_in_the_order_sent(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            reads = [device.submit_bulk(into, 512) for _ in range(300)]
            writes = [device.submit_bulk(out, struct.pack(">I", number)) for number in range(300)]
            async with asyncio.timeout(60):
                sent = [await transfer for transfer in writes]
                found = [await transfer for transfer in reads]
            assert sent == [UrbResult(b"", 4)] * 300
            assert [struct.unpack(">I", result.data)[0] for result in found] == list(range(300))

    asyncio.run(main())


def test_a_short_transfer_is_told_from_a_whole_one(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            await device.write(out, b"short", timeout=20)
            assert await device.submit_bulk(into, 512, timeout=20) == UrbResult(b"short", 5)
            await device.write(out, b"short", timeout=20)
            assert await device.submit_bulk(into, 512, short_not_ok=True, timeout=20) == UrbResult(
                b"short", 5, "EREMOTEIO"
            )
            await device.write(out, bytes(512), zero_packet=True, timeout=20)
            assert await device.submit_bulk(into, 512, short_not_ok=True, timeout=20) == UrbResult(
                bytes(512), 512
            )
            assert await device.submit_bulk(into, 512, timeout=20) == UrbResult()  # the empty packet

    asyncio.run(main())


def test_what_continues_a_short_transfer_is_not_done(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            first = device.submit_bulk(into, 512, short_not_ok=True)
            second = device.submit_bulk(into, 512, continued=True)
            await device.write(out, b"end of the first transfer", timeout=20)
            async with asyncio.timeout(20):
                assert (await first).errno == "EREMOTEIO"
                assert await second == UrbResult(b"", 0, "ECONNRESET")
            late = device.submit_bulk(into, 512, continued=True)
            assert await asyncio.wait_for(late.future, 20) == UrbResult(b"", 0, "ECONNRESET")
            await device.write(out, b"another one", timeout=20)
            assert await device.read(into, 4096, timeout=20) == b"another one"

    asyncio.run(main())


def test_a_lazy_answer_comes_with_another_one(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out), asyncio.timeout(30):
            lazy = device.submit_bulk(out, b"first", lazy=True)
            assert await device.read(into, 512) == b"first"
            assert await lazy == UrbResult(b"", 5)
            lazy = device.submit_bulk(out, b"second", lazy=True)
            await asyncio.sleep(0.5)
            assert not lazy.done()
            lazy.cancel()
            assert await lazy == UrbResult(b"", 6)  # it was done before
            assert await device.read(into, 512) == b"second"
            many = [device.submit_bulk(out, b"", lazy=True) for _ in range(17)]
            await many[0]  # so many do not wait
            assert all(transfer.done() for transfer in many)

    asyncio.run(main())


def test_a_transfer_of_megabytes_ends_where_the_device_ends_it(
    board: VirtualBoard, lab_resource: str
) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            data = random.randbytes(700_001)
            reading = asyncio.ensure_future(device.read(into, 4 << 20, timeout=60))
            await asyncio.sleep(0)
            for start in range(0, len(data), 4096):  # the gadget's buffers: what fills one is not ended by it
                await device.write(out, data[start : start + 4096], timeout=60)
            assert await reading == data

    asyncio.run(main())


def test_transfers_are_cancelled(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            reads = [device.submit_bulk(into, 512) for _ in range(10)]
            huge = device.submit_bulk(into, 2 << 20)
            reads[3].cancel()
            reads[7].cancel()
            huge.cancel()
            async with asyncio.timeout(20):
                assert await reads[3] == await reads[7] == UrbResult(b"", 0, "ECONNRESET")
                assert await huge == UrbResult(b"", 0, "ECONNRESET")
            for number in range(8):
                await device.write(out, bytes([number]), timeout=20)
            left = [read for index, read in enumerate(reads) if index not in (3, 7)]
            async with asyncio.timeout(20):
                assert [(await read).data for read in left] == [bytes([number]) for number in range(8)]
            left[0].cancel()  # is done: nothing happens
            task = asyncio.create_task(device.read(into, 512))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await device.write(out, b"for the next", timeout=20)
            assert await device.read(into, 512, timeout=20) == b"for the next"

    asyncio.run(main())


def test_a_time_limit_ends_a_transfer(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            with pytest.raises(OperationTimeout) as caught:
                await device.read(into, 512, timeout=0.2)
            assert (caught.value.details["data"], caught.value.details["transferred"]) == (b"", 0)
            await device.write(out, bytes(4096), timeout=20)
            with pytest.raises(OperationTimeout) as caught:  # 4,096 of 8,192 bytes came
                await device.read(into, 8192, timeout=0.5)
            assert caught.value.details["transferred"] == 4096
            await device.write(out, b"alive", timeout=20)
            assert await device.read(into, 512, timeout=20) == b"alive"

    asyncio.run(main())


def test_a_stall_is_reported_and_cleared(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with await board.connect() as client, await client.usb.attach(lab_resource) as device:
            pattern = (MODULUS * 9)[:512]
            assert await device.read(0x81, 512, timeout=20) == pattern
            assert await device.write(0x02, pattern, timeout=20) == 512
            errnos = set()
            async with asyncio.timeout(20):
                while "EPIPE" not in errnos:  # a sink that gets anything else halts
                    errnos.add((await device.submit_bulk(0x02, b"\xff" * 512)).errno)
            with pytest.raises(HardwareError, match="stalled") as caught:
                await device.write(0x02, pattern, timeout=20)
            assert caught.value.details["errno"] == "EPIPE"
            await device.clear_halt(0x02)
            assert await device.write(0x02, pattern, timeout=20) == 512
            await device.control(0x02, 3, 0, 0x81, b"", timeout=20)  # SET_FEATURE: the host halts it itself
            assert (await asyncio.wait_for(device.submit_bulk(0x81, 512).future, 20)).errno == "EPIPE"
            await device.control(0x02, 1, 0, 0x81, b"", timeout=20)  # CLEAR_FEATURE as a transfer
            assert (await asyncio.wait_for(device.submit_bulk(0x81, 512).future, 20)).errno is None

    asyncio.run(main())


def test_a_reset_cancels_transfers_and_leaves_the_device_in_hand(
    board: VirtualBoard, lab_resource: str
) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            waiting = [device.submit_bulk(into, 512) for _ in range(5)]
            info = await device.reset()
            assert info["configuration"] == 2
            async with asyncio.timeout(20):
                assert [(await transfer).errno for transfer in waiting] == ["ECONNRESET"] * 5
            await device.write(out, b"after the reset", timeout=20)
            assert await device.read(into, 512, timeout=20) == b"after the reset"

    asyncio.run(main())


def test_a_setting_is_chosen_behind_what_was_sent_before(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            before = device.submit_bulk(into, 512)
            choosing = asyncio.ensure_future(device.set_interface(0, 0))
            await asyncio.sleep(0)
            behind = [device.submit_bulk(into, 512), device.submit_bulk(into, 512)]
            behind[1].cancel()
            async with asyncio.timeout(20):
                assert (await before).errno == "ECONNRESET"
                assert (await behind[1]).errno == "ECONNRESET"
                await choosing
                await device.write(out, b"x")
                assert await behind[0] == UrbResult(b"x", 1)
            with pytest.raises(BadRequest):
                await device.set_interface(0, 9)
            with pytest.raises(BadRequest):
                await device.set_interface(7, 0)

    asyncio.run(main())


def test_what_is_on_its_way_is_bounded(board: VirtualBoard, lab_resource: str) -> None:
    async def main() -> None:
        async with loopback(board, lab_resource) as (device, into, out):
            transfers = [device.submit_bulk(into, 512 << 10) for _ in range(33)]
            with pytest.raises(TooMany, match="await some"):
                await transfers[-1]
            for transfer in transfers:
                transfer.cancel()
            async with asyncio.timeout(30):
                assert {(await transfer).errno for transfer in transfers[:-1]} == {"ECONNRESET"}
            await device.write(out, b"goes on", timeout=20)
            assert await device.read(into, 512, timeout=20) == b"goes on"

    asyncio.run(main())


def test_transfers_wait_for_the_memory_of_the_kernel(board: VirtualBoard, hand: Hand) -> None:
    limit = "/sys/module/usbcore/parameters/usbfs_memory_mb"

    async def main() -> None:
        hand.write_file(path=limit, data=b"1")
        try:
            async with await board.connect() as client:
                async with await client.usb.attach(place(hand, "source-sink")) as device:
                    transfers = [device.submit_bulk(0x81, 256 << 10) for _ in range(16)]
                    async with asyncio.timeout(60):
                        assert {len((await transfer).data) for transfer in transfers} == {256 << 10}
        finally:
            hand.write_file(path=limit, data=b"16")

    asyncio.run(main())


def test_bad_input_changes_nothing(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with (
            await board.connect() as client,
            await client.usb.attach(place(hand, "source-sink")) as device,
        ):
            link, handle = client.link, device._handle
            cases = [
                ("USB_BULK_TRANSFER", {"endpoint": 0x8F, "length": 64}, "no endpoint 0x8f"),
                ("USB_BULK_TRANSFER", {"endpoint": 0x81, "data": b"x"}, "`length`, not `data`"),
                ("USB_BULK_TRANSFER", {"endpoint": 0x02, "length": 5}, "`data`, not `length`"),
                ("USB_BULK_TRANSFER", {"endpoint": 0x81, "length": 524289}, "length"),
                ("USB_INTERRUPT_TRANSFER", {"endpoint": 0x81, "length": 8}, "is of type bulk"),
                ("USB_ISOCHRONOUS_TRANSFER", {"endpoint": 0x81, "packets": [8]}, "is of type bulk"),
                ("USB_ISOCHRONOUS_TRANSFER", {"endpoint": 0x81, "packets": []}, "packets"),
                ("USB_ISOCHRONOUS_TRANSFER", {"endpoint": 0x81, "packets": [8] * 129}, "packets"),
                ("USB_CLEAR_HALT", {}, "either `endpoint` or `cancel`"),
                ("USB_CLEAR_HALT", {"endpoint": 0x05}, "no endpoint 0x05"),
                (
                    "USB_CONTROL_TRANSFER",
                    {"request_type": 0x80, "request": 6, "value": 256, "index": 0, "data": b"x"},
                    "`length`, not `data`",
                ),
                (
                    "USB_CONTROL_TRANSFER",
                    {"request_type": 0x00, "request": 9, "value": 1, "index": 0, "length": 3},
                    "`data`, not `length`",
                ),
            ]
            for operation, fields, message in cases:
                with pytest.raises(BadRequest, match=message):
                    await link.request(operation, {"handle": handle, **fields})
            fields = {"handle": handle, "endpoint": 0x81, "length": 0, "tag": 1 << 31}
            future, _ = link.send("USB_BULK_TRANSFER", {**fields, "length": 512 << 10})
            with pytest.raises(BadRequest, match="on its way"):
                await link.request("USB_BULK_TRANSFER", fields)
            assert (await future)["transferred"] == 512 << 10
            await link.request("USB_CLEAR_HALT", {"handle": handle, "cancel": [1, 2, 3]})
            assert len(await device.read(0x81, 512, timeout=20)) == 512

    asyncio.run(main())


# -- a host controller that does not continue transfers by itself --------------------------------------------


class MassStorage:
    """Commands to a disk (USB Mass Storage Class, Bulk-Only Transport)."""

    def __init__(self, device: UsbDevice) -> None:
        self._device = device
        self._tag = 0

    async def command(self, command: bytes, expected: int = 0) -> tuple[bytes, int]:
        """What a SCSI command brings, at most as many bytes, and its status: 0 if it succeeded."""
        self._tag += 1
        head = struct.pack("<4sIIBBB", b"USBC", self._tag, expected, 0x80, 0, len(command))
        await self._device.write(0x02, head + command.ljust(16, b"\0"), timeout=20)
        data = await self._device.read(0x81, expected, timeout=60) if expected else b""
        signature, tag, _, status = struct.unpack("<4sIIB", await self._device.read(0x81, 13, timeout=20))
        assert (signature, tag) == (b"USBS", self._tag)
        return data, status


@pytest.mark.backend("virtual board: xhci")
def test_a_transfer_of_several_pieces_leaves_alone_what_follows(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        null = {"driver": "null-co", "size": 64 << 20, "read-zeroes": True}
        board.machine.qmp("blockdev-add", **{"node-name": "zeros", **null})
        hand.qemu_plug("usb-storage", "stick", drive="zeros")
        async with await board.connect() as client:
            async with await client.usb.attach(await appeared(client, "QEMU USB HARDDRIVE")) as device:
                assert device.info["speed"] == 5_000_000_000
                disk = MassStorage(device)
                inquiry = struct.pack(">BBBHB", 0x12, 0, 0, 36, 0)
                data, status = await disk.command(inquiry, 1 << 20)  # this disk fills up what was asked for
                assert (data[8:12], status) == (b"QEMU", 0)
                while (await disk.command(bytes(6)))[1]:  # TEST UNIT READY: its power is on, it says once
                    pass
                for blocks in (1, 1024, 2048, 16384):
                    read = struct.pack(">BBIBHB", 0x28, 0, 0, 0, blocks, 0)
                    assert await disk.command(read, blocks * 512) == (bytes(blocks * 512), 0)
                await device.reset()
                assert len((await disk.command(inquiry, 36))[0]) == 36
        hand.qemu_unplug("stick")
        await asyncio.sleep(0.5)

    asyncio.run(main())
