"""What the serial commands share: the PORT argument, the options for its settings, opening it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .names import complete_port

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS = (
    click.option("--baud", type=click.IntRange(1), help="Bits per second; any rate. [default: 9600]"),
    click.option("--data-bits", type=click.IntRange(5, 8), help="[default: 8]"),
    click.option(
        "--parity", type=click.Choice(["none", "even", "odd", "mark", "space"]), help="[default: none]"
    ),
    click.option("--stop-bits", type=click.IntRange(1, 2), help="[default: 1]"),
    click.option("--rts-cts", is_flag=True, default=None, help="Hardware flow control."),
    click.option("--xon-xoff", is_flag=True, default=None, help="Software flow control."),
)
NAMES = ("baud", "data_bits", "parity", "stop_bits", "rts_cts", "xon_xoff")


def port_argument(command: F) -> F:
    """The argument PORT: a resource name (serial:ttyUSB0) or the short name (ttyUSB0)."""
    return click.argument("port", shell_complete=complete_port)(command)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options for a port's settings; ``command`` gets those that were given as its mapping ``settings``."""

    @functools.wraps(command)
    def gather(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in NAMES}
        settings = {name: value for name, value in given.items() if value is not None}
        return command(*args, settings=settings, **kwargs)

    decorated: Callable[..., Any] = gather
    for option in reversed(_SETTINGS):
        decorated = option(decorated)
    return decorated


def summary(settings: dict[str, Any]) -> str:
    """Settings in short: ``115200 8N1 rts-cts``."""
    frame = f"{settings['data_bits']}{settings['parity'][0].upper()}{settings['stop_bits']}"
    flow = [name.replace("_", "-") for name in ("rts_cts", "xon_xoff") if settings.get(name)]
    return " ".join([str(settings["baud"]), frame, *flow])
