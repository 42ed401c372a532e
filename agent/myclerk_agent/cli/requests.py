"""``myclerk-agent requests``: deciding on what hubs ask for (docs/access.md)."""

from __future__ import annotations

import json
import time

import click

from myclerk_drivers.base import Access
from myclerk_protocol.mesh import udf

from ..access import access_name
from ..records import DeviceRequest, RequestState
from .changing import change
from .context import Context, sentence_errors


@click.group()
def requests() -> None:
    """Requests of hubs for resources of this board.

    A TOKEN names a request.
    """


@requests.command("list")
@click.option("--pending", is_flag=True, help="Only those that are not decided.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
@sentence_errors
def list_requests(context: Context, pending: bool, as_json: bool) -> None:
    """List the requests with their resources.

    Example: myclerk-agent requests list --pending
    """
    with context.store() as store:
        found = [r for r in store.device_requests.all() if not pending or r.state is RequestState.PENDING]
        names = {device.fingerprint: device.description for device in store.devices()}
    if as_json:
        click.echo(json.dumps([_as_json(request) for request in found]))
        return
    for request in found:
        who = names.get(request.asked_by) or request.asked_by
        whom = (
            ""
            if request.client == request.asked_by
            else f" for {names.get(request.client) or request.client}"
        )
        until = time.strftime("%F %R", time.localtime(request.expires_at))
        reason = f": {request.reason}" if request.reason else ""
        click.echo(f"{request.token}  {_state(request)}, until {until}, {who}{whom}{reason}")
        for device in request.devices:
            outcome = {True: "  approved", False: "  rejected", None: ""}[device.approved]
            click.echo(f"  {device.name}  {access_name(Access(device.access))}{outcome}")


@requests.command()
@click.argument("token")
@click.argument("resources", nargs=-1)
@click.option("--answer", default="", help="Words for who asked.")
@click.pass_obj
@sentence_errors
def approve(context: Context, token: str, resources: tuple[str, ...], answer: str) -> None:
    """Give access to all that a request asks for, or to these RESOURCES alone.

    Example: myclerk-agent requests approve NCXW... serial:ttyUSB0
    """
    _respond(context, token, True, resources, answer)


@requests.command()
@click.argument("token")
@click.option("--answer", default="", help="Words for who asked.")
@click.pass_obj
@sentence_errors
def reject(context: Context, token: str, answer: str) -> None:
    """Give nothing.

    Example: myclerk-agent requests reject NCXW... --answer "in use until Friday"
    """
    _respond(context, token, False, (), answer)


def _respond(context: Context, token: str, approve: bool, resources: tuple[str, ...], answer: str) -> None:
    token = udf.compact(token)
    with context.store() as store:
        asked = [device.name for device in store.device_requests.find(token).devices]
    approved = (resources or asked) if approve else ()
    fields = {"token": token, "approve": approve, "resources": list(resources) or None, "answer": answer}
    change(
        context, "DEVICE_REQUEST_RESPOND", fields,
        lambda store: store.device_requests.respond(token, approved, answer),
        f"{token} {' '.join(approved) or 'nothing'}",
    )  # fmt: skip
    with context.store() as store:
        click.echo(_state(store.device_requests.find(token)))


def _state(request: DeviceRequest) -> str:
    return request.state.name.lower().replace("_", " ")


def _as_json(request: DeviceRequest) -> dict[str, object]:
    return {
        "token": request.token,
        "state": _state(request),
        "asked-by": request.asked_by,
        "client": request.client,
        "reason": request.reason,
        "created-at": int(request.issued_at),
        "expires-at": int(request.expires_at),
        "answer": request.answer,
        "resources": [
            {"resource": d.name, "access": access_name(Access(d.access)), "approved": d.approved}
            for d in request.devices
        ],
    }
