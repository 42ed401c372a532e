"""The system's randomness and clocks for the protocol, and what its processor can do."""

from __future__ import annotations

import os
import time
from functools import cache, partial
from pathlib import Path

from myclerk_protocol.environment import Environment
from myclerk_protocol.seal import aes_is_faster

SYSTEM = Environment(
    random=os.urandom,
    wall=time.time,
    monotonic=partial(time.clock_gettime, time.CLOCK_BOOTTIME),
)


def prefers_aes() -> bool:
    """Whether AES-256-GCM is the better cipher here: by the processor's own instructions, and faster."""
    return has_aes_instructions() and aes_is_faster(time.perf_counter)


@cache
def has_aes_instructions() -> bool:
    """Whether this processor has AES instructions (``aes`` among the flags in /proc/cpuinfo)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    lines = (line for line in text.splitlines() if line.lower().startswith(("flags", "features")))
    return any("aes" in line.partition(":")[2].split() for line in lines)
