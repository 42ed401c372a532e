"""What the gpio commands share: lines, durations and settings on the command line, as in the tools of libgpiod."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .names import complete_line

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|)")
_VALUES = {
    **dict.fromkeys(("active", "on", "true", "yes", "1"), True),
    **dict.fromkeys(("inactive", "off", "false", "no", "0"), False),
}


def duration(text: str) -> float:
    """Seconds from "100ms", "1.5s", "20us"; a bare number means milliseconds. Raises BadParameter."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration; write 100ms, 1.5s or 20us")
    return float(found[1]) * _UNITS[found[2]]


def durations(text: str) -> list[float]:
    """Several of them, with commas between. Raises BadParameter."""
    return [duration(part) for part in text.split(",")]


def assignment(text: str) -> tuple[str, bool]:
    """A line and its value, from LINE=VALUE. Raises BadParameter."""
    line, _, word = text.rpartition("=")
    if not line or word.lower() not in _VALUES:
        raise click.BadParameter(f"{text!r} is no LINE=VALUE; values are 1, 0, on, off, active, inactive")
    return line, _VALUES[word.lower()]


def part(text: str) -> float:
    """A part of the whole: 0.25 from "25%" or "0.25". Raises BadParameter."""
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise click.BadParameter(f"{text!r} is no part of the period; write 25% or 0.25")
    return found


_SETTINGS = (
    click.option("-l", "--active-low", is_flag=True, default=None, help="Low is active."),
    click.option(
        "-b", "--bias", type=click.Choice(["as-is", "disabled", "pull-up", "pull-down"]), help="[default: as-is]"
    ),
    click.option("-C", "--consumer", metavar="NAME", help="What the board shows as user. [default: myclerk]"),
)  # fmt: skip
NAMES = ("active_low", "bias", "consumer")

chip_option = click.option(
    "-c", "--chip", metavar="CHIP", help="The chip of the lines, which may then be offsets, too."
)


def lines_argument(required: bool = True) -> Callable[[F], F]:
    """The arguments LINE...: names (LED), chip and offset (gpiochip0/17), with --chip offsets (17)."""
    return click.argument(
        "lines", metavar="LINE...", nargs=-1, required=required, shell_complete=complete_line
    )


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options for lines; ``command`` gets those that were given as its mapping ``settings``."""

    @functools.wraps(command)
    def gather(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in NAMES}
        settings = {name: value for name, value in given.items() if value is not None}
        return command(*args, settings=settings, **kwargs)

    decorated: Callable[..., Any] = gather
    for option in reversed(_SETTINGS):
        decorated = option(decorated)
    return chip_option(decorated)
