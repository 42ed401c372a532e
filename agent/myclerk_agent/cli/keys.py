"""``myclerk-agent keys``: the administrator's key, and how it survives the board (docs/trust.md)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from myclerk_protocol.mesh import udf
from myclerk_protocol.status import Conflict

from .. import escrow
from .. import keys as agent_keys
from ..environment import SYSTEM
from .administrators import RESTART
from .context import Context, Failure, new_file, sentence_errors


@click.group()
def keys() -> None:
    """Show, export and import the key of this agent's administrator.

    A dead SD card takes the agent's own key along. With an export of the administrator's key a new board stands in
    for the old one: devices that were paired with that trust the new one.
    """


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="For `administrators trust` on another board.")
@click.pass_obj
@sentence_errors
def show(context: Context, as_json: bool) -> None:
    """Show the fingerprints of this agent and of its administrator's key.

    Example: myclerk-agent keys show
    """
    with context.state_directory() as directory:
        found = context.keys()
        replaced = agent_keys.replaced(directory)
    authority = found.administrator.authority
    if as_json:
        click.echo(json.dumps(authority.members()))
        return
    click.echo(f"agent          {udf.grouped(found.identity.fingerprint)}")
    click.echo(f"administrator  {udf.grouped(authority.fingerprint)}")
    for fingerprint in replaced:
        click.echo(f"stands in for  {udf.grouped(fingerprint)}")


@keys.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output, with the recovery code.")
@click.pass_obj
@sentence_errors
def export_key(context: Context, file: Path, as_json: bool) -> None:
    """Write the administrator's key, the devices and the rules to a new FILE, sealed under a recovery code.

    The code is shown once. Keep it apart from the file: who has both is this board's administrator.

    Example: myclerk-agent keys export /media/usb/bench.escrow
    """
    with new_file(file) as write, context.store() as store:
        found = context.keys()
        replaced = agent_keys.replaced(context.config.state.directory)
        data, code = escrow.seal(found, replaced, store, SYSTEM)
        write(data)
        context.audit("keys export", found.administrator.authority.fingerprint)
    if as_json:
        click.echo(json.dumps({"file": str(file), "code": code}))
        return
    click.echo(f"wrote {file}")
    click.echo(f"recovery code: {code}")
    click.echo("Write the code down and keep it apart from the file; it is not shown again.")


@keys.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--replaces", multiple=True, metavar="FINGERPRINT",
    help="Stand in for this agent too, one that the file does not name (`myclerk boards` shows it).",
)  # fmt: skip
@click.option(
    "--key-only", is_flag=True, help="Leave out devices and rules, as on a board that has some already."
)
@click.pass_obj
@sentence_errors
def import_key(context: Context, file: Path, replaces: tuple[str, ...], key_only: bool) -> None:
    """Make this board stand in for the one whose FILE this is; asks for the recovery code.

    The code is read from standard input where that is no terminal.

    Example: myclerk-agent keys import bench.escrow
    """
    data = file.read_bytes()
    opened = escrow.unseal(data, _read_code())
    agents = (*opened.agents, *(udf.compact(name) for name in replaces))
    with context.store() as store:
        context.keys()
        if not key_only:
            try:
                count = escrow.restore(opened.database, store, SYSTEM)
            except Conflict as conflict:
                raise Failure(f"{conflict.message}; with --key-only its own stay") from None
        post_quantum = context.config.security.post_quantum_signatures
        directory = context.config.state.directory
        taken = agent_keys.take_over(
            directory, SYSTEM, opened.administrator, agents, further=opened.further,
            keep_own=key_only, post_quantum=post_quantum,
        )  # fmt: skip
        context.audit("keys import", opened.agents[0])
    here = udf.grouped(taken.identity.fingerprint)
    click.echo(f"this agent, {here}, stands in for {udf.grouped(opened.agents[0])}; {RESTART}")
    if not key_only:
        click.echo(f"devices taken over: {count}")


def _read_code() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Recovery code", hide_input=True)).strip()
    return sys.stdin.readline().strip()
