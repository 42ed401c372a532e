"""`myclerk clients`: the devices that are paired with a board."""

from __future__ import annotations

import time
from typing import Any

import click

from myclerk_protocol.mesh import udf

from ..board import Board
from .access import MODE
from .app import App, with_board
from .names import complete_resource
from .options import Group
from .output import Row


@click.group(cls=Group)
def clients() -> None:
    """The devices that are paired with a board; others than yours are for administrators and hubs.

    A CLIENT is named by its name, its fingerprint or the start of that.

    Example: myclerk clients list
    """


@clients.command("list")
@with_board()
async def list_clients(app: App, board: Board) -> None:
    """List the devices that are paired with a board.

    Example: myclerk clients list
    """
    app.output.table(
        await board.clients.list(),
        {
            "NAME": lambda row: row["description"],
            "FINGERPRINT": lambda row: udf.grouped(row["fingerprint"]),
            "ACCESS TO ALL": lambda row: row["access"],
            "ROLE": _role,
            "SEEN": _seen,
            "DOING": lambda row: row.get("activity"),
        },
        empty=f"nobody is paired with {board.name}",
    )


@clients.command()
@click.argument("client", required=False)
@with_board()
async def show(app: App, board: Board, client: str | None) -> None:
    """Show a CLIENT (by default yours): its rules, its sessions and what they hold.

    Example: myclerk clients show rack-3
    """
    device = None if client is None else await board.clients.find(client)
    info, status = await board.clients.info(device), await board.clients.status(device)
    entry = info["client"]
    role = f", {_role(entry)}" if _role(entry) else ""
    lines = [f"{entry['description']}  {udf.grouped(entry['fingerprint'])}{role}, seen {_seen(entry)}"]
    if info["groups"]:
        lines.append(f"in {', '.join(info['groups'])}")
    lines += [f"rule {rule['subject']} {rule['pattern']} {rule['access']}" for rule in info["rules"]]
    lines += [_session(session) for session in status["sessions"]]
    app.output.document({**info, **status}, *lines)


@clients.command()
@click.argument("client")
@click.argument("resource", shell_complete=complete_resource)
@click.argument("mode", type=MODE, default="read-write")
@with_board()
async def assign(app: App, board: Board, client: str, resource: str, mode: str) -> None:
    """Give a CLIENT access to one RESOURCE, shared or not. MODE is read-write unless you say otherwise.

    Example: myclerk clients assign rack-3 serial:ttyUSB0
    """
    await board.clients.assign(await board.clients.find(client), resource, mode)


@clients.command()
@click.argument("client")
@click.argument("resource", shell_complete=complete_resource)
@with_board()
async def unassign(app: App, board: Board, client: str, resource: str) -> None:
    """Take back a RESOURCE that was assigned to a CLIENT.

    Example: myclerk clients unassign rack-3 serial:ttyUSB0
    """
    await board.clients.unassign(await board.clients.find(client), resource)


@clients.command()
@click.argument("client")
@with_board()
async def revoke(app: App, board: Board, client: str) -> None:
    """Refuse a CLIENT from now on: its sessions end at once, and it cannot pair again under its key.

    Example: myclerk clients revoke "lost laptop"
    """
    await board.clients.revoke(await board.clients.find(client))


@clients.command()
@click.argument("activity", required=False)
@with_board()
async def heartbeat(app: App, board: Board, activity: str | None) -> None:
    """Show others that you are there, and say what your ACTIVITY is; "" for none.

    Example: myclerk clients heartbeat "flashing rack 3 until noon"
    """
    now = await board.clients.heartbeat(activity)
    app.output.document({"now": now}, time.strftime("the board's clock: %F %T", time.localtime(now)))


def _role(row: Row) -> str | None:
    roles = [role for role in ("administrator", "hub", "revoked") if row[role]]
    return ", ".join(roles) or None


def _seen(row: Row) -> str:
    if row["connected"]:
        return "now"
    seen = row.get("last_seen")
    return "never" if seen is None else time.strftime("%F %R", time.localtime(seen))


def _session(session: Any) -> str:
    state = "connected" if session["connected"] else "waits to be resumed"
    parts = [f"session {session['session_id']}{' (this one)' if session['own'] else ''}: {state}"]
    for what in ("holds", "locks"):
        if session[what]:
            parts.append(f"{what} {', '.join(session[what])}")
    if session["streams"]:
        parts.append(f"streams: {session['streams']}")
    return "; ".join(parts)
