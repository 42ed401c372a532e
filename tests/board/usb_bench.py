"""What the tests of USB share: devices by name, what drives them, and a gadget that can do more than the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from myclerk_client import Board

from .hand import Hand

LAB = "/sys/kernel/config/usb_gadget/lab"
LAB_PORT = "dummy_udc.3"
"""Where the bench's keyboard is plugged in."""
BUILD = f"""
set -e
mkdir {LAB} && cd {LAB}
echo 0x1d6b >idVendor; echo 0x0199 >idProduct; echo 0x0200 >bcdUSB
mkdir strings/0x409; echo Board >strings/0x409/manufacturer; echo lab >strings/0x409/product
echo SN-lab/1 >strings/0x409/serialnumber
mkdir functions/SourceSink.0 functions/acm.0 functions/Loopback.0
echo 1 >functions/SourceSink.0/pattern
mkdir configs/c.1 configs/c.2
ln -s functions/SourceSink.0 functions/acm.0 configs/c.1
ln -s functions/Loopback.0 configs/c.2
echo {LAB_PORT} >UDC
"""
REMOVE = f"""
cd {LAB}
echo "" >UDC
rm configs/c.1/SourceSink.0 configs/c.1/acm.0 configs/c.2/Loopback.0
rmdir configs/c.1 configs/c.2 functions/* strings/0x409
cd / && rmdir {LAB}
"""
LAB_DEVICE = "/sys/devices/platform/dummy_hcd.3/usb[0-9]*/*-1"


def place(hand: Hand, name: str) -> str:
    """The resource of a device of the bench."""
    (path,) = (device["path"] for device in hand.usb_list() if device["name"] == name)
    return f"usb:{path}"


@contextmanager
def lab(hand: Hand) -> Iterator[str]:
    """A gadget in the keyboard's place; its resource.

    Configuration 1 is composite: source and sink of a pattern (0x81, 0x02), and a serial port. Configuration 2 sends
    back what it gets.
    """
    hand.usb_unplug(name="keyboard")
    hand.check("sh", "-c", BUILD)
    try:
        hand.wait_for(glob=f"{LAB_DEVICE}/*:1.1/driver")
        yield "usb:" + hand.check("sh", "-c", f"basename {LAB_DEVICE}").strip()
    finally:
        hand.check("sh", "-c", REMOVE)
        hand.usb_plug(name="keyboard")


def drivers(hand: Hand, resource: str) -> dict[str, str]:
    """Interface ("1.0") -> the driver of the board's kernel that has it."""
    name = resource.removeprefix("usb:")
    listing = hand.check(
        "sh", "-c", f"for i in /sys/bus/usb/devices/{name}:*; do echo $i $(readlink $i/driver); done"
    )
    found = {}
    for line in listing.splitlines():
        interface, *driver = line.split()
        if driver:
            found[interface.rpartition(":")[2]] = driver[0].rpartition("/")[2]
    return found


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that the kernel does in its own time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


async def appeared(client: Board, product: str) -> str:
    """The resource of a device with this in its name, once it is there."""
    async with asyncio.timeout(30):
        while True:
            for device in await client.usb.list():
                if product in device.get("product", ""):
                    return str(device["name"])
            await asyncio.sleep(0.1)
