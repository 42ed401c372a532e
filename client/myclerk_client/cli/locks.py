"""`myclerk lock` and `unlock`: a resource for one alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping

import click

from myclerk_protocol.status import NotFound

from ..board import Board
from ..errors import ConnectionLost, SessionLost
from ..locks import Lock, exported
from .app import App, with_board
from .names import complete_resource
from .options import Command


def _command(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if value and shutil.which(value[0]) is None:
        raise click.BadParameter(f"there is no program {value[0]!r}")
    return value


@click.command(cls=Command)
@click.argument("resource", shell_complete=complete_resource)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, callback=_command)
@click.option("--wait", type=click.FloatRange(0), default=0.0, help="Seconds to wait for the resource.")
@click.option("--ttl", type=click.FloatRange(0, min_open=True), help="Seconds after which the lock falls.")
@with_board(limited=False)
async def lock(
    app: App, board: Board, resource: str, command: tuple[str, ...], wait: float, ttl: float | None
) -> None:
    """Run COMMAND while a RESOURCE is kept from all other sessions; its exit code is the exit code.

    COMMAND, and what it starts, may use the resource: programs of this library share the lock. Who waits gets it in
    the order of asking.

    Example: myclerk lock serial:ttyUSB0 --wait 60 -- myclerk serial send ttyUSB0 reboot
    """
    held = board.lock(resource, wait=wait, ttl=ttl)
    await held.acquire()
    session = board.link.generation
    try:
        code = await _run(app, command, {**os.environ, **exported(board.name, held)})
    finally:
        await _release(app, held, lost=board.link.generation != session)
    raise click.exceptions.Exit(code)


@click.command(cls=Command)
@click.argument("resource", shell_complete=complete_resource)
@with_board()
async def unlock(app: App, board: Board, resource: str) -> None:
    """Break the lock on a RESOURCE, whosever it is; for administrators. Its next user need not wait.

    Example: myclerk unlock serial:ttyUSB0
    """
    await board.break_lock(resource)


async def _release(app: App, held: Lock, *, lost: bool) -> None:
    """Give the lock back, or say that it was not held to the end."""
    try:
        if lost:
            raise SessionLost("its session could not be resumed")
        await held.release()
    except (ConnectionLost, NotFound) as error:
        app.output.note(f"{held.resource} was not locked to the end: {error}")


async def _run(app: App, command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Run a command with our terminal and wait for it, whatever signal comes; its exit code."""
    process: asyncio.subprocess.Process | None = None
    early: list[int] = []

    def forward(number: int) -> None:
        if number == signal.SIGINT:  # Ctrl-C: the terminal tells both
            return
        if process is None:
            early.append(number)
        elif process.returncode is None:
            process.send_signal(number)

    app.on_signal = forward
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        for number in early:
            forward(number)
        code = await process.wait()
    finally:
        app.on_signal = None
    return code if code >= 0 else 128 - code
