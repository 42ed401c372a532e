"""Streams of a port: the bytes it receives, and the changes of its modem lines."""

from __future__ import annotations

import asyncio

from myclerk_protocol.status import OperationError

from ..base import Stream
from ..context import StreamSink
from . import lines
from .reading import Reader
from .tty import OpenTty

LARGEST_READ = 1 << 16


class ByteStream(Stream):
    """Received bytes, read only as far as credit goes: without credit they stay in the kernel, where flow
    control can hold back the sender. It is the port's one reader from its making to its :meth:`close`."""

    is_bytes = True

    def __init__(self, reader: Reader) -> None:
        reader.reserve(self)
        self._reader = reader
        self._tty = reader.tty
        self._sink: StreamSink | None = None
        self._reading = False
        self._forget = self._tty.on_end(self._ended)

    def start(self, sink: StreamSink) -> None:
        """Begin with what earlier reads left over. Raises NotFound or DeviceGone."""
        self._tty.check()
        self._sink = sink
        self.resume()

    def resume(self) -> None:
        """Read on while there is credit. A hang-up during a pause is noticed here."""
        if self._reading or self._sink is None:
            return
        while len(self._reader.intake) and (credit := self._sink.credit) > 0:
            self._sink.push_bytes(self._reader.intake.take_any(min(credit, LARGEST_READ)))
            if self._sink is None:  # the sink stopped us
                return
        if self._sink.credit > 0:
            self._reading = True
            self._tty.watch_input(self._readable)

    def pause(self) -> None:
        """Leave what arrives to the kernel."""
        if self._reading:
            self._reading = False
            self._tty.unwatch_input()

    def close(self) -> None:
        """Stop and make way for another reader. Idempotent."""
        self.pause()
        self._sink = None
        self._forget()
        self._reader.release(self)

    def _readable(self) -> None:
        sink = self._sink
        if sink is None or (credit := sink.credit) <= 0:
            self.pause()
            return
        try:
            data = self._tty.read(min(credit, LARGEST_READ))
        except OperationError as error:
            self._ended(error)
            return
        if data:
            sink.push_bytes(data)

    def _ended(self, error: OperationError) -> None:
        self.pause()
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.end(error)


class LineStream(Stream):
    """Changes of CTS, DSR, RI and DCD as events {``timestamp_ns`` (CLOCK_REALTIME), ``line``, ``value``}.

    The kernel has no descriptor to poll for them and TIOCMIWAIT holds a thread for good, so the lines are
    looked at every ``interval`` seconds, only while somebody watches; ``on_usb`` by a thread, as an adapter
    wants a transfer for it. What the client has no credit for the sink drops and counts.
    """

    def __init__(self, tty: OpenTty, first: lines.Look, interval: float, on_usb: bool) -> None:
        self._tty = tty
        self._changes = lines.Changes(first)
        self._interval = interval
        self._on_usb = on_usb
        self._task: asyncio.Task[None] | None = None

    def start(self, sink: StreamSink) -> None:
        """Begin to look; changes since the stream was made come first."""
        self._task = asyncio.get_running_loop().create_task(self._watch(sink))

    def close(self) -> None:
        """Stop looking. Idempotent."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self, sink: StreamSink) -> None:
        try:
            while True:
                if events := self._changes.since(await self._look()):
                    sink.push_events(events)
                await self._tty.pause(self._interval)
        except OperationError as error:
            sink.end(error)

    async def _look(self) -> lines.Look:
        if self._on_usb:
            return await self._tty.in_thread("modem lines", lines.look)
        return self._tty.quick("modem lines", lines.look)
