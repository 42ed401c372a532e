"""`myclerk gnss`: positions from the receiver in a board's modem."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from ..board import Board
from .app import App, with_board
from .modem import chosen, described, modem_option
from .options import Group


@click.group(cls=Group)
def gnss() -> None:
    """Satellite positioning with a modem: GPS, GLONASS, BeiDou, Galileo.

    Example: myclerk gnss on; myclerk gnss position --wait 120
    """


@gnss.command()
@modem_option
@with_board()
async def on(app: App, board: Board, name: str | None) -> None:
    """Switch the receiver on. A first position takes half a minute under the open sky, or more.

    Example: myclerk gnss on
    """
    await (await chosen(board, name)).gnss(True)
    app.output.document({"enabled": True}, "on")


@gnss.command()
@modem_option
@with_board()
async def off(app: App, board: Board, name: str | None) -> None:
    """Switch the receiver off, and end recording.

    Example: myclerk gnss off
    """
    await (await chosen(board, name)).gnss(False)
    app.output.document({"enabled": False}, "off")


@gnss.command()
@modem_option
@click.option("--wait", type=click.FloatRange(0, 3600), help="Seconds to wait for a position.")
@with_board()
async def position(app: App, board: Board, name: str | None, wait: float | None) -> None:
    """Show where the modem is.

    Example: myclerk gnss position --wait 120
    """
    found = await (await chosen(board, name)).position(timeout=wait)
    if found is None:
        raise click.ClickException("no position yet; wait for one with --wait")
    app.output.document(found, _line(found))


@gnss.command()
@modem_option
@click.option("--since", type=click.IntRange(0), default=0, help="Number of the first position to show.")
@with_board()
async def history(app: App, board: Board, name: str | None, since: int) -> None:
    """Show the positions that were recorded, the oldest first.

    Example: myclerk gnss config --record 60; myclerk gnss history
    """
    used = await chosen(board, name)
    found: list[dict[str, Any]] = []
    while True:
        positions, since = await used.history(since)
        if not positions:
            break
        found += positions
    app.output.document({"history": found, "next": since}, *map(_line, found))


@gnss.command()
@modem_option
@click.option(
    "--constellation", "constellations", multiple=True, metavar="NAME",
    help="gps, glonass, beidou, galileo or qzss; several times. gps must be among them.",
)  # fmt: skip
@click.option(
    "--record", type=click.FloatRange(0, 86400), help="Record a position each so many seconds; 0: no more."
)
@click.option("--keep", type=click.IntRange(1, 10000), help="How many positions to keep, the newest.")
@with_board()
async def config(
    app: App,
    board: Board,
    name: str | None,
    constellations: tuple[str, ...],
    record: float | None,
    keep: int | None,
) -> None:
    """Choose constellations and begin or end recording; without options, show what is in force.

    Example: myclerk gnss config --constellation gps --constellation galileo --record 60
    """
    found = await (await chosen(board, name)).configure_gnss(
        constellations=constellations or None, record_interval=record, record_limit=keep
    )
    shown = {key: " ".join(value) if isinstance(value, list) else value for key, value in found.items()}
    app.output.document(found, *described(shown))


def _line(position: Mapping[str, Any]) -> str:
    when = position.get("timestamp")
    time = "" if when is None else datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ ")
    rest = [
        form.format(position[key])
        for key, form in (("altitude", "{:.1f} m"), ("speed", "{:.1f} m/s"), ("satellites", "{} satellites"))
        if key in position
    ]
    return (
        f"{time}{position['latitude']:.6f} {position['longitude']:.6f}{''.join(f', {part}' for part in rest)}"
    )
