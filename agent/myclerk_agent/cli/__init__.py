"""The command ``myclerk-agent``: run the agent, invite devices, decide what they may do, keep its keys."""

from __future__ import annotations

from pathlib import Path

import click

from myclerk_protocol import __version__

from .. import log
from .access import access, groups, share
from .administrators import administrators
from .audit import audit
from .context import DEFAULT_CONFIG, Context, load, sentence_errors
from .devices import accept, devices, pending, reject
from .invite import fingerprint, invite
from .keys import keys
from .preconfigure import preconfigure
from .requests import requests
from .run import run


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
    context.obj = Context(load(path, state_directory))
    if context.invoked_subcommand != "run":
        log.configure("warning", "human")


for _command in (
    run,
    invite,
    fingerprint,
    devices,
    pending,
    accept,
    reject,
    access,
    groups,
    share,
    requests,
    administrators,
    keys,
    preconfigure,
    audit,
):
    main.add_command(_command)

__all__ = ["main"]
