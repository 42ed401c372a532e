"""`myclerk usb serve`: devices of a board for any USB/IP client of this machine."""

from __future__ import annotations

import ipaddress
import logging
from asyncio import sleep
from pathlib import Path
from typing import Any

import click

from ..board import Board
from ..usb.auto import FIRST_RETRY, LAST_RETRY, LOST, NOT_YET
from ..usb.bridge import Tricks
from ..usb.server import PORT, UsbIpServer
from .app import App, with_board
from .names import complete_device
from .options import Command
from .usb_options import STANDARD_OUTPUT, capture_option, capturing, trick_option

log = logging.getLogger("myclerk.cli")

LOOPBACK = "127.0.0.1"


@click.command(cls=Command)
@click.argument("devices", nargs=-1, metavar="[DEVICE]...", shell_complete=complete_device)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 is any free one."
)
@click.option(
    "--unencrypted", is_flag=True, help="Listen on --host although it can be reached from elsewhere."
)
@capture_option
@trick_option
@click.pass_context
def serve(context: click.Context, /, host: str, unencrypted: bool, **options: Any) -> None:
    """Serve devices of a board, all or DEVICEs, to USB/IP clients of this machine until Ctrl-C.

    `usbip list -r 127.0.0.1` lists them, `usbip attach -r 127.0.0.1 -b 1-1.4` attaches one; the clients for Windows
    do it likewise. USB/IP is not encrypted and asks nobody who he is: whoever reaches the port has the devices.

    Example: myclerk usb serve
    """
    if not unencrypted and not _is_loopback(host):
        raise click.UsageError(
            f"whoever reaches {host} would have the devices, over a connection that is not encrypted; "
            "add --unencrypted if that is what you want"
        )
    context.invoke(_serve, host=host, **options)


@with_board(limited=False)
async def _serve(
    app: App,
    board: Board,
    devices: tuple[str, ...],
    host: str,
    port: int,
    capture: Path | None,
    tricks: Tricks,
) -> None:
    with capturing(capture) as file:
        server = UsbIpServer(board.usb, resources=devices, tricks=tricks, capture=file, say=app.output.note)
        try:
            for address, number in await server.listen(host, port):
                sentence = f"USB/IP server on {address} port {number}"
                if capture == STANDARD_OUTPUT:
                    app.output.note(sentence)
                else:
                    app.output.document({"host": address, "port": number}, sentence)
            await _keep(app, board, server)
        finally:
            await server.close()


async def _keep(app: App, board: Board, server: UsbIpServer) -> None:
    """Stay with the board, or with its next session when that one is lost."""
    pause = FIRST_RETRY
    while True:
        async with board:
            try:
                async with board.subscribe("usb") as events:
                    pause = FIRST_RETRY
                    async for event in events:
                        log.info("%s %s", event["action"], event["device"]["name"])
            except LOST as error:
                app.output.note(f"{error}; connecting again")
        while True:
            await sleep(pause)
            pause = min(2 * pause, LAST_RETRY)
            try:
                board = await app.connect()
            except (*LOST, *NOT_YET) as error:
                log.info("not yet: %s", error)
            else:
                server.devices = board.usb
                break


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
