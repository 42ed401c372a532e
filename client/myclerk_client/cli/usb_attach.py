"""`myclerk usb attach`, `detach`, `port` and `capture`: devices of a board, plugged into this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from myclerk_protocol.status import OperationTimeout

from ..board import Board
from ..usb.attachment import plugged_in
from ..usb.auto import Keeper
from ..usb.bridge import Tricks
from ..usb.capture import Capture
from ..usb.device import UsbDevice
from ..usb.plugged import Note, noted, notes
from ..usb.vhci import Port, VirtualController
from .app import App, with_board
from .options import Command
from .usb_background import in_background
from .usb_options import STANDARD_OUTPUT, capture_option, capturing, device_argument, trick_option

UNPLUG = 10.0
"""Seconds within which the kernel lets go of a device that is pulled out."""


@click.command(cls=Command)
@device_argument
@click.option(
    "--auto", is_flag=True, help="Wait for DEVICE, and attach it again whenever it or the board is back."
)
@click.option("--background", is_flag=True, help="Return when it is attached; `myclerk usb detach` ends it.")
@capture_option
@trick_option
@click.pass_context
def attach(
    context: click.Context, device: str, auto: bool, background: bool, capture: Path | None, tricks: Tricks
) -> None:
    """Plug a device of a board into this machine until Ctrl-C, as if it was here. Needs root, see docs/usb.md.

    With --auto DEVICE is a rule: a place (1-1.4) for whatever is plugged in there, an ID (0403:6001), or an ID with
    serial number (0403:6001:A50285BI).

    Example: myclerk usb attach 0403:6001 --auto
    """
    VirtualController().prepare()
    if background:
        in_background()
        return
    context.invoke(_attach, device=device, auto=auto, capture=capture, tricks=tricks)


@click.command(cls=Command)
@device_argument
@click.option(
    "-w", "file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), required=True, metavar="FILE",
    help="The file to write; - is standard output.",
)  # fmt: skip
@trick_option
@click.pass_context
def capture(context: click.Context, device: str, file: Path, tricks: Tricks) -> None:
    """Attach a device, as `attach` does, and write all its URBs to a file for Wireshark (pcapng).

    Example: myclerk usb capture 1-1.4 -w - | wireshark -k -i -
    """
    VirtualController().prepare()
    context.invoke(_attach, device=device, auto=False, capture=file, tricks=tricks)


@with_board(limited=False)
async def _attach(
    app: App, board: Board, device: str, auto: bool, capture: Path | None, tricks: Tricks
) -> None:
    with capturing(capture) as file:
        use = Attaching(app, tricks, file, silent=capture == STANDARD_OUTPUT)
        if auto:
            use.tell({"rule": device}, f"{device} is attached whenever it is there")
            await Keeper(app.connect, device, use, app.output.note).run(board)
        elif (error := await use(board, await board.usb.attach(device))) is not None:
            raise error


@dataclass(frozen=True, slots=True)
class Attaching:
    """Plugs a device in until it is gone, the error, or pulled out here, None.

    ``silent``: standard output is for something else.
    """

    app: App
    tricks: Tricks
    capture: Capture | None
    silent: bool
    controller: VirtualController = field(default_factory=VirtualController)

    async def __call__(self, board: Board, device: UsbDevice) -> BaseException | None:
        monitor = self.capture.device(device) if self.capture else None
        async with plugged_in(device, self.tricks, monitor, self.controller) as attachment:
            port, description = attachment.port, describe(device.info)
            note = Note(
                port=port,
                board=board.name,
                resource=device.resource,
                description=description,
                pid=os.getpid(),
            )
            result = {name: value for name, value in asdict(note).items() if name != "pid"}
            with noted(note):
                self.tell(result, f"{device.resource} ({description}) is attached as port {port:02}")
                if sys.stderr.isatty():
                    self.app.output.note("Ctrl-C detaches it")
                return await attachment.ended()

    def tell(self, result: Mapping[str, Any], sentence: str) -> None:
        """What is so now."""
        if self.silent:
            self.app.output.note(sentence)
        else:
            self.app.output.document(result, sentence)


def describe(info: Mapping[str, Any]) -> str:
    """What a device calls itself, or its ID."""
    names = [str(info[key]) for key in ("manufacturer", "product") if info.get(key)]
    return " ".join(names) or f"{info['vendor_id']:04x}:{info['product_id']:04x}"


@click.command(cls=Command)
@click.argument("port", type=click.IntRange(0))
@click.pass_obj
def detach(app: App, port: int) -> None:
    """Pull out the device in a PORT of this machine, as `myclerk usb port` shows it. Needs root as `attach` does.

    Example: myclerk usb detach 0
    """
    controller = VirtualController()
    controller.detach(port)
    deadline = time.monotonic() + UNPLUG
    while any(found.number == port and not found.free for found in controller.ports()):
        if time.monotonic() > deadline:
            raise OperationTimeout(f"the kernel has not let go of port {port:02} within {UNPLUG:g} s")
        time.sleep(0.02)


@click.command(cls=Command)
@click.pass_obj
def port(app: App) -> None:
    """List what is attached to this machine, and where.

    Example: myclerk usb port
    """
    controller = VirtualController()
    ports = controller.ports() if controller.present else []
    known = notes()
    app.output.table(
        [_row(controller, found, known.get(found.number)) for found in ports if not found.free],
        {
            "PORT": lambda row: f"{row['port']:02}",
            "BOARD": lambda row: row.get("board"),
            "DEVICE": lambda row: row.get("resource"),
            "DESCRIPTION": lambda row: row.get("description"),
            "HERE": lambda row: row.get("local"),
            "NODES": lambda row: " ".join(row["nodes"]),
            "PROCESS": lambda row: row.get("pid"),
        },
        empty="no USB device of a board is attached here",
    )


def _row(controller: VirtualController, port: Port, note: Note | None) -> dict[str, Any]:
    row: dict[str, Any] = {"port": port.number, "local": port.local, "nodes": controller.nodes(port)}
    if note is not None:
        row |= {
            "board": note.board,
            "resource": note.resource,
            "description": note.description,
            "pid": note.pid,
        }
    return row
