"""Locks on a board's resources (operations DEVICE_LOCK and DEVICE_UNLOCK)."""

from __future__ import annotations

from .link import Link


class Lock:
    """A lock taken for the length of a ``async with`` block, or by :meth:`acquire` and :meth:`release`.

    Raises Conflict, naming the holder, when it is not to be had within ``wait`` seconds.
    """

    def __init__(self, link: Link, resource: str, wait: float, ttl: float | None) -> None:
        self._link = link
        self.resource = resource
        self._wait = wait
        self._ttl = ttl

    async def acquire(self) -> None:
        """Take the lock."""
        await self._link.request(
            "DEVICE_LOCK", {"resource": self.resource, "wait": self._wait, "ttl": self._ttl}
        )

    async def release(self) -> None:
        """Give it back. Raises NotFound when it has fallen by its ttl already."""
        await self._link.request("DEVICE_UNLOCK", {"resource": self.resource})

    async def __aenter__(self) -> Lock:
        await self.acquire()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if self._link.closed:
            return
        try:
            await self.release()
        except LookupError:
            if kind is None:  # an error of the block says more than that the lock has fallen
                raise
