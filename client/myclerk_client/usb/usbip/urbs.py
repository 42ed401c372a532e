"""USB/IP while a device is attached: URBs and their results (Documentation/usb/usbip_protocol.rst of the kernel).

Bytes in, commands out, results to bytes; no I/O. The host (a kernel's vhci_hcd, or a client of `usb serve`) sends
CMD_SUBMIT and CMD_UNLINK, this side answers with RET_SUBMIT and RET_UNLINK. Whatever does not fit is refused, in both
directions: vhci_hcd believes a RET_SUBMIT, so one with a wrong length or offset would overwrite memory of the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from myclerk_protocol.status import MalformedMessage

CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
_HEADER = struct.Struct(">5I Ii i i i 8s")
_UNLINK = struct.Struct(">5I I 24x")
_RETURNED = struct.Struct(">5I i i i i i 8x")
_UNLINKED = struct.Struct(">5I i 24x")
_PACKET = struct.Struct(">4I")
_PACKET_RESULT = struct.Struct(">3I i")

SHORT_NOT_OK, ZERO_PACKET = 0x0001, 0x0040
"""Transfer flags that mean something to a device (linux/usbip.h)."""
MAX_TRANSFER = 16 << 20
"""Bytes of one URB. usbfs on the board has no more memory than that either."""
MAX_PACKETS = 1024
"""Isochronous packets of one URB, as in the kernel."""
NOT_ISOCHRONOUS = -1
"""What the specification has for the number of packets then; Linux itself sends 0."""

LINUX_ERRNO = {
    "EPERM": 1, "ENOENT": 2, "EIO": 5, "ENXIO": 6, "EAGAIN": 11, "ENOMEM": 12, "EBUSY": 16, "EXDEV": 18, "ENODEV": 19,
    "EINVAL": 22, "EFBIG": 27, "ENOSPC": 28, "EPIPE": 32, "ETIME": 62, "ENOSR": 63, "ECOMM": 70, "EPROTO": 71,
    "EOVERFLOW": 75, "EILSEQ": 84, "EMSGSIZE": 90, "EOPNOTSUPP": 95, "ECONNRESET": 104, "ESHUTDOWN": 108,
    "ETIMEDOUT": 110, "EHOSTUNREACH": 113, "EREMOTEIO": 121,
}  # fmt: skip
"""Linux's numbers (asm-generic/errno.h), which USB/IP uses on every system: those that URBs end with."""


def status_of(errno: str | None) -> int:
    """The status of an URB that ended with ``errno`` ("EPIPE"): -32; None is 0, an unknown one -EIO."""
    return 0 if errno is None else -LINUX_ERRNO.get(errno, LINUX_ERRNO["EIO"])


class Packet(NamedTuple):
    """Where an isochronous packet is in the buffer of its URB, in bytes."""

    offset: int
    length: int


class PacketResult(NamedTuple):
    """How a packet went: bytes transferred; 0 or a negative Linux error number."""

    transferred: int
    status: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Submit:
    """A CMD_SUBMIT: one URB. ``address`` is that of the endpoint with bit 7 for IN; 0 and 0x80 are the control pipe.

    ``length`` is the size of its buffer. ``data`` is that buffer of an OUT transfer; in an isochronous one (which has
    ``packets``) each packet is at its place there.
    """

    seqnum: int
    address: int
    flags: int
    length: int
    start_frame: int
    interval: int
    setup: bytes
    data: bytes = b""
    packets: tuple[Packet, ...] = ()

    @property
    def is_in(self) -> bool:
        """Whether data goes to the host."""
        return self.address >= 0x80


@dataclass(frozen=True, slots=True)
class Unlink:
    """A CMD_UNLINK: cancel the URB of ``victim``, a sequence number."""

    seqnum: int
    victim: int


class CommandReader:
    """Takes commands out of a stream of bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._needed = _HEADER.size

    def feed(self, data: bytes) -> list[Submit | Unlink]:
        """The commands that are complete with ``data``. Raises MalformedMessage; the stream is of no more use then."""
        if self._parts:
            self._parts.append(data)
            self._size += len(data)
            if self._size < self._needed:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
        commands: list[Submit | Unlink] = []
        position = 0
        while True:
            end, command = _command(data, position)
            if command is None:
                break
            position = end
            commands.append(command)
        if position < len(data):
            rest = data[position:] if position else data
            self._parts.append(rest)
            self._size, self._needed = len(rest), end - position
        return commands


def _command(data: bytes, start: int) -> tuple[int, Submit | Unlink | None]:
    """Where the command at ``start`` ends, and the command; None if it is not there in full."""
    end = start + _HEADER.size
    if len(data) < end:
        return end, None
    head = _HEADER.unpack_from(data, start)
    command, seqnum, _, direction, number = head[:5]
    if command == CMD_UNLINK:
        return end, Unlink(seqnum, head[5])
    if command != CMD_SUBMIT:
        raise MalformedMessage(f"USB/IP: unknown command {command}")
    _, _, _, _, _, flags, length, start_frame, packets, interval, setup = head
    if direction > 1 or number > 15:
        raise MalformedMessage(f"USB/IP: there is no endpoint {number} in direction {direction}")
    if not 0 <= length <= MAX_TRANSFER:
        raise MalformedMessage(f"USB/IP: a buffer of {length} bytes; {MAX_TRANSFER} are possible")
    if not NOT_ISOCHRONOUS <= packets <= MAX_PACKETS:
        raise MalformedMessage(f"USB/IP: {packets} isochronous packets; {MAX_PACKETS} are possible")
    packets = max(packets, 0)
    body, table = end, end + (0 if direction else length)
    end = table + packets * _PACKET.size
    if len(data) < end:
        return end, None
    places = _places(data, table, packets, length) if packets else ()
    outgoing = b"" if direction else data[body:table]
    address = number | direction << 7
    return end, Submit(seqnum, address, flags, length, start_frame, interval, setup, outgoing, places)


def _places(data: bytes, start: int, count: int, limit: int) -> tuple[Packet, ...]:
    """Isochronous packets, each within the buffer."""
    places = []
    for number in range(count):
        offset, length, _, _ = _PACKET.unpack_from(data, start + number * _PACKET.size)
        if offset + length > limit:
            raise MalformedMessage("USB/IP: an isochronous packet outside its buffer")
        places.append(Packet(offset, length))
    return tuple(places)


def ret_submit(urb: Submit, status: int, transferred: int, data: bytes = b"") -> list[bytes]:
    """The answer to a control, bulk or interrupt transfer, in pieces to be written one after the other.

    ``status`` is 0 or a negative Linux error number; ``data`` what an IN transfer brought, ``transferred`` bytes.
    Raises ValueError if that does not fit the URB.
    """
    if urb.packets:
        raise ValueError("an isochronous transfer needs results for its packets")
    if not 0 <= transferred <= urb.length or len(data) != (transferred if urb.is_in else 0):
        raise ValueError(f"{transferred} bytes transferred, {len(data)} here, of {urb.length}")
    head = _RETURNED.pack(RET_SUBMIT, urb.seqnum, 0, 0, 0, _status(status), transferred, 0, 0, 0)
    return [head, data] if data else [head]


def ret_submit_isochronous(
    urb: Submit, status: int, results: Sequence[PacketResult], data: bytes = b"", start_frame: int = 0
) -> list[bytes]:
    """The answer to an isochronous transfer: ``data`` of IN packets one behind the other, a result for each packet.

    Raises ValueError if that does not fit the URB.
    """
    if len(results) != len(urb.packets):
        raise ValueError(f"{len(results)} results for {len(urb.packets)} isochronous packets")
    table = []
    transferred = errors = 0
    for place, result in zip(urb.packets, results, strict=True):
        if not 0 <= result.transferred <= place.length:
            raise ValueError(f"{result.transferred} bytes in an isochronous packet of {place.length}")
        table.append(_PACKET_RESULT.pack(*place, result.transferred, _status(result.status)))
        transferred += result.transferred
        errors += result.status != 0
    if len(data) != (transferred if urb.is_in else 0):
        raise ValueError(f"{len(data)} bytes of isochronous data, the packets have {transferred}")
    head = _RETURNED.pack(
        RET_SUBMIT,
        urb.seqnum,
        0,
        0,
        0,
        _status(status),
        transferred,
        start_frame & 0x7FFFFFFF,
        len(results),
        errors,
    )
    return [head, data, *table] if data else [head, *table]


def ret_unlink(unlink: Unlink, status: int) -> bytes:
    """The answer to an unlink: -ECONNRESET if the URB is cancelled by it, 0 if its RET_SUBMIT went before."""
    return _UNLINKED.pack(RET_UNLINK, unlink.seqnum, 0, 0, 0, _status(status))


def _status(status: int) -> int:
    if not -4095 <= status <= 0:
        raise ValueError(f"{status} is no negative Linux error number")
    return status
