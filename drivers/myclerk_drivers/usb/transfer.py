"""One transfer as it was asked for: its URBs for the kernel, and what became of them."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Sequence
from typing import Any

from myclerk_protocol.status import MyClerkError
from myclerk_protocol.usb_descriptors import IN

from ..context import Timer
from .usbfs import TYPES, Flag, IsochronousUrb, Urb

CANCELLED = "ECONNRESET"
KILLED = frozenset({errno.ENOENT, errno.ECONNRESET})
"""Status of URBs that were taken back: at the close of the file or the release of the interface, or by themselves."""

BULK = TYPES["bulk"]

Done = Callable[["Transfer"], None]


class Piece:
    """A URB, with the memory that it needs as long as the kernel has it."""

    __slots__ = ("address", "buffer", "size", "transfer", "urb")

    def __init__(self, transfer: Transfer, start: int, size: int, flags: int) -> None:
        self.transfer = transfer
        self.size = size
        self.urb = urb = transfer.new_urb()
        self.address = ctypes.addressof(urb)  # what names it to the kernel
        self.buffer: Any = None
        urb.type = transfer.kind
        urb.endpoint = transfer.endpoint
        urb.flags = flags
        if not size:
            return
        if transfer.outgoing is None:
            self.buffer = ctypes.create_string_buffer(size)
            urb.buffer = ctypes.addressof(self.buffer)
        else:  # the kernel copies it when the URB is submitted: it is read in place
            urb.buffer = _address(transfer.outgoing) + start
        urb.length = size

    def received(self, start: int, size: int) -> bytes:
        """What the device sent."""
        return ctypes.string_at(ctypes.addressof(self.buffer) + start, size) if size else b""


class Transfer:
    """A transfer, by and by on its way and done: then :attr:`error` is set or :meth:`result` ready.

    ``outgoing`` is what the kernel gets to read, None for transfers to the host; ``size`` is in bytes.
    """

    __slots__ = (
        "after", "cancelled", "continued", "done", "endpoint", "errno", "error", "finished", "flags", "in_kernel",
        "kind", "outgoing", "over", "pieces", "received", "size", "submitted", "tag", "timeout", "timer",
        "transferred",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        endpoint: int,
        *,
        data: bytes | None = None,
        length: int = 0,
        flags: int = 0,
        continued: bool = False,
        after: bool = False,
        tag: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self.kind = TYPES[kind]
        self.endpoint = endpoint
        self.done: Done = _nobody
        self.outgoing = data
        self.size = length if data is None else len(data)
        self.flags = flags
        self.continued = continued
        self.after = after
        self.tag = tag
        self.timeout = timeout
        self.timer: Timer | None = None
        self.pieces: list[Piece] = []
        self.submitted = 0  # bytes that the kernel has got URBs for
        self.in_kernel = 0  # URBs
        self.over = False  # a URB did not end as it should: nothing more is submitted
        self.finished = False
        self.received: list[bytes] = []
        self.transferred = 0
        self.errno: str | None = None
        self.cancelled: str | None = None  # what it ends with if it is cancelled: CANCELLED or ETIMEDOUT
        self.error: MyClerkError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether everything was transferred."""
        return self.finished and self.errno is None and self.error is None and self.transferred == self.size

    def is_void_behind(self, before: Transfer) -> bool:
        """Whether this is not to be done because of how the one before it on the endpoint has ended."""
        if self.continued and not before.is_complete:
            return True
        return self.after and (before.errno is not None or before.error is not None)

    def new_urb(self) -> Urb:
        """A URB with what does not depend on the piece."""
        return Urb()

    def next_piece(self, limit: int, continuation: bool) -> Piece:
        """The next URB, of ``limit`` bytes at most if it is a bulk transfer; others are never split.

        ``continuation``: the kernel drops it when the one before was not done in full. Pieces to the host must not be
        short then, except for the last one.
        """
        start = self.submitted
        size = self.size - start
        if self.kind == BULK:
            size = min(limit, size)
        last = start + size >= self.size
        flags = self.flags
        if not last:
            flags = (flags | Flag.SHORT_NOT_OK if self.outgoing is None else flags) & ~Flag.ZERO_PACKET
        if continuation and (start or self.continued) and self.kind == BULK:
            flags |= Flag.BULK_CONTINUATION
        return Piece(self, start, size, flags)

    @property
    def all_submitted(self) -> bool:
        """Whether no further URB is due."""
        if self.over or self.cancelled is not None:
            return True
        return bool(self.pieces) and self.submitted >= self.size

    def settle(self) -> None:
        """Nothing of it is in the kernel any more: it has ended."""
        if self.cancelled is not None and not self.over and (not self.pieces or self.submitted < self.size):
            self.errno = self.cancelled
        self.finished = True
        self.pieces.clear()

    def returned(self, piece: Piece) -> None:
        """The kernel is done with a URB."""
        urb = piece.urb
        self.in_kernel -= 1
        if urb.actual > 0:
            self.transferred += urb.actual
            if self.outgoing is None:
                self.received.append(piece.received(0, urb.actual))
        if urb.status and not self.over:
            self.over = True
            self.errno = self._name(-urb.status)

    def result(self) -> dict[str, Any]:
        """The answer."""
        answer: dict[str, Any] = {"transferred": self.transferred}
        if self.outgoing is None:
            received = self.received
            answer["data"] = received[0] if len(received) == 1 else b"".join(received)
        if self.errno is not None:
            answer["errno"] = self.errno
        return answer

    def _name(self, number: int) -> str | None:
        if number == errno.EREMOTEIO and not self.flags & Flag.SHORT_NOT_OK:
            return None  # a piece was short, which ends the transfer and is no error of it
        if number in KILLED:
            return self.cancelled or CANCELLED
        return errno.errorcode.get(number, str(number))


class ControlTransfer(Transfer):
    """A control transfer: the kernel wants its setup packet in front of the data."""

    def __init__(self, setup: bytes, data: bytes | None, length: int, **options: Any) -> None:
        to_host = bool(setup[0] & IN)
        super().__init__("control", 0, length=8 + length, **options)
        if not to_host:
            self.outgoing = setup + (data or b"")
            self.size = len(self.outgoing)
        self._setup = setup

    __slots__ = ("_setup",)

    def next_piece(self, limit: int, continuation: bool) -> Piece:
        piece = Piece(self, 0, self.size, self.flags)
        if self.outgoing is None:
            piece.buffer[:8] = self._setup
        return piece

    def returned(self, piece: Piece) -> None:
        urb = piece.urb
        self.in_kernel -= 1
        self.transferred = max(urb.actual, 0)
        if self.outgoing is None:
            self.received.append(piece.received(8, self.transferred))
        if urb.status:
            self.over = True
            self.errno = self._name(-urb.status)


class IsochronousTransfer(Transfer):
    """An isochronous transfer of ``packets`` (bytes of each). ``data`` is as long as all of them."""

    __slots__ = ("_frame", "_lengths", "_packet_errors", "packets")

    def __init__(self, endpoint: int, packets: Sequence[int], data: bytes | None, **options: Any) -> None:
        super().__init__(
            "isochronous",
            endpoint,
            data=data,
            length=sum(packets),
            flags=Flag.ISOCHRONOUS_ASAP,
            **options,
        )
        self.packets = packets
        self._lengths: list[int] = [0] * len(packets)
        self._packet_errors: list[tuple[int, str]] = []
        self._frame: int | None = None

    def new_urb(self) -> Urb:
        urb = IsochronousUrb()
        urb.packet_count = len(self.packets)
        for packet, size in zip(urb.packets, self.packets, strict=False):
            packet.length = size
        return urb

    def next_piece(self, limit: int, continuation: bool) -> Piece:
        return Piece(self, 0, self.size, self.flags)

    def returned(self, piece: Piece) -> None:
        urb = piece.urb
        assert isinstance(urb, IsochronousUrb)
        self.in_kernel -= 1
        start = 0
        for number, size in enumerate(self.packets):
            packet = urb.packets[number]
            self._lengths[number] = packet.actual
            if packet.status:
                name = errno.errorcode.get(-packet.status, str(-packet.status))
                self._packet_errors.append((number, name))
            if self.outgoing is None and packet.actual:
                self.received.append(piece.received(start, packet.actual))
            start += size
        self._frame = urb.start_frame & 0xFFFFFFFF
        if urb.status:
            self.errno = self._name(-urb.status)
        self.over = True

    def result(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"lengths": self._lengths}
        if self._frame is not None:
            answer["start_frame"] = self._frame
        if self.outgoing is None:
            answer["data"] = b"".join(self.received)
        if self._packet_errors:
            answer["errors"] = self._packet_errors
        if self.errno is not None:
            answer["errno"] = self.errno
        return answer


def setup_packet(request_type: int, request: int, value: int, index: int, length: int) -> bytes:
    """The eight bytes that begin a control transfer."""
    return bytes((request_type, request)) + b"".join(
        number.to_bytes(2, "little") for number in (value, index, length)
    )


def _nobody(transfer: Transfer) -> None:
    """Nobody has asked for it yet."""


def _address(data: bytes) -> int:
    pointer = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)
    return pointer.value or 0
