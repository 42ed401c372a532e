"""What is open at the agent for this session: a handle, closed exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

from myclerk_protocol.status import Conflict

from .errors import SessionLost
from .link import Link


class Held:
    """The base of everything that an operation opened. ``closing`` is the operation that closes it."""

    closing: ClassVar[str]

    def __init__(self, link: Link, resource: str, handle: int) -> None:
        self._link = link
        self.resource: str = resource
        self._handle = handle
        self._generation = link.generation
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close it at the agent. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if not self._link.closed and self._link.generation == self._generation:
            await self._link.request(self.closing, {"handle": self._handle})

    def _check(self) -> None:
        if self._closed:
            raise Conflict(f"{self.resource} was closed here; open it again")
        if self._link.generation != self._generation:
            raise SessionLost(f"the session that had {self.resource} open is gone; open it again")

    async def _request(self, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        self._check()
        return await self._link.request(operation, {"handle": self._handle, **fields})


async def opened(link: Link, operation: str, fields: Mapping[str, Any], closing: str) -> dict[str, Any]:
    """The answer of an operation that opens something, which ``closing`` closes if this wait is cancelled."""
    future, _ = link.send(operation, fields)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:  # it opens nevertheless: close it when it has
        future.add_done_callback(partial(_close_orphan, link, closing))
        raise


def _close_orphan(link: Link, closing: str, future: asyncio.Future[dict[str, Any]]) -> None:
    if not future.cancelled() and future.exception() is None and not link.closed:
        link.post(closing, {"handle": future.result()["handle"]})
