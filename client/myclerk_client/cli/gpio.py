"""`myclerk gpio`: the chips of a board, their lines and values."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any

import click

from ..board import Board
from .app import App, with_board
from .gpio_mon import mon
from .gpio_options import chip_option, duration, lines_argument, settings_options
from .gpio_pwm import pwm
from .gpio_set import set_lines
from .names import remember_resources
from .options import Group
from .output import Row
from .pinout import is_raspberry_pi, pinout


@click.group(cls=Group)
def gpio() -> None:
    """GPIO lines and PWM, as with the tools of libgpiod.

    A LINE is a name (LED), a chip and an offset (gpiochip0/17), or with --chip an offset (17).
    """


gpio.add_command(mon)
gpio.add_command(pwm)
gpio.add_command(set_lines)


@gpio.command()
@with_board()
async def detect(app: App, board: Board) -> None:
    """List the GPIO and PWM chips of a board.

    Example: myclerk gpio detect
    """
    chips, pwm_chips = await board.gpio.list(), await board.gpio.pwm_chips()
    named = {name for chip in chips for name in chip["line_names"] if name}
    remember_resources(
        board.name, [*(chip["name"] for chip in chips), *(f"gpio:{name}" for name in named)], "gpio"
    )
    rows = [f"{_short(chip)} [{chip['label']}] ({len(chip['line_names'])} lines)" for chip in chips]
    rows += [f"{_short(chip)} [{chip['label']}] ({chip['channels']} PWM channels)" for chip in pwm_chips]
    app.output.document({"chips": chips, "pwm_chips": pwm_chips}, *rows)
    if not rows:
        app.output.note(f"{board.name} has no GPIO chip for you")


def _short(chip: Row) -> str:
    return str(chip["name"]).removeprefix("gpio:")


@gpio.command()
@lines_argument(required=False)
@chip_option
@click.option("--table", is_flag=True, help="A table where there would be a picture of the 40-pin header.")
@with_board()
async def info(app: App, board: Board, lines: tuple[str, ...], chip: str | None, table: bool) -> None:
    """Show what the kernel says of LINEs: who uses them and how. By default all of the board.

    A Raspberry Pi's are shown as a picture of its header. Values are not shown, as reading them takes
    requesting the lines: that is what `gpio get` is for.

    Example: myclerk gpio info LED gpiochip0/17
    """
    if lines:
        _table(app, [row for line in lines for row in await board.gpio.info(line, chip=chip)])
        return
    found = await board.gpio.info(chip=chip)
    if app.as_json:
        app.output.document(found)
        return
    for name, group in groupby(found, key=lambda row: row["chip"]):
        rows = list(group)
        app.output.say(f"{name.removeprefix('gpio:')} - {len(rows)} lines:")
        if not table and is_raspberry_pi(rows):
            app.output.say(*pinout(rows))
        else:
            _table(app, rows)


def _table(app: App, rows: list[dict[str, Any]]) -> None:
    app.output.table(
        rows,
        {
            "LINE": lambda row: f"{row['chip'].removeprefix('gpio:')}/{row['offset']}",
            "NAME": lambda row: row.get("name"),
            "DIRECTION": lambda row: row["direction"],
            "SETTINGS": _settings,
            "USED BY": lambda row: row.get("consumer") or ("the kernel" if row["used"] else None),
        },
        empty="no lines",
    )


def _settings(row: Row) -> str:
    """What is not as usual."""
    words = [
        "active-low" if row["active_low"] else "",
        row["bias"] if row["bias"] != "unknown" else "",
        row["drive"] if row["drive"] != "push-pull" else "",
        f"edges={row['edges']}" if row.get("edges") else "",
        f"debounce={row['debounce'] * 1e3:g}ms" if row.get("debounce") else "",
        "kept" if row.get("kept") else "",
    ]
    return " ".join(filter(None, words))


@gpio.command()
@lines_argument()
@settings_options
@click.option(
    "-a", "--as-is", is_flag=True, help="Leave the direction as it is; by default it becomes input."
)
@click.option("-p", "--hold-period", type=duration, help="Wait this long before reading. [default unit: ms]")
@click.option("--numeric", is_flag=True, help="Just 1 and 0.")
@with_board()
async def get(
    app: App, board: Board, lines: tuple[str, ...], chip: str | None, settings: dict[str, Any],
    as_is: bool, hold_period: float | None, numeric: bool,
) -> None:  # fmt: skip
    """Read LINEs of one chip, all at the same moment.

    Example: myclerk gpio get BUTTON --bias pull-up
    """
    direction = "as-is" if as_is else "input"
    async with await board.gpio.request(lines, chip=chip, direction=direction, **settings) as requested:
        await asyncio.sleep(hold_period or 0)
        values = await requested.get()
    words = ("0", "1") if numeric else ("inactive", "active")
    shown = (f"{'' if numeric else f'{line}='}{words[value]}" for line, value in values.items())
    app.output.document(values, " ".join(shown))
