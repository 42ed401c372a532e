"""CAN frames as objects, as text of can-utils, as error frames in words, as lines of candump."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_client import CanError, CanFilter, Frame
from myclerk_client.can_frames import FD_LENGTHS, filter_to_wire, from_wire, to_wire
from myclerk_client.cli.can_text import Clock, Source, log_line, long_line, parse_log_line


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    extended = draw(st.booleans())
    number = draw(st.integers(0, 0x1FFFFFFF if extended else 0x7FF))
    if draw(st.booleans()):
        size = draw(st.sampled_from(FD_LENGTHS))
        data = draw(st.binary(min_size=size, max_size=size))
        return Frame(
            number, data, extended, is_fd=True, bitrate_switch=draw(st.booleans()),
            error_state_indicator=draw(st.booleans()),
        )  # fmt: skip
    if draw(st.booleans()):
        return Frame(number, bytes(draw(st.integers(0, 8))), extended, is_remote_frame=True)
    return Frame(number, draw(st.binary(max_size=8)), extended)


@given(frames())
def test_text_and_wire_tell_the_same_frame(frame: Frame) -> None:
    assert Frame.parse(str(frame)) == frame
    assert from_wire(0, *to_wire(frame)) == frame


@given(st.text(max_size=30))
def test_any_text_is_a_frame_or_a_value_error(text: str) -> None:
    try:
        frame = Frame.parse(text)
    except ValueError:
        return
    assert Frame.parse(str(frame)) == frame


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("123#DEADBEEF", Frame(0x123, b"\xde\xad\xbe\xef")),
        ("5aa#", Frame(0x5AA)),
        ("5A1#11.2233.44556677.88", Frame(0x5A1, bytes.fromhex("1122334455667788"))),
        ("1F334455#1122", Frame(0x1F334455, b"\x11\x22", is_extended_id=True)),
        ("00000001#", Frame(1, is_extended_id=True)),
        ("123#R", Frame(0x123, is_remote_frame=True)),
        ("123#r8", Frame(0x123, bytes(8), is_remote_frame=True)),
        ("123##0112233", Frame(0x123, b"\x11\x22\x33", is_fd=True)),
        ("123##1", Frame(0x123, is_fd=True, bitrate_switch=True)),
        ("213##311", Frame(0x213, b"\x11", is_fd=True, bitrate_switch=True, error_state_indicator=True)),
        ("213##0" + "11" * 9, Frame(0x213, b"\x11" * 9 + bytes(3), is_fd=True)),
        ("20000040#0000000000000000", Frame(0x40, bytes(8), is_error_frame=True)),
    ],
)
def test_the_syntax_of_cansend_is_understood(text: str, frame: Frame) -> None:
    assert Frame.parse(text) == frame


@pytest.mark.parametrize(
    "text",
    ["", "123", "12#00", "1234#00", "800#", "40000000#", "123#0", "123#0.0", "123#112233445566778899", "123#R9",
     "123##", "123##0" + "00" * 65, "123#GG", "123 #00", "#00"],
)  # fmt: skip
def test_what_cansend_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no CAN frame|at most"):
        Frame.parse(text)


@pytest.mark.parametrize(
    "frame",
    [Frame(0x800), Frame(-1), Frame(0x20000000, is_extended_id=True), Frame(1 << 40, is_error_frame=True)],
)
def test_an_identifier_that_cannot_be_is_refused_before_it_is_sent(frame: Frame) -> None:
    with pytest.raises(ValueError, match="arbitration ID"):
        to_wire(frame)


def test_a_received_frame_knows_when_it_came_and_from_where() -> None:
    frame = from_wire(1_700_000_000_123_456_789, 0x123, 0x40 | 0x80, b"x")
    assert frame.timestamp_ns == 1_700_000_000_123_456_789
    assert frame.timestamp == pytest.approx(1_700_000_000.123457, abs=1e-6)
    assert (frame.is_rx, frame.is_own, frame.error) == (False, True, None)


@pytest.mark.parametrize(
    ("can_id", "text"),
    [(0x12345678, "678#"), (0x92345678, "12345678#"), (0x20000080, "20000080#"), (0x40001234, "234#R")],
)
def test_an_identifier_has_as_many_bits_as_its_kind(can_id: int, text: str) -> None:
    """A program on the board can put what it likes on a virtual bus; a log with it must be one that can be played."""
    assert str(from_wire(0, can_id, 0, b"")) == text
    assert Frame.parse(text).arbitration_id == from_wire(0, can_id, 0, b"").arbitration_id


@pytest.mark.parametrize(
    ("wanted", "wire"),
    [
        (CanFilter(0x123), (0x123, 0x1FFFFFFF, False)),
        (CanFilter(0x123, 0x7FF, extended=False), (0x123, 0x800007FF, False)),
        (CanFilter(0x123, 0x7FF, extended=True), (0x80000123, 0x800007FF, False)),
        (CanFilter(0x100, 0x700, inverted=True), (0x100, 0x700, True)),
    ],
)
def test_filters_choose_the_kind_of_identifier(wanted: CanFilter, wire: tuple[int, int, bool]) -> None:
    assert tuple(filter_to_wire(wanted).values()) == wire


# -- error frames ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error_class", "data", "text"),
    [
        (0x001, "0000000000000000", "tx-timeout"),
        (0x002, "0500000000000000", "lost-arbitration{at bit 5}"),
        (0x004, "0001000000000000", "controller-problem{rx-overflow}"),
        (0x204, "0030000000008180", "controller-problem{rx-error-passive,tx-error-passive},"
                                     "error-counter-tx-rx{{129}{128}}"),
        (0x004, "0008000000006007", "controller-problem{tx-error-warning},error-counter-tx-rx{{96}{7}}"),
        (0x088, "0000840800000000", "protocol-violation{{bit-stuffing-error,error-on-tx}{crc-sequence}},bus-error"),
        (0x008, "0000010000000000", "protocol-violation{{single-bit-error}{}}"),
        (0x010, "0000000074000000", "transceiver-status{canh-no-wire,canl-short-to-ground}"),
        (0x020, "0000000000000000", "no-acknowledgement-on-tx"),
        (0x040, "0000000000000000", "bus-off"),
        (0x100, "0000000000000000", "restarted-after-bus-off"),
        (0x200, "0000000000000000", "error-counter-tx-rx{{0}{0}}"),
    ],
)  # fmt: skip
def test_error_frames_in_words(error_class: int, data: str, text: str) -> None:
    error = Frame(error_class, bytes.fromhex(data), is_error_frame=True).error
    assert str(error) == text


@given(st.integers(0, 0x1FFFFFFF), st.binary(max_size=8))
def test_every_error_frame_can_be_told(error_class: int, data: bytes) -> None:
    error = CanError.decode(error_class, data)
    assert isinstance(str(error), str)
    assert len(error.classes) == (error_class & 0x3FF).bit_count()


# -- candump -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "indent", "ascii", "line"),
    [
        (Frame(0x123, b"\xde\xad\xbe\xef"), False, False, "123   [4]  DE AD BE EF"),
        (Frame(0x123, b"AB\x00"), False, True, "123   [3]  41 42 00                  'AB.'"),
        (Frame(0x123, b"A"), True, False, "     123   [1]  41"),
        (Frame(0x1234, b"A", is_extended_id=True), True, False, "00001234   [1]  41"),
        (Frame(0x123, bytes(2), is_remote_frame=True), False, False, "123   [2]  remote request"),
        (Frame(0x123, bytes(12), is_fd=True), False, False, "123  [12]  " + " ".join(["00"] * 12)),
        (Frame(0x4, bytes(8), is_error_frame=True), False, False,
         "20000004   [8]  00 00 00 00 00 00 00 00   ERRORFRAME"),
    ],
)  # fmt: skip
def test_lines_are_those_of_candump(frame: Frame, indent: bool, ascii: bool, line: str) -> None:
    assert long_line(frame, indent=indent, ascii=ascii) == line


def test_timestamps_are_those_of_candump(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    stamps = [1_436_509_052_249_713_999, 1_436_509_052_349_713_000, 1_436_509_063_000_000_000]
    shown = {kind: [clock.show(stamp) for stamp in stamps] for kind in "aAdz" for clock in [Clock(kind)]}
    assert shown["a"] == ["(1436509052.249713)", "(1436509052.349713)", "(1436509063.000000)"]
    assert shown["A"][0] == "(2015-07-10 06:17:32.249713)"
    assert shown["d"] == ["(000.000000)", "(000.099999)", "(010.650287)"]
    assert shown["z"] == ["(000.000000)", "(000.099999)", "(010.750286)"]


@given(frames(), st.integers(0, 4_000_000_000_000_000))
def test_log_lines_come_back(frame: Frame, microseconds: int) -> None:
    stamped = from_wire(microseconds * 1000, *to_wire(frame))
    assert parse_log_line(log_line("can0", stamped)) == (microseconds * 1000, "can0", frame)


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("(1436509052.249713) vcan0 044#2A366C2BBA\n",
         (1_436_509_052_249_713_000, "vcan0", Frame(0x44, bytes.fromhex("2A366C2BBA")))),
        ("(0.5) can0 123##1AA R", (500_000_000, "can0", Frame(0x123, b"\xaa", is_fd=True, bitrate_switch=True))),
        ("", None),
        ("date Mon Sep 30 15:06:13 2013", None),
    ],
)  # fmt: skip
def test_logs_of_candump_can_be_read(line: str, record: object) -> None:
    assert parse_log_line(line) == record


@pytest.mark.parametrize(
    "line", ["(1.5)", "(x) can0 123#", "(1.5) can0", "(1.5) can0 123", "(1.5) can0 123# X"]
)
def test_lines_that_are_no_log_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_log_line(line)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("can0", Source("can0")),
        (
            "can0,123:7FF,400~700",
            Source("can0", [CanFilter(0x123, 0x7FF), CanFilter(0x400, 0x700, inverted=True)]),
        ),
        ("can0,12345678:DFFFFFFF", Source("can0", [CanFilter(0x92345678, 0xDFFFFFFF)])),
        ("can0,00000123:800007FF", Source("can0", [CanFilter(0x80000123, 0x800007FF)])),
        ("can0,0:0,#FFFFFFFF", Source("can0", [CanFilter(0, 0)], error_mask=0x1FFFFFFF)),
        ("can0,#40", Source("can0", None, error_mask=0x40)),
        ("can0,1:7,2:7,j", Source("can0", [CanFilter(1, 7), CanFilter(2, 7)], joined=True)),
    ],
)
def test_the_filters_of_candump_are_understood(text: str, source: Source) -> None:
    assert Source.parse(text) == source


@pytest.mark.parametrize(
    "text", ["", ",1:1", "can0,", "can0,1", "can0,xyz:7", "can0,#", "can0,#x", "can0,#-5", "can0,12345:7FF"]
)
def test_what_candump_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Source.parse(text)
