"""The device's end of USB/IP (Documentation/usb/usbip_protocol.rst), for one device that is attached already.

The host sends CMD_SUBMIT and CMD_UNLINK, the device answers with RET_SUBMIT and RET_UNLINK. A transfer that the
device has nothing for waits here, as it would wait behind NAKs on a wire. Whatever does not fit the protocol ends the
connection, which unplugs the device: guessing on could crash the host's kernel.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import struct
from typing import NamedTuple, cast

from .device import Device, Setup, Stall

CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
HEADER = struct.Struct(">5I5i8s")
UNLINK_TAIL = struct.Struct(">I24x")
RETURNED = struct.Struct(">5I5i8x")
UNLINKED = struct.Struct(">5Ii24x")
PACKET = struct.Struct(">4I")
SETUP = struct.Struct("<BBHHH")

MAX_TRANSFER = 16 << 20
"""usbfs allows no more memory in flight either."""
MAX_PACKETS = 1024
FRAME = 0.001
"""Seconds of a full-speed frame: one isochronous packet per endpoint."""

log = logging.getLogger("board.usbip")


class ProtocolError(Exception):
    """The peer does not speak USB/IP."""


class Transfer(NamedTuple):
    """A CMD_SUBMIT without its data."""

    number: int
    is_in: bool
    endpoint: int
    size: int
    start_frame: int
    packets: int
    setup: bytes

    @property
    def outgoing(self) -> int:
        """Bytes of data and packet descriptors behind the header."""
        return (0 if self.is_in else self.size) + self.packets * PACKET.size


class UsbIpDevice(asyncio.Protocol):
    """Serves ``device`` to the host at the other end of a stream. ``lost`` is done when that has gone."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._waiting: dict[int, Transfer] = {}
        self._paced: dict[int, asyncio.TimerHandle] = {}
        self._next_frame: dict[tuple[int, bool], float] = {}
        self._waking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.device.plugged_in()
        self.device.wake = self.wake

    def connection_lost(self, exc: Exception | None) -> None:
        self.device.wake = lambda: None
        for timer in self._paced.values():
            timer.cancel()
        self._waiting.clear()
        if not self.lost.done():
            self.lost.set_result(None)

    def wake(self) -> None:
        """Answer waiting transfers that the device has something for by now."""
        if not self._waking:  # once per turn of the loop, and never in the middle of a transfer
            self._waking = True
            self._loop.call_soon(self._answer_waiting)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            while len(self._received) >= HEADER.size and self._message():
                pass
        except ProtocolError as error:
            log.error("%s: %s", self.device.strings[1], error)
            self._transport.abort()

    def _message(self) -> bool:
        """Take one message; False if it is not there completely."""
        command, number, _, direction, endpoint, *fields, setup = HEADER.unpack_from(self._received)
        if command == CMD_UNLINK:
            (victim,) = UNLINK_TAIL.unpack_from(self._received, 20)
            del self._received[: HEADER.size]
            self._unlink(number, victim)
            return True
        if command != CMD_SUBMIT:
            raise ProtocolError(f"unknown command {command}")
        _, size, start_frame, packets, _ = fields
        transfer = Transfer(number, direction == 1, endpoint, size, start_frame, max(packets, 0), setup)
        self._check(transfer, direction)
        end = HEADER.size + transfer.outgoing
        if len(self._received) < end:
            return False
        body = bytes(self._received[HEADER.size : end])
        del self._received[:end]
        self._submit(transfer, body)
        return True

    def _check(self, transfer: Transfer, direction: int) -> None:
        if direction > 1 or transfer.endpoint > 15:
            raise ProtocolError(f"no such endpoint: {transfer.endpoint}, direction {direction}")
        if not 0 <= transfer.size <= MAX_TRANSFER or transfer.packets > MAX_PACKETS:
            raise ProtocolError(f"a transfer of {transfer.size} bytes, {transfer.packets} packets")
        if transfer.number in self._waiting or transfer.number in self._paced:
            raise ProtocolError(f"sequence number {transfer.number} used twice")

    def _submit(self, transfer: Transfer, body: bytes) -> None:
        try:
            if transfer.packets:
                self._isochronous(transfer, body)
            elif transfer.endpoint == 0:
                self._control(transfer, body)
            elif transfer.is_in:
                if not self._answer(transfer):
                    self._waiting[transfer.number] = transfer
            else:
                self.device.handle_out(transfer.endpoint, body)
                self._return(transfer, 0, transfer.size)
        except Stall:
            self._return(transfer, -errno.EPIPE)

    def _control(self, transfer: Transfer, body: bytes) -> None:
        setup = Setup(*SETUP.unpack(transfer.setup))
        answer = self.device.handle_control(setup, body)
        if transfer.is_in:
            self._return(transfer, 0, data=answer[: transfer.size])
        else:
            self._return(transfer, 0, transfer.size)

    def _answer(self, transfer: Transfer) -> bool:
        """Answer an IN transfer if the device has something."""
        data = self.device.handle_in(transfer.endpoint, transfer.size)
        if data is None:
            return False
        if len(data) > transfer.size:  # babble: more than the host has room for
            self._return(transfer, -errno.EOVERFLOW, data=data[: transfer.size])
        else:
            self._return(transfer, 0, data=data)
        return True

    def _answer_waiting(self) -> None:
        self._waking = False
        for transfer in list(self._waiting.values()):  # in the order in which they came
            try:
                answered = self._answer(transfer)
            except Stall:
                self._return(transfer, -errno.EPIPE)
                answered = True
            if answered:
                del self._waiting[transfer.number]

    def _isochronous(self, transfer: Transfer, body: bytes) -> None:
        """One packet per frame. Data of IN packets is sent without gaps; the host spreads it."""
        table = len(body) - transfer.packets * PACKET.size
        places = [PACKET.unpack_from(body, table + i * PACKET.size)[:2] for i in range(transfer.packets)]
        if any(offset + size > transfer.size for offset, size in places):
            raise ProtocolError("an isochronous packet beyond its buffer")
        data = b""
        described = b""
        for offset, size in places:
            if transfer.is_in:
                packet = self.device.isochronous_in(transfer.endpoint, size)[:size]
                data += packet
                described += PACKET.pack(offset, size, len(packet), 0)
            else:
                self.device.isochronous_out(transfer.endpoint, body[offset : offset + size])
                described += PACKET.pack(offset, size, size, 0)
        actual = len(data) if transfer.is_in else sum(size for _, size in places)
        self._pace(transfer, actual, data + described)

    def _pace(self, transfer: Transfer, actual: int, data: bytes) -> None:
        """Answer when the last of the transfer's frames is over."""
        now = self._loop.time()
        endpoint = transfer.endpoint, transfer.is_in
        end = max(now, self._next_frame.get(endpoint, now)) + transfer.packets * FRAME
        self._next_frame[endpoint] = end

        def answer() -> None:
            del self._paced[transfer.number]
            self._return(transfer, 0, actual, data)

        self._paced[transfer.number] = self._loop.call_at(end, answer)

    def _unlink(self, number: int, victim: int) -> None:
        """-ECONNRESET if the transfer was still waiting; it gets no answer of its own then."""
        timer = self._paced.pop(victim, None)
        if timer is not None:
            timer.cancel()
        found = timer is not None or self._waiting.pop(victim, None) is not None
        self._transport.write(UNLINKED.pack(RET_UNLINK, number, 0, 0, 0, -errno.ECONNRESET if found else 0))

    def _return(self, transfer: Transfer, status: int, actual: int | None = None, data: bytes = b"") -> None:
        count = len(data) if actual is None else actual
        packets, start = transfer.packets, transfer.start_frame
        header = RETURNED.pack(RET_SUBMIT, transfer.number, 0, 0, 0, status, count, start, packets, 0)
        self._transport.write(header + data)
