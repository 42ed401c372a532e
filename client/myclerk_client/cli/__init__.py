"""The command ``myclerk``: boards, devices and serial ports from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import shell_complete

from myclerk_protocol import __version__

from .access import access
from .app import App
from .boards import boards, forget, pair
from .call import call
from .can import can
from .clients import clients
from .completion import COMPLETE_VARIABLE, PROGRAM, completion
from .devices import devices, operations, ping
from .discover import discover
from .gnss import gnss
from .gpio import gpio
from .hid import hid
from .i2c import i2c
from .locks import lock, unlock
from .modem import modem
from .onewire import onewire
from .options import Group, configure_logging
from .outcomes import epilog, report
from .output import abandon
from .requests import requests
from .routes import routes
from .serial import serial
from .sms import sms
from .spi import spi
from .usb import usb


class Root(Group):
    """The command itself: it decides how every run ends."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> Any:
        """Run with ``args`` (by default the process's) and leave by SystemExit, its code from OUTCOMES."""
        sys.exit(_run(self, list(sys.argv[1:] if args is None else args)))


@click.group(cls=Root, epilog=epilog(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def main() -> None:
    """Use the hardware of a board as if it were here.

    Example: myclerk pair LINK; myclerk devices; myclerk serial console ttyUSB0
    """


for _command in (
    discover,
    pair,
    boards,
    forget,
    ping,
    devices,
    lock,
    unlock,
    operations,
    serial,
    gpio,
    i2c,
    spi,
    onewire,
    can,
    usb,
    hid,
    routes,
    access,
    clients,
    requests,
    modem,
    sms,
    call,
    gnss,
    completion,
):
    main.add_command(_command)


def _run(command: click.Command, arguments: list[str]) -> int:
    app = App()
    try:
        if instruction := os.environ.get(COMPLETE_VARIABLE):
            return shell_complete(command, {"obj": app}, PROGRAM, COMPLETE_VARIABLE, instruction)
        configure_logging(verbose=False)
        with command.make_context(PROGRAM, list(arguments), obj=app) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except BrokenPipeError:
        abandon()
        return 0
    except (Exception, KeyboardInterrupt) as error:
        return report(error, as_json=app.as_json or _asks_for_json(arguments))


def _asks_for_json(arguments: list[str]) -> bool:
    """Whether --json was meant where the command line could not be read to its end."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


__all__ = ["main"]
