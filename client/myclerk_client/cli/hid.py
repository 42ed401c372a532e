"""`myclerk hid`: input devices of a board, what they report, and replaying that on this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import click

from myclerk_protocol.status import DeviceGone, OperationError, OperationTimeout

from ..board import Board
from ..hid import HidDevice
from ..input_codes import code_name, type_name
from ..uinput import VirtualInput
from .app import App, until_first, with_board
from .names import complete_input, remember_resources
from .options import Group
from .terminal import until_ready

LOOK = 0.5
"""Seconds between looks whether a key is held."""
PATIENCE = 1.5
"""Seconds within which the board has to answer while a key is held; after that all keys are released."""


@click.group(cls=Group)
def hid() -> None:
    """Input devices: keyboards, mice, touch screens, joysticks.

    A DEVICE is named as `hid list` shows it, with or without "hid:".
    """


@hid.command("list")
@with_board()
async def list_devices(app: App, board: Board) -> None:
    """List the input devices of a board.

    Example: myclerk hid list
    """
    devices = await board.hid.list()
    remember_resources(board.name, (device["name"] for device in devices), "hid")
    app.output.table(
        devices,
        {
            "DEVICE": lambda row: row["name"],
            "DESCRIPTION": lambda row: row["description"],
            "KINDS": lambda row: " ".join(row["kinds"]),
            "BUS": lambda row: row["bus"],
            "ID": _identity,
            "PLUGGED IN AT": lambda row: row.get("phys"),
        },
        empty=f"{board.name} has no input device for you",
    )


def _identity(row: Mapping[str, Any]) -> str | None:
    return f"{row['vendor_id']:04x}:{row['product_id']:04x}" if row.get("vendor_id") else None


@hid.command()
@click.argument("device", shell_complete=complete_input)
@click.option("-n", "--reports", "limit", type=click.IntRange(1), help="End after so many reports.")
@click.option("--grab", is_flag=True, help="Keep the events from everybody else on the board.")
@with_board(limited=False)
async def dump(app: App, board: Board, device: str, limit: int | None, grab: bool) -> None:
    """Show what a DEVICE reports until Ctrl-C: time, type, code and value of each event.

    Example: myclerk hid dump event3
    """
    async with await board.hid.open(device, grab=grab) as source:
        left = limit
        async for event in source:
            if "active" in event:
                _tell(app, source, event)
                continue
            app.output.document(_named(event), *_lines(event))
            left = None if left is None else left - 1
            if left == 0:
                return
        raise DeviceGone(f"{source.resource} reports nothing more")


def _named(report: Mapping[str, Any]) -> dict[str, Any]:
    events = [
        {"type": type_name(kind), "code": code_name(kind, code), "value": value}
        for kind, code, value in report["events"]
    ]
    return {**report, "events": events}


def _lines(report: Mapping[str, Any]) -> list[str]:
    stamp = report["timestamp_ns"]
    moment = time.strftime("%H:%M:%S", time.localtime(stamp // 10**9))
    head = f"{moment}.{stamp // 1000 % 10**6:06} "
    mark = "  (state)" if report.get("resync") else ""
    return [
        f"{head} {type_name(kind):<6}  {code_name(kind, code):<20} {value}{mark}"
        for kind, code, value in report["events"]
    ]


def _tell(app: App, source: HidDevice, event: Mapping[str, Any]) -> None:
    if event["active"]:
        app.output.note(f"{source.resource} is routed here")
    else:
        app.output.note(f"{source.resource} is routed to {event['holder']}; waiting")


@hid.command()
@click.argument("device", shell_complete=complete_input)
@click.option(
    "--grab/--no-grab", default=True, help="Keep the events from the board's own programs. [default: grab]"
)
@click.option("--name", help="What the device is called here. [default: as at the board]")
@with_board(limited=False)
async def forward(app: App, board: Board, device: str, grab: bool, name: str | None) -> None:
    """Replay a DEVICE here until Ctrl-C: a keyboard at the board types on this machine.

    That needs Linux, and write access to /dev/uinput, which root has.

    Keys are released when the stream goes to another client, and when the board does not answer any more.

    Example: myclerk hid forward event3
    """
    async with await board.hid.open(device, grab=grab) as source:
        with VirtualInput(source.description, name) as twin:
            app.output.document(
                {"device": source.resource, "name": twin.name},
                f"{source.resource} is {twin.name!r} here until Ctrl-C",
            )
            await until_first(_replay(app, source, twin), _lights(source, twin), _watch(app, board, twin))


async def _replay(app: App, source: HidDevice, twin: VirtualInput) -> None:
    async for event in source:
        if "active" in event:
            twin.release()
            _tell(app, source, event)
        else:
            twin.report(event["events"])
    raise DeviceGone(f"{source.resource} reports nothing more")


async def _lights(source: HidDevice, twin: VirtualInput) -> None:
    """Lights that programs here set are set at the board."""
    while True:
        await until_ready(twin.fd)
        requests = twin.requests()
        if requests and source.active:
            try:
                await source.send(requests)
            except OperationError:  # routed away meanwhile, or the agent may only read
                continue


async def _watch(app: App, board: Board, twin: VirtualInput) -> None:
    """While a key is held the board has to answer: a release that does not come would hold it for ever."""
    while True:
        await asyncio.sleep(LOOK)
        if twin.held and not await _answers(board):
            twin.release()
            app.output.note("the board does not answer; keys are released")


async def _answers(board: Board) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await board.ping()
    except OperationTimeout:
        return False
    except TimeoutError:
        return False
    return True
