"""`myclerk discover`: boards that announce themselves on the local network."""

from __future__ import annotations

from typing import Any

import click

from myclerk_protocol.mesh import udf

from ..discovery import FoundBoard
from ..discovery import discover as find_boards
from ..known import KnownBoards
from .app import App
from .options import Command

SECONDS = 3.0


@click.command(cls=Command)
@click.pass_obj
def discover(app: App) -> None:
    """List the boards that announce themselves on the local network, and as what they are paired.

    It listens for 3 seconds, or for --timeout. What is shown is what boards say of themselves; pairing checks it.

    Example: myclerk discover
    """
    known = {board.fingerprint: board.name for board in KnownBoards().all()}
    found = app.run(find_boards(app.timeout or SECONDS))
    app.output.table(
        [_entry(board, known.get(board.fingerprint)) for board in found],
        {
            "NAME": lambda row: row["name"],
            "ADDRESS": lambda row: row["addresses"][0] if row["addresses"] else row["host"],
            "PORT": lambda row: row["port"],
            "FINGERPRINT": lambda row: row["fingerprint"],
            "PAIRED AS": lambda row: row["paired_as"],
        },
        empty="no board announces itself here; one in another network is reached by its address all the same",
    )


def _entry(board: FoundBoard, paired_as: str | None) -> dict[str, Any]:
    return {
        "name": board.name,
        "host": board.host,
        "port": board.port,
        "addresses": list(board.addresses),
        "fingerprint": udf.grouped(board.fingerprint),
        "paired_as": paired_as,
    }
