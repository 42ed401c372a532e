"""Frames between the wire and the kernel's structures."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_drivers.can import frames
from myclerk_drivers.can.backend import ERROR, EXTENDED, FD_FRAME, LOCAL, OWN, REMOTE
from myclerk_protocol.status import BadRequest

MSG_DONTROUTE, MSG_CONFIRM = 0x4, 0x800

IDS = st.integers(0, 0x7FF) | st.integers(0, 0x1FFFFFFF).map(lambda number: number | EXTENDED)
CLASSIC = st.tuples(IDS, st.just(0), st.binary(max_size=8))
FD = st.tuples(
    IDS,
    st.integers(0, 3).map(lambda flags: flags | FD_FRAME),
    st.sampled_from(sorted(frames.FD_LENGTHS)).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
)


@given(CLASSIC | FD)
def test_what_is_packed_comes_back(frame: tuple[int, int, bytes]) -> None:
    frames.check([frame])
    packed = frames.pack(*frame)
    assert len(packed) == (72 if frame[1] & FD_FRAME else 16)
    assert frames.unpack(packed, 5) == (5, *frame)


def test_the_layout_is_that_of_linux_can_h() -> None:
    assert frames.pack(0x123 | EXTENDED, 0, b"\x01\x02") == struct.pack(
        "=IBBBB8s", 0x123 | EXTENDED, 2, 0, 0, 0, b"\x01\x02"
    )
    assert frames.pack(0x7, FD_FRAME | 1, bytes(12)) == struct.pack("=IBBBB64s", 7, 12, 5, 0, 0, b"")


def test_a_remote_frame_has_a_length_and_no_data() -> None:
    packed = struct.pack("=IBBBB8s", 0x55 | REMOTE, 4, 0, 0, 0, b"garbage!")
    assert frames.unpack(packed, 0) == (0, 0x55 | REMOTE, 0, bytes(4))


@pytest.mark.parametrize(
    ("message_flags", "flags"),
    [(0, 0), (MSG_DONTROUTE, LOCAL), (MSG_DONTROUTE | MSG_CONFIRM, LOCAL | OWN)],
)
def test_the_socket_says_who_sent_a_frame(message_flags: int, flags: int) -> None:
    assert frames.unpack(frames.pack(1, 0, b""), 0, message_flags) == (0, 1, flags, b"")


def test_what_only_received_frames_have_is_not_handed_to_the_kernel() -> None:
    assert frames.pack(1, FD_FRAME | LOCAL | OWN, b"") == frames.pack(1, FD_FRAME, b"")


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ((0x800, 0, b""), "extended"),
        ((0x800 | REMOTE, 0, b""), "extended"),
        ((1 | ERROR, 0, bytes(8)), "error frames"),
        ((1, 0, bytes(9)), "at most 8"),
        ((1, 1, b""), "CAN FD"),
        ((1, 2, b""), "CAN FD"),
        ((1, FD_FRAME, bytes(9)), "12, 16"),
        ((1 | REMOTE, FD_FRAME, b""), "remote"),
    ],
)
def test_what_no_bus_could_carry_is_refused_with_its_place(frame: Any, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem) as refused:
        frames.check([(1, 0, b""), frame])
    assert refused.value.details["key"] == "frames[1]"
