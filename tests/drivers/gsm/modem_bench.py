"""A simulated modem with the driver on it, for tests: a real tty between them, times made short."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from loop_context import CollectingSink, LoopContext

from myclerk_drivers.base import Resource, Stream
from myclerk_drivers.gsm import GsmDriver
from myclerk_drivers.models.modem import Modem
from myclerk_drivers.serial.holders import OPEN_TTYS

OWN = "+491701234567"
"""The number of the simulated modems: what is sent there comes back."""


class Bench:
    """``call("status")`` calls a method of the driver on the modem; ``modem`` is the far end."""

    def __init__(self, driver: GsmDriver, name: str) -> None:
        self.driver = driver
        resource = driver.find(f"gsm:{name}")
        assert resource is not None
        self.resource: Resource = resource
        assert driver.simulation is not None
        self.modem: Modem = driver.simulation.modems[name]

    async def call(self, method: str, **fields: Any) -> Any:
        result = getattr(self.driver, method)(self.resource, **fields)
        return await result if asyncio.iscoroutine(result) else result

    async def stream(self, method: str, credit: int = 1000, **fields: Any) -> CollectingSink:
        stream = await self.call(method, **fields)
        assert isinstance(stream, Stream)
        return CollectingSink(stream, credit).start()


@asynccontextmanager
async def bench(
    family: str = "sim7600", settings: Mapping[str, Any] | None = None, scale: float = 1.0, **description: Any
) -> AsyncIterator[Bench]:
    """The driver with one modem, and everything given back afterwards."""
    given = {"idle": 0.05, "message-interval": 1.0, **(settings or {})}
    driver = GsmDriver.simulated(LoopContext(given), {"m": {"family": family, **description}})
    driver._tuning = replace(driver._tuning, scale=scale)
    b = Bench(driver, "m")
    number = os.stat(b.resource.properties["path"]).st_rdev
    try:
        yield b
    except BaseException:
        driver.close()
        raise
    driver.close()
    await given_back(number)


async def given_back(number: int) -> None:
    """Wait until this process has let go of a tty, by its device number."""
    async with asyncio.timeout(10):
        while number in OPEN_TTYS.numbers():
            await asyncio.sleep(0.002)


def texts(sink: CollectingSink) -> list[str]:
    """The texts of the messages that came."""
    return [event["message"]["text"] for event in sink.events if event["kind"] == "message"]


def shorten(b: Bench, start: str, seconds: float = 0.2) -> None:
    """Give the next command that begins so a short time limit."""
    channel = b.driver._services["port:m"].modem._channel
    assert channel is not None
    original = channel.run

    async def run_shortly(text: str, *given: Any, **options: Any) -> list[str]:
        if text.startswith(start):
            channel.run = original  # type: ignore[method-assign]
            options["timeout"] = seconds
        return await original(text, *given, **options)

    channel.run = run_shortly  # type: ignore[method-assign]
