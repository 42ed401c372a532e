"""Plugging USB devices in and out, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devices import vhci
from devices.device import Device

from .gadgets import Gadget
from .programs import appear


class Socket:
    """A place on vhci_hcd for one model."""

    def __init__(self, device: Device) -> None:
        self.serial = device.strings[2]
        self._device = device
        self._port: vhci.Port | None = None

    @property
    def plugged(self) -> bool:
        """Whether the device is plugged in."""
        return self._port is not None and self._port.plugged

    @property
    def directory(self) -> Path | None:
        """Its directory in the kernel's tree; None while it is not plugged in."""
        return self._port.directory if self._port is not None and self.plugged else None

    async def plug(self) -> None:
        """Plug it in and wait until the kernel has read its descriptors."""
        self._port = await vhci.plug(self._device)
        await appear(str(self._port.directory))

    async def unplug(self) -> None:
        """Pull it out and wait until the kernel has forgotten it."""
        if self._port is not None:
            await self._port.unplug()
            await appear(str(self._port.directory), present=False)


class Usb:
    """All USB devices of the bench."""

    def __init__(self, models: Mapping[str, Device], gadgets: Mapping[str, Gadget]) -> None:
        self.places: dict[str, Socket | Gadget] = {
            **{name: Socket(device) for name, device in models.items()},
            **gadgets,
        }

    async def usb_list(self) -> list[dict[str, Any]]:
        """The devices: {name, serial, plugged, path}; ``path`` is that of the kernel ("3-1") or None."""
        return [
            {
                "name": name,
                "serial": place.serial,
                "plugged": place.plugged,
                "path": place.directory.name if place.directory else None,
            }
            for name, place in self.places.items()
        ]

    async def usb_plug(self, name: str) -> str | None:
        """Plug a device in; its path in the kernel ("3-1"). Its driver binds a moment later."""
        place = self._place(name)
        if place.plugged:
            raise RuntimeError(f"USB device {name} is plugged in already")
        await place.plug()
        return place.directory.name if place.directory else None

    def directory(self, name: str) -> Path:
        """The directory of a device that is plugged in. Raises LookupError."""
        if (found := self._place(name).directory) is None:
            raise LookupError(f"USB device {name} is not plugged in")
        return found

    async def usb_tty(self, name: str) -> str:
        """The tty of a device, "ttyACM0" or another."""
        for path in self.directory(name).glob("*/tty/tty*"):
            return path.name
        raise LookupError(f"USB device {name} has no tty")

    async def serial_port(self) -> str:
        """The tty of the modem."""
        return await self.usb_tty("modem")

    async def usb_unplug(self, name: str) -> None:
        """Pull a device out."""
        place = self._place(name)
        if not place.plugged:
            raise RuntimeError(f"USB device {name} is not plugged in")
        await place.unplug()

    def _place(self, name: str) -> Socket | Gadget:
        if name not in self.places:
            raise LookupError(f"no USB device {name}: it is one of {', '.join(self.places)}")
        return self.places[name]
