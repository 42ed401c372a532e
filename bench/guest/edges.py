"""Edges of a GPIO line: how many of those made arrive, and how long after the kernel saw them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from typing import Any

from ..measure import Metrics, latencies
from .contest import ON_BOARD, SUBJECT, Contest, Slice
from .quick import RGPIOD, pull_attribute, rgpiod_client

RATES = (1_000, 5_000, 10_000)
"""Edges per second that are made, if the machine can."""

DELIVERED, OFFERED = "delivered-percent", "offered-per-second"
QUIET_SECONDS = 0.5
KERNEL_BUFFER = 1024
"""Edges that the kernel keeps for who reads them on the board itself: as many as it can."""

Late = list[float]
"""Seconds from the kernel's timestamp to the program, for each edge that came."""

Watching = Callable[[], AbstractAsyncContextManager[Late]]


async def gpio_edges(contest: Contest) -> None:
    """Each rate by itself."""
    chip = next(chip for chip in await contest.board.gpio.list() if chip["label"] == "board")
    line = chip["line_names"].index("BUTTON")
    watchers: dict[str, Watching] = {
        ON_BOARD: partial(_on_board, chip["path"], line),
        SUBJECT: partial(_ours, contest, chip["name"], line),
    }
    if contest.peers.rgpiod is not None:
        number = int(chip["path"].removeprefix("/dev/gpiochip"))
        watchers[RGPIOD] = partial(_rgpiod, contest.peers.rgpiod.port, number, line)
    for rate in RATES:
        count = contest.settings.count(rate)
        contestants = {
            name: Slice(partial(_watched, contest, watching, pull_attribute(line), count, rate), count)
            for name, watching in watchers.items()
        }
        await contest.hold(f"GPIO edges, {rate:,}/s", contestants)


async def _watched(contest: Contest, watching: Watching, pull: str, count: int, rate: float) -> Metrics:
    """Make the edges while somebody watches, and wait until no more come."""
    count += count & 1  # the line ends as it began
    async with watching() as late:
        seconds = await contest.world.edges(pull, count, rate)
        seen = -1
        while seen < len(late) < count:
            seen = len(late)
            await asyncio.sleep(QUIET_SECONDS)
    arrived = late[:] or [QUIET_SECONDS]
    delivered = {DELIVERED: 100 * len(late) / count, OFFERED: count / seconds}
    return {**latencies(arrived, seconds), **delivered}


@asynccontextmanager
async def _on_board(path: str, line: int) -> AsyncIterator[Late]:
    import gpiod
    from gpiod.line import Edge

    late: Late = []
    settings = gpiod.LineSettings(edge_detection=Edge.BOTH)
    with gpiod.request_lines(path, config={(line,): settings}, event_buffer_size=KERNEL_BUFFER) as request:

        def readable() -> None:
            for event in request.read_edge_events():
                late.append((time.monotonic_ns() - event.timestamp_ns) / 1e9)

        loop = asyncio.get_running_loop()
        loop.add_reader(request.fd, readable)
        try:
            yield late
        finally:
            loop.remove_reader(request.fd)


@asynccontextmanager
async def _ours(contest: Contest, chip: str, line: int) -> AsyncIterator[Late]:
    late: Late = []
    async with await contest.board.gpio.request(line, chip=chip) as lines:
        stream = await lines.watch()

        async def take() -> None:
            async for event in stream:
                late.append((time.monotonic_ns() - event["timestamp_ns"]) / 1e9)

        taking = asyncio.create_task(take())
        yield late
        await stream.stop()
        await taking


@asynccontextmanager
async def _rgpiod(port: int, chip: int, line: int) -> AsyncIterator[Late]:
    import rgpio

    late: Late = []

    def seen(chip: int, line: int, level: int, tick: int) -> None:
        late.append((time.monotonic_ns() - tick) / 1e9)

    with ExitStack() as stack:
        sbc: Any = rgpiod_client(stack, port)
        handle = sbc.gpiochip_open(chip)
        stack.callback(sbc.gpiochip_close, handle)
        sbc.gpio_claim_alert(handle, line, rgpio.BOTH_EDGES)
        callback = sbc.callback(handle, line, rgpio.BOTH_EDGES, seen)
        stack.callback(callback.cancel)
        yield late
