"""A USB device by the kernel's blocking calls (Documentation/driver-api/usb/usb.rst): nothing else is as short."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from pathlib import Path

CONTROL, BULK, CLAIM = 0xC0185500, 0xC0185502, 0x8004550F
"""USBDEVFS_CONTROL, USBDEVFS_BULK, USBDEVFS_CLAIMINTERFACE of linux/usbdevice_fs.h, 64 bits."""
_CONTROL, _BULK = struct.Struct("=BBHHHI4xQ"), struct.Struct("=III4xQ")
TIMEOUT_MS = 5000


class BlockingDevice:
    """The device in ``directory`` of sysfs, with its first interface claimed."""

    def __init__(self, directory: Path) -> None:
        bus, number = (int((directory / name).read_text()) for name in ("busnum", "devnum"))
        self._descriptor = os.open(f"/dev/bus/usb/{bus:03}/{number:03}", os.O_RDWR)
        self._memory = ctypes.create_string_buffer(4096)
        self._address = ctypes.addressof(self._memory)
        fcntl.ioctl(self._descriptor, CLAIM, struct.pack("=I", 0))
        endpoints = [path.name.removeprefix("ep_") for path in directory.glob("*:1.0/ep_*")]
        self.outgoing, self.incoming = sorted(int(address, 16) for address in endpoints)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def status(self) -> None:
        """GET_STATUS: the shortest control transfer that every device answers."""
        setup = _CONTROL.pack(0x80, 0, 0, 0, 2, TIMEOUT_MS, self._address)
        if fcntl.ioctl(self._descriptor, CONTROL, bytearray(setup)) != 2:
            raise RuntimeError("the device did not answer properly")

    def there_and_back(self) -> None:
        """64 bytes, which the device sends back."""
        for endpoint in (self.outgoing, self.incoming):
            transfer = bytearray(_BULK.pack(endpoint, 64, TIMEOUT_MS, self._address))
            if fcntl.ioctl(self._descriptor, BULK, transfer) != 64:
                raise RuntimeError("the loopback device came short")
