"""Many requests in one sealed message (profile section 1, Tunnel)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from .link import Link


class Batch:
    """Requests added inside ``async with board.batch() as batch`` leave together when the block ends.

    They execute in the order added; each has its own answer: awaiting the future that :meth:`add` returned
    gives it or raises its error. The block's end waits for all, and raises nothing by itself.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._requests: list[tuple[str, dict[str, Any], asyncio.Future[dict[str, Any]]]] = []

    def add(self, operation: str, **fields: Any) -> Awaitable[dict[str, Any]]:
        """Add a request by registry name and Python field names; an awaitable of its answer."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._requests.append((operation, fields, future))
        return future

    async def __aenter__(self) -> Batch:
        return self

    async def __aexit__(self, kind: object, *exc: object) -> None:
        requests, self._requests = self._requests, []
        if kind is not None:
            for _, _, future in requests:
                future.cancel()
            return
        waiting = []
        for operation, fields, future in requests:
            sent, _ = self._link.send(operation, fields)
            sent.add_done_callback(lambda done, to=future: _copy(done, to))  # type: ignore[misc]
            waiting.append(future)
        if waiting:
            await asyncio.wait(waiting)


def _copy(done: asyncio.Future[dict[str, Any]], to: asyncio.Future[dict[str, Any]]) -> None:
    if to.done():
        return
    error = done.exception() if not done.cancelled() else asyncio.CancelledError()
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)
        to.exception()
