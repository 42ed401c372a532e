"""The stream of what a handle receives."""

from __future__ import annotations

import errno

from myclerk_protocol.status import Conflict

from ..base import Stream
from ..context import DriverContext, StreamSink, Timer
from .backend import CanSocket
from .faults import fault
from .interface import Interface

BATCH = 64
"""Frames of one event: what is there is read in one go, then other work of the event loop gets its turn."""
GRACE = 0.5
"""Seconds after which it is judged what going down was: a new configuration, an end, or an adapter pulled, which
goes down before it is gone."""


class Reader:
    """The one place of a handle that reads its socket. At most one stream at a time."""

    def __init__(self, context: DriverContext, socket: CanSocket, interface: Interface) -> None:
        self.context = context
        self.socket = socket
        self.interface = interface
        self.stream: FrameStream | None = None

    def open(self) -> FrameStream:
        """The stream. Raises Conflict while there is one; HardwareError, DeviceGone when nothing can come."""
        if self.stream is not None:
            raise Conflict(f"this handle on {self.interface.name} has a stream of its frames already")
        try:
            if not self.socket.is_up():
                raise OSError(errno.ENETDOWN, "down")
        except OSError as error:
            raise fault(self.interface.name, "receiving", error) from None
        self.interface.may_be_down = False
        self.stream = FrameStream(self)
        return self.stream

    def failed(self, error: OSError) -> None:
        """Something else met an error of the socket, which tells each of them once."""
        if self.stream is not None:
            self.stream.failed(error)


class FrameStream(Stream):
    """Received frames as events {``frames``, ``dropped``}: what one look at the socket gave.

    Without credit they stay in the kernel, up to the receive buffer; what finds no room there is counted by
    the kernel and told with the next frames.
    """

    window = 512

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sink: StreamSink | None = None
        self._reading = False
        self._judging: Timer | None = None

    def start(self, sink: StreamSink) -> None:
        """Begin with what came since the handle was opened."""
        self._sink = sink
        self.resume()

    def resume(self) -> None:
        """Read on while there is credit."""
        if not self._reading and self._sink is not None and self._sink.credit > 0:
            self._reading = True
            self._reader.context.add_reader(self._reader.socket.fileno(), self._readable)

    def pause(self) -> None:
        """Leave what comes to the kernel."""
        if self._reading:
            self._reading = False
            self._reader.context.remove_reader(self._reader.socket.fileno())

    def close(self) -> None:
        """Stop and make way for another stream. Idempotent."""
        self.pause()
        self._sink = None
        if self._judging is not None:
            self._judging.cancel()
            self._judging = None
        if self._reader.stream is self:
            self._reader.stream = None

    def failed(self, error: OSError) -> None:
        """The socket has an error. Going down for a new configuration does not end the stream."""
        if error.errno != errno.ENETDOWN:
            self._end(error)
        elif self._judging is None and not self._reader.interface.may_be_down:
            self._judging = self._reader.context.call_later(GRACE, self._judge)

    def _readable(self) -> None:
        sink = self._sink
        if sink is None or sink.credit <= 0:
            self.pause()
            return
        received = self._reader.socket.receive(BATCH)
        if received.frames:
            event: dict[str, object] = {"frames": received.frames}
            if received.dropped:
                event["dropped"] = received.dropped
            sink.push_events([event])
        if received.error is not None:
            self.failed(received.error)

    def _judge(self) -> None:
        """It went down a moment ago."""
        self._judging = None
        if self._sink is None or self._reader.interface.may_be_down:
            return
        try:
            if not self._reader.socket.is_up():
                self._end(OSError(errno.ENETDOWN, "down"))
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> None:
        self.pause()
        if self._sink is not None:
            self._sink.end(fault(self._reader.interface.name, "receiving", error))
