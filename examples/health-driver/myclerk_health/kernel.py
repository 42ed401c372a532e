"""What the kernel says of a board's health (proc(5), and the thermal class of sysfs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

LINE = 512
"""Bytes that the first line of /proc/stat never reaches."""


class Times(NamedTuple):
    """What all processors together have spent since boot, in clock ticks."""

    busy: int
    total: int


def loads() -> tuple[float, float, float]:
    """Load averages over 1, 5 and 15 minutes (/proc/loadavg)."""
    return os.getloadavg()


def uptime() -> float:
    """Seconds since boot (/proc/uptime)."""
    return float(Path("/proc/uptime").read_text("ascii").split()[0])


def memory() -> tuple[int, int]:
    """Bytes of memory in all, and bytes that programs could still have (/proc/meminfo)."""
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    values = dict(line.split(":", 1) for line in lines)
    total, available = (int(values[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return total, available


def zones(thermal: Path) -> Iterator[dict[str, Any]]:
    """Each thermal zone below ``thermal`` that can be read now: ``name``, ``kind``, ``celsius``.

    Reading may take milliseconds: the kernel asks the sensor, which may sit on a bus. A zone whose sensor is
    switched off has no temperature and is left out.
    """
    for zone in sorted(thermal.glob("thermal_zone*")):
        with suppress(OSError, ValueError):
            celsius = int((zone / "temp").read_text("ascii")) / 1000
            yield {"name": zone.name, "kind": (zone / "type").read_text("utf-8").strip(), "celsius": celsius}


def open_times() -> int:
    """A descriptor to hand to :func:`read_times`. Raises OSError."""
    return os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)


def read_times(fd: int) -> Times:
    """The times of all processors, from the first line of /proc/stat. Raises OSError."""
    line = os.pread(fd, LINE, 0).split(b"\n", 1)[0]
    user, nice, system, idle, waiting, *others = map(int, line.split()[1:9])  # guests are part of user
    busy = user + nice + system + sum(others)
    return Times(busy, busy + idle + waiting)


def share(before: Times, after: Times) -> float | None:
    """Which share of the time between two looks was busy, 0.0 to 1.0; None when no tick has passed."""
    total = after.total - before.total
    if total <= 0:
        return None
    return min(max((after.busy - before.busy) / total, 0.0), 1.0)  # the kernel's count of waiting may go back
