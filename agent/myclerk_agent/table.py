"""Which session has what: claims of open handles, and locks with their queue, by canonical resource name."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from myclerk_drivers.base import Access, Handle, Resource
from myclerk_protocol.status import Conflict, Forbidden, NotFound

if TYPE_CHECKING:
    from .resources import Holdings

MAX_DEPTH = 16
KEY_SIZE = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """A resource that an open handle of a session holds, whole or among others; ``above`` names its ancestors.

    An ``exclusive`` one keeps other devices off that could have shared it otherwise.
    """

    resource: Resource
    above: frozenset[str]
    holdings: Holdings
    handle: Handle
    exclusive: bool = False


@dataclass(eq=False, slots=True)
class Lock:
    """A resource locked for one session, and for ``guests`` who showed its ``key``.

    Others may read nevertheless, unless it is ``exclusive``.
    """

    resource: Resource
    above: frozenset[str]
    holdings: Holdings
    exclusive: bool = False
    key: bytes = field(default_factory=partial(secrets.token_bytes, KEY_SIZE), repr=False)
    guests: set[Holdings] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None

    def admits(self, holdings: Holdings) -> bool:
        """Whether a session may use what is locked."""
        return holdings is self.holdings or holdings in self.guests


@dataclass(eq=False, slots=True)
class Waiter:
    """A session that waits for a lock; ``granted`` gets it."""

    lock: Lock
    ttl: float | None
    granted: asyncio.Future[Lock]


class ResourceTable:
    """Every claim and lock of the agent.

    ``parent_of`` gives the name a resource hangs on in the kernel's tree, or None: a claim or lock
    conflicts with another session's on the resource itself, an ancestor or a descendant.
    """

    def __init__(self, parent_of: Callable[[str], str | None]) -> None:
        self._parent_of = parent_of
        self._claims: dict[str, list[Claim]] = {}
        self._locks: dict[str, Lock] = {}
        self._waiters: list[Waiter] = []

    # -- claims --------------------------------------------------------------------------------------------

    def claim(self, holdings: Holdings, handle: Handle) -> None:
        """Note an open handle. Raises Conflict naming the holder when something of it is taken."""
        for resource in handle.parts:
            self.check_lock(holdings, resource)
            self.check_claims(holdings, resource, shared=handle.shared)
        for resource in handle.parts:
            exclusive = holdings.rights.exclusive(resource)
            claim = Claim(resource, self._above(resource), holdings, handle, exclusive)
            self._claims.setdefault(resource.name, []).append(claim)

    def check_claims(self, holdings: Holdings, resource: Resource, *, shared: bool = False) -> None:
        """Raise Conflict when a handle that excludes others is open on ``resource`` or its relatives."""
        exclusive = holdings.rights.exclusive(resource)
        for claim in self._relatives(resource.name, self._above(resource)):
            other = claim.holdings
            elsewhere = other is not holdings or claim.resource.name == resource.name
            apart = (exclusive or claim.exclusive) and other.record.device != holdings.record.device
            if elsewhere and (apart or not (shared and claim.handle.shared)):
                whose = "this session" if other is holdings else other.rights.description
                raise Conflict(
                    f"{_named(holdings, claim.resource, resource.name)} is open already in {whose}; "
                    "close it there first",
                    holder=other.rights.description,
                )

    def unclaim(self, holdings: Holdings, handle: Handle) -> None:
        """Forget an open handle; who waits for a lock may get it now."""
        for name in {resource.name for resource in handle.parts}:
            claims = [claim for claim in self._claims.get(name, []) if claim.handle is not handle]
            if claims:
                self._claims[name] = claims
            else:
                self._claims.pop(name, None)
        self._serve()

    def put_first(self, handle: Handle) -> None:
        """Of several handles on a resource this is the one in use: :meth:`holder` names its session."""
        for resource in handle.parts:
            self._claims.get(resource.name, []).sort(key=lambda claim: claim.handle is not handle)

    def holder(self, name: str) -> Holdings | None:
        """A session that has exactly this resource open."""
        claims = self._claims.get(name)
        return claims[0].holdings if claims else None

    # -- locks ---------------------------------------------------------------------------------------------

    @property
    def locked(self) -> bool:
        """Whether anything is locked at all."""
        return bool(self._locks)

    @property
    def secluded(self) -> bool:
        """Whether something is locked for reading, too."""
        return any(lock.exclusive for lock in self._locks.values())

    def check_lock(self, holdings: Holdings, resource: Resource, *, reading: bool = False) -> None:
        """Raise Conflict when another session locked ``resource`` or a relative of it."""
        if self._locks:
            refusal = self._refused_by_lock(holdings, resource.name, self._above(resource), reading)
            if refusal is not None:
                raise refusal

    async def lock(
        self, holdings: Holdings, resource: Resource, wait: float | None = None, ttl: float | None = None
    ) -> bytes:
        """Lock for one session, for ``ttl`` seconds (None: until unlocked); the key that admits guests.

        Waits up to ``wait`` seconds. Sessions that want the same, or relatives in the tree, get it in the order
        in which they asked. A lock that the session has already begins its time anew; one that it shares stays as
        it is. Raises Conflict with the holder when it is not to be had in time.
        """
        mine = self._locks.get(resource.name)
        if mine is not None and mine.admits(holdings):
            if mine.holdings is holdings:
                self._set_timer(mine, ttl)
            return mine.key
        loop = asyncio.get_running_loop()
        lock = Lock(resource, self._above(resource), holdings, holdings.rights.exclusive(resource))
        waiter = Waiter(lock, ttl, loop.create_future())
        refusal = self._refusal(waiter)
        if refusal is None:
            return self._grant(waiter).key
        if not wait:
            raise refusal
        self._waiters.append(waiter)
        timer = loop.call_later(wait, self._give_up, waiter)
        try:
            return (await waiter.granted).key
        except asyncio.CancelledError:
            self._drop(waiter.lock)
            raise
        finally:
            timer.cancel()
            self._leave(waiter)

    def join(self, holdings: Holdings, resource: Resource, key: bytes) -> None:
        """Share another session's lock by its key, until it falls. Raises Conflict when there is no such lock."""
        lock = self._locks.get(resource.name)
        if lock is None or not hmac.compare_digest(lock.key, key):
            holder = lock.holdings.rights.description if lock is not None else None
            raise Conflict(f"the lock on {resource.name} with this key has fallen", holder=holder)
        if lock.holdings is not holdings:
            lock.guests.add(holdings)

    def unlock(self, holdings: Holdings, resource: Resource) -> None:
        """Release a lock, or leave one that was joined. Raises NotFound when this session holds none there."""
        lock = self._locks.get(resource.name)
        if lock is None or not lock.admits(holdings):
            raise NotFound(f"this session holds no lock on {resource.name}")
        if lock.holdings is holdings:
            self._drop(lock)
        else:
            lock.guests.discard(holdings)

    def break_lock(self, resource: Resource) -> Holdings:
        """Let a lock fall, whoever holds it; who held it. Raises NotFound when there is none."""
        lock = self._locks.get(resource.name)
        if lock is None:
            raise NotFound(f"nobody holds a lock on {resource.name}")
        self._drop(lock)
        return lock.holdings

    def lock_holder(self, name: str) -> Holdings | None:
        """Who locked exactly this resource."""
        lock = self._locks.get(name)
        return lock.holdings if lock else None

    def locks_of(self, holdings: Holdings) -> list[str]:
        """The names of what a session has locked, sorted."""
        return sorted(name for name, lock in self._locks.items() if lock.holdings is holdings)

    def withdraw(self, holdings: Holdings) -> None:
        """Let the locks of a session fall, and its waiting end, where it has no write access any more."""

        def lost(resource: Resource) -> bool:
            return not holdings.rights.allows(resource, Access.WRITE)

        for waiter in list(self._waiters):
            wanted = waiter.lock
            if wanted.holdings is holdings and not waiter.granted.done() and lost(wanted.resource):
                self._waiters.remove(waiter)
                waiter.granted.set_exception(Forbidden(f"the right to {wanted.resource.name} was taken away"))
        for lock in list(self._locks.values()):
            if holdings in lock.guests and lost(lock.resource):
                lock.guests.discard(holdings)
            if lock.holdings is holdings and lost(lock.resource):
                self._cancel(lock)
        self._serve()

    def waiting(self, name: str) -> int:
        """How many sessions wait for the lock on exactly this resource."""
        return sum(waiter.lock.resource.name == name for waiter in self._waiters)

    def release(self, holdings: Holdings) -> None:
        """Let every lock of a session fall; it waits for none any more."""
        for waiter in self._waiters:
            if waiter.lock.holdings is holdings:
                waiter.granted.cancel()
        for lock in list(self._locks.values()):
            lock.guests.discard(holdings)
            if lock.holdings is holdings:
                self._cancel(lock)
        self._serve()

    # -- the queue -----------------------------------------------------------------------------------------

    def _refusal(self, waiter: Waiter) -> Conflict | None:
        """Why ``waiter`` cannot have its lock now: others' locks and handles, and who asked before it."""
        wanted, holdings = waiter.lock, waiter.lock.holdings
        name = wanted.resource.name
        if (refusal := self._refused_by_lock(holdings, name, wanted.above)) is not None:
            return refusal
        for claim in self._relatives(name, wanted.above):
            if (other := claim.holdings) is not holdings:
                who = other.rights.description
                shown = _named(holdings, claim.resource, name)
                return Conflict(f"{shown} is in use by {who}", holder=who)
        for earlier in self._waiters:
            if earlier is waiter:
                break
            before = earlier.lock
            if earlier.granted.done() or before.holdings is holdings:
                continue
            if _related(name, wanted.above, before.resource.name, before.above):
                who = before.holdings.rights.description
                shown = _named(holdings, before.resource, name)
                return Conflict(f"{shown} is waited for by {who}", holder=who)
        return None

    def _refused_by_lock(
        self, holdings: Holdings, name: str, above: frozenset[str], reading: bool = False
    ) -> Conflict | None:
        for lock in self._locks.values():
            if reading and not lock.exclusive:
                continue
            if not lock.admits(holdings) and _related(name, above, lock.resource.name, lock.above):
                who = lock.holdings.rights.description
                shown = _named(holdings, lock.resource, name)
                return Conflict(f"{shown} is locked by {who}", holder=who)
        return None

    def _grant(self, waiter: Waiter) -> Lock:
        lock = self._locks.setdefault(
            waiter.lock.resource.name, waiter.lock
        )  # this session may have it by now
        self._set_timer(lock, waiter.ttl)
        return lock

    def _serve(self) -> None:
        """Something was let go: grant what can be had now, in the order of asking."""
        for waiter in list(self._waiters):
            if not waiter.granted.done() and self._refusal(waiter) is None:
                self._waiters.remove(waiter)
                waiter.granted.set_result(self._grant(waiter))

    def _give_up(self, waiter: Waiter) -> None:
        """The time is over: the waiter is told who has it."""
        if not waiter.granted.done():
            why = self._refusal(waiter) or Conflict(
                f"no lock on {waiter.lock.resource.name} was to be had in time"
            )
            waiter.granted.set_exception(why)

    def _leave(self, waiter: Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            self._serve()

    def _set_timer(self, lock: Lock, ttl: float | None) -> None:
        if lock.timer is not None:
            lock.timer.cancel()
        lock.timer = None if ttl is None else asyncio.get_running_loop().call_later(ttl, self._drop, lock)

    def _drop(self, lock: Lock) -> None:
        if self._cancel(lock):
            self._serve()

    def _cancel(self, lock: Lock) -> bool:
        """Take a lock out of the table, if it is in it."""
        if lock.timer is not None:
            lock.timer.cancel()
        if self._locks.get(lock.resource.name) is not lock:
            return False
        del self._locks[lock.resource.name]
        return True

    # -- the tree ------------------------------------------------------------------------------------------

    def _relatives(self, name: str, above: frozenset[str]) -> Iterator[Claim]:
        for claimed, claims in list(self._claims.items()):
            if claimed == name or claimed in above or name in claims[0].above:
                yield from claims

    def _above(self, resource: Resource) -> frozenset[str]:
        """The names of what a resource hangs on, all the way up."""
        names: list[str] = []
        parent = resource.parent
        while parent is not None and len(names) < MAX_DEPTH:
            names.append(parent)
            parent = self._parent_of(parent)
        return frozenset(names)


def _related(one: str, above_one: frozenset[str], other: str, above_other: frozenset[str]) -> bool:
    """Whether two resources are the same, or one hangs on the other."""
    return one == other or other in above_one or one in above_other


def _named(holdings: Holdings, resource: Resource, asked: str) -> str:
    """What an error calls ``resource``, a relative of the one ``asked`` for, that the asker may not know of."""
    return resource.name if holdings.rights.sees(resource) else f"something that hangs together with {asked}"
