"""``myclerk-agent invite`` and ``fingerprint``: what a device needs to find and trust this agent."""

from __future__ import annotations

import json
import sys
import time

import click

from myclerk_protocol.mesh import udf

from .. import invite as invitations
from ..config import Address
from ..environment import SYSTEM
from .context import ACCESS, Context, sentence_errors


@click.command()
@click.option("--access", type=click.Choice(list(ACCESS)), default="read-write", show_default=True)
@click.option("--administrator", is_flag=True, help="The device may administer this agent.")
@click.option("--name", "description", default="", help="What to call the device here.")
@click.option("--host", help="Address in the link instead of one of this machine's own.")
@click.option("--minutes", type=click.FloatRange(1, 7 * 1440), default=15.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
@sentence_errors
def invite(
    context: Context, access: str, administrator: bool, description: str, host: str | None, minutes: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Print a link (and QR code) with which one device can pair, once.

    Example: myclerk-agent invite --name "Ann's laptop"
    """
    with context.store() as store:
        agent = context.keys().identity.fingerprint
        where: Address = invitations.link_address(context.config.server.listen, host)
        invitation = invitations.invite(
            store, SYSTEM, agent, where,
            access=int(ACCESS[access]), administrator=administrator, description=description,
            lifetime=minutes * 60,
        )  # fmt: skip
        context.audit("invite", access)
    if as_json:
        click.echo(json.dumps({"link": invitation.link, "expires-at": int(invitation.expires_at)}))
        return
    click.echo(invitations.render(invitation.link, sys.stdout.isatty()), nl=False)
    if sys.stdout.isatty():
        click.echo(
            f"Good for one device, until {time.strftime('%H:%M', time.localtime(invitation.expires_at))}:"
        )
        click.echo("  myclerk pair 'LINK'")


@click.command()
@click.pass_obj
@sentence_errors
def fingerprint(context: Context) -> None:
    """Print this agent's fingerprint."""
    with context.store():
        click.echo(udf.grouped(context.keys().identity.fingerprint))
