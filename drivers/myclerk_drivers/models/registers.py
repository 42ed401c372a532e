"""A chip that is nothing but 256 registers, as most sensors and expanders look from the bus."""

from __future__ import annotations


class Registers:
    """256 bytes behind a pointer that goes on with each byte read or written.

    ``memory`` may be read and changed at any time; it is zero at first.
    """

    def __init__(self) -> None:
        self.memory = bytearray(256)
        self._pointer = 0

    def write(self, data: bytes) -> None:
        """Set the pointer to the first byte, then write the others from there on."""
        if data:
            self._pointer = data[0]
        for byte in data[1:]:
            self.memory[self._pointer] = byte
            self._advance()

    def read(self, size: int) -> bytes:
        """``size`` bytes from the pointer on."""
        data = bytearray()
        for _ in range(size):
            data.append(self.memory[self._pointer])
            self._advance()
        return bytes(data)

    def _advance(self) -> None:
        self._pointer = (self._pointer + 1) % len(self.memory)
