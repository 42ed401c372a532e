"""Who holds what: handles, streams, locks and running tasks of each session, released exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from myclerk_drivers.base import Access, Handle, Resource
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.status import Conflict, NotFound, TooMany

from .streams import AgentStream

log = logging.getLogger("myclerk.resources")

MAX_HANDLES = 1024
MAX_DEPTH = 16
MAX_STREAMS = 256
MAX_TASKS = 4096
"""Requests of one session that may be awaited at once."""
MAX_WAITING_BYTES = 32 << 20
"""What the payloads of one session's requests that wait for something may have together."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a device may do. ``description`` names it to others (the ``holder`` of a conflict)."""

    description: str
    access: Access = Access.NONE
    administrator: bool = False

    granted: int = field(init=False)
    """One bit for each access that this mode allows: ``1 << access``."""

    def __post_init__(self) -> None:
        granted = sum(1 << need for need in Access if self.access.allows(need))
        object.__setattr__(self, "granted", granted)


@dataclass(slots=True)
class Lock:
    """A resource locked for one session; ``above`` names its ancestors, ``expires`` is event loop time, or None."""

    resource: Resource
    above: frozenset[str]
    holdings: Holdings
    expires: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A resource that an open handle of a session holds, whole or among others; ``above`` names its ancestors."""

    resource: Resource
    above: frozenset[str]
    holdings: Holdings
    handle: Handle


class ResourceTable:
    """Every claim and lock of the agent, by canonical resource name.

    ``parent_of`` gives the name a resource hangs on in the kernel's tree, or None: a claim or lock
    conflicts with another session's on the resource itself, an ancestor or a descendant.
    """

    def __init__(self, parent_of: Callable[[str], str | None], time: Callable[[], float]) -> None:
        self._parent_of = parent_of
        self._time = time
        self._claims: dict[str, list[Claim]] = {}
        self._locks: dict[str, Lock] = {}
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def locked(self) -> bool:
        """Whether anything is locked at all."""
        return bool(self._locks)

    def claim(self, holdings: Holdings, handle: Handle) -> None:
        """Note an open handle. Raises Conflict naming the holder when something of it is taken."""
        for resource in handle.parts:
            self.check_lock(holdings, resource)
            self.check_claims(holdings, resource, shared=handle.shared)
        for resource in handle.parts:
            claim = Claim(resource, frozenset(self._ancestors(resource)), holdings, handle)
            self._claims.setdefault(resource.name, []).append(claim)

    def check_claims(self, holdings: Holdings, resource: Resource, *, shared: bool = False) -> None:
        """Raise Conflict when a handle that excludes others is open on ``resource`` or its relatives."""
        for claim in self._relatives(resource):
            other = claim.holdings
            elsewhere = other is not holdings or claim.resource.name == resource.name
            if elsewhere and not (shared and claim.handle.shared):
                whose = "this session" if other is holdings else other.rights.description
                raise Conflict(
                    f"{claim.resource.name} is open already in {whose}; close it there first",
                    holder=other.rights.description,
                )

    def unclaim(self, holdings: Holdings, handle: Handle) -> None:
        """Forget an open handle and wake those who wait for a lock."""
        for name in {resource.name for resource in handle.parts}:
            claims = [claim for claim in self._claims.get(name, []) if claim.handle is not handle]
            if claims:
                self._claims[name] = claims
            else:
                self._claims.pop(name, None)
        self._wake()

    def check_lock(self, holdings: Holdings, resource: Resource) -> None:
        """Raise Conflict when another session locked ``resource`` or a relative of it."""
        if not self._locks:
            return
        self.expire_locks()
        above = {resource.name, *self._ancestors(resource)}
        for name, lock in self._locks.items():
            if lock.holdings is not holdings and (name in above or resource.name in lock.above):
                raise Conflict(
                    f"{name} is locked by {lock.holdings.rights.description}",
                    holder=lock.holdings.rights.description,
                )

    async def lock(
        self, holdings: Holdings, resource: Resource, wait: float | None, ttl: float | None
    ) -> None:
        """Lock for one session, for ``ttl`` seconds (None: until unlocked), waiting up to ``wait`` seconds.

        Raises Conflict with the holder when it is not to be had in time.
        """
        deadline = self._time() + (wait or 0.0)
        while True:
            try:
                self.check_lock(holdings, resource)
                for claim in self._relatives(resource):
                    if (other := claim.holdings) is not holdings:
                        raise Conflict(
                            f"{claim.resource.name} is in use by {other.rights.description}",
                            holder=other.rights.description,
                        )
                break
            except Conflict:
                left = deadline - self._time()
                if left <= 0:
                    raise
                await self._released(min(left, 1.0))
        expires = None if ttl is None else self._time() + ttl
        self._locks[resource.name] = Lock(resource, frozenset(self._ancestors(resource)), holdings, expires)

    def unlock(self, holdings: Holdings, resource: Resource) -> None:
        """Release a lock. Raises NotFound when this session holds none there."""
        self.expire_locks()
        lock = self._locks.get(resource.name)
        if lock is None or lock.holdings is not holdings:
            raise NotFound(f"this session holds no lock on {resource.name}")
        del self._locks[resource.name]
        self._wake()

    def lock_holder(self, name: str) -> Holdings | None:
        """Who locked exactly this resource."""
        self.expire_locks()
        lock = self._locks.get(name)
        return lock.holdings if lock else None

    def holder(self, name: str) -> Holdings | None:
        """A session that has exactly this resource open."""
        claims = self._claims.get(name)
        return claims[0].holdings if claims else None

    def expire_locks(self) -> None:
        """Let locks fall whose time to live is over."""
        now = self._time()
        over = [
            name for name, lock in self._locks.items() if lock.expires is not None and lock.expires <= now
        ]
        for name in over:
            del self._locks[name]
        if over:
            self._wake()

    def release(self, holdings: Holdings) -> None:
        """Let every lock of a session fall."""
        self._locks = {n: lock for n, lock in self._locks.items() if lock.holdings is not holdings}
        self._wake()

    def _relatives(self, resource: Resource) -> Iterator[Claim]:
        above = {resource.name, *self._ancestors(resource)}
        for name, claims in list(self._claims.items()):
            if name in above or resource.name in claims[0].above:
                yield from claims

    def _ancestors(self, resource: Resource) -> Iterator[str]:
        parent = resource.parent
        for _ in range(MAX_DEPTH):
            if parent is None:
                return
            yield parent
            parent = self._parent_of(parent)

    async def _released(self, timeout: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        try:
            await asyncio.wait_for(future, timeout)
        except TimeoutError:
            pass
        finally:
            if future in self._waiters:
                self._waiters.remove(future)

    def _wake(self) -> None:
        for future in self._waiters:
            if not future.done():
                future.set_result(None)
        self._waiters.clear()


class Holdings:
    """All that one session holds. :meth:`release` gives everything back, exactly once."""

    def __init__(self, record: SessionRecord, rights: Rights, table: ResourceTable) -> None:
        self.record = record
        self.rights = rights
        self.table = table
        self.handles: dict[int, Handle] = {}
        self.streams: dict[int, AgentStream] = {}
        self.tasks: set[asyncio.Future[object]] = set()
        self.released = False
        self._waiting_bytes = 0
        self._last_handle = 0

    def add_handle(self, handle: Handle) -> int:
        """Own an open handle; its number. On a conflict the handle is closed and Conflict raised."""
        try:
            if self.released:
                raise Conflict("the session ended meanwhile")
            if len(self.handles) >= MAX_HANDLES:
                raise TooMany(f"a session holds at most {MAX_HANDLES} handles; close some")
            self.table.claim(self, handle)
        except Exception:
            handle.close()
            raise
        self._last_handle += 1
        self.handles[self._last_handle] = handle
        return self._last_handle

    def handle(self, number: int) -> Handle:
        """The open handle of that number. Raises NotFound."""
        handle = self.handles.get(number)
        if handle is None:
            raise NotFound(f"this session has no open handle {number}", key="handle")
        return handle

    def close_handle(self, number: int) -> None:
        """Close one handle, its streams first."""
        handle = self.handles.pop(number, None)
        if handle is None:
            return
        for request_id, stream in list(self.streams.items()):
            if stream.handle is handle:
                stream.end()
                self.streams.pop(request_id).close()
        try:
            handle.close()
        except Exception:
            log.exception("closing %s failed", handle.resource.name)
        self.table.unclaim(self, handle)

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
        del self.streams[request_id]

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
