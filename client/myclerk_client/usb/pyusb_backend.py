"""A backend of pyusb (https://pyusb.github.io/pyusb): existing programs use the devices of a board.

>>> import usb.core
>>> from myclerk_client.usb.pyusb_backend import get_backend
>>> device = usb.core.find(idVendor=0x0403, idProduct=0x6001, backend=get_backend("bench"))

Everything else is pyusb's API, with its errors, and its timeouts in milliseconds. A device is taken from the board's
drivers with the first thing done to it but reading descriptors, and given back with ``usb.util.dispose_resources``
or the end of the program.
"""

from __future__ import annotations

import contextlib
import errno
from array import array
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import usb.backend
import usb.core

from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    Forbidden,
    HardwareError,
    InvalidSession,
    MyClerkError,
    NotFound,
    OperationTimeout,
    Unsupported,
)
from myclerk_protocol.usb_descriptors import IN

from ..background import current
from ..board import Board
from ..errors import ConnectionLost
from .device import UsbDevice
from .pyusb_descriptors import Configuration, Descriptor, Interface, configuration, device_descriptor
from .transfers import UrbResult

T = TypeVar("T")

PACKETS = 128
"""Isochronous packets of one transfer; a longer one is several."""
_GET_DESCRIPTOR = (0x80, 6)
_STRING = 3

_GONE = ("No such device (it may have been disconnected)", -4, errno.ENODEV)
_OTHER = ("Input/Output Error", -1, errno.EIO)
_ERRORS: tuple[tuple[type[MyClerkError], tuple[str, int, int]], ...] = (
    (DeviceGone, _GONE),
    (ConnectionLost, _GONE),
    (InvalidSession, _GONE),
    (Forbidden, ("Access denied (insufficient permissions)", -3, errno.EACCES)),
    (Conflict, ("Resource busy", -6, errno.EBUSY)),
    (NotFound, ("Entity not found", -5, errno.ENOENT)),
    (BadRequest, ("Invalid parameter", -2, errno.EINVAL)),
    (Unsupported, ("Operation not supported or unimplemented on this platform", -12, errno.ENOSYS)),
)
"""libusb's words, its error codes and the error numbers that pyusb gives for them."""
_HARDWARE = {
    "EPIPE": ("Pipe error", -9, errno.EPIPE),
    "EOVERFLOW": ("Overflow", -8, errno.EOVERFLOW),
    "EBUSY": ("Resource busy", -6, errno.EBUSY),
    "ENOMEM": ("Insufficient memory", -11, errno.ENOMEM),
    "ENODEV": _GONE,
    "ESHUTDOWN": _GONE,
}


def get_backend(board: str | None = None, **options: Any) -> Backend:
    """A backend for the devices of a board, by the name it was paired under (None: the only one).

    ``options`` are those of :meth:`myclerk_client.Board.connect`, which raises NotPaired, ConnectionLost and so on.
    """
    thread = current()
    return Backend(thread.call(Board.connect, (board,), options, awaited=True))


class ListedDevice:
    """A device that the board listed; its descriptors are asked for once."""

    def __init__(self, backend: Backend, info: Mapping[str, Any]) -> None:
        self.info = info
        self.resource: str = info["name"]
        self._backend = backend
        self._configurations: dict[int, Configuration] = {}
        self._descriptor: Descriptor | None = None

    @property
    def descriptor(self) -> Descriptor:
        """The device descriptor."""
        if self._descriptor is None:
            self._descriptor = device_descriptor(self._backend.descriptor(self.resource, 1), self.info)
        return self._descriptor

    def configuration(self, index: int) -> Configuration:
        """A configuration. Raises IndexError where there is none."""
        if index >= self.descriptor.bNumConfigurations:
            raise IndexError(f"{self.resource} has no configuration number {index}")
        if index not in self._configurations:
            self._configurations[index] = configuration(self._backend.descriptor(self.resource, 2, index))
        return self._configurations[index]

    def setting(self, index: int, alternate: int, configuration: int) -> Interface:
        """An interface by its place and the place of its setting. Raises IndexError."""
        return self.configuration(configuration).interfaces[index][alternate]


class OpenDevice:
    """What pyusb takes for an open device: it is attached with the first use, to leave others alone until then."""

    def __init__(self, backend: Backend, listed: ListedDevice) -> None:
        self.listed = listed
        self.claimed: set[int] = set()
        self._backend = backend
        self._device: UsbDevice | None = None

    @property
    def is_attached(self) -> bool:
        """Whether it was taken from the board's drivers."""
        return self._device is not None

    @property
    def device(self) -> UsbDevice:
        """The device, attached now if it was not."""
        if self._device is None:
            self._device = self._backend.attach(self.listed.resource)
        return self._device

    def give_back(self) -> None:
        """To the board's drivers."""
        device, self._device = self._device, None
        self.claimed.clear()
        if device is not None:
            self._backend.call(device.detach)


class Backend(usb.backend.IBackend):  # type: ignore[misc]  # pyusb has no types
    """pyusb's view of a board. Errors are usb.core.USBError and USBTimeoutError, as libusb's would be."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self._thread = current()

    def close(self) -> None:
        """Give all devices back and leave the board. The end of the program does so, too."""
        self._thread.call(self._board.close, awaited=True)

    def _finalize_object(self) -> None:
        with contextlib.suppress(Exception):  # the program may be ending
            self.close()

    # -- used by the objects above -------------------------------------------------------------------------

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """Await ``function`` on the loop's thread; raises pyusb's errors."""
        try:
            result: T = self._thread.call(function, args, kwargs, awaited=True)
        except MyClerkError as error:
            raise _pyusb_error(error) from error
        return result

    def descriptor(self, resource: str, kind: int, index: int = 0, language: int = 0) -> bytes:
        """A descriptor, without attaching the device."""
        return self.call(self._board.usb.descriptor, resource, kind, index, language)

    def attach(self, resource: str) -> UsbDevice:
        """Attach a device."""
        return self.call(self._board.usb.attach, resource)

    # -- devices and descriptors ---------------------------------------------------------------------------

    def enumerate_devices(self) -> Iterable[ListedDevice]:
        return [ListedDevice(self, info) for info in self.call(self._board.usb.list)]

    def get_parent(self, dev: ListedDevice) -> None:
        return None  # hubs stay with the board

    def get_device_descriptor(self, dev: ListedDevice) -> Descriptor:
        return dev.descriptor

    def get_configuration_descriptor(self, dev: ListedDevice, config: int) -> Descriptor:
        return dev.configuration(config).descriptor

    def get_interface_descriptor(self, dev: ListedDevice, intf: int, alt: int, config: int) -> Descriptor:
        return dev.setting(intf, alt, config).descriptor

    def get_endpoint_descriptor(
        self, dev: ListedDevice, ep: int, intf: int, alt: int, config: int
    ) -> Descriptor:
        return dev.setting(intf, alt, config).endpoints[ep]

    # -- an open device ------------------------------------------------------------------------------------

    def open_device(self, dev: ListedDevice) -> OpenDevice:
        return OpenDevice(self, dev)

    def close_device(self, dev_handle: OpenDevice) -> None:
        with contextlib.suppress(usb.core.USBError):  # gone: nothing is left to close
            dev_handle.give_back()

    def set_configuration(self, dev_handle: OpenDevice, config_value: int) -> None:
        self.call(dev_handle.device.set_configuration, config_value)

    def get_configuration(self, dev_handle: OpenDevice) -> int:
        info = dev_handle.device.info if dev_handle.is_attached else dev_handle.listed.info
        return int(info.get("configuration", 0))

    def set_interface_altsetting(self, dev_handle: OpenDevice, intf: int, altsetting: int) -> None:
        self.call(dev_handle.device.set_interface, intf, altsetting)

    def claim_interface(self, dev_handle: OpenDevice, intf: int) -> None:
        known = {interface["number"] for interface in dev_handle.device.info["interfaces"]}
        if intf not in known:
            raise _pyusb_error(NotFound(f"{dev_handle.listed.resource} has no interface {intf}"))
        dev_handle.claimed.add(intf)

    def release_interface(self, dev_handle: OpenDevice, intf: int) -> None:
        dev_handle.claimed.discard(intf)

    def clear_halt(self, dev_handle: OpenDevice, ep: int) -> None:
        self.call(dev_handle.device.clear_halt, ep)

    def reset_device(self, dev_handle: OpenDevice) -> None:
        self.call(dev_handle.device.reset)

    def is_kernel_driver_active(self, dev_handle: OpenDevice, intf: int) -> bool:
        if dev_handle.is_attached:
            return False
        interfaces = dev_handle.listed.info["interfaces"]
        return any(found["number"] == intf and "driver" in found for found in interfaces)

    def detach_kernel_driver(self, dev_handle: OpenDevice, intf: int) -> None:
        """Of all interfaces: a device is attached as a whole."""
        _ = dev_handle.device

    def attach_kernel_driver(self, dev_handle: OpenDevice, intf: int) -> None:
        """Of all interfaces, unless one of them is claimed."""
        if not dev_handle.claimed:
            dev_handle.give_back()

    # -- transfers -----------------------------------------------------------------------------------------

    def bulk_write(self, dev_handle: OpenDevice, ep: int, intf: int, data: array[int], timeout: int) -> int:
        try:
            return self.call(dev_handle.device.write, ep, data.tobytes(), timeout=_seconds(timeout))
        except usb.core.USBTimeoutError as error:
            if sent := _details(error).get("transferred", 0):
                return int(sent)
            raise

    def bulk_read(self, dev_handle: OpenDevice, ep: int, intf: int, buff: array[int], timeout: int) -> int:
        size = len(buff) * buff.itemsize
        try:
            data = self.call(dev_handle.device.read, ep, size, timeout=_seconds(timeout))
        except usb.core.USBTimeoutError as error:
            data = _details(error).get("data", b"")
            if not data:
                raise
        return _fill(buff, data)

    intr_write = bulk_write
    intr_read = bulk_read

    def iso_write(self, dev_handle: OpenDevice, ep: int, intf: int, data: array[int], timeout: int) -> int:
        results = self.call(_isochronous, dev_handle.device, ep, data.tobytes(), _seconds(timeout))
        return sum(result.transferred for result in results)

    def iso_read(self, dev_handle: OpenDevice, ep: int, intf: int, buff: array[int], timeout: int) -> int:
        """What came stands in the buffer without gaps, also behind packets that came short."""
        size = len(buff) * buff.itemsize
        results = self.call(_isochronous, dev_handle.device, ep, size, _seconds(timeout))
        return _fill(buff, b"".join([result.data for result in results]))

    def ctrl_transfer(
        self, dev_handle: OpenDevice, bmRequestType: int, bRequest: int, wValue: int, wIndex: int,  # noqa: N803
        data: array[int], timeout: int,
    ) -> int:  # fmt: skip
        size = len(data) * data.itemsize
        if not bmRequestType & IN:
            send = dev_handle.device.control
            payload = data.tobytes()
            sent = self.call(
                send, bmRequestType, bRequest, wValue, wIndex, payload, timeout=_seconds(timeout)
            )
            return int(sent)
        if (bmRequestType, bRequest) == _GET_DESCRIPTOR and not dev_handle.is_attached:
            language = wIndex if wValue >> 8 == _STRING else 0
            return _fill(
                data, self.descriptor(dev_handle.listed.resource, wValue >> 8, wValue & 0xFF, language)[:size]
            )
        ask = dev_handle.device.control
        return _fill(
            data, self.call(ask, bmRequestType, bRequest, wValue, wIndex, size, timeout=_seconds(timeout))
        )


async def _isochronous(
    device: UsbDevice, address: int, data: bytes | int, timeout: float | None
) -> list[UrbResult]:
    """Send or read so many bytes in packets as large as the endpoint has them, all transfers on their way at once."""
    endpoint = device.endpoint(address)
    if endpoint is None or endpoint.type != "isochronous":
        raise BadRequest(
            f"{device.resource} has no isochronous endpoint 0x{address:02x} in its present settings"
        )
    largest = endpoint.max_packet_size * (1 + (endpoint.packet_field >> 11 & 3)) or 1
    size = data if isinstance(data, int) else len(data)
    lengths = [min(largest, size - start) for start in range(0, size, largest)]
    transfers = []
    for first in range(0, len(lengths), PACKETS):
        run = lengths[first : first + PACKETS]
        start = first * largest
        part = None if isinstance(data, int) else data[start : start + sum(run)]
        transfers.append(device.submit_isochronous(address, run, part, timeout=timeout))
    results = [await transfer for transfer in transfers]
    for result in results:
        result.check(f"{device.resource}, isochronous endpoint 0x{address:02x}")
    return results


def _fill(buffer: array[int], data: bytes | int) -> int:
    assert isinstance(data, bytes)
    memoryview(buffer).cast("B")[: len(data)] = data
    return len(data)


def _seconds(milliseconds: int | None) -> float | None:
    """libusb's timeouts: 0 is none."""
    return milliseconds / 1000 if milliseconds else None


def _details(error: BaseException) -> Mapping[str, Any]:
    return getattr(error.__cause__, "details", {})


def _pyusb_error(error: MyClerkError) -> usb.core.USBError:
    """The error of pyusb that says the same. Programs know libusb's texts, so what we have to say is a note."""
    if isinstance(error, OperationTimeout):
        translated = usb.core.USBTimeoutError("Operation timed out", -7, errno.ETIMEDOUT)
    else:
        if isinstance(error, HardwareError):
            found = _HARDWARE.get(str(error.details.get("errno")), _OTHER)
        else:
            found = next((found for kind, found in _ERRORS if isinstance(error, kind)), _OTHER)
        translated = usb.core.USBError(*found)
    translated.add_note(str(error))
    return translated
