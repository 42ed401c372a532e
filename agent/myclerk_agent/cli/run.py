"""``myclerk-agent run``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import click

from .. import log, simulation
from ..config_checks import address
from ..environment import new_event_loop
from ..server import run as run_agent
from .context import Context, Failure, sentence_errors


@click.command()
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
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run_agent(replace(config, server=server, simulation=simulated)))
