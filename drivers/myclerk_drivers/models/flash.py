"""Serial NOR flash like Winbond's W25Q64JV (datasheet revision K); standard SPI, 24-bit addresses."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from .interfaces import Clock

PAGE, SECTOR = 256, 4096

WRITE_ENABLE, WRITE_DISABLE, VOLATILE_ENABLE = 0x06, 0x04, 0x50
READ_STATUS = {0x05: 0, 0x35: 1, 0x15: 2}
WRITE_STATUS = {0x01: 0, 0x31: 1, 0x11: 2}
READ, FAST_READ, PAGE_PROGRAM = 0x03, 0x0B, 0x02
ERASE = {0x20: (4 << 10, 0.045), 0x52: (32 << 10, 0.120), 0xD8: (64 << 10, 0.150)}
"""Block erases: bytes and typical seconds."""
CHIP_ERASE = (0xC7, 0x60)
JEDEC_ID, DEVICE_ID, UNIQUE_ID = 0x9F, 0x90, 0x4B
POWER_DOWN, RELEASE = 0xB9, 0xAB
ENABLE_RESET, RESET = 0x66, 0x99

PROGRAM_TIME, STATUS_TIME, CHIP_ERASE_TIME = 0.0004, 0.010, 20.0
"""Typical seconds of a page program, of writing a status register, of a chip erase of 8 MiB."""

BUSY, WRITE_ENABLED = 0x01, 0x02
"""Bits of status register 1. Bits 2 to 4 (BP) and 5 (TB) protect a part of the memory, bit 6 is SEC."""

_WRITABLE = (0x3C, 0x02, 0x60)
"""Bits of the status registers that keep what is written: BP and TB, QE, output drive."""

_MANUFACTURER = 0xEF


class Flash:
    """A W25Qxx of ``capacity`` bytes: a power of two from 64 KiB to 16 MiB. The default is a W25Q64's 8 MiB.

    ``time_scale`` stretches or shortens programming and erasing; 0 makes them finish at once. Protection by SEC
    and CMP, and the dual and quad modes, are not modelled.
    """

    def __init__(
        self,
        capacity: int = 8 << 20,
        *,
        unique_id: bytes = bytes.fromhex("d1634c8a0f2b5e97"),
        time_scale: float = 1.0,
        clock: Clock = time.monotonic,
    ) -> None:
        """Raises ValueError for a capacity that no such chip has, or a unique ID that is not 8 bytes."""
        if capacity & capacity - 1 or not 64 << 10 <= capacity <= 16 << 20:
            raise ValueError(f"a flash has a power of two from 65536 to 16777216 bytes, not {capacity}")
        if len(unique_id) != 8:
            raise ValueError("a flash's unique ID has 8 bytes")
        self.capacity = capacity
        self._sectors: dict[int, bytearray] = {}
        self._time_scale = time_scale
        self._clock = clock
        self._status = bytearray(3)
        self._busy_until: float | None = None
        self._asleep = self._reset_enabled = self._volatile_enabled = False
        self._selected = self._ignoring = False
        self._received = bytearray()
        self._clocked = 0
        code = capacity.bit_length() - 1
        self._readers: dict[int, tuple[int, Callable[[int, int], bytes]]] = {
            READ: (4, self._stream),
            FAST_READ: (5, self._stream),
            JEDEC_ID: (1, _repeated(bytes([_MANUFACTURER, 0x40, code]))),
            DEVICE_ID: (4, self._device_id),
            RELEASE: (4, _repeated(bytes([code - 1]))),
            UNIQUE_ID: (5, _repeated(unique_id)),
        }
        for opcode, index in READ_STATUS.items():
            self._readers[opcode] = (1, partial(self._read_status, index))

    @property
    def busy(self) -> bool:
        """Whether it is programming, erasing, or writing a status register."""
        if self._busy_until is not None and self._clock() >= self._busy_until:
            self._busy_until = None
            self._status[0] &= ~WRITE_ENABLED
        return self._busy_until is not None

    def status(self, index: int = 0) -> int:
        """Status register 1 (``index`` 0), 2 or 3."""
        busy = self.busy  # first: it clears the write enable latch
        return self._status[index] | (BUSY if busy and index == 0 else 0)

    def memory(self, offset: int, size: int) -> bytes:
        """Memory as it is, for the bench. Raises ValueError beyond its end."""
        self._check(offset, size)
        return self._memory(offset, size)

    def poke(self, offset: int, data: bytes) -> None:
        """Change memory, for the bench: no erasing needed. Raises ValueError beyond its end."""
        self._check(offset, len(data))
        for i, byte in enumerate(data, offset):
            self._sector(i)[i % SECTOR] = byte

    def select(self) -> None:
        """Chip select became active: an instruction begins."""
        self._selected = True
        self._received.clear()
        self._clocked = 0

    def exchange(self, tx: bytes) -> bytes:
        """Clock ``tx`` in. MISO is 0xFF while the chip has nothing to say."""
        if not self._selected or not tx:
            return b"\xff" * len(tx)
        if not self._received:
            self._ignoring = not self._listens_to(tx[0])
        start = self._clocked
        self._clocked += len(tx)
        self._received += tx
        surplus = (len(self._received) - 4) // PAGE - 1  # of what a page program gets, its last page counts
        if surplus > 0:
            del self._received[4 : 4 + surplus * PAGE]
        if self._ignoring or self._received[0] not in self._readers:
            return b"\xff" * len(tx)
        header, reader = self._readers[self._received[0]]
        silent = min(max(header - start, 0), len(tx))
        wanted = len(tx) - silent
        return b"\xff" * silent + (reader(start + silent - header, wanted) if wanted else b"")

    def deselect(self) -> None:
        """Chip select became inactive: what was received is executed."""
        if self._selected and self._received and not self._ignoring:
            self._execute(self._received[0], bytes(self._received[1:]))
        self._selected = False
        self._received.clear()

    def _listens_to(self, opcode: int) -> bool:
        if self._asleep:
            return opcode == RELEASE
        return opcode in READ_STATUS or opcode in (ENABLE_RESET, RESET) or not self.busy

    def _execute(self, opcode: int, operand: bytes) -> None:
        reset_enabled, self._reset_enabled = self._reset_enabled, opcode == ENABLE_RESET and not operand
        volatile, self._volatile_enabled = self._volatile_enabled, opcode == VOLATILE_ENABLE and not operand
        if opcode in WRITE_STATUS and operand and (volatile or self._status[0] & WRITE_ENABLED):
            self._write_status(WRITE_STATUS[opcode], operand)
            self._work(0.0 if volatile else STATUS_TIME)
        elif opcode == PAGE_PROGRAM and len(operand) > 3:
            self._program(self._address(operand), operand[3:])
        elif opcode in ERASE and len(operand) == 3:
            size, seconds = ERASE[opcode]
            self._erase(self._address(operand) & -size, size, seconds)
        elif opcode == RELEASE:
            self._asleep = False
        elif not operand:
            self._command(opcode, reset_enabled)

    def _command(self, opcode: int, reset_enabled: bool) -> None:
        """An instruction that is one byte long."""
        if opcode == WRITE_ENABLE:
            self._status[0] |= WRITE_ENABLED
        elif opcode == WRITE_DISABLE:
            self._status[0] &= ~WRITE_ENABLED
        elif opcode in CHIP_ERASE:
            self._erase(0, self.capacity, CHIP_ERASE_TIME * self.capacity / (8 << 20))
        elif opcode == POWER_DOWN:
            self._asleep = True
        elif opcode == RESET and reset_enabled:
            self._busy_until = None
            self._status[0] &= ~WRITE_ENABLED

    def _write_status(self, index: int, values: bytes) -> None:
        """0x01 may carry register 2 behind register 1."""
        for i, value in enumerate(values[: 2 if index == 0 else 1], index):
            self._status[i] = value & _WRITABLE[i] | self._status[i] & ~_WRITABLE[i] & 0xFF

    def _program(self, address: int, data: bytes) -> None:
        """Bits go from 1 to 0. Bytes beyond the page's end go on at its beginning; the last 256 of them count."""
        if not self._writable(address, 1):
            return
        first, offset = address & -PAGE, address % PAGE
        sector = self._sector(first)
        for i in range(max(len(data) - PAGE, 0), len(data)):
            sector[first % SECTOR + (offset + i) % PAGE] &= data[i]
        self._work(PROGRAM_TIME)

    def _erase(self, address: int, size: int, seconds: float) -> None:
        if not self._writable(address, size):
            return
        for sector in range(address // SECTOR, (address + size) // SECTOR):
            self._sectors.pop(sector, None)
        self._work(seconds)

    def _writable(self, address: int, size: int) -> bool:
        """Whether the write enable latch is set and no byte of this range is protected by BP and TB."""
        if not self._status[0] & WRITE_ENABLED:
            return False
        level = self._status[0] >> 2 & 7
        if level == 0:
            return True
        protected = self.capacity >> 7 - level if level < 7 else self.capacity
        if self._status[0] & 0x20:
            return address >= protected
        return address + size <= self.capacity - protected

    def _work(self, seconds: float) -> None:
        seconds *= self._time_scale
        if seconds > 0:
            self._busy_until = self._clock() + seconds
        else:
            self._status[0] &= ~WRITE_ENABLED

    def _address(self, operand: bytes | bytearray) -> int:
        return int.from_bytes(operand[:3], "big") % self.capacity

    def _read_status(self, index: int, position: int, size: int) -> bytes:
        return bytes([self.status(index)]) * size

    def _stream(self, position: int, size: int) -> bytes:
        """Memory from the instruction's address on; it rolls over at its end."""
        start = (self._address(self._received[1:4]) + position) % self.capacity
        data = self._memory(start, min(size, self.capacity - start))
        while len(data) < size:
            data += self._memory(0, min(size - len(data), self.capacity))
        return data

    def _device_id(self, position: int, size: int) -> bytes:
        """Manufacturer and device in turn; an odd address has the device first."""
        pair = bytes([_MANUFACTURER, self.capacity.bit_length() - 2])
        return _repeated(pair)(position + (self._received[3] & 1), size)

    def _memory(self, offset: int, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            at = offset + len(data)
            start, wanted = at % SECTOR, size - len(data)
            sector = self._sectors.get(at // SECTOR)
            data += sector[start : start + wanted] if sector else b"\xff" * min(SECTOR - start, wanted)
        return bytes(data)

    def _sector(self, address: int) -> bytearray:
        return self._sectors.setdefault(address // SECTOR, bytearray(b"\xff" * SECTOR))

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.capacity:
            raise ValueError(f"{size} bytes at {offset} are not within the flash's {self.capacity}")


def _repeated(pattern: bytes) -> Callable[[int, int], bytes]:
    """A reader of ``pattern`` again and again."""

    def read(position: int, size: int) -> bytes:
        start = position % len(pattern)
        return (pattern * ((start + size) // len(pattern) + 1))[start : start + size]

    return read
