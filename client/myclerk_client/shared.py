"""Streams that several clients may have open, and the routes that say whose they are (docs/streams.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

from myclerk_protocol.status import OperationTimeout

from .link import Link
from .streams import BYTE_WINDOW, ByteStream, Stream

WRITE_CHUNK = 64 << 10
"""Bytes of one STREAM_DATA; a longer write is split."""


class Routed(Stream):
    """What streams have that are opened by STREAM_START.

    ``active`` tells whether the stream is ours, ``holder`` whose it is otherwise, ``at`` how many bytes or events
    the resource had given when that changed last.
    """

    def __init__(self, link: Link, window: int, resource: str) -> None:
        super().__init__(link, window)
        self.resource: str = resource
        self.active: bool = False
        self.holder: str | None = None
        self.at: int = 0
        self._changes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def changed(self) -> None:
        """Until the stream comes here, goes to another client, or is over."""
        before = self._changes
        while self._changes == before and not self._ended:
            await self._wait()

    async def wait_active(self, timeout: float | None = None) -> None:
        """Until the stream is ours, or over. Raises OperationTimeout after ``timeout`` seconds."""
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                while not self.active and not self._ended:
                    await self.changed()
        except TimeoutError:
            if not limit.expired():
                raise
            raise OperationTimeout(
                f"the stream of {self.resource} was not routed here in time", holder=self.holder
            ) from None

    def _note_routing(self, fields: Mapping[str, Any]) -> bool:
        """What a push says of whose the stream is; whether it says anything."""
        if "active" not in fields:
            return False
        self.active, self.holder, self.at = fields["active"], fields.get("holder"), fields.get("at", 0)
        self._changes += 1
        self._wake()
        return True


class SharedStream(Routed, ByteStream):
    """The bytes of a resource, as long as they are routed here; ``settings`` are those in force.

    >>> async with await board.streams.start("serial:ttyUSB0", baud=115200) as stream:
    ...     async for data in stream:
    ...         print(data)
    """

    def __init__(self, link: Link, resource: str) -> None:
        super().__init__(link, BYTE_WINDOW, resource)
        self.settings: dict[str, Any] = {}

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push."""
        super().pushed(fields)
        self._note_routing(fields)

    async def write(self, data: bytes) -> int:
        """Send; returns when the board's kernel took all. Raises Conflict while the stream is another client's."""
        written = 0
        for start in range(0, len(data), WRITE_CHUNK):
            answer = await self._ask("STREAM_DATA", {"data": bytes(data[start : start + WRITE_CHUNK])})
            written += int(answer["written"])
        return written

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data


class Streams:
    """Streams of a board that can be routed between clients; ``board.streams``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def start(self, resource: str, **settings: Any) -> SharedStream:
        """Open the stream of a serial port, beside others who have it open; routes say whose it is.

        Settings as in :meth:`SerialPorts.open`, without ``exclusive``; none: as it is open, else 9600 8N1. Raises
        NotFound; Unsupported for what has no bytes; Conflict when the port is open elsewhere for one client alone,
        or with other settings.
        """
        stream = SharedStream(self._link, resource)
        fields = {"resource": resource, "type": 4, "serial": settings or None}
        stream.settings = (await stream.open("STREAM_START", fields)).get("serial", {})
        return stream


class Routes:
    """Who gets the streams of a board; ``board.routes``. For administrators and hubs.

    Of the clients that have a stream open it goes to the one whose route has the highest priority, of equal ones to
    that of the newest route. Clients without a route come behind those, in the order in which they opened it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self, resource: str | None = None) -> list[dict[str, Any]]:
        """The routes (of one resource), each with ``state``: active, waiting, or idle: its stream is not open."""
        return list((await self._link.request("ROUTE_LIST", {"resource": resource}))["routes"])

    async def create(self, resource: str, client: str, *, priority: int = 0) -> int:
        """Lead the stream of a resource to a client, by its fingerprint; the number of the route.

        ``priority`` is 0 to 65535. Raises NotFound, Conflict when there is such a route, Forbidden.
        """
        fields = {"resource": resource, "client": client, "priority": priority}
        return int((await self._link.request("ROUTE_CREATE", fields))["route"])

    async def delete(self, route: int) -> None:
        """Forget a route; the stream goes to whoever is first without it. Raises NotFound."""
        await self._link.request("ROUTE_DELETE", {"route": route})

    async def modify(self, route: int, *, resource: str | None = None, client: str | None = None) -> None:
        """Let a route lead from another resource, or to another client. Raises NotFound, Conflict."""
        await self._link.request("ROUTE_MODIFY", {"route": route, "resource": resource, "client": client})

    async def set_priority(self, route: int, priority: int) -> None:
        """Give a route another priority, 0 to 65535. Raises NotFound."""
        await self._link.request("ROUTE_PRIORITY", {"route": route, "priority": priority})
