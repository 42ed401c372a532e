"""The system's randomness and clocks for the protocol, what its processor can do, and event loops."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
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


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed: twice the speed. Asyncio's own in its debug mode, in which uvloop 0.23 and
    older crash Python 3.13 (its issues 715 and 730)."""
    if not (sys.flags.dev_mode or os.environ.get("PYTHONASYNCIODEBUG")):
        with suppress(ImportError):
            import uvloop

            return uvloop.new_event_loop()
    return asyncio.new_event_loop()
