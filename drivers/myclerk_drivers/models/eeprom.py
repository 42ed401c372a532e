"""Serial EEPROMs of the 24Cxx family (datasheets Microchip 24LC02B/24LC256, Atmel AT24C02)."""

from __future__ import annotations

import time
from typing import NamedTuple

from .interfaces import Clock, Nack


class Geometry(NamedTuple):
    """Bytes in all, bytes of a page, and bytes of the word address that a write begins with."""

    size: int
    page: int
    address: int


PARTS = {
    "24c01": Geometry(128, 8, 1),
    "24c02": Geometry(256, 8, 1),
    "24c32": Geometry(4096, 32, 2),
    "24c64": Geometry(8192, 32, 2),
    "24c128": Geometry(16384, 64, 2),
    "24c256": Geometry(32768, 64, 2),
    "24c512": Geometry(65536, 128, 2),
}
"""The parts that answer at one bus address. (24C04 to 24C16 take several.)"""

WRITE_CYCLE = 0.005
"""Seconds of a write cycle at most (t_WC); the chip acknowledges nothing meanwhile."""


class Eeprom:
    """A 24Cxx. ``memory`` may be read and changed at any time; it is erased (0xFF) at first.

    ``write_cycle`` is in seconds; 0 makes every write finish at once.
    """

    def __init__(
        self, part: str = "24c02", *, write_cycle: float = WRITE_CYCLE, clock: Clock = time.monotonic
    ) -> None:
        """Raises ValueError for a part that is not in :data:`PARTS`."""
        if part.lower() not in PARTS:
            raise ValueError(f"no EEPROM {part!r}: it is one of {', '.join(PARTS)}")
        self.part = part.lower()
        self.geometry = PARTS[self.part]
        self.memory = bytearray(b"\xff" * self.geometry.size)
        self._write_cycle = write_cycle
        self._clock = clock
        self._pointer = 0
        self._busy_until: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a write cycle is going on."""
        if self._busy_until is not None and self._clock() >= self._busy_until:
            self._busy_until = None
        return self._busy_until is not None

    def write(self, data: bytes) -> None:
        """Set the address and write what follows it, within one page. Raises Nack during a write cycle.

        Bytes beyond the page's end go on at its beginning. Of an address of two bytes, one alone is ignored.
        """
        self._acknowledge()
        size, page, width = self.geometry
        if len(data) < width:
            return
        self._pointer = int.from_bytes(data[:width], "big") % size
        first = self._pointer - self._pointer % page
        for byte in data[width:]:
            self.memory[self._pointer] = byte
            self._pointer = first + (self._pointer - first + 1) % page
        if len(data) > width and self._write_cycle > 0:
            self._busy_until = self._clock() + self._write_cycle

    def read(self, size: int) -> bytes:
        """Read from the current address, which rolls over at the memory's end. Raises Nack, as for a write."""
        self._acknowledge()
        data = bytes(self.memory[(self._pointer + i) % self.geometry.size] for i in range(size))
        self._pointer = (self._pointer + size) % self.geometry.size
        return data

    def _acknowledge(self) -> None:
        if self.busy:
            raise Nack(f"{self.part} is in a write cycle")
