"""`myclerk call`: voice calls with a board's modem."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from ..board import Board
from ..gsm import Call
from .app import App, with_board
from .modem import chosen, modem_option
from .options import Group


@click.group(cls=Group)
def call() -> None:
    """Voice calls. The sound is the modem's own: its microphone and loudspeaker.

    Example: myclerk call dial +491701234567
    """


@call.command()
@modem_option
@click.argument("number")
@click.option("--ring", type=click.FloatRange(1, 600), help="Hang up after so many seconds, answered or not.")
@with_board(limited=False)
async def dial(app: App, board: Board, name: str | None, number: str, ring: float | None) -> None:
    """Call NUMBER and show what becomes of it. Ctrl-C hangs up.

    The exit code is 1 if nobody answered.

    Example: myclerk call dial +491701234567 --ring 20
    """
    async with await (await chosen(board, name)).dial(number) as placed:
        await _follow(app, placed, ring)


@call.command()
@modem_option
@with_board(limited=False)
async def answer(app: App, board: Board, name: str | None) -> None:
    """Take the call that rings and follow it. Ctrl-C hangs up.

    Example: myclerk call answer
    """
    async with await (await chosen(board, name)).answer() as taken:
        await _follow(app, taken, None)


@call.command()
@modem_option
@with_board(limited=False)
async def watch(app: App, board: Board, name: str | None) -> None:
    """Show all calls as they come and go, until Ctrl-C.

    Example: myclerk call watch
    """
    modem = await chosen(board, name)
    events = await modem.calls()
    app.output.note(f"watching the calls of {modem.resource}; Ctrl-C ends it")
    async for event in events:
        app.output.document(event, _line(event))


@call.command()
@modem_option
@click.option(
    "--call", "number", type=click.IntRange(1), help="Only this one, by its number in `call watch`."
)
@with_board()
async def hangup(app: App, board: Board, name: str | None, number: int | None) -> None:
    """End all calls, or one.

    Example: myclerk call hangup
    """
    ended = await (await chosen(board, name)).hang_up(number)
    app.output.document({"ended": ended}, "no call was up" if not ended else f"{ended} ended")


async def _follow(app: App, followed: Call, seconds: float | None) -> None:
    was_active = False
    try:
        async with asyncio.timeout(seconds):
            async for event in followed:
                app.output.document(event, _line(event))
                was_active = was_active or event["state"] == "active"
    except TimeoutError:
        app.output.note("the time is over: hanging up")
    if not was_active:
        raise click.ClickException("the call was not answered")


def _line(event: Mapping[str, Any]) -> str:
    reason = f" ({event['reason']})" if "reason" in event else ""
    party = event.get("party", "unknown number")
    return f"call {event['call']} {event['direction']} {party}: {event['state']}{reason}"
