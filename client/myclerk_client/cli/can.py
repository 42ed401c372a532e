"""`myclerk can`: interfaces, their configuration, and sending."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import click

from ..board import Board
from ..can_frames import Frame
from .app import App, with_board
from .can_dump import dump
from .can_play import play
from .names import complete_interface, remember_resources
from .options import Group

MODES = ("listen_only", "loopback", "one_shot", "triple_sampling", "berr_reporting", "fd")


@click.group(cls=Group)
def can() -> None:
    """CAN interfaces: configure, send, dump, play; in the syntax of can-utils.

    An INTERFACE is named as `can list` shows it, with or without "can:".

    Example: myclerk can up can0 --bitrate 500000; myclerk can dump can0
    """


can.add_command(dump)
can.add_command(play)


@can.command("list")
@with_board()
async def list_interfaces(app: App, board: Board) -> None:
    """List the CAN interfaces of a board.

    Example: myclerk can list
    """
    interfaces = await board.can.list()
    remember_resources(board.name, (interface["name"] for interface in interfaces), "can")
    app.output.table(
        interfaces,
        {
            "INTERFACE": lambda row: row["name"],
            "DESCRIPTION": lambda row: row["description"],
            "STATE": _state,
            "SETTINGS": _summary,
            "ERRORS": _errors,
            "IN USE": lambda row: "yes" if row.get("in_use") else None,
        },
        empty=f"{board.name} has no CAN interface for you",
    )


@can.command()
@click.argument("interface", shell_complete=complete_interface)
@with_board()
async def status(app: App, board: Board, interface: str) -> None:
    """Show state, settings, error counters and statistics of an interface.

    Example: myclerk can status can0
    """
    opened = await board.can.open(interface, filters=[])
    _show(app, opened.resource, await opened.status())


@can.command()
@click.argument("interface", shell_complete=complete_interface)
@click.argument("frames", nargs=-1, required=True, metavar="FRAME...")
@click.option("--repeat", type=click.IntRange(1), default=1, help="Send all of them that many times.")
@with_board()
async def send(app: App, board: Board, interface: str, frames: tuple[str, ...], repeat: int) -> None:
    """Send frames: 123#DEADBEEF, 12345678#00 (extended), 123#R8 (remote), 123##1AABB (CAN FD, flags 1).

    Example: myclerk can send can0 123#DEADBEEF
    """
    parsed = [_frame(text) for text in frames] * repeat
    opened = await board.can.open(interface, filters=[])
    sent = await opened.send_many(parsed)
    if app.as_json:
        app.output.document({"sent": sent})


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options for an interface's settings; ``command`` gets those that were given as its mapping ``settings``."""

    @functools.wraps(command)
    def gather(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in (*_NUMBERS, *MODES)}
        settings = {name: value for name, value in given.items() if value is not None}
        return command(*args, settings=settings, **kwargs)

    decorated: Callable[..., Any] = gather
    for mode in reversed(MODES):
        flag = mode.replace("_", "-")
        decorated = click.option(f"--{flag}/--no-{flag}", default=None, help=_MODE_HELP[mode])(decorated)
    for name, (kind, text) in reversed(tuple(_NUMBERS.items())):
        decorated = click.option(f"--{name.replace('_', '-')}", type=kind, help=text)(decorated)
    return decorated


_POINT = click.FloatRange(0.001, 0.999)
_NUMBERS: Mapping[str, tuple[Any, str]] = {
    "bitrate": (click.IntRange(1), "Bits per second."),
    "sample_point": (_POINT, "Where in a bit it is read, 0.875."),
    "data_bitrate": (click.IntRange(1), "Bits per second of the data phase, CAN FD."),
    "data_sample_point": (_POINT, "The same for the data phase."),
    "restart_ms": (click.IntRange(0), "Restart so many milliseconds after bus-off; 0: not by itself."),
}
_MODE_HELP = {
    "listen_only": "Send and acknowledge nothing.",
    "loopback": "Let the controller hear itself.",
    "one_shot": "Do not repeat frames that fail.",
    "triple_sampling": "Read each bit three times.",
    "berr_reporting": "An error frame for each bus error.",
    "fd": "CAN FD.",
}


@can.command()
@click.argument("interface", shell_complete=complete_interface)
@settings_options
@with_board()
async def up(app: App, board: Board, interface: str, settings: dict[str, Any]) -> None:
    """Bring an interface up, with settings if it has none yet or shall have others.

    Example: myclerk can up can0 --bitrate 500000
    """
    await _configure(app, board, interface, {**settings, "up": True})


@can.command()
@click.argument("interface", shell_complete=complete_interface)
@with_board()
async def down(app: App, board: Board, interface: str) -> None:
    """Take an interface down.

    Example: myclerk can down can0
    """
    await _configure(app, board, interface, {"up": False})


@can.command()
@click.argument("interface", shell_complete=complete_interface)
@settings_options
@click.option("--restart", is_flag=True, help="Leave bus-off now.")
@with_board()
async def configure(app: App, board: Board, interface: str, settings: dict[str, Any], restart: bool) -> None:
    """Change settings of an interface, which goes down and up again for it if it is up.

    Example: myclerk can configure can0 --bitrate 250000 --restart-ms 100
    """
    if not settings and not restart:
        raise click.UsageError("say what to change, or --restart")
    await _configure(app, board, interface, {**settings, **({"restart": True} if restart else {})})


async def _configure(app: App, board: Board, interface: str, settings: dict[str, Any]) -> None:
    opened = await board.can.open(interface, filters=[])
    _show(app, opened.resource, await opened.configure(**settings))


def _frame(text: str) -> Frame:
    try:
        return Frame.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _show(app: App, name: str, found: Mapping[str, Any]) -> None:
    lines = [f"{name}: {_state(found)}, {_summary(found)}"]
    if (errors := _errors(found)) is not None:
        lines.append(f"errors counted by the controller: {errors}")
    lines += [f"{key.replace('_', '-')} {value}" for key, value in found["statistics"].items()]
    app.output.document(found, *lines)


def _state(row: Mapping[str, Any]) -> str:
    if not row.get("up"):
        return "down"
    return str(row.get("state") or "up")


def _summary(row: Mapping[str, Any]) -> str:
    parts = []
    if bitrate := row.get("bitrate"):
        parts.append(f"{bitrate} bit/s")
        if point := row.get("sample_point"):
            parts.append(f"at {point:.1%}")
    if row.get("data_bitrate"):
        parts.append(f"data {row['data_bitrate']} bit/s")
    parts += [mode.replace("_", "-") for mode in MODES if row.get(mode)]
    if row.get("restart_ms"):
        parts.append(f"restart after {row['restart_ms']} ms")
    return " ".join(parts) or "no bit rate" if "state" in row else " ".join(parts)


def _errors(row: Mapping[str, Any]) -> str | None:
    if row.get("tx_errors") is None:
        return None
    return f"tx {row['tx_errors']} rx {row['rx_errors']}"
