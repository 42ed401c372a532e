"""Interrupt and isochronous transfers through usbfs, single ones and polls."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Any

import pytest

from myclerk_client import BadRequest, IsochronousResult, OperationTimeout, UrbResult

from .hand import Hand
from .usb_bench import appeared, place
from .virtual_board import VirtualBoard

pytestmark = pytest.mark.backend("virtual board: dummy_hcd")

RECEIVED, MISSING = 1, 2
"""Vendor requests of the isochronous device."""


# -- interrupt ---------------------------------------------------------------------------------------------


def report(usage: int) -> bytes:
    """What the keyboard sends when a key is pressed. The gadget sends an empty packet behind each report."""
    return bytes([0, 0, usage, 0, 0, 0, 0, 0])


def test_a_keyboard_is_polled(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with (
            await board.connect() as client,
            await client.usb.attach(place(hand, "keyboard")) as device,
        ):
            waiting = device.submit_interrupt(0x81, 8), device.submit_interrupt(0x81, 8)
            await asyncio.to_thread(hand.hid_report, report=report(4))
            async with asyncio.timeout(20):
                assert await waiting[0] == UrbResult(report(4), 8)
                assert await waiting[1] == UrbResult()
            with pytest.raises(OperationTimeout):
                await device.read(0x81, 8, timeout=0.1)
            poll = await device.poll(0x81, 8)
            for usage in range(20):
                await asyncio.to_thread(hand.hid_report, report=report(usage))
                async with asyncio.timeout(20):
                    assert [await poll.next(), await poll.next()] == [report(usage), b""]
            await poll.stop()
            assert await poll.next() is None
            with pytest.raises(BadRequest, match="IN endpoint"):
                await device.poll(0x02, 8)

    asyncio.run(main())


class Pushes:
    """The events of a stream, taken without giving credit."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def pushed(self, fields: Mapping[str, Any]) -> None:
        self.data += [event["data"] for event in fields.get("events", ())]

    def resume(self) -> Mapping[str, Any]:
        return {"consumed": len(self.data)}

    def lost(self, error: Exception) -> None:
        pass


def test_a_poll_without_readers_leaves_the_data_to_the_device(board: VirtualBoard, hand: Hand) -> None:
    async def type_keys() -> None:
        for usage in range(1, 5):
            await asyncio.to_thread(hand.hid_report, report=report(usage))

    async def main() -> None:
        async with (
            await board.connect() as client,
            await client.usb.attach(place(hand, "keyboard")) as device,
        ):
            pushes = Pushes()
            fields = {"handle": device._handle, "endpoint": 0x81, "length": 8, "poll": True, "credit_to": 2}
            future, call = client.link.send("USB_INTERRUPT_TRANSFER", fields, stream=pushes)
            await future
            typing = asyncio.create_task(type_keys())
            async with asyncio.timeout(20):
                while len(pushes.data) < 2:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            assert pushes.data == [report(1), b""]
            credit = {"stream": call.request_id, "consumed": 2, "credit_to": 100}
            await client.link.request("STREAM_CONFIGURE", credit)
            async with asyncio.timeout(20):
                while len(pushes.data) < 8:
                    await asyncio.sleep(0.05)
            assert pushes.data[2::2] == [report(2), report(3), report(4)]
            await typing
            await client.link.request("STREAM_STOP", {"stream": call.request_id})

    asyncio.run(main())


@pytest.mark.backend("virtual board: xhci")
def test_keys_of_qemus_keyboard_come_over_a_poll(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        hand.qemu_plug("usb-kbd", "typist")
        async with await board.connect() as client:
            async with await client.usb.attach(await appeared(client, "QEMU USB Keyboard")) as device:
                poll = await device.poll(0x81, 8)
                hand.qemu_keys("a")
                async with asyncio.timeout(20):
                    while await poll.next() != report(4):
                        pass
                await poll.stop()
        hand.qemu_unplug("typist")

    asyncio.run(main())


# -- isochronous -------------------------------------------------------------------------------------------


@pytest.mark.backend("virtual board: vhci_hcd")
def test_isochronous_packets_come_with_their_status(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with (
            await board.connect() as client,
            await client.usb.attach(place(hand, "isochronous")) as device,
        ):
            await device.set_interface(0, 1)
            result = await device.isochronous(0x81, [192] * 8, timeout=20)
            assert result.packets() == [bytes([number]) * 192 for number in range(8)]
            assert (result.transferred, result.errors) == (8 * 192, {})
            await device.control(0x40, MISSING, 3, 0, b"", timeout=20)
            await device.set_interface(0, 1)
            result = await device.isochronous(0x81, [192] * 6, timeout=20)
            assert list(result.lengths) == [192, 192, 0, 192, 192, 0]
            assert result.packets()[3] == bytes([3]) * 192
            await device.control(0x40, MISSING, 0, 0, b"", timeout=20)

    asyncio.run(main())


@pytest.mark.backend("virtual board: vhci_hcd")
def test_isochronous_packets_go_out(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with (
            await board.connect() as client,
            await client.usb.attach(place(hand, "isochronous")) as device,
        ):
            await device.set_interface(0, 1)
            transfers = [device.submit_isochronous(0x02, [192, 100, 0, 192], bytes(484)) for _ in range(10)]
            async with asyncio.timeout(30):
                results = [await transfer for transfer in transfers]
            for result in results:
                assert isinstance(result, IsochronousResult)
                assert (list(result.lengths), result.errors, result.errno) == ([192, 100, 0, 192], {}, None)
            count = await device.control(0xC0, RECEIVED, 0, 0, 4, timeout=20)
            assert isinstance(count, bytes)
            assert struct.unpack("<I", count) == (4840,)
            with pytest.raises(BadRequest, match="`data` has 3 bytes, the packets have 192"):
                await device.isochronous(0x02, [192], b"abc")

    asyncio.run(main())


@pytest.mark.backend("virtual board: vhci_hcd")
def test_an_isochronous_endpoint_is_read_without_a_gap(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with (
            await board.connect() as client,
            await client.usb.attach(place(hand, "isochronous")) as device,
        ):
            await device.set_interface(0, 1)
            poll = await device.poll_isochronous(0x81, [192] * 8)
            packets: list[bytes] = []
            async with asyncio.timeout(60):
                while len(packets) < 400:
                    result = await poll.next()
                    assert result is not None
                    packets += result.packets()
            await poll.stop()
            assert packets == [bytes([number & 0xFF]) * 192 for number in range(len(packets))]

    asyncio.run(main())
