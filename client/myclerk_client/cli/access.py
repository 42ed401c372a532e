"""`myclerk access`: who may do what on a board."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from myclerk_protocol.status import Unsupported

from ..board import Board
from ..modes import MODES
from .app import App, with_board
from .names import complete_resource
from .options import Group
from .output import Row

MODE = click.Choice(MODES)


@click.group(cls=Group)
def access() -> None:
    """Who may do what with which resource; for administrators and hubs, `explain` and `show` of oneself for all.

    A SUBJECT is a client (its name, fingerprint or the start of that) or a group: @lab. A PATTERN is the name of a
    resource, in which * stands for any characters.

    Example: myclerk access grant @lab 'serial:*' read-write
    """


@access.command()
@click.argument("subject", required=False)
@with_board()
async def show(app: App, board: Board, subject: str | None) -> None:
    """List the rules of a SUBJECT, or all that you may see.

    Example: myclerk access show "Ann's laptop"
    """
    found = await board.access.show(None if subject is None else await subject_named(board, subject))
    if app.as_json:
        app.output.document(found)
        return
    names = await descriptions(board)
    app.output.table(
        found["rules"],
        {
            "SUBJECT": lambda row: names.get(row["subject"], row["subject"]),
            "PATTERN": lambda row: row["pattern"],
            "ACCESS": lambda row: row["access"],
            "MADE BY": lambda row: names.get(row.get("granted_by"), row.get("granted_by")),
        },
        empty="there are no rules",
    )
    for group in found["groups"]:
        members = ", ".join(names.get(member, member) for member in group["members"])
        app.output.say(f"{group['name']}: {members or 'nobody'}")
    for exception in found.get("exceptions", ()):
        app.output.say(f"{exception['resource']} is {'' if exception['shared'] else 'not '}shared")


@access.command()
@click.argument("resource", shell_complete=complete_resource)
@click.argument("client", required=False)
@with_board()
async def explain(app: App, board: Board, resource: str, client: str | None) -> None:
    """Say what a CLIENT (by default you) may do with a RESOURCE, and which rule decided that.

    Example: myclerk access explain serial:ttyUSB0
    """
    device = None if client is None else await board.clients.find(client)
    decision = await board.access.explain(resource, device)
    app.output.document(decision, f"{decision['resource']}: {decision['access']}; {decision['reason']}")


@access.command()
@click.argument("subject")
@click.argument("pattern", shell_complete=complete_resource)
@click.argument("mode", type=MODE, default="read-write")
@with_board()
async def grant(app: App, board: Board, subject: str, pattern: str, mode: str) -> None:
    """Make a rule: a SUBJECT has access to what a PATTERN matches. MODE is read-write unless you say otherwise.

    Example: myclerk access grant "Ann's laptop" gpio:gpiochip0 read
    """
    await board.access.grant(await subject_named(board, subject), pattern, mode)


@access.command()
@click.argument("subject")
@click.argument("pattern", shell_complete=complete_resource)
@with_board()
async def revoke(app: App, board: Board, subject: str, pattern: str) -> None:
    """Delete the rule of a SUBJECT for a PATTERN; what it had open by that is closed.

    Example: myclerk access revoke @lab 'serial:*'
    """
    await board.access.revoke(await subject_named(board, subject), pattern)


@access.command()
@click.argument("name")
@click.argument("clients", nargs=-1)
@with_board()
async def group(app: App, board: Board, name: str, clients: tuple[str, ...]) -> None:
    """Let these CLIENTS, and nobody else, be in a group.

    Example: myclerk access group @lab "Ann's laptop" rack-3
    """
    await board.access.set(name, members=[await board.clients.find(client) for client in clients])


@access.command()
@click.argument("client")
@click.option("--off", is_flag=True, help="It is a hub no longer.")
@with_board()
async def hub(app: App, board: Board, client: str, off: bool) -> None:
    """Let a CLIENT hand on to others what it was given.

    Example: myclerk access hub rack-3
    """
    await board.access.set(await board.clients.find(client), hub=not off)


@access.command()
@click.argument("resource", shell_complete=complete_resource)
@click.option("--no", "shared", flag_value="no", help="Do not share it.")
@click.option("--default", "shared", flag_value="default", help="As the agent's settings have it.")
@with_board()
async def share(app: App, board: Board, resource: str, shared: str | None) -> None:
    """Share a RESOURCE. What is not shared is for administrators and whom it was assigned to.

    Example: myclerk access share serial:ttyUSB0 --no
    """
    now = await board.access.share(resource, {"no": False, "default": None, None: True}[shared])
    app.output.document({"resource": resource, "shared": now}, f"{resource} is {'' if now else 'not '}shared")


async def subject_named(board: Board, text: str) -> str:
    """A group as it is, or the fingerprint of the client that ``text`` means. Raises NotFound."""
    return text if text.startswith("@") else await board.clients.find(text)


async def descriptions(board: Board) -> dict[Any, Any]:
    """The clients' names by fingerprint; only one's own where one may not see others."""
    info: Sequence[Row] = []
    try:
        info = await board.clients.list()
    except PermissionError:
        with suppress(Unsupported):  # a user of the board's own machine is no client
            info = [(await board.clients.info())["client"]]
    return {client["fingerprint"]: client["description"] or client["fingerprint"] for client in info}
