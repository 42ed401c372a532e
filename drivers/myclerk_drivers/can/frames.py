"""CAN frames as the kernel has them (struct can_frame, struct canfd_frame) and as they travel (``can.cddl``)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from myclerk_protocol.status import BadRequest

from .backend import (
    BIT_RATE_SWITCH,
    ERROR,
    ERROR_STATE_INDICATOR,
    EXTENDED,
    EXTENDED_MASK,
    FD_FRAME,
    LOCAL,
    OWN,
    REMOTE,
    STANDARD_MASK,
    Frame,
)

CLASSIC_SIZE, FD_SIZE = 16, 72
FD_LENGTHS = frozenset({*range(9), 12, 16, 20, 24, 32, 48, 64})
_PACK_CLASSIC = struct.Struct("=IB3x8s")
_PACK_FD = struct.Struct("=IBBxx64s")
_UNPACK_HEAD = struct.Struct("=IBB")
_MSG_DONTROUTE, _MSG_CONFIRM = 0x4, 0x800
_FROM_WIRE = BIT_RATE_SWITCH | ERROR_STATE_INDICATOR | FD_FRAME


def pack(can_id: int, flags: int, data: bytes) -> bytes:
    """A frame for the kernel's raw socket."""
    if flags & FD_FRAME:
        return _PACK_FD.pack(can_id, len(data), flags & _FROM_WIRE, data)
    return _PACK_CLASSIC.pack(can_id, len(data), data)


def unpack(packed: bytes, timestamp_ns: int, message_flags: int = 0) -> Frame:
    """A received frame from the kernel's raw socket; ``message_flags`` are those of recvmsg(2)."""
    can_id, length, flags = _UNPACK_HEAD.unpack_from(packed)
    flags = (flags & 0x03) | FD_FRAME if len(packed) == FD_SIZE else 0
    if message_flags:
        if message_flags & _MSG_DONTROUTE:
            flags |= LOCAL
        if message_flags & _MSG_CONFIRM:
            flags |= OWN
    data = bytes(length) if can_id & REMOTE else packed[8 : 8 + length]
    return (timestamp_ns, can_id, flags, data)


def check(frames: Sequence[Sequence[Any]]) -> None:
    """Raise BadRequest, its ``key`` naming the frame, for one that no bus could carry."""
    for index, (can_id, flags, data) in enumerate(frames):
        if problem := _problem(can_id, flags, len(data)):
            raise BadRequest(f"frame {index} cannot be sent: {problem}", key=f"frames[{index}]")


def _problem(can_id: int, flags: int, length: int) -> str | None:
    if can_id & ERROR:
        return "error frames are made by controllers only"
    if can_id & EXTENDED_MASK > STANDARD_MASK and not can_id & EXTENDED:
        return f"an identifier above {STANDARD_MASK:#x} needs the flag for extended ones ({EXTENDED:#x})"
    if not flags & FD_FRAME:
        if flags & _FROM_WIRE:
            return "bit rate switch and error state indicator are for CAN FD frames only"
        return None if length <= 8 else "a classic frame has at most 8 bytes; longer ones are CAN FD frames"
    if can_id & REMOTE:
        return "CAN FD has no remote frames"
    if length not in FD_LENGTHS:
        return "a CAN FD frame has 0 to 8, 12, 16, 20, 24, 32, 48 or 64 bytes"
    return None
