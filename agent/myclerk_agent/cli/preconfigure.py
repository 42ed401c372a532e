"""``myclerk-agent preconfigure``: the label of a board that is delivered without screen and keyboard."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from .. import invite as invitations
from .. import preconfigured
from ..environment import SYSTEM
from .context import Context, Failure, new_file, sentence_errors

LABEL_SUFFIXES = (".svg", ".png", ".pdf", ".eps", ".txt")


@click.command()
@click.option(
    "--host", metavar="HOST[:PORT]",
    help="Where the board will be found; by default by its name in the local network.",
)  # fmt: skip
@click.option(
    "--label", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help=f"Write the QR code to a new file ({', '.join(LABEL_SUFFIXES)}) to print.",
)  # fmt: skip
@click.option("--withdraw", is_flag=True, help="Let the label hold no more.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
@sentence_errors
def preconfigure(
    context: Context, host: str | None, label: Path | None, withdraw: bool, as_json: bool
) -> None:
    """Make the label of a board that is delivered: its QR code admits the first administrator.

    The code holds until the board has admitted a device, and again after a reset (docs/trust.md). A label made
    before holds no more.

    Example: myclerk-agent preconfigure --host bench-7.local --label bench-7.svg
    """
    if withdraw:
        _withdraw(context)
        return
    if label is not None and label.suffix not in LABEL_SUFFIXES:
        raise Failure(f"the file of a label ends in one of {', '.join(LABEL_SUFFIXES)}")
    with nullcontext() if label is None else new_file(label) as write, context.store() as store:
        address = invitations.label_address(context.config.server.listen, host)
        keys, directory = context.keys(), context.config.state.directory
        link = preconfigured.preconfigure(directory, keys, store, SYSTEM, address).format()
        if label is not None and write is not None:
            write(invitations.draw(link, label.suffix.removeprefix(".")))
        context.audit("preconfigure", "")
    if as_json:
        click.echo(json.dumps({"link": link}))
        return
    click.echo(invitations.render(link, sys.stdout.isatty()), nl=False)


def _withdraw(context: Context) -> None:
    with context.store() as store:
        preconfigured.withdraw(context.config.state.directory, context.keys(), store)
        context.audit("preconfigure withdraw", "")
    click.echo("the label holds no more")
