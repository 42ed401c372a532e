"""What an IN endpoint gave before the host asked for it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..transfers import UrbResult


@dataclass(slots=True)
class _Part:
    data: bytes
    ended: bool
    errno: str | None


class Inbox:
    """Bytes in the order in which the device sent them, and where a transfer ended: by a short packet or an error.

    A transfer of the host takes from it what it would have had from the device: up to its size, or to such an end.
    """

    def __init__(self) -> None:
        self._parts: deque[_Part] = deque()

    def put(self, data: bytes, *, ended: bool, errno: str | None = None) -> None:
        """The device sent ``data``; ``ended`` if a transfer ends behind it whatever its size is."""
        if data or ended:
            self._parts.append(_Part(data, ended, errno))

    def take(self, size: int) -> UrbResult | None:
        """What a transfer of ``size`` bytes gets; None while it would go on waiting."""
        found = 0
        for part in self._parts:
            found += len(part.data)
            if found >= size or part.ended:
                return self._taken(size)
        return None

    def take_some(self, size: int, errno: str) -> UrbResult:
        """What a transfer gets that ends now with ``errno``."""
        result = self.take(size) or self._taken(size)
        result.errno = result.errno or errno
        return result

    @property
    def size(self) -> int:
        """Bytes in it."""
        return sum(len(part.data) for part in self._parts)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def clear(self) -> None:
        """Throw everything away."""
        self._parts.clear()

    def _taken(self, size: int) -> UrbResult:
        taken: list[bytes] = []
        left = size
        errno = None
        while self._parts:
            part = self._parts[0]
            if len(part.data) > left:
                taken.append(part.data[:left])
                part.data = part.data[left:]
                left = 0
                break
            self._parts.popleft()
            taken.append(part.data)
            left -= len(part.data)
            if part.ended:
                errno = part.errno
                break
            if not left:
                break
        data = taken[0] if len(taken) == 1 else b"".join(taken)
        return UrbResult(data, len(data), errno)
