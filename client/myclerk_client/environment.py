"""The system's randomness and clocks for the protocol, and what its processor can do."""

from __future__ import annotations

import os
import time
from functools import cache, partial
from pathlib import Path

from myclerk_protocol.environment import Environment

SYSTEM = Environment(
    random=os.urandom,
    wall=time.time,
    monotonic=partial(time.clock_gettime, time.CLOCK_BOOTTIME),
)


@cache
def has_aes_instructions() -> bool:
    """Whether this processor has AES instructions (``aes`` among the flags in /proc/cpuinfo)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    lines = (line for line in text.splitlines() if line.lower().startswith(("flags", "features")))
    return any("aes" in line.partition(":")[2].split() for line in lines)
