"""Events of the kernel, the reports they form, and the state that these leave."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from myclerk_drivers.hid.events import (
    ABS_MT_SLOT,
    EV_ABS,
    EV_KEY,
    EV_LED,
    EV_SW,
    EVENT_SIZE,
    Assembler,
    Change,
    State,
    pack,
)

REL_X = (2, 0)
KEY_A = (EV_KEY, 30)
TRACKING_ID, MT_X = 0x39, 0x35

keys = st.tuples(st.just(EV_KEY), st.integers(1, 5), st.integers(0, 2))
levels = st.tuples(st.sampled_from([EV_SW, EV_LED, EV_ABS]), st.integers(0, 3), st.integers(-2, 2))
slots = st.tuples(st.just(EV_ABS), st.just(ABS_MT_SLOT), st.integers(0, 3))
contacts = st.tuples(st.just(EV_ABS), st.sampled_from([TRACKING_ID, MT_X]), st.integers(-1, 3))
motions = st.tuples(st.just(2), st.integers(0, 1), st.integers(-5, 5))
reports = st.lists(
    st.lists(st.one_of(keys, levels, slots, contacts, motions), min_size=1, max_size=5), max_size=8
)


def test_an_event_is_what_the_kernel_writes() -> None:
    assert struct.calcsize("l") * 2 + 8 == EVENT_SIZE
    data = struct.pack("@llHHi", 1_700_000_000, 250, 1, 30, -1) + struct.pack(
        "@llHHi", 1_700_000_000, 260, 0, 0, 0
    )
    assert Assembler().feed(data) == ([(1_700_000_000_000_260_000, [(1, 30, -1)])], 0)
    assert pack([(1, 30, -1)], 1_700_000_000_000_250_999)[:EVENT_SIZE] == data[:EVENT_SIZE]


@given(reports, st.integers(1, 7))
def test_reports_come_whole_however_they_are_read(given_reports: list[list[Change]], events: int) -> None:
    data = b"".join(pack(changes, 1000 * number) for number, changes in enumerate(given_reports))
    assembler, found = Assembler(), []
    for start in range(0, len(data), events * EVENT_SIZE):
        complete, lost = assembler.feed(data[start : start + events * EVENT_SIZE])
        assert lost == 0
        found += complete
    assert [list(report.changes) for report in found] == given_reports
    assert [report.timestamp_ns for report in found] == [
        1000 * number for number in range(len(given_reports))
    ]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_whole_events(data: bytes) -> None:
    complete, lost = Assembler().feed(data)
    assert sum(len(report.changes) + 1 for report in complete) <= len(data) // EVENT_SIZE
    assert lost >= 0


def test_what_the_kernel_dropped_ends_what_can_be_believed() -> None:
    assembler = Assembler()
    half = pack([(*KEY_A, 1)])[:EVENT_SIZE]
    overrun = pack([(0, 3, 0)])[:EVENT_SIZE]
    later = pack([(*KEY_A, 0)]) + pack([(*KEY_A, 1)])
    complete, lost = assembler.feed(pack([(*REL_X, 7)]) + half + overrun + later)
    assert [list(report.changes) for report in complete] == [[(*REL_X, 7)]]
    assert lost == 3
    assert [list(report.changes) for report in assembler.feed(later)[0]] == [[(*KEY_A, 0)], [(*KEY_A, 1)]]


@given(reports, reports)
def test_the_changes_from_one_state_to_another_lead_there(
    first: list[list[Change]], second: list[list[Change]]
) -> None:
    state = State(contacts={})
    for changes in first:
        state.apply(changes)
    target = state.copy()
    for changes in second:
        target.apply(changes)
    way = state.changes_to(target)
    state.apply(way)
    assert state == target
    assert target.changes_to(target) == []
    assert not [change for change in way if change[:1] == (2,)], "motions are not repeated"


def test_a_copy_is_apart() -> None:
    state = State(contacts={0: {MT_X: 1}})
    copy = state.copy()
    copy.apply([(*KEY_A, 1), (EV_ABS, MT_X, 2), (EV_SW, 0, 1)])
    assert state == State(contacts={0: {MT_X: 1}})


def test_a_repeat_presses_nothing() -> None:
    state = State()
    state.apply([(*KEY_A, 2)])
    assert state.keys == set()


def test_contacts_without_slots_are_not_kept() -> None:
    state = State()
    state.apply([(EV_ABS, MT_X, 2)])
    assert state == State()
