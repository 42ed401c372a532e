"""Transfers of an attached USB device at the level of single URBs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, cast

from myclerk_protocol.status import MyClerkError

from ..held import Held
from ..link import Link
from .transfers import SingleTransfer, SplitTransfer, UsbTransfer, failed

PIECE = 128 << 10
"""Bytes of one USB_BULK_TRANSFER; a longer transfer is sent in pieces of this size, so that one end seals a piece
while the other opens the one before."""
MOST_CANCELS = 1024


class Urbs(Held):
    """Sends URBs at once, in the order of the calls. These methods raise nothing.

    The transfer that they return ends with a UrbResult, whatever the URB's status is.
    """

    def __init__(self, link: Link, resource: str, handle: int) -> None:
        super().__init__(link, resource, handle)
        self._tags = itertools.count(1)
        self._cancelled: list[int] = []

    def submit_control(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        *,
        data: bytes | None = None,
        length: int | None = None,
        timeout: float | None = None,
    ) -> UsbTransfer:
        """Send a control URB: ``data`` to the device, or up to ``length`` bytes from it."""
        fields = {
            "request_type": request_type, "request": request, "value": value, "index": index,
            "data": data, "length": length, "timeout": timeout,
        }  # fmt: skip
        return self._submit("USB_CONTROL_TRANSFER", fields)

    def submit_bulk(
        self,
        endpoint: int,
        data: bytes | int,
        *,
        short_not_ok: bool = False,
        zero_packet: bool = False,
        continued: bool = False,
        after: bool = False,
        lazy: bool = False,
        timeout: float | None = None,
    ) -> UsbTransfer:
        """Send a bulk URB of any length: ``data`` to the device, or that many bytes from it.

        ``short_not_ok``: fewer bytes are the error EREMOTEIO. ``zero_packet``: end what fills its last packet with an
        empty one. ``continued``: it is done only if the transfer before it on this endpoint was transferred in full.
        ``after``: it begins when that one has ended, and is cancelled if that ended badly. ``lazy``: the end of one
        that is sent in full may be told with that of another transfer, or when it is cancelled.
        """
        size = data if isinstance(data, int) else len(data)
        pieces = []
        for start in range(0, max(size, 1), PIECE):
            last = start + PIECE >= size
            fields: dict[str, Any] = {"endpoint": endpoint, "timeout": timeout}
            if isinstance(data, int):
                fields["length"] = min(PIECE, size - start)
                fields["short_not_ok"] = short_not_ok or not last or None
            else:
                fields["data"] = data if size <= PIECE else data[start : start + PIECE]
                fields["zero_packet"] = (zero_packet and last) or None
                fields["lazy"] = lazy or None
            fields["after"] = (after and not start) or None
            fields["continued"] = continued or start > 0 or None
            pieces.append(self._submit("USB_BULK_TRANSFER", fields))
            if not last and not isinstance(data, int):
                self._link.flush()
        return pieces[0] if len(pieces) == 1 else SplitTransfer(pieces, short_ok=not short_not_ok)

    def submit_interrupt(
        self, endpoint: int, data: bytes | int, *, timeout: float | None = None
    ) -> UsbTransfer:
        """Send an interrupt URB: ``data`` to the device, or up to that many bytes from it; 65,536 at most."""
        key = "length" if isinstance(data, int) else "data"
        return self._submit("USB_INTERRUPT_TRANSFER", {"endpoint": endpoint, key: data, "timeout": timeout})

    def submit_isochronous(
        self,
        endpoint: int,
        packets: Sequence[int],
        data: bytes | None = None,
        *,
        timeout: float | None = None,
    ) -> UsbTransfer:
        """Send an isochronous URB of 1 to 128 packets of these sizes; ends with an :class:`IsochronousResult`."""
        fields = {"endpoint": endpoint, "packets": packets, "data": data, "timeout": timeout}
        return self._submit("USB_ISOCHRONOUS_TRANSFER", fields)

    def _submit(self, operation: str, fields: dict[str, Any]) -> UsbTransfer:
        try:
            self._check()
            tag = next(self._tags) & 0xFFFFFFFF
            transfer = SingleTransfer(tag, self._cancel)
            answer = cast("asyncio.Future[dict[str, Any]]", transfer)  # it does what the link does with one
            self._link.send(operation, {"handle": self._handle, "tag": tag, **fields}, future=answer)
        except MyClerkError as error:
            return failed(error)
        return transfer

    def _cancel(self, tag: int) -> None:
        if not self._cancelled:  # all that are cancelled in this turn of the loop leave as one request
            self._link.loop.call_soon(self._send_cancels)
        self._cancelled.append(tag)

    def _send_cancels(self) -> None:
        tags, self._cancelled = self._cancelled, []
        if self._link.closed or self._link.generation != self._generation:
            return
        for start in range(0, len(tags), MOST_CANCELS):
            fields = {"handle": self._handle, "cancel": tags[start : start + MOST_CANCELS]}
            future, _ = self._link.send("USB_CLEAR_HALT", fields)
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
