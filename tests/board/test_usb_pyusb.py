"""pyusb programs on the devices of the board, by our backend."""

from __future__ import annotations

import array
import errno
from collections.abc import Iterator
from typing import Any

import pytest
import usb.core
import usb.util

from myclerk_client.usb.pyusb_backend import Backend, get_backend

from .hand import Hand
from .usb_desktop import eventually
from .virtual_board import NAME, VirtualBoard

pytestmark = pytest.mark.backend("virtual board: usbfs, through pyusb")


@pytest.fixture(scope="module")
def backend(board: VirtualBoard) -> Iterator[Backend]:
    """pyusb's way to the board."""
    backend = get_backend(NAME, boards=board.boards)
    yield backend
    backend.finalize()


def find(backend: Backend, product: int) -> Any:
    device = usb.core.find(idVendor=0x1D6B, idProduct=product, backend=backend)
    assert device is not None
    return device


def test_devices_are_found_and_described(backend: Backend, hand: Hand) -> None:
    found = {device.idProduct: device for device in usb.core.find(find_all=True, backend=backend)}
    assert {0x0104, 0x0105, 0x0106, 0x0107} <= set(found)
    disk = found[0x0105]
    assert (disk.manufacturer, disk.product, disk.serial_number) == ("Board", "disk", "SN-disk")
    assert disk.speed == usb.util.SPEED_HIGH
    assert disk.is_kernel_driver_active(0)
    interface = disk.get_active_configuration()[(0, 0)]
    assert (interface.bInterfaceClass, interface.bInterfaceSubClass, interface.bInterfaceProtocol) == (
        8,
        6,
        0x50,
    )
    assert hand.check("sh", "-c", "ls /dev/sd?").strip()  # reading about it has not taken it


def test_bulk_transfers(backend: Backend) -> None:
    device = find(backend, 0x0106)
    device.set_configuration()
    assert set(device.read(0x81, 65536, 5000)) == {0}
    assert device.write(0x02, bytes(1 << 20), 20000) == 1 << 20
    buffer = array.array("B", bytes(512))
    assert device.read(0x81, buffer) == 512
    device.clear_halt(0x81)
    with pytest.raises(usb.core.USBError) as raised:
        device.ctrl_transfer(0xC0, 0x99, 0, 0, 8)
    assert raised.value.errno == errno.EPIPE
    device.reset()
    device.set_configuration()
    assert len(device.read(0x81, 512, 5000)) == 512
    usb.util.dispose_resources(device)


def test_isochronous_transfers(backend: Backend) -> None:
    device = find(backend, 0x1501)
    device.set_configuration()
    device.set_interface_altsetting(0, 1)
    data = device.read(0x81, 192 * 200, 5000)
    packets = [data[start] for start in range(0, len(data), 192)]
    assert packets == [(packets[0] + n) & 0xFF for n in range(200)]
    assert device.write(0x02, bytes(192 * 8), 5000) == 192 * 8
    assert int.from_bytes(device.ctrl_transfer(0xC0, 1, 0, 0, 4).tobytes(), "little") == 192 * 8
    usb.util.dispose_resources(device)


def test_a_read_in_vain_times_out(backend: Backend, hand: Hand) -> None:
    device = find(backend, 0x0107)
    if device.is_kernel_driver_active(0):
        device.detach_kernel_driver(0)
    endpoint = device.get_active_configuration()[(0, 0)][0]
    with pytest.raises(usb.core.USBTimeoutError) as raised:
        endpoint.read(8, 200)
    assert raised.value.errno == errno.ETIMEDOUT
    report = bytes([0, 0, 4, 0, 0, 0, 0, 0])
    hand.hid_report(report=report)
    assert endpoint.read(8, 10000).tobytes() == report
    usb.util.dispose_resources(device)
    eventually(lambda: find(backend, 0x0107).is_kernel_driver_active(0))


def test_a_device_that_is_pulled_out_is_gone(backend: Backend, hand: Hand) -> None:
    device = find(backend, 0x0106)
    device.set_configuration()
    hand.usb_unplug(name="source-sink")
    try:
        with pytest.raises(usb.core.USBError) as raised:
            device.read(0x81, 512, 5000)
        assert raised.value.errno == errno.ENODEV
        usb.util.dispose_resources(device)
        assert usb.core.find(idVendor=0x1D6B, idProduct=0x0106, backend=backend) is None
    finally:
        hand.usb_plug(name="source-sink")
