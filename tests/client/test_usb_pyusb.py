"""The pyusb backend: pyusb itself on a stand-in of the board."""

from __future__ import annotations

import array
import errno
from collections.abc import Iterator
from typing import Any

import pytest
import usb.core
import usb.util
from usb_fakes import VENDOR, FakeDevice, device_descriptors, interface

from myclerk_client.errors import ConnectionLost
from myclerk_client.usb.pyusb_backend import Backend
from myclerk_client.usb.pyusb_descriptors import configuration
from myclerk_client.usb.transfers import IsochronousResult, UsbTransfer
from myclerk_protocol.status import (
    Conflict,
    DeviceGone,
    Forbidden,
    HardwareError,
    MyClerkError,
    OperationTimeout,
)
from myclerk_protocol.usb_descriptors import Endpoint

SERIAL = "A50285BI"


class Attached:
    """A device that echoes: what is written can be read."""

    def __init__(self, board: FakeBoard) -> None:
        self.resource = "usb:1-1.2"
        self.info = board.info
        self._board = board
        self._echo = b""
        self.calls: list[tuple[Any, ...]] = []
        self.fails: MyClerkError | None = None

    async def write(self, endpoint: int, data: bytes, *, timeout: float | None) -> int:
        self._check("write", endpoint, timeout)
        self._echo += data
        return len(data)

    async def read(self, endpoint: int, length: int, *, timeout: float | None) -> bytes:
        self._check("read", endpoint, timeout)
        data, self._echo = self._echo[:length], self._echo[length:]
        return data

    async def control(self, *request: Any, timeout: float | None) -> bytes | int:
        self._check("control", *request, timeout)
        return b"reply" if request[0] & 0x80 else len(request[4])

    async def set_configuration(self, value: int) -> None:
        self._check("set_configuration", value)

    async def set_interface(self, number: int, alternate: int) -> None:
        self._check("set_interface", number, alternate)

    async def clear_halt(self, endpoint: int) -> None:
        self._check("clear_halt", endpoint)

    async def reset(self) -> None:
        self._check("reset")

    async def detach(self) -> None:
        self._board.attached = None
        self._board.detached += 1

    def endpoint(self, address: int) -> Endpoint:
        return Endpoint(address, 1, 192, 1)

    def submit_isochronous(
        self, endpoint: int, packets: list[int], data: bytes | None, timeout: float | None
    ) -> UsbTransfer:
        self._check("isochronous", packets, data, timeout)
        transfer = UsbTransfer()
        came = b"" if data is not None else b"".join(bytes([n]) * n for n in range(len(packets)))
        lengths = packets if data is not None else list(range(len(packets)))
        transfer._end(IsochronousResult(came, sum(lengths), None, lengths))
        return transfer

    def _check(self, *call: Any) -> None:
        self.calls.append(call)
        failure, self.fails = self.fails, None
        if failure is not None:
            raise failure


class FakeBoard:
    """A board with one device; ``usb`` is the board's face."""

    def __init__(self) -> None:
        self.usb = self
        self.info: dict[str, Any] = {
            **FakeDevice(settings={1: 1}).info, "name": "usb:1-1.2", "port": "1-1.2", "device": 7,
        }  # fmt: skip
        self.info["interfaces"][0]["driver"] = "ftdi_sio"
        self.attached: Attached | None = None
        self.refuses: MyClerkError | None = None
        self.detached = 0
        self.asked: list[tuple[int, int]] = []
        self.closed = False

    async def list(self) -> list[dict[str, Any]]:
        return [self.info]

    async def descriptor(self, resource: str, kind: int, index: int = 0, language: int = 0) -> bytes:
        self.asked.append((kind, index))
        if kind == 1:
            return VENDOR[:18]
        if kind == 2:
            starts = [18, VENDOR.index(b"\x09\x02", 20)]
            return (VENDOR[starts[0] : starts[1]], VENDOR[starts[1] :])[index]
        if kind == 3 and index == 0:
            return bytes([4, 3, 9, 4])
        if kind == 3 and index == 3:
            text = SERIAL.encode("utf-16-le")
            return bytes([2 + len(text), 3]) + text
        raise HardwareError("it has no such descriptor", errno="EPIPE")

    async def attach(self, resource: str) -> Attached:
        if self.refuses is not None:
            raise self.refuses
        assert self.attached is None
        self.attached = Attached(self)
        return self.attached

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def board() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def device(board: FakeBoard) -> Iterator[Any]:
    backend = Backend(board)  # type: ignore[arg-type]
    device = usb.core.find(idVendor=0x1234, idProduct=0x5678, backend=backend)
    assert device is not None
    yield device
    usb.util.dispose_resources(device)
    backend.finalize()
    assert board.closed


def test_a_device_is_found_and_described_without_being_attached(device: Any, board: FakeBoard) -> None:
    assert (device.bus, device.address, device.port_numbers, device.speed) == (
        1,
        7,
        (1, 2),
        usb.util.SPEED_HIGH,
    )
    assert device.serial_number == SERIAL
    with pytest.raises(usb.core.USBError, match="Pipe error"):
        _ = device.product
    assert [c.bConfigurationValue for c in device] == [1, 2]
    first = device[0]
    assert [(i.bInterfaceNumber, i.bAlternateSetting, i.bNumEndpoints) for i in first] == [
        (0, 0, 4),
        (1, 0, 0),
        (1, 1, 2),
    ]
    endpoint = first[(1, 1)][0]
    assert (endpoint.bEndpointAddress, endpoint.wMaxPacketSize) == (0x85, 192)
    assert device.get_active_configuration().bConfigurationValue == 1
    assert device.is_kernel_driver_active(0)
    assert not device.is_kernel_driver_active(1)
    assert board.attached is None
    assert "0x1234" in str(device)


def test_other_descriptors_stand_with_what_they_describe() -> None:
    extra = bytes([5, 0x24, 1, 2, 3])
    data = device_descriptors([interface(0, 2), extra, interface(1, 10)])[18:]
    found = configuration(data)
    assert [len(settings) for settings in found.interfaces] == [1, 1]
    assert bytes(found.interfaces[0][0].descriptor.extra_descriptors) == extra
    assert bytes(found.interfaces[1][0].descriptor.extra_descriptors) == b""
    with pytest.raises(ValueError, match="configuration"):
        configuration(extra)


def test_bulk_interrupt_and_control(device: Any, board: FakeBoard) -> None:
    device.set_configuration()
    assert device.write(0x02, b"hello world", 250) == 11
    assert device.read(0x81, 5).tobytes() == b"hello"
    buffer = array.array("B", bytes(64))
    assert device.read(0x83, buffer, 0) == 6
    assert buffer[:6].tobytes() == b" world"
    assert device.write(0x04, "x") == 1
    assert device.ctrl_transfer(0xC0, 1, 2, 3, 16).tobytes() == b"reply"
    assert device.ctrl_transfer(0x40, 1, 2, 3, b"abc") == 3
    assert board.attached is not None
    assert board.attached.calls[0] == ("set_configuration", 1)
    assert ("write", 0x02, 0.25) in board.attached.calls
    assert ("read", 0x81, 1.0) in board.attached.calls
    assert ("read", 0x83, None) in board.attached.calls
    assert ("control", 0xC0, 1, 2, 3, 16, 1.0) in board.attached.calls


def test_isochronous(device: Any, board: FakeBoard) -> None:
    device.set_interface_altsetting(1, 1)
    assert device.write(0x06, bytes(400)) == 400
    data = device.read(0x85, 192 * 4)
    assert data.tobytes() == b"\x01\x02\x02\x03\x03\x03"
    assert len(device.read(0x85, 192 * 130)) == sum(range(128)) + 1
    assert board.attached is not None
    packets = [call[1] for call in board.attached.calls if call[0] == "isochronous"]
    assert packets[:2] == [[192, 192, 16], [192] * 4]
    assert list(map(len, packets[2:])) == [128, 2]


@pytest.mark.parametrize(
    ("error", "number", "code", "text"),
    [
        (HardwareError("no", errno="EPIPE"), errno.EPIPE, -9, "Pipe error"),
        (HardwareError("no", errno="EOVERFLOW"), errno.EOVERFLOW, -8, "Overflow"),
        (HardwareError("no", errno="EPROTO"), errno.EIO, -1, "Input/Output Error"),
        (DeviceGone("no"), errno.ENODEV, -4, "No such device (it may have been disconnected)"),
        (ConnectionLost("no"), errno.ENODEV, -4, "No such device (it may have been disconnected)"),
        (Conflict("no"), errno.EBUSY, -6, "Resource busy"),
    ],
)
def test_errors_are_pyusbs(
    device: Any, board: FakeBoard, error: MyClerkError, number: int, code: int, text: str
) -> None:
    device.set_configuration()
    assert board.attached is not None
    board.attached.fails = error
    with pytest.raises(usb.core.USBError) as raised:
        device.read(0x81, 64)
    assert (raised.value.errno, raised.value.backend_error_code, raised.value.strerror) == (
        number,
        code,
        text,
    )
    assert raised.value.__notes__ == ["no"]


def test_a_timeout_gives_what_came_until_then(device: Any, board: FakeBoard) -> None:
    device.set_configuration()
    assert board.attached is not None
    board.attached.fails = OperationTimeout("not in time", data=b"", transferred=0)
    with pytest.raises(usb.core.USBTimeoutError) as raised:
        device.read(0x81, 64, 100)
    assert raised.value.errno == errno.ETIMEDOUT
    board.attached.fails = OperationTimeout("not in time", data=b"part", transferred=4)
    assert device.read(0x81, 64, 100).tobytes() == b"part"
    board.attached.fails = OperationTimeout("not in time", data=b"", transferred=3)
    assert device.write(0x02, b"12345", 100) == 3
    board.attached.fails = OperationTimeout("not in time", data=b"", transferred=0)
    with pytest.raises(usb.core.USBTimeoutError):
        device.write(0x02, b"12345", 100)


def test_a_device_that_others_have_cannot_be_used(device: Any, board: FakeBoard) -> None:
    board.refuses = Forbidden("the board lives on it")
    with pytest.raises(usb.core.USBError, match="Access denied") as raised:
        device.set_configuration()
    assert raised.value.errno == errno.EACCES


def test_state(device: Any, board: FakeBoard) -> None:
    device.detach_kernel_driver(0)
    assert not device.is_kernel_driver_active(0)
    assert board.attached is not None
    usb.util.claim_interface(device, 0)
    device.attach_kernel_driver(0)
    assert board.attached is not None
    usb.util.release_interface(device, 0)
    device.clear_halt(0x81)
    with pytest.raises(usb.core.USBError, match="not found"):
        usb.util.claim_interface(device, 5)
    calls = board.attached.calls
    device.attach_kernel_driver(0)
    assert board.attached is None
    device.reset()
    assert board.detached == 2
    assert ("clear_halt", 0x81) in calls
