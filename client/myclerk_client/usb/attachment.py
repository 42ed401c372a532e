"""A device of the board, plugged into this machine: the kernel's port, the bridge, and the way out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from myclerk_protocol.status import MyClerkError

from .bridge import Bridge, Monitor, Tricks
from .device import UsbDevice
from .usbip.operations import Exported
from .vhci import VirtualController

BUFFER = 4 << 20
"""Bytes that the sockets between here and the kernel are asked to hold; the kernel gives what it allows."""
UNPLUG = 5.0
"""Seconds that the kernel has to let go of the socket when a device is pulled out."""
DETACH = 5.0
"""Seconds that the board has to take a device back."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A device that is plugged in. ``port`` is the number of the kernel's port."""

    device: UsbDevice
    port: int
    bridge: Bridge

    async def ended(self) -> BaseException | None:
        """Wait until somebody here pulls it out (None), or the device or the board is gone (the error)."""
        return await asyncio.shield(self.bridge.ended)


@asynccontextmanager
async def plugged_in(
    device: UsbDevice,
    tricks: Tricks,
    monitor: Monitor | None = None,
    controller: VirtualController | None = None,
) -> AsyncIterator[Attachment]:
    """Plug ``device`` into this machine; at the end it is pulled out and given back to the board.

    Raises LocalError without permission or without vhci_hcd, Conflict when all ports are in use.
    """
    controller = controller or VirtualController()
    try:
        controller.prepare()
        attachment = await _plug(device, tricks, monitor, controller)
        try:
            yield attachment
        finally:
            await _unplug(attachment, controller)
    finally:
        with suppress(MyClerkError, TimeoutError):
            async with asyncio.timeout(DETACH):
                await device.detach()


async def _plug(
    device: UsbDevice, tricks: Tricks, monitor: Monitor | None, controller: VirtualController
) -> Attachment:
    exported = Exported.of(device.info)
    bridge = Bridge(device, tricks, monitor)
    ours, theirs = socket.socketpair()
    with theirs:  # the kernel has it for itself then
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        ours.setblocking(False)
        try:
            await asyncio.get_running_loop().create_connection(lambda: bridge, sock=ours)
        except BaseException:
            ours.close()
            raise
        try:
            port = controller.attach(theirs, exported.speed, exported.identifier)
        except BaseException:
            await bridge.close()
            raise
    return Attachment(device, port, bridge)


async def _unplug(attachment: Attachment, controller: VirtualController) -> None:
    """Have the kernel let go first, so that it sees a device pulled out and no broken connection."""
    if not attachment.bridge.ended.done():
        attachment.bridge.give_up()
        with suppress(MyClerkError, OSError, TimeoutError):
            controller.detach(attachment.port)
            async with asyncio.timeout(UNPLUG):
                await attachment.ended()
    await attachment.bridge.close()
