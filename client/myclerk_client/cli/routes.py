"""`myclerk routes`: who gets a stream when several clients have it open."""

from __future__ import annotations

import click

from myclerk_protocol.mesh import udf

from ..board import Board
from .app import App, with_board
from .names import complete_resource
from .options import Group

PRIORITY = click.IntRange(0, 65535)


@click.group(cls=Group)
def routes() -> None:
    """Who gets the stream of a serial port or input device; for administrators and hubs.

    Of the clients that have it open it goes to the one whose route has the highest priority, of equal ones to that
    of the newest route, without routes to the one that was there first. A CLIENT is named by its name, its
    fingerprint or the start of that.
    """


@routes.command("list")
@click.argument("resource", required=False, shell_complete=complete_resource)
@with_board()
async def list_routes(app: App, board: Board, resource: str | None) -> None:
    """List all routes, or those of one RESOURCE, the first one first.

    Example: myclerk routes list serial:ttyUSB0
    """
    names = {client["fingerprint"]: client["description"] for client in await board.clients.list()}
    found = [{**row, "name": names.get(row["client"])} for row in await board.routes.list(resource)]
    app.output.table(
        found,
        {
            "ROUTE": lambda row: row["route"],
            "RESOURCE": lambda row: row["resource"],
            "CLIENT": lambda row: row["name"],
            "FINGERPRINT": lambda row: udf.grouped(row["client"]),
            "PRIORITY": lambda row: row["priority"],
            "STATE": lambda row: row["state"],
        },
        empty=f"{board.name} has no routes",
    )


@routes.command()
@click.argument("resource", shell_complete=complete_resource)
@click.argument("client")
@click.option("--priority", type=PRIORITY, default=0, show_default=True)
@with_board()
async def create(app: App, board: Board, resource: str, client: str, priority: int) -> None:
    """Lead the stream of a RESOURCE to a CLIENT; prints the number of the route.

    Example: myclerk routes create serial:ttyUSB0 "bench laptop" --priority 10
    """
    number = await board.routes.create(resource, await board.clients.find(client), priority=priority)
    app.output.document({"route": number}, str(number))


@routes.command()
@click.argument("route", type=click.IntRange(0))
@with_board()
async def delete(app: App, board: Board, route: int) -> None:
    """Forget a ROUTE; the stream goes back.

    Example: myclerk routes delete 3
    """
    await board.routes.delete(route)


@routes.command()
@click.argument("route", type=click.IntRange(0))
@click.option("--resource", shell_complete=complete_resource, help="Where it leads from.")
@click.option("--client", help="Where it leads to.")
@with_board()
async def modify(app: App, board: Board, route: int, resource: str | None, client: str | None) -> None:
    """Let a ROUTE lead from another resource, or to another client.

    Example: myclerk routes modify 3 --client "night shift"
    """
    if resource is None and client is None:
        raise click.UsageError("say what to change: --resource or --client")
    to = None if client is None else await board.clients.find(client)
    await board.routes.modify(route, resource=resource, client=to)


@routes.command()
@click.argument("route", type=click.IntRange(0))
@click.argument("priority", type=PRIORITY)
@with_board()
async def priority(app: App, board: Board, route: int, priority: int) -> None:
    """Give a ROUTE another PRIORITY.

    Example: myclerk routes priority 3 100
    """
    await board.routes.set_priority(route, priority)
