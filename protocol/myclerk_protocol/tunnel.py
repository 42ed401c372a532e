"""Batches: tier 0 messages inside one sealed NOP (docs/protocol.md, Tunnel).

A batch is a run of ``length(32) ‖ first byte ‖ [Request ID(32)] ‖ opcode(16) ‖ body``; both loops below run
once per quick operation and are written for speed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .operations import OPERATIONS, Opcode
from .status import BadRequest, LocalError

MAX_MESSAGES = 1024
"""Messages in one batch."""

FORBIDDEN_OPCODES: frozenset[int] = frozenset(
    operation.code
    for operation in OPERATIONS
    if operation.family in ("session", "key") or operation.code == Opcode.CLIENT_REGISTER
)
"""What no batch may hold: NOP, session and key operations, CLIENT_REGISTER."""

_LENGTH = 4
_PUSH = 0x02
_FIRST_BYTES = (0x00, 0x40)
_HEADS = (struct.Struct(">IBH"), struct.Struct(">IBIH"))


class Inner(NamedTuple):
    """A message of a batch. ``request_id`` is 0 in version 0; ``payload`` is a slice of the carrier's."""

    opcode: int
    request_id: int
    push: bool
    payload: bytes | memoryview


class TunnelError(BadRequest):
    """A batch that does not parse; nothing of it is executed.

    ``request_ids`` are those read before the fault, for the answer.
    """

    def __init__(self, message: str, request_ids: Sequence[int]) -> None:
        super().__init__(message, request_ids=list(request_ids))
        self.request_ids = list(request_ids)


def is_batch(payload: bytes | memoryview) -> bool:
    """Whether a NOP's payload is a batch: not empty, and no MessagePack map (first byte below 0x80)."""
    return len(payload) > 0 and payload[0] < 0x80


def pack(inner_messages: Iterable[tuple[int, int, bool, bytes | memoryview]], version: int = 1) -> bytes:
    """The payload that carries these messages (:class:`Inner`, or tuples like it) in order.

    Raises LocalError for none, for more than 1,024, and for an operation that no batch may hold. Version 0
    drops the Request IDs.
    """
    parts: list[bytes | memoryview] = []
    append = parts.append
    head = _HEADS[version].pack
    fixed = _HEADS[version].size - _LENGTH
    first = _FIRST_BYTES[version]
    forbidden = FORBIDDEN_OPCODES
    try:
        for opcode, request_id, push, payload in inner_messages:
            if opcode in forbidden:
                raise LocalError(f"operation 0x{opcode:04X} cannot travel in a batch")
            flags = first | _PUSH if push else first
            if version:
                append(head(fixed + len(payload), flags, request_id, opcode))
            else:
                append(head(fixed + len(payload), flags, opcode))
            append(payload)
    except struct.error as error:
        raise LocalError(f"a field of a message in a batch is out of range: {error}") from None
    if not 0 < len(parts) <= 2 * MAX_MESSAGES:
        raise LocalError(f"a batch holds 1 to {MAX_MESSAGES} messages, not {len(parts) // 2}")
    return b"".join(parts)


def parse(payload: bytes | memoryview, version: int) -> list[Inner]:
    """The messages of a batch in order; ``version`` is the carrier's. Zero bytes hold none.

    Whether a push makes sense is the receiver's to judge, message by message. Raises TunnelError for a bad
    length, another tier or version, C or E, a missing opcode, a forbidden operation, a 1,025th message.
    """
    messages: list[Inner] = []
    append = messages.append
    new = tuple.__new__  # the generated constructor would take a quarter of this loop
    head = _HEADS[version].unpack_from
    size = _HEADS[version].size
    pushed = _FIRST_BYTES[version] | _PUSH
    forbidden = FORBIDDEN_OPCODES
    total = len(payload)
    last = total - size
    position = request_id = 0
    for _ in range(MAX_MESSAGES):
        if position > last:
            break
        if version:
            length, flags, request_id, opcode = head(payload, position)
        else:
            length, flags, opcode = head(payload, position)
        start = position + size
        end = position + _LENGTH + length
        if flags | _PUSH != pushed or not start <= end <= total or opcode in forbidden:
            break
        append(new(Inner, (opcode, request_id, flags & _PUSH != 0, payload[start:end])))
        position = end
    if position < total:
        raise _fault(payload, position, version, messages)
    return messages


def _fault(
    payload: bytes | memoryview, position: int, version: int, messages: Sequence[Inner]
) -> TunnelError:
    """What is wrong with the message at ``position``, its fields judged in the order they are read."""
    request_ids = [message.request_id for message in messages] if version else []
    number = len(messages) + 1
    if number > MAX_MESSAGES:
        return TunnelError(f"a batch holds at most {MAX_MESSAGES} messages", request_ids)
    start = position + _LENGTH
    length = int.from_bytes(payload[position:start], "big")
    opcode_at = start + (5 if version else 1)
    if not opcode_at <= start + length <= len(payload):
        return TunnelError(f"message {number} of the batch has a bad length", request_ids)
    if payload[start] | _PUSH != _FIRST_BYTES[version] | _PUSH:
        return TunnelError(
            f"message {number} of the batch has another tier or version, or is compressed or encrypted",
            request_ids,
        )
    if version:
        request_ids.append(int.from_bytes(payload[start + 1 : opcode_at], "big"))
    if start + length < opcode_at + 2:
        return TunnelError(f"message {number} of the batch has no opcode", request_ids)
    opcode = int.from_bytes(payload[opcode_at : opcode_at + 2], "big")
    return TunnelError(f"operation 0x{opcode:04X} cannot travel in a batch", request_ids)
