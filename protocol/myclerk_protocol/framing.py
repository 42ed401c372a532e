"""Messages on a byte stream: a 32-bit length, then the message (docs/protocol.md, Framing)."""

from __future__ import annotations

import struct

from .status import LocalError, MalformedMessage

_LENGTH = struct.Struct(">I")
_PREFIX = _LENGTH.size
_pack_length = _LENGTH.pack
_read_length = _LENGTH.unpack_from

VIEW_FROM = 16 << 10
"""Messages of this many bytes or more are handed out without a copy where that is possible."""


def frame(message: bytes | memoryview) -> bytes:
    """The message behind its length. Raises LocalError when it is empty: a length of 0 is malformed."""
    if not message:
        raise LocalError("an empty message cannot be sent")
    return _pack_length(len(message)) + message


class Deframer:
    """Cuts a received byte stream into messages.

    Feed what arrives, then call :meth:`next` until it returns None. What was fed is copied at most twice, in
    pieces of any size.
    """

    __slots__ = ("_chunk", "_position")

    def __init__(self) -> None:
        # What was received and not taken yet: bytes as fed, or a bytearray once chunks had to be joined.
        self._chunk: bytes | bytearray = b""
        self._position = 0

    def feed(self, data: bytes) -> None:
        """Take in the next bytes of the stream."""
        chunk = self._chunk
        if self._position == len(chunk):
            self._chunk = data
        elif isinstance(chunk, bytearray):
            del chunk[: self._position]  # moves the start, not the bytes
            chunk += data
        else:
            joined = bytearray(memoryview(chunk)[self._position :])
            joined += data
            self._chunk = joined
        self._position = 0

    def next(self, limit: int) -> bytes | memoryview | None:
        """The next whole message, or None until more is fed.

        A length is judged as soon as its 4 bytes are there: raises MalformedMessage when it is 0 or above
        ``limit`` (bytes), and again at each further call.
        """
        chunk = self._chunk
        start = self._position + _PREFIX
        if start > len(chunk):
            return None
        (length,) = _read_length(chunk, self._position)
        if length == 0:
            raise MalformedMessage("a message of length 0")
        if length > limit:
            raise MalformedMessage(f"a message of {length} bytes where {limit} are allowed")
        end = start + length
        if end > len(chunk):
            return None
        self._position = end
        if length < VIEW_FROM:
            return bytes(chunk[start:end])
        view = memoryview(chunk)[start:end]
        if isinstance(chunk, bytearray) and end < len(chunk):
            return bytes(view)  # the array will be joined with more, which a view of it would forbid
        return view
