"""Requests: a quick driver operation through the agent, beside a plain MessagePack echo."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

from myclerk_client import Board
from myclerk_client.known import KnownBoard, KnownBoards

from .board import connected, paired, running_agent
from .driver import RESOURCE, client_operations
from .machine import announced, desktop_core
from .measure import PER_SECOND, Metrics, in_turns, latencies, pipelined, run
from .msgpack_echo import EchoClient, connect
from .report import Section
from .settings import Settings

SUBJECT, PEER = "myclerk", "msgpack echo"
IN_FLIGHT = {1: 4_000, 16: 16_000, 256: 30_000}
"""Requests in flight -> requests of one slice."""

BATCH_SIZE = 64
BATCHES = 100
BATCH, SINGLES = "one sealed batch", "one after the other"
PEER_TOGETHER = "msgpack echo, all at once"

Request = Callable[[int], Awaitable[object]]


def measure(settings: Settings) -> Section:
    """Requests per second and latencies at 1, 16 and 256 in flight; batches of 64 beside 64 requests."""
    section = Section("requests")
    for placement in settings.placements:
        with (
            tempfile.TemporaryDirectory() as directory,
            announced("bench.msgpack_echo", placement.board) as port,
            running_agent(Path(directory), placement.board) as agent,
            desktop_core(placement.desktop),
        ):
            known, boards = run(paired(agent, Path(directory) / "client"))
            run(_contest(settings, section, placement.name, int(port), known, boards))
    return section


async def _contest(
    settings: Settings, section: Section, placement: str, port: int, known: KnownBoard, boards: KnownBoards
) -> None:
    peer = await connect(port)
    async with connected(known, boards, client_operations()) as board:
        handle = (await board.link.request("BENCH_OPEN", {"resource": RESOURCE}))["handle"]

        async def ask(value: int) -> None:
            answer = await board.link.request("BENCH_SET", {"handle": handle, "value": value})
            assert answer["value"] == value

        for in_flight in IN_FLIGHT:
            await _in_flight(settings, section, placement, in_flight, ask, peer.request)
        await _batches(settings, section, placement, board, handle, ask, peer)
    peer.close()


async def _in_flight(
    settings: Settings, section: Section, placement: str, in_flight: int, ask: Request, ask_peer: Request
) -> None:
    case = f"{in_flight} in flight"
    total = max(settings.count(IN_FLIGHT[in_flight]), in_flight)
    contestants = {
        SUBJECT: lambda: pipelined(ask, in_flight, total),
        PEER: lambda: pipelined(ask_peer, in_flight, total),
    }
    series = await in_turns(contestants, settings.rounds)
    section.add(case, placement, series)
    share = section.compare(case, placement, series, PER_SECOND, SUBJECT, PEER)
    promise = f"{case}: at least half the requests per second of the {PEER}"
    section.judge(promise, placement, share, lambda value: value >= 0.5)


async def _batches(
    settings: Settings,
    section: Section,
    placement: str,
    board: Board,
    handle: int,
    ask: Request,
    peer: EchoClient,
) -> None:
    async def batch() -> None:
        async with board.batch() as requests:
            answers = [requests.add("BENCH_SET", handle=handle, value=n) for n in range(BATCH_SIZE)]
        assert [(await answer)["value"] for answer in answers] == list(range(BATCH_SIZE))

    async def singles() -> None:
        for value in range(BATCH_SIZE):
            await ask(value)

    async def together() -> None:
        await asyncio.gather(*(peer.request(value) for value in range(BATCH_SIZE)))

    case = f"{BATCH_SIZE} operations"
    count = settings.count(BATCHES)
    contestants = {
        name: (lambda work=work: _repeated(work, count))
        for name, work in {BATCH: batch, SINGLES: singles, PEER_TOGETHER: together}.items()
    }
    series = await in_turns(contestants, settings.rounds)
    section.add(case, placement, series)
    section.compare(case, placement, series, PER_SECOND, BATCH, PEER_TOGETHER)
    speedup = section.compare(case, placement, series, PER_SECOND, BATCH, SINGLES)
    section.judge(
        f"a sealed batch of {BATCH_SIZE} takes under a tenth of {BATCH_SIZE} single requests",
        placement,
        1 / speedup,
        lambda value: value < 0.1,
    )


async def _repeated(work: Callable[[], Awaitable[None]], count: int) -> Metrics:
    """``count`` times all the operations, whose latency is that of all together."""
    took = []
    begun = perf_counter()
    for _ in range(count):
        start = perf_counter()
        await work()
        took.append(perf_counter() - start)
    return latencies(took, perf_counter() - begun)
