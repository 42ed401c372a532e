"""Plugging models in: the kernel's virtual host controller takes one end of a socket pair."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from .device import Device
from .usbip import UsbIpDevice

CONTROLLER = Path("/sys/devices/platform/vhci_hcd.0")
FREE = 4
"""VDEV_ST_NULL in the controller's status file."""


class Port:
    """A device that is plugged in."""

    def __init__(self, number: int, server: UsbIpDevice) -> None:
        self.number = number
        self._server = server

    @property
    def directory(self) -> Path:
        """Where the kernel shows the device, once it has read its descriptors.

        Look whether it exists and what is in it, but do not read attributes such as ``serial``: they wait for the
        device's lock, which is held by who waits for this process to answer.
        """
        buses = sorted(int(path.name.removeprefix("usb")) for path in CONTROLLER.glob("usb[0-9]*"))
        return CONTROLLER / f"usb{buses[0]}" / f"{buses[0]}-{self.number + 1}"  # the first is the USB 2 hub

    @property
    def plugged(self) -> bool:
        """Whether the kernel still has it."""
        return not self._server.lost.done()

    async def unplug(self) -> None:
        """Pull it out; returns when the kernel has let go of it. Harmless if it is out."""
        if self.plugged:
            (CONTROLLER / "detach").write_text(str(self.number))
            await asyncio.wait_for(asyncio.shield(self._server.lost), 20)


async def plug(device: Device) -> Port:
    """Plug ``device`` into a free port. Raises RuntimeError if there is none, OSError if the kernel refuses."""
    number = free_port()
    ours, theirs = socket.socketpair()
    try:
        ours.setblocking(False)
        _, server = await asyncio.get_running_loop().create_connection(lambda: UsbIpDevice(device), sock=ours)
        with theirs:
            identifier = 1 << 16 | number + 1  # bus and device number at the far end: any that is not in use
            attach = f"{number} {theirs.fileno()} {identifier} {int(device.speed)}"
            (CONTROLLER / "attach").write_text(attach)
    except BaseException:
        ours.close()
        raise
    return Port(number, server)


def free_port() -> int:
    """A USB 2 port with nothing in it."""
    for line in (CONTROLLER / "status").read_text().splitlines()[1:]:
        hub, port, state, *_ = line.split()
        if hub == "hs" and int(state) == FREE:
            return int(port)
    raise RuntimeError("all ports of vhci_hcd are in use")
