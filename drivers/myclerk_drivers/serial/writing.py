"""Writing to a port: in the order sent, at once when the kernel has room, waiting when it has not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Any

from myclerk_protocol.status import OperationError, OperationTimeout

from . import kernel
from .tty import OpenTty, settle

BITS_PER_BYTE = 10
SHORTEST_POLL, LONGEST_POLL = 0.001, 0.05


class Entry:
    """A place in the queue: bytes that the kernel has not taken yet, or a barrier that lets none pass."""

    __slots__ = ("future", "is_barrier", "rest", "written")

    def __init__(self, future: asyncio.Future[Any], data: memoryview, written: int, is_barrier: bool) -> None:
        self.future = future
        self.rest = data
        self.written = written
        self.is_barrier = is_barrier

    def push(self, tty: OpenTty) -> None:
        """Hand over what the kernel takes of it. Raises DeviceGone, HardwareError."""
        if self.rest:
            taken = tty.write(self.rest)
            self.written += taken
            self.rest = self.rest[taken:]


class Writer:
    """Writes of one tty. For the event loop's thread, except :attr:`waiting`."""

    def __init__(self, tty: OpenTty) -> None:
        self.tty = tty
        self.baud = 9600
        self._queue: deque[Entry] = deque()
        self._watching = False
        tty.on_end(self._ended)

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return sum(len(entry.rest) for entry in tuple(self._queue))

    def write(
        self, data: bytes, drain: bool, timeout: float | None
    ) -> dict[str, int] | Awaitable[dict[str, int]]:
        """Write all: {``written``} at once when the kernel takes it, else an awaitable of it.

        ``drain`` waits for an empty transmitter, too. Raises OperationTimeout after ``timeout`` seconds with
        the number of bytes that the kernel took in ``written``; the rest is not sent then, nor when the
        awaitable is cancelled. NotFound when the port is closed meanwhile, DeviceGone, HardwareError.
        """
        self.tty.check()
        written = 0 if self._queue or not data else self.tty.write(data)
        if written == len(data) and not self._queue:
            return self._drained(written, timeout) if drain else {"written": written}
        entry = self._append(memoryview(data)[written:], written)
        return self._finished(entry, drain, timeout)

    def barrier(self) -> Entry:
        """Let nothing pass from here until :meth:`lift`; its future is done when all before it has passed."""
        return self._append(memoryview(b""), 0, is_barrier=True)

    def lift(self, entry: Entry) -> None:
        """Take an entry out of the queue, wherever it is, and go on with those behind it."""
        if entry in self._queue:
            self._queue.remove(entry)
            self._pump()

    def _append(self, data: memoryview, written: int, is_barrier: bool = False) -> Entry:
        entry = Entry(self.tty.waiter(), data, written, is_barrier)
        self._queue.append(entry)
        if is_barrier:
            self._pump()
        else:
            self._watch()
        return entry

    async def _finished(self, entry: Entry, drain: bool, seconds: float | None) -> dict[str, int]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            in_time = await self.tty.within(entry.future, seconds)
        finally:
            self.lift(entry)
        if not in_time:
            raise self._late(entry.written)
        if not drain:
            return {"written": entry.written}
        left = None if seconds is None else seconds - (loop.time() - started)
        return await self._drained(entry.written, left)

    async def _drained(self, written: int, seconds: float | None) -> dict[str, int]:
        """Wait for an empty transmitter: by looking while the kernel holds bytes, so that flow control can
        stop no thread, then by tcdrain for the last few in the FIFO."""
        loop = asyncio.get_running_loop()
        deadline = None if seconds is None else loop.time() + seconds
        while left := self.tty.quick("draining", kernel.output_waiting):
            pause = min(max(left * BITS_PER_BYTE / self.baud, SHORTEST_POLL), LONGEST_POLL)
            if deadline is not None:
                if loop.time() >= deadline:
                    raise self._late(written)
                pause = min(pause, deadline - loop.time())
            await self.tty.pause(pause)
        try:
            remaining = None if deadline is None else deadline - loop.time()
            await self.tty.in_thread("draining", kernel.drain, remaining)
        except TimeoutError:
            raise self._late(written) from None
        return {"written": written}

    def _late(self, written: int) -> OperationTimeout:
        return OperationTimeout(
            f"{self.tty.name} did not send everything in time; flow control may hold it back", written=written
        )

    def _pump(self) -> None:
        """Hand over what the kernel takes, entry by entry."""
        queue = self._queue
        while queue:
            entry = queue[0]
            if entry.is_barrier:
                settle(entry.future)
                break
            if entry.future.done():  # timed out or cancelled: the rest is not sent
                queue.popleft()
                continue
            try:
                entry.push(self.tty)
            except OperationError as error:
                if queue and not entry.future.done():  # a device that is gone has failed them all already
                    entry.future.set_exception(error)
                entry.rest = entry.rest[:0]
            if entry.rest:
                break
            if queue:
                queue.popleft()
                settle(entry.future)
        self._watch()

    def _watch(self) -> None:
        """Ask for a call when there is room again, if anything waits for that."""
        wanted = bool(self._queue) and not self._queue[0].is_barrier
        if wanted is self._watching:
            return
        self._watching = wanted
        if wanted:
            self.tty.watch_room(self._pump)
        else:
            self.tty.unwatch_room()

    def _ended(self, _error: Exception) -> None:
        self._queue.clear()
        self._watching = False
