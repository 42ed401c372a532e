"""CAN frames and filters as Python objects, as text of can-utils, and as they travel (``can.cddl``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .can_errors import CanError

EXTENDED, REMOTE, ERROR = 0x80000000, 0x40000000, 0x20000000
STANDARD_MASK, EXTENDED_MASK = 0x7FF, 0x1FFFFFFF
BIT_RATE_SWITCH, ERROR_STATE_INDICATOR, FD_FRAME, LOCAL, OWN = 0x01, 0x02, 0x04, 0x40, 0x80
FD_LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)

_TEXT = re.compile(
    r"(?P<id>[0-9A-F]{3}|[0-9A-F]{8})#"
    r"(?:(?P<remote>R)(?P<length>[0-8]?)|#(?P<flags>[0-9A-F])(?P<fd>(?:\.?[0-9A-F]{2})*\.?)|"
    r"(?P<data>(?:\.?[0-9A-F]{2})*\.?))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A CAN frame, with the names of python-can's Message.

    ``data`` has at most 8 bytes, with ``is_fd`` 0-8, 12, 16, 20, 24, 32, 48 or 64; of a remote frame only its
    length counts. Received frames also have ``timestamp_ns`` (nanoseconds since 1970, by the board's kernel),
    ``is_rx`` (False: a program on the board sent it) and ``is_own`` (this bus object sent it).
    """

    arbitration_id: int
    data: bytes = b""
    is_extended_id: bool = False
    is_remote_frame: bool = False
    is_fd: bool = False
    bitrate_switch: bool = False
    error_state_indicator: bool = False
    is_error_frame: bool = False
    timestamp_ns: int = 0
    is_rx: bool = True
    is_own: bool = False

    @property
    def timestamp(self) -> float:
        """Seconds since 1970, rounded as a float must."""
        return self.timestamp_ns / 1e9

    @property
    def dlc(self) -> int:
        """Bytes of data, or of the data that a remote frame asks for."""
        return len(self.data)

    @property
    def error(self) -> CanError | None:
        """What an error frame says; None for other frames."""
        return CanError.decode(self.arbitration_id, self.data) if self.is_error_frame else None

    @classmethod
    def parse(cls, text: str) -> Frame:
        """A frame in the syntax of cansend: ``123#DEADBEEF``, ``12345678#`` (extended), ``123#R8`` (remote),
        ``123##1A0B0C`` (CAN FD with flags: 1 bit rate switch, 2 error state indicator; padded with zeros).

        Raises ValueError.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise ValueError(
                f"{text!r} is no CAN frame; write 123#DEADBEEF, 12345678#00, 123#R or 123##1AABB"
            )
        number, is_long = int(found["id"], 16), len(found["id"]) == 8
        is_error = is_long and bool(number & ERROR)
        if not is_error and number > (EXTENDED_MASK if is_long else STANDARD_MASK):
            raise ValueError(f"{text!r}: an identifier is at most 7FF, with 8 digits at most 1FFFFFFF")
        is_fd, flags = found["flags"] is not None, int(found["flags"] or "0", 16)
        if found["remote"]:
            data = bytes(int(found["length"] or 0))
        else:
            data = bytes.fromhex((found["fd"] or found["data"] or "").replace(".", ""))
        if len(data) > (64 if is_fd else 8):
            raise ValueError(f"{text!r} has {len(data)} bytes; there are at most 8, in CAN FD (##) 64")
        if is_fd:
            data = data.ljust(next(length for length in FD_LENGTHS if length >= len(data)), b"\0")
        return cls(
            number & EXTENDED_MASK,
            data,
            is_extended_id=is_long and not is_error,
            is_remote_frame=bool(found["remote"]),
            is_fd=is_fd,
            bitrate_switch=bool(flags & BIT_RATE_SWITCH),
            error_state_indicator=bool(flags & ERROR_STATE_INDICATOR),
            is_error_frame=is_error,
        )

    def __str__(self) -> str:
        identifier = f"{self.arbitration_id:03X}"
        if self.is_error_frame:
            identifier = f"{self.arbitration_id | ERROR:08X}"
        elif self.is_extended_id:
            identifier = f"{self.arbitration_id:08X}"
        if self.is_remote_frame:
            return f"{identifier}#R{self.dlc or ''}"
        data = self.data.hex().upper()
        if self.is_fd:
            flags = self.bitrate_switch * BIT_RATE_SWITCH | self.error_state_indicator * ERROR_STATE_INDICATOR
            return f"{identifier}##{flags:X}{data}"
        return f"{identifier}#{data}"


@dataclass(frozen=True, slots=True)
class CanFilter:
    """Lets frames in whose identifier is ``can_id`` where ``can_mask`` has ones; the others with ``inverted``.

    ``extended`` chooses frames with 29 bits (True), with 11 bits (False), or both (None). As in linux/can.h
    both numbers may have the flags 0x80000000 (extended) and 0x40000000 (remote), too.
    """

    can_id: int
    can_mask: int = EXTENDED_MASK
    extended: bool | None = None
    inverted: bool = False


def to_wire(frame: Frame) -> list[Any]:
    """A frame as the agent takes it. Raises ValueError for a number that does not fit an identifier."""
    number = frame.arbitration_id
    if not 0 <= number <= (EXTENDED_MASK if frame.is_extended_id else STANDARD_MASK):
        largest = "0x1FFFFFFF" if frame.is_extended_id else "0x7FF, with is_extended_id 0x1FFFFFFF"
        raise ValueError(f"an arbitration ID of {number:#x} cannot be; it is at most {largest}")
    if frame.is_extended_id:
        number |= EXTENDED
    if frame.is_remote_frame:
        number |= REMOTE
    if frame.is_error_frame:
        number |= ERROR
    flags = FD_FRAME if frame.is_fd else 0
    if frame.bitrate_switch:
        flags |= BIT_RATE_SWITCH
    if frame.error_state_indicator:
        flags |= ERROR_STATE_INDICATOR
    return [number, flags, bytes(frame.data)]


def from_wire(timestamp_ns: int, can_id: int, flags: int, data: bytes) -> Frame:
    """A frame as the agent pushes it. What a standard identifier has beyond 11 bits no bus carries; vcan does."""
    return Frame(
        can_id & (EXTENDED_MASK if can_id & (EXTENDED | ERROR) else STANDARD_MASK),
        data,
        bool(can_id & EXTENDED),
        bool(can_id & REMOTE),
        bool(flags & FD_FRAME),
        bool(flags & BIT_RATE_SWITCH),
        bool(flags & ERROR_STATE_INDICATOR),
        bool(can_id & ERROR),
        timestamp_ns,
        not flags & LOCAL,
        bool(flags & OWN),
    )


def filter_to_wire(wanted: CanFilter) -> dict[str, Any]:
    """A filter as the agent takes it."""
    return {
        "can_id": wanted.can_id | (EXTENDED if wanted.extended else 0),
        "can_mask": wanted.can_mask | (0 if wanted.extended is None else EXTENDED),
        "inverted": wanted.inverted,
    }
