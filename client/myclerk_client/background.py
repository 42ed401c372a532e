"""The thread whose event loop runs the blocking API, and the cheapest safe way to call into it.

A call costs one ``call_soon_threadsafe``, one task and one eventfd. Waiting on an eventfd instead of a lock
halves the time of a call: writing it lets go of the interpreter lock, so the waiting thread runs on at once.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import select
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from myclerk_protocol.status import LocalError

from .environment import new_event_loop

STOP_TIME = 1.0
"""Seconds that tasks have to end at the program's exit."""

SIGNAL_TIME = 1
"""Seconds after which an interrupt is seen at the latest; nearly always it is at once."""

INSIDE_A_LOOP = (
    "this thread runs an event loop, which a blocking call would stop: await the same call of `myclerk`, "
    "or make the blocking one from another thread (asyncio.to_thread)"
)
FORKED = (
    "this belongs to the process that this one was forked from: connect anew here, "
    "or start processes with multiprocessing's method spawn"
)
ENDING = "the program is ending, and with it the thread that blocking calls need"


at_end: list[Callable[[], Awaitable[None]]] = []
"""Awaited on the loop's thread when the program ends, each for a second at most."""


class _Answer:
    """An eventfd that wakes the thread that waits for a call; closed with its last user."""

    __slots__ = ("_ready", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._ready = select.poll()
        self._ready.register(fd, select.POLLIN)

    def wait(self) -> None:
        """Until it is written. Now and then Python gets to see a signal that came just before the wait."""
        while not self._ready.poll(1000 * SIGNAL_TIME):
            pass
        os.eventfd_read(self.fd)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.fd)


class _Call:
    """One call: made and awaited by its thread, everything between on the loop's thread."""

    __slots__ = ("answer", "arguments", "error", "function", "keywords", "result", "task", "thread")

    def __init__(
        self,
        thread: LoopThread,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        answer: _Answer,
    ) -> None:
        self.thread = thread
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.answer = answer
        self.result: Any = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run a function whose result is to be awaited."""
        self.task = asyncio.get_running_loop().create_task(self._await())

    async def _await(self) -> None:
        try:
            self.result = await self.function(*self.arguments, **self.keywords)
        except BaseException as error:
            self.error = error
        self._finish()

    def run(self) -> None:
        """Run a plain function."""
        try:
            self.result = self.function(*self.arguments, **self.keywords)
        except BaseException as error:
            self.error = error
        self._finish()

    def cancel(self, ended: threading.Event) -> None:
        """The calling thread was interrupted: end the task if there is one, then say so."""
        if self.task is None or self.task.done():
            self._release(ended)
        else:
            self.task.add_done_callback(lambda task: self._release(ended))
            self.task.cancel()

    def _finish(self) -> None:
        if self.thread.over is None:  # at exit only daemon threads wait, and they end without a word
            os.eventfd_write(self.answer.fd, 1)

    def _release(self, ended: threading.Event) -> None:
        self.error = None  # its traceback may hold this call
        os.eventfd_write(self.answer.fd, 1)
        os.eventfd_read(self.answer.fd)  # now it is empty, whether or not its thread has read it
        self.thread.answers.append(self.answer)
        ended.set()


class LoopThread:
    """A daemon thread that runs one event loop (uvloop's where it is installed) until the program's exit.

    ``over`` is None, or the sentence that says why no call can be made any more; ``answers`` are free to use.
    """

    def __init__(self) -> None:
        self.over: str | None = None
        self.answers: list[_Answer] = []
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name="myclerk", daemon=True)
        self._thread.start()

    def call(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
        *,
        awaited: bool,
    ) -> Any:
        """Call ``function`` on the loop's thread, await its result if ``awaited``; give or raise the outcome.

        An exception in this thread meanwhile (KeyboardInterrupt) cancels the call, waits until that has
        cleaned up, and propagates. Raises LocalError where waiting would never end, and
        concurrent.futures.CancelledError when something else cancelled what was awaited.
        """
        if self.over is not None:
            raise LocalError(self.over)
        if asyncio._get_running_loop() is not None:
            raise LocalError(INSIDE_A_LOOP)
        call = _Call(self, function, arguments, keywords or {}, self._free_answer())
        try:
            self._loop.call_soon_threadsafe(call.start if awaited else call.run)
            call.answer.wait()
        except BaseException:
            ended = threading.Event()
            self._loop.call_soon_threadsafe(call.cancel, ended)
            while not ended.wait(SIGNAL_TIME):
                pass
            raise
        self.answers.append(call.answer)
        if call.error is None:
            return call.result
        if isinstance(call.error, asyncio.CancelledError):
            raise concurrent.futures.CancelledError("the call was cancelled before it was done") from None
        try:
            raise call.error
        finally:
            call.error = None  # the error's traceback holds this frame, and this frame the call

    def stop(self) -> None:
        """End the loop and the thread; whatever still waits is never answered."""
        self.over = ENDING
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2 * STOP_TIME)

    def _free_answer(self) -> _Answer:
        try:
            return self.answers.pop()
        except IndexError:
            return _Answer(os.eventfd(0, os.EFD_CLOEXEC))

    def _run(self) -> None:
        loop = self._loop
        loop.run_forever()
        for ending in at_end:
            with contextlib.suppress(TimeoutError):
                loop.run_until_complete(asyncio.wait_for(ending(), STOP_TIME))
        if tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=STOP_TIME))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Process:
    """What this process has: the one thread, started at first use, and those it inherited by a fork.

    The latter are kept for good: closing a loop here would unregister its files in the parent's loop too.
    """

    def __init__(self) -> None:
        self.thread: LoopThread | None = None
        self.starting = threading.Lock()
        self.inherited: list[LoopThread] = []

    def forked(self) -> None:
        """In the child of a fork: the thread is gone, and whoever held the lock may be gone too."""
        self.starting = threading.Lock()
        if self.thread is not None:
            self.thread.over = FORKED
            self.inherited.append(self.thread)
            self.thread = None

    def stop(self) -> None:
        """At exit."""
        if self.thread is not None:
            self.thread.stop()


_process = _Process()
atexit.register(_process.stop)
os.register_at_fork(after_in_child=_process.forked)


def current() -> LoopThread:
    """The thread that all blocking calls of this process share; started by the first."""
    thread = _process.thread
    if thread is None:
        with _process.starting:
            if _process.thread is None:
                _process.thread = LoopThread()
            thread = _process.thread
    return thread
