"""Worker threads: one for each resource that has slow operations, so that a stuck bus delays no other."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from myclerk_protocol.status import TooMany

Job = Callable[[], None]
MAX_WAITING = 4096
"""Requests that wait for one resource, all sessions together."""


class Worker:
    """A daemon thread that runs calls one after the other and reports back on the event loop.

    A call that never returns keeps its thread, and only that: daemon threads do not delay the exit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run ``function`` on the thread; the future gets its result or exception."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._calls.put((function, future))
        return future

    def close(self) -> None:
        """Let the thread end behind the calls already submitted."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            error: Exception | None
            try:
                result, error = function(), None
            except Exception as caught:
                result, error = None, caught
                if isinstance(caught, StopIteration):  # no future takes it
                    error = RuntimeError("StopIteration left a driver's method")
            except BaseException as caught:
                result, error = None, RuntimeError(f"{caught!r} left a driver's method")
            try:
                self._loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop is closed: the agent has stopped
                return


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Lane:
    """The order of requests on one resource: while a slow one runs, later ones wait."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._waiting: deque[Job] = deque()
        self.busy = False

    def submit(self, function: Callable[[], Any], done: Callable[[asyncio.Future[Any]], None]) -> None:
        """Run a slow call; ``done`` gets its finished future, then the lane goes on."""
        self.busy = True

        def finished(future: asyncio.Future[Any]) -> None:
            self.busy = False
            try:
                done(future)
            finally:
                while self._waiting and not self.busy:
                    self._waiting.popleft()()

        self._worker.submit(function).add_done_callback(finished)

    def wait(self, job: Job) -> None:
        """Run ``job`` when everything before it on this resource is done.

        Raises TooMany when too many wait: requests that want no answer are bounded by nothing else.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise TooMany("too many requests wait for this resource")
        self._waiting.append(job)

    def close(self) -> None:
        """Let the worker thread end."""
        self._worker.close()
