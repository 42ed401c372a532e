"""`myclerk serial join`: the stream of a port that several clients share, as long as it is routed here."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from myclerk_protocol.status import Conflict, DeviceGone

from ..board import Board
from ..shared import SharedStream
from .app import App, until_first, with_board
from .options import Command
from .ports import port_argument, settings_options
from .terminal import chunks


@click.command(cls=Command)
@port_argument
@settings_options
@with_board(limited=False)
async def join(app: App, board: Board, port: str, settings: dict[str, Any]) -> None:
    """Share a port with other clients, until Ctrl-C: print what comes and send standard input while it is routed here.

    Whose turn it is routes decide (`myclerk routes`), without them who was there first. Nothing is lost or comes
    twice when the stream moves. Settings are those of the first one; say none to take part as it is.

    Example: myclerk serial join ttyUSB0 --baud 115200
    """
    resource = port if port.startswith("serial:") else f"serial:{port}"
    async with await board.streams.start(resource, **settings) as stream:
        await until_first(_print(app, stream), _send(app, stream), _tell(app, stream))


async def _print(app: App, stream: SharedStream) -> None:
    async for data in stream:
        await asyncio.to_thread(app.output.data, data)
    raise DeviceGone(f"{stream.resource} gives nothing more")


async def _send(app: App, stream: SharedStream) -> None:
    """Standard input; behind its end the stream goes on."""
    async for data in chunks(sys.stdin.fileno()):
        try:
            await stream.write(data)
        except Conflict as error:
            app.output.note(error.message)
    await asyncio.Event().wait()


async def _tell(app: App, stream: SharedStream) -> None:
    while True:
        if stream.active:
            app.output.note(f"{stream.resource} is routed here")
        elif stream.holder is not None:
            app.output.note(f"{stream.resource} is routed to {stream.holder}; waiting")
        await stream.changed()
