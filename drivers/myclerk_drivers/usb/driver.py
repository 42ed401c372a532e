"""The USB driver: its devices, what the board lives on, and how one is attached."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from myclerk_protocol.status import BadRequest, Conflict, Forbidden, HardwareError, NotFound, Unsupported
from myclerk_protocol.usb_descriptors import CONFIGURATION, DEVICE, IN, STRING

from ..base import Access, Driver, Resource, serves
from ..context import DriverContext
from .claims import Claims
from .device import AttachedDevice
from .faults import fault, opening_fault
from .keeping import Records, Taken, state_directory
from .listing import Listing, UsbDevice
from .memory import Memory
from .usage import Usage
from .usbfs import Usbfs

RETURN_LIMIT = 30.0
"""Seconds to wait until a device was given back; drivers may take their time to bind."""
DESCRIPTOR_TIMEOUT = 5.0
GET_DESCRIPTOR = 6
LONGEST, LONGEST_STRING = 4096, 255
"""Bytes of a descriptor, where the request does not say."""


class UsbDriver(Driver):
    """USB devices as ``usb:1-1.4``, and by their IDs ``usb:0403:6001`` and ``usb:0403:6001:SERIAL``."""

    kind = "usb"
    handles = (AttachedDevice,)
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "allow": (
            [],
            "Devices that may be attached although the board uses them; names as listed, `*` stands for any.",
        ),
        "state": (
            "/var/lib/myclerk/usb",
            "Where it is kept which devices are attached, to give them back after a crash.",
        ),
    }

    def __init__(
        self,
        context: DriverContext,
        listing: Listing | None = None,
        usage: Callable[[], Usage] = Usage,
    ) -> None:
        """Begins to give back what a crashed agent left. Raises ValueError for settings that make no sense."""
        super().__init__(context)
        given = {name: context.settings.get(name, default) for name, (default, _) in self.settings.items()}
        if not all(isinstance(name, str) and name.startswith("usb:") for name in given["allow"]):
            raise ValueError(
                'the usb driver\'s `allow` must be a list of resource names, such as "usb:1-1.4"'
            )
        self._allow: list[str] = list(given["allow"])
        self._listing = listing or Listing()
        self._usage = usage
        self._records = Records(state_directory(given["state"]), context.log)
        self._memory = Memory()
        self._attached: dict[str, AttachedDevice] = {}
        self._restored = threading.Event()
        context.run_blocking(self._restore)

    def close(self) -> None:
        """Wait until everything is given back, up to 30 s."""
        deadline = time.monotonic() + RETURN_LIMIT
        for attached in list(self._attached.values()):
            attached.given_back.wait(max(deadline - time.monotonic(), 0.0))

    def resources(self) -> Iterable[Resource]:
        """All devices but root hubs."""
        usage = self._usage()
        return [self._completed(resource, usage) for resource in self._listing.resources()]

    def find(self, name: str) -> Resource | None:
        """By any of its names; by its place it costs no look at the others. Raises BadRequest where several have it."""
        device = self._listing.device(name.removeprefix("usb:"))
        if device is None:
            same = self._listing.called(name)
            if len(same) > 1:
                raise BadRequest(
                    f"several devices are {name}: name one by its place, as `myclerk usb list` shows it",
                    key="resource",
                )
            if not same:
                return None
            device = same[0]
        return self._completed(self._listing.resource(device), self._usage())

    @serves("USB_DEVICE_LIST", access=Access.READ)
    def list_devices(self) -> Mapping[str, Any]:
        """{``devices``}: name and properties of every device."""
        return {"devices": [{"name": device.name, **device.properties} for device in self.resources()]}

    @serves("USB_DEVICE_ATTACH", access=Access.READ_WRITE, slow=True, audit=True)
    def attach(self, resource: Resource) -> AttachedDevice:
        """Take a device from the kernel's drivers, with all its interfaces.

        Raises Unsupported for a hub; Forbidden when the board lives on it; Conflict when somebody has it; DeviceGone,
        HardwareError. Nothing has changed then.
        """
        device = self._device(resource)
        if device.is_hub:
            raise Unsupported(f"{resource.name} is a hub; attach the devices that are plugged into it")
        self._refuse_used(resource, device)
        self._restored.wait(RETURN_LIMIT)
        self._await_return(device)
        state = self._listing.state(device)
        taken = Taken(device.name, device.number, state.configuration, tuple(state.drivers))
        try:
            usbfs = Usbfs(device.node)
        except OSError as error:
            raise opening_fault(resource.name, device.node, error) from None
        claims = Claims(usbfs, device, self._listing, taken)
        self._records.note(taken)
        try:
            claims.take()
        except OSError as error:
            usbfs.close()
            self._records.forget(device.name)
            raise fault(resource.name, "taking it from the kernel's drivers", error) from None
        attached = AttachedDevice(
            self.context, resource, device, self._listing, self._records, self._memory, claims
        )
        self._attached[device.name] = attached
        return attached

    @serves("USB_GET_DESCRIPTOR", access=Access.READ)
    async def get_descriptor(
        self, resource: Resource, type: int, index: int = 0, language: int = 0, length: int | None = None
    ) -> Mapping[str, Any]:
        """A descriptor: of device and configurations as the kernel knows them, others from the device itself.

        Raises HardwareError with errno EPIPE when the device has none.
        """
        device = self._device(resource)
        limit = length or (LONGEST_STRING if type == STRING else LONGEST)
        if type in (DEVICE, CONFIGURATION):
            found = _known_descriptors(device.raw, type)
            if index >= len(found):
                raise HardwareError(f"{resource.name} has no such descriptor", errno="EPIPE")
            return {"data": found[index][:limit]}
        return {"data": await self.context.run_blocking(
            lambda: _read_descriptor(resource.name, device, type << 8 | index, language, limit)
        )}  # fmt: skip

    # -- helpers -------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        try:
            self._records.restore(self._listing)
        finally:
            self._restored.set()

    def _completed(self, resource: Resource, usage: Usage) -> Resource:
        """With what sysfs does not know."""
        device = self._listing.device(resource.name.removeprefix("usb:"))
        attached = self._attached.get(resource.name.removeprefix("usb:"))
        in_use = attached is not None and not attached.is_closing
        properties = {**resource.properties, "in_use": in_use}
        if device is not None and not device.is_hub and (used_for := usage.of(device.path)):
            properties["used_for"] = used_for
        return replace(resource, properties=properties)

    def _device(self, resource: Resource) -> UsbDevice:
        device = self._listing.device(resource.name.removeprefix("usb:"))
        if device is None:
            raise NotFound(f"there is no {resource.name} any more; it was unplugged", key="resource")
        return device

    def _refuse_used(self, resource: Resource, device: UsbDevice) -> None:
        """Raise Forbidden when the board lives on the device and no setting allows to take it."""
        used_for = self._usage().of(device.path)
        names = (resource.name, *resource.aliases)
        if used_for and not any(fnmatchcase(name, rule) for name in names for rule in self._allow):
            raise Forbidden(
                f"the board itself needs {resource.name}: {', '.join(used_for)}; to attach it nevertheless, put "
                f'"{resource.name}" into `allow` of [drivers.usb] in the agent\'s settings'
            )

    def _await_return(self, device: UsbDevice) -> None:
        """Wait until an earlier handle has given the device back, so that there is something to take."""
        earlier = self._attached.get(device.name)
        if earlier is None:
            return
        if not earlier.is_closing:
            raise Conflict(f"{device.resource_name} is attached already", errno="EBUSY")
        if not earlier.given_back.wait(RETURN_LIMIT):
            raise Conflict(
                f"{device.resource_name} is still being given back to the board's drivers", errno="EBUSY"
            )


def _known_descriptors(raw: bytes, type: int) -> list[bytes]:
    """The device descriptor, or the configurations as wholes, of what sysfs has of a device."""
    size = raw[0]
    if type == DEVICE:
        return [raw[:size]]
    found, start = [], size
    while start + 9 <= len(raw):
        total = max(int.from_bytes(raw[start + 2 : start + 4], "little"), 9)
        found.append(raw[start : start + total])
        start += total
    return found


def _read_descriptor(name: str, device: UsbDevice, value: int, language: int, length: int) -> bytes:
    try:
        usbfs = Usbfs(device.node)
    except OSError as error:
        raise opening_fault(name, device.node, error) from None
    try:
        return usbfs.control(IN, GET_DESCRIPTOR, value, language, length, DESCRIPTOR_TIMEOUT)
    except OSError as error:
        refused = fault(name, "reading a descriptor", error)
        raise refused from None
    finally:
        usbfs.close()
