"""`myclerk spi`: bytes to and from a remote board's SPI devices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import IO, Any

import click

from ..board import Board
from ..spi import SpiSegment
from .app import App, with_board
from .names import complete_resource, remember_resources
from .numbers import dump, hex_bytes, hex_line, integer
from .options import Group
from .output import data_record

LINES = click.Choice(["1", "2", "4", "8"])
_SETTINGS = (
    click.option("--mode", type=click.IntRange(0, 3), help="Clock polarity (2) and phase (1)."),
    click.option("--speed-hz", type=integer(1, 0xFFFFFFFF), help="Clock rate, at most."),
    click.option("--bits-per-word", type=click.IntRange(1, 32)),
    click.option("--lsb-first", is_flag=True, default=None, help="Least significant bit first."),
    click.option("--cs-high", is_flag=True, default=None, help="Chip select is active high."),
    click.option("--no-cs", is_flag=True, default=None, help="Leave chip select alone."),
    click.option("--three-wire", is_flag=True, default=None, help="One data line for both directions."),
    click.option("--loop", is_flag=True, default=None, help="Loopback in the controller."),
    click.option("--ready", is_flag=True, default=None, help="The device may pause the transfer."),
    click.option("--tx-lines", type=LINES, help="Data lines to send on."),
    click.option("--rx-lines", type=LINES, help="Data lines to receive on."),
    click.option("--delay-us", type=click.IntRange(0, 65535), help="Microseconds behind each segment."),
    click.option("--word-delay-us", type=click.IntRange(0, 255), help="Microseconds between words."),
)
NAMES = (
    "mode", "speed_hz", "bits_per_word", "lsb_first", "cs_high", "no_cs", "three_wire", "loop", "ready", "tx_lines",
    "rx_lines", "delay_us", "word_delay_us",
)  # fmt: skip

device_argument = click.argument("device", shell_complete=complete_resource)
data_argument = click.argument("data", nargs=-1, metavar="[HEX]...")
file_option = click.option(
    "--file", type=click.File("rb"), help="Send the bytes of a file; - is standard input."
)
output_option = click.option("--output", type=click.File("wb"), help="Put the bytes received into a file.")
dump_option = click.option("--dump", "as_dump", is_flag=True, help="Show them as xxd does.")


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options for a device's settings; ``command`` gets those that were given as its mapping ``settings``."""

    @functools.wraps(command)
    def gather(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in NAMES}
        settings = {name: value for name, value in given.items() if value is not None}
        for name in ("tx_lines", "rx_lines"):
            if name in settings:
                settings[name] = int(settings[name])
        return command(*args, settings=settings, **kwargs)

    decorated: Callable[..., Any] = gather
    for option in reversed(_SETTINGS):
        decorated = option(decorated)
    return decorated


@click.group(cls=Group)
def spi() -> None:
    """SPI devices: send and receive bytes.

    A DEVICE is named as `spi list` shows it, with or without "spi:". Bytes are hexadecimal: 9f 00, 0x9f, 9f000000.
    Settings that are not given are as the board's kernel has them.

    Example: myclerk spi transfer 0.1 9f --read 3
    """


@spi.command("list")
@with_board()
async def list_devices(app: App, board: Board) -> None:
    """List the SPI devices of a board.

    Example: myclerk spi list
    """
    devices = await board.spi.list()
    remember_resources(board.name, (device["name"] for device in devices), "spi")
    app.output.table(
        devices,
        {
            "DEVICE": lambda row: row["name"],
            "PATH": lambda row: row["path"],
            "DESCRIPTION": lambda row: row["description"],
            "MAXIMUM SPEED": lambda row: _hertz(row.get("maximum_speed_hz")),
            "IN USE": lambda row: "yes" if row.get("in_use") else None,
        },
        empty=f"{board.name} has no SPI device for you; is SPI enabled there?",
    )


def _hertz(value: int | None) -> str | None:
    return None if value is None else f"{value / 1e6:g} MHz"


@spi.command()
@device_argument
@data_argument
@file_option
@click.option(
    "--read", "size", type=integer(1, 1 << 20), help="Then receive SIZE bytes; only these are shown."
)
@output_option
@dump_option
@settings_options
@with_board()
async def transfer(
    app: App, board: Board, device: str, data: tuple[str, ...], file: IO[bytes] | None, size: int | None,
    output: IO[bytes] | None, as_dump: bool, settings: dict[str, Any],
) -> None:  # fmt: skip
    """Send bytes to a device and show what comes meanwhile, or behind them with --read.

    Example: myclerk spi transfer 0.1 9f --read 3
    """
    sent = _payload(data, file)
    async with await board.spi.open(device, **settings) as opened:
        if size is None:
            received = await opened.transfer(sent)
        else:
            (received,) = await opened.message(SpiSegment(sent, receive=False), SpiSegment(size=size))
    _show(app, received, output, as_dump)


@spi.command()
@device_argument
@data_argument
@file_option
@settings_options
@with_board()
async def write(
    app: App,
    board: Board,
    device: str,
    data: tuple[str, ...],
    file: IO[bytes] | None,
    settings: dict[str, Any],
) -> None:
    """Send bytes to a device.

    Example: myclerk spi write 0.0 --file image.bin --speed-hz 8000000
    """
    sent = _payload(data, file)
    async with await board.spi.open(device, **settings) as opened:
        await opened.write(sent)
    if app.as_json:
        app.output.document({"written": len(sent)})


@spi.command()
@device_argument
@click.argument("size", type=integer(1, 1 << 20))
@output_option
@dump_option
@settings_options
@with_board()
async def read(
    app: App, board: Board, device: str, size: int, output: IO[bytes] | None, as_dump: bool,
    settings: dict[str, Any],
) -> None:  # fmt: skip
    """Receive SIZE bytes from a device, while zeros are sent.

    Example: myclerk spi read 0.0 16 --dump
    """
    async with await board.spi.open(device, **settings) as opened:
        received = await opened.read(size)
    _show(app, received, output, as_dump)


def _payload(words: tuple[str, ...], file: IO[bytes] | None) -> bytes:
    if (file is None) is not bool(words):
        raise click.UsageError("say what to send: bytes in hexadecimal, or --file")
    data = hex_bytes(words) if file is None else file.read()
    if not data:
        raise click.UsageError("there is nothing to send")
    return data


def _show(app: App, data: bytes, output: IO[bytes] | None, as_dump: bool) -> None:
    if output is not None:
        output.write(data)
        if app.as_json:
            app.output.document({"received": len(data)})
        return
    app.output.document(data_record(data), *(dump(data) if as_dump else [hex_line(data)]))
