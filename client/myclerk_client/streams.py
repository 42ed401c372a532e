"""Open streams on the client's side: credit granted as data is consumed, positions kept for a resume."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from myclerk_protocol.status import MalformedMessage, MyClerkError, error_from_fields

from .errors import fresh
from .link import Link

BYTE_WINDOW = 256 << 10
EVENT_WINDOW = 1024


class Stream(ABC):
    """What byte and event streams share: opening, waiting, stopping. ``stopping`` is the operation for that."""

    stopping: ClassVar[str] = "STREAM_STOP"

    def __init__(self, link: Link, window: int) -> None:
        self._link = link
        self._window = window
        self._request_id = 0
        self._received = 0
        self._granted = window
        self._error: MyClerkError | None = None
        self._ended = False
        self._stopped = False
        self._waiting: set[asyncio.Future[None]] = set()

    async def open(
        self, operation: str, fields: Mapping[str, Any], *, compress: bool = False
    ) -> dict[str, Any]:
        """Send the operation that opens this stream; its answer. Raises the agent's error."""
        options = {"credit_to": self._granted, **({"compress": True} if compress else {})}
        future, pending = self._link.send(operation, {**fields, **options}, stream=self, compress=compress)
        try:
            answer = await asyncio.shield(future)
        except asyncio.CancelledError:  # it opens nevertheless: stop it when it has
            future.add_done_callback(lambda done: self._stop_orphan(done, pending.request_id))
            raise
        self._request_id = pending.request_id
        return answer

    def _stop_orphan(self, opened: asyncio.Future[dict[str, Any]], request_id: int) -> None:
        if not opened.cancelled() and opened.exception() is None and not self._link.closed:
            self._link.post(self.stopping, {"stream": request_id})
            self._link.forget_stream(request_id)

    @abstractmethod
    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push, decoded."""

    async def stop(self) -> None:
        """Stop the stream at the agent. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._finish(None)
        if self._request_id and not self._link.closed:
            try:
                await self._link.request(self.stopping, {"stream": self._request_id})
            except LookupError:
                pass  # it ended at the agent already
            finally:
                self._link.forget_stream(self._request_id)

    async def pause(self) -> None:
        """Let the agent push nothing until :meth:`resume`; what the kernel holds waits there."""
        await self._ask("STREAM_PAUSE", {})

    async def resume(self) -> None:
        """Go on behind :meth:`pause`."""
        await self._ask("STREAM_RESUME", {})

    async def set_quality(self, *, interval: float | None = None, rate: int | None = None) -> dict[str, Any]:
        """Spare a thin line: seconds between pushes, 0 to 60, bytes per second of a byte stream; 0: as they come.

        What is None stays as it is. The quality in force; raises Unsupported for the ``rate`` of events.
        """
        return await self._ask("STREAM_QUALITY", {"interval": interval, "rate": rate})

    async def _ask(self, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        return await self._link.request(operation, {"stream": self._request_id, **fields})

    def position(self) -> Mapping[str, Any]:
        """What arrived, and how far the agent may push; after a resume it continues there."""
        return {"consumed": self._received, "credit_to": self._granted}

    def lost(self, error: MyClerkError) -> None:
        """The session is gone: readers get the error once everything received was read."""
        self._stopped = True
        self._finish(error)

    def _finish(self, error: MyClerkError | None) -> None:
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake()

    def _note_end(self, fields: Mapping[str, Any]) -> None:
        if fields.get("end"):
            status = fields.get("status", 0)
            self._finish(
                error_from_fields({k: v for k, v in fields.items() if k in _ERROR_KEYS}) if status else None
            )

    @property
    @abstractmethod
    def buffered(self) -> int:
        """What has arrived and was not read yet."""

    def _consumed(self) -> None:
        """Something was read: grant credit once half of the window is free."""
        grant = self._received - self.buffered + self._window
        if grant - self._granted >= self._window // 2 and not self._ended and self._request_id:
            self._granted = grant
            self._link.post("STREAM_CONFIGURE", {"stream": self._request_id, **self.position()})

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def _wait(self) -> None:
        """Until something arrived or the stream is over; what arrived may be another waiter's by then."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


_ERROR_KEYS = frozenset({"status", "message", "errno"})


class ByteStream(Stream):
    """Bytes pushed by the agent, in order, none lost over a resume."""

    def __init__(self, link: Link, window: int = BYTE_WINDOW) -> None:
        super().__init__(link, window)
        self._chunks: deque[bytes] = deque()
        self._buffered = 0

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and were not read yet."""
        return self._buffered

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push. Raises MalformedMessage when it does not continue where the last one ended."""
        data = fields.get("data")
        if data:
            if fields.get("offset") != self._received:
                raise MalformedMessage("a byte stream's push does not continue where the last one ended")
            self._received += len(data)
            self._chunks.append(bytes(data))
            self._buffered += len(data)
            self._wake()
        self._note_end(fields)

    async def read(self, limit: int = 1 << 20, timeout: float | None = None) -> bytes:
        """What has arrived, at most ``limit`` bytes; waits for at least one, up to ``timeout`` seconds.

        Empty at the stream's end or when the time is over. Raises the error that ended the stream. A read
        that is cancelled loses nothing.
        """
        if not self._chunks and not self._ended and timeout != 0:
            if timeout is None:
                while not self._chunks and not self._ended:
                    await self._wait()
            else:
                try:
                    async with asyncio.timeout(timeout):
                        while not self._chunks and not self._ended:
                            await self._wait()
                except TimeoutError:
                    return b""
        if not self._chunks:
            if self._error is not None:
                raise fresh(self._error)
            return b""
        return self._take(limit)

    def unread(self, data: bytes) -> None:
        """Put back bytes that were read too far."""
        if data:
            self._chunks.appendleft(data)
            self._buffered += len(data)

    def discard(self) -> None:
        """Throw away everything that has arrived."""
        while self._chunks:
            self._take(1 << 30)

    def _take(self, limit: int) -> bytes:
        if len(self._chunks) == 1 and len(self._chunks[0]) <= limit:
            data = self._chunks.popleft()
        else:
            parts, size = [], 0
            while self._chunks and size < limit:
                chunk = self._chunks.popleft()
                if size + len(chunk) > limit:
                    cut = limit - size
                    self._chunks.appendleft(chunk[cut:])
                    chunk = chunk[:cut]
                parts.append(chunk)
                size += len(chunk)
            data = b"".join(parts)
        self._buffered -= len(data)
        self._consumed()
        return data


class EventStream(Stream):
    """Events pushed by the agent. ``dropped`` counts those that found no credit there."""

    def __init__(self, link: Link, window: int = EVENT_WINDOW) -> None:
        super().__init__(link, window)
        self._events: deque[dict[str, Any]] = deque()
        self.dropped = 0

    @property
    def buffered(self) -> int:
        """Events that have arrived and were not read yet."""
        return len(self._events)

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push. Raises MalformedMessage when it does not continue where the last one ended."""
        events = fields.get("events")
        if events:
            if fields.get("index") != self._received:
                raise MalformedMessage("an event stream's push does not continue where the last one ended")
            self._received += len(events)
            self._events.extend(events)
            self._wake()
        self.dropped += fields.get("dropped", 0)
        self._note_end(fields)

    async def next(self) -> dict[str, Any] | None:
        """The next event, or None when the stream is over. Raises the error that ended it."""
        while not self._events:
            if self._ended:
                if self._error is not None:
                    raise fresh(self._error)
                return None
            await self._wait()
        event = self._events.popleft()
        self._consumed()
        return event

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while (event := await self.next()) is not None:
            yield event
