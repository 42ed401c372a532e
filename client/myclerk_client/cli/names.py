"""Names that the shell can complete: boards as paired, resources as last listed. Nothing asks the network."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from myclerk_protocol.status import MyClerkError

from ..files import write_private
from ..known import KnownBoards
from .app import App

KINDS = ("usb", "serial", "gpio", "i2c", "spi", "can", "w1", "gsm", "hid")
_SAFE = re.compile(r"[A-Za-z0-9._:/%-]{1,255}")
"""What resource names consist of (docs/protocol.md); others are not offered to a shell."""


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "myclerk" / "resources.json"


def _cached() -> dict[str, list[str]]:
    with suppress(OSError, ValueError):
        found = json.loads(_cache().read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def remember_resources(board: str, names: Iterable[str], kind: str | None = None) -> None:
    """Keep the names that a board listed (all, or those of one ``kind``). Failing to is no error."""
    boards = _cached()
    kept = [name for name in boards.get(board, []) if kind and not name.startswith(f"{kind}:")]
    boards[board] = sorted({*kept, *(name for name in names if _SAFE.fullmatch(name))})
    with suppress(OSError):
        write_private(_cache(), json.dumps(boards).encode())


def complete_board(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Names of paired boards."""
    try:
        boards = KnownBoards().all()
    except MyClerkError:
        return []
    return [CompletionItem(b.name, help=f"{b.host}:{b.port}") for b in boards if b.name.startswith(start)]


def complete_resource(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Names of resources of the board that the command line names."""
    return [CompletionItem(name) for name in _resources(context) if name.startswith(start)]


def complete_port(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Short names of serial ports."""
    ports = [name.removeprefix("serial:") for name in _resources(context) if name.startswith("serial:")]
    return [CompletionItem(name) for name in ports if name.startswith(start)]


def complete_line(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Short names of GPIO lines, chips and PWM channels."""
    names = [name.removeprefix("gpio:") for name in _resources(context) if name.startswith("gpio:")]
    return [CompletionItem(name) for name in names if name.startswith(start)]


def complete_device(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Short names of USB devices."""
    names = [name.removeprefix("usb:") for name in _resources(context) if name.startswith("usb:")]
    return [CompletionItem(name) for name in names if name.startswith(start)]


def complete_interface(
    context: click.Context, parameter: click.Parameter, start: str
) -> list[CompletionItem]:
    """Short names of CAN interfaces."""
    names = [name.removeprefix("can:") for name in _resources(context) if name.startswith("can:")]
    return [CompletionItem(name) for name in names if name.startswith(start)]


def complete_input(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Short names of input devices."""
    names = [name.removeprefix("hid:") for name in _resources(context) if name.startswith("hid:")]
    return [CompletionItem(name) for name in names if name.startswith(start)]


def complete_kind(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Kinds of resources."""
    return [CompletionItem(kind) for kind in KINDS if kind.startswith(start)]


def _resources(context: click.Context) -> list[str]:
    app = context.find_object(App) or App()
    board: Any = app.board_name
    with suppress(MyClerkError):
        board = board if board and board.startswith("unix:") else KnownBoards().find(board).name
    return _cached().get(board, [])
