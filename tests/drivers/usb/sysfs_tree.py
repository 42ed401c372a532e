"""A directory in the form of sysfs, with USB devices in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def descriptors(vendor: int, product: int, *, kind: int = 0, labels: Sequence[int] = (0, 4)) -> bytes:
    """A device with two configurations of one interface; the first one has a second setting."""
    device = struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x200, kind, 0, 0, 64, vendor, product, 0x102, 1, 2, 3, 2)
    settings = b"".join(
        struct.pack("<9B", 9, 4, 0, alternate, 1, 0xFF, 1, 2, label)
        + struct.pack("<BBBBHB", 7, 5, 0x81 + alternate, 2, 512, 0)
        for alternate, label in enumerate(labels)
    )
    first = struct.pack("<BBHBBBBB", 9, 2, 9 + len(settings), 1, 1, 0, 0x80, 50) + settings
    second = struct.pack("<BBHBBBBB", 9, 2, 18, 1, 2, 0, 0x80, 50) + struct.pack(
        "<9B", 9, 4, 0, 0, 0, 8, 6, 80, 0
    )
    return device + first + second


class SysfsTree:
    """``root`` has ``sys``, ``proc`` and ``dev`` as far as tests put something there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._devices = 1
        self.write("proc/self/mountinfo", "")

    def write(self, path: str, text: str | bytes) -> Path:
        """A file with its directories."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def link(self, path: str, target: str) -> None:
        """A symbolic link to something below the root, relative as those of sysfs are."""
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("../" * (len(link.relative_to(self.root).parts) - 1) + target)

    def device(self, name: str, vendor_id: int = 0x1234, product_id: int = 0x5678, **attributes: Any) -> str:
        """Plug a device in; its directory below the root."""
        self._devices += 1
        path = f"sys/devices/pci/usb{name[0]}/{name}"
        kind = attributes.pop("kind", 0)
        self.write(f"{path}/descriptors", descriptors(vendor_id, product_id, kind=kind))
        values = {"busnum": name[0], "devnum": str(self._devices), "speed": "480", **attributes}
        for attribute, value in values.items():
            self.write(f"{path}/{attribute}", f"{value}\n")
        self.link(f"sys/bus/usb/devices/{name}", path)
        return path

    def interface(
        self, device: str, configuration: int = 1, alternate: int = 0, driver: str | None = None
    ) -> None:
        """Its interface 0 in a setting, with a driver of the kernel."""
        name = Path(device).name
        path = f"{device}/{name}:{configuration}.0"
        self.write(f"{path}/bAlternateSetting", f" {alternate}\n")
        self.write(f"{path}/interface", "the label\n")
        if driver:
            (self.root / path / "driver").symlink_to(f"../../../../../bus/usb/drivers/{driver}")

    def unplug(self, name: str) -> None:
        """Pull a device out."""
        (self.root / "sys/bus/usb/devices" / name).unlink()
