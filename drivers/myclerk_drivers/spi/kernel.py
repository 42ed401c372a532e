"""spidev by its ioctls (include/uapi/linux/spi/spidev.h), and what sysfs says of the devices.

A message is one SPI_IOC_MESSAGE of any length that the kernel takes. The library of the same name refuses more than
4096 bytes in one, and cuts longer ones where chip select is then released.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..base import resource_part
from .backend import Device
from .segments import Segment
from .settings import KernelSettings

RD_BITS_PER_WORD, WR_BITS_PER_WORD = 0x80016B03, 0x40016B03
RD_MAX_SPEED_HZ, WR_MAX_SPEED_HZ = 0x80046B04, 0x40046B04
RD_MODE32, WR_MODE32 = 0x80046B05, 0x40046B05
MESSAGE = 0x40006B00
"""SPI_IOC_MESSAGE(0); bits 16 to 29 are the size of the argument."""

TRANSFER = struct.Struct("=QQIIHBBBBBB")
"""``struct spi_ioc_transfer``."""

DEFAULT_BUFFER = 4096
_U8, _U32 = struct.Struct("=B"), struct.Struct("=I")
_NAME = re.compile(r"spidev([0-9]+)\.([0-9]+)")


class KernelDevice:
    """An open /dev/spidevB.C (:class:`.backend.OpenDevice`)."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def settings(self) -> KernelSettings:
        """What is in force. Raises OSError."""
        return KernelSettings(
            mode=self._get(RD_MODE32, _U32),
            bits_per_word=self._get(RD_BITS_PER_WORD, _U8) or 8,  # 0 means 8
            speed_hz=self._get(RD_MAX_SPEED_HZ, _U32),
        )

    def set_mode(self, mode: int) -> None:
        """Set the mode bits. Raises OSError."""
        fcntl.ioctl(self._fd, WR_MODE32, _U32.pack(mode))

    def set_bits_per_word(self, bits: int) -> None:
        """Set the length of a word. Raises OSError."""
        fcntl.ioctl(self._fd, WR_BITS_PER_WORD, _U8.pack(bits))

    def set_speed(self, hertz: int) -> None:
        """Set the clock rate of segments that name none. Raises OSError."""
        fcntl.ioctl(self._fd, WR_MAX_SPEED_HZ, _U32.pack(hertz))

    def _get(self, request: int, form: struct.Struct) -> int:
        return int(form.unpack(fcntl.ioctl(self._fd, request, bytes(form.size)))[0])

    def message(self, segments: Sequence[Segment]) -> list[bytes]:
        """All segments in one SPI_IOC_MESSAGE. Raises OSError."""
        received = [bytearray(segment.size) for segment in segments if segment.receive]
        places = iter(received)
        request = bytearray(TRANSFER.size * len(segments))
        for i, segment in enumerate(segments):
            TRANSFER.pack_into(
                request, i * TRANSFER.size,
                _address(segment.data), _room(next(places)) if segment.receive else 0, segment.size,
                segment.speed_hz, segment.delay_us, segment.bits_per_word, segment.cs_change,
                segment.tx_lines, segment.rx_lines, segment.word_delay_us, 0,
            )  # fmt: skip
        fcntl.ioctl(self._fd, MESSAGE | len(request) << 16, request)
        return [bytes(data) for data in received]

    def close(self) -> None:
        """Close the descriptor. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _address(data: bytes | None) -> int:
    """Where ``data`` is in memory; it stays there as long as somebody has it."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _room(data: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(data)) if data else 0


class KernelSpi:
    """All devices that spidev has (:class:`.backend.Backend`). ``root`` is where /sys and /dev are."""

    def __init__(self, root: str = "/") -> None:
        self._root = Path(root)
        self._class = self._root / "sys/class/spidev"

    @property
    def buffer_size(self) -> int:
        """The parameter ``bufsiz`` of spidev."""
        text = _text(self._root / "sys/module/spidev/parameters/bufsiz")
        return int(text) if text and text.isdecimal() else DEFAULT_BUFFER

    def devices(self) -> Sequence[Device]:
        """All devices, by bus and chip select."""
        names = os.listdir(self._class) if self._class.is_dir() else []
        matches = filter(None, map(_NAME.fullmatch, names))
        return [self._device(*place) for place in sorted((int(match[1]), int(match[2])) for match in matches)]

    def device(self, name: str) -> Device | None:
        """The device of this short name, or None."""
        match = _NAME.fullmatch(f"spidev{name}")
        if match is None or not (self._class / match[0]).is_dir():
            return None
        return self._device(int(match[1]), int(match[2]))

    def _device(self, bus: int, chip_select: int) -> Device:
        name = f"spidev{bus}.{chip_select}"
        device = self._class / name / "device"
        controller = self._root / f"sys/class/spi_master/spi{bus}/device/driver"
        return Device(
            bus,
            chip_select,
            str(self._root / "dev" / name),
            modalias=_text(device / "modalias"),
            controller=os.path.basename(os.path.realpath(controller)) if controller.exists() else None,
            maximum_speed_hz=_big_endian(device / "of_node/spi-max-frequency"),
            parent=_usb_parent(device),
        )

    def open(self, device: Device) -> KernelDevice:
        """Open a device. Raises OSError."""
        return KernelDevice(device.path)


def _usb_parent(device: Path) -> str | None:
    """The USB device whose adapter the bus is, if any."""
    for directory in Path(os.path.realpath(device)).parents:
        if (directory / "idVendor").is_file():
            return f"usb:{resource_part(directory.name)}"
    return None


def _text(path: Path) -> str | None:
    with suppress(OSError):
        return "".join(c for c in path.read_text("utf-8", "replace") if c.isprintable()).strip() or None
    return None


def _big_endian(path: Path) -> int | None:
    """A number as a device tree has it."""
    with suppress(OSError):
        return int.from_bytes(path.read_bytes()[:4], "big") or None
    return None
