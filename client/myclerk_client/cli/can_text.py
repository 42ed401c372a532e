"""CAN frames as can-utils prints them: candump's lines and log files, and the filters of its command line."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from ..can_frames import ERROR, EXTENDED, EXTENDED_MASK, STANDARD_MASK, CanFilter, Frame

_ID_MASK = re.compile(r"([0-9A-F]{1,8})([:~])([0-9A-F]{1,8})", re.IGNORECASE)
_ERROR_MASK = re.compile(r"#([0-9A-F]{1,8})", re.IGNORECASE)
_LOG_LINE = re.compile(r"\((\d+)\.(\d{1,9})\)\s+(\S+)\s+(\S+)(?:\s+[RT])?")
ALL_ERRORS = EXTENDED_MASK


@dataclass(slots=True)
class Source:
    """An interface to dump, with candump's filters: ``can0,123:7FF,400~700,#1FF,j``."""

    interface: str
    filters: list[CanFilter] | None = None
    joined: bool = False
    error_mask: int | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """Raises ValueError."""
        interface, *parts = text.split(",")
        source = cls(interface)
        for part in parts:
            if part in ("j", "J"):
                source.joined = True
            elif found := _ERROR_MASK.fullmatch(part):
                source.error_mask = int(found[1], 16) & ALL_ERRORS
            elif found := _ID_MASK.fullmatch(part):
                source.filters = [*(source.filters or ()), _filter(*found.groups())]
            else:
                raise ValueError(
                    f"{part!r} is no filter; write ID:MASK, ID~MASK, #ERRORMASK or j, hexadecimal"
                )
        if not interface:
            raise ValueError(f"{text!r} names no interface; write can0,123:7FF")
        return source


@dataclass(slots=True)
class Clock:
    """Timestamps in the manner of ``candump -t``: a (absolute), A (with date), d (delta), z (from zero)."""

    kind: str
    _last: int | None = field(default=None, init=False)

    def show(self, timestamp_ns: int) -> str:
        """The timestamp of a frame, in the order they came."""
        if self.kind in ("a", "A"):
            seconds, rest = divmod(timestamp_ns // 1000, 1_000_000)
            if self.kind == "a":
                return f"({seconds:010}.{rest:06})"
            return f"({time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{rest:06})"
        elapsed = max(timestamp_ns - (timestamp_ns if self._last is None else self._last), 0) // 1000
        if self._last is None or self.kind == "d":
            self._last = timestamp_ns
        return f"({elapsed // 1_000_000:03}.{elapsed % 1_000_000:06})"


def long_line(frame: Frame, *, indent: bool = False, ascii: bool = False) -> str:
    """A frame as candump shows it; ``indent`` lines up short identifiers with long ones."""
    if frame.is_error_frame:
        head = f"{frame.arbitration_id | ERROR:08X}"
    elif frame.is_extended_id:
        head = f"{frame.arbitration_id:08X}"
    else:
        head = f"{frame.arbitration_id:03X}".rjust(8 if indent else 3)
    head += f"  [{frame.dlc:02}] " if frame.is_fd else f"   [{frame.dlc}] "
    if frame.is_remote_frame:
        return f"{head} remote request"
    line = head + "".join(f" {byte:02X}" for byte in frame.data)
    fill = 3 * max(8 - frame.dlc, 0)
    if frame.is_error_frame:
        line += " " * (fill + 3) + "ERRORFRAME"
    elif ascii:
        line += " " * (fill + 3) + f"'{''.join(chr(b) if 0x20 <= b < 0x7F else '.' for b in frame.data)}'"
    return line


def log_line(interface: str, frame: Frame) -> str:
    """A frame as a line of a log file, for ``canplayer`` and ``can play``."""
    seconds, rest = divmod(frame.timestamp_ns // 1000, 1_000_000)
    return f"({seconds:010}.{rest:06}) {interface} {frame}"


def parse_log_line(line: str) -> tuple[int, str, Frame] | None:
    """Nanoseconds, interface and frame of a log file's line; None for one that canplayer skips, too: whatever
    does not begin with a parenthesis. Raises ValueError."""
    if not line.startswith("("):
        return None
    found = _LOG_LINE.fullmatch(line.strip())
    if found is None:
        raise ValueError("is no line of a candump log: (1436509052.249713) can0 044#2A366C2BBA")
    seconds, fraction, interface, text = found.groups()
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0")), interface, Frame.parse(text)


def _filter(identifier: str, mark: str, mask: str) -> CanFilter:
    number = int(identifier, 16)
    if len(identifier) == 8:
        number |= EXTENDED
    elif number > STANDARD_MASK:
        raise ValueError(f"{identifier!r} is no identifier: write 8 digits for an extended one")
    return CanFilter(number & ~ERROR, int(mask, 16) & ~ERROR, inverted=mark == "~")
