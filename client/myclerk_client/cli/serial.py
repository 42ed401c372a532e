"""`myclerk serial`: the commands that do one thing with a port and end."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from myclerk_protocol.status import OperationTimeout

from ..board import Board
from .app import App, with_board
from .console import console
from .join import join
from .link import link
from .names import remember_resources
from .options import Group
from .ports import port_argument, settings_options

LINES = ("dtr", "rts", "cts", "dsr", "ri", "dcd")


@click.group(cls=Group)
def serial() -> None:
    """Serial ports: consoles, local ptys, modem lines.

    A PORT is named as `serial list` shows it, with or without "serial:".
    """


serial.add_command(console)
serial.add_command(join)
serial.add_command(link)


@serial.command("list")
@with_board()
async def list_ports(app: App, board: Board) -> None:
    """List the serial ports of a board.

    Example: myclerk serial list
    """
    ports = await board.serial.list()
    remember_resources(board.name, (port["name"] for port in ports), "serial")
    app.output.table(
        ports,
        {
            "PORT": lambda row: row["name"],
            "PATH": lambda row: row["path"],
            "DESCRIPTION": lambda row: row["description"],
            "USB": _usb,
            "SERIAL NUMBER": lambda row: row.get("serial_number"),
            "IN USE": lambda row: "yes" if row.get("in_use") else None,
        },
        empty=f"{board.name} has no serial port for you",
    )


def _usb(row: Any) -> str | None:
    if row.get("vendor_id") is None or row.get("product_id") is None:
        return None
    return f"{row['vendor_id']:04x}:{row['product_id']:04x}"


@serial.command()
@port_argument
@click.option("--watch", is_flag=True, help="Show each change of CTS, DSR, RI and DCD until Ctrl-C.")
@with_board(limited=False)
async def lines(app: App, board: Board, port: str, watch: bool) -> None:
    """Show the modem lines of a port, which is opened for that.

    Example: myclerk serial lines ttyUSB0 --watch
    """
    opened = await board.serial.open(port)
    if not watch:
        state = await opened.lines()
        app.output.document(state, *(f"{name} {_level(state[name])}" for name in LINES if name in state))
        return
    async for event in await opened.watch_lines():
        moment = time.strftime("%H:%M:%S", time.localtime(event["timestamp_ns"] // 10**9))
        thousandths = event["timestamp_ns"] // 10**6 % 1000
        app.output.document(event, f"{moment}.{thousandths:03} {event['line']} {_level(event['value'])}")


def _level(value: bool) -> str:
    return "on" if value else "off"


@serial.command("break")
@port_argument
@click.option("--duration", type=click.FloatRange(0, 10), default=0.25, show_default=True, help="Seconds.")
@settings_options
@with_board()
async def send_break(app: App, board: Board, port: str, duration: float, settings: dict[str, Any]) -> None:
    """Hold a port's line in the break condition for a while.

    Example: myclerk serial break ttyUSB0 --duration 0.5
    """
    opened = await board.serial.open(port, **settings)
    await opened.send_break(duration)


@serial.command()
@port_argument
@click.argument("data")
@settings_options
@with_board()
async def send(app: App, board: Board, port: str, data: str, settings: dict[str, Any]) -> None:
    """Send DATA to a port and wait until it has left; - sends standard input.

    Example: myclerk serial send ttyUSB0 $'AT\\r' --baud 115200
    """
    payload = sys.stdin.buffer.read() if data == "-" else os.fsencode(data)
    opened = await board.serial.open(port, **settings)
    written = await opened.write(payload, drain=True)
    if app.as_json:
        app.output.document({"written": written})


@serial.command()
@port_argument
@click.option("--size", type=click.IntRange(1, 1 << 20), help="Bytes to read; with --until at most.")
@click.option("--until", metavar="TEXT", help="Read up to and with TEXT.")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds to wait; by default without limit.")
@settings_options
@with_board(limited=False)
async def read(
    app: App, board: Board, port: str, size: int | None, until: str | None, timeout: float | None,
    settings: dict[str, Any],
) -> None:  # fmt: skip
    """Read from a port: what comes first, SIZE bytes, or up to a TEXT.

    What has come when the time is over is printed, too; the exit code is 7 then.

    Example: myclerk serial read ttyUSB0 --until $'\\n' --timeout 5
    """
    opened = await board.serial.open(port, **settings)
    if until:
        end = os.fsencode(until)
        data = await opened.read_until(end, limit=size or 1 << 20, timeout=timeout)
        complete = data.endswith(end) or len(data) == size
    elif size is not None:
        data = await opened.read_exactly(size, timeout=timeout)
        complete = len(data) == size
    else:
        data = await opened.read(timeout=timeout)
        complete = bool(data)
    app.output.data(data)
    if not complete:
        raise OperationTimeout(f"only {len(data)} bytes came before the time was over")
