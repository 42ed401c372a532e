"""One thread for each bus: its transfers run in the order asked, whoever asks, and none beside another.

A bus has several resources (its addresses, its chip selects), which the agent does not put into one order.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from myclerk_protocol.status import TooMany

MAX_WAITING = 4096
"""Calls that wait for one bus, all sessions together; those that were cancelled count until their turn comes."""

T = TypeVar("T")


@dataclass(slots=True)
class _Call:
    function: Callable[[], Any]
    discard: Callable[[Any], object] | None
    future: asyncio.Future[Any]


class BusThread:
    """Runs calls one after the other. It is a daemon: a transfer that hangs does not delay the agent's exit.

    All methods are for the event loop's thread. The thread starts with the first call.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._unfinished = 0

    @property
    def idle(self) -> bool:
        """Whether no call waits or runs, so that a quick one may be made right here."""
        return self._unfinished == 0

    def submit(
        self,
        function: Callable[[], T],
        discard: Callable[[T], object] | None = None,
        *,
        limited: bool = True,
    ) -> asyncio.Future[T]:
        """Run ``function`` behind all that was submitted before; the future gets its result or exception.

        A future that is cancelled in time is not run. Where it is too late, ``discard`` gets the result. Raises
        TooMany when too many calls wait, unless ``limited`` is False, as for what gives something back.
        """
        if limited and self._unfinished >= MAX_WAITING:
            raise TooMany("too many requests wait for this bus")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
            self._thread.start()
        self._unfinished += 1
        self._calls.put(_Call(function, discard, future))
        return future

    def close(self, seconds: float = 0.0) -> None:
        """Let the thread end behind the calls already submitted, and wait for that up to ``seconds``."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join(seconds)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while (call := self._calls.get()) is not None:
            result, error = None, None
            started = not call.future.cancelled()
            try:
                result = call.function() if started else None
            except Exception as caught:
                error = caught
            try:
                loop.call_soon_threadsafe(self._finished, call, started, result, error)
            except RuntimeError:  # the loop is closed: the agent has stopped
                return

    def _finished(self, call: _Call, started: bool, result: Any, error: Exception | None) -> None:
        self._unfinished -= 1
        if not call.future.cancelled():
            if error is not None:
                call.future.set_exception(error)
            else:
                call.future.set_result(result)
        elif started and error is None and call.discard is not None:
            call.discard(result)
