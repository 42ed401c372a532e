"""Handshakes: from SESSION_INIT to the accepted CLIENT_REGISTER, every signature made and verified."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from myclerk_client.known import KnownBoards
from myclerk_protocol import signatures

from .board import RunningAgent, connected, paired, running_agent
from .machine import cpu_seconds, desktop_core, placements
from .measure import Measure, Metrics, Series, in_turns, run
from .report import Section
from .sessions import SessionPair, write_identity
from .settings import Settings

KINDS = {"Ed448 alone": False, "Ed448 and ML-DSA-65": True}
HANDSHAKES = 200
"""Handshakes of one slice."""

AGENT_US, CLIENT_US = "agent-cpu-us", "client-cpu-us"
AGENT_RATE, BOTH_RATE = "agent-per-second", "both-per-second"
IN_PROCESS, OVER_TCP = "in one process", "over TCP"
TARGET = 300


@dataclass(frozen=True, slots=True)
class _Network:
    """A running agent that a client has paired."""

    agent: RunningAgent
    boards: KnownBoards


def measure(settings: Settings) -> Section:
    """What a handshake costs either end without a network, then with a real agent over TCP, all on one core.

    Rates of the agent are what one core could do with nothing else to do: 1 s / its CPU time for one.
    """
    section = Section("handshakes")
    placement = placements("one")[0]
    count = settings.count(HANDSHAKES)
    if not signatures.available():
        section.missing.append("ML-DSA-65 needs cryptography 48 or newer: its rows are missing.")
    kinds = {name: pq for name, pq in KINDS.items() if signatures.available() or not pq}
    with ExitStack() as stack:
        stack.enter_context(desktop_core(placement.board))
        pairs: dict[str, Measure] = {}
        networks: dict[str, Measure] = {}
        for name, post_quantum in kinds.items():
            pairs[name] = partial(_in_process, stack.enter_context(_pair(post_quantum)), count)
            network = stack.enter_context(_network(post_quantum, placement.board))
            networks[name] = partial(_over_tcp, network, count)
        for case, contestants in {IN_PROCESS: pairs, OVER_TCP: networks}.items():
            series = run(in_turns(contestants, settings.rounds))
            section.add(case, placement.name, series)
            _judge(section, placement.name, case, series)
    return section


def _judge(section: Section, placement: str, case: str, series: Series) -> None:
    rows = {row.contestant: row.metrics for row in section.rows if row.case == case}
    for kind in series:
        for metric, who in {AGENT_RATE: "agent's core alone", BOTH_RATE: "both ends on one core"}.items():
            promise = f"{TARGET} handshakes per second, {kind}, {case}, {who}"
            section.judge(promise, placement, rows[kind][metric].median, lambda value: value >= TARGET)


@contextmanager
def _pair(post_quantum: bool) -> Iterator[SessionPair]:
    with tempfile.TemporaryDirectory() as directory:
        pair = SessionPair(Path(directory), post_quantum=post_quantum)
        try:
            yield pair
        finally:
            pair.close()


@contextmanager
def _network(post_quantum: bool, core: int) -> Iterator[_Network]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_identity(directory / "client", post_quantum=post_quantum)
        security = f"post-quantum-signatures = {str(post_quantum).lower()}"
        with running_agent(directory, core, security=security) as agent:
            yield _Network(agent, run(paired(agent, directory / "client")))


async def _in_process(pair: SessionPair, count: int) -> Metrics:
    took = [pair.handshake() for _ in range(count)]
    agent = sum(seconds for seconds, _ in took) / count
    client = sum(seconds for _, seconds in took) / count
    return {
        AGENT_US: agent * 1e6,
        CLIENT_US: client * 1e6,
        AGENT_RATE: 1 / agent,
        BOTH_RATE: 1 / (agent + client),
    }


async def _over_tcp(network: _Network, count: int) -> Metrics:
    """Connections opened and closed, one after the other, as by a command-line client."""
    used = cpu_seconds(network.agent.pid)
    begun = perf_counter()
    for _ in range(count):
        async with connected(network.boards):
            pass
    elapsed = (perf_counter() - begun) / count
    agent = (cpu_seconds(network.agent.pid) - used) / count
    return {AGENT_US: agent * 1e6, AGENT_RATE: 1 / agent, BOTH_RATE: 1 / elapsed}
