"""USB: devices of a board attached to a desktop, beside the kernel's own USB/IP, on the virtual board.

Everything is measured inside the board, over its loopback interface, by :mod:`bench.guest.usb`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from operator import le
from typing import TYPE_CHECKING

from . import virtual
from .guest.contest import ON_BOARD, SUBJECT
from .guest.usb import (
    BIG,
    BULK,
    CONTROL,
    CPU,
    CPU_EACH,
    FAR,
    FAST,
    LOOP,
    MIB,
    PLAIN,
    RATE,
    READ,
    SSH_USBIP,
    USBIP,
    WRITE,
)
from .measure import PER_SECOND, Series, ratio
from .report import Section
from .settings import Settings

if TYPE_CHECKING:
    from board.virtual_board import VirtualBoard

GADGET = f"""
set -e
mkdir /sys/kernel/config/usb_gadget/loop && cd /sys/kernel/config/usb_gadget/loop
echo 0x1d6b >idVendor; echo {LOOP:#06x} >idProduct; echo 0x0200 >bcdUSB
mkdir strings/0x409 functions/Loopback.0 configs/c.1
echo loopback >strings/0x409/product
ln -s functions/Loopback.0 configs/c.1
echo dummy_udc.3 >UDC
"""
"""Sends back what it gets (Documentation/ABI/testing/configfs-usb-gadget-loopback)."""


def measure(settings: Settings) -> Section:
    """Blocks of a disk, control requests and small transfers, near and far."""
    section = Section("usb")
    found = virtual.measured("bench.guest.usb", settings, _plug)
    section.missing += found["missing"]
    for where, cases in found["series"].items():
        for case, series in cases.items():
            section.add(case, where, series)
            metric = RATE if RATE in series[SUBJECT][0] else PER_SECOND
            for of in (SUBJECT, PLAIN):
                for to in (ON_BOARD, USBIP, SSH_USBIP):
                    if to in series:
                        section.compare(case, where, series, metric, of, to)
            section.compare(case, where, series, CPU if metric == RATE else CPU_EACH, SUBJECT, USBIP)
        _judge(section, where, cases)
    return section


def _plug(board: VirtualBoard) -> None:
    """The loopback device, in the keyboard's place, and a disk of nothing but zeros."""
    board.hand.usb_unplug(name="keyboard")
    board.hand.check("sh", "-c", GADGET)
    zeros = {"node-name": "zeros", "size": 64 * MIB, "read-zeroes": True}
    board.machine.qmp("blockdev-add", driver="null-co", **zeros)
    board.hand.qemu_plug("usb-storage", "disk", drive="zeros")


def _judge(section: Section, placement: str, cases: Mapping[str, Series]) -> None:
    for case in (f"{disk}, {way}" for disk in (BIG, FAST) for way in (READ, WRITE)):
        for where, factor in {"": 1, FAR: 2}.items():
            share = _share(cases.get(case + where, {}), USBIP, RATE)
            promise = f"{case}{where}: at least {factor} times {USBIP}"
            section.judge(promise, placement, share, partial(le, factor))
    for case in (CONTROL, BULK):
        for peer, least in {USBIP: 0.5, SSH_USBIP: 2}.items():
            share = _share(cases.get(case, {}), peer, PER_SECOND)
            promise = f"{case}: at least {least:g} times {peer}"
            section.judge(promise, placement, share, partial(le, least))


def _share(series: Series, peer: str, metric: str) -> float | None:
    """The median of our part of what the peer does; None if it was not measured."""
    return ratio(series, SUBJECT, peer, metric).median if series else None
