"""``python3 -m bench.guest``: all contests on the board; prints one JSON object, ``{series, missing}``.

``series`` has, by placement and case, what each contestant gave in each round.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from myclerk_client import KnownBoards

from ..board import NAME, connected, paired, running_agent
from ..machine import desktop_core, placements
from ..measure import Series, run
from ..settings import Settings
from . import can, edges, onewire, quick
from .contest import Contest
from .peers import Listener, Peers, peers
from .world import World, timestamping, world

CONTESTS: dict[str, Callable[[Contest], Awaitable[None]]] = {
    "gpio": quick.gpio,
    "i2c": quick.i2c,
    "spi": quick.spi,
    "can": can.can,
    "onewire": onewire.onewire,
    "edges": edges.gpio_edges,
}


def main() -> None:
    """Measure in every placement."""
    parser = argparse.ArgumentParser(prog="bench.guest")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", choices=("two", "one", "both"), default="two")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=CONTESTS)
    options = parser.parse_args()
    settings = Settings(placements(options.cores), options.rounds, options.quick)
    wanted = options.only or list(CONTESTS)
    series: dict[str, Mapping[str, Series]] = {}
    missing: list[str] = []
    for placement in settings.placements:
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            directory = Path(name)
            stack.enter_context(can.answering(placement.board))
            others = stack.enter_context(peers(directory, placement, can.INTERFACE))
            agent = stack.enter_context(running_agent(directory, placement.board))
            stack.enter_context(timestamping())
            outside = stack.enter_context(world())
            stack.enter_context(desktop_core(placement.desktop))
            boards = run(paired(agent, directory / "client"))
            listener = Listener(boards.find(NAME).port, agent.pid)
            series[placement.name] = run(_contests(settings, wanted, boards, listener, others, outside))
            missing = others.missing
    print(json.dumps({"series": series, "missing": missing}))


async def _contests(
    settings: Settings,
    wanted: Sequence[str],
    boards: KnownBoards,
    agent: Listener,
    others: Peers,
    outside: World,
) -> Mapping[str, Series]:
    async with connected(boards) as board:
        contest = Contest(settings, board, agent, others, outside)
        for name in wanted:
            await CONTESTS[name](contest)
        return contest.series


if __name__ == "__main__":
    main()
