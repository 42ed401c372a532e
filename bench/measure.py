"""Measuring: slices of work taken in turns, percentiles within a slice, medians over rounds."""

from __future__ import annotations

import asyncio
import gc
import math
import statistics
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, TypeVar

from .machine import cpu_seconds

T = TypeVar("T")

PER_SECOND = "per-second"
MEDIAN = "p50-us"
DESKTOP_CPU, BOARD_CPU, CPU = "desktop-cpu-us", "board-cpu-us", "cpu-us"

Metrics = Mapping[str, float]
"""What one slice gave, by name with unit: ``per-second``, ``p50-us``, ``mib-per-second``."""

Measure = Callable[[], Awaitable[Metrics]]
"""Does one slice of work and says what it took."""

Series = Mapping[str, Sequence[Metrics]]
"""By contestant, what each round gave."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of all rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of one value per round, of which there must be one at least."""
        return cls(statistics.median(values), min(values), max(values), len(values))


def latencies(seconds: Sequence[float], elapsed: float) -> Metrics:
    """Rate and percentiles of operations that took ``seconds`` each, ``elapsed`` all together."""
    ordered = sorted(seconds)
    at = {f"p{share}-us": ordered[len(ordered) * share // 100] * 1e6 for share in (50, 90, 99)}
    return {PER_SECOND: len(ordered) / elapsed, **at}


async def in_turns(contestants: Mapping[str, Measure], rounds: int) -> Series:
    """Let every contestant do its slice in every round; each round begins with another one.

    What disturbs the machine for longer than a slice disturbs all of them, so ratios within a round hold
    where the numbers themselves do not. One slice beforehand warms everything up and does not count.
    """
    series: dict[str, list[Metrics]] = {name: [] for name in contestants}
    for measure in contestants.values():
        await measure()
    for number in range(rounds):
        names = list(contestants)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            series[name].append(await contestants[name]())
    return series


async def pipelined(request: Callable[[int], Awaitable[object]], in_flight: int, total: int) -> Metrics:
    """``total`` requests, ``in_flight`` at any time; each is awaited by a task of its own."""
    left = total
    took: list[float] = []

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            start = perf_counter()
            await request(left)
            took.append(perf_counter() - start)

    begun = perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return latencies(took, perf_counter() - begun)


def with_cpu(measure: Measure, operations: int, pid: int) -> Measure:
    """``measure``, and the CPU time of this process and of process ``pid`` for each of its ``operations``.

    Both hold when other programs want the same cores, where rates and latencies do not.
    """

    async def measured() -> Metrics:
        desktop, board = process_time(), cpu_seconds(pid)
        metrics = await measure()
        used = {DESKTOP_CPU: process_time() - desktop, BOARD_CPU: cpu_seconds(pid) - board}
        both = {name: seconds / operations * 1e6 for name, seconds in used.items()}
        return {**metrics, **both, CPU: sum(both.values())}

    return measured


def ratio(series: Series, of: str, to: str, metric: str) -> Spread:
    """``metric`` of one contestant divided by that of another, round by round; infinite where the other has nothing."""
    rounds = zip(series[of], series[to], strict=True)
    return Spread.of([a[metric] / b[metric] if b[metric] else math.inf for a, b in rounds])


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on uvloop where it is installed, as both ends of the product do."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes uvloop's event loops; None, for asyncio's own, where it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
