"""SPI: a flash at chip select 1, through the kernel's simspi (tests/board/recipe/modules/simspi.c)."""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from typing import Any

from models import Flash

DEVICE = "/dev/simspi"
REQUEST = struct.Struct("=IIIBBBB")
LARGEST = REQUEST.size + (1 << 20)
"""Bytes of a request: spidev's buffer may be made larger, but not by that much."""
CLOCK_PHASE_AND_POLARITY = 3
KEPT = 1000
"""Transfers that are remembered."""


class Spi:
    """The flash, and what was sent to it.

    It programs and erases a hundred times faster than a real one: 4 us a page, 0.2 s the chip.
    """

    def __init__(self) -> None:
        self.flash = Flash(time_scale=0.01)
        self._transfers: deque[dict[str, int]] = deque(maxlen=KEPT)
        self._fd = -1

    def set_up(self) -> None:
        """Answer the controller from now on."""
        self._fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._fd, self._answer)

    async def spi_flash_memory(self, offset: int, size: int) -> bytes:
        """What is in the flash."""
        return self.flash.memory(offset, size)

    async def spi_flash_poke(self, offset: int, data: bytes) -> None:
        """Change what is in it, with no erasing needed."""
        self.flash.poke(offset, data)

    async def spi_transfers(self) -> list[dict[str, Any]]:
        """The transfers to the flash since the last call: {size, speed_hz, mode, bits_per_word}."""
        transfers = list(self._transfers)
        self._transfers.clear()
        return transfers

    def _answer(self) -> None:
        """One request: an edge of the chip select, or a transfer."""
        try:
            request = os.read(self._fd, LARGEST)
        except BlockingIOError:
            return
        size, speed, mode, _, bits, active, _ = REQUEST.unpack_from(request)
        answer = b""
        if size:
            self._transfers.append({"size": size, "speed_hz": speed, "mode": mode, "bits_per_word": bits})
            answer = self._exchange(request[REQUEST.size :], mode)
        elif active:
            self.flash.select()
        else:
            self.flash.deselect()
        try:
            os.write(self._fd, answer)
        except BrokenPipeError:
            pass  # it came too late, and the transfer has failed

    def _exchange(self, sent: bytes, mode: int) -> bytes:
        if mode & CLOCK_PHASE_AND_POLARITY in (
            1,
            2,
        ):  # it samples on the other edge: nothing sensible comes of it
            return b"\xff" * len(sent)
        return self.flash.exchange(sent)
