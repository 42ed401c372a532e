"""The trick `storage`: commands of a mass storage device, pipelined (Bulk-Only Transport 1.0, usb.org).

A command is three transfers, each of which the host begins when the one before is done: the command block wrapper
(CBW) to the device, data either way, the status wrapper (CSW) to the host. The wrapper tells how much data there will
be. So it is taken for sent at once and the board is asked for data and status together with it; data to the device is
taken for sent, too, and the status requested behind it. Whether all went well the status tells, which comes from the
device itself, behind everything else. The board sees what it would see from a host that is quick; the host waits for
one round trip instead of three.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from myclerk_protocol.status import MyClerkError
from myclerk_protocol.usb_descriptors import Endpoint

from ..device import UsbDevice
from ..transfers import UrbResult, UsbTransfer
from ..usbip.urbs import SHORT_NOT_OK, ZERO_PACKET, Submit
from .early_out import AHEAD
from .inbox import Inbox
from .pipes import LOST, Host, Pipe, outcome

log = logging.getLogger("myclerk.usb")

_CBW = struct.Struct("<4sIIBBB16x")
SIGNATURE = b"USBC"
STATUS_SIZE = 13


class Command(NamedTuple):
    """What a CBW says of the data behind it."""

    length: int
    is_in: bool

    @classmethod
    def parse(cls, data: bytes) -> Command | None:
        """The command in ``data``; None if it is no CBW."""
        if len(data) != _CBW.size:
            return None
        signature, _, length, flags, lun, size = _CBW.unpack(data)
        if signature != SIGNATURE or flags & 0x7F or lun > 15 or not 1 <= size <= 16:
            return None
        return cls(length, bool(flags))


@dataclass(slots=True, eq=False)
class _Read:
    transfer: UsbTransfer
    size: int
    after: bool
    cancelled: bool = False


class Reads(Pipe):
    """Bulk IN: reads that the host asked for, and those begun before it does.

    Bytes that came are kept for the host's next transfers, cut up as the device would have. A read begun ahead that
    fails with nothing received is forgotten; the host's own is begun when it asks.
    """

    def __init__(
        self, host: Host, device: UsbDevice, endpoint: Endpoint, on_asked: Callable[[], None]
    ) -> None:
        self._host = host
        self._device = device
        self._address = endpoint.address
        self._packet_size = endpoint.max_packet_size or 1
        self._on_asked = on_asked
        self._reads: deque[_Read] = deque()
        self._asked: deque[Submit] = deque()
        self._unlinked: Submit | None = None
        self._inbox = Inbox()
        self._errno: str | None = None
        self._began = self._list_is_over = False
        """In a command; a transfer of its scatter list came short, so what is left of that must not get the status."""
        self._idle: asyncio.Future[None] | None = None

    @property
    def left_over(self) -> bool:
        """Whether something of an earlier command is here that the host did not ask for."""
        return bool((self._reads or self._inbox) and not self._asked)

    def begin(self) -> None:
        """A command goes out; what the host asks for from here on belongs to that."""
        self._began, self._list_is_over = True, False

    def read_ahead(self, size: int, *, after: bool = False) -> None:
        """Begin a read that the host will ask for; ``after`` the one before it has ended."""
        transfer = self._device.submit_bulk(self._address, size, after=after)
        self._reads.append(_Read(transfer, size, after))
        transfer.add_done_callback(self._arrived)

    def submit(self, urb: Submit) -> None:
        self._on_asked()
        self._asked.append(urb)
        self._match()

    def unlink(self, urb: Submit) -> None:
        if urb is self._asked[0]:
            self._unlinked = urb
            self._cancel()
        else:
            self._asked.remove(urb)
            self._host.answer(urb, UrbResult(errno="ECONNRESET"))

    def fail(self, errno: str) -> None:
        """The command did not reach the device: the transfer that the host waits for, or its next one, ends so."""
        self._errno = errno
        self._cancel()
        self._match()

    def take_error(self) -> str | None:
        """The error of :meth:`fail`, if the host does not know it yet; it will by that."""
        errno, self._errno = self._errno, None
        return errno

    async def settle(self) -> None:
        if self._asked:
            return
        self._cancel()
        if self._reads:
            self._idle = self._idle or asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle])

    async def reset(self) -> None:
        await self.settle()
        self._inbox.clear()
        self._errno = None

    def _cancel(self) -> None:
        for read in self._reads:
            read.cancelled = True
            read.transfer.cancel()

    def _arrived(self, _: UsbTransfer) -> None:
        """Put what came into the inbox, in the order in which it was asked for."""
        while self._reads and self._reads[0].transfer.done():
            read = self._reads.popleft()
            result = outcome(read.transfer, self._host)
            if result is None:
                return
            if result.errno and not result.data and (read.cancelled or read.after or not self._asked):
                continue
            short = len(result.data) < read.size or len(result.data) % self._packet_size != 0
            self._inbox.put(result.data, ended=short or result.errno is not None, errno=result.errno)
        if not self._reads and self._idle is not None:
            self._idle.set_result(None)
            self._idle = None
        self._match()

    def _match(self) -> None:
        """Answer the host's transfers as far as possible; see to it that the first one left will be."""
        while self._asked:
            result = self._result(self._asked[0])
            if result is None:
                if not self._reads:
                    self.read_ahead(self._asked[0].length - self._inbox.size)
                return
            self._give(self._asked.popleft(), result)

    def _result(self, urb: Submit) -> UrbResult | None:
        if self._errno is not None:
            return UrbResult(errno=self.take_error())
        if self._list_is_over and urb.flags & SHORT_NOT_OK:
            return UrbResult(errno="ECONNRESET")
        result = self._inbox.take(urb.length)
        if result is None and urb is self._unlinked and not self._reads:
            return self._inbox.take_some(urb.length, "ECONNRESET")
        return result

    def _give(self, urb: Submit, result: UrbResult) -> None:
        if self._unlinked is urb:
            self._unlinked = None
        if urb.flags & SHORT_NOT_OK and len(result.data) < urb.length and not self._list_is_over:
            result.errno = result.errno or "EREMOTEIO"
            self._list_is_over = self._began
        self._host.answer(urb, result)


class Writes(Pipe):
    """Bulk OUT: commands, and data to the device. Both are answered before they are done."""

    def __init__(self, host: Host, device: UsbDevice, address: int) -> None:
        self.reads: Reads
        self._host = host
        self._device = device
        self._address = address
        self._data_left = 0
        self._early = False
        self._under_way: dict[UsbTransfer, Submit | None] = {}
        self._held: deque[Submit] = deque()
        self._tidying: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None

    def submit(self, urb: Submit) -> None:
        if self._tidying is not None:
            self._held.append(urb)
        elif (errno := self.reads.take_error()) is not None:
            self._data_left = 0
            self._host.answer(urb, UrbResult(errno=errno))
        elif self._data_left:
            self._data(urb)
        elif (command := Command.parse(urb.data)) is None:
            self._send(urb, early=False, is_data=False)
        elif self.reads.left_over:  # of a command that the host gave up; the device is done with that one
            self._held.append(urb)
            self._tidy(self.reads.reset)
        else:
            self._command(urb, command)

    def unlink(self, urb: Submit) -> None:
        if urb in self._held:
            self._held.remove(urb)
            self._host.answer(urb, UrbResult(errno="ECONNRESET"))
            return
        for transfer, waiting in self._under_way.items():
            if waiting is urb:
                transfer.cancel()

    async def settle(self) -> None:
        for transfer in self._under_way:
            transfer.cancel()
        if self._under_way:
            self._idle = self._idle or asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle])
        if self._tidying is not None:
            await asyncio.wait([self._tidying])
        self.data_is_over()

    def data_is_over(self) -> None:
        """What the host sends next is a command, whether or not it sent all data of the last one."""
        self._data_left = 0

    def _command(self, urb: Submit, command: Command) -> None:
        self.reads.begin()
        self._send(urb, early=True, is_data=False)
        self._early = command.length <= AHEAD
        if command.length and not command.is_in:
            self._data_left = command.length
            return
        if command.length:
            self.reads.read_ahead(command.length)
        # a request for the status that waits behind the one for data would do, but for emulated disks (QEMU's hang)
        self.reads.read_ahead(STATUS_SIZE, after=True)

    def _data(self, urb: Submit) -> None:
        self._data_left = max(self._data_left - len(urb.data), 0)
        is_last = not self._data_left
        self._send(urb, early=self._early, is_data=True)
        if is_last:
            self.reads.read_ahead(STATUS_SIZE)

    def _send(self, urb: Submit, *, early: bool, is_data: bool) -> None:
        """``is_data``: only if what goes before it, the command above all, was transferred."""
        transfer = self._device.submit_bulk(
            self._address,
            urb.data,
            zero_packet=bool(urb.flags & ZERO_PACKET),
            continued=is_data,
            lazy=early,  # the status, or the host's giving up, comes behind it
        )
        self._under_way[transfer] = None if early else urb
        if early:
            self._host.answer(urb, UrbResult(transferred=len(urb.data)))
        transfer.add_done_callback(partial(self._done, is_data))

    def _done(self, is_data: bool, transfer: UsbTransfer) -> None:
        urb = self._under_way.pop(transfer)
        result = outcome(transfer, self._host)
        if not self._under_way and self._idle is not None:
            self._idle.set_result(None)
            self._idle = None
        if result is None:
            return
        if urb is not None:
            if result.errno == "ECONNRESET":
                result.errno = self.reads.take_error() or result.errno
            self._host.answer(urb, result)
        elif result.errno == "EPIPE" and is_data:  # the device wants no more data; the status will say why
            self._tidy(partial(self._device.clear_halt, self._address))
        elif result.errno not in (None, "ECONNRESET"):
            self.data_is_over()
            self.reads.fail(result.errno)

    def _tidy(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work``; what the host sends is held back meanwhile."""
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().create_task(self._tidied(work))

    async def _tidied(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except LOST as error:
            self._host.lost(error)
            return
        except MyClerkError as error:
            log.debug("endpoint 0x%02x: %s", self._address, error)
        finally:
            self._tidying = None
        while self._held and self._tidying is None:
            self.submit(self._held.popleft())


def mass_storage(
    host: Host, device: UsbDevice, incoming: Endpoint, outgoing: Endpoint
) -> tuple[Reads, Writes]:
    """The two pipes of an interface with bulk-only transport."""
    writes = Writes(host, device, outgoing.address)
    writes.reads = Reads(host, device, incoming, writes.data_is_over)
    return writes.reads, writes
