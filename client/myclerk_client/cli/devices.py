"""`myclerk ping`, `devices`, `operations`: what a board is and has."""

from __future__ import annotations

from typing import Any

import click

from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.status import LocalError

from ..board import Board
from .app import App, with_board
from .names import complete_kind, complete_resource, remember_resources
from .options import Command
from .output import Row

ACCESS = ("none", "read", "write", "read-write", "exclusive")
SIGNS = {"add": "+", "remove": "-", "change": "~"}


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
@click.option("--watch", is_flag=True, help="Show what comes (+), goes (-) and changes (~), until Ctrl-C.")
@click.option(
    "--all", "everything", is_flag=True, help="Also what is not shared; for administrators and hubs."
)
def devices(kind: str | None, watch: bool, everything: bool) -> None:
    """List what a board shares with you: everything, or one KIND (serial, gpio, ...).

    Example: myclerk devices serial
    """
    if watch and everything:
        raise click.UsageError("--all lists what there is now; leave --watch out")
    _watch(kind) if watch else _list(kind, everything)


@with_board()
async def _list(app: App, board: Board, kind: str | None, everything: bool) -> None:
    listed = await (board.discover() if everything else board.devices(kind))
    found = [_shown(device) for device in listed if kind in (None, device["kind"])]
    remember_resources(board.name, (device["name"] for device in found), kind)
    app.output.table(
        found,
        {
            "RESOURCE": lambda row: row["name"],
            "DESCRIPTION": _description,
            "ACCESS": lambda row: row["access"] if row["shared"] else f"{row['access']}, not shared",
            "IN USE BY": _user,
        },
        empty=f"{board.name} shares nothing{f' of kind {kind}' if kind else ''} with you",
    )


@with_board(limited=False)
async def _watch(app: App, board: Board, kind: str | None) -> None:
    async with board.subscribe(None if kind is None else [kind]) as events:
        remember_resources(board.name, (device["name"] for device in events.devices), kind)
        app.output.note(f"watching {board.name}; Ctrl-C ends it")
        async for event in events:
            device = event["device"]
            line = f"{SIGNS[event['action']]} {device['name']}  {_description(device)}"
            app.output.document({**event, "device": _shown(device)}, line)


def _shown(device: Row) -> Row:
    return {**device, "access": ACCESS[device["access"]]}


def _description(row: Row) -> str:
    description = str(row["description"])
    return (
        f"{description} (simulated)"
        if row.get("simulated") and "simulated" not in description
        else description
    )


def _user(row: Row) -> str | None:
    held, locked = row.get("held_by"), row.get("locked_by")
    if not locked:
        return held
    return f"{locked} (locked, {row['waiting']} waiting)" if row.get("waiting") else f"{locked} (locked)"


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
