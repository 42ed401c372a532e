"""The sealed channel of a session: one sealer, one opener, and their switch at a rotation (section 3)."""

from __future__ import annotations

from . import keys
from .clock import SessionClock
from .keys import Direction
from .seal import Aead, Opened, Opener, Sealer
from .status import LocalError

ROTATE_AFTER = 1 << 31
"""Messages in either direction after which the key is rotated."""


class Channel:
    """Seals what this side sends and opens what the peer sent, each under the key of its own epoch.

    During a rotation the two directions switch at different times. ``send_key`` and ``receive_key`` are the
    epoch keys of the two directions; a ticket is bound to the key that seals the answer carrying it.
    """

    def __init__(
        self, direction: Direction, aead: Aead, session_id: int, key: bytes, clock: SessionClock
    ) -> None:
        self._direction = direction
        self._peer = Direction.AGENT if direction is Direction.CLIENT else Direction.CLIENT
        self._aead = aead
        self.session_id = session_id
        self._clock = clock
        self._next: bytes | None = None
        self.rotations = 0
        self._start_sealer(key, 1)
        self._start_opener(key, 1)

    def seal(
        self,
        version: int,
        tier: int,
        opcode: int,
        request_id: int,
        payload: bytes,
        push: bool = False,
        compressed: bool = False,
    ) -> bytes:
        """One sealed message. Raises LocalError when the epoch's counter is used up."""
        return self._seal(
            version, tier, opcode, self.session_id, request_id, self._clock.now(), payload, push, compressed
        )

    def open(self, message: bytes | memoryview) -> Opened:
        """The message, authenticated and in order. Raises UnopenedMessage; nothing changes then."""
        return self._open(message, self._clock.peer_now())

    @property
    def wants_rotation(self) -> bool:
        """Whether either direction has used half of its counter."""
        return max(self._sealer.messages, self._opener.messages) >= ROTATE_AFTER

    def rotated(self) -> bytes:
        """The next epoch's key, derived from the present one alone."""
        return keys.rotated_key(self.send_key, self.rotations + 1)

    def refreshed(self, shared: bytes, request: bytes, response: bytes) -> bytes:
        """The next epoch's key with fresh secrets mixed in; ``request`` and ``response`` are payloads."""
        return keys.fresh_key(self.send_key, shared, self.rotations + 1, request, response)

    def begin_rotation(self, key: bytes) -> None:
        """Have ``key`` ready for both directions. Raises LocalError while a rotation is under way."""
        if self._next is not None:
            raise LocalError("a key rotation is under way already")
        self._next = key
        self.rotations += 1

    def switch_sealer(self) -> None:
        """Seal under the next key from now on."""
        assert self._next is not None
        self._start_sealer(self._next, self.rotations + 1)
        self._finish()

    def switch_opener(self) -> None:
        """Open under the next key from now on."""
        assert self._next is not None
        self._start_opener(self._next, self.rotations + 1)
        self._finish()

    @property
    def rotating(self) -> bool:
        """Whether the two directions are (about to be) under different keys."""
        return self._next is not None

    def _finish(self) -> None:
        if self._next is not None and self.send_key == self.receive_key == self._next:
            self._next = None

    def _start_sealer(self, key: bytes, key_id: int) -> None:
        self.send_key = key
        self._sealer = Sealer(self._aead, keys.traffic(key, self._direction), key_id)
        self._seal = self._sealer.seal

    def _start_opener(self, key: bytes, key_id: int) -> None:
        self.receive_key = key
        self._opener = Opener(self._aead, keys.traffic(key, self._peer), key_id, self.session_id)
        self._open = self._opener.open
