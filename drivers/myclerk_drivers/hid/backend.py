"""What the driver needs of the kernel; the kernel itself and the simulation provide it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..base import Resource
from .events import Change, State


class InputDevice(Protocol):
    """An open input device. ``fd`` is readable when there are events; methods raise OSError."""

    fd: int

    def describe(self) -> Mapping[str, Any]:
        """Names, identity and capabilities: the rule ``hid-description``."""

    def state(self) -> State:
        """Keys that are down, positions of axes, switches, lights; what is newer than this is still to be read."""

    def grab(self, wanted: bool) -> None:
        """Take the device away from all others on the board, or give it back."""

    def write(self, changes: Sequence[Change]) -> None:
        """Set lights and sounds."""

    def close(self) -> None:
        """Close the descriptor; that gives a grabbed device back."""


class HidBackend(Protocol):
    """The input devices of a machine."""

    def resources(self) -> Sequence[Resource]:
        """The devices there are; each has its ``path`` in its properties."""

    def open(self, path: str) -> InputDevice:
        """Open one. Raises OSError."""

    def close(self) -> None:
        """Let go of everything; all devices are closed already."""
