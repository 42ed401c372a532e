"""Pipes: how transfers of one endpoint get to the board and their results back. These do it plainly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from myclerk_protocol.status import (
    BadRequest,
    DeviceGone,
    InvalidSession,
    MyClerkError,
    TooLarge,
    TooMany,
    Unsupported,
)

from ...errors import ConnectionLost
from ..device import UsbDevice
from ..transfers import IsochronousResult, UrbResult, UsbTransfer
from ..usbip.urbs import SHORT_NOT_OK, ZERO_PACKET, Submit

PACKETS = 128
"""Isochronous packets of one request to the board, which is what usbfs takes."""

LOST = (DeviceGone, ConnectionLost, InvalidSession)
"""Errors after which there is no device any more."""
REFUSED: tuple[tuple[type[MyClerkError], str], ...] = (
    (BadRequest, "EINVAL"),
    (TooLarge, "EINVAL"),
    (Unsupported, "EOPNOTSUPP"),
    (TooMany, "ENOMEM"),
)
"""How URBs end that the board refused."""


class Host(Protocol):
    """What a pipe sees of the host that sent the URBs."""

    def answer(self, urb: Submit, result: UrbResult) -> None:
        """Give an URB back, once."""

    def lost(self, error: BaseException) -> None:
        """The device is gone, or the board; nothing is answered any more."""


class Pipe(ABC):
    """The transfers of one endpoint."""

    @abstractmethod
    def submit(self, urb: Submit) -> None:
        """Take an URB; the host gets its answer when it is done."""

    @abstractmethod
    def unlink(self, urb: Submit) -> None:
        """Have an URB end that was not answered yet. The answer tells whether it was done before."""

    async def settle(self) -> None:  # noqa: B027 (most pipes do nothing of their own accord)
        """End what was begun before the host asked for it; return when it has ended."""

    async def reset(self) -> None:
        """The endpoint begins anew: settle, and forget what was left."""
        await self.settle()

    async def close(self) -> None:  # noqa: B027
        """The host is gone: leave nothing running here. The board cancels what is under way at the detach."""

    @property
    def ahead(self) -> bool:
        """Whether the host takes transfers for done that are still under way, with no status to come."""
        return False


def outcome(transfer: UsbTransfer, host: Host) -> UrbResult | None:
    """How a transfer ended; None if the device was lost, of which ``host`` knows then."""
    error = transfer.exception()
    if error is None:
        return transfer.result()
    if isinstance(error, LOST) or not isinstance(error, MyClerkError):
        host.lost(error)
        return None
    return UrbResult(errno=next((name for kind, name in REFUSED if isinstance(error, kind)), "EIO"))


class TransferPipe(Pipe):
    """Each URB is a transfer of its own, sent at once and answered when it has ended."""

    def __init__(self, host: Host, device: UsbDevice, address: int) -> None:
        self._host = host
        self._device = device
        self._address = address
        self._transfers: dict[int, UsbTransfer] = {}

    @abstractmethod
    def _send(self, urb: Submit) -> UsbTransfer: ...

    def submit(self, urb: Submit) -> None:
        transfer = self._transfers[urb.seqnum] = self._send(urb)
        transfer.add_done_callback(partial(self._done, urb))

    def unlink(self, urb: Submit) -> None:
        self._transfers[urb.seqnum].cancel()

    def _done(self, urb: Submit, transfer: UsbTransfer) -> None:
        del self._transfers[urb.seqnum]
        result = outcome(transfer, self._host)
        if result is not None:
            self._host.answer(urb, result)


class BulkPipe(TransferPipe):
    """A bulk endpoint."""

    def _send(self, urb: Submit) -> UsbTransfer:
        return self._device.submit_bulk(
            self._address,
            urb.length if urb.is_in else urb.data,
            short_not_ok=bool(urb.flags & SHORT_NOT_OK),
            zero_packet=bool(urb.flags & ZERO_PACKET),
        )


class InterruptPipe(TransferPipe):
    """An interrupt endpoint."""

    def _send(self, urb: Submit) -> UsbTransfer:
        return self._device.submit_interrupt(self._address, urb.length if urb.is_in else urb.data)


class IsochronousPipe(Pipe):
    """An isochronous endpoint. An URB of very many packets is done in several transfers."""

    def __init__(self, host: Host, device: UsbDevice, address: int) -> None:
        self._host = host
        self._device = device
        self._address = address
        self._transfers: dict[int, list[UsbTransfer]] = {}

    def submit(self, urb: Submit) -> None:
        send = self._device.submit_isochronous
        transfers = [send(self._address, *run) for run in _runs(urb)]
        self._transfers[urb.seqnum] = transfers
        for transfer in transfers:
            transfer.add_done_callback(partial(self._done, urb))

    def unlink(self, urb: Submit) -> None:
        for transfer in self._transfers[urb.seqnum]:
            transfer.cancel()

    def _done(self, urb: Submit, _: UsbTransfer) -> None:
        transfers = self._transfers.get(urb.seqnum)
        if transfers is None or not all(transfer.done() for transfer in transfers):
            return
        del self._transfers[urb.seqnum]
        results = [outcome(transfer, self._host) for transfer in transfers]
        found = [result for result in results if result is not None]
        if len(found) == len(results):
            self._host.answer(urb, found[0] if len(found) == 1 else _joined(urb, found))


def _runs(urb: Submit) -> Iterator[tuple[list[int], bytes | None]]:
    """The packets' lengths and, for OUT, their data, so many at a time as the board takes."""
    for start in range(0, len(urb.packets), PACKETS):
        places = urb.packets[start : start + PACKETS]
        data = None if urb.is_in else b"".join([urb.data[p.offset : p.offset + p.length] for p in places])
        yield [place.length for place in places], data


def packet_results(result: UrbResult, count: int) -> tuple[Sequence[int], Mapping[int, str]]:
    """Bytes transferred of ``count`` packets, and errors by number; nothing of all if the URB was not done."""
    if isinstance(result, IsochronousResult) and len(result.lengths) == count:
        return result.lengths, result.errors
    return [0] * count, dict.fromkeys(range(count), result.errno or "EXDEV")


def _joined(urb: Submit, results: Sequence[UrbResult]) -> IsochronousResult:
    """The results of one URB's runs as one."""
    lengths: list[int] = []
    errors: dict[int, str] = {}
    for result in results:
        start = len(lengths)
        some, failed = packet_results(result, min(PACKETS, len(urb.packets) - start))
        lengths += some
        errors |= {start + number: errno for number, errno in failed.items()}
    return IsochronousResult(
        b"".join([result.data for result in results]),
        sum(lengths),
        next((result.errno for result in results if result.errno), None),
        lengths,
        errors,
        results[0].start_frame if isinstance(results[0], IsochronousResult) else 0,
    )
