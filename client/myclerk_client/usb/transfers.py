"""USB transfers under way: one URB each, or a large one in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from myclerk_protocol.status import HardwareError, MyClerkError, OperationTimeout

SENTENCES = {
    "EPIPE": "the endpoint stalled; clear its halt before the next transfer",
    "EREMOTEIO": "the device sent less than was asked for",
    "EOVERFLOW": "the device sent more than was asked for",
    "ECONNRESET": "the transfer was cancelled",
    "EPROTO": "the device did not answer properly (a bus error)",
    "EILSEQ": "the data was damaged on the bus",
    "ETIME": "the device did not answer",
    "EXDEV": "not all packets were transferred",
}


@dataclass(slots=True)
class UrbResult:
    """How a transfer ended: ``data`` received, bytes ``transferred``, and ``errno`` ("EPIPE") if it ended badly."""

    data: bytes = b""
    transferred: int = 0
    errno: str | None = None

    def check(self, what: str) -> None:
        """Raise what a bad end means: OperationTimeout, else HardwareError; what was transferred is in its details."""
        if self.errno is None:
            return
        done = {"data": self.data, "transferred": self.transferred}
        if self.errno == "ETIMEDOUT":
            raise OperationTimeout(f"{what}: not done in time", **done)
        raise HardwareError(f"{what}: {SENTENCES.get(self.errno, self.errno)}", errno=self.errno, **done)


@dataclass(slots=True)
class IsochronousResult(UrbResult):
    """The packets of an isochronous transfer: ``lengths`` transferred, and ``errors`` by packet number.

    ``data`` holds what arrived, one packet behind the other, without gaps; :meth:`packets` takes it apart.
    ``start_frame`` is the bus's frame number of the first one.
    """

    lengths: Sequence[int] = ()
    errors: Mapping[int, str] = field(default_factory=dict)
    start_frame: int = 0

    def packets(self) -> list[bytes]:
        """What arrived in each packet."""
        found, start = [], 0
        for length in self.lengths:
            found.append(self.data[start : start + length])
            start += length
        return found


class UsbTransfer:
    """A transfer on its way, or done. Await it for its :class:`UrbResult`.

    It raises only what concerns more than this URB: DeviceGone, SessionLost, ConnectionLost, BadRequest, TooMany.
    """

    __slots__ = ("_callbacks", "_error", "_future", "_result")

    def __init__(self) -> None:
        self._result: UrbResult | None = None
        self._error: BaseException | None = None
        self._future: asyncio.Future[UrbResult] | None = None
        self._callbacks: list[Callable[[UsbTransfer], None]] | None = None

    def done(self) -> bool:
        """Whether it has ended."""
        return self._result is not None or self._error is not None

    def result(self) -> UrbResult:
        """How it ended. Raises the error; asyncio.InvalidStateError while it is under way."""
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise asyncio.InvalidStateError("the transfer is under way")
        return self._result

    def exception(self) -> BaseException | None:
        """The error that :meth:`result` would raise, or None."""
        return self._error

    def add_done_callback(self, callback: Callable[[UsbTransfer], None]) -> None:
        """Call back in the very moment it ends; at once if it has ended. ``callback`` must not raise."""
        if self.done():
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def cancel(self) -> None:
        """Have the board cancel it. It ends as usual, with errno ECONNRESET or as it did before that arrived.

        Nothing happens to one that has ended, as every transfer of this class itself has.
        """

    @property
    def future(self) -> asyncio.Future[UrbResult]:
        """A future of the result. Cancelling it does not cancel the transfer."""
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
            if self.done():
                self._tell(self._future)
        return self._future

    def __await__(self) -> Generator[Any, None, UrbResult]:
        return self.future.__await__()

    def _end(self, result: UrbResult | None, error: BaseException | None = None) -> None:
        self._result, self._error = result, error
        if self._future is not None and not self._future.done():
            self._tell(self._future)
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    def _tell(self, future: asyncio.Future[UrbResult]) -> None:
        if self._result is not None:
            future.set_result(self._result)
        elif self._error is not None:
            future.set_exception(self._error)
            future.exception()  # a caller that went away is no "never retrieved" warning


class SingleTransfer(UsbTransfer):
    """One request. It is what the link sets the answer on, so that it ends in the moment the answer arrives."""

    __slots__ = ("_cancel", "tag")

    def __init__(self, tag: int, cancel: Callable[[int], None]) -> None:
        super().__init__()
        self.tag = tag
        self._cancel = cancel

    def cancel(self) -> None:
        if not self.done():
            self._cancel(self.tag)

    def set_result(self, fields: Mapping[str, Any]) -> None:
        """The answer arrived."""
        if "lengths" in fields:
            self._end(isochronous_result(fields))
        else:
            self._end(UrbResult(fields.get("data", b""), fields.get("transferred", 0), fields.get("errno")))

    def set_exception(self, error: BaseException) -> None:
        """There will be no answer, or a failure."""
        self._end(None, error)


class SplitTransfer(UsbTransfer):
    """A transfer that is done in ``pieces``; all but the last must be transferred in full, or nothing follows.

    ``short_ok``: a piece that came short is no error, only the end.
    """

    __slots__ = ("_left", "_pieces", "_short_ok")

    def __init__(self, pieces: Sequence[UsbTransfer], short_ok: bool) -> None:
        super().__init__()
        self._pieces = pieces
        self._short_ok = short_ok
        self._left = len(pieces)
        for piece in pieces:
            piece.add_done_callback(self._piece_done)

    def cancel(self) -> None:
        for piece in self._pieces:
            piece.cancel()

    def _piece_done(self, _: UsbTransfer) -> None:
        self._left -= 1
        if self._left:
            return
        if error := next((e for piece in self._pieces if (e := piece.exception())), None):
            self._end(None, error)
            return
        results = [piece.result() for piece in self._pieces]
        errno = next((result.errno for result in results if result.errno), None)
        if errno == "EREMOTEIO" and self._short_ok:
            errno = None
        data = b"".join([result.data for result in results])
        self._end(UrbResult(data, sum(result.transferred for result in results), errno))


def isochronous_result(fields: Mapping[str, Any]) -> IsochronousResult:
    """The result that an answer, or an event of a poll, describes."""
    lengths = fields.get("lengths", ())
    return IsochronousResult(
        fields.get("data", b""),
        sum(lengths),
        fields.get("errno"),
        lengths,
        dict(fields.get("errors", ())),
        fields.get("start_frame", 0),
    )


def failed(error: MyClerkError) -> UsbTransfer:
    """A transfer that could not be sent."""
    transfer = UsbTransfer()
    transfer._end(None, error)
    return transfer
