"""Sending frames: in the order asked, at once while the kernel has room, waiting while it has not."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from myclerk_protocol.status import HardwareError, OperationError, OperationTimeout, TooMany, Unsupported

from ..context import DriverContext, Timer
from .backend import FD_FRAME, CanSocket
from .faults import fault
from .interface import Interface

SLICE = 64
"""Frames handed over before other work of the event loop gets its turn."""
MOST_WAITING = 1 << 14
"""Frames of one handle that wait for room at most, in requests that are not answered yet."""
FULL_QUEUE_PAUSE = 0.001
"""Seconds until the next try when the interface's queue is full, which no descriptor tells the end of. Each try in
vain makes it longer."""
LONGEST_PAUSE = 0.02
BUS_OFF_PAUSE = 0.01
"""Seconds between looks whether a controller has left bus-off."""
PATIENCE = 50
"""Tries in vain after which rtnetlink is asked for bus-off: not all drivers tell the network layer of it."""


class Entry:
    """Frames of one request; ``sent`` counts those that the kernel took, ``timer`` ends the waiting for the rest."""

    __slots__ = ("frames", "future", "sent", "timer")

    def __init__(self, frames: Sequence[Sequence[Any]]) -> None:
        self.frames = frames
        self.sent = 0
        self.future: asyncio.Future[dict[str, int]] | None = None
        self.timer: Timer | None = None


class Sender:
    """What one handle sends. For the event loop's thread."""

    def __init__(
        self,
        context: DriverContext,
        socket: CanSocket,
        interface: Interface,
        on_error: Callable[[OSError], None],
    ) -> None:
        """``on_error`` gets the errors of the socket, which tells each of them once, to whoever uses it first."""
        self._context = context
        self._on_error = on_error
        self._socket = socket
        self._interface = interface
        self._queue: deque[Entry] = deque()
        self._waiting = 0
        self._writing = False
        self._timer: Timer | None = None
        self._vain = 0
        self._asking: asyncio.Task[None] | None = None

    def send(
        self, frames: Sequence[Sequence[Any]], timeout: float | None
    ) -> dict[str, int] | Awaitable[dict[str, int]]:
        """Queue all frames: {``sent``} at once when the kernel takes them, else an awaitable of it.

        Raises OperationTimeout after ``timeout`` seconds, HardwareError or DeviceGone, each with the number of
        frames that the kernel took in ``sent``; the rest is not sent then, nor when the awaitable is cancelled.
        TooMany when :data:`MOST_WAITING` frames wait already.
        """
        if self._waiting + len(frames) > MOST_WAITING:
            raise TooMany(
                f"{self._waiting} frames wait for room on {self._interface.name}; await some answers"
            )
        entry = Entry(frames)
        if not self._queue:
            pause = self._advance(entry)
            if entry.sent == len(frames):
                return {"sent": entry.sent}
            self._wait(pause)
        entry.future = asyncio.get_running_loop().create_future()
        entry.future.add_done_callback(partial(self._forget, entry))
        if timeout is not None:
            entry.timer = self._context.call_later(timeout, partial(self._late, entry))
        self._queue.append(entry)
        self._waiting += len(frames)
        return entry.future

    def close(self, error: OperationError) -> None:
        """Fail everything that waits."""
        if self._asking is not None:
            self._asking.cancel()
        self._fail(error)

    def _late(self, entry: Entry) -> None:
        if entry.future is not None and not entry.future.done():
            message = (
                f"{self._interface.name} took {entry.sent} of {len(entry.frames)} frames in time; "
                "the bus is slow, or nobody acknowledges"
            )
            entry.future.set_exception(OperationTimeout(message, sent=entry.sent))

    def _forget(self, entry: Entry, answered: asyncio.Future[dict[str, int]]) -> None:
        """It is answered, cancelled or late: nothing of it waits any more."""
        self._waiting -= len(entry.frames)
        if entry.timer is not None:
            entry.timer.cancel()
        if answered.cancelled() or answered.exception() is not None:
            with suppress(ValueError):
                self._queue.remove(entry)
            if not self._queue:
                self._stop_waiting()

    def _fail(self, error: OperationError) -> None:
        self._stop_waiting()
        while self._queue:
            entry = self._queue.popleft()
            if entry.future is not None and not entry.future.done():
                entry.future.set_exception(_with_count(error, entry))

    def _pump(self) -> None:
        """Hand over what the kernel takes, entry by entry."""
        self._stop_waiting()
        queue = self._queue
        while queue:
            entry = queue[0]
            assert entry.future is not None
            if not entry.future.done():  # else it timed out or was cancelled: the rest is not sent
                try:
                    pause = self._advance(entry)
                except OperationError as error:
                    entry.future.set_exception(error)
                else:
                    if entry.sent < len(entry.frames):
                        self._wait(pause)
                        return
                    entry.future.set_result({"sent": entry.sent})
            queue.popleft()

    def _advance(self, entry: Entry) -> float:
        """Hand over at most SLICE frames; seconds to pause before the next ones if there was no room, else 0."""
        doing: Sequence[Any] = ()
        try:
            if not self._socket.is_running():
                return self._not_running()
            for doing in entry.frames[entry.sent : entry.sent + SLICE]:
                self._hand_over(doing)
                entry.sent += 1
                self._vain = 0
        except BlockingIOError:
            return 0.0
        except OperationError as error:
            raise _with_count(error, entry) from None
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return min(FULL_QUEUE_PAUSE * (1 + self._vain), LONGEST_PAUSE)
            if error.errno == errno.EINVAL and doing and doing[1] & FD_FRAME:
                raise Unsupported(
                    f"{self._interface.name} is not set up for CAN FD; configure it with `fd`",
                    sent=entry.sent,
                ) from None
            raise _with_count(fault(self._interface.name, "sending", error), entry) from None
        return 0.0

    def _hand_over(self, frame: Sequence[Any]) -> None:
        """One frame. What the socket had to tell first is no reason not to send it."""
        try:
            self._socket.send(*frame)
        except OSError as error:
            if error.errno not in (errno.ENETDOWN, errno.ENODEV):
                raise
            self._on_error(error)
            self._socket.send(*frame)

    def _not_running(self) -> float:
        """What to do with frames that would vanish: wait for the automatic restart, if there is one."""
        name = self._interface.name
        if not self._socket.is_up():
            raise OSError(errno.ENETDOWN, "down")
        if not self._interface.restarts_by_itself:
            raise _bus_off(name)
        return BUS_OFF_PAUSE

    def _wait(self, pause: float) -> None:
        if pause:
            self._vain += 1
            if self._vain % PATIENCE == 0 and self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._timer = self._context.call_later(pause, self._pump)
        else:
            self._writing = True
            self._context.add_writer(self._socket.fileno(), self._pump)

    def _stop_waiting(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._writing:
            self._writing = False
            self._context.remove_writer(self._socket.fileno())

    async def _ask(self) -> None:
        """Fail what waits if it would wait for ever, as the controller is bus-off and nobody restarts it."""
        try:
            state = await self._context.run_blocking(self._interface.look)
        except OperationError:
            return  # sending meets it as well
        finally:
            self._asking = None
        if state.state == "bus-off" and not state.configuration.restart_ms:
            self._fail(_bus_off(self._interface.name))


def _bus_off(name: str) -> HardwareError:
    return HardwareError(f"{name} is bus-off; restart it, or set restart-ms so that it does by itself")


def _with_count(error: OperationError, entry: Entry) -> OperationError:
    return type(error)(error.message, **{**error.details, "sent": entry.sent})
