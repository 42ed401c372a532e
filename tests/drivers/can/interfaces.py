"""A CAN driver on simulated buses, and what its tests say to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from loop_context import CollectingSink, LoopContext

from myclerk_drivers.can.channel import CanChannel
from myclerk_drivers.can.driver import CanDriver
from myclerk_drivers.can.simulated import SimulatedCan
from myclerk_protocol.schema import Schema

CONTROLLERS: Mapping[str, Any] = {
    "can0": {"bus": "one"},
    "can1": {"bus": "one"},
    "can2": {"bus": "two", "modes": ["listen-only"]},
    "vcan0": {"kind": "vcan"},
}
RATE = {"bitrate": 500_000, "up": True}


class Bench:
    """A driver on :data:`CONTROLLERS`, or others, in the event loop that runs. ``async with`` closes its handles."""

    def __init__(self, table: Mapping[str, Any] = CONTROLLERS, **settings: Any) -> None:
        self.simulation = SimulatedCan.from_description(table)
        self.context = LoopContext(settings)
        self.driver = CanDriver(self.context, self.simulation)
        self.channels: list[CanChannel] = []

    async def __aenter__(self) -> Bench:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for channel in self.channels:
            channel.close()
        self.driver.close()
        assert self.context.watched == (set(), set())

    def open(self, name: str, settings: Mapping[str, Any] | None = None, **reception: Any) -> CanChannel:
        resource = self.driver.find(f"can:{name}")
        assert resource is not None
        channel = self.driver.open_interface(resource, **reception)
        self.channels.append(channel)
        assert isinstance(channel, CanChannel)
        if settings:
            channel.configure(**settings)
        return channel

    def pair(self, **reception: Any) -> tuple[CanChannel, CanChannel]:
        """can0 and can1, up, on one bus."""
        return self.open("can0", RATE, **reception), self.open("can1", RATE, **reception)


class Listener:
    """A stream of a channel, started; ``frames`` without timestamps, checked against the CDDL."""

    def __init__(self, channel: CanChannel, credit: int = 1000) -> None:
        self.stream = channel.receive()
        self.sink = CollectingSink(self.stream, credit).start()

    @property
    def received(self) -> list[Any]:
        shape = Schema.load().map("can-frames-event")
        return [frame for event in self.sink.events for frame in shape.decode(shape.encode(event))["frames"]]

    @property
    def frames(self) -> list[tuple[int, int, bytes]]:
        return [(can_id, flags, data) for _, can_id, flags, data in self.received]

    async def until(self, count: int) -> list[tuple[int, int, bytes]]:
        await self.sink.until(lambda: len(self.frames) >= count or self.sink.ended)
        return self.frames


async def sent(result: Mapping[str, int] | Awaitable[Mapping[str, int]]) -> int:
    """How many frames a send says it sent, at once or later."""
    if isinstance(result, Mapping):
        return result["sent"]
    async with asyncio.timeout(10):
        return (await result)["sent"]
