"""CAN: a frame there and its answer back, many frames from the client to the bus, many from the bus to the client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from myclerk_client import Frame

from ..machine import child
from ..measure import PER_SECOND, Metrics, latencies
from .can_echo import ANSWERED, ASKED
from .contest import ON_BOARD, SUBJECT, Contest, Slice
from .edges import DELIVERED, OFFERED
from .world import LAST_ID, OTHER_ID, can_socket

INTERFACE = "vcan0"
CAN_REMOTE = "python-can-remote"
DATA = bytes(range(8))
ECHOES, FRAMES = 300, 4096
"""Round trips and frames of one slice."""

RATES = {"8,000/s": 8_000, "flat out": 0}
PATIENCE = 2.0
"""Seconds without a frame after which the rest is lost."""

BATCH = 256
"""Frames of one send_many."""


@dataclass(frozen=True, slots=True)
class Node:
    """A way onto the bus. ``receive`` gives identifiers of at least one frame, or nothing within its patience."""

    send: Callable[[int], Awaitable[None]]
    send_many: Callable[[list[int]], Awaitable[None]]
    receive: Callable[[], Awaitable[list[int]]]


Way = Callable[[], Any]


@contextmanager
def answering(core: int) -> Iterator[None]:
    """Another node on the bus that answers, on ``core``."""
    with child([sys.executable, "-m", "bench.guest.can_echo", INTERFACE], core) as node:
        assert node.stdout is not None
        node.stdout.readline()
        yield


async def can(contest: Contest) -> None:
    """All contests, each with whoever is there."""
    ways: dict[str, Way] = {
        ON_BOARD: partial(_python_can, interface="socketcan", channel=INTERFACE),
        SUBJECT: partial(_ours, contest),
    }
    if contest.peers.can_remote is not None:
        channel = f"ws://127.0.0.1:{contest.peers.can_remote.port}/"
        ways[CAN_REMOTE] = partial(_python_can, interface="remote", channel=channel)
    count = contest.settings.count
    await contest.hold("CAN echo", _each(ways, _echo, count(ECHOES)))
    await contest.hold("CAN client to bus", _each(ways, _to_bus, count(FRAMES)))
    for name, rate in RATES.items():
        receiving = _each(ways, partial(_from_bus, contest, rate), count(FRAMES))
        await contest.hold(f"CAN bus to client, {name}", receiving)


def _each(
    ways: dict[str, Way], measure: Callable[[Node, int], Awaitable[Metrics]], count: int
) -> dict[str, Slice]:
    """Each on the bus only for its slice: who listens costs the others time."""

    async def slice_of(way: Way) -> Metrics:
        async with way() as node:
            return await measure(node, count)

    return {name: Slice(partial(slice_of, way), count) for name, way in ways.items()}


@asynccontextmanager
async def _ours(contest: Contest) -> AsyncIterator[Node]:
    async with await contest.board.can.open(INTERFACE) as bus:

        async def send_many(identifiers: list[int]) -> None:
            for start in range(0, len(identifiers), BATCH):
                await bus.send_many(Frame(number, DATA) for number in identifiers[start : start + BATCH])

        async def receive() -> list[int]:
            return [frame.arbitration_id for frame in await bus.receive_many(timeout=PATIENCE)]

        yield Node(lambda number: bus.send(Frame(number, DATA)), send_many, receive)


@asynccontextmanager
async def _python_can(**options: Any) -> AsyncIterator[Node]:
    import can

    def message(identifier: int) -> can.Message:
        return can.Message(arbitration_id=identifier, data=DATA, is_extended_id=False)

    with can.Bus(**options) as bus:

        async def send(identifier: int) -> None:
            bus.send(message(identifier))

        async def send_many(identifiers: list[int]) -> None:
            for identifier in identifiers:
                bus.send(message(identifier))

        async def receive() -> list[int]:
            found = bus.recv(PATIENCE)
            return [] if found is None else [found.arbitration_id]

        yield Node(send, send_many, receive)


async def _echo(node: Node, count: int) -> Metrics:
    """Another node on the bus answers each frame."""
    took = []
    begun = perf_counter()
    for _ in range(count):
        start = perf_counter()
        await node.send(ASKED)
        while ANSWERED not in (found := await node.receive()):
            if not found:
                raise RuntimeError("nobody on the bus answers")
        took.append(perf_counter() - start)
    return latencies(took, perf_counter() - begun)


async def _to_bus(node: Node, count: int) -> Metrics:
    """Until the last frame is on the bus, as another node there sees it."""
    with can_socket(INTERFACE, only=LAST_ID) as other:
        other.setblocking(False)
        begun = perf_counter()
        await node.send_many([OTHER_ID] * (count - 1) + [LAST_ID])
        await asyncio.wait_for(asyncio.get_running_loop().sock_recv(other, 16), 30)
        return {PER_SECOND: count / (perf_counter() - begun)}


async def _from_bus(contest: Contest, rate: int, node: Node, count: int) -> Metrics:
    """Frames sent by another node, until the last one has come or nothing more does."""
    sending = contest.world.frames(INTERFACE, count, rate)
    arrived, begun, last = 0, None, 0.0
    while found := await node.receive():
        last = perf_counter()
        begun = begun or last
        arrived += len(found)
        if LAST_ID in found:
            break
    seconds = await sending
    took = last - (begun or last)
    return {
        PER_SECOND: arrived / took if took else 1.0,
        DELIVERED: 100 * arrived / count,
        OFFERED: count / seconds,
    }
