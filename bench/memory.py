"""Memory: the resident set of an agent that has nothing to do."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from .board import RunningAgent, connected, paired, running_agent
from .machine import desktop_core, resident_mib
from .measure import Metrics, run
from .report import Section
from .settings import Settings

RESIDENT = "resident-mib"
LIMIT = 60.0
SESSIONS = 10
SETTLING_SECONDS = 2.0


def measure(settings: Settings) -> Section:
    """Resident set after the start, and with ten idle sessions of ten devices that have just paired."""
    section = Section("memory")
    placement = settings.placements[0]
    sessions = 2 if settings.quick else SESSIONS
    with (
        tempfile.TemporaryDirectory() as directory,
        running_agent(Path(directory), placement.board) as agent,
        desktop_core(placement.desktop),
    ):
        started, busy = run(
            _resident(agent, Path(directory), sessions, 0 if settings.quick else SETTLING_SECONDS)
        )
    for case, metrics in {"after the start": started, f"{sessions} idle sessions": busy}.items():
        section.add(case, placement.name, {"myclerk-agent": [metrics]})
        promise = f"an idle agent under {LIMIT:.0f} MiB, {case}"
        section.judge(promise, placement.name, metrics[RESIDENT], lambda value: value < LIMIT)
    return section


async def _resident(
    agent: RunningAgent, directory: Path, sessions: int, settling: float
) -> tuple[Metrics, Metrics]:
    await asyncio.sleep(settling)
    started = {RESIDENT: resident_mib(agent.pid)}
    async with AsyncExitStack() as stack:
        for number in range(sessions):
            boards = await paired(agent, directory / f"client-{number}")
            await stack.enter_async_context(connected(boards))
        await asyncio.sleep(settling)
        return started, {RESIDENT: resident_mib(agent.pid)}
