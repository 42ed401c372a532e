"""Messages on a byte stream (docs/protocol.md, Framing)."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol.framing import VIEW_FROM, Deframer, frame
from myclerk_protocol.status import LocalError, MalformedMessage

LIMIT = 1 << 20
MESSAGES = st.lists(st.binary(min_size=1, max_size=300), max_size=12)


def drain(deframer: Deframer, limit: int = LIMIT) -> list[bytes]:
    messages = []
    while (message := deframer.next(limit)) is not None:
        messages.append(bytes(message))
    return messages


def test_a_frame_is_a_big_endian_length_and_the_message() -> None:
    assert frame(b"hello") == b"\x00\x00\x00\x05hello"
    assert frame(memoryview(b"hello")) == b"\x00\x00\x00\x05hello"


def test_an_empty_message_is_not_framed() -> None:
    with pytest.raises(LocalError):
        frame(b"")


def test_nothing_fed_is_no_message() -> None:
    deframer = Deframer()
    assert deframer.next(LIMIT) is None
    deframer.feed(b"")
    assert deframer.next(LIMIT) is None


@given(MESSAGES)
def test_a_stream_fed_whole(messages: list[bytes]) -> None:
    deframer = Deframer()
    deframer.feed(b"".join(map(frame, messages)))
    assert drain(deframer) == messages


@given(MESSAGES)
def test_a_stream_fed_byte_by_byte(messages: list[bytes]) -> None:
    deframer = Deframer()
    received = []
    for byte in b"".join(map(frame, messages)):
        deframer.feed(bytes([byte]))
        received += drain(deframer)
    assert received == messages


@given(MESSAGES, st.data())
def test_a_stream_fed_in_random_pieces_and_drained_now_and_then(
    messages: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(frame, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    deframer = Deframer()
    received = []
    for start, end in pairwise([0, *cuts, len(stream)]):
        deframer.feed(stream[start:end])
        for _ in range(data.draw(st.integers(0, 3))):
            message = deframer.next(LIMIT)
            received += [] if message is None else [bytes(message)]
    assert received + drain(deframer) == messages


@pytest.mark.parametrize("piece", [1000, VIEW_FROM - 1, VIEW_FROM, 100_003, 1 << 20])
def test_large_messages_in_pieces_stay_intact_while_more_is_fed(piece: int) -> None:
    messages = [
        bytes([number]) * size for number, size in enumerate((VIEW_FROM, 5, 1 << 18, VIEW_FROM + 1, 9))
    ]
    stream = b"".join(map(frame, messages))
    deframer = Deframer()
    received: list[bytes | memoryview] = []
    for start in range(0, len(stream), piece):
        deframer.feed(stream[start : start + piece])
        while (message := deframer.next(LIMIT)) is not None:
            received.append(message)
    assert received == messages


def test_length_zero_is_malformed() -> None:
    deframer = Deframer()
    deframer.feed(bytes(4))
    with pytest.raises(MalformedMessage):
        deframer.next(LIMIT)


def test_a_length_above_the_limit_is_refused_before_its_body_arrives() -> None:
    deframer = Deframer()
    deframer.feed(b"\x00\x00\x10")
    assert deframer.next(4096) is None
    deframer.feed(b"\x01")
    with pytest.raises(MalformedMessage, match="4097"):
        deframer.next(4096)


def test_a_length_of_four_gibibytes_costs_no_memory() -> None:
    deframer = Deframer()
    tracemalloc.start()
    try:
        deframer.feed(b"\xff\xff\xff\xff" + bytes(10))
        with pytest.raises(MalformedMessage):
            deframer.next(LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_refused_length_stays_refused() -> None:
    deframer = Deframer()
    deframer.feed(frame(b"fine") + bytes(4) + frame(b"behind"))
    assert deframer.next(LIMIT) == b"fine"
    for _ in range(2):
        with pytest.raises(MalformedMessage):
            deframer.next(LIMIT)


def test_a_message_as_long_as_the_limit_is_fine() -> None:
    deframer = Deframer()
    deframer.feed(frame(bytes(4096)))
    assert deframer.next(4096) == bytes(4096)


def test_each_message_is_judged_by_the_limit_of_its_own_time() -> None:
    """Message n+1 is judged after message n, which may have raised the limit."""
    deframer = Deframer()
    deframer.feed(frame(bytes(100)) + frame(bytes(5000)))
    assert deframer.next(4096) == bytes(100)
    assert deframer.next(32768) == bytes(5000)


def test_a_large_message_in_tiny_pieces_is_not_copied_for_each() -> None:
    """1 MiB in 64-byte pieces: copying what is there for each piece would move 8 GiB."""
    body = bytes(range(256)) * 4096
    stream = frame(body)
    deframer = Deframer()
    for start in range(0, len(stream) - 64, 64):
        deframer.feed(stream[start : start + 64])
        assert deframer.next(LIMIT) is None
    deframer.feed(stream[-(len(stream) % 64 or 64) :])
    assert deframer.next(LIMIT) == body
