"""`myclerk usb`: the USB devices of a board."""

from __future__ import annotations

from typing import Any

import click

from ..board import Board
from ..usb.descriptors import HUB_CLASS, classes_of
from .app import App, with_board
from .names import remember_resources
from .options import Group
from .usb_attach import attach, capture, detach, port
from .usb_serve import serve

SPEEDS = {1_500_000: "1.5 Mb/s", 12_000_000: "12 Mb/s", 480_000_000: "480 Mb/s"}


@click.group(cls=Group)
def usb() -> None:
    """USB devices of a board.

    A DEVICE is named by its place, its ID, or its ID and serial number, as `usb list` shows them: 1-1.4,
    0403:6001, 0403:6001:A50285BI.

    Example: myclerk usb list
    """


for _command in (attach, detach, port, serve, capture):
    usb.add_command(_command)


@usb.command("list")
@with_board()
async def list_devices(app: App, board: Board) -> None:
    """List the USB devices of a board, hubs excepted.

    Example: myclerk usb list
    """
    devices = [device for device in await board.usb.list() if device["class"] != HUB_CLASS]
    remember_resources(board.name, (device["name"] for device in devices), "usb")
    app.output.table(
        devices,
        {
            "DEVICE": lambda row: row["name"],
            "ID": lambda row: f"{row['vendor_id']:04x}:{row['product_id']:04x}",
            "DESCRIPTION": _description,
            "SERIAL NUMBER": lambda row: row.get("serial"),
            "CLASS": lambda row: ", ".join(classes_of(row)),
            "SPEED": lambda row: _speed(row["speed"]),
            "BOARD'S DRIVERS": _drivers,
            "IN USE": _use,
        },
        empty=f"{board.name} has no USB device for you",
    )


def _description(row: Any) -> str | None:
    return " ".join(row[key] for key in ("manufacturer", "product") if row.get(key)) or None


def _speed(speed: int) -> str:
    return SPEEDS.get(speed, f"{speed / 1e9:g} Gb/s")


def _drivers(row: Any) -> str:
    return ", ".join(dict.fromkeys(i["driver"] for i in row["interfaces"] if "driver" in i))


def _use(row: Any) -> str | None:
    if row["in_use"]:
        return "yes"
    return "; ".join(row.get("used_for", ())) or None
