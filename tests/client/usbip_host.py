"""The host's end of USB/IP, as the kernel's vhci_hcd plays it, written from the specification."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from myclerk_client.usb.bridge import Bridge

SHORT_NOT_OK, ZERO_PACKET = 1, 0x40


def submit(
    seqnum: int,
    address: int,
    *,
    length: int = 0,
    data: bytes = b"",
    setup: bytes = bytes(8),
    flags: int = 0,
    packets: Sequence[tuple[int, int]] = (),
    count: int | None = None,
    start_frame: int = 0,
) -> bytes:
    """A CMD_SUBMIT. ``packets`` are (offset, length)."""
    is_in = address >= 0x80
    size = length if is_in else len(data)
    number = len(packets) if count is None else count
    head = struct.pack(">IIIII", 1, seqnum, 0x00010002, int(is_in), address & 0x0F)
    body = struct.pack(">IiiiI8s", flags, size, start_frame, number, 0, setup)
    table = b"".join(struct.pack(">IIII", offset, size, 0, 0) for offset, size in packets)
    return head + body + data + table


def unlink(seqnum: int, victim: int) -> bytes:
    """A CMD_UNLINK."""
    return struct.pack(">IIIII", 2, seqnum, 0x00010002, 0, 0) + struct.pack(">I24x", victim)


def control(request_type: int, request: int, value: int = 0, index: int = 0, length: int = 0) -> bytes:
    """The eight bytes of a SETUP packet."""
    return struct.pack("<BBHHH", request_type, request, value, index, length)


@dataclass
class Returned:
    """A RET_SUBMIT (``command`` 3) or a RET_UNLINK (4)."""

    command: int
    seqnum: int
    status: int
    transferred: int = 0
    data: bytes = b""
    packets: list[tuple[int, int, int, int]] = field(default_factory=list)
    start_frame: int = 0
    errors: int = 0


class Host:
    """Sends commands, and takes answers apart with what vhci_hcd believes: the sizes of what it asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[bool, int]] = {}

    @classmethod
    async def on(cls, bridge: Bridge) -> Host:
        """A host at the other end of a socket pair."""
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().create_connection(lambda: bridge, sock=theirs)
        return cls(*await asyncio.open_connection(sock=ours))

    def submit(self, address: int, **fields: object) -> int:
        """Send an URB; its sequence number."""
        number = next(self._numbers)
        self._asked[number] = address >= 0x80, len(fields.get("packets", ()))  # type: ignore[arg-type]
        self._writer.write(submit(number, address, **fields))  # type: ignore[arg-type]
        return number

    def request(self, request_type: int, request: int, value: int = 0, index: int = 0, size: int = 0) -> int:
        """Send a control request without data, or to the host."""
        setup = control(request_type, request, value, index, size)
        return self.submit(request_type & 0x80, length=size, setup=setup)

    def unlink(self, victim: int) -> int:
        """Cancel an URB; the sequence number of that."""
        number = next(self._numbers)
        self._writer.write(unlink(number, victim))
        return number

    async def answer(self) -> Returned:
        """The next answer."""
        head = await asyncio.wait_for(self._reader.readexactly(48), 10)
        command, seqnum, devid, direction, endpoint = struct.unpack_from(">IIIII", head)
        assert (devid, direction, endpoint) == (0, 0, 0)
        status, transferred, start_frame, count, errors = struct.unpack_from(">iiiii", head, 20)
        if command == 4:
            return Returned(4, seqnum, status)
        assert command == 3
        is_in, packets = self._asked.pop(seqnum)
        assert count == packets
        data = await self._reader.readexactly(transferred) if is_in else b""
        table = [struct.unpack(">IIIi", await self._reader.readexactly(16)) for _ in range(packets)]
        if packets:
            assert sum(actual for _, _, actual, _ in table) == transferred
        return Returned(3, seqnum, status, transferred, data, table, start_frame, errors)

    async def answers(self, count: int) -> dict[int, Returned]:
        """That many answers, by sequence number."""
        found = [await self.answer() for _ in range(count)]
        return {answer.seqnum: answer for answer in found}

    async def silent(self) -> bool:
        """Whether nothing has arrived, with everything done that can be done now."""
        for _ in range(20):
            await asyncio.sleep(0)
        try:
            await asyncio.wait_for(self._reader.readexactly(1), 0.05)
        except TimeoutError:
            return True
        return False

    async def hung_up(self) -> bool:
        """Whether the other end closes the connection."""
        try:
            return await asyncio.wait_for(self._reader.read(), 10) == b""
        except ConnectionResetError:  # it had not read everything
            return True

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
