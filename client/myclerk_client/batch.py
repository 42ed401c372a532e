"""Many requests in one sealed message (docs/protocol.md, Tunnel)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from .link import Link


class Batch:
    """Requests added inside ``async with board.batch() as batch`` leave together when the block ends.

    They execute in the order added; each has its own answer: awaiting what :meth:`add` returned gives it or
    raises its error. The block's end waits for all, and raises nothing by itself.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._requests: list[tuple[str, dict[str, Any], asyncio.Future[dict[str, Any]]]] = []

    def add(self, operation: str, /, **fields: Any) -> Awaitable[dict[str, Any]]:
        """Add a request by registry name and Python field names; an awaitable of its answer."""
        future = self._link.new_future()
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
        send = self._link.send
        for operation, fields, future in requests:
            try:
                send(operation, fields, future=future)
            except Exception as error:  # this one was never sent; the others do not suffer
                future.set_exception(error)
        for _, _, future in requests:
            while not future.done():
                await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # who wants it awaits the future
