"""Open streams: credit, resending after a resume, and what was dropped (docs/protocol.md, Flow control)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from myclerk_drivers.base import Access, Handle, Resource, Stream
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import BadRequest, InternalError, Unsupported

from .faults import translate

log = logging.getLogger("myclerk.streams")

BYTE_WINDOW = 1 << 20
"""Bytes that the agent keeps at most above the client's last ``consumed``, whatever credit was granted. For events
:attr:`Stream.window` says how many."""

LARGEST_PUSH = 64 << 10
"""Bytes of one push; more becomes several."""
MOST_EVENTS = 256
"""Events of one push; more become several."""
SLICE = 0.1
"""Seconds of a limited rate that one push may use up."""


@cache
def _push_of(operation: str) -> tuple[int, Callable[[Mapping[str, Any]], bytes]]:
    """Opcode and encoder of the pushes that bear ``operation``."""
    rule = Schema.load().push(operation)
    assert rule is not None, f"{operation} has no push rule"
    return REGISTRY.by_name(operation).code, rule.encode


class AgentStream:
    """One open stream of a session; the :class:`StreamSink` of its driver.

    ``position`` counts bytes (byte streams) or events (event streams) from 0. What lies above the client's
    last ``consumed`` is kept for a resume, so the credit in force never reaches further than a fixed window
    beyond it. After a resume the stream stands still until STREAM_CONFIGURE says where to continue.
    """

    def __init__(
        self,
        record: SessionRecord,
        request_id: int,
        tier: int,
        source: Stream,
        *,
        handle: Handle | None = None,
        credit_to: int = 0,
        compress: bool = False,
    ) -> None:
        self.source = source
        self.handle = handle
        self.parts: tuple[Resource, ...] = ()
        """What it shows; it ends when ``access`` to that is taken away."""
        self.access = Access.READ
        self._record = record
        self._request_id = request_id
        self._tier = tier
        self._compress = compress
        self._opcode, self._encode = _push_of(source.pushes)
        self._credit_to = credit_to
        self._consumed = 0
        self._position = 0
        self._dropped = 0
        self._kept: deque[tuple[int, Any]] = deque()
        self._window = BYTE_WINDOW
        self._detached = False
        self._paused = False
        self._running = True
        self._interval = 0.0
        self._rate = 0
        self._resting: asyncio.TimerHandle | None = None
        self._gathered: list[Mapping[str, Any]] = []
        self._ended: dict[str, Any] | None = None
        self._closed = False

    def start(self) -> None:
        """Let the driver begin; an error it raises ends the stream."""
        try:
            self.source.start(self)
        except Exception as error:
            self.end(error)
            return
        self._steer()

    @property
    def credit(self) -> int:
        """Bytes or events that may be pushed now; 0 while paused or between connections."""
        if self._detached or self._paused or self._ended is not None:
            return 0
        credit = max(min(self._credit_to, self._consumed + self._window) - self._position, 0)
        if self.source.is_bytes:
            if self._resting is not None:
                return 0
            return min(credit, max(int(self._rate * max(self._interval, SLICE)), 1)) if self._rate else credit
        return max(credit - len(self._gathered), 0)

    def push_bytes(self, data: bytes) -> None:
        """Push bytes in order; they are kept until the client has consumed them."""
        for start in range(0, len(data), LARGEST_PUSH):
            piece = data[start : start + LARGEST_PUSH] if len(data) > LARGEST_PUSH else data
            offset = self._position
            self._position += len(piece)
            self._kept.append((offset, piece))
            self._send({"offset": offset, "data": piece})
        if self._interval or self._rate:
            self._rest(len(data))
        if self.credit == 0:
            self._steer()

    def push_events(self, events: Sequence[Mapping[str, Any]], dropped: int = 0) -> None:
        """Push events in order; those beyond the credit are dropped and counted for the next push.

        ``dropped`` counts those that the source lost before these.
        """
        self._window = self.source.window
        self._dropped += dropped
        room = self.credit
        lost = max(len(events) - room, 0)
        if lost:
            events = events[:room]
        if self._resting is not None:
            self._gathered += events
            self._dropped += lost
        elif events:
            self._push(events)
            self._dropped = lost
            if self._interval:
                self._rest()
        else:
            self._dropped += lost
        if self.credit == 0:
            self._steer()

    def end(self, error: Exception | None = None) -> None:
        """The source is finished; the client is told once, on this connection or after a resume."""
        if self._ended is not None or self._closed:
            return
        self._flush()
        self._ended = {"end": True}
        if self._dropped:
            self._ended["dropped"] = self._dropped
        if error is not None:
            failure = translate(error, self.handle.resource.name if self.handle else "")
            if isinstance(failure, InternalError):
                log.error("a stream ended by an unexpected error", exc_info=error)
            self._ended.update(status=int(failure.status), message=failure.message)
            if "errno" in failure.details:
                self._ended["errno"] = failure.details["errno"]
        if not self._detached:
            self._send(self._ended)
        self._close_source()

    def configure(self, consumed: int | None, credit_to: int | None) -> None:
        """STREAM_CONFIGURE: what the client has consumed, and how far it lets us push.

        Raises BadRequest for a position that was never pushed, or one that goes back.
        """
        if consumed is not None:
            if not self._consumed <= consumed <= self._position:
                raise BadRequest(
                    f"`consumed` must lie between {self._consumed} and {self._position}", key="consumed"
                )
            self._consumed = consumed
            kept = self._kept
            while kept and self._arrived(kept[0]):
                kept.popleft()
        if credit_to is not None:
            self._credit_to = max(self._credit_to, credit_to)
        if self._detached:
            self._detached = False
            self._resend()
        self._steer()

    def pause(self) -> None:
        """STREAM_PAUSE: push nothing until :meth:`resume`."""
        self._flush()
        self._paused = True
        self._steer()

    def resume(self) -> None:
        """STREAM_RESUME: go on within the credit."""
        self._paused = False
        self._steer()

    def set_quality(self, interval: float | None, rate: int | None) -> Mapping[str, Any]:
        """STREAM_QUALITY: fewer pushes, or fewer bytes a second; what is in force then.

        What comes in between waits in the kernel (bytes), or here for one push (events). Raises Unsupported.
        """
        if rate is not None and not self.source.is_bytes:
            raise Unsupported(
                "the events of a stream cannot be limited to a `rate`; set its `interval`", key="rate"
            )
        self._interval = self._interval if interval is None else float(interval)
        self._rate = self._rate if rate is None else rate
        self._rested()
        return {"interval": self._interval, "rate": self._rate if self.source.is_bytes else None}

    def announce(self, news: Mapping[str, Any]) -> None:
        """Push what has no position but its place among the data; it is kept like these, the last of several."""
        self._flush()
        if self._kept and _is_news(self._kept[-1][1]):
            self._kept.pop()
        self._kept.append((self._position, news))
        if not self._detached:
            self._send(news)

    def detach(self) -> None:
        """The connection is lost: keep what was pushed, read no more, until the client says where it was."""
        self._flush()
        self._detached = True
        self._steer()

    def close(self) -> None:
        """STREAM_STOP or release. Idempotent."""
        if not self._closed:
            self._close_source()
            self._kept.clear()
            self._gathered.clear()

    def _close_source(self) -> None:
        if not self._closed:
            self._closed = True
            if self._resting is not None:
                self._resting.cancel()
            try:
                self.source.close()
            except Exception:
                log.exception("closing a stream failed")

    def _steer(self) -> None:
        """Tell the source when credit came or went."""
        running = self.credit > 0
        if running is self._running or self._closed:
            return
        self._running = running
        try:
            if running:
                self.source.resume()
            else:
                self.source.pause()
        except Exception as error:
            self.end(error)

    def _push(self, events: Sequence[Mapping[str, Any]]) -> None:
        for start in range(0, len(events), MOST_EVENTS):
            piece = events[start : start + MOST_EVENTS]
            index = self._position
            self._position += len(piece)
            push: dict[str, Any] = {"index": index, "events": piece}
            if self._dropped:
                push["dropped"], self._dropped = self._dropped, 0
            self._kept.append((index, push))
            self._send(push)

    def _flush(self) -> None:
        """Push what was gathered, however soon that is."""
        events, self._gathered = self._gathered, []
        if events:
            self._push(events)

    def _rest(self, size: int = 0) -> None:
        """After a push of ``size`` bytes there is none for a while."""
        seconds = max(self._interval, size / self._rate if self._rate else 0.0)
        self._resting = asyncio.get_running_loop().call_later(seconds, self._rested)

    def _rested(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._gathered:
            self._flush()
            self._rest()
        self._steer()

    def _send(self, push: Mapping[str, Any]) -> None:
        self._record.push(
            self._request_id, self._opcode, self._encode(push), tier=self._tier, compress=self._compress
        )

    def _resend(self) -> None:
        for start, item in self._kept:
            skip = max(self._consumed - start, 0)
            if isinstance(item, bytes):
                self._send({"offset": start + skip, "data": item[skip:]})
            elif _is_news(item):
                self._send(item)
            else:
                self._send({**item, "index": start + skip, "events": item["events"][skip:]})
        if self._ended is not None:
            self._send(self._ended)

    def _arrived(self, kept: tuple[int, Any]) -> bool:
        """Whether the client has it for certain."""
        start, item = kept
        if _is_news(item):
            return bool(start < self._consumed)
        return start + len(item if isinstance(item, bytes) else item["events"]) <= self._consumed


def _is_news(item: Any) -> bool:
    return not isinstance(item, bytes) and "events" not in item
