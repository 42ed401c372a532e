"""USB/IP before a device is attached: the list of devices, and the import of one; the server's end."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from myclerk_protocol.status import MalformedMessage

VERSION = 0x0111
REQ_DEVLIST, REP_DEVLIST, REQ_IMPORT, REP_IMPORT = 0x8005, 0x0005, 0x8003, 0x0003
OK, NOT_AVAILABLE, BUSY, FAILED, NO_DEVICE, ERROR = range(6)
"""Statuses of a reply (usbip's ST_OK, ST_NA, ST_DEV_BUSY, ST_DEV_ERR, ST_NODEV, ST_ERROR)."""

_COMMON = struct.Struct(">HHI")
_BUS_ID = struct.Struct("32s")
_DEVICE = struct.Struct(">256s32s3I3H6B")
_INTERFACE = struct.Struct(">3Bx")
_COUNT = struct.Struct(">I")

REQUEST = _COMMON.size
"""Bytes of a request; that to import a device is followed by :data:`BUS_ID` more."""
BUS_ID = _BUS_ID.size

SPEEDS = {1_500_000: 1, 12_000_000: 2, 480_000_000: 3, 5_000_000_000: 5}
"""The kernel's numbers (enum usb_device_speed): low, full, high, super. Faster ones are attached as SuperSpeed."""
SUPER_SPEED = 5


def speed_number(bits_per_second: int) -> int:
    """The kernel's number of a speed."""
    return SPEEDS.get(bits_per_second, SUPER_SPEED if bits_per_second > 480_000_000 else SPEEDS[12_000_000])


@dataclass(frozen=True, slots=True)
class Exported:
    """A device as USB/IP describes it. ``bus_id`` is how it is asked for: its place, "1-1.4".

    ``release``, ``kind`` and the numbers behind it are those of the device descriptor; ``interfaces`` has class,
    subclass and protocol of each.
    """

    bus_id: str
    bus: int
    device: int
    speed: int
    vendor_id: int
    product_id: int
    release: int
    kind: int
    subclass: int
    protocol: int
    configuration: int
    configurations: int
    interfaces: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Exported:
        """The device that the board lists as ``info``."""
        return cls(
            info["port"], info["bus"], info["device"], speed_number(info["speed"]),
            info["vendor_id"], info["product_id"], info["device_release"],
            info["class"], info["subclass"], info["protocol"],
            info.get("configuration", 0), info["configurations"],
            tuple((i["class"], i["subclass"], i["protocol"]) for i in info["interfaces"]),
        )  # fmt: skip

    @property
    def identifier(self) -> int:
        """What names it in the commands of the connection that imported it (devid)."""
        return self.bus << 16 | self.device & 0xFFFF

    def encode(self) -> bytes:
        """As both replies have it, without the interfaces."""
        path = f"/sys/bus/usb/devices/{self.bus_id}".encode()[:255]
        return _DEVICE.pack(
            path, self.bus_id.encode()[:31], self.bus, self.device, self.speed,
            self.vendor_id, self.product_id, self.release, self.kind, self.subclass, self.protocol,
            self.configuration, self.configurations, len(self.interfaces),
        )  # fmt: skip


def parse_request(data: bytes) -> int:
    """Which of the two requests ``data`` begins. Raises MalformedMessage."""
    version, code, _ = _COMMON.unpack(data)
    if version != VERSION:
        raise MalformedMessage(f"USB/IP version {version:#06x}; this is {VERSION:#06x}")
    if code not in (REQ_DEVLIST, REQ_IMPORT):
        raise MalformedMessage(f"USB/IP has no request {code:#06x}")
    return int(code)


def parse_bus_id(data: bytes) -> str:
    """The device that a request to import names. Raises MalformedMessage."""
    (field,) = _BUS_ID.unpack(data)
    name, end, _ = field.partition(b"\0")
    if not end or not name or not name.isascii():
        raise MalformedMessage("USB/IP: this is no bus ID")
    return str(name.decode())


def device_list(devices: Iterable[Exported]) -> bytes:
    """The reply to REQ_DEVLIST."""
    parts = [
        device.encode() + b"".join(_INTERFACE.pack(*interface) for interface in device.interfaces)
        for device in devices
    ]
    return b"".join([_COMMON.pack(VERSION, REP_DEVLIST, OK), _COUNT.pack(len(parts)), *parts])


def imported(device: Exported) -> bytes:
    """The reply to REQ_IMPORT that hands over ``device``; from here on the connection carries URBs."""
    return _COMMON.pack(VERSION, REP_IMPORT, OK) + device.encode()


def refused(status: int) -> bytes:
    """The reply to REQ_IMPORT that says why not."""
    return _COMMON.pack(VERSION, REP_IMPORT, status)
