"""What goes out on one connection: sealed singly, or gathered into batches (docs/protocol.md, Tunnel)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from . import compression, payloads, tunnel
from .operations import REGISTRY
from .status import LocalError, TooLarge, error_fields

NOP = REGISTRY.by_name("NOP").code
CLIENT_REGISTER = REGISTRY.by_name("CLIENT_REGISTER").code
GATHER_BELOW = 4096
"""Payloads of this size or more gain nothing by sharing a seal, and would be copied once more."""
FRAMING = 256
"""Counted for each message of a batch beside its payload, so that one never holds more than 1,024."""
BATCH_SIZE = 1024 * FRAMING
OVERHEAD = 64
"""More than header, tag and inner framing of any message take, in bytes."""


class Sealing(Protocol):
    """What makes whole messages: a sealed channel, or plain ones on the Unix socket."""

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
        """One whole message."""


class Outbox:
    """Messages waiting to be sent, in order.

    Small version 1 messages that are ready together share one sealed batch once ``gather`` is set (after
    authentication). ``size`` counts the bytes of payload that wait. ``wakeup`` is called when the first
    message is put into an empty outbox.
    """

    def __init__(self, message_limit: int) -> None:
        self.channel: Sealing | None = None
        self.gather = False
        self.wakeup: Callable[[], None] = _nothing
        self.size = 0
        self._limit = message_limit - OVERHEAD
        self._messages: list[bytes] = []
        self._inner: list[tuple[int, int, bool, bytes]] = []
        self._inner_tier = 0
        self._inner_room = 0

    def send(
        self,
        version: int,
        tier: int,
        opcode: int,
        request_id: int,
        payload: bytes,
        push: bool = False,
        compress: bool = False,
    ) -> None:
        """Seal or gather one message. A payload above the limit becomes a TOO_LARGE answer."""
        size = len(payload)
        self.size += size
        if (
            size < GATHER_BELOW
            and self.gather
            and version
            and opcode >= 0x0100
            and opcode != CLIENT_REGISTER
            and not (compress and size >= compression.MINIMUM_SIZE)
        ):
            if tier != self._inner_tier or self._inner_room <= size:
                self._begin_inner(tier)
            self._inner.append((opcode, request_id, push, payload))
            self._inner_room -= size + FRAMING
            return
        if size > self._limit:
            error = TooLarge(f"the answer has {size} bytes, above the limit of {self._limit}; ask for less")
            payload, compress = payloads.pack(error_fields(error)), False
        if self._inner:
            self._seal_inner()
        compressed = compress and size >= compression.MINIMUM_SIZE
        if compressed:
            shorter = compression.compress(payload)
            compressed = len(shorter) < size
            payload = shorter if compressed else payload
        assert self.channel is not None
        self.put(self.channel.seal(version, tier, opcode, request_id, payload, push, compressed))

    def check(self, payload: bytes) -> None:
        """Raises LocalError for a request's payload that is above the limit."""
        if len(payload) > self._limit:
            raise LocalError(f"a request of {len(payload)} bytes is above the limit of {self._limit}")

    def put(self, message: bytes) -> None:
        """A whole message, behind whatever waits."""
        self._messages.append(message)
        if len(self._messages) == 1:
            self.wakeup()

    def take(self) -> list[bytes]:
        """Everything that waits, as whole messages in order; the outbox is empty afterwards."""
        if self._inner:
            self._seal_inner()
        messages, self._messages = self._messages, []
        self.size = 0
        return messages

    def _begin_inner(self, tier: int) -> None:
        """Gather anew: at first, at another tier, or when the batch under way is full."""
        if self._inner:
            self._seal_inner()
        elif not self._messages:
            self.wakeup()
        self._inner_tier = tier
        self._inner_room = min(self._limit, BATCH_SIZE)

    def _seal_inner(self) -> None:
        inner, self._inner, self._inner_room = self._inner, [], 0
        assert self.channel is not None
        if len(inner) == 1:
            opcode, request_id, push, payload = inner[0]
            message = self.channel.seal(1, self._inner_tier, opcode, request_id, payload, push)
        else:
            message = self.channel.seal(1, self._inner_tier, NOP, 0, tunnel.pack(inner, 1))
        self._messages.append(message)


def _nothing() -> None:
    pass
