"""The trick `polling`: the board asks an interrupt IN endpoint again and again, the host finds the answer here."""

from __future__ import annotations

import asyncio
from collections import deque

from myclerk_protocol.status import HardwareError, MyClerkError

from ..device import UsbDevice
from ..poll import UsbPoll
from ..transfers import UrbResult
from ..usbip.urbs import Submit
from .inbox import Inbox
from .pipes import LOST, Host, InterruptPipe, Pipe

PATIENCE = 0.25
"""Seconds that something may wait here for the host to ask; then the board asks no more until the host does."""


class PolledPipe(Pipe):
    """An interrupt IN endpoint. What the device sent is kept until the host asks.

    The board polls from the host's first URB on, until the host has none any more or asks no more.
    """

    def __init__(self, host: Host, device: UsbDevice, address: int) -> None:
        self._host = host
        self._device = device
        self._address = address
        self._asked: deque[Submit] = deque()
        self._inbox = Inbox()
        self._polling: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._bored: asyncio.TimerHandle | None = None
        self._plain: Pipe | None = None
        """Takes over where polling is refused."""

    def submit(self, urb: Submit) -> None:
        if self._plain is not None:
            self._plain.submit(urb)
            return
        if self._bored is not None:
            self._bored.cancel()
            self._bored = None
        self._asked.append(urb)
        self._match()
        if self._asked and self._polling is None:
            self._stop.clear()
            self._polling = asyncio.get_running_loop().create_task(self._poll(urb.length))

    def unlink(self, urb: Submit) -> None:
        if self._plain is not None and urb not in self._asked:
            self._plain.unlink(urb)
            return
        self._asked.remove(urb)
        self._host.answer(urb, UrbResult(errno="ECONNRESET"))
        if not self._asked:
            self._stop.set()

    async def settle(self) -> None:
        if self._polling is not None:
            self._stop.set()
            await asyncio.wait([self._polling])

    async def reset(self) -> None:
        await self.settle()
        self._inbox.clear()

    async def close(self) -> None:
        self._asked.clear()
        await self.settle()
        if self._bored is not None:
            self._bored.cancel()

    async def _poll(self, length: int) -> None:
        """Poll until that is stopped or fails; what the host asked for meanwhile is asked again."""
        try:
            await self._until_stopped(length)
        except LOST as error:
            self._host.lost(error)
            return
        except MyClerkError:
            self._plain = InterruptPipe(self._host, self._device, self._address)
        finally:
            self._polling = None
        asked = list(self._asked)
        self._asked.clear()
        for urb in asked:
            self.submit(urb)

    async def _until_stopped(self, length: int) -> None:
        poll = await self._device.poll(self._address, length)
        receiving = asyncio.ensure_future(self._receive(poll))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([receiving, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await poll.stop()
            if await receiving:
                await self._receive(poll)  # what was on its way when it was stopped
        finally:
            receiving.cancel()
            stopping.cancel()

    async def _receive(self, poll: UsbPoll) -> bool:
        """Take what the device sent until nothing more comes; False if that is because the endpoint failed."""
        while True:
            try:
                data = await poll.next()
            except HardwareError as error:
                self._arrived(error.details.get("data", b""), error.details.get("errno", "EIO"))
                if "data" not in error.details:  # not one transfer, but the poll
                    return False
                continue
            if data is None:
                return True
            self._arrived(data, None)

    def _arrived(self, data: bytes, errno: str | None) -> None:
        self._inbox.put(data, ended=True, errno=errno)
        self._match()
        if self._inbox and self._bored is None:
            self._bored = asyncio.get_running_loop().call_later(PATIENCE, self._stop.set)

    def _match(self) -> None:
        while self._asked and (result := self._inbox.take(self._asked[0].length)) is not None:
            self._host.answer(self._asked.popleft(), result)
