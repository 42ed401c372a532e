"""What the commands that bring USB devices here have in common: their options, and a capture file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from myclerk_protocol.status import LocalError

from ..usb.bridge import Tricks
from ..usb.capture import Capture
from .names import complete_device

F = TypeVar("F", bound=Callable[..., Any])

STANDARD_OUTPUT = Path("-")


def device_argument(command: F) -> F:
    """The argument DEVICE: a place (1-1.4), an ID (0403:6001) or an ID with serial number."""
    return click.argument("device", shell_complete=complete_device)(command)


def _tricks(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> Tricks:
    try:
        return Tricks.parse(value)
    except LocalError as error:
        raise click.BadParameter(str(error)) from None


def trick_option(command: F) -> F:
    """The switches of what hides the network's latency; ``command`` gets them as ``tricks``."""
    option = click.option(
        "--trick", "tricks", multiple=True, metavar="NAME=off|auto|on", callback=_tricks,
        help="Switch what hides the network's latency: descriptors, storage, early-out, polling; or all of it: off.",
    )  # fmt: skip
    return option(command)


def capture_option(command: F) -> F:
    """The file that takes down all URBs."""
    option = click.option(
        "--capture", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), metavar="FILE",
        help="Write all URBs to FILE for Wireshark (pcapng); - is standard output.",
    )  # fmt: skip
    return option(command)


@contextmanager
def capturing(path: Path | None) -> Iterator[Capture | None]:
    """A capture into the file of that name, if there is one."""
    if path is None:
        yield None
    elif path == STANDARD_OUTPUT:
        capture = Capture(sys.stdout.buffer)
        yield capture
        capture.flush()
    else:
        with path.open("wb") as file:
            capture = Capture(file)
            yield capture
            capture.flush()
