"""`myclerk i2c`: i2c-tools for a remote board, in their syntax."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from myclerk_protocol.status import HardwareError

from ..board import Board
from ..i2c import I2cBus
from . import i2c_syntax as syntax
from .app import App, with_board
from .names import complete_resource, remember_resources
from .numbers import BYTE, hex_line, integer
from .options import Group

F = TypeVar("F", bound=Callable[..., Any])

ADDRESS = integer(0x00, 0x7F)
CHUNK = 32
"""Bytes that i2cdump reads in mode i at once; every adapter can."""


@click.group(cls=Group)
def i2c() -> None:
    """I2C buses: find devices, read and write them. The syntax is that of i2c-tools.

    A BUS is a number, or named as `i2c list` shows it. Numbers may be hexadecimal: 0x48.

    Example: myclerk i2c detect 1
    """


bus_argument = click.argument("bus", shell_complete=complete_resource)
address_argument = click.argument("address", type=ADDRESS)
yes_option = click.option("-y", "yes", is_flag=True, hidden=True, expose_value=False)
force_option = click.option(
    "-f", "--force", is_flag=True,
    help="Also reserved addresses, and those that a driver of the board's kernel has.",
)  # fmt: skip


def _device(command: F) -> F:
    """The arguments and options of every command that talks to one device; -y is taken, nobody is asked."""
    return bus_argument(address_argument(force_option(yes_option(command))))


@i2c.command("list")
@with_board()
async def list_buses(app: App, board: Board) -> None:
    """List the I2C buses of a board.

    Example: myclerk i2c list
    """
    buses = await board.i2c.list()
    remember_resources(board.name, (bus["name"] for bus in buses), "i2c")
    app.output.table(
        buses,
        {
            "BUS": lambda row: row["name"],
            "PATH": lambda row: row["path"],
            "ADAPTER": lambda row: row["adapter"],
            "CAN DO": _abilities,
            "KERNEL DRIVERS": lambda row: " ".join(map(_client, row["clients"])),
        },
        empty=f"{board.name} has no I2C bus for you; is the module i2c-dev loaded there?",
    )


def _abilities(row: Any) -> str:
    if "functionality" not in row:
        return "unknown: the agent may not open it"
    return "I2C" if "i2c" in row["functionality"] else "SMBus only"


def _client(client: Any) -> str:
    return f"0x{client['address']:02x}:{client.get('driver') or client['name']}"


@i2c.command()
@bus_argument
@click.argument("first", type=ADDRESS, required=False)
@click.argument("last", type=ADDRESS, required=False)
@click.option("-a", "--all", "everything", is_flag=True, help="From 0x00 to 0x7f, reserved addresses, too.")
@click.option("-q", "--quick", "method", flag_value="quick", help="Quick writes only.")
@click.option("-r", "--read", "method", flag_value="read", help="Receive bytes only.")
@click.option("-F", "--functionality", is_flag=True, help="Show what the bus's adapter can do instead.")
@yes_option
@with_board(limited=False)
async def detect(
    app: App, board: Board, bus: str, first: int | None, last: int | None, everything: bool,
    method: str | None, functionality: bool,
) -> None:  # fmt: skip
    """Look for devices on a BUS, from FIRST to LAST: i2cdetect. UU: a driver of the board's kernel has it.

    Looking means a quick write, or receiving a byte where writing is known to do harm. It may disturb devices.

    Example: myclerk i2c detect 1
    """
    opened = board.i2c.bus(bus, force=everything)
    if functionality:
        await _show_functionality(app, board, opened.resource)
        return
    if everything:
        first, last = 0x00 if first is None else first, 0x7F if last is None else last
    grid, probes = syntax.Grid(), []
    stream = await opened.watch_scan(first, last, method or "auto")
    app.output.say(syntax.GRID_HEAD)
    async for probe in stream:
        probes.append(probe)
        grid.add(probe)
        app.output.say(*grid.rows(probe["address"] + 1))
    app.output.document(probes, *grid.rows(0x80))


async def _show_functionality(app: App, board: Board, resource: str) -> None:
    found = next((bus for bus in await board.i2c.list() if bus["name"] == resource), None)
    if found is None or "functionality" not in found:
        raise click.ClickException(f"{board.name} does not say what {resource} can do")
    app.output.document(found["functionality"], *found["functionality"])


@i2c.command()
@_device
@click.argument("register", type=BYTE, required=False)
@click.argument("mode", required=False, metavar="[b|w|c|s|i][p]")
@click.argument("length", type=integer(1, 32), required=False)
@with_board()
async def get(
    app: App, board: Board, bus: str, address: int, force: bool, register: int | None, mode: str | None,
    length: int | None,
) -> None:  # fmt: skip
    """Read a device: i2cget. Without a REGISTER, the byte that it sends by itself.

    Modes: b byte (the default), w word, c write the register's number and then read a byte, s SMBus block, i I2C
    block of LENGTH bytes (32); p behind it for a checksum (PEC).

    Example: myclerk i2c get 1 0x48 0x00 w
    """
    letter, pec = syntax.parse_mode(mode or "b", "bwcsi")
    if length is not None and letter != "i":
        raise click.BadParameter("a length is for mode i")
    device = board.i2c.bus(bus, pec=pec, force=force)
    value = await _get(device, address, register, letter, length or 32)
    if isinstance(value, bytes):
        app.output.document({"data": value}, hex_line(value, "0x"))
    else:
        app.output.document({"value": value}, f"0x{value:0{4 if letter == 'w' else 2}x}")


async def _get(device: I2cBus, address: int, register: int | None, mode: str, length: int) -> int | bytes:
    if register is None:
        return await device.read_byte(address)
    if mode == "c":
        await device.write_byte(address, register)
        return await device.read_byte(address)
    if mode == "w":
        return await device.read_word_data(address, register)
    if mode == "s":
        return await device.read_block_data(address, register)
    if mode == "i":
        return await device.read_i2c_block_data(address, register, length)
    return await device.read_byte_data(address, register)


@i2c.command("set")
@_device
@click.argument("register", type=BYTE)
@click.argument("values", nargs=-1, metavar="[VALUE]... [b|w|c|s|i][p]")
@click.option("-m", "--mask", type=integer(0, 0xFFFF), help="Change only the bits that are set in this mask.")
@click.option("-r", "--read-back", is_flag=True, help="Read the value back and compare.")
@with_board()
async def set_register(
    app: App, board: Board, bus: str, address: int, force: bool, register: int, values: tuple[str, ...],
    mask: int | None, read_back: bool,
) -> None:  # fmt: skip
    """Write to a device: i2cset. Without a VALUE, only the REGISTER's number is written.

    Modes: b byte (the default), w word, s SMBus block, i I2C block, c no value; p behind it for a checksum (PEC).

    Example: myclerk i2c set 1 0x20 0x0a 0xff
    """
    numbers, mode, pec = syntax.parse_values(values)
    if (mask is not None or read_back) and mode not in "bw":
        raise click.BadParameter("a mask and reading back are for modes b and w")
    device = board.i2c.bus(bus, pec=pec, force=force)
    if mode in "bw":
        value = numbers[0]
        if mask is not None:
            value = value & mask | int(await _get(device, address, register, mode, 0)) & ~mask
        await _set_number(device, address, register, mode, value)
        if read_back and (found := int(await _get(device, address, register, mode, 0))) != value:
            raise click.ClickException(f"wrote 0x{value:02x}, read back 0x{found:02x}")
        written: Any = value
    else:
        written = bytes(numbers)
        if mode == "c":
            await device.write_byte(address, register)
        elif mode == "s":
            await device.write_block_data(address, register, written)
        else:
            await device.write_i2c_block_data(address, register, written)
    if app.as_json:
        app.output.document({"written": written})


async def _set_number(device: I2cBus, address: int, register: int, mode: str, value: int) -> None:
    if mode == "w":
        await device.write_word_data(address, register, value)
    else:
        await device.write_byte_data(address, register, value)


@i2c.command()
@bus_argument
@click.argument("messages", nargs=-1, required=True, metavar="DESC [DATA]... [DESC [DATA]...]...")
@force_option
@yes_option
@with_board()
async def transfer(app: App, board: Board, bus: str, messages: tuple[str, ...], force: bool) -> None:
    """Send messages in one transfer, with repeated starts: i2ctransfer.

    DESC is [flags]{r|w}LENGTH[@ADDRESS]; the address may be left out behind the first. LENGTH ? reads a block that
    says its length. DATA of a write may end with = (repeat), + (count up), - (count down) or p (pseudo-random). Flags:
    i ignore NACK, n no acknowledgement while reading, p stop behind it, s no repeated start, t toggled direction bit.

    Example: myclerk i2c transfer 1 w1@0x50 0x10 r6
    """
    received = await board.i2c.bus(bus, force=force).transfer(*syntax.parse_transfer(messages))
    app.output.document({"received": received}, *(hex_line(data, "0x") for data in received))


@i2c.command()
@_device
@click.argument("mode", required=False, metavar="[b|w|W|i|c][p]")
@click.option("-r", "--range", "limits", metavar="FIRST-LAST", default="0x00-0xff", show_default=True,
              help="Registers to read.")  # fmt: skip
@with_board(limited=False)
async def dump(
    app: App, board: Board, bus: str, address: int, force: bool, mode: str | None, limits: str
) -> None:
    """Show all registers of a device: i2cdump. XX: it did not answer.

    Modes: b bytes (the default), w words, W words at even registers, i I2C blocks, c consecutive bytes; p behind it for
    a checksum (PEC). Reading changes the state of some devices.

    Example: myclerk i2c dump 1 0x50
    """
    letter, pec = syntax.parse_mode(mode or "b", "bwWic")
    first, last = syntax.parse_range(limits)
    device = board.i2c.bus(bus, pec=pec, force=force)
    if letter == "W" and not (first % 2 == 0 and last % 2):
        raise click.BadParameter("mode W reads whole words: the range must begin even and end odd")
    values = await _dump(device, address, letter, range(first, last + 1))
    lines = syntax.draw_words(values) if letter == "w" else syntax.draw_bytes(values)
    app.output.document({"first": first, "last": last, "values": list(values.values())}, *lines)


async def _dump(device: I2cBus, address: int, mode: str, registers: range) -> dict[int, int | None]:
    """The registers' values by number, None where the device did not answer. All requests are under way at once."""
    if mode == "i":
        starts = registers[::CHUNK]
        sizes = [min(CHUNK, registers.stop - start) for start in starts]
        reads = map(device.read_i2c_block_data, [address] * len(starts), starts, sizes)
        return dict(zip(registers, b"".join(await asyncio.gather(*reads)), strict=True))
    if mode == "c":
        start = device.write_byte(address, registers.start)
        _, *found = await _answers(start, *(device.read_byte(address) for _ in registers))
        return dict(zip(registers, found, strict=True))
    if mode == "W":
        words = await _answers(*(device.read_word_data(address, even) for even in registers[::2]))
        halves = [None if word is None else word >> shift & 0xFF for word in words for shift in (0, 8)]
        return dict(zip(registers, halves, strict=True))
    read = device.read_word_data if mode == "w" else device.read_byte_data
    return dict(
        zip(registers, await _answers(*(read(address, register) for register in registers)), strict=True)
    )


async def _answers(*reads: Awaitable[int | None]) -> list[int | None]:
    """The results in order, None for what the device did not answer. Raises any other error."""
    values: list[int | None] = []
    for result in await asyncio.gather(*reads, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, HardwareError):
            raise result
        values.append(None if isinstance(result, BaseException) else result)
    return values
