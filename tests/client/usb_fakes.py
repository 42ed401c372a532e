"""A USB device at the face that the bridge uses: every transfer waits for the test to say how it ends."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from myclerk_client.usb.transfers import IsochronousResult, UrbResult, UsbTransfer
from myclerk_protocol.usb_descriptors import Endpoint, parse

BULK, INTERRUPT, ISOCHRONOUS = 2, 3, 1


def interface(number: int, kind: int, *endpoints: bytes, alternate: int = 0, protocol: int = 0) -> bytes:
    """An interface descriptor with its endpoints."""
    head = bytes([9, 4, number, alternate, len(endpoints), kind, 6, protocol, 0])
    return head + b"".join(endpoints)


def endpoint(address: int, kind: int, size: int = 64) -> bytes:
    """An endpoint descriptor."""
    return struct.pack("<BBBBHB", 7, 5, address, kind, size, 1)


def device_descriptors(*configurations: Sequence[bytes]) -> bytes:
    """A device descriptor and its configurations, each made of interfaces."""
    head = struct.pack(
        "<BBHBBBBHHHBBBB", 18, 1, 0x200, 0, 0, 0, 64, 0x1234, 0x5678, 0x100, 1, 2, 3, len(configurations)
    )
    found = [head]
    for value, parts in enumerate(configurations, 1):
        body = b"".join(parts)
        numbers = len({part[2] for part in parts})
        found.append(struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), numbers, value, 0, 0x80, 50) + body)
    return b"".join(found)


STORAGE = device_descriptors(
    [interface(0, 8, endpoint(0x81, BULK, 512), endpoint(0x02, BULK, 512), protocol=0x50)]
)
KEYBOARD = device_descriptors([interface(0, 3, endpoint(0x81, INTERRUPT, 8))])
VENDOR = device_descriptors(
    [
        interface(
            0,
            0xFF,
            endpoint(0x81, BULK),
            endpoint(0x02, BULK),
            endpoint(0x83, INTERRUPT, 16),
            endpoint(0x04, INTERRUPT),
        ),
        interface(1, 1),
        interface(1, 1, endpoint(0x85, ISOCHRONOUS, 192), endpoint(0x06, ISOCHRONOUS, 192), alternate=1),
    ],
    [interface(0, 0xFF, endpoint(0x01, BULK))],
)


class FakeTransfer(UsbTransfer):
    """A transfer that :meth:`finish` ends. ``what`` is the method's name, ``fields`` its arguments."""

    def __init__(self, what: str, endpoint: int, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self.what = what
        self.endpoint = endpoint
        self.fields = fields
        self.cancelled = False

    @property
    def data(self) -> bytes:
        """What goes out."""
        return bytes(self.fields["data"])

    @property
    def size(self) -> int:
        """What may come in."""
        return int(self.fields["data"])

    def finish(
        self, data: bytes = b"", errno: str | None = None, *, transferred: int | None = None, **packets: Any
    ) -> None:
        """End well, or with ``errno``; OUT transfers transfer everything unless told otherwise."""
        outgoing = self.fields.get("data")
        if transferred is None:
            sent = len(outgoing) if isinstance(outgoing, bytes) and errno is None else 0
            transferred = len(data) or sent
        if packets:
            self._end(IsochronousResult(data, transferred, errno, **packets))
        else:
            self._end(UrbResult(data, transferred, errno))

    def fail(self, error: BaseException) -> None:
        """End with an error of the connection or the device."""
        self._end(None, error)

    def cancel(self) -> None:
        self.cancelled = True


class FakePoll:
    """What :meth:`FakeDevice.poll` gives: :meth:`push` is the board's end."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.stopped = False
        self.late: list[bytes] = []
        """Arrives while the poll is being stopped."""
        self._events: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._over = False

    def push(self, event: bytes | BaseException) -> None:
        """The device sent something, or failed."""
        self._events.put_nowait(event)

    async def next(self) -> bytes | None:
        if self._over and self._events.empty():
            return None
        event = await self._events.get()
        if isinstance(event, BaseException):
            raise event
        return event

    async def stop(self) -> None:
        if self.stopped:
            return
        self.stopped = self._over = True
        self._events.put_nowait(None)
        await asyncio.sleep(0)
        for data in self.late:
            self._events.put_nowait(data)


class FakeDevice:
    """Takes transfers and operations down; tests end the transfers."""

    def __init__(self, descriptors: bytes = VENDOR, *, settings: Mapping[int, int] | None = None) -> None:
        self.resource = "usb:1-1"
        self.descriptors = descriptors
        settings = settings or {}
        kinds = {0: descriptors[descriptors.index(b"\x09\x04\x00") + 5]}
        self.info: dict[str, Any] = {
            "name": "usb:1-1", "port": "1-1", "bus": 1, "device": 2, "speed": 480_000_000,
            "vendor_id": 0x1234, "product_id": 0x5678, "device_release": 0x100,
            "class": 0, "subclass": 0, "protocol": 0, "configuration": 1, "configurations": 2,
            "interfaces": [
                {"number": n, "alternate": settings.get(n, 0), "class": kinds.get(n, 1), "subclass": 6, "protocol": 0}
                for n in ((0, 1) if descriptors is VENDOR else (0,))
            ],
        }  # fmt: skip
        self.transfers: list[FakeTransfer] = []
        self.operations: list[tuple[Any, ...]] = []
        self.fails: BaseException | None = None
        """What the next operation raises."""
        self.may_go_on = asyncio.Event()
        """Operations wait for it."""
        self.may_go_on.set()
        self.polls: list[FakePoll] = []
        self.detached = False

    def endpoint(self, address: int) -> Endpoint | None:
        """What the descriptors say of an endpoint in the settings in force."""
        configuration = parse(self.descriptors).configuration(self.info["configuration"])
        assert configuration is not None
        for known in self.info["interfaces"]:
            setting = configuration.setting(known["number"], known["alternate"])
            for endpoint in setting.endpoints if setting else ():
                if endpoint.address == address:
                    return endpoint
        return None

    def submit_control(
        self, request_type: int, request: int, value: int, index: int, **fields: Any
    ) -> FakeTransfer:
        fields |= {"request_type": request_type, "request": request, "value": value, "index": index}
        return self._submitted("control", 0, fields)

    def submit_bulk(self, endpoint: int, data: bytes | int, **fields: Any) -> FakeTransfer:
        return self._submitted("bulk", endpoint, {"data": data, **fields})

    def submit_interrupt(self, endpoint: int, data: bytes | int) -> FakeTransfer:
        return self._submitted("interrupt", endpoint, {"data": data})

    def submit_isochronous(
        self, endpoint: int, packets: Sequence[int], data: bytes | None = None
    ) -> FakeTransfer:
        return self._submitted("isochronous", endpoint, {"packets": packets, "data": data})

    async def poll(self, endpoint: int, length: int) -> FakePoll:
        await self._operated("poll", endpoint, length)
        self.polls.append(FakePoll(length))
        return self.polls[-1]

    async def set_configuration(self, value: int) -> None:
        await self._operated("set_configuration", value)
        self.info["configuration"] = value

    async def set_interface(self, number: int, alternate: int) -> None:
        await self._operated("set_interface", number, alternate)
        self.info["interfaces"][number]["alternate"] = alternate

    async def clear_halt(self, endpoint: int) -> None:
        await self._operated("clear_halt", endpoint)

    async def reset(self) -> None:
        await self._operated("reset")

    async def detach(self) -> None:
        self.detached = True

    async def _operated(self, *operation: Any) -> None:
        await asyncio.sleep(0)
        self.operations.append(operation)
        await self.may_go_on.wait()
        failure, self.fails = self.fails, None
        if failure is not None:
            raise failure

    def _submitted(self, what: str, endpoint: int, fields: Mapping[str, Any]) -> FakeTransfer:
        transfer = FakeTransfer(what, endpoint, fields)
        self.transfers.append(transfer)
        return transfer
