"""Carries the transfers of one device into the kernel, in their order, and out of it as they are done."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from myclerk_protocol.status import BadRequest, DeviceGone, NotFound, OperationError, TooMany

from ..bus_thread import BusThread
from ..context import DriverContext, Timer
from .faults import refusal
from .memory import Memory
from .slow_calls import SlowCalls
from .transfer import CANCELLED, Done, Piece, Transfer
from .usbfs import PIECE_WITHOUT_LISTS, Capability, Usbfs

T = TypeVar("T")

MOST_TRANSFERS = 1024
"""Transfers that one device may have on their way, and"""
MOST_BYTES = 16 << 20
"""what their buffers may have together: usbfs itself gives no more to all devices, unless it is told to."""
MOST_REAPED = 64
"""URBs that are taken from the kernel before the event loop goes on with something else."""
SHUT_DOWN = frozenset({errno.ENODEV, errno.ESHUTDOWN})
BUS_ERRORS = frozenset({errno.EPROTO, errno.EILSEQ, errno.ETIME})
DOUBT = 0.5
"""Seconds that the outcome of transfers is held back behind a bus error. A device that was pulled out fails like this
until its hub says so, which takes up to a quarter of a second; then all of them end as gone."""


class _Endpoint:
    """One endpoint's order: the transfers that wait, and the last one that went to the kernel."""

    __slots__ = ("last", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Transfer] = deque()
        self.last: Transfer | None = None


class Engine:
    """The transfers of an open device. Everything here is for the event loop's thread.

    On one endpoint transfers are done in the order of :meth:`submit`, on several independently. A slow call
    (:meth:`exclusively`) takes its place in the order of all: the kernel does one call on a device at a time, so
    nothing is submitted or reaped meanwhile. Cancelling always works at once on what waits here, and on what is in the
    kernel as soon as the kernel lets it.
    """

    def __init__(self, context: DriverContext, usbfs: Usbfs, name: str, memory: Memory) -> None:
        capabilities = usbfs.capabilities
        self._context = context
        self._usbfs = usbfs
        self._name = name
        self._memory = memory
        self._continuation = Capability.BULK_CONTINUATION in capabilities
        lists = bool(capabilities & (Capability.SCATTER_GATHER | Capability.NO_PACKET_SIZE_LIMIT))
        splits = not Capability.SCATTER_GATHER & capabilities and (self._continuation or not lists)
        self._piece = PIECE_WITHOUT_LISTS if splits else 1 << 30
        self._endpoints: dict[int, _Endpoint] = {}
        self._pieces: dict[int, Piece] = {}
        self._transfers: set[Transfer] = set()
        self._tags: dict[int, Transfer] = {}
        self._bytes = 0
        self._shaken = False
        self._doubtful: list[Piece] = []
        self._doubt: Timer | None = None
        self._gone: OperationError | None = None
        self._slow = SlowCalls(name, self._hold, self._go_on, self._admit)
        self._discards = BusThread(f"myclerk {name} cancels")
        self._watched = False
        self._watch()

    # -- transfers -----------------------------------------------------------------------------------------

    def submit(self, transfer: Transfer, done: Done) -> None:
        """Do a transfer; ``done`` is called when it has ended, with its error set or its result ready.

        Raises DeviceGone; BadRequest when its tag is in use; TooMany above the limits.
        """
        self.check()
        transfer.done = done
        if transfer.tag is not None and transfer.tag in self._tags:
            raise BadRequest(f"a transfer with tag {transfer.tag} is on its way", key="tag")
        if len(self._transfers) >= MOST_TRANSFERS or self._bytes + transfer.size > MOST_BYTES:
            raise TooMany(
                f"{self._name} has {len(self._transfers)} transfers of {self._bytes} bytes on their way; "
                f"{MOST_TRANSFERS} of {MOST_BYTES} bytes are the most: await some"
            )
        self._transfers.add(transfer)
        self._bytes += transfer.size
        if transfer.tag is not None:
            self._tags[transfer.tag] = transfer
        if transfer.timeout is not None:
            stop = partial(self.stop, [transfer], "ETIMEDOUT")
            transfer.timer = self._context.call_later(transfer.timeout, stop)
        if self._slow.running:
            self._slow.wait(transfer)
        else:
            self._admit(transfer)

    def cancel(self, tags: Iterable[int]) -> None:
        """Cancel the transfers with these tags; tags of others, and of none, are passed over."""
        self.stop([self._tags[tag] for tag in tags if tag in self._tags], CANCELLED)

    def stop(self, transfers: Iterable[Transfer], reason: str) -> None:
        """End transfers early: with ``reason`` as errno, unless the kernel is done with them already."""
        in_kernel: list[Piece] = []
        for transfer in transfers:
            if transfer.finished or transfer.cancelled is not None:
                continue
            transfer.cancelled = reason
            if transfer.in_kernel:
                in_kernel += (piece for piece in transfer.pieces if piece.address in self._pieces)
            else:
                self._finish(transfer)
        if in_kernel:  # the last one first, so that none begins because the one before it ended
            urbs = [piece.urb for piece in reversed(in_kernel)]
            self._discards.submit(partial(self._usbfs.discard, urbs), limited=False)
        self.pump()

    def pump(self) -> None:
        """Submit what can be submitted now."""
        for endpoint in list(self._endpoints.values()):
            if endpoint.waiting:
                self._advance(endpoint)

    # -- slow calls ----------------------------------------------------------------------------------------

    def exclusively(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Run a slow call on a thread: behind what was submitted before, before what is submitted after it.

        Its place is taken now, not when the future is awaited. Raises DeviceGone.
        """
        self.check()
        return self._slow.run(function)

    def check(self) -> None:
        """Raise DeviceGone when the device is."""
        if self._gone is not None:
            raise self._gone

    def close(self, give_back: Callable[[], None]) -> asyncio.Future[None]:
        """Cancel what is on its way, then run ``give_back`` on a thread, behind slow calls under way. Once."""
        self._unwatch()
        self._gone = self._gone or NotFound(f"{self._name} was detached")
        self._forget_urbs()
        self._slow.refuse(self._gone)
        for transfer in list(self._transfers):
            transfer.errno = CANCELLED
            self._finish(transfer)
        self._memory.freed()
        self._discards.close()
        return self._slow.close(give_back)

    # -- into the kernel -----------------------------------------------------------------------------------

    def _admit(self, transfer: Transfer) -> None:
        if transfer.finished:  # cancelled while it waited for a slow call
            return
        endpoint = self._endpoints.get(transfer.endpoint)
        if endpoint is None:
            endpoint = self._endpoints[transfer.endpoint] = _Endpoint()
        endpoint.waiting.append(transfer)
        if len(endpoint.waiting) == 1:
            self._advance(endpoint)

    def _advance(self, endpoint: _Endpoint) -> None:
        """Submit what waits on an endpoint, as far as its order and the kernel's memory allow."""
        waiting = endpoint.waiting
        while waiting and not self._slow.running and self._gone is None:
            transfer = waiting[0]
            before = endpoint.last
            if not transfer.finished:
                if before is not None and not transfer.pieces:
                    if before.finished and transfer.is_void_behind(before):
                        transfer.cancelled = CANCELLED
                        self._finish(transfer)
                    elif not before.finished and (
                        transfer.after or (transfer.continued and not self._continuation)
                    ):
                        return  # _finish of the one before comes back here
                if not transfer.finished and not self._submit_pieces(transfer):
                    return
            if waiting and waiting[0] is transfer:
                waiting.popleft()
            endpoint.last = transfer

    def _submit_pieces(self, transfer: Transfer) -> bool:
        """Submit the URBs of a transfer; False when there is no memory for all of them now."""
        while not transfer.all_submitted:
            piece = transfer.next_piece(self._piece, self._continuation)
            try:
                self._usbfs.submit(piece.urb)
            except OSError as error:
                if error.errno == errno.ENOMEM and self._memory.starve(self.pump):
                    return False
                self._refused(transfer, error)
                break
            self._pieces[piece.address] = piece
            transfer.pieces.append(piece)
            transfer.submitted += piece.size
            transfer.in_kernel += 1
            self._memory.in_kernel += 1
        return True

    def _refused(self, transfer: Transfer, error: OSError) -> None:
        """The kernel did not take a URB."""
        if error.errno in SHUT_DOWN:
            self._lost()
        elif transfer.pieces or (transfer.continued and error.errno == errno.EREMOTEIO):
            transfer.cancelled = transfer.cancelled or CANCELLED  # what was before it failed, and says how
            if not transfer.in_kernel:
                self._finish(transfer)
        else:
            transfer.error = refusal(self._name, transfer.endpoint, error)
            self._finish(transfer)

    # -- out of the kernel ---------------------------------------------------------------------------------

    def _writable(self) -> None:
        """So the kernel says that URBs are done, or that the device has left."""
        self._reap()

    def _reap(self) -> bool:
        """Take URBs from the kernel; whether there were any."""
        reaped = False
        try:
            for _ in range(MOST_REAPED):
                if self._gone is not None or (address := self._usbfs.reap()) is None:
                    break
                piece = self._pieces.pop(address)
                self._memory.in_kernel -= 1
                reaped = True
                self._judge(piece)
        except OSError:
            self._lost()
        if reaped:
            self._memory.freed()
        return reaped

    def _judge(self, piece: Piece) -> None:
        """Take the outcome of a URB, or put it aside for as long as the device may have been pulled out."""
        transfer, status = piece.transfer, -piece.urb.status
        if status in SHUT_DOWN or (status == errno.ENOENT and transfer.cancelled is None):
            if not self._shaken:
                self._lost()
                return
            transfer.cancelled = transfer.cancelled or CANCELLED
            piece.urb.status = -errno.ENOENT
        if status in BUS_ERRORS and self._doubt is None:
            self._doubt = self._context.call_later(DOUBT, self._believe)
        if self._doubt is not None:
            self._doubtful.append(piece)
        else:
            self._returned(piece)

    def _believe(self) -> None:
        """The device is still there: these were errors on the bus."""
        pieces, self._doubtful, self._doubt = self._doubtful, [], None
        for piece in pieces:
            if self._gone is None:
                self._returned(piece)

    def _returned(self, piece: Piece) -> None:
        transfer = piece.transfer
        transfer.returned(piece)
        if not transfer.in_kernel and transfer.all_submitted:
            self._finish(transfer)

    def _finish(self, transfer: Transfer) -> None:
        if transfer.finished:
            return
        transfer.settle()
        self._transfers.discard(transfer)
        self._bytes -= transfer.size
        if transfer.tag is not None:
            self._tags.pop(transfer.tag, None)
        if transfer.timer is not None:
            transfer.timer.cancel()
        transfer.done(transfer)
        endpoint = self._endpoints.get(transfer.endpoint)
        if endpoint is not None and endpoint.last is transfer and endpoint.waiting:
            self._advance(endpoint)

    def _lost(self) -> None:
        """The device has left: everything fails at once."""
        if self._gone is not None:
            return
        self._gone = DeviceGone(f"{self._name} was unplugged", errno="ENODEV")
        self._unwatch()
        self._forget_urbs()
        self._slow.refuse(self._gone)
        for transfer in list(self._transfers):
            transfer.error = self._gone
            self._finish(transfer)
        self._memory.freed()

    def _forget_urbs(self) -> None:
        """They are never reaped: the kernel writes to their memory in no other way."""
        self._memory.in_kernel -= len(self._pieces)
        self._pieces.clear()
        self._doubtful.clear()
        if self._doubt is not None:
            self._doubt.cancel()

    # -- slow calls ----------------------------------------------------------------------------------------

    def _hold(self) -> None:
        """A slow call begins: the kernel would let us wait."""
        self._unwatch()

    def _go_on(self) -> bool:
        """A slow call has ended. What it has shut down was not shut down by the device's leaving."""
        if self._gone is None:
            self._shaken = True
            while self._reap():
                pass
            self._shaken = False
        if self._gone is not None:
            return False
        self._watch()
        self.pump()
        return True

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._context.add_writer(self._usbfs.fd, self._writable)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._context.remove_writer(self._usbfs.fd)
