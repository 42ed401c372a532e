"""What comes to a board, goes and changes there (operations DEVICE_SUBSCRIBE and DEVICE_UNSUBSCRIBE)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar, Self

from myclerk_protocol.status import LocalError, OperationTimeout

from .errors import ConnectionLost
from .link import Link
from .streams import EventStream

WINDOW = 128
"""Events that the board may push ahead of what was read here; more are held back there, none is lost."""


class _Subscription(EventStream):
    stopping: ClassVar[str] = "DEVICE_UNSUBSCRIBE"


class DeviceEvents:
    """Devices that are plugged in, pulled out or otherwise at a board, while ``async with`` holds it.

    >>> async with board.subscribe(["usb", "serial"]) as events:
    ...     async for event in events:
    ...         print(event["action"], event["device"]["name"])

    ``devices`` is what was there at the start, as :meth:`Board.devices` lists it; the events begin behind it.
    Each is {action, device}: "add", "remove" with the device as it was, "change" with the device as it is now.
    What happened while the connection was lost is told when it is back; what came and went meanwhile is not.
    """

    def __init__(self, link: Link, kinds: str | Iterable[str] | None, resource: str | None) -> None:
        self._link = link
        wanted = [kinds] if isinstance(kinds, str) else kinds
        self._request = {"kinds": None if wanted is None else list(wanted), "resource": resource}
        self._stream: EventStream | None = None
        self.devices: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        stream = _Subscription(self._link, WINDOW)
        self.devices = (await stream.open("DEVICE_SUBSCRIBE", self._request))["devices"]
        self._stream = stream
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._stream is not None:
            await self._stream.stop()

    async def next(self) -> dict[str, Any] | None:
        """The next event, or None when this was left. Raises SessionLost: subscribe again then."""
        if self._stream is None:
            raise LocalError("events come inside of `async with board.subscribe() as events`")
        event = await self._stream.next()
        return event and {"action": event.pop("action"), "device": event}

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while (event := await self.next()) is not None:
            yield event


async def wait_for(link: Link, resource: str, timeout: float | None) -> dict[str, Any]:
    """:meth:`Board.wait_for`."""
    limit = asyncio.timeout(timeout)
    try:
        async with limit, DeviceEvents(link, None, resource) as events:
            if events.devices:
                return events.devices[0]
            async for event in events:
                if event["action"] != "remove":
                    return dict(event["device"])
            raise ConnectionLost("the board says no more what it has")
    except TimeoutError:
        if not limit.expired():
            raise
        raise OperationTimeout(f"{resource} did not appear within {timeout:g} s") from None
