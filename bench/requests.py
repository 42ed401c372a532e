"""Requests: a quick driver operation through the agent, beside a plain MessagePack echo."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from myclerk_client import Board
from myclerk_client.known import KnownBoards

from .board import connected, paired, running_agent
from .driver import RESOURCE, client_operations
from .machine import announced, desktop_core
from .measure import (
    CPU,
    MEDIAN,
    PER_SECOND,
    Measure,
    Metrics,
    Series,
    in_turns,
    latencies,
    pipelined,
    run,
    with_cpu,
)
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


@dataclass(frozen=True, slots=True)
class _Pids:
    """The processes on the board's side."""

    subject: int
    peer: int


def measure(settings: Settings) -> Section:
    """Requests per second and latencies at 1, 16 and 256 in flight; batches of 64 beside 64 requests."""
    section = Section("requests")
    for placement in settings.placements:
        with (
            tempfile.TemporaryDirectory() as directory,
            announced("bench.msgpack_echo", placement.board) as (pid, port),
            running_agent(Path(directory), placement.board) as agent,
            desktop_core(placement.desktop),
        ):
            boards = run(paired(agent, Path(directory) / "client"))
            pids = _Pids(agent.pid, pid)
            run(_contest(settings, section, placement.name, pids, int(port), boards))
    return section


async def _contest(
    settings: Settings, section: Section, placement: str, pids: _Pids, port: int, boards: KnownBoards
) -> None:
    peer = await connect(port)
    async with connected(boards, client_operations()) as board:
        handle = (await board.link.request("BENCH_OPEN", {"resource": RESOURCE}))["handle"]

        async def ask(value: int) -> None:
            answer = await board.link.request("BENCH_SET", {"handle": handle, "value": value})
            assert answer["value"] == value

        for in_flight, full in IN_FLIGHT.items():
            total = max(settings.count(full), in_flight)
            contestants = {
                SUBJECT: with_cpu(partial(pipelined, ask, in_flight, total), total, pids.subject),
                PEER: with_cpu(partial(pipelined, peer.request, in_flight, total), total, pids.peer),
            }
            series = await in_turns(contestants, settings.rounds)
            _judge_requests(section, placement, f"{in_flight} in flight", series)
        works = _batch_works(board, handle, ask, peer, settings.count(BATCHES))
        series = await in_turns(works, settings.rounds)
        _judge_batches(section, placement, series)
    peer.close()


def _judge_requests(section: Section, placement: str, case: str, series: Series) -> None:
    section.add(case, placement, series)
    section.compare(case, placement, series, CPU, SUBJECT, PEER)
    share = section.compare(case, placement, series, PER_SECOND, SUBJECT, PEER)
    promise = f"{case}: at least half the requests per second of the {PEER}"
    section.judge(promise, placement, share, lambda value: value >= 0.5)


def _judge_batches(section: Section, placement: str, series: Series) -> None:
    case = f"{BATCH_SIZE} operations"
    section.add(case, placement, series)
    section.compare(case, placement, series, PER_SECOND, BATCH, PEER_TOGETHER)
    share = section.compare(case, placement, series, MEDIAN, BATCH, SINGLES)
    promise = f"a sealed batch of {BATCH_SIZE} takes under a tenth of {BATCH_SIZE} single requests"
    section.judge(promise, placement, share, lambda value: value < 0.1)


def _batch_works(board: Board, handle: int, ask: Request, peer: EchoClient, count: int) -> dict[str, Measure]:
    async def batch() -> None:
        async with board.batch() as requests:
            answers = [requests.add("BENCH_SET", handle=handle, value=n) for n in range(BATCH_SIZE)]
        assert [(await answer)["value"] for answer in answers] == list(range(BATCH_SIZE))

    async def singles() -> None:
        for value in range(BATCH_SIZE):
            await ask(value)

    async def together() -> None:
        await asyncio.gather(*(peer.request(value) for value in range(BATCH_SIZE)))

    works = {BATCH: batch, SINGLES: singles, PEER_TOGETHER: together}
    return {name: partial(_repeated, work, count) for name, work in works.items()}


async def _repeated(work: Callable[[], Awaitable[None]], count: int) -> Metrics:
    """``count`` times all the operations, whose latency is that of all together."""
    took = []
    begun = perf_counter()
    for _ in range(count):
        start = perf_counter()
        await work()
        took.append(perf_counter() - start)
    return latencies(took, perf_counter() - begun)
