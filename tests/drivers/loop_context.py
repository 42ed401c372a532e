"""What drivers are tested with: a context on the running event loop, and a sink that keeps what it gets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from myclerk_drivers.base import Stream
from myclerk_drivers.context import Timer

T = TypeVar("T")


class LoopContext:
    """A :class:`myclerk_drivers.context.DriverContext` on the event loop that runs when it is made.

    ``watched`` holds the descriptors that are watched for reading and for writing.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings = settings or {}
        self.log = logging.getLogger("tests.drivers")
        self.watched: tuple[set[int], set[int]] = (set(), set())
        self._loop = asyncio.get_running_loop()

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.watched[0].add(fd)
        self._loop.add_reader(fd, callback)

    def remove_reader(self, fd: int) -> None:
        self.watched[0].discard(fd)
        self._loop.remove_reader(fd)

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        self.watched[1].add(fd)
        self._loop.add_writer(fd, callback)

    def remove_writer(self, fd: int) -> None:
        self.watched[1].discard(fd)
        self._loop.remove_writer(fd)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self._loop.call_later(seconds, callback)

    def run_blocking(self, function: Callable[[], T]) -> Awaitable[T]:
        return self._loop.run_in_executor(None, function)


class CollectingSink:
    """A :class:`myclerk_drivers.context.StreamSink` with credit that the test grants.

    It steers its stream as the agent does: paused when the credit is used up, resumed by :meth:`grant`. Bytes
    pushed beyond the credit fail the test; events beyond it are counted in ``dropped``.
    """

    def __init__(self, stream: Stream, credit: int = 0) -> None:
        self.stream = stream
        self.credit = credit
        self.data = bytearray()
        self.pushes: list[int] = []
        self.events: list[Mapping[str, Any]] = []
        self.dropped = 0
        self.ended = False
        self.error: Exception | None = None
        self._changed = asyncio.Event()

    def start(self) -> CollectingSink:
        """Start the stream into this sink."""
        self.stream.start(self)
        if self.credit == 0:
            self.stream.pause()
        return self

    def grant(self, credit: int) -> None:
        """Give credit and let the stream go on."""
        self.credit += credit
        self.stream.resume()

    def push_bytes(self, data: bytes) -> None:
        assert not self.ended, "bytes after the end"
        assert 0 < len(data) <= self.credit, f"{len(data)} bytes pushed on a credit of {self.credit}"
        self.data += data
        self.pushes.append(len(data))
        self._spend(len(data))

    def push_events(self, events: Sequence[Mapping[str, Any]], dropped: int = 0) -> None:
        assert not self.ended, "events after the end"
        self.events += events[: self.credit]
        self.dropped += dropped + max(len(events) - self.credit, 0)
        self._spend(min(len(events), self.credit))

    def end(self, error: Exception | None = None) -> None:
        assert not self.ended, "ended twice"
        self.ended, self.error = True, error
        self._changed.set()
        self.stream.close()

    async def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Wait until ``condition`` holds, looking whenever something was pushed."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _spend(self, credit: int) -> None:
        self.credit -= credit
        self._changed.set()
        if self.credit == 0:
            self.stream.pause()
