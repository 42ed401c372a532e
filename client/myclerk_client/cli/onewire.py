"""`myclerk w1`: 1-Wire buses, the devices on them, thermometers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from myclerk_protocol.status import HardwareError, NotFound, OperationError

from ..board import Board
from ..onewire import OneWireBus
from .app import App, with_board
from .names import complete_resource, remember_resources
from .options import Group

F = TypeVar("F", bound=Callable[..., Any])
BUS = "w1_bus_master"
"""What the kernel calls a bus, a number behind it."""


@click.group("w1", cls=Group)
def onewire() -> None:
    """1-Wire: thermometers, and bytes to and from other devices.

    A DEVICE is its ROM code as `w1 list` shows it (28-0000075f4d2c), a BUS is w1_bus_master1. Both may have "w1:"
    before them.
    """


def _complete(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Names without "w1:"; buses for a BUS, and what is no bus for a thermometer."""
    items = complete_resource(context, parameter, f"w1:{start}")
    names = [str(item.value).removeprefix("w1:") for item in items]
    if parameter.name != "device":
        names = [name for name in names if name.startswith(BUS) is (parameter.name == "bus")]
    return [CompletionItem(name) for name in names]


def _short(name: str) -> str:
    return name.removeprefix("w1:")


def _bus_argument(command: F) -> F:
    return click.argument("bus", required=False, shell_complete=_complete)(command)


async def _bus(board: Board, name: str | None) -> OneWireBus:
    """The bus of that name, or the only one. Raises NotFound, UsageError."""
    buses = await _buses(board, name)
    if len(buses) > 1:
        names = ", ".join(_short(bus.resource) for bus in buses)
        raise click.UsageError(f"{board.name} has several buses; name one: {names}")
    return buses[0]


async def _buses(board: Board, name: str | None) -> list[OneWireBus]:
    if name is not None:
        return [board.onewire.bus(name)]
    names = [bus["name"] for bus in await board.onewire.list()]
    if not names:
        raise NotFound(f"{board.name} has no 1-Wire bus for you")
    return [board.onewire.bus(each) for each in names]


@onewire.command("list")
@with_board()
async def list_buses(app: App, board: Board) -> None:
    """List the buses of a board and the devices that its kernel knows there.

    Example: myclerk w1 list
    """
    buses = await board.onewire.list()
    rows = [row for bus in buses for row in (bus, *bus["slaves"])]
    remember_resources(board.name, (row["name"] for row in rows), "w1")
    if app.as_json:
        app.output.document(buses)
        return
    app.output.table(
        rows,
        {
            "RESOURCE": lambda row: row["name"] if "slaves" in row else f"  {row['name']}",
            "DESCRIPTION": _description,
        },
        empty=f"{board.name} has no 1-Wire bus for you",
    )
    for bus in buses:
        if not bus["raw"]:
            app.output.note(f"{bus['name']}: {bus['reason']}")


def _description(row: Any) -> str:
    if "slaves" not in row:
        name = row.get("type") or f"family {row['family']:02x}"
        return f"{name}, thermometer" if row["thermometer"] else name
    searches = row.get("searches")
    if not searches:
        return "1-Wire bus" if searches is None else "1-Wire bus, not searched by the kernel"
    interval = row.get("search_interval")
    return "1-Wire bus, searched by the kernel" + (f" each {interval:g} s" if interval else "")


@onewire.command()
@_bus_argument
@click.option("--alarm", is_flag=True, help="Only devices in alarm.")
@with_board()
async def search(app: App, board: Board, bus: str | None, alarm: bool) -> None:
    """Search a BUS, or all of them, for devices. It takes up to several seconds.

    Example: myclerk w1 search --alarm
    """
    found: list[dict[str, Any]] = []
    for each in await _buses(board, bus):
        app.output.note(f"searching {_short(each.resource)}")
        devices = await (each.alarm_search() if alarm else each.search())
        found += [{"bus": each.resource, **device} for device in devices]
    app.output.table(
        found,
        {
            "DEVICE": lambda row: row["rom"],
            "FAMILY": lambda row: f"{row['family']:02x}",
            "TYPE": lambda row: row.get("type"),
            "BUS": lambda row: _short(row["bus"]),
        },
        empty="no device is in alarm" if alarm else "no device answers",
    )


@onewire.command()
@_bus_argument
@with_board()
async def reset(app: App, board: Board, bus: str | None) -> None:
    """Reset a BUS and say whether a device is there.

    Example: myclerk w1 reset w1_bus_master1
    """
    presence = await (await _bus(board, bus)).reset()
    app.output.document({"presence": presence}, "a device is there" if presence else "no device answers")


@onewire.command()
@_bus_argument
@with_board()
async def rom(app: App, board: Board, bus: str | None) -> None:
    """Read the ROM code of the only device on a BUS.

    Example: myclerk w1 rom
    """
    device = await (await _bus(board, bus)).read_rom()
    app.output.document(device, f"{device['rom']} {device.get('type', '')}".rstrip())


@onewire.command()
@click.argument("thermometers", nargs=-1, shell_complete=_complete, metavar="[THERMOMETER]...")
@click.option(
    "-w",
    "--watch",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="Measure at this interval until Ctrl-C.",
)
@with_board(limited=False)
async def temp(app: App, board: Board, thermometers: tuple[str, ...], watch: float | None) -> None:
    """Measure temperatures, in degrees Celsius: with all thermometers, or those named.

    Example: myclerk w1 temp 28-0000075f4d2c --watch 60
    """
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        failed = total = 0
        async for reading in _readings(app, board, thermometers, quiet=watch is not None):
            total += 1
            failed += "message" in reading
            _show(app, reading, with_time=watch is not None)
        if watch is None:
            break
        await asyncio.sleep(max(started + watch - loop.time(), 0))
    if not total:
        raise NotFound(f"{board.name} has no 1-Wire thermometer for you")
    if failed:
        raise HardwareError(f"{failed} of {total} thermometers gave no temperature")


async def _readings(app: App, board: Board, thermometers: tuple[str, ...], *, quiet: bool) -> Any:
    """{name, temperature or error} of each, as soon as it is known."""
    for name in thermometers:
        if not quiet:
            app.output.note(f"measuring with {_short(name)}")
        reading: dict[str, Any] = {"name": f"w1:{_short(name)}"}
        try:
            yield {**reading, "temperature": await board.onewire.temperature(name)}
        except OperationError as error:
            if len(thermometers) == 1 and not quiet:
                raise
            yield {**reading, "message": error.message}
    if thermometers:
        return
    for bus in await _buses(board, None):
        if not quiet:
            app.output.note(f"measuring on {_short(bus.resource)}")
        for reading in await bus.temperatures():
            yield reading


def _show(app: App, reading: dict[str, Any], *, with_time: bool) -> None:
    what = f"{reading['temperature']:.3f}" if "temperature" in reading else reading["message"]
    line = f"{_short(reading['name'])} {what}"
    if with_time:
        now = time.time()
        reading = {"timestamp_ns": int(now * 1e9), **reading}
        line = f"{time.strftime('%H:%M:%S', time.localtime(now))} {line}"
    app.output.document(reading, line)


_save = click.option("--save", is_flag=True, help="Keep it in the thermometer's EEPROM.")


@onewire.command()
@click.argument("thermometer", shell_complete=_complete)
@click.argument("bits", required=False, type=click.IntRange(9, 14))
@_save
@with_board()
async def resolution(app: App, board: Board, thermometer: str, bits: int | None, save: bool) -> None:
    """Show how a thermometer works, or set its resolution to BITS.

    Example: myclerk w1 resolution 28-0000075f4d2c 12 --save
    """
    if bits is None and not save:
        settings = await board.onewire.settings(thermometer)
    else:
        settings = await board.onewire.configure(thermometer, resolution=bits, save=save)
    app.output.document(settings, *_described(settings))


@onewire.command()
@click.argument("thermometer", shell_complete=_complete)
@click.option("--low", type=click.IntRange(-55, 125), metavar="DEGREES", help="Alarm at this and below.")
@click.option("--high", type=click.IntRange(-55, 125), metavar="DEGREES", help="Alarm at this and above.")
@_save
@with_board()
async def alarm(
    app: App, board: Board, thermometer: str, low: int | None, high: int | None, save: bool
) -> None:
    """Show or set the limits, in whole degrees Celsius, beyond which `w1 search --alarm` finds a thermometer.

    Example: myclerk w1 alarm 28-0000075f4d2c --low -5 --high 30
    """
    if low is None and high is None and not save:
        settings = await board.onewire.settings(thermometer)
    else:
        settings = await board.onewire.configure(thermometer, alarm_low=low, alarm_high=high, save=save)
    app.output.document(settings, *_described(settings))


def _described(settings: dict[str, Any]) -> list[str]:
    lines = {
        "resolution": "resolution {} bits",
        "conversion_time": "a measurement takes {:g} s",
        "alarm_low": "alarm at {} degrees and below",
        "alarm_high": "alarm at {} degrees and above",
    }
    described = [line.format(settings[key]) for key, line in lines.items() if key in settings]
    if "external_power" in settings:
        described.append(
            "supply of its own" if settings["external_power"] else "fed by the data line (parasite)"
        )
    return described


def _hexadecimal(text: str) -> bytes:
    """Bytes as hexadecimal digits: be, 4e4b467f."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} are no hexadecimal digits, two for each byte") from None


_crc = click.option("--crc", is_flag=True, help="The last byte is the CRC-8 of those before it: check that.")


@onewire.command()
@click.argument("device", shell_complete=_complete)
@click.argument("size", type=click.IntRange(1, 4096))
@click.option(
    "--command",
    type=_hexadecimal,
    default="",
    metavar="HEX",
    help="Bytes to write before: be for a scratchpad.",
)
@_crc
@click.option("--steps", is_flag=True, help="Select, write and read one by one; others may come between.")
@with_board()
async def read(
    app: App, board: Board, device: str, size: int, command: bytes, crc: bool, steps: bool
) -> None:
    """Select a DEVICE, write a command to it and read SIZE bytes, which are shown in hexadecimal.

    A bus in place of the device means all devices on it, without selection (Skip ROM).

    Example: myclerk w1 read 28-0000075f4d2c 9 --command be --crc
    """
    if steps and crc:
        raise click.UsageError("--crc does not go with --steps")
    data = await (_by_steps if steps else _at_once)(board, device, command, size, crc)
    app.output.document({"data": data}, data.hex(" "))


@onewire.command()
@click.argument("device", shell_complete=_complete)
@click.argument("data", type=_hexadecimal, nargs=-1, required=True, metavar="HEX...")
@click.option("--read", "size", type=click.IntRange(1, 4096), help="Bytes to read afterwards.")
@_crc
@with_board()
async def write(
    app: App, board: Board, device: str, data: tuple[bytes, ...], size: int | None, crc: bool
) -> None:
    """Select a DEVICE and write bytes to it, given in hexadecimal.

    A bus in place of the device means all devices on it, without selection (Skip ROM).

    Example: myclerk w1 write 28-0000075f4d2c 4e 1e fb 7f
    """
    received = await _at_once(board, device, b"".join(data), size or 0, crc)
    if size is not None or app.as_json:
        app.output.document({"data": received}, received.hex(" "))


async def _at_once(board: Board, device: str, data: bytes, size: int, crc: bool) -> bytes:
    if _short(device).startswith(BUS):
        return await board.onewire.bus(device).transaction(rom=None, write=data, read=size, crc=crc)
    return await board.onewire.transaction(device, write=data, read=size, crc=crc)


async def _by_steps(board: Board, device: str, data: bytes, size: int, crc: bool) -> bytes:
    if _short(device).startswith(BUS):
        selection = await board.onewire.bus(device).skip_rom()
    else:
        selection = await board.onewire.select(device)
    if data:
        await selection.write(data)
    return await selection.read(size)
