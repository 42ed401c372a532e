"""An open tty: its descriptor, who waits on it, and why it cannot be used any more."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from myclerk_protocol.status import DeviceGone, NotFound, OperationError

from ..context import DriverContext
from . import kernel
from .faults import fault

T = TypeVar("T")

FULL_READ = 4095
"""What one read gives at most while more is there: the line discipline's buffer (N_TTY_BUF_SIZE - 1)."""


class OpenTty:
    """A non-blocking tty on the event loop, and on worker threads that borrow its descriptor for a while.

    It can be built on any thread; :meth:`borrow` and :meth:`end_error` are for any thread, all else is for
    the event loop's. ``closed`` is set when the last user has let go of the descriptor and it is closed;
    ``exclusive`` notes that it is held by our own TIOCEXCL.
    """

    def __init__(self, fd: int, name: str, context: DriverContext) -> None:
        self.fd = fd
        self.name = name
        self.context = context
        self.closed = threading.Event()
        self.exclusive = False
        self._users = 1
        self._lock = threading.Lock()
        self._error: OperationError | None = None
        self._waiters: set[asyncio.Future[Any]] = set()
        self._on_end: set[Callable[[OperationError], None]] = set()
        self._closing: asyncio.Future[None] | None = None

    @property
    def is_closing(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closing is not None

    def check(self) -> None:
        """Raise NotFound after :meth:`close`, DeviceGone after a hang-up.

        To be asked after each await: the descriptor's number may be another file's by then.
        """
        if self._error is not None:
            raise self.end_error()

    def end_error(self) -> OperationError:
        """A fresh copy of the error that ended it."""
        error = self._error or NotFound(f"{self.name} was closed")
        return type(error)(error.message, **error.details)

    def read(self, limit: int) -> bytes:
        """What has arrived, up to ``limit`` bytes; maybe nothing. Raises DeviceGone, HardwareError."""
        data = self._read_once(limit)
        if len(data) < FULL_READ:
            return data
        chunks = [data]
        with suppress(OSError):  # whatever it is, the next read meets it again
            while len(data) >= FULL_READ and (limit := limit - len(data)) > 0:
                data = os.read(self.fd, limit)
                chunks.append(data)
        return b"".join(chunks)

    def _read_once(self, limit: int) -> bytes:
        self.check()
        try:
            data = os.read(self.fd, limit)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self.failed("reading", error) from None
        if not data:
            self.end(DeviceGone(f"{self.name} is gone"))
            raise self.end_error()
        return data

    def write(self, data: bytes | memoryview) -> int:
        """Hand over what the kernel takes now; how many bytes. Raises DeviceGone, HardwareError."""
        self.check()
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self.failed("writing", error) from None

    def failed(self, doing: str, error: OSError) -> OperationError:
        """The error to raise for ``error``; a device that is gone fails everything in flight with it."""
        translated = fault(self.fd, self.name, doing, error)
        if isinstance(translated, DeviceGone):
            self.end(translated)
            return self.end_error()
        return translated

    def watch_input(self, callback: Callable[[], None]) -> None:
        """Call back whenever there is something to read."""
        self.context.add_reader(self.fd, callback)

    def unwatch_input(self) -> None:
        """Stop that. Once ended nothing is watched, and the descriptor's number may be another's already."""
        if self._error is None:
            self.context.remove_reader(self.fd)

    def watch_room(self, callback: Callable[[], None]) -> None:
        """Call back whenever there is room to write."""
        self.context.add_writer(self.fd, callback)

    def unwatch_room(self) -> None:
        """Stop that; as :meth:`unwatch_input`."""
        if self._error is None:
            self.context.remove_writer(self.fd)

    def on_end(self, callback: Callable[[OperationError], None]) -> Callable[[], None]:
        """Call back once with the error when it ends; the result takes that back."""
        self._on_end.add(callback)
        return partial(self._on_end.discard, callback)

    def waiter(self) -> asyncio.Future[Any]:
        """A future that fails at the latest when this tty ends; raises when it has ended already."""
        self.check()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiters.add(future)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: asyncio.Future[Any]) -> None:
        self._waiters.discard(future)
        if not future.cancelled():
            future.exception()  # looked at: one that nobody awaits any more is not worth a log line

    async def within(self, future: asyncio.Future[Any], seconds: float | None) -> bool:
        """Await a :meth:`waiter`; False when ``seconds`` passed first (None: no limit)."""
        if seconds is None:
            await future
            return True
        timer = self.context.call_later(max(seconds, 0), partial(settle, future, _EXPIRED))
        try:
            return await future is not _EXPIRED
        finally:
            timer.cancel()

    async def pause(self, seconds: float) -> None:
        """Sleep; raises the error that ends this tty at once."""
        await self.within(self.waiter(), seconds)

    def quick(self, doing: str, function: Callable[[int], T]) -> T:
        """``function(fd)`` here and now. Raises as :meth:`in_thread`."""
        self.check()
        try:
            return function(self.fd)
        except OSError as error:
            raise self.failed(doing, error) from None

    async def in_thread(self, doing: str, function: Callable[[int], T], seconds: float | None = None) -> T:
        """Run ``function(fd)``, which may block, on a thread. When this tty ends, it is not waited for.

        Raises TimeoutError after ``seconds``; DeviceGone, HardwareError or Unsupported for an OSError.
        """
        waiter = self.waiter()
        task = asyncio.ensure_future(self.context.run_blocking(partial(self.borrow, function)))
        task.add_done_callback(partial(_hand_over, waiter))
        try:
            if not await self.within(waiter, seconds):
                raise TimeoutError
            result: T = waiter.result()
            return result
        except (OperationError, TimeoutError):
            raise
        except OSError as error:
            raise self.failed(doing, error) from None

    def borrow(self, function: Callable[[int], T]) -> T:
        """Run ``function(fd)``; the descriptor stays open until it returns. Raises NotFound when closed."""
        with self._lock:
            if self._closing is not None:
                raise self.end_error()
            self._users += 1
        try:
            return function(self.fd)
        finally:
            self._leave()

    def end(self, error: OperationError) -> None:
        """Fail everything in flight and all that comes later. Only the first call counts."""
        if self._error is not None:
            return
        self._error = error
        self.context.remove_reader(self.fd)
        self.context.remove_writer(self.fd)
        for future in list(self._waiters):
            if not future.done():
                future.set_exception(self.end_error())
        for callback in list(self._on_end):
            callback(self.end_error())
        self._on_end.clear()

    def close(self) -> None:
        """End, discard what was not sent and close. Idempotent and quick.

        The kernel may take up to 30 s over the last close of a port that flow control has stopped, and USB
        adapters want a transfer to drop DTR, so a thread does that; see ``closed``.
        """
        if self._closing is not None:
            return
        self.end(NotFound(f"{self.name} was closed"))
        with self._lock:
            self._closing = asyncio.ensure_future(self.context.run_blocking(self._release))

    def _release(self) -> None:
        with suppress(OSError):
            kernel.flush(self.fd, "both")
            if self.exclusive:  # else it would be another program's
                kernel.set_exclusive(self.fd, False)
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            with suppress(OSError):
                os.close(self.fd)
            self.closed.set()


_EXPIRED = object()


def settle(future: asyncio.Future[Any], result: Any = None) -> None:
    """Give a future its result unless it has one, or was cancelled."""
    if not future.done():
        future.set_result(result)


def _hand_over(waiter: asyncio.Future[Any], task: asyncio.Future[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if waiter.done():
        return
    if task.cancelled():
        waiter.cancel()
    elif error is not None:
        waiter.set_exception(error)
    else:
        waiter.set_result(task.result())
