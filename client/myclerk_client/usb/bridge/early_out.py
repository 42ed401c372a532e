"""The trick `early-out`: OUT transfers are done for the host as soon as they were sent to the board."""

from __future__ import annotations

import asyncio
from functools import partial

from ..device import UsbDevice
from ..transfers import UrbResult, UsbTransfer
from ..usbip.urbs import ZERO_PACKET, Submit
from .pipes import Host, Pipe, outcome

AHEAD = 4 << 20
"""Bytes that the host may take for sent while they are under way; what exceeds them is answered when it is done."""
PATIENCE = 1.0
"""Seconds that a control transfer waits for what was taken for sent; a device that accepts nothing may need it."""


class EarlyOutPipe(Pipe):
    """A bulk or interrupt OUT endpoint.

    An error of a transfer that was answered already is that of the next one, which is not sent then. Bulk transfers
    are sent as continuing the one before, so the board does none of them behind one that failed.
    """

    def __init__(self, host: Host, device: UsbDevice, address: int, *, bulk: bool) -> None:
        self._host = host
        self._device = device
        self._address = address
        self._bulk = bulk
        self._under_way: dict[UsbTransfer, Submit | None] = {}
        self._bytes = 0
        self._errno: str | None = None
        self._idle: asyncio.Future[None] | None = None

    @property
    def ahead(self) -> bool:
        return bool(self._under_way)

    def submit(self, urb: Submit) -> None:
        if self._errno is not None:
            errno, self._errno = self._errno, None
            self._host.answer(urb, UrbResult(errno=errno))
            return
        transfer = self._send(urb)
        early = self._bytes + len(urb.data) <= AHEAD
        self._under_way[transfer] = None if early else urb
        self._bytes += len(urb.data)
        if early:
            self._host.answer(urb, UrbResult(transferred=len(urb.data)))
        transfer.add_done_callback(partial(self._done, len(urb.data)))

    def unlink(self, urb: Submit) -> None:
        for transfer, waiting in list(self._under_way.items()):
            if waiting is urb:
                transfer.cancel()

    async def settle(self) -> None:
        """Until everything is done, for a second at most."""
        if self._under_way:
            self._idle = self._idle or asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=PATIENCE)

    async def reset(self) -> None:
        for transfer in list(self._under_way):
            transfer.cancel()
        await self.settle()
        self._errno = None

    def _send(self, urb: Submit) -> UsbTransfer:
        if not self._bulk:
            return self._device.submit_interrupt(self._address, urb.data)
        zero_packet = bool(urb.flags & ZERO_PACKET)
        continued = bool(self._under_way)
        return self._device.submit_bulk(self._address, urb.data, zero_packet=zero_packet, continued=continued)

    def _done(self, size: int, transfer: UsbTransfer) -> None:
        urb = self._under_way.pop(transfer)
        self._bytes -= size
        result = outcome(transfer, self._host)
        if not self._under_way and self._idle is not None:
            self._idle.set_result(None)
            self._idle = None
        if result is None:
            return
        if urb is None:
            if result.errno not in (None, "ECONNRESET"):  # that is of those behind the one that failed
                self._errno = self._errno or result.errno
            return
        if self._errno is not None and result.errno == "ECONNRESET":
            result.errno, self._errno = self._errno, None
        self._host.answer(urb, result)
