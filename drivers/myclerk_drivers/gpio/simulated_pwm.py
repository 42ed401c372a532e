"""A simulated PWM output: it remembers what it does."""

from __future__ import annotations

import errno
import os

from .backend import Waveform


class SimulatedPwm:
    """One channel (:class:`.backend.PwmOutput`); ``waveform`` is what it does, None when it stands still."""

    def __init__(self) -> None:
        self.waveform: Waveform | None = None
        self._taken = False

    def take(self) -> None:
        """Make it somebody's. Raises OSError: EBUSY when it is already."""
        if self._taken:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._taken = True

    def apply(self, waveform: Waveform) -> None:
        """Do that from now on."""
        self.waveform = waveform

    def release(self) -> None:
        """Stand still and be anybody's. Idempotent."""
        self.waveform = None
        self._taken = False
