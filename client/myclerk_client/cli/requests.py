"""`myclerk requests`: asking for resources, and deciding on that."""

from __future__ import annotations

import time
from typing import Any

import click

from ..board import Board
from .access import MODE, descriptions
from .app import App, with_board
from .names import complete_resource
from .options import Group

WAIT = 10.0
"""Seconds that one request to the board waits for a decision; as many as needed follow each other."""


@click.group(cls=Group)
def requests() -> None:
    """Ask a board's administrators for its resources; they approve all, some or none.

    Hubs ask for themselves or for others. A TOKEN names a request, as `requests create` printed it.

    Example: myclerk requests create serial:ttyUSB0 --reason "for the test rack" --wait
    """


@requests.command("list")
@click.option("--pending", is_flag=True, help="Only those that are not decided.")
@with_board()
async def list_requests(app: App, board: Board, pending: bool) -> None:
    """List your requests; administrators see all.

    Example: myclerk requests list --pending
    """
    found = await board.requests.list(pending=pending)
    names = await descriptions(board) if found else {}
    app.output.table(
        found,
        {
            "TOKEN": lambda row: row["token"],
            "STATE": lambda row: row["state"],
            "ASKED BY": lambda row: names.get(row["asked_by"], row["asked_by"]),
            "FOR": lambda row: names.get(row["client"], row["client"]),
            "RESOURCES": lambda row: row["devices"],
            "EXPIRES": lambda row: time.strftime("%F %R", time.localtime(row["expires_at"])),
            "REASON": lambda row: row["reason"],
        },
        empty=f"there are no requests on {board.name}",
    )


@requests.command()
@click.argument("token")
@with_board()
async def show(app: App, board: Board, token: str) -> None:
    """Show a request with its resources.

    Example: myclerk requests show NCXW-...
    """
    _print(app, await board.requests.details(token))


@requests.command()
@click.argument("resources", nargs=-1, required=True, shell_complete=complete_resource)
@click.option("--access", type=MODE, default="read-write", show_default=True)
@click.option("--for", "client", help="Who is to get access; by default you.")
@click.option("--reason", default="", help="Words for the administrators.")
@click.option("--hours", type=click.FloatRange(1 / 60, 720), help="How long they may take. [default: 24]")
@click.option("--wait", is_flag=True, help="Wait for the decision.")
@with_board(limited=False)
async def create(
    app: App, board: Board, resources: tuple[str, ...], access: str, client: str | None, reason: str,
    hours: float | None, wait: bool,
) -> None:  # fmt: skip
    """Ask for RESOURCES; prints the token.

    Example: myclerk requests create serial:ttyUSB0 gpio:gpiochip0/17 --reason "for the test rack"
    """
    created = await board.requests.create(
        dict.fromkeys(resources, access),
        client=None if client is None else await board.clients.find(client),
        reason=reason,
        lifetime=None if hours is None else hours * 3600,
    )
    if not wait:
        app.output.document(created, created["token"])
        return
    app.output.note(f"waiting for the decision on {created['token']}; Ctrl-C stops only the waiting")
    details = await board.requests.details(created["token"], wait=WAIT)
    while details["state"] == "pending":
        details = await board.requests.details(created["token"], wait=WAIT)
    _print(app, details)


@requests.command()
@click.argument("token")
@click.argument("resources", nargs=-1)
@click.option("--answer", default="", help="Words for who asked.")
@with_board()
async def approve(app: App, board: Board, token: str, resources: tuple[str, ...], answer: str) -> None:
    """Give access to all that a request asks for, or to these RESOURCES alone. For administrators.

    Example: myclerk requests approve NCXW-... serial:ttyUSB0
    """
    state = await board.requests.approve(token, resources or None, answer=answer)
    app.output.document({"state": state}, state)


@requests.command()
@click.argument("token")
@click.option("--answer", default="", help="Words for who asked.")
@with_board()
async def reject(app: App, board: Board, token: str, answer: str) -> None:
    """Give nothing. For administrators.

    Example: myclerk requests reject NCXW-... --answer "in use until Friday"
    """
    state = await board.requests.reject(token, answer=answer)
    app.output.document({"state": state}, state)


@requests.command()
@click.argument("token")
@with_board()
async def cancel(app: App, board: Board, token: str) -> None:
    """Withdraw a request of yours.

    Example: myclerk requests cancel NCXW-...
    """
    await board.requests.cancel(token)


def _print(app: App, details: Any) -> None:
    lines = [details["state"] + (f": {details['answer']}" if details["answer"] else "")]
    for resource in details["resources"]:
        outcome = {True: "approved", False: "rejected", None: ""}[resource.get("approved")]
        lines.append(f"  {resource['resource']}  {resource['access']}  {outcome}".rstrip())
    app.output.document(details, *lines)
