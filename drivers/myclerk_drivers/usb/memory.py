"""The kernel's memory for URBs, which all devices share."""

from __future__ import annotations

from collections.abc import Callable


class Memory:
    """Who finds no memory waits until URBs come back. ``in_kernel`` counts those that are under way."""

    def __init__(self) -> None:
        self.in_kernel = 0
        self._starving: dict[Callable[[], None], None] = {}

    def starve(self, pump: Callable[[], None]) -> bool:
        """Have ``pump`` called when there may be memory again; False when no URB is under way that could give some."""
        if self.in_kernel:
            self._starving[pump] = None
        return self.in_kernel > 0

    def freed(self) -> None:
        """URBs came back."""
        starving, self._starving = self._starving, {}
        for pump in starving:
            pump()
