"""The command ``myclerk-agent``: run the agent, invite devices, list and revoke them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from myclerk_drivers.base import Access
from myclerk_protocol import __version__
from myclerk_protocol.mesh import udf
from myclerk_protocol.status import MyClerkError, NotFound

from . import config as configuration
from . import invite as invitations
from . import local, log, simulation, state
from .audit import Audit
from .config import Address, Config
from .config_checks import address
from .enrolment import Enrolment
from .environment import SYSTEM
from .server import run as run_agent
from .store import Device, Store

DEFAULT_CONFIG = Path("/etc/myclerk/agent.toml")
ACCESS = {access.name.lower().replace("_", "-"): access for access in Access}


class Failure(click.ClickException):
    """One sentence on standard error, exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"myclerk-agent: {self.message}", err=True)


def sentence_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn this project's errors into one sentence."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except MyClerkError as error:
            raise Failure(str(error)) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return guarded


class Context:
    """The settings, and the agent's store as its own user sees it."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The agent's store, opened as the owner of the state directory."""
        directory = self.config.state.directory
        state.become_owner(directory)
        state.prepare_directory(directory)
        store = Store(directory / state.DATABASE, SYSTEM)
        try:
            yield store
        finally:
            store.close()

    def keys(self) -> state.AgentKeys:
        """The agent's keys; made now if it never ran."""
        directory = self.config.state.directory
        return state.load_keys(directory, SYSTEM, self.config.security.post_quantum_signatures)

    def audit(self, action: str, resource: str) -> None:
        """Note what an administrator did at this machine's command line."""
        Audit(self.config.state.directory, SYSTEM).record("command line", action, resource, "ok")


def _load(path: Path | None, state_directory: Path | None) -> Config:
    if path is None and not DEFAULT_CONFIG.exists():
        config = Config.defaults()
    else:
        config = configuration.load(path or DEFAULT_CONFIG)
    if state_directory is not None:
        config = replace(config, state=replace(config.state, directory=state_directory.absolute()))
    return config


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", "path", type=click.Path(path_type=Path), envvar="MYCLERK_AGENT_CONFIG",
    help=f"Settings; {DEFAULT_CONFIG} if there is such a file, else defaults.",
)  # fmt: skip
@click.option(
    "--state", "state_directory", type=click.Path(path_type=Path), help="State directory instead of [state]."
)
@click.version_option(__version__)
@click.pass_context
@sentence_errors
def main(context: click.Context, path: Path | None, state_directory: Path | None) -> None:
    """Share this board's hardware with paired devices."""
    context.obj = Context(_load(path, state_directory))
    if context.invoked_subcommand != "run":
        log.configure("warning", "human")


@main.command()
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help="Instead of [server] listen; give `invite` --host then.",
)
@click.option(
    "--unix-socket", type=click.Path(path_type=Path), help="Socket instead of [server] unix-socket."
)
@click.option(
    "--simulate",
    "description",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Serve the board that FILE describes instead of this machine's hardware (docs/simulation.md).",
)
@click.pass_obj
@sentence_errors
def run(
    context: Context, listen: tuple[str, ...], unix_socket: Path | None, description: Path | None
) -> None:
    """Run the agent until it is told to stop.

    Example: myclerk-agent run
    """
    config = context.config
    log.configure(config.log.level, config.log.format)
    server = config.server
    if listen:
        try:
            addresses = tuple(address(text) for text in listen)
        except ValueError as error:
            raise Failure(f"--listen {error}") from None
        server = replace(server, listen=addresses)
    if unix_socket is not None:
        server = replace(server, unix_socket=unix_socket.absolute())
    simulated = simulation.load(description) if description is not None else None
    _install_uvloop()
    asyncio.run(run_agent(replace(config, server=server, simulation=simulated)))


@main.command()
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
        fingerprint = context.keys().identity.fingerprint
        where: Address = invitations.link_address(context.config.server.listen, host)
        invitation = invitations.invite(
            store, SYSTEM, fingerprint, where,
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


@main.command()
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
            device = _find(store.devices(), revoke)
            _revoke(context, store, device)
            click.echo(f"revoked {device.description or device.fingerprint}")
            return
        rows = store.devices()
    if as_json:
        click.echo(json.dumps([_as_json(device) for device in rows]))
        return
    for device in rows:
        mode = Access(device.access).name.lower().replace("_", "-")
        role = ", administrator" if device.administrator else ""
        gone = ", REVOKED" if device.revoked_at is not None else ""
        seen = (
            "never" if device.last_seen is None else time.strftime("%F %R", time.localtime(device.last_seen))
        )
        click.echo(
            f"{udf.grouped(device.fingerprint)}  {device.description}  ({mode}{role}{gone})  seen {seen}"
        )


@main.command()
@click.pass_obj
@sentence_errors
def fingerprint(context: Context) -> None:
    """Print this agent's fingerprint."""
    with context.store():
        click.echo(udf.grouped(context.keys().identity.fingerprint))


@main.command()
@click.pass_obj
@sentence_errors
def requests(context: Context) -> None:
    """List devices that ask for admission without an invitation."""
    with context.store() as store:
        for request in store.requests():
            click.echo(f"{udf.grouped(request.fingerprint)}  {request.description}")


@main.command()
@click.argument("device")
@click.option("--access", type=click.Choice(list(ACCESS)), default="read", show_default=True)
@click.option("--administrator", is_flag=True)
@click.pass_obj
@sentence_errors
def accept(context: Context, device: str, access: str, administrator: bool) -> None:
    """Admit a device that asked without an invitation."""
    _decide(context, device, True, access=int(ACCESS[access]), administrator=administrator)


@main.command()
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


def _find(devices: list[Device], text: str) -> Device:
    start = text.upper().replace("-", "")
    matches = [d for d in devices if d.description == text or (start and d.fingerprint.startswith(start))]
    matches = [d for d in matches if d.revoked_at is None] or matches
    if len(matches) != 1:
        how_many = "no device matches" if not matches else "several devices match"
        raise NotFound(f"{how_many} {text!r}; `myclerk-agent devices` lists them with fingerprints")
    return matches[0]


def _as_json(device: Device) -> dict[str, Any]:
    return {
        "fingerprint": device.fingerprint,
        "description": device.description,
        "access": Access(device.access).name.lower().replace("_", "-"),
        "administrator": bool(device.administrator),
        "enrolled-at": int(device.enrolled_at),
        "last-seen": None if device.last_seen is None else int(device.last_seen),
        "revoked": device.revoked_at is not None,
    }


def _install_uvloop() -> None:
    try:
        import uvloop
    except ImportError:  # asyncio's own loop serves too, at half the speed
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


if __name__ == "__main__":
    main()
