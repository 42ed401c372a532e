"""An attached USB device on the client: pieces of large transfers, results and errors, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from usb_fakes import VENDOR

from myclerk_client import (
    BadRequest,
    ConnectionLost,
    DeviceGone,
    HardwareError,
    IsochronousResult,
    OperationTimeout,
    SessionLost,
    UrbResult,
    UsbDevice,
    UsbTransfer,
)
from myclerk_client.link import Link

PIECE = 128 << 10
INFO = {
    "name": "usb:1-1",
    "configuration": 1,
    "interfaces": [{"number": 0, "alternate": 0}, {"number": 1, "alternate": 0}],
}


class Request:
    """A request on its way; the test answers it."""

    def __init__(self, name: str, fields: dict[str, Any], future: Any) -> None:
        self.name = name
        self.fields = {key: value for key, value in fields.items() if value is not None}
        self._future = future

    def answer(self, **fields: Any) -> None:
        self._future.set_result(fields)

    def fail(self, error: Exception) -> None:
        self._future.set_exception(error)


class FakeLink:
    """A link whose other end is the test."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.generation = 1
        self.closed = False
        self.requests: list[Request] = []

    def send(self, name: str, fields: Mapping[str, Any], *, future: Any = None, **_: Any) -> tuple[Any, None]:
        if self.closed:
            raise ConnectionLost("the connection was lost")
        future = future or self.loop.create_future()
        self.requests.append(Request(name, dict(fields), future))
        return future, None

    def flush(self) -> None:
        """What was sent is here already."""

    async def request(self, name: str, fields: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.send(name, fields)[0]
        return answer

    def take(self, *names: str) -> list[Request]:
        """The requests that were sent since the last call, which must have these names."""
        found, self.requests = self.requests, []
        assert [request.name for request in found] == list(names)
        return found


def device_on(link: FakeLink) -> UsbDevice:
    return UsbDevice(cast(Link, link), {"handle": 5, "descriptors": VENDOR, **INFO})


async def soon() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_urb_is_sent_at_once_and_ends_in_the_moment_of_its_answer() -> None:
    async def main() -> None:
        link = FakeLink()
        device = device_on(link)
        ended: list[UsbTransfer] = []
        transfer = device.submit_bulk(0x81, 64, short_not_ok=True, timeout=1.5)
        transfer.add_done_callback(ended.append)
        (request,) = link.take("USB_BULK_TRANSFER")
        assert request.fields == {
            "handle": 5, "tag": 1, "endpoint": 0x81, "length": 64, "short_not_ok": True, "timeout": 1.5,
        }  # fmt: skip
        assert not transfer.done()
        with pytest.raises(asyncio.InvalidStateError):
            transfer.result()
        request.answer(data=b"short", transferred=5, errno="EREMOTEIO")
        assert ended == [transfer]
        assert transfer.result() == UrbResult(b"short", 5, "EREMOTEIO")
        assert await transfer == await transfer.future
        transfer.add_done_callback(ended.append)
        assert ended == [transfer, transfer]

    asyncio.run(main())


def test_a_large_urb_goes_in_pieces_that_continue_each_other() -> None:
    async def main() -> None:
        link = FakeLink()
        device = device_on(link)
        data = bytes(range(256)) * 1250
        out = device.submit_bulk(0x02, data, zero_packet=True)
        pieces = link.take(*["USB_BULK_TRANSFER"] * 3)
        assert b"".join(piece.fields["data"] for piece in pieces) == data
        assert [piece.fields.get("continued") for piece in pieces] == [None, True, True]
        assert [piece.fields.get("zero_packet") for piece in pieces] == [None, None, True]
        for piece in pieces:
            piece.answer(transferred=len(piece.fields["data"]))
        assert await out == UrbResult(b"", len(data))

        into = device.submit_bulk(0x81, 2 * PIECE + 100)
        pieces = link.take(*["USB_BULK_TRANSFER"] * 3)
        assert [piece.fields["length"] for piece in pieces] == [PIECE, PIECE, 100]
        assert [piece.fields.get("short_not_ok") for piece in pieces] == [True, True, None]
        pieces[0].answer(data=bytes(PIECE), transferred=PIECE)
        pieces[1].answer(data=b"end", transferred=3, errno="EREMOTEIO")
        pieces[2].answer(data=b"", transferred=0, errno="ECONNRESET")
        assert await into == UrbResult(bytes(PIECE) + b"end", PIECE + 3)

        strict = device.submit_bulk(0x81, PIECE + 1, short_not_ok=True)
        pieces = link.take(*["USB_BULK_TRANSFER"] * 2)
        pieces[0].answer(data=b"end", transferred=3, errno="EREMOTEIO")
        pieces[1].answer(data=b"", transferred=0, errno="ECONNRESET")
        assert await strict == UrbResult(b"end", 3, "EREMOTEIO")

    asyncio.run(main())


def test_cancels_of_one_turn_leave_as_one_request() -> None:
    async def main() -> None:
        link = FakeLink()
        device = device_on(link)
        transfers = [device.submit_bulk(0x81, PIECE + 1), device.submit_interrupt(0x83, 8)]
        requests = link.take("USB_BULK_TRANSFER", "USB_BULK_TRANSFER", "USB_INTERRUPT_TRANSFER")
        for transfer in transfers:
            transfer.cancel()
        assert link.requests == []
        await soon()
        (cancel,) = link.take("USB_CLEAR_HALT")
        assert cancel.fields == {"handle": 5, "cancel": [1, 2, 3]}
        cancel.fail(DeviceGone("it does not matter"))
        for request in requests:
            request.answer(data=b"", transferred=0, errno="ECONNRESET")
        assert [(await transfer).errno for transfer in transfers] == ["ECONNRESET"] * 2
        transfers[1].cancel()  # is done
        await soon()
        assert link.requests == []

    asyncio.run(main())


def test_an_await_that_is_cancelled_cancels_the_transfer() -> None:
    async def main() -> None:
        link = FakeLink()
        task = asyncio.create_task(device_on(link).read(0x81, 512))
        await soon()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon()
        read, cancel = link.take("USB_BULK_TRANSFER", "USB_CLEAR_HALT")
        assert cancel.fields["cancel"] == [read.fields["tag"]]

    asyncio.run(main())


def test_reads_and_writes_of_any_length_are_sent_ahead_in_runs() -> None:
    async def main() -> None:
        link = FakeLink()
        device = device_on(link)
        data = bytes(6 * 2 * PIECE + 1)
        writing = asyncio.create_task(device.write(0x02, data))
        await soon()
        sent = link.take(*["USB_BULK_TRANSFER"] * 8)  # four runs of two pieces
        for number, piece in enumerate(sent):
            assert piece.fields.get("continued") == (True if number else None)
            piece.answer(transferred=PIECE)
        await soon()
        rest = link.take(*["USB_BULK_TRANSFER"] * 5)
        for piece in rest:
            piece.answer(transferred=len(piece.fields["data"]))
        assert await writing == len(data)

        reading = asyncio.create_task(device.read(0x81, 10 * 2 * PIECE))
        await soon()
        asked = link.take(*["USB_BULK_TRANSFER"] * 8)
        asked[0].answer(data=bytes(PIECE), transferred=PIECE)
        asked[1].answer(data=b"the end", transferred=7, errno="EREMOTEIO")
        for piece in asked[2:]:
            piece.answer(data=b"", transferred=0, errno="ECONNRESET")
        assert await reading == bytes(PIECE) + b"the end"
        assert link.requests == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("errno", "kind"), [("EPIPE", HardwareError), ("EPROTO", HardwareError), ("ETIMEDOUT", OperationTimeout)]
)
def test_a_bad_end_raises_with_what_was_transferred(errno: str, kind: type[OSError]) -> None:
    async def main() -> None:
        link = FakeLink()
        device = device_on(link)
        reading = asyncio.create_task(device.read(0x81, 3 * 2 * PIECE))
        await soon()
        first, second, *others = link.take(*["USB_BULK_TRANSFER"] * 6)
        first.answer(data=bytes(PIECE), transferred=PIECE)
        second.answer(data=b"part", transferred=4, errno=errno)
        with pytest.raises(kind) as caught:
            await reading
        details = cast(Any, caught.value).details
        assert (details["data"], details["transferred"]) == (bytes(PIECE) + b"part", PIECE + 4)
        await soon()
        (cancel,) = link.take("USB_CLEAR_HALT")
        assert cancel.fields["cancel"] == [other.fields["tag"] for other in others]

        controlling = asyncio.create_task(device.control(0xC0, 1, 2, 3, 16, timeout=1))
        await soon()
        (request,) = link.take("USB_CONTROL_TRANSFER")
        assert request.fields == {
            "handle": 5, "tag": request.fields["tag"], "request_type": 0xC0, "request": 1, "value": 2, "index": 3,
            "length": 16, "timeout": 1,
        }  # fmt: skip
        request.answer(data=b"", transferred=0, errno=errno)
        with pytest.raises(kind, match="usb:1-1, control request 0x01"):
            await controlling

    asyncio.run(main())


def test_a_failure_of_more_than_the_urb_is_raised() -> None:
    async def main() -> None:
        link = FakeLink()
        device = device_on(link)
        transfer = device.submit_bulk(0x81, 2 * PIECE)
        for piece in link.take(*["USB_BULK_TRANSFER"] * 2):
            piece.fail(DeviceGone("usb:1-1 was unplugged"))
        with pytest.raises(DeviceGone):
            await transfer
        link.generation = 2
        lost = device.submit_control(0xC0, 1, 0, 0, length=1)
        assert isinstance(lost.exception(), SessionLost)
        lost.cancel()  # it is over: there is nothing to cancel
        assert isinstance(lost.exception(), SessionLost)
        with pytest.raises(SessionLost):
            await device.reset()
        link.generation, link.closed = 1, True
        with pytest.raises(ConnectionLost):
            await device.submit_isochronous(0x81, [1])
        await device.detach()
        assert link.requests == []

    asyncio.run(main())


def test_isochronous_results() -> None:
    async def main() -> None:
        link = FakeLink()
        device = device_on(link)
        asking = asyncio.create_task(device.isochronous(0x85, [192, 192, 192]))
        await soon()
        (request,) = link.take("USB_ISOCHRONOUS_TRANSFER")
        request.answer(data=b"aab", lengths=[2, 0, 1], errors=[[1, "EXDEV"]], start_frame=9)
        result = await asking
        assert result == IsochronousResult(b"aab", 3, None, [2, 0, 1], {1: "EXDEV"}, 9)
        assert result.packets() == [b"aa", b"", b"b"]

    asyncio.run(main())


def test_endpoints_are_those_of_the_settings_in_force() -> None:
    async def main() -> None:
        link = FakeLink()
        device = device_on(link)
        assert device.endpoint(0x85) is None
        choosing = asyncio.create_task(device.set_interface(1, 1))
        await soon()
        (request,) = link.take("USB_SET_INTERFACE")
        assert request.fields == {"handle": 5, "interface": 1, "alternate": 1}
        request.answer()
        await choosing
        found = device.endpoint(0x85)
        assert found is not None
        assert found.type == "isochronous"
        for endpoint, call in ((0x99, device.read), (0x02, device.read), (0x85, device.read)):
            with pytest.raises(BadRequest, match=f"no bulk or interrupt IN endpoint 0x{endpoint:02x}"):
                await call(endpoint, 8)
        with pytest.raises(BadRequest, match="OUT endpoint 0x81"):
            await device.write(0x81, b"x")
        configuring = asyncio.create_task(device.set_configuration(2))
        await soon()
        link.take("USB_SET_CONFIGURATION")[0].answer(
            **{**INFO, "configuration": 2, "interfaces": [{"number": 0, "alternate": 0}]}
        )
        await configuring
        assert device.endpoint(0x85) is None
        assert device.endpoint(0x01) is not None

    asyncio.run(main())


def test_detaching_is_done_once() -> None:
    async def main() -> None:
        link = FakeLink()
        async with device_on(link) as device:
            leaving = asyncio.create_task(device.detach())
            await soon()
            (request,) = link.take("USB_DEVICE_DETACH")
            request.answer()
            await leaving
        assert link.requests == []

    asyncio.run(main())
