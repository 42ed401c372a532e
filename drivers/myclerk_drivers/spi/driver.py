"""The SPI driver: its devices, and how one is opened."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from myclerk_protocol.status import Conflict

from ..base import Access, Driver, Resource, serves
from ..bus_thread import BusThread
from ..context import DriverContext
from .backend import Backend, Device, OpenDevice
from .device import SpiDevice
from .faults import opening_fault
from .settings import DELAYS, KernelSettings, apply, check, deselect, restore

CLOSING_SECONDS = 1.0
"""How long devices have to restore their settings when the agent stops."""


@dataclass(slots=True)
class Original:
    """The kernel's settings from before a device was opened, which the last of its ``users`` restores.

    There is a second one for a moment when a session ends while it opens a device.
    """

    settings: KernelSettings
    users: int = 0


class SpiDriver(Driver):
    """Devices as ``spi:BUS.CHIPSELECT``: those that the kernel's spidev has."""

    kind = "spi"
    handles = (SpiDevice,)

    def __init__(self, context: DriverContext, backend: Backend | None = None) -> None:
        """``backend`` is where the devices are; None: this machine's."""
        super().__init__(context)
        if backend is None:
            from .kernel import KernelSpi

            backend = KernelSpi()
        self._backend = backend
        self._threads: dict[int, BusThread] = {}
        self._originals: dict[str, Original] = {}
        self._opening: dict[str, asyncio.Future[SpiDevice]] = {}

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> SpiDriver:
        """This driver on the devices that ``table`` describes (:mod:`.simulated`). Raises ValueError."""
        from .simulated import SimulatedSpi

        return cls(context, SimulatedSpi.from_description(table))

    def resources(self) -> Iterable[Resource]:
        """All devices there are now."""
        return [self._resource(device) for device in self._backend.devices()]

    def find(self, name: str) -> Resource | None:
        """The device of this name, or None."""
        device = self._backend.device(name.removeprefix("spi:"))
        return None if device is None else self._resource(device)

    def _resource(self, device: Device) -> Resource:
        name = f"spi:{device.name}"
        what = (device.modalias or "device").removeprefix("spi:")
        description = f"{what} on {device.controller}" if device.controller else what
        properties = {
            "path": device.path,
            "bus": device.bus,
            "chip_select": device.chip_select,
            "description": description,
            "modalias": device.modalias,
            "controller": device.controller,
            "maximum_speed_hz": device.maximum_speed_hz,
            "in_use": name in self._originals,
        }
        present = {key: value for key, value in properties.items() if value is not None}
        return Resource(name, description, parent=device.parent, properties=present)

    def close(self) -> None:
        """Let the threads end behind the last device that is restored."""
        for thread in self._threads.values():
            thread.close(CLOSING_SECONDS)

    @serves("SPI_BUS_LIST", access=Access.READ)
    def list_devices(self) -> Mapping[str, Any]:
        """{``devices``, ``buffer_size``}: name and properties of each, and how many bytes a transfer has at most."""
        devices = [{"name": device.name, **device.properties} for device in self.resources()]
        return {"devices": devices, "buffer_size": self._backend.buffer_size}

    @serves("SPI_DEVICE_OPEN", access=Access.READ_WRITE, audit=True)
    def open_device(self, resource: Resource, **settings: Any) -> asyncio.Future[SpiDevice]:
        """Open ``resource`` with ``settings``; what they do not say is as the kernel has it (its device tree).

        Settings: ``mode`` (0-3), ``speed_hz``, ``bits_per_word`` (1-32), ``lsb_first``, ``cs_high``, ``no_cs``,
        ``three_wire``, ``loop``, ``ready``, ``tx_lines`` and ``rx_lines`` (1, 2, 4, 8), ``delay_us``,
        ``word_delay_us``. Raises BadRequest, NotFound; Conflict while somebody else opens it; Unsupported for one
        that the controller cannot do; HardwareError, DeviceGone; nothing has changed then.
        """
        check(settings)
        opening = self._opening.get(resource.name)
        if opening is not None and not opening.cancelled():  # the agent knows who has it when that is done
            raise Conflict(f"{resource.name} is being opened already")
        bus = resource.properties["bus"]
        thread = self._threads.get(bus)
        if thread is None:
            thread = self._threads[bus] = BusThread(f"myclerk spi:{bus}")
        future = thread.submit(partial(self._opened, resource, thread, settings), discard=SpiDevice.close)
        self._opening[resource.name] = future
        future.add_done_callback(partial(self._open_ended, resource.name))
        return future

    def _open_ended(self, name: str, future: asyncio.Future[SpiDevice]) -> None:
        if self._opening.get(name) is future:
            del self._opening[name]

    def _opened(self, resource: Resource, thread: BusThread, settings: Mapping[str, Any]) -> SpiDevice:
        name, path = resource.name, resource.properties["path"]
        found = self._backend.device(name.removeprefix("spi:"))
        if found is None:
            raise opening_fault(path, FileNotFoundError(errno.ENOENT, "No such file or directory"))
        try:
            device = self._backend.open(found)
        except OSError as error:
            raise opening_fault(path, error) from None
        try:
            original = self._originals.get(name) or Original(device.settings())
            kernel = apply(device, name, settings)
        except OSError as error:
            device.close()
            raise opening_fault(path, error) from None
        except BaseException:
            device.close()
            raise
        original.users += 1
        self._originals[name] = original
        delays = {delay: settings.get(delay, 0) for delay in DELAYS}
        release = partial(self._released, name)
        return SpiDevice(resource, device, thread, self._backend.buffer_size, {**kernel, **delays}, release)

    def _released(self, name: str, device: OpenDevice) -> None:
        original = self._originals[name]
        original.users -= 1
        if original.users == 0:
            restore(device, original.settings)
            deselect(device)
            del self._originals[name]
        device.close()
