"""The bench hand: the outside world of the virtual board, called from the host.

It sets the board up, holds the models of everything that is wired to it, and serves the public coroutines of the
modules in ``bench/`` by their names. One asyncio process; imports are kept small, as they are slow on the board.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import time

from bench.buses import Can, I2c, OneWire, Serial
from bench.cellular import Cellular
from bench.channel import Channel, Method, open_port
from bench.gadgets import GADGETS, GadgetKeyboard
from bench.gpio import Gpio
from bench.keyboard import Keyboard
from bench.programs import Files, Programs
from bench.spi import Spi
from bench.usb import Usb
from devices.isochronous import Isochronous
from set_up import set_up


class Hand:
    """Everything on the bench."""

    def __init__(self) -> None:
        self.gpio, self.spi, self.i2c = Gpio(), Spi(), I2c()
        self.one_wire, self.can, self.serial = OneWire(), Can(), Serial()
        self.cellular = Cellular(self.serial.adapter)
        self.keyboard = Keyboard()
        self.models = {
            "modem": self.serial.adapter,
            "i2c": self.i2c.adapter,
            "onewire": self.one_wire.adapter,
            "can": self.can.adapter,
            "isochronous": Isochronous(),
        }
        self.gadgets = {gadget.name: gadget for gadget in GADGETS}
        self.usb = Usb(self.models, self.gadgets)

    def methods(self) -> dict[str, Method]:
        """What the host can call."""
        skills = (
            Programs(), Files(), self.gpio, self.spi, self.i2c, self.one_wire, self.can, self.serial,
            self.cellular, self.keyboard, GadgetKeyboard(), self.usb,
        )  # fmt: skip
        found: dict[str, Method] = {"ping": self.ping}
        for skill in skills:
            for name, method in inspect.getmembers(skill, inspect.iscoroutinefunction):
                if not name.startswith("_"):
                    found[name] = method
        return found

    async def ping(self) -> str:
        """The answer is "ready"."""
        return "ready"


def tell_systemd() -> None:
    """Ready, if systemd asked for it."""
    if path := os.environ.pop("NOTIFY_SOCKET", None):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", path)


async def main() -> None:
    """Set up, then serve for ever."""
    started = time.monotonic()
    hand = Hand()
    await set_up(hand)
    Channel(open_port(), hand.methods()).start()
    print(f"board: ready after {time.monotonic() - started:.1f} s", flush=True)
    tell_systemd()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
