"""What the driver needs of 1-Wire buses: the kernel's, or simulated ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Slave:
    """A device that the kernel knows. ``code`` is its ROM; ``thermometer``: the kernel measures with it."""

    rom: str
    code: bytes
    thermometer: bool


@dataclass(frozen=True, slots=True)
class Bus:
    """A bus master, "w1_bus_master1", and the devices that the kernel knows on its bus."""

    name: str
    slaves: tuple[Slave, ...]


class OneWireBackend(Protocol):
    """1-Wire buses. All but :meth:`buses` may block for seconds, and may be called from several threads."""

    def buses(self) -> Sequence[Bus]:
        """The buses there are now. Quick; none where there is no 1-Wire."""

    def check_raw(self, bus: str) -> None:
        """Raise the error that :meth:`exchange` would meet before they touch the bus."""

    def exchange(self, bus: str, write: bytes, read: int, *, reset: bool = True) -> bytes | None:
        """Reset (unless told otherwise), write, then read, as one access that nothing can come between.

        The bytes read; None when the reset met no presence pulse. Not every adapter looks for one: then the bytes
        of an empty bus are 0xFF. Raises OperationError.
        """

    def search_pass(self, bus: str, command: int, path: int) -> tuple[int, int] | None:
        """One pass of a search (:mod:`.search`) with ``path`` as its directions. Raises OperationError."""

    def add(self, bus: str, code: bytes) -> None:
        """Make a device known that a search found. Raises OperationError."""

    def attribute(self, device: str, name: str) -> str:
        """The attribute ``name`` of a bus or device, as in sysfs. Raises OSError."""

    def set_attribute(self, device: str, name: str, value: str) -> None:
        """Set it. Raises OSError."""
