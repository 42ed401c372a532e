"""All that a driver may see of the agent: the event loop's readiness and timers, settings, a logger."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    """A pending call made by :meth:`DriverContext.call_later`."""

    def cancel(self) -> None:
        """Forget the call; harmless when it has run already."""


class DriverContext(Protocol):
    """The agent as a driver sees it. Everything but :meth:`run_blocking` is for the event loop's thread."""

    settings: Mapping[str, Any]
    log: logging.Logger

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` can be read, until :meth:`remove_reader`."""

    def remove_reader(self, fd: int) -> None:
        """Stop watching; call it before closing ``fd``."""

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` can be written, until :meth:`remove_writer`."""

    def remove_writer(self, fd: int) -> None:
        """Stop watching; call it before closing ``fd``."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once after ``seconds``."""

    def run_blocking(self, function: Callable[[], T]) -> Awaitable[T]:
        """Run a call that may block for long on a thread of its own and await its result."""


class StreamSink(Protocol):
    """Where a stream puts what it has. Calls are made on the event loop's thread."""

    @property
    def credit(self) -> int:
        """Bytes (byte streams) or events (event streams) that may be pushed now; never negative."""

    def push_bytes(self, data: bytes) -> None:
        """Push bytes of a byte stream; at most ``credit`` of them."""

    def push_events(self, events: Sequence[Mapping[str, Any]], dropped: int = 0) -> None:
        """Push events of an event stream; those beyond ``credit`` are dropped and counted.

        ``dropped`` counts events that were lost at the source before these.
        """

    def end(self, error: Exception | None = None) -> None:
        """The stream is over, with the reason if it did not end by itself; the client is told."""
