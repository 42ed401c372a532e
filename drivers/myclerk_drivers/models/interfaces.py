"""What a bus expects of a chip on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Clock = Callable[[], float]
"""Seconds from any fixed point, never going back; ``time.monotonic`` is one."""


class Nack(Exception):
    """The I2C target did not acknowledge its address or a byte."""


class I2cTarget(Protocol):
    """A chip at one address of an I2C bus. Each call is one message of a transfer."""

    def write(self, data: bytes) -> None:
        """Take the bytes of a write message; none for a quick write. Raises Nack."""

    def read(self, size: int) -> bytes:
        """Answer a read message with ``size`` bytes. Raises Nack."""


class SpiPeripheral(Protocol):
    """A chip at one chip select of an SPI bus."""

    def select(self) -> None:
        """Chip select became active."""

    def exchange(self, tx: bytes) -> bytes:
        """Clock ``tx`` in; as many bytes come out."""

    def deselect(self) -> None:
        """Chip select became inactive."""


class OneWireSlave(Protocol):
    """A device on a 1-Wire bus. Searching, which is bit by bit, is done for it from ``rom`` and ``alarm``."""

    @property
    def rom(self) -> bytes:
        """The ROM code: 8 bytes, family first, CRC last."""

    @property
    def alarm(self) -> bool:
        """Whether it takes part in an alarm search (0xEC)."""

    def reset(self) -> None:
        """A reset pulse was on the bus."""

    def exchange(self, byte: int) -> int:
        """Eight time slots: the master writes ``byte``, 0xFF to read; what this device leaves of it.

        A bus is a wired AND: what the master sees is the AND of what all slaves leave.
        """
