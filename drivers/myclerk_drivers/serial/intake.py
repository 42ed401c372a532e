"""Bytes that were read from a port and that nobody has taken yet."""

from __future__ import annotations

from dataclasses import dataclass

from myclerk_protocol.status import BadRequest

MAX_READ = 1 << 20
MAX_TERMINATOR = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """When a read is complete: at the first ``terminator`` that ends at or behind byte ``minimum``, without
    one as soon as ``minimum`` bytes are there, and at ``size`` bytes anyway."""

    size: int
    minimum: int = 1
    terminator: bytes | None = None

    def check(self) -> None:
        """Raise BadRequest for what could never be fulfilled, its ``key`` naming the field."""
        if not 1 <= self.size <= MAX_READ:
            raise BadRequest(f"`size` must lie between 1 and {MAX_READ} bytes", key="size")
        if not 1 <= self.minimum <= self.size:
            raise BadRequest("`minimum` must lie between 1 and `size`", key="minimum")
        if self.terminator is not None and not 1 <= len(self.terminator) <= min(self.size, MAX_TERMINATOR):
            raise BadRequest(
                f"`terminator` must have 1 to {MAX_TERMINATOR} bytes, and no more than `size`",
                key="terminator",
            )


class Intake:
    """Received bytes in order. It holds no more than the largest read asked for: readers fill it to their
    ``size`` at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Append what was received."""
        self._buffer += data

    def begin(self) -> None:
        """A new read looks at all bytes from the first."""
        self._searched = 0

    def take(self, wanted: Wanted) -> bytes | None:
        """The bytes that complete this read, or None when it must go on."""
        buffer, size = self._buffer, wanted.size
        if wanted.terminator is None:
            return self.take_any(size) if len(buffer) >= wanted.minimum else None
        length = len(wanted.terminator)
        at = buffer.find(wanted.terminator, max(self._searched, wanted.minimum - length, 0), size)
        if at >= 0:
            return self.take_any(at + length)
        if len(buffer) >= size:
            return self.take_any(size)
        self._searched = max(len(buffer) - length + 1, 0)
        return None

    def take_any(self, limit: int) -> bytes:
        """What is there, up to ``limit`` bytes."""
        data = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        self._searched = 0
        return data
