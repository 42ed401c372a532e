"""CAN interfaces of a board (operations 0x0650-0x0657)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Any

from myclerk_protocol.status import MyClerkError, OperationError, OperationTimeout

from .can_frames import EXTENDED_MASK, CanFilter, Frame, filter_to_wire, from_wire, to_wire
from .held import Held, opened
from .link import Link
from .streams import EventStream

MOST_FRAMES = 1024
"""Frames of one CAN_FRAME_SEND; more are split, each part behind the answer to the one before."""
WINDOW = 256
"""Events, of up to 64 frames each, that the board may push ahead of what was read here."""


class CanBus(Held):
    """An open CAN interface: what is sent on its bus by others arrives here, and what is sent here there.

    ``settings`` are those in force when it was opened or configured last, with the condition of the interface
    beside them, as in :meth:`status`. ``dropped`` counts received frames that were lost for want of room.
    """

    closing = "CAN_INTERFACE_CLOSE"

    def __init__(self, link: Link, resource: str, opened: Mapping[str, Any]) -> None:
        super().__init__(link, resource, opened["handle"])
        self.settings: dict[str, Any] = {k: v for k, v in opened.items() if k != "handle"}
        self.dropped: int = 0
        self._received: deque[list[Any]] = deque()
        self._stream: asyncio.Task[EventStream] | None = None

    async def close(self) -> None:
        """Close the interface at the agent. Its configuration stays, unless ``restore`` was asked. Idempotent."""
        await super().close()
        if self._stream is not None:
            with suppress(MyClerkError):
                await (await self._stream).stop()

    async def send(self, frame: Frame, *, timeout: float | None = None) -> None:
        """Send one frame; returns when the board's kernel took it. Raises as :meth:`send_many`."""
        await self._send([to_wire(frame)], timeout)

    async def send_many(self, frames: Iterable[Frame], *, timeout: float | None = None) -> int:
        """Send frames in this order; how many. While the interface's queue is full this waits.

        Raises OperationTimeout after ``timeout`` seconds, Unsupported for CAN FD frames where only classic ones
        are, HardwareError when the interface is down or bus-off; ``details["sent"]`` counts the frames that were
        taken before, the others are not sent.
        """
        wire = [to_wire(frame) for frame in frames]
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        for start in range(0, len(wire), MOST_FRAMES):
            left = None if deadline is None else max(deadline - loop.time(), 0.0)
            try:
                await self._send(wire[start : start + MOST_FRAMES], left)
            except OperationError as error:
                details = {**error.details, "sent": start + int(error.details.get("sent", 0))}
                raise type(error)(error.message, **details) from None
        return len(wire)

    async def receive(self, *, timeout: float | None = None) -> Frame | None:
        """The next frame, or None after ``timeout`` seconds. Frames wait from the moment of opening.

        Raises DeviceGone, HardwareError when the interface was taken down, SessionLost.
        """
        found = await self.receive_many(1, timeout=timeout)
        return found[0] if found else None

    async def receive_many(self, limit: int = 1000, *, timeout: float | None = None) -> list[Frame]:
        """All frames that are here, at least one and at most ``limit``; none after ``timeout`` seconds."""
        received = self._received
        if not received:
            try:
                async with asyncio.timeout(timeout):
                    while not received and await self._fill():
                        pass
            except TimeoutError as error:
                if isinstance(error, OperationTimeout):
                    raise
                return []
        return [from_wire(*received.popleft()) for _ in range(min(limit, len(received)))]

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while frames := await self.receive_many():
            for frame in frames:
                yield frame

    async def set_filters(
        self,
        filters: Iterable[CanFilter] | None = None,
        *,
        joined: bool | None = None,
        errors: bool | int | None = None,
        receive_own: bool | None = None,
    ) -> None:
        """Let the board's kernel pass only frames that fit one of at most 512 filters, or ``joined`` all of them.

        No filters at all (an empty list) let no data frame pass. ``errors`` asks for error frames: all, none,
        or a mask of classes (linux/can/error.h). ``receive_own`` also gives what was sent here. None leaves
        things as they are. Frames that are under way already still come.
        """
        await self._request("CAN_FILTER_SET", _reception(filters, joined, errors, receive_own))

    async def configure(self, *, restore: bool = False, **settings: Any) -> dict[str, Any]:
        """Change settings, all or none; what is in force then. Names as in :meth:`CanInterfaces.open`.

        ``restore`` has what was before put back when the last handle on the interface is closed. Raises
        Conflict while somebody else has it open, unless nothing has to change.
        """
        options = {"restore": True} if restore else {}
        self.settings = await self._request("CAN_CONFIGURE", {**settings, **options})
        return self.settings

    async def restart(self) -> dict[str, Any]:
        """Leave bus-off. Raises Conflict when the controller is not in it, or will leave by itself."""
        self.settings = await self._request("CAN_CONFIGURE", {"restart": True})
        return self.settings

    async def status(self) -> dict[str, Any]:
        """Settings in force; ``state`` (error-active to bus-off), error counters, bit timing, statistics."""
        return await self._request("CAN_ERROR_STATUS", {})

    async def _send(self, frames: list[list[Any]], timeout: float | None) -> None:
        limit = {} if timeout is None else {"timeout": timeout}
        await self._request("CAN_FRAME_SEND", {"frames": frames, **limit})

    async def _fill(self) -> bool:
        """Wait for one event; False when the stream is over."""
        if self._stream is None:  # a task: a reader that gives up while it opens leaves it to the next one
            self._check()
            self._stream = asyncio.ensure_future(self._open())
        stream = self._stream
        try:
            event = await (await asyncio.shield(stream)).next()
        except OperationError:  # the next read may try again: the interface may be up by then
            if self._stream is stream:
                self._stream = None
            raise
        if event is None:
            return False
        self.dropped += event.get("dropped", 0)
        self._received.extend(event["frames"])
        return True

    async def _open(self) -> EventStream:
        stream = EventStream(self._link, WINDOW)
        await stream.open("CAN_FRAME_RECEIVE", {"handle": self._handle})
        return stream


class CanInterfaces:
    """The CAN interfaces of a board; ``board.can``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[dict[str, Any]]:
        """The interfaces, each with its kind, settings in force, bus state, error counters and statistics."""
        return list((await self._link.request("CAN_INTERFACE_LIST", {}))["interfaces"])

    async def open(
        self,
        interface: str,
        *,
        filters: Iterable[CanFilter] | None = None,
        joined: bool | None = None,
        errors: bool | int | None = None,
        receive_own: bool | None = None,
        restore: bool = False,
        **settings: Any,
    ) -> CanBus:
        """Open an interface by resource name ("can:can0") or short name ("can0") and receive from then on.

        With settings it is configured and brought up, too: ``bitrate`` and ``data_bitrate`` (bits per second),
        ``sample_point`` and ``data_sample_point`` (0.875), ``fd``, ``listen_only``, ``loopback``, ``one_shot``,
        ``triple_sampling``, ``berr_reporting`` (error frames for each bus error), ``restart_ms`` (after bus-off;
        0: not by itself), ``up``. The rest is as in :meth:`CanBus.set_filters` and :meth:`CanBus.configure`.
        Raises NotFound, BadRequest, Unsupported; Conflict when it is open elsewhere with other settings.
        """
        resource = interface if interface.startswith("can:") else f"can:{interface}"
        fields = {"resource": resource, **_reception(filters, joined, errors, receive_own)}
        answer = await opened(self._link, "CAN_INTERFACE_OPEN", fields, CanBus.closing)
        bus = CanBus(self._link, resource, answer)
        if settings:
            try:
                await bus.configure(restore=restore, **{"up": True, **settings})
            except BaseException:
                self._link.post(CanBus.closing, {"handle": answer["handle"]})
                raise
        return bus


def _reception(
    filters: Iterable[CanFilter] | None,
    joined: bool | None,
    errors: bool | int | None,
    receive_own: bool | None,
) -> dict[str, Any]:
    mask = EXTENDED_MASK * errors if isinstance(errors, bool) else errors
    return {
        "filters": None if filters is None else [filter_to_wire(wanted) for wanted in filters],
        "joined": joined,
        "error_mask": mask,
        "receive_own": receive_own,
    }
