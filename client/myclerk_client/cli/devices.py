"""`myclerk ping`, `devices`, `lock`, `operations`: what a board is and has."""

from __future__ import annotations

import asyncio
import shutil
import signal
from typing import Any

import click

from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.status import LocalError, NotFound

from ..board import Board
from ..errors import ConnectionLost, SessionLost
from ..locks import Lock
from .app import App, with_board
from .names import complete_kind, complete_resource, remember_resources
from .options import Command
from .output import Row

ACCESS = ("none", "read", "write", "read-write", "exclusive")


def _command(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if value and shutil.which(value[0]) is None:
        raise click.BadParameter(f"there is no program {value[0]!r}")
    return value


@click.command(cls=Command)
@click.option("--count", type=click.IntRange(1), default=3, show_default=True, help="Round trips to measure.")
@with_board()
async def ping(app: App, board: Board, count: int) -> None:
    """Measure round trips to a board.

    Example: myclerk ping --count 10
    """
    times = []
    for _ in range(count):
        times.append(await board.ping())
        app.output.say(f"{times[-1] * 1e3:.3f} ms")
    session = board.session
    figures = {"minimum": min(times), "average": sum(times) / count, "maximum": max(times)}
    summary = ", ".join(f"{name} {seconds * 1e3:.3f} ms" for name, seconds in figures.items())
    app.output.document(
        {"board": board.name, "session": session, "seconds": times, **figures},
        f"{board.name}: {summary}{_protection(session)}",
    )


def _protection(session: Row) -> str:
    if "tier" not in session:
        return ""
    return f"; tier {session['tier']}, {'post-quantum' if session['post_quantum'] else 'classical'}"


@click.command(cls=Command)
@click.argument("kind", required=False, shell_complete=complete_kind)
@with_board()
async def devices(app: App, board: Board, kind: str | None) -> None:
    """List what a board shares with you: everything, or one KIND (serial, gpio, ...).

    Example: myclerk devices serial
    """
    found = [{**device, "access": ACCESS[device["access"]]} for device in await board.devices(kind)]
    remember_resources(board.name, (device["name"] for device in found), kind)
    app.output.table(
        found,
        {
            "RESOURCE": lambda row: row["name"],
            "DESCRIPTION": _description,
            "ACCESS": lambda row: row["access"],
            "IN USE BY": _user,
        },
        empty=f"{board.name} shares nothing{f' of kind {kind}' if kind else ''} with you",
    )


def _description(row: Row) -> str:
    description = str(row["description"])
    return (
        f"{description} (simulated)"
        if row.get("simulated") and "simulated" not in description
        else description
    )


def _user(row: Row) -> str | None:
    held, locked = row.get("held_by"), row.get("locked_by")
    return f"{locked} (locked)" if locked else held


@click.command(cls=Command)
@click.argument("resource", required=False, shell_complete=complete_resource)
@with_board()
async def operations(app: App, board: Board, resource: str | None) -> None:
    """List the operations that a board serves, or those that fit one RESOURCE.

    Example: myclerk operations serial:ttyUSB0
    """
    app.output.table(
        map(_operation, await board.operations(resource)),
        {
            "OPERATION": lambda row: row["name"],
            "CODE": lambda row: "" if row["code"] is None else f"0x{row['code']:04X}",
            "DESCRIPTION": lambda row: row["description"],
        },
        empty=f"{board.name} serves nothing",
    )


def _operation(name: str) -> dict[str, Any]:
    try:
        known = REGISTRY.by_name(name)
    except LocalError:  # a third party's
        return {"name": name, "code": None, "description": None}
    return {"name": name, "code": known.code, "description": known.description}


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

    Other commands of yours are other sessions, too: this is for work that happens at the board.

    Example: myclerk lock serial:ttyUSB0 --wait 60 -- ./rewire-and-measure
    """
    held = board.lock(resource, wait=wait, ttl=ttl)
    await held.acquire()
    session = board.link.generation
    try:
        code = await _run(app, command)
    finally:
        await _release(app, held, lost=board.link.generation != session)
    raise click.exceptions.Exit(code)


async def _release(app: App, held: Lock, *, lost: bool) -> None:
    """Give the lock back, or say that it was not held to the end."""
    try:
        if lost:
            raise SessionLost("its session could not be resumed")
        await held.release()
    except (ConnectionLost, NotFound) as error:
        app.output.note(f"{held.resource} was not locked to the end: {error}")


async def _run(app: App, command: tuple[str, ...]) -> int:
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
        process = await asyncio.create_subprocess_exec(*command)
        for number in early:
            forward(number)
        code = await process.wait()
    finally:
        app.on_signal = None
    return code if code >= 0 else 128 - code
