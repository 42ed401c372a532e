"""`myclerk gpio pwm`: an output that pulses while the command runs."""

from __future__ import annotations

import asyncio

import click

from ..board import Board
from .app import App, with_board
from .gpio_options import chip_option, duration, part
from .names import complete_line
from .options import Command


@click.command(cls=Command)
@click.argument("output", metavar="OUTPUT", shell_complete=complete_line)
@chip_option
@click.option("-f", "--frequency", metavar="HERTZ", type=click.FloatRange(0, min_open=True))
@click.option("--period", type=duration, help="In place of a frequency. [default unit: ms]")
@click.option("--duty", type=part, help="Active part of the period: 25% or 0.25. [default: 50%]")
@click.option("--pulse", type=duration, help="In place of --duty: the length of a pulse. [default unit: ms]")
@click.option("--polarity", type=click.Choice(["normal", "inversed"]), default="normal", show_default=True)
@click.option("--for", "seconds", type=duration, help="End after so long. [default unit: ms]")
@with_board(limited=False)
async def pwm(
    app: App, board: Board, output: str, chip: str | None, frequency: float | None, period: float | None,
    duty: float | None, pulse: float | None, polarity: str, seconds: float | None,
) -> None:  # fmt: skip
    """Do PWM on OUTPUT until Ctrl-C: a channel of a PWM chip (pwmchip0/1) or any line (LED).

    A channel is exact. A line is switched by software, up to 200 Hz, and its edges may be late by 0.1 ms, by
    5 ms while the agent is busy: enough for a lamp or a fan, not for a servo that must stand still.

    Example: myclerk gpio pwm pwmchip0/0 --frequency 25000 --duty 40%
    """
    if (frequency is None) is (period is None):
        raise click.UsageError("give --frequency or --period")
    if duty is not None and pulse is not None:
        raise click.UsageError("give --duty or --pulse, not both")
    opened = await board.gpio.pwm(
        output,
        chip=chip,
        frequency=frequency,
        period_ns=None if period is None else round(period * 1e9),
        duty=0.5 if duty is None and pulse is None else duty,
        duty_ns=None if pulse is None else round(pulse * 1e9),
        polarity=polarity,
    )
    async with opened:
        state = opened.state
        app.output.document(
            state,
            f"{output}: {1e9 / state['period_ns']:g} Hz, active {state['duty_ns'] / state['period_ns']:.1%}, "
            f"by {state['source']}",
        )
        await (asyncio.Event().wait() if seconds is None else asyncio.sleep(seconds))
