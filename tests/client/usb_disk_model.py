"""A mass storage device at the URB face: it does what a script says, packet by packet, as real and odd ones do.

And a host that goes about commands as Linux's usb-storage does (drivers/usb/storage/transport.c).
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from dataclasses import dataclass
from typing import Any

from usb_fakes import STORAGE, FakeDevice, FakeTransfer
from usbip_host import SHORT_NOT_OK, Host, Returned, control

IN, OUT = 0x81, 0x02
PACKET = 512
EPIPE, ECONNRESET, EREMOTEIO = -32, -104, -121


@dataclass(frozen=True)
class Command:
    """What the host asks and what the device does about it.

    ``wanted`` bytes in a direction; the device has ``has`` of them to give or takes as many, then ``stalls`` the
    endpoint or (IN) sends a short packet. ``urbs`` is how many URBs the host uses for the data.
    """

    wanted: int
    is_in: bool
    has: int
    stalls: bool = False
    status: int = 0
    urbs: int = 1
    reject: bool = False
    """The command itself is stalled, and everything behind it until a reset."""


class ModelDisk(FakeDevice):
    """Plays a list of commands. Its transfers end by themselves, in ``delay`` turns of the loop each."""

    def __init__(self, commands: list[Command], delays: list[int]) -> None:
        super().__init__(STORAGE)
        self.script = deque(commands)
        self.received: list[bytes] = []
        self.resets = 0
        self._delays = deque(delays or [0])
        self._queues: dict[int, deque[FakeTransfer]] = {IN: deque(), OUT: deque()}
        self._refusing = False
        self._halted: set[int] = set()
        self._stopped: set[FakeTransfer] = set()
        self._state = "command"
        self._rejecting = False
        self._command: Command | None = None
        self._left = 0
        self._tag = 0
        self._running: asyncio.Task[None] | None = None

    def submit_bulk(self, endpoint: int, data: bytes | int, **fields: Any) -> FakeTransfer:
        transfer = ModelTransfer(self, endpoint, {"data": data, **fields})
        self.transfers.append(transfer)
        self._queues[endpoint].append(transfer)
        self.wake()
        return transfer

    def submit_control(
        self, request_type: int, request: int, value: int, index: int, **fields: Any
    ) -> FakeTransfer:
        transfer = super().submit_control(request_type, request, value, index, **fields)
        if (request_type, request) == (0x21, 0xFF):
            self.resets += 1
            self._rejecting = False
            self._state = "command"
        asyncio.get_running_loop().call_soon(transfer.finish)
        return transfer

    async def clear_halt(self, endpoint: int) -> None:
        assert not self._queues[endpoint], "transfers are queued while the halt is cleared"
        await super().clear_halt(endpoint)
        if not self._rejecting:
            self._halted.discard(endpoint)
        self.wake()

    def wake(self) -> None:
        """Go on, if there is something to do."""
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._step():
            self._delays.rotate(-1)
            for _ in range(self._delays[0]):
                await asyncio.sleep(0)
        self._running = None

    def _step(self) -> bool:
        """Do one transfer; False when there is none that can be done."""
        for queue in self._queues.values():
            for transfer in queue:
                if transfer.cancelled:
                    queue.remove(transfer)
                    transfer.finish(errno="ECONNRESET")
                    return True
        return any(self._transfer(endpoint) for endpoint in (OUT, IN))

    def _transfer(self, endpoint: int) -> bool:
        queue = self._queues[endpoint]
        if not queue or queue[0] in self._stopped:
            return False
        if endpoint == OUT:
            if not queue[0].fields.get("continued"):
                self._refusing = False
            if self._refusing:
                queue.popleft().finish(errno="ECONNRESET")
                return True
        if queue[0].fields.get("after"):
            before = [t for t in self.transfers if t.endpoint == endpoint]
            before = before[: before.index(queue[0])]
            if before and before[-1].done() and before[-1].result().errno not in (None, "EREMOTEIO"):
                queue.popleft().finish(errno="ECONNRESET")
                return True
        if endpoint in self._halted:
            self._refusing = self._refusing or endpoint == OUT
            queue.popleft().finish(errno="EPIPE")
            return True
        return self._take(queue) if endpoint == OUT else self._give(queue)

    def _take(self, queue: deque[FakeTransfer]) -> bool:
        if self._state == "command":
            self._begin(queue.popleft())
            return True
        if self._state != "out":
            return False
        assert self._command is not None
        transfer = queue.popleft()
        taken = min(len(transfer.data), self._left)
        self._left -= taken
        self.received.append(transfer.data[:taken])
        if taken < len(transfer.data) and self._command.stalls:
            self._halted.add(OUT)
            self._refusing = True
            self._state = "status"
            transfer.finish(errno="EPIPE", transferred=taken)
            return True
        self._sent += len(transfer.data)  # what it has no use for it throws away
        if self._sent >= self._command.wanted:
            self._state = "status"
        transfer.finish()
        return True

    def _begin(self, transfer: FakeTransfer) -> None:
        self._command = command = self.script.popleft()
        signature, self._tag, wanted, flags = struct.unpack_from("<4sIIB", transfer.data)
        assert (signature, len(transfer.data), wanted) == (b"USBC", 31, command.wanted)
        assert not wanted or bool(flags) is command.is_in
        self._left, self._sent = command.has, 0
        if command.reject:
            self._rejecting = self._refusing = True
            self._halted |= {IN, OUT}
            transfer.finish(errno="EPIPE")
            return
        self._state = "status" if not wanted else "in" if command.is_in else "out"
        transfer.finish()

    def _give(self, queue: deque[FakeTransfer]) -> bool:
        if self._state == "in":
            assert self._command is not None
            transfer = queue.popleft()
            position = self._command.has - self._left
            data = pattern(position, min(transfer.size, self._left))
            self._left -= len(data)
            errno = None
            if len(data) < transfer.size:
                if self._command.stalls:
                    self._halted.add(IN)
                    errno = "EPIPE"
                elif transfer.fields.get("short_not_ok"):
                    errno = "EREMOTEIO"
                    self._stopped |= set(queue)  # the host controller goes no further
                self._state = "status"
            elif not self._left and self._sent_all(position + len(data)):
                self._state = "status"
            transfer.finish(data, errno)
            return True
        if self._state == "status":
            assert self._command is not None
            residue = self._command.wanted - self._command.has
            status = struct.pack("<4sIIB", b"USBS", self._tag, max(residue, 0), self._command.status)
            self._state = "command"
            queue.popleft().finish(status)
            return True
        return False

    def _sent_all(self, count: int) -> bool:
        """Whether the host knows that there is no more: it has all, or a short packet came."""
        assert self._command is not None
        return count >= self._command.wanted or count % PACKET != 0


class ModelTransfer(FakeTransfer):
    """Cancelled by its device, a moment later."""

    def __init__(self, device: ModelDisk, endpoint: int, fields: dict[str, Any]) -> None:
        super().__init__("bulk", endpoint, fields)
        self._owner = device

    def cancel(self) -> None:
        super().cancel()
        self._owner.wake()


def pattern(start: int, size: int) -> bytes:
    """The bytes of a data stage."""
    return bytes((n * 7 + n // 256) & 0xFF for n in range(start, start + size))


class StorageDriver:
    """usb-storage, as far as URBs go. What came of each command is in ``seen``."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tag = 0
        self.seen: list[tuple[Any, ...]] = []

    async def execute(self, command: Command) -> None:
        """One command, with what usb-storage does when something goes wrong."""
        self._tag += 1
        flags = 0x80 if command.is_in else 0
        cbw = struct.pack("<4sIIBBB16x", b"USBC", self._tag, command.wanted, flags, 0, 10)
        if (await self._urb(OUT, data=cbw)).status:
            await self._recover("command")
            return
        data = b""
        if command.wanted:
            data = await (self._read(command) if command.is_in else self._write(command))
        csw = await self._urb(IN, length=13)
        if csw.status == EREMOTEIO or (csw.status == 0 and not csw.data):
            csw = await self._urb(IN, length=13)
        if csw.status == EPIPE:
            await self._clear(IN)
            csw = await self._urb(IN, length=13)
        if csw.status or len(csw.data) != 13:
            await self._recover("status")
            return
        signature, tag, residue, status = struct.unpack("<4sIIB", csw.data)
        assert (signature, tag) == (b"USBS", self._tag)
        self.seen.append(("done", data, residue, status))

    async def _read(self, command: Command) -> bytes:
        sizes = _split(command.wanted, command.urbs)
        sent = [self._host.submit(IN, length=size, flags=SHORT_NOT_OK) for size in sizes]
        answers: dict[int, Returned] = {}
        unlinks: dict[int, int] = {}
        while len(answers) < len(sent):
            answer = await self._host.answer()
            if answer.command == 4:
                answers.setdefault(unlinks[answer.seqnum], answer)
                continue
            answers[answer.seqnum] = answer
            if answer.status and not unlinks:
                unlinks = {self._host.unlink(other): other for other in sent if other not in answers}
        status = next((answers[number].status for number in sent if answers[number].status), 0)
        if status == EPIPE:
            await self._clear(IN)
        return b"".join(answers[number].data for number in sent)

    async def _write(self, command: Command) -> bytes:
        position = 0
        for size in _split(command.wanted, command.urbs):
            answer = await self._urb(OUT, data=pattern(position, size))
            position += size
            if answer.status == EPIPE:
                await self._clear(OUT)
                break
            assert answer.status == 0
        return b""

    async def _recover(self, where: str) -> None:
        self.seen.append(("recovered",))
        await self._urb(0x00, data=b"", setup=control(0x21, 0xFF))
        await self._clear(IN)
        await self._clear(OUT)

    async def _clear(self, endpoint: int) -> None:
        await self._urb(0x00, data=b"", setup=control(0x02, 1, 0, endpoint))

    async def _urb(self, address: int, **fields: Any) -> Returned:
        number = self._host.submit(address, **fields)
        while True:
            answer = await self._host.answer()
            if answer.seqnum == number:
                return answer


def _split(size: int, count: int) -> list[int]:
    """``count`` parts, all but the last of whole packets."""
    part = max(size // count // PACKET, 1) * PACKET
    sizes = []
    while size > part and len(sizes) < count - 1:
        sizes.append(part)
        size -= part
    return [*sizes, size]
