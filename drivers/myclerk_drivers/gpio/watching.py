"""Edges: read from the kernel once, handed to every stream that watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ..base import Stream
from ..context import DriverContext, StreamSink, Timer
from .backend import Edge, LineRequest
from .faults import fault

_WRAP = 0xFFFFFFFF

PAUSE = 0.002
"""Seconds between looks while edges keep coming; the kernel keeps 1,024 of a request, so it stands 500,000 a second."""


class EdgeReader:
    """Reads the edges of one request while somebody watches. ``configure`` has the kernel detect those wanted.

    The kernel lets the oldest edges fall out when its buffer is full; the gaps in their numbers tell how many.

    An edge that comes alone is read at once. Behind it the reader looks every PAUSE until there are no more, as network
    drivers do: to be woken for each edge would cost most of the board's time, and edges with it.
    """

    def __init__(
        self,
        context: DriverContext,
        name: str,
        request: LineRequest,
        line_names: Mapping[int, str],
        configure: Callable[[Mapping[int, str]], None],
    ) -> None:
        self._context = context
        self._name = name
        self._request = request
        self._line_names = line_names
        self._configure = configure
        self._streams: list[EdgeStream] = []
        self._looking: Timer | None = None

    def watch(self, edges: Mapping[int, str]) -> EdgeStream:
        """A stream of these edges: offset -> "rising", "falling" or "both". Raises OSError, status errors."""
        stream = EdgeStream(self, edges)
        self._configure(self._union([*self._streams, stream]))
        if not self._streams:
            self._wait()
        self._streams.append(stream)
        return stream

    def unwatch(self, stream: EdgeStream) -> None:
        """Forget a stream. Idempotent."""
        if stream not in self._streams:
            return
        self._streams.remove(stream)
        if not self._streams:
            self._rest()
        try:
            self._configure(self._union(self._streams))
            if not self._streams:
                self._read()  # what nobody wants is no loss to who watches next
        except OSError as error:
            self._end(error)

    def close(self) -> None:
        """End all streams; the descriptor is not watched any more."""
        self._end(None)

    @staticmethod
    def _union(streams: Sequence[EdgeStream]) -> dict[int, str]:
        union: dict[int, str] = {}
        for stream in streams:
            for offset, edges in stream.edges.items():
                union[offset] = edges if union.get(offset, edges) == edges else "both"
        return union

    def _wait(self) -> None:
        """Until the descriptor is readable."""
        self._context.add_reader(self._request.fd, self._look)

    def _rest(self) -> None:
        """Neither wait nor look."""
        if self._looking is None:
            self._context.remove_reader(self._request.fd)
        else:
            self._looking.cancel()
            self._looking = None

    def _look(self) -> None:
        """Hand on what there is and look again soon, or else wait for the next."""
        self._rest()
        try:
            edges, lost = self._read()
        except OSError as error:
            self._end(error)
            return
        if not edges:
            self._wait()
            return
        self._looking = self._context.call_later(PAUSE, self._look)
        for stream in tuple(self._streams):
            stream.push(edges, lost)

    def _read(self) -> tuple[list[Edge], dict[int, int]]:
        """The edges there are, and how many were lost of each line before them. Raises OSError."""
        edges, last = self._request.read_edges(), self._request.sequences
        lost: dict[int, int] = {}
        for _, offset, _, sequence in edges:
            missing = (sequence - last.get(offset, 0) - 1) & _WRAP
            if missing:
                lost[offset] = lost.get(offset, 0) + missing
            last[offset] = sequence
        return edges, lost

    def _end(self, error: OSError | None) -> None:
        streams, self._streams = self._streams, []
        if streams:
            self._rest()
        for stream in streams:
            stream.end(None if error is None else fault(self._name, "reading edges", error))

    def event(self, edge: Edge) -> dict[str, Any]:
        """An edge as the wire has it."""
        timestamp, offset, rising, sequence = edge
        event = {
            "timestamp_ns": timestamp,
            "line": offset,
            "edge": "rising" if rising else "falling",
            "sequence": sequence,
        }
        if name := self._line_names.get(offset):
            event["name"] = name
        return event


class EdgeStream(Stream):
    """Edges of some lines as events {``timestamp_ns``, ``line``, ``name``, ``edge``, ``sequence``}.

    ``edges`` says which ones: offset -> "rising", "falling" or "both". Nothing holds edges for long, so they are
    pushed as they come; the sink drops and counts what exceeds the credit, and what the kernel lost.
    """

    pushes: ClassVar[str] = "GPIO_EVENT"

    def __init__(self, reader: EdgeReader, edges: Mapping[int, str]) -> None:
        self.edges = edges
        self._reader = reader
        self._sink: StreamSink | None = None
        self._rising = {offset for offset, wanted in edges.items() if wanted in ("rising", "both")}
        self._falling = {offset for offset, wanted in edges.items() if wanted in ("falling", "both")}

    def start(self, sink: StreamSink) -> None:
        """Begin with the edges since the stream was made."""
        self._sink = sink

    def close(self) -> None:
        """Stop. Idempotent."""
        self._sink = None
        self._reader.unwatch(self)

    def push(self, edges: Sequence[Edge], lost: Mapping[int, int]) -> None:
        """Push those of ``edges`` that are wanted; ``lost`` were lost before them, by line."""
        if self._sink is None:
            return
        event = self._reader.event
        events = [
            event(edge) for edge in edges if edge.offset in (self._rising if edge.rising else self._falling)
        ]
        missing = sum(count for offset, count in lost.items() if offset in self.edges)
        if events or missing:
            self._sink.push_events(events, missing)

    def end(self, error: Exception | None) -> None:
        """The lines are gone or released."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.end(error)
