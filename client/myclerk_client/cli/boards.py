"""`myclerk pair`, `boards`, `forget`: whom this user knows."""

from __future__ import annotations

import sys
from typing import Any

import click

from myclerk_protocol.mesh import link as links
from myclerk_protocol.mesh import udf
from myclerk_protocol.status import BadRequest

from ..known import NAME, KnownBoard, KnownBoards
from ..pairing import pair as pair_board
from .app import CONNECT_TIMEOUT, App
from .names import complete_board
from .options import Command
from .output import Row


def _link(context: click.Context, parameter: click.Parameter, value: str) -> str:
    text = sys.stdin.readline().strip() if value == "-" else value
    try:
        links.parse(text)
    except BadRequest as error:
        raise click.BadParameter(error.message) from None
    return text


def _name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not NAME.fullmatch(value):
        raise click.BadParameter("a board's name has letters, digits, dots, dashes and underscores")
    return value


@click.command(cls=Command)
@click.argument("link", callback=_link)
@click.option("--name", callback=_name, help="What to call the board here; by default after its host.")
@click.pass_obj
def pair(app: App, link: str, name: str | None) -> None:
    """Pair a board with the LINK that `myclerk-agent invite` printed there; - reads it from standard input.

    A LINK without a PIN, myclerk://HOST/FINGERPRINT, asks the board's administrators where they allow that.

    Example: myclerk pair 'myclerk://bench.local/MC44...#AAJP-...' --name bench
    """
    timeout = app.timeout or CONNECT_TIMEOUT
    entry = _entry(app.run(pair_board(link, name=name, timeout=timeout, on_pending=_waiting)))
    app.output.document(
        entry, f"paired {entry['name']} at {_address(entry)}, fingerprint {entry['fingerprint']}"
    )


def _waiting(witness: str) -> None:
    click.echo("waiting for an administrator: `myclerk-agent pending` there must show this witness", err=True)
    click.echo(f"  {witness}", err=True)


@click.command(cls=Command)
@click.pass_obj
def boards(app: App) -> None:
    """List the boards that are paired.

    Example: myclerk boards
    """
    app.output.table(
        map(_entry, KnownBoards().all()),
        {
            "NAME": lambda row: row["name"],
            "ADDRESS": _address,
            "FINGERPRINT": lambda row: row["fingerprint"],
        },
        empty="no board is paired; run `myclerk-agent invite` there and `myclerk pair LINK` here",
    )


@click.command(cls=Command)
@click.argument("name", shell_complete=complete_board)
@click.pass_obj
def forget(app: App, name: str) -> None:
    """Forget a board. It still knows this device until `myclerk-agent devices --revoke` there.

    Example: myclerk forget bench
    """
    board = KnownBoards().forget(name)
    app.output.document(_entry(board), f"{board.name} is forgotten")


def _entry(board: KnownBoard) -> dict[str, Any]:
    return {
        "name": board.name,
        "host": board.host,
        "port": board.port,
        "fingerprint": udf.grouped(board.fingerprint),
        "post_quantum": board.post_quantum,
    }


def _address(entry: Row) -> str:
    host = f"[{entry['host']}]" if ":" in entry["host"] else entry["host"]
    return f"{host}:{entry['port']}"
