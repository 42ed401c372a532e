"""`myclerk gpio set`: outputs, held while the command runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import cycle
from typing import Any

import click

from ..board import Board
from ..gpio import Lines
from .app import App, with_board
from .gpio_options import assignment, duration, durations, settings_options
from .names import complete_line
from .options import Command


@click.command("set", cls=Command)
@click.argument(
    "assignments",
    metavar="LINE=VALUE...",
    nargs=-1,
    required=True,
    type=assignment,
    shell_complete=complete_line,
)
@settings_options
@click.option(
    "-d",
    "--drive",
    type=click.Choice(["push-pull", "open-drain", "open-source"]),
    help="[default: push-pull]",
)
@click.option(
    "-t",
    "--toggle",
    "periods",
    type=durations,
    metavar="PERIOD[,PERIOD...]",
    help="Toggle the lines after each period, over and over; a last period of 0 ends it. [default unit: ms]",
)
@click.option(
    "-p",
    "--hold-period",
    "--hold",
    "hold",
    type=duration,
    help="Hold each value at least this long. [default unit: ms]",
)
@click.option(
    "--on-release",
    type=click.Choice(["input", "hold", "low", "high"]),
    help="What to leave the lines as. [default: input]",
)
@with_board(limited=False)
async def set_lines(
    app: App, board: Board, assignments: tuple[tuple[str, bool], ...], chip: str | None,
    settings: dict[str, Any], periods: list[float] | None, hold: float | None,
    drive: str | None, on_release: str | None,
) -> None:  # fmt: skip
    """Set LINEs of one chip, all at the same moment, and hold them until Ctrl-C.

    Values are 1, on, active or 0, off, inactive. Periods are counted here, so the network adds to them;
    for steady pulses there is `gpio pwm`. To set a line for good: --toggle 0 --on-release hold.

    Example: myclerk gpio set LED=1 RELAY=0 --toggle 500ms
    """
    values: dict[str | int, bool] = dict(assignments)
    settings |= {"drive": drive, "on_release": on_release}
    hold = hold or 0.0
    outputs = {line: {"direction": "output", "value": value} for line, value in values.items()}
    async with await board.gpio.request(outputs, chip=chip, **settings) as lines:
        _tell(app, values)
        await asyncio.sleep(hold)
        if periods is None:
            await asyncio.Event().wait()
        else:
            await _toggle(app, lines, values, periods, hold)


async def _toggle(
    app: App, lines: Lines, values: dict[str | int, bool], periods: list[float], hold: float
) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() - hold
    endless = periods if periods[-1] else periods[:-1]
    for period in cycle(endless) if periods[-1] else endless:
        due += max(period, hold)
        await asyncio.sleep(due - loop.time())
        values = {line: not value for line, value in values.items()}
        await lines.set(values)
        _tell(app, values)
    await asyncio.sleep(hold)


def _tell(app: App, values: Mapping[str | int, bool]) -> None:
    if app.as_json:
        app.output.document(values)
