"""What an endpoint sends, polled by the board and pushed from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

from myclerk_protocol.status import HardwareError

from ..streams import EventStream
from .transfers import IsochronousResult, isochronous_result


class UsbPoll:
    """An interrupt endpoint that the board polls: ``async for data in poll``."""

    window: ClassVar[int] = 256
    """Events that the board may push ahead of what was read here."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    async def next(self) -> bytes | None:
        """What the device sent next, or None when the poll was stopped.

        Raises HardwareError for one transfer that failed, and the error that ended the poll: DeviceGone, or
        HardwareError with errno EPIPE when the endpoint stalled.
        """
        event = await self._stream.next()
        if event is None:
            return None
        if errno := event.get("errno"):
            raise HardwareError(f"the device could not be polled: {errno}", errno=errno, data=event["data"])
        return bytes(event["data"])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (data := await self.next()) is not None:
            yield data

    async def stop(self) -> None:
        """Stop polling. Idempotent."""
        await self._stream.stop()


class IsochronousPoll:
    """An isochronous endpoint that the board reads without a pause: ``async for result in poll``."""

    window: ClassVar[int] = 32

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    async def next(self) -> IsochronousResult | None:
        """The next packets, or None when the poll was stopped. Raises the error that ended it."""
        event = await self._stream.next()
        return None if event is None else isochronous_result(event)

    async def __aiter__(self) -> AsyncIterator[IsochronousResult]:
        while (result := await self.next()) is not None:
            yield result

    async def stop(self) -> None:
        """Stop reading. Idempotent."""
        await self._stream.stop()
