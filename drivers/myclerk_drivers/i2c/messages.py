"""The messages of a transfer: checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from myclerk_protocol.status import BadRequest, Unsupported

from .functionality import Functionality, names

MAX_MESSAGES = 42
"""Of one transfer (I2C_RDWR_IOCTL_MAX_MSGS)."""

MAX_LENGTH = 8192
"""Bytes of one message (drivers/i2c/i2c-dev.c)."""

MAX_BLOCK = 32
"""Bytes of an SMBus block (I2C_SMBUS_BLOCK_MAX)."""


class Flag(IntFlag):
    """The flags of a message (I2C_M_*, include/uapi/linux/i2c.h)."""

    TEN_BIT = 0x0010
    READ_BLOCK = 0x0400
    NO_READ_ACK = 0x0800
    IGNORE_NAK = 0x1000
    REVERSE_DIRECTION = 0x2000
    NO_START = 0x4000
    STOP = 0x8000


NO_FLAGS = Flag(0)

NEEDS = {
    Flag.TEN_BIT: Functionality.TEN_BIT_ADDR,
    Flag.READ_BLOCK: Functionality.SMBUS_READ_BLOCK_DATA,
    Flag.NO_READ_ACK: Functionality.PROTOCOL_MANGLING,
    Flag.IGNORE_NAK: Functionality.PROTOCOL_MANGLING,
    Flag.REVERSE_DIRECTION: Functionality.PROTOCOL_MANGLING,
    Flag.NO_START: Functionality.NOSTART,
    Flag.STOP: Functionality.PROTOCOL_MANGLING,
}
"""What an adapter must have for each flag."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: ``data`` to write, or with None ``size`` bytes to read.

    A block read (:attr:`Flag.READ_BLOCK`) has its size from the device, and ``size`` further bytes behind it.
    """

    address: int
    data: bytes | None = None
    size: int = 0
    flags: Flag = NO_FLAGS

    @property
    def is_read(self) -> bool:
        """Whether bytes come from the device."""
        return self.data is None


def parse(fields: Sequence[Mapping[str, Any]], address: int | None) -> list[Message]:
    """The messages of a request. ``address`` is meant where a message names none.

    Raises BadRequest whose ``key`` names the message (``messages[1].read``).
    """
    return [_message(message, f"messages[{i}]", address) for i, message in enumerate(fields)]


def _message(fields: Mapping[str, Any], key: str, default: int | None) -> Message:
    data, size, block = fields.get("write"), fields.get("read"), fields.get("read_block", False)
    if (data is not None) + (size is not None) + block != 1:
        raise BadRequest(f"`{key}` must have exactly one of `write`, `read` and `read-block`", key=key)
    address = fields.get("address", default)
    if address is None:
        raise BadRequest(f"`{key}.address` is missing, and the resource names none", key=f"{key}.address")
    flags = NO_FLAGS
    for flag in Flag:
        if fields.get(str(flag.name).lower()):
            flags |= flag
    if address > 0x7F and Flag.TEN_BIT not in flags:
        raise BadRequest(f"0x{address:x} is no 7-bit address; is `ten-bit` meant?", key=f"{key}.address")
    return Message(address, data, size or 0, flags)


def check(messages: Iterable[Message], functionality: Functionality, bus: str) -> None:
    """Raise Unsupported if an adapter with this functionality cannot send ``messages`` on ``bus``."""
    if Functionality.I2C not in functionality:
        can = ", ".join(name for name in names(functionality) if name.startswith("smbus-"))
        raise Unsupported(
            f"the adapter of {bus} sends no plain I2C messages, only SMBus commands: {can or 'none'}"
        )
    for message in messages:
        for flag in message.flags:
            if NEEDS[flag] not in functionality:
                word = str(flag.name).lower().replace("_", "-")
                lacking = names(NEEDS[flag])[0]
                raise Unsupported(f"the adapter of {bus} has no {lacking}, which `{word}` needs")
