"""What every contest on the virtual board has: contestants by name, slices of work, what is known of the run."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

from myclerk_client import Board

from ..measure import PER_SECOND, Measure, Metrics, Series, in_turns, latencies, with_cpu
from ..settings import Settings
from .peers import Listener, Peers
from .wire import weighed
from .world import World

SUBJECT = "myclerk"
ON_BOARD = "on the board itself"
"""The library that everybody uses for that bus, called by this process: nothing can be quicker."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What a contestant does in its turn: ``operations``, at the other end of the loopback ``port``.

    ``pid`` is the process at that end, ``client`` the one that holds the connection. Without a port nothing is
    between this process and the device.
    """

    measure: Measure
    operations: int
    port: int | None = None
    pid: int | None = None
    client: int = os.getpid()

    @property
    def timed(self) -> Measure:
        """The measure, with CPU times if both processes are known."""
        return self.measure if self.pid is None else with_cpu(self.measure, self.operations, self.pid)


@dataclass(slots=True)
class Contest:
    """One placement: who takes part, and what came out, by case. ``agent`` is where ours listens."""

    settings: Settings
    board: Board
    agent: Listener
    peers: Peers
    world: World
    series: dict[str, Series] = field(default_factory=dict)

    async def hold(self, case: str, contestants: Mapping[str, Slice], *, wire: bool = False) -> None:
        """Let all of them take turns, and keep what they gave; with ``wire`` also the bytes of one more slice."""
        timed = {name: slice_.timed for name, slice_ in contestants.items()}
        self.series[case] = await in_turns(timed, self.settings.rounds)
        if wire:
            self.series[f"{case}, bytes"] = {
                name: [await weighed(slice_.client, slice_.port, slice_.operations, slice_.measure)]
                for name, slice_ in contestants.items()
                if slice_.port is not None
            }

    def ours(self, measure: Measure, operations: int) -> Slice:
        """A slice of our own."""
        return Slice(measure, operations, self.agent.port, self.agent.pid)


def repeated(operation: Callable[[], object], count: int) -> Measure:
    """A blocking operation, one after the other."""

    async def measured() -> Metrics:
        took = []
        begun = perf_counter()
        for _ in range(count):
            start = perf_counter()
            operation()
            took.append(perf_counter() - start)
        return latencies(took, perf_counter() - begun)

    return measured


def batched(batch: Callable[[], Awaitable[object]], size: int, count: int) -> Measure:
    """``count`` batches one after the other; the rate is that of the ``size`` operations in each."""

    async def measured() -> Metrics:
        took = []
        begun = perf_counter()
        for _ in range(count):
            start = perf_counter()
            await batch()
            took.append(perf_counter() - start)
        metrics = latencies(took, perf_counter() - begun)
        return {**metrics, PER_SECOND: metrics[PER_SECOND] * size}

    return measured
