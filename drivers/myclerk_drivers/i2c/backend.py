"""What the I2C driver needs of the buses of a machine; kernel.py has this machine's, simulated.py simulated ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .functionality import Functionality
from .messages import Message
from .smbus import Command, Reply


@dataclass(frozen=True, slots=True)
class Client:
    """A device that the kernel knows of; ``driver`` is None where none has it.

    A ten-bit ``address`` has 0xa000 added, as in sysfs.
    """

    address: int
    name: str
    driver: str | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """A bus: its number, the kernel's name of its adapter, its device file, the resource that it hangs on."""

    number: int
    name: str
    path: str
    parent: str | None = None


class Bus(Protocol):
    """An open bus, for one thread at a time. What fails raises OSError with the kernel's errno."""

    @property
    def functionality(self) -> Functionality:
        """What the adapter can do."""

    def select(self, address: int, *, force: bool = False, ten_bit: bool = False) -> None:
        """Address the next SMBus command. EBUSY: a kernel driver has this address, and ``force`` is not set."""

    def transfer(self, messages: Sequence[Message]) -> list[bytes]:
        """Send all in one transfer; what was read, for each message that reads."""

    def smbus(self, command: Command) -> Reply:
        """One SMBus command to the selected address."""

    def close(self) -> None:
        """Let go of the bus."""


class Backend(Protocol):
    """The buses of a machine."""

    def adapters(self) -> Sequence[Adapter]:
        """All buses, by number."""

    def adapter(self, number: int) -> Adapter | None:
        """The bus of that number, or None."""

    def clients(self, number: int) -> Sequence[Client]:
        """The devices on a bus that the kernel knows of; none if the bus does not exist."""

    def open(self, number: int) -> Bus:
        """Open a bus. Raises OSError."""
