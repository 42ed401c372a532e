"""A measurement of the processor's use: an open handle, and the stream that it can give."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from myclerk_drivers.base import Access, Handle, Resource, Stream, serves
from myclerk_drivers.context import DriverContext, StreamSink, Timer
from myclerk_protocol.status import HardwareError, NotFound

from . import kernel


class Monitor(Handle):
    """Remembers the last look, so that each look tells what happened since. Several may be open at once."""

    shared = True

    def __init__(self, resource: Resource, context: DriverContext) -> None:
        """Raises OSError when the kernel does not let us look."""
        super().__init__(resource)
        self._context = context
        self._fd: int | None = kernel.open_times()
        self._last = self.times()

    def describe(self) -> Mapping[str, Any]:
        """What the answer to HEALTH_MONITOR_OPEN has beside the handle."""
        return {"processors": os.cpu_count() or 1}

    def times(self) -> kernel.Times:
        """The times now. Raises NotFound once the handle is closed."""
        if self._fd is None:
            raise NotFound("this measurement has ended")
        return kernel.read_times(self._fd)

    def close(self) -> None:
        """Give the descriptor back. Idempotent, as the agent may be releasing everything."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    @serves("HEALTH_MONITOR_READ", access=Access.READ)
    def read(self) -> Mapping[str, Any]:
        """{``busy``} since the last look; nothing when the kernel has not counted a tick since."""
        before, now = self._last, self.times()
        busy = kernel.share(before, now)
        if busy is not None:
            self._last = now
        return {"busy": busy}

    @serves("HEALTH_MONITOR_WATCH", access=Access.READ)
    def watch(self, interval: float = 1.0) -> Stream:
        """A stream of events {``timestamp_ns``, ``busy``}, one each ``interval`` seconds."""
        return BusyStream(self, self._context, interval)

    @serves("HEALTH_MONITOR_CLOSE", access=Access.NONE, audit=True)
    def close_monitor(self) -> None:
        """Nothing to do: behind an operation whose name ends in _CLOSE the agent closes the handle."""


class BusyStream(Stream):
    """Looks at the times at fixed intervals. Without credit it goes on: the sink drops and counts."""

    def __init__(self, monitor: Monitor, context: DriverContext, interval: float) -> None:
        self._monitor = monitor
        self._context = context
        self._interval = interval
        self._last = monitor.times()
        self._sink: StreamSink | None = None
        self._timer: Timer | None = None

    def start(self, sink: StreamSink) -> None:
        """Begin; the first event comes after one interval."""
        self._sink = sink
        self._schedule()

    def close(self) -> None:
        """Stop. Idempotent."""
        self._sink = None
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        self._timer = self._context.call_later(self._interval, self._look)

    def _look(self) -> None:
        sink = self._sink
        if sink is None:
            return
        try:
            now = self._monitor.times()
        except OSError as error:
            sink.end(HardwareError(f"/proc/stat cannot be read: {error.strerror}"))
            return
        busy = kernel.share(self._last, now)
        if busy is not None:
            self._last = now
            sink.push_events([{"timestamp_ns": time.time_ns(), "busy": busy}])
        self._schedule()
