"""Input events as the kernel's evdev interface has them (linux/input.h), and the reports that they form."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

EV_SYN = 0x00
EV_KEY = 0x01
EV_ABS = 0x03
EV_SW = 0x05
EV_LED = 0x11
EV_SND = 0x12
SYN_REPORT = 0
SYN_DROPPED = 3
ABS_MT_SLOT = 0x2F
MT_AXES = range(0x30, 0x3E)
"""ABS_MT_TOUCH_MAJOR to ABS_MT_TOOL_Y: what each contact of a touch device has."""
REPEAT = 2
"""The value of a key event that the kernel repeats while the key is held."""

_EVENT = struct.Struct("@llHHi")  # seconds, microseconds, type, code, value
EVENT_SIZE = _EVENT.size

Change = tuple[int, int, int]
"""Type, code and value of an event (linux/input-event-codes.h)."""


class Report(NamedTuple):
    """What a device reports at once: the events up to a SYN_REPORT. The time is CLOCK_REALTIME, nanoseconds."""

    timestamp_ns: int
    changes: Sequence[Change]


def pack(changes: Iterable[Change], timestamp_ns: int = 0) -> bytes:
    """Events and a SYN_REPORT behind them, as a device gives them. When writing the kernel sets the time."""
    time = divmod(timestamp_ns // 1000, 1_000_000)
    return b"".join(_EVENT.pack(*time, *change) for change in (*changes, (EV_SYN, SYN_REPORT, 0)))


class Assembler:
    """Puts what is read from a device together into reports."""

    def __init__(self) -> None:
        self._changes: list[Change] = []

    def feed(self, data: bytes) -> tuple[list[Report], int]:
        """The reports that are complete with ``data``, and how many were lost behind them.

        Where the kernel's buffer was full it says SYN_DROPPED. What was read behind that is left out, too: the
        state of the device has to be asked for, and is newer (Documentation/input/event-codes.rst).
        """
        reports = []
        events = _events(data)
        for time, change in events:
            if change[0] != EV_SYN:
                self._changes.append(change)
            elif change[1] == SYN_REPORT:
                reports.append(Report(time, self._changes))
                self._changes = []
            elif change[1] == SYN_DROPPED:
                self._changes = []
                return reports, 1 + sum(later[:2] == (EV_SYN, SYN_REPORT) for _, later in events)
        return reports, 0


def _events(data: bytes) -> Iterator[tuple[int, Change]]:
    whole = memoryview(data)[: len(data) // EVENT_SIZE * EVENT_SIZE]
    for seconds, microseconds, kind, code, value in _EVENT.iter_unpack(whole):
        yield (seconds * 1_000_000 + microseconds) * 1000, (kind, code, value)


@dataclass
class State:
    """What lasts of a device between reports.

    ``keys`` are those that are down; ``levels`` the positions of axes, switches and lights by type and code;
    ``contacts`` the axes of each slot of a touch device, ``slot`` the one that events mean. A device that does
    not tell its contacts apart by slots has None.
    """

    keys: set[int] = field(default_factory=set)
    levels: dict[tuple[int, int], int] = field(default_factory=dict)
    contacts: dict[int, dict[int, int]] | None = None
    slot: int = 0

    def copy(self) -> State:
        """The same, apart."""
        contacts = None if self.contacts is None else {n: dict(axes) for n, axes in self.contacts.items()}
        return State(set(self.keys), dict(self.levels), contacts, self.slot)

    def apply(self, changes: Iterable[Change]) -> None:
        """Follow what a report says."""
        for kind, code, value in changes:
            if kind == EV_KEY:
                if value == 0:
                    self.keys.discard(code)
                elif value != REPEAT:
                    self.keys.add(code)
            elif kind == EV_ABS and code == ABS_MT_SLOT:
                self.slot = value
            elif kind == EV_ABS and code in MT_AXES:
                if self.contacts is not None:
                    self.contacts.setdefault(self.slot, {})[code] = value
            elif kind in (EV_ABS, EV_SW, EV_LED, EV_SND):
                self.levels[kind, code] = value

    def changes_to(self, target: State) -> list[Change]:
        """The events that lead from here to ``target``: what was missed, without what led there."""
        changes: list[Change] = [(EV_KEY, code, 0) for code in sorted(self.keys - target.keys)]
        changes += [(EV_KEY, code, 1) for code in sorted(target.keys - self.keys)]
        changes += [
            (kind, code, value)
            for (kind, code), value in sorted(target.levels.items())
            if self.levels.get((kind, code)) != value
        ]
        slot = self.slot
        for number, axes in sorted((target.contacts or {}).items()):
            known = (self.contacts or {}).get(number, {})
            moved = [
                (EV_ABS, code, value) for code, value in sorted(axes.items()) if known.get(code) != value
            ]
            if moved:
                changes += [(EV_ABS, ABS_MT_SLOT, number), *moved]
                slot = number
        if slot != target.slot:
            changes.append((EV_ABS, ABS_MT_SLOT, target.slot))
        return changes
