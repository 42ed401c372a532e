"""The buses of this machine: /dev/i2c-N by smbus2, and what sysfs says of them.

A descriptor is open for one request only. An adapter that is unplugged waits, in its kernel driver, until the last
descriptor is closed (i2c_del_adapter); and PEC, the address and its ten bits are a descriptor's state, which no
request shall inherit.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from smbus2 import i2c_msg
from smbus2.smbus2 import i2c_rdwr_ioctl_data, i2c_smbus_ioctl_data

from ..base import resource_part
from . import smbus
from .backend import Adapter, Client
from .functionality import Functionality
from .messages import MAX_BLOCK, Flag, Message

I2C_SLAVE, I2C_TENBIT, I2C_FUNCS, I2C_SLAVE_FORCE = 0x0703, 0x0704, 0x0705, 0x0706
I2C_RDWR, I2C_PEC, I2C_SMBUS = 0x0707, 0x0708, 0x0720
READ, WRITE = 1, 0

_UNSIGNED_LONG = struct.Struct("@L")
_CLIENT = re.compile(r"([0-9]+)-([0-9a-f]{4})")


class KernelBus:
    """An open /dev/i2c-N (:class:`.backend.Bus`)."""

    def __init__(self, path: str) -> None:
        # smbus2's own bus costs as much as several transfers to open: it makes flags of what the adapter can do
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            flags = fcntl.ioctl(self._fd, I2C_FUNCS, bytes(_UNSIGNED_LONG.size))
        except BaseException:
            self.close()
            raise
        self.functionality = _functionality(_UNSIGNED_LONG.unpack(flags)[0])

    def select(self, address: int, *, force: bool = False, ten_bit: bool = False) -> None:
        """Address the next SMBus command. Raises OSError, EBUSY when a kernel driver has the address."""
        fcntl.ioctl(self._fd, I2C_TENBIT, int(ten_bit))
        fcntl.ioctl(self._fd, I2C_SLAVE_FORCE if force else I2C_SLAVE, address)

    def transfer(self, messages: Sequence[Message]) -> list[bytes]:
        """All in one I2C_RDWR. Raises OSError."""
        kernels = [_message(message) for message in messages]
        fcntl.ioctl(self._fd, I2C_RDWR, i2c_rdwr_ioctl_data.create(*kernels))
        return [_received(m, k) for m, k in zip(messages, kernels, strict=True) if m.is_read]

    def smbus(self, command: smbus.Command) -> smbus.Reply:
        """One I2C_SMBUS. Raises OSError."""
        protocol = command.protocol
        fcntl.ioctl(self._fd, I2C_PEC, int(command.pec))
        # "send byte" has its byte where the others have their command code
        code = command.value if protocol.name == "write-byte" else command.command
        request: Any = i2c_smbus_ioctl_data.create(READ if protocol.reads else WRITE, code, protocol.kind)
        _put(request.data.contents, command)
        fcntl.ioctl(self._fd, I2C_SMBUS, request)
        return _reply(request.data.contents, protocol)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


@cache
def _functionality(flags: int) -> Functionality:
    return Functionality(flags)


def _message(message: Message) -> Any:
    """The ``struct i2c_msg`` for a message."""
    made: Any
    if message.data is not None:
        made = i2c_msg.write(message.address, message.data)
    elif Flag.READ_BLOCK in message.flags:
        made = i2c_msg.read(message.address, 1 + MAX_BLOCK + message.size)
        made.buf[0] = 1 + message.size  # bytes beside the block's own: its length, and what is behind it
    else:
        made = i2c_msg.read(message.address, message.size)
    made.flags |= message.flags
    return made


def _received(message: Message, kernels: Any) -> bytes:
    data = bytes(kernels)
    return data[: 1 + data[0] + message.size] if Flag.READ_BLOCK in message.flags else data


def _put(union: Any, command: smbus.Command) -> None:
    """The operands of a command, as ``union i2c_smbus_data`` has them."""
    kind = command.protocol.kind
    if kind in smbus.BLOCKS:
        union.block[0] = len(command.data) or command.size
        for i, byte in enumerate(command.data, 1):
            union.block[i] = byte
    elif kind in (smbus.WORD_DATA, smbus.PROC_CALL):
        union.word = command.value
    else:
        union.byte = command.value


def _reply(union: Any, protocol: smbus.Protocol) -> smbus.Reply:
    if not protocol.answers:
        return smbus.Reply()
    if protocol.kind in smbus.BLOCKS:
        return smbus.Reply(data=bytes(union.block[1 : 1 + union.block[0]]))
    return smbus.Reply(
        value=union.word if protocol.kind in (smbus.WORD_DATA, smbus.PROC_CALL) else union.byte
    )


class KernelI2c:
    """All buses that i2c-dev has (:class:`.backend.Backend`). ``root`` is where /sys and /dev are."""

    def __init__(self, root: str = "/") -> None:
        self._root = Path(root)
        self._nodes = str(self._root / "dev")  # text, like the next: each request asks, and a Path costs more
        self._buses = str(self._root / "sys/class/i2c-dev")
        self._devices = self._root / "sys/bus/i2c/devices"
        self._known: dict[
            int, tuple[int, Adapter]
        ] = {}  # by inode, which a new adapter of this number changes

    def adapters(self) -> Sequence[Adapter]:
        """All buses, by number."""
        names = os.listdir(self._buses) if os.path.isdir(self._buses) else []
        numbers = sorted(int(number) for name in names if (number := name.removeprefix("i2c-")).isdecimal())
        return [found for number in numbers if (found := self.adapter(number)) is not None]

    def adapter(self, number: int) -> Adapter | None:
        """The bus of that number, or None."""
        directory = f"{self._buses}/i2c-{number}"
        try:
            inode = os.stat(directory).st_ino
        except OSError:
            self._known.pop(number, None)
            return None
        known = self._known.get(number)
        if known is None or known[0] != inode:
            name, path = _text(Path(directory, "name")) or f"i2c-{number}", f"{self._nodes}/i2c-{number}"
            known = self._known[number] = inode, Adapter(number, name, path, self._parent(number))
        return known[1]

    def _parent(self, number: int) -> str | None:
        """The bus whose multiplexer makes this one, or the USB device that is its adapter."""
        for directory in Path(os.path.realpath(self._devices / f"i2c-{number}")).parents:
            above = directory.name.removeprefix("i2c-")
            if above != directory.name and above.isdecimal():
                return f"i2c:{above}"
            if (directory / "idVendor").is_file():
                return f"usb:{resource_part(directory.name)}"
        return None

    def clients(self, number: int) -> Sequence[Client]:
        """What is below /sys/bus/i2c/devices for this bus."""
        found = []
        for entry in sorted(os.listdir(self._devices)) if self._devices.is_dir() else ():
            match = _CLIENT.fullmatch(entry)
            if match is not None and int(match[1]) == number:
                driver = self._devices / entry / "driver"
                name = os.path.basename(os.path.realpath(driver)) if driver.exists() else None
                found.append(Client(int(match[2], 16), _text(self._devices / entry / "name"), name))
        return found

    def open(self, number: int) -> KernelBus:
        """Open /dev/i2c-``number``. Raises OSError."""
        return KernelBus(f"{self._nodes}/i2c-{number}")


def _text(path: Path) -> str:
    with suppress(OSError):
        return "".join(c for c in path.read_text("utf-8", "replace") if c.isprintable()).strip()
    return ""
