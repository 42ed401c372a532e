"""The kernel's virtual USB host controller, vhci_hcd: a stream socket is plugged into one of its ports.

The kernel speaks USB/IP over that socket. The files are those of drivers/usb/usbip/vhci_sysfs.c.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from myclerk_protocol.status import Conflict, LocalError, NotFound

SYSFS = Path("/sys")
MODULE = "vhci-hcd"
FREE = 4
"""State of a port with nothing in it (VDEV_ST_NULL of usbip_common.h)."""
SUPER_SPEED_MBITS = 5000
SUPER_SPEED = 5
"""From this speed (enum usb_device_speed) on a device belongs into a port of the USB 3 hub."""

ALTERNATIVE = "`myclerk usb serve` needs no such thing"
NEEDS_ROOT = (
    "plugging USB devices into this machine needs root: use sudo, or let a group do it as docs/usb.md describes; "
    + ALTERNATIVE
)
_CLASSES = frozenset({"block", "tty", "net", "sound", "video4linux", "hidraw", "usbmisc", "i2c-dev"})
_EVENTS = re.compile(r"event\d+")
"""Directories below which, or by whose name, the kernel's device nodes are found."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the virtual controller. ``local`` is the device's name here ("3-1"), None before it has one.

    ``place`` is the name that a device in this port has, None if the kernel does not say.
    """

    number: int
    hub: str
    state: int
    speed: int
    local: str | None
    place: str | None = None

    @property
    def free(self) -> bool:
        """Whether nothing is plugged in."""
        return self.state == FREE


class VirtualController:
    """All ports of vhci_hcd. ``sysfs`` is where the kernel shows itself."""

    def __init__(self, sysfs: Path = SYSFS) -> None:
        self._sysfs = sysfs
        self._directory = sysfs / "devices/platform/vhci_hcd.0"
        self._used: dict[int, int] = {}
        """When a port was used, counted in uses."""

    @property
    def present(self) -> bool:
        """Whether the kernel has it now."""
        return (self._directory / "status").exists()

    def prepare(self) -> None:
        """Load the kernel's module if it is not there, and see whether this user may use it.

        Raises LocalError that says what to do.
        """
        if not self.present:
            self._load()
        if not os.access(self._directory / "attach", os.W_OK):
            raise LocalError(NEEDS_ROOT)

    def ports(self) -> list[Port]:
        """All ports, by number. Raises LocalError when the module is not loaded."""
        return sorted(self._ports(), key=lambda port: port.number)

    def attach(self, connection: socket.socket, speed: int, identifier: int) -> int:
        """Plug ``connection`` into a free port; its number. The kernel keeps the socket.

        ``identifier`` is the device's bus and number at the board (bus << 16 | number). Raises Conflict when all ports
        are in use, LocalError without permission.

        A port where the kernel still has the last device is left alone, and the one used last is taken last: a kernel
        that has not noticed the change takes the new device for the old one.
        """
        hub = "ss" if speed >= SUPER_SPEED else "hs"
        free = [p.number for p in self.ports() if p.free and p.hub == hub and not self._haunted(p)]
        free.sort(key=lambda number: self._used.get(number, 0))
        for number in free:
            try:
                self._write("attach", f"{number} {connection.fileno()} {identifier} {speed}")
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EINVAL):
                    raise
            else:  # otherwise somebody else was quicker
                self._used[number] = max(self._used.values(), default=0) + 1
                return number
        raise Conflict(
            f"all {'USB 3' if hub == 'ss' else 'USB 2'} ports of the virtual controller are in use: "
            "`myclerk usb port` lists them, `myclerk usb detach` frees one",
            errno="EBUSY",
        )

    def detach(self, number: int) -> None:
        """Pull out what is in a port. Raises NotFound when there is nothing, LocalError without permission."""
        if not any(port.number == number and not port.free for port in self.ports()):
            raise NotFound(f"nothing is plugged into port {number:02}; `myclerk usb port` lists what is")
        self._write("detach", str(number))

    def nodes(self, port: Port) -> list[str]:
        """What the kernel made of the device in a port: "sda", "ttyACM0", "event5"."""
        if port.local is None:
            return []
        return sorted(set(self._nodes(self._sysfs / "bus/usb/devices" / port.local)))

    def _nodes(self, directory: Path) -> Iterator[str]:
        for path, directories, _ in os.walk(directory):
            if os.path.basename(path) in _CLASSES:
                yield from directories
            else:
                yield from (name for name in directories if _EVENTS.fullmatch(name))

    def _ports(self) -> Iterator[Port]:
        files = list(self._directory.glob("status*"))  # one for each controller
        if not files:
            raise LocalError(f"the kernel's module {MODULE} is not loaded, so nothing is plugged in")
        for path in files:
            buses = self._buses(path.suffix.removeprefix(".") or "0")
            count = Counter[str]()
            for line in path.read_text().splitlines()[1:]:
                hub, number, state, speed, _, _, local = line.split()
                count[hub] += 1
                place = f"{buses[hub]}-{count[hub]}" if hub in buses else None
                yield Port(int(number), hub, int(state), int(speed), None if local == "0-0" else local, place)

    def _buses(self, controller: str) -> dict[str, str]:
        """The bus numbers of a controller's two root hubs."""
        found = {}
        for path in (self._sysfs / f"devices/platform/vhci_hcd.{controller}").glob("usb[0-9]*"):
            speed = int((path / "speed").read_text())
            found["ss" if speed >= SUPER_SPEED_MBITS else "hs"] = path.name.removeprefix("usb")
        return found

    def _haunted(self, port: Port) -> bool:
        """Whether the kernel has not yet noticed that the last device of a port is gone."""
        return port.place is not None and (self._sysfs / "bus/usb/devices" / port.place).exists()

    def _write(self, name: str, text: str) -> None:
        try:
            (self._directory / name).write_text(text)
        except PermissionError:
            raise LocalError(NEEDS_ROOT) from None

    def _load(self) -> None:
        if sys.platform != "linux":
            raise LocalError(f"plugging USB devices into this machine needs Linux; {ALTERNATIVE}")
        search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        modprobe = shutil.which("modprobe", path=search)
        said = "there is no modprobe"
        if modprobe is not None:
            done = subprocess.run([modprobe, MODULE], capture_output=True, text=True)  # noqa: S603 (ours)
            if done.returncode == 0 and self.present:
                return
            said = done.stderr.strip() or f"modprobe ended with {done.returncode}"
        if os.geteuid() != 0:
            raise LocalError(f"the kernel's module {MODULE} is not loaded; {NEEDS_ROOT}")
        raise LocalError(f"the kernel's module {MODULE} cannot be loaded: {said}; {ALTERNATIVE}")
