"""The system's randomness and clocks, for the protocol."""

from __future__ import annotations

import os
import time
from functools import partial

from myclerk_protocol.environment import Environment

SYSTEM = Environment(
    random=os.urandom,
    wall=time.time,
    monotonic=partial(time.clock_gettime, time.CLOCK_BOOTTIME),
)
