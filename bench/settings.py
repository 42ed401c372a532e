"""What the command line asks of every measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .machine import Placement


@dataclass(frozen=True, slots=True)
class Settings:
    """``placements`` are measured one after the other, each in ``rounds``.

    ``quick`` only shows that everything runs: its numbers mean nothing.
    """

    placements: Sequence[Placement]
    rounds: int = 7
    quick: bool = False

    def count(self, full: int) -> int:
        """How many repetitions to make of the ``full`` number."""
        return max(full // 100, 8) if self.quick else full
