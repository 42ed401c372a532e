"""``myclerk-agent devices``, and who asks for admission without an invitation."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from myclerk_protocol.mesh import dare, udf
from myclerk_protocol.mesh.encoding import text_member

from .. import local
from ..enrolment import Enrolment
from ..environment import SYSTEM
from ..store import Device, Store
from .context import ACCESS, Context, access_name, find_device, sentence_errors


@click.command()
@click.option("--revoke", metavar="DEVICE", help="Revoke this device (fingerprint, its start, or name).")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
@sentence_errors
def devices(context: Context, revoke: str | None, as_json: bool) -> None:
    """List the paired devices, or revoke one: its sessions end at once.

    Example: myclerk-agent devices --revoke MD25
    """
    with context.store() as store:
        if revoke is not None:
            device = find_device(store.devices(), revoke)
            _revoke(context, store, device)
            click.echo(f"revoked {device.description or device.fingerprint}")
            return
        rows = store.devices()
    if as_json:
        click.echo(json.dumps([_as_json(device) for device in rows]))
        return
    for device in rows:
        roles = (", administrator" if device.administrator else "") + (", hub" if device.hub else "")
        gone = ", REVOKED" if device.revoked_at is not None else ""
        seen = (
            "never" if device.last_seen is None else time.strftime("%F %R", time.localtime(device.last_seen))
        )
        name = f"{udf.grouped(device.fingerprint)}  {device.description}"
        click.echo(f"{name}  ({access_name(device.access)}{roles}{gone})  seen {seen}")


@click.command()
@click.pass_obj
@sentence_errors
def pending(context: Context) -> None:
    """List devices that ask for admission without an invitation.

    The device shows the same witness to its user: compare the two before you accept it.
    """
    with context.store() as store:
        for request in store.requests():
            told = "" if request.acknowledgement is None else f"  witness {_witness(request.acknowledgement)}"
            click.echo(f"{udf.grouped(request.fingerprint)}  {request.description}{told}")


def _witness(acknowledgement: bytes) -> str:
    return text_member(dare.parse(acknowledgement).body(), "Witness")


@click.command()
@click.argument("device")
@click.option("--access", type=click.Choice(list(ACCESS)), default="read", show_default=True)
@click.option("--administrator", is_flag=True)
@click.pass_obj
@sentence_errors
def accept(context: Context, device: str, access: str, administrator: bool) -> None:
    """Admit a device that asked without an invitation."""
    _decide(context, device, True, access=int(ACCESS[access]), administrator=administrator)


@click.command()
@click.argument("device")
@click.pass_obj
@sentence_errors
def reject(context: Context, device: str) -> None:
    """Turn down a device that asked without an invitation."""
    _decide(context, device, False)


def _decide(context: Context, device: str, accepted: bool, **rights: Any) -> None:
    with context.store() as store:
        keys = context.keys()
        enrolment = Enrolment(keys.identity, keys.administrator, store, SYSTEM)
        enrolment.decide(udf.compact(device.upper()), accepted, **rights)
        context.audit("accept" if accepted else "reject", device)


def _revoke(context: Context, store: Store, device: Device) -> None:
    """Through the running agent, which ends the sessions at once; in the store where none runs."""
    path = context.config.server.unix_socket
    try:
        if path is None:
            raise local.NotRunning("the Unix socket is off")
        local.ask(path, "CLIENT_REVOKE", {"client": device.fingerprint})
    except local.NotRunning:
        store.revoke(device.fingerprint)  # a running agent without a socket notices within a second
        context.audit("revoke", device.fingerprint)


def _as_json(device: Device) -> dict[str, Any]:
    return {
        "fingerprint": device.fingerprint,
        "description": device.description,
        "access": access_name(device.access),
        "administrator": bool(device.administrator),
        "hub": device.hub,
        "enrolled-at": int(device.enrolled_at),
        "last-seen": None if device.last_seen is None else int(device.last_seen),
        "revoked": device.revoked_at is not None,
    }
