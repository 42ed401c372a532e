"""A USB/IP server: hosts elsewhere list devices of the board and import them, each over a connection of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, cast

from myclerk_protocol.status import Conflict, DeviceGone, Forbidden, MyClerkError, NotFound

from .bridge import Bridge, Tricks
from .capture import Capture
from .device import UsbDevice, UsbDevices
from .usbip.operations import (
    BUS_ID,
    BUSY,
    FAILED,
    NO_DEVICE,
    NOT_AVAILABLE,
    REQ_DEVLIST,
    REQUEST,
    Exported,
    device_list,
    imported,
    parse_bus_id,
    parse_request,
    refused,
)

log = logging.getLogger("myclerk.usb")

PORT = 3240
"""USB/IP's own, of IANA."""
PATIENCE = 10.0
"""Seconds that a host has to say what it wants, and the board to give and take back a device."""
MOST_CONNECTIONS = 64
_LARGEST = 1 << 16
"""Bytes that a host may send before it has its answer."""

_STATUSES: tuple[tuple[type[MyClerkError], int], ...] = (
    (Conflict, BUSY),
    (Forbidden, NOT_AVAILABLE),
    (NotFound, NO_DEVICE),
    (DeviceGone, NO_DEVICE),
)


class _Request(asyncio.Protocol):
    """The beginning of a connection, until it is clear what it is for."""

    transport: asyncio.Transport

    def __init__(self, begin: Callable[[_Request], None]) -> None:
        self.peer = ""
        self._begin = begin
        self._received = bytearray()
        self._over = False
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.peer = "{}:{}".format(*transport.get_extra_info("peername")[:2])
        self._begin(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _LARGEST:
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._wake()

    async def read(self, size: int) -> bytes:
        """Exactly so many bytes. Raises EOFError."""
        while len(self._received) < size:
            if self._over:
                raise EOFError("it hung up")
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def hand_over(self, bridge: Bridge) -> None:
        """From here on the connection carries URBs."""
        self.transport.set_protocol(bridge)
        bridge.connection_made(self.transport)
        if self._over:
            bridge.connection_lost(None)
        elif self._received:
            bridge.data_received(bytes(self._received))
        self.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class UsbIpServer:
    """Serves the devices of a board: all, or those of which one name is in ``resources``.

    ``devices`` may be replaced by those of a new session with the board. ``say`` gets a sentence for each device that
    comes and goes. ``capture`` takes down all URBs.
    """

    def __init__(
        self,
        devices: UsbDevices,
        *,
        resources: Collection[str] = (),
        tricks: Tricks | None = None,
        capture: Capture | None = None,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.devices = devices
        self._resources = frozenset(name.removeprefix("usb:") for name in resources)
        self._tricks = tricks or Tricks()
        self._capture = capture
        self._say = say
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str = "127.0.0.1", port: int = PORT) -> list[tuple[str, int]]:
        """Take connections from now on; the addresses. Raises OSError when the port is in use."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Request(self._connected), host, port)
        return [found.getsockname()[:2] for found in self._server.sockets]

    async def close(self) -> None:
        """Hang up on everybody and give all devices back."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _connected(self, request: _Request) -> None:
        if len(self._tasks) >= MOST_CONNECTIONS:
            request.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: _Request) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                if parse_request(await request.read(REQUEST)) == REQ_DEVLIST:
                    request.transport.write(device_list(map(Exported.of, await self._shared())))
                    request.transport.close()
                    return
                device = await self._attach(parse_bus_id(await request.read(BUS_ID)), request.transport)
            if device is not None:
                try:
                    await self._bridge(device, request)
                finally:
                    await _given_back(device)
        except (MyClerkError, TimeoutError, EOFError) as error:
            log.info("%s: %s", request.peer, error or type(error).__name__)
            request.transport.abort()
        except BaseException:
            request.transport.abort()
            raise

    async def _attach(self, bus_id: str, transport: asyncio.Transport) -> UsbDevice | None:
        """The device that the host asked for; None when it was told that it cannot have it."""
        try:
            if not any(info["port"] == bus_id for info in await self._shared()):
                raise NotFound(f"{bus_id} is not among the devices that are served")
            return await self.devices.attach(bus_id)
        except MyClerkError as error:
            self._say(f"{bus_id} is refused: {error}")
            status = next((status for kind, status in _STATUSES if isinstance(error, kind)), FAILED)
            transport.write(refused(status))
            transport.close()
            return None

    async def _bridge(self, device: UsbDevice, request: _Request) -> None:
        """Be the device at the other end, until one of both is gone."""
        monitor = self._capture.device(device) if self._capture else None
        bridge = Bridge(device, self._tricks, monitor)
        try:
            request.transport.write(imported(Exported.of(device.info)))
            request.hand_over(bridge)
            self._say(f"{device.resource} is attached at {request.peer}")
            error = await asyncio.shield(bridge.ended)
            self._say(f"{device.resource} is detached" + (f": {error}" if error else f" by {request.peer}"))
        finally:
            await bridge.close()

    async def _shared(self) -> list[Mapping[str, Any]]:
        """The devices that are served."""
        listed = await self.devices.list()
        return [info for info in listed if not self._resources or self._resources & _names(info)]


def _names(info: Mapping[str, Any]) -> set[str]:
    """Under which names a device may be given on the command line."""
    identity = f"{info['vendor_id']:04x}:{info['product_id']:04x}"
    return {info["port"], identity, f"{identity}:{info.get('serial', '')}"}


async def _given_back(device: UsbDevice) -> None:
    with suppress(MyClerkError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await device.detach()
