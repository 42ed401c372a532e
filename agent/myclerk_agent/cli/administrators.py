"""``myclerk-agent administrators``: who may administer this agent, and whose keys may vouch for it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from myclerk_protocol.mesh import udf
from myclerk_protocol.mesh.authorities import Authority, read_authority
from myclerk_protocol.mesh.encoding import load_object
from myclerk_protocol.status import BadRequest

from .. import escrow
from ..environment import SYSTEM
from ..keys import add_administrator, remove_administrator
from ..store import Device
from .context import Context, Failure, find_device, sentence_errors

RESTART = "restart the agent for that: systemctl restart myclerk-agent"


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_context
@sentence_errors
def administrators(context: click.Context, as_json: bool) -> None:
    """List who administers this agent: devices with that role, and keys that may vouch for it.

    A device administers by commands over the network. A key signs whom this agent admits and, on a new board,
    that it stands in for this one (docs/trust.md).

    Example: myclerk-agent administrators
    """
    if context.invoked_subcommand is not None:
        return
    here: Context = context.obj
    with here.store() as store:
        devices = [d for d in store.devices() if d.administrator and d.revoked_at is None]
        keys = here.keys()
    own = keys.administrator.authority
    if as_json:
        named = [{"name": n.name, "fingerprint": n.authority.fingerprint} for n in keys.further]
        shown = [{"fingerprint": d.fingerprint, "description": d.description} for d in devices]
        click.echo(json.dumps({"devices": shown, "key": own.fingerprint, "further-keys": named}))
        return
    for device in devices:
        click.echo(f"device  {udf.grouped(device.fingerprint)}  {device.description}")
    click.echo(f"key     {udf.grouped(own.fingerprint)}  this agent's{_strength(own)}")
    for further in keys.further:
        authority = further.authority
        click.echo(f"key     {udf.grouped(authority.fingerprint)}  {further.name}{_strength(authority)}")


def _strength(authority: Authority) -> str:
    return "" if authority.pq_digest is not None else " (not post-quantum)"


@administrators.command()
@click.argument("device")
@click.pass_obj
@sentence_errors
def add(context: Context, device: str) -> None:
    """Let a paired DEVICE administer this agent.

    Example: myclerk-agent administrators add "Ann's laptop"
    """
    found = _change_role(context, device, True)
    click.echo(f"{found.description or found.fingerprint} administers this agent")


@administrators.command()
@click.argument("device")
@click.pass_obj
@sentence_errors
def remove(context: Context, device: str) -> None:
    """Let a DEVICE administer this agent no more; it stays paired.

    Example: myclerk-agent administrators remove "Ann's laptop"
    """
    found = _change_role(context, device, False)
    click.echo(f"{found.description or found.fingerprint} administers this agent no more")


def _change_role(context: Context, text: str, administrator: bool) -> Device:
    with context.store() as store:
        device = find_device(store.devices(), text)
        changed = store.grant(device.fingerprint, access=device.access, administrator=administrator)
        action = "administrators add" if administrator else "administrators remove"
        context.audit(action, device.fingerprint)
    return changed


@administrators.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_obj
@sentence_errors
def trust(context: Context, name: str, file: Path) -> None:
    """Let another administrator, called NAME, vouch for this agent.

    FILE is what `myclerk-agent keys show --json` prints on a board of theirs, or what `keys export` wrote there.

    Example: myclerk-agent administrators trust "the lab" lab-key.json
    """
    authority = _read_authority(file)
    with context.state_directory() as directory:
        context.keys()
        add_administrator(directory, SYSTEM, name, authority)
        context.audit("administrators trust", authority.fingerprint)
    click.echo(f"{name} ({udf.grouped(authority.fingerprint)}) may vouch for this agent; {RESTART}")


@administrators.command()
@click.argument("fingerprint")
@click.pass_obj
@sentence_errors
def distrust(context: Context, fingerprint: str) -> None:
    """Let the further administrator with this FINGERPRINT vouch for this agent no more.

    Example: myclerk-agent administrators distrust MC44-IZC3-IWZT-VCVZ-L2AG-HI4E-LOV2
    """
    with context.state_directory() as directory:
        context.keys()
        remove_administrator(directory, SYSTEM, udf.compact(fingerprint))
        context.audit("administrators distrust", udf.compact(fingerprint))
    click.echo(f"{fingerprint} may vouch for this agent no more; {RESTART}")


def _read_authority(file: Path) -> Authority:
    data = file.read_bytes()
    try:
        members = load_object(data, str(file))
        return escrow.authority_of(data) if "MyClerkEscrow" in members else read_authority(members)
    except BadRequest as error:
        raise Failure(f"{file} names no administrator's key: {error.message}") from None
