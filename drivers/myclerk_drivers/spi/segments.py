"""The segments of a transfer: checked before anything is sent, cut where that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from myclerk_protocol.status import BadRequest, TooLarge

from .settings import LINES

MOST_BYTES = 1 << 20
"""Bytes of one transfer in each direction, however it is sent: what a request or an answer has room for."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a message with everything decided. ``data`` None sends zeros; delays are in microseconds."""

    data: bytes | None
    size: int
    receive: bool
    speed_hz: int
    bits_per_word: int
    cs_change: bool = False
    delay_us: int = 0
    word_delay_us: int = 0
    tx_lines: int = 1
    rx_lines: int = 1

    @property
    def word(self) -> int:
        """Bytes of memory that a word takes."""
        return 1 if self.bits_per_word <= 8 else 2 if self.bits_per_word <= 16 else 4

    @property
    def seconds(self) -> float:
        """How long it takes at least."""
        words = self.size // self.word
        lines = self.tx_lines if self.data is not None else self.rx_lines
        clock = words * self.bits_per_word / lines / self.speed_hz
        return clock + (self.delay_us + words * self.word_delay_us) / 1e6


def parse(fields: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> list[Segment]:
    """The segments of a request; what one does not say is as in the device's ``settings``.

    Raises BadRequest whose ``key`` names the segment (``segments[1].size``).
    """
    return [_segment(segment, f"segments[{i}]", settings) for i, segment in enumerate(fields)]


def _segment(fields: Mapping[str, Any], key: str, settings: Mapping[str, Any]) -> Segment:
    data, size = fields.get("data"), fields.get("size")
    if (data is None) is (size is None):
        raise BadRequest(f"`{key}` must have either `data` or `size`", key=key)
    receive = fields.get("receive", True)
    if data is None and not receive:
        raise BadRequest(f"`{key}` has `size`, so it receives", key=f"{key}.receive")
    if data and receive and settings["three_wire"]:
        raise BadRequest(
            f"`{key}` cannot send and receive on one data line; set `receive` to false", key=f"{key}.receive"
        )
    common = ("speed_hz", "bits_per_word", "delay_us", "word_delay_us", "tx_lines", "rx_lines")
    values = {name: fields.get(name, settings[name]) for name in common}
    for name in LINES:
        if values[name] > settings[name]:
            wire = name.replace("_", "-")
            raise BadRequest(f"`{key}.{wire}` is more than the device's settings have", key=f"{key}.{wire}")
    length = size if data is None else len(data)
    segment = Segment(data, length or 0, receive, cs_change=fields.get("cs_change", False), **values)
    if segment.size % segment.word:
        raise BadRequest(
            f"`{key}` must have whole words: {segment.bits_per_word} bits take {segment.word} bytes", key=key
        )
    return segment


def messages(segments: Sequence[Segment], limit: int, name: str, *, no_cs: bool) -> list[list[Segment]]:
    """The messages to send ``segments`` in: one, of at most ``limit`` bytes in each direction.

    Between messages the kernel releases chip select, so more is TooLarge; only where there is none (``no_cs``) it
    is cut.
    """
    if _fits(segments, limit):
        return [list(segments)]
    if not no_cs:
        raise too_large(limit, name)
    if not _fits(segments, MOST_BYTES):
        raise TooLarge(f"one transfer with {name} can have at most {MOST_BYTES} bytes in each direction")
    return [[piece] for segment in segments for piece in _pieces(segment, limit)]


def _fits(segments: Sequence[Segment], limit: int) -> bool:
    sent = sum(segment.size for segment in segments if segment.data is not None)
    received = sum(segment.size for segment in segments if segment.receive)
    return sent <= limit and received <= limit


def _pieces(segment: Segment, limit: int) -> Iterator[Segment]:
    step = limit - limit % segment.word
    for start in range(0, segment.size, step):
        size = min(step, segment.size - start)
        data = None if segment.data is None else segment.data[start : start + size]
        last = start + size == segment.size
        yield replace(segment, data=data, size=size, delay_us=segment.delay_us if last else 0)


def too_large(limit: int, name: str) -> TooLarge:
    """The error to raise for a transfer that does not fit into the kernel's buffer."""
    return TooLarge(
        f"one transfer with {name} can have at most {limit} bytes in each direction, and cutting it would release"
        " chip select; spidev's parameter `bufsiz` raises that: spidev.bufsiz=65536 on the board's kernel command"
        " line, or `options spidev bufsiz=65536` in /etc/modprobe.d"
    )
