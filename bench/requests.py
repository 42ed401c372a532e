"""Requests: a quick driver operation through the agent, beside a plain MessagePack echo."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from myclerk_client import Board
from myclerk_client.known import KnownBoards

from .board import connected, paired, running_agent
from .driver import RESOURCE, client_operations
from .guest.contest import repeated
from .guest.echo import EchoClient as PlainEcho
from .guest.peers import SSHD, tunnels_through_ssh
from .guest.quick import ECHO, SSH_ECHO
from .machine import Placement, announced, desktop_core
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


WITHOUT_SSHD = "OpenSSH's server is not installed here (apt install openssh-server): its rows are missing."


def measure(settings: Settings) -> Section:
    """Requests per second and latencies at 1, 16 and 256 in flight; batches of 64 beside 64 requests."""
    section = Section("requests")
    for placement in settings.placements:
        with (
            tempfile.TemporaryDirectory() as directory,
            announced("bench.msgpack_echo", placement.board) as (pid, port),
            _tunnel(section, Path(directory), placement) as echoes,
            running_agent(Path(directory), placement.board) as agent,
            desktop_core(placement.desktop),
        ):
            boards = run(paired(agent, Path(directory) / "client"))
            pids = _Pids(agent.pid, pid)
            run(_contest(settings, section, placement.name, pids, int(port), boards, echoes))
    return section


@contextmanager
def _tunnel(section: Section, directory: Path, placement: Placement) -> Iterator[dict[str, PlainEcho]]:
    """What people do today to be safe: a plaintext echo, and the same through ``ssh -L``."""
    with announced("bench.guest.echo", placement.board) as (_, port), ExitStack() as stack:
        echoes = {ECHO: PlainEcho(int(port))}
        if shutil.which(SSHD):
            _, (tunnel,) = stack.enter_context(tunnels_through_ssh(directory, placement, [int(port)]))
            echoes[SSH_ECHO] = PlainEcho(tunnel)
        else:
            section.missing.append(WITHOUT_SSHD)
        yield echoes
        for client in echoes.values():
            client.close()


async def _contest(
    settings: Settings,
    section: Section,
    placement: str,
    pids: _Pids,
    port: int,
    boards: KnownBoards,
    echoes: Mapping[str, PlainEcho],
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
            if in_flight == 1:
                contestants |= {name: repeated(e.round_trip, total) for name, e in echoes.items()}
            series = await in_turns(contestants, settings.rounds)
            _judge_requests(section, placement, f"{in_flight} in flight", series)
            if in_flight == 1:
                _judge_tunnel(section, placement, f"{in_flight} in flight", series)
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


def _judge_tunnel(section: Section, placement: str, case: str, series: Series) -> None:
    section.compare(case, placement, series, PER_SECOND, SUBJECT, ECHO)
    share = None
    if SSH_ECHO in series:
        share = section.compare(case, placement, series, PER_SECOND, SUBJECT, SSH_ECHO)
    promise = f"{case}: twice the round trips per second of the {SSH_ECHO}"
    section.judge(promise, placement, share, lambda value: value >= 2)


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
