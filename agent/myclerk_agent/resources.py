"""What each session holds: handles, streams and running tasks, released exactly once."""

from __future__ import annotations

import asyncio
import logging

from myclerk_drivers.base import Access, Handle
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.status import Conflict, Forbidden, NotFound, TooMany

from .rights import Rights
from .streams import AgentStream
from .table import ResourceTable

__all__ = ["Holdings", "Rights"]

log = logging.getLogger("myclerk.resources")

MAX_HANDLES = 1024
MAX_STREAMS = 256
MAX_TASKS = 4096
"""Requests of one session that may be awaited at once."""
MAX_WAITING_BYTES = 32 << 20
"""What the payloads of one session's requests that wait for something may have together."""


class Holdings:
    """All that one session holds. :meth:`release` gives everything back, exactly once."""

    def __init__(self, record: SessionRecord, rights: Rights, table: ResourceTable) -> None:
        self.record = record
        self.rights = rights
        self.table = table
        self.handles: dict[int, Handle] = {}
        self.granted: dict[int, int] = {}
        """What the session may do with each of its handles, as :meth:`Rights.granted` tells it."""
        self.streams: dict[int, AgentStream] = {}
        self.tasks: set[asyncio.Future[object]] = set()
        self.released = False
        self.peer = ""
        """The address of the connection that carries the session, for the audit log."""
        self._opened_with: dict[int, Access] = {}
        self._taken: dict[int, Handle] = {}
        self._waiting_bytes = 0
        self._last_handle = 0

    def add_handle(self, handle: Handle, access: Access = Access.READ) -> int:
        """Own an open handle; its number. It is closed again when ``access`` to what it holds is taken away.

        Raises Conflict, TooMany, and Forbidden when the access is gone already; the handle is closed then.
        """
        try:
            if self.released:
                raise Conflict("the session ended meanwhile")
            if len(self.handles) >= MAX_HANDLES:
                raise TooMany(f"a session holds at most {MAX_HANDLES} handles; close some")
            granted = self.rights.granted(*handle.parts)
            if not granted & 1 << access:
                raise Forbidden(_taken_away(handle.resource.name))
            self.table.claim(self, handle)
        except Exception:
            handle.close()
            raise
        self._last_handle += 1
        self.handles[self._last_handle] = handle
        self.granted[self._last_handle] = granted
        self._opened_with[self._last_handle] = access
        return self._last_handle

    def handle(self, number: int) -> Handle:
        """The open handle of that number. Raises NotFound, Forbidden when it was closed by a change of rules."""
        handle = self.handles.get(number)
        if handle is None:
            if number in self._taken:
                raise Forbidden(_taken_away(self._taken[number].resource.name), key="handle")
            raise NotFound(f"this session has no open handle {number}", key="handle")
        return handle

    def close_handle(self, number: int) -> None:
        """Close one handle, its streams first."""
        handle = self.handles.pop(number, None)
        if handle is None:
            return
        del self.granted[number], self._opened_with[number]
        for request_id, stream in list(self.streams.items()):
            if stream.handle is handle:
                stream.end()
                self.streams.pop(request_id).close()
        try:
            handle.close()
        except Exception:
            log.exception("closing %s failed", handle.resource.name)
        self.table.unclaim(self, handle)

    def change_rights(self, rights: Rights) -> None:
        """The rules have changed: what the session may not have any more is closed at once."""
        self.rights = rights
        for request_id, stream in list(self.streams.items()):
            if stream.parts and not rights.granted(*stream.parts) & 1 << stream.access:
                stream.end(Forbidden(_taken_away(stream.parts[0].name)))
                self.streams.pop(request_id).close()
        for number, handle in list(self.handles.items()):
            self.granted[number] = granted = rights.granted(*handle.parts)
            if not granted & 1 << self._opened_with[number]:
                self._take_away(number, handle)
        self.table.withdraw(self)

    def _take_away(self, number: int, handle: Handle) -> None:
        for stream in self.streams.values():
            if stream.handle is handle:
                stream.end(Forbidden(_taken_away(handle.resource.name)))
        self.close_handle(number)
        self._taken[number] = handle
        if len(self._taken) > MAX_HANDLES:
            del self._taken[next(iter(self._taken))]

    def taken(self, handle: Handle) -> Forbidden | None:
        """What to tell of a request that failed because its handle was taken away meanwhile."""
        lost = handle in self._taken.values()
        return Forbidden(_taken_away(handle.resource.name), key="handle") if lost else None

    def add_stream(self, request_id: int, stream: AgentStream) -> None:
        """Own an open stream. Raises TooMany, or Conflict when the session is over; the stream is closed then."""
        if self.released:
            stream.close()
            raise Conflict("the session ended meanwhile")
        if len(self.streams) >= MAX_STREAMS:
            stream.close()
            raise TooMany(f"a session has at most {MAX_STREAMS} open streams; stop some")
        self.streams[request_id] = stream

    def stream(self, request_id: int) -> AgentStream:
        """The open stream that this request opened. Raises NotFound."""
        stream = self.streams.get(request_id)
        if stream is None:
            raise NotFound(f"no stream was opened by request {request_id}, or it was stopped", key="stream")
        return stream

    def stop_stream(self, request_id: int) -> None:
        """Close a stream. Raises NotFound."""
        self.stream(request_id).close()
        self.streams.pop(request_id, None)

    def wait(self, size: int) -> None:
        """A request with ``size`` bytes of payload waits, until :meth:`waited`. Raises TooMany.

        The limit on requests in flight does not do: each may be as large as a message. One alone may be larger.
        """
        if self._waiting_bytes and self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise TooMany("too much data of this session waits; await some answers")
        self._waiting_bytes += size

    def waited(self, size: int) -> None:
        """A request that waited goes on, or has ended."""
        self._waiting_bytes -= size

    def add_task(self, task: asyncio.Future[object], size: int) -> None:
        """Await ``task`` for a request with ``size`` bytes of payload. Raises TooMany; it is cancelled then."""
        try:
            if len(self.tasks) >= MAX_TASKS:  # requests that want no answer are not counted elsewhere
                raise TooMany("too many requests of this session are under way")
            self.wait(size)
        except TooMany:
            task.cancel()
            raise
        self.tasks.add(task)

    def end_task(self, task: asyncio.Future[object], size: int) -> None:
        """Forget a task, if it is one."""
        if task in self.tasks:
            self.tasks.remove(task)
            self.waited(size)

    def detach(self) -> None:
        """The connection is lost: streams keep what the client may not have seen."""
        for stream in self.streams.values():
            stream.detach()

    def release(self) -> None:
        """Give everything back: streams stop, tasks are cancelled, handles close, locks fall. Once."""
        if self.released:
            return
        self.released = True
        for task in list(self.tasks):
            task.cancel()
        for request_id in list(self.streams):
            self.streams.pop(request_id).close()
        for number in list(self.handles):
            self.close_handle(number)
        self.table.release(self)


def _taken_away(name: str) -> str:
    return f"the right to {name} was taken away; ask an administrator of the agent"
