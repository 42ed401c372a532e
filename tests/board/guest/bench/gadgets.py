"""USB gadgets on dummy_hcd: the kernel's own device functions (Documentation/usb/gadget_configfs.rst)."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from .programs import appear

CONFIGFS = Path("/sys/kernel/config/usb_gadget")
VENDOR = 0x1D6B
DISK = Path("/run/board/disk.img")
DISK_SIZE = 16 << 20
HID_DEVICE = "/dev/hidg0"
_CONNECTED = "usb[0-9]*/*-1"
"""Below dummy_hcd: its only port."""

BOOT_KEYBOARD = bytes.fromhex(
    "05010906a101050719e029e71500250175019508810295017508810395057501"
    "050819012905910295017503910395067508150025650507190029658100c0"
)
"""The report descriptor of a boot keyboard (HID 1.11, appendix B.1)."""


class Gadget:
    """A gadget with one function, plugged into one of dummy_hcd's ports."""

    def __init__(
        self, name: str, product: int, port: int, function: str, prepare: Callable[[Path], None] | None = None
    ) -> None:
        self.name = name
        self.serial = f"SN-{name}"
        self._product = product
        self._controller = f"dummy_udc.{port}"
        self._host = Path(f"/sys/devices/platform/dummy_hcd.{port}")
        self._function = function
        self._prepare = prepare
        self._directory = CONFIGFS / name

    @property
    def plugged(self) -> bool:
        """Whether it is plugged in."""
        return self._directory.exists() and bool((self._directory / "UDC").read_text().strip())

    @property
    def directory(self) -> Path | None:
        """Its directory in the kernel's tree, on the host side; None while it is not plugged in."""
        return next(self._host.glob(_CONNECTED), None)

    def set_up(self) -> None:
        """Describe it to the kernel."""
        function = self._directory / "functions" / f"{self._function}.0"
        strings = self._directory / "strings" / "0x409"
        config = self._directory / "configs" / "c.1"
        for directory in (self._directory, strings, config, function):
            directory.mkdir()
        values: Mapping[Path, str] = {
            self._directory / "idVendor": f"{VENDOR:#06x}",
            self._directory / "idProduct": f"{self._product:#06x}",
            self._directory / "bcdUSB": "0x0200",
            strings / "manufacturer": "Board",
            strings / "product": self.name,
            strings / "serialnumber": self.serial,
        }
        for path, value in values.items():
            path.write_text(value)
        if self._prepare is not None:
            self._prepare(function)
        (config / function.name).symlink_to(function)

    async def plug(self) -> None:
        """Plug it in and wait until the host side has seen it."""
        await asyncio.to_thread((self._directory / "UDC").write_text, self._controller)
        await appear(f"{self._host}/{_CONNECTED}")

    async def unplug(self) -> None:
        """Pull it out."""
        await asyncio.to_thread((self._directory / "UDC").write_text, "\n")
        await appear(f"{self._host}/{_CONNECTED}", present=False)


def _mass_storage(function: Path) -> None:
    if not DISK.exists():
        with DISK.open("wb") as image:
            image.truncate(DISK_SIZE)
        subprocess.run(["mkfs.vfat", "-n", "BOARD", str(DISK)], check=True, capture_output=True)
    (function / "stall").write_text("1")
    (function / "lun.0" / "removable").write_text("1")
    (function / "lun.0" / "file").write_text(str(DISK))


def _keyboard(function: Path) -> None:
    for name, value in {"protocol": 1, "subclass": 1, "report_length": 8}.items():
        (function / name).write_text(str(value))
    (function / "report_desc").write_bytes(BOOT_KEYBOARD)


GADGETS = (
    Gadget("disk", 0x0105, 0, "mass_storage", _mass_storage),
    Gadget("serial", 0x0104, 1, "acm"),
    Gadget("source-sink", 0x0106, 2, "SourceSink"),
    Gadget("keyboard", 0x0107, 3, "hid", _keyboard),
)


class GadgetKeyboard:
    """The keyboard gadget's own end."""

    async def hid_report(self, report: bytes) -> None:
        """Send a report of 8 bytes: modifiers, 0, up to six keys; all zeros lets go of them."""
        fd = os.open(HID_DEVICE, os.O_RDWR)
        try:
            await asyncio.to_thread(os.write, fd, report)
        finally:
            os.close(fd)
