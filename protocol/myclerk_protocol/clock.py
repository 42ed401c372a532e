"""The session clock of docs/protocol.md: wall time once, a monotonic clock from then on."""

from __future__ import annotations

from .environment import Environment

WINDOW = 300
"""Seconds by which a message's timestamp may depart from the peer's offset (draft section 10.2)."""


def difference(a: int, b: int) -> int:
    """``a - b`` of two 32-bit times, modulo 2**32 and signed: in -2**31..2**31 - 1."""
    return ((a - b + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class SessionClock:
    """Unix time modulo 2**32 as this side's handshake message began it, advanced monotonically.

    A jump of the wall clock during a session changes nothing; suspend counts. ``peer_offset`` is how far the
    peer's handshake timestamp stood from ours, in seconds.
    """

    def __init__(self, environment: Environment) -> None:
        self._monotonic = environment.monotonic
        self._wall = environment.wall
        self.read_at = environment.monotonic()
        self.restart()
        self.peer_offset = 0

    def now(self) -> int:
        """This side's timestamp, 0..2**32 - 1 seconds."""
        self.read_at = read_at = self._monotonic()
        return int(self._base + read_at) & 0xFFFFFFFF

    def restart(self) -> None:
        """Begin anew at this side's handshake message: wall time is read once, here."""
        self._base = self._wall() - self._monotonic()

    def note_peer(self, timestamp: int) -> None:
        """Remember the peer's offset from its handshake message's ``timestamp``."""
        self.peer_offset = difference(timestamp, self.now())

    def peer_now(self) -> int:
        """What the peer's clock should say now, 0..2**32 - 1 seconds."""
        return (self.now() + self.peer_offset) & 0xFFFFFFFF
