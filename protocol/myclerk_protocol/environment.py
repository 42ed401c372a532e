"""What the protocol needs of the world, injected: randomness and clocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Environment:
    """Randomness and time, so that a test can fix both.

    ``random(n)`` returns n cryptographically random bytes; ``wall()`` is Unix time in seconds;
    ``monotonic()`` is seconds of a clock that never goes back and counts suspend (CLOCK_BOOTTIME).
    """

    random: Callable[[int], bytes]
    wall: Callable[[], float]
    monotonic: Callable[[], float]
