"""The syntax and the pictures of i2c-tools: examples from their manual pages, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_client.cli import i2c_syntax as syntax
from myclerk_client.cli.numbers import dump, hex_bytes, hex_line, integer


def transfer(line: str) -> list[dict[str, Any]]:
    return [dict(message.fields) for message in syntax.parse_transfer(line.split())]


# -- i2ctransfer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        ("w1@0x50 0x64 r8", [{"address": 0x50, "write": b"\x64"}, {"address": 0x50, "read": 8}]),
        ("w17@0x50 0x42 0xff-", [{"address": 0x50, "write": b"\x42" + bytes(range(0xFF, 0xEF, -1))}]),
        ("w4@80 1 0xfe+", [{"address": 80, "write": b"\x01\xfe\xff\x00"}]),
        ("w3@0x50 0x11=", [{"address": 0x50, "write": b"\x11\x11\x11"}]),
        ("w3@0x50 0x00p", [{"address": 0x50, "write": b"\x00\x50\xb0"}]),
        ("w0@0x50", [{"address": 0x50, "write": b""}]),
        ("r0x10@0x1d r1@0x1e", [{"address": 0x1D, "read": 16}, {"address": 0x1E, "read": 1}]),
        ("w1@0x50 0 r?", [{"address": 0x50, "write": b"\0"}, {"address": 0x50, "read_block": True}]),
        ("isw1@0x50 0", [{"address": 0x50, "write": b"\0", "ignore_nak": True, "no_start": True}]),
        (
            "nptr2@0x50",
            [{"address": 0x50, "read": 2, "no_read_ack": True, "stop": True, "reverse_direction": True}],
        ),
    ],
)
def test_transfers_are_read_as_i2ctransfer_does(line: str, messages: list[dict[str, Any]]) -> None:
    assert transfer(line) == messages


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "say what to transfer"),
        ("x1@0x50", "describes no message"),
        ("w1", "says no address"),
        ("w1@0x50", "needs 1 bytes"),
        ("w2@0x50 1", "needs 2 bytes"),
        ("w2@0x50 1 r1", "needs 2 bytes"),
        ("w1@0x50 256", "a byte"),
        ("w1@0x50 1 2", "describes no message"),
        ("r1@0x80", "an address"),
        ("r1@bus", "an address"),
        ("r8193@0x50", "a length"),
        ("w?@0x50", "only a read"),
    ],
)
def test_transfers_that_make_no_sense_are_refused(line: str, problem: str) -> None:
    with pytest.raises(click.BadParameter, match=problem):
        transfer(line)


@given(st.lists(st.text("0x12rw@?+-=ip ", max_size=8), max_size=5))
def test_no_words_break_the_parser(words: list[str]) -> None:
    try:
        syntax.parse_transfer(words)
    except click.BadParameter:
        pass


@given(st.integers(0, 0x7F), st.binary(max_size=32))
def test_what_is_written_out_is_read_back(address: int, data: bytes) -> None:
    words = [f"w{len(data)}@0x{address:02x}", *(f"0x{byte:02x}" for byte in data)]
    (message,) = syntax.parse_transfer(words)
    assert message.fields == {"address": address, "write": data}


# -- i2cset, i2cget, i2cdump -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("", ([], "c", False)),
        ("cp", ([], "c", True)),
        ("0x42", ([0x42], "b", False)),
        ("0x42 bp", ([0x42], "b", True)),
        ("0x5000 w", ([0x5000], "w", False)),
        ("1 2 3 s", ([1, 2, 3], "s", False)),
        ("1 2 3 i", ([1, 2, 3], "i", False)),
    ],
)
def test_values_and_mode(line: str, parsed: tuple[list[int], str, bool]) -> None:
    assert syntax.parse_values(line.split()) == parsed


@pytest.mark.parametrize(
    "line", ["0x100", "0x10000 w", "1 2", "c 1", "1 c", "s", "1 ip", "0x42 q", f"{'1 ' * 33}i"]
)
def test_values_that_make_no_sense_are_refused(line: str) -> None:
    with pytest.raises(click.BadParameter):
        syntax.parse_values(line.split())


def test_ranges() -> None:
    assert syntax.parse_range("0x10-0x1f") == (0x10, 0x1F)
    for wrong in ("5", "0x1f-0x10", "0-256", "-", "a-b"):
        with pytest.raises(click.BadParameter):
            syntax.parse_range(wrong)


def test_modes() -> None:
    assert syntax.parse_mode("wp", "bw") == ("w", True)
    for wrong in ("s", "bq", "", "pw", "ip"):
        with pytest.raises(click.BadParameter):
            syntax.parse_mode(wrong, "bwi")


# -- pictures ----------------------------------------------------------------------------------------------

DETECTED = """\
     0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f
00:                         -- -- -- -- -- -- -- -- 
10: -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- 
20: -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- 
30:                         -- -- -- -- -- -- -- -- 
40: -- -- -- -- -- -- -- -- UU -- -- -- -- -- -- -- 
50: 50 -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- 
60: -- -- -- -- -- -- -- -- 68 -- -- -- -- -- -- -- 
70: -- -- -- -- -- -- -- --                         """  # noqa: W291 (i2cdetect ends its lines so)


def test_the_grid_of_i2cdetect() -> None:
    grid, lines = syntax.Grid(), [syntax.GRID_HEAD]
    special = {0x48: "busy", 0x50: "present", 0x68: "present", **dict.fromkeys(range(0x30, 0x38), "skipped")}
    for address in range(0x08, 0x78):
        grid.add({"address": address, "state": special.get(address, "absent")})
        rows = list(grid.rows(address + 1))
        assert bool(rows) is (address % 16 == 15)  # a row as soon as it is complete
        lines += rows
    lines += grid.rows(0x80)
    assert "\n".join(lines) == DETECTED


DUMPED = """\
     0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f    0123456789abcdef
10:                         48 69 00 ff 01 80 XX 7e            Hi..??X~
20: 20 21                                               !"""


def test_the_picture_of_i2cdump() -> None:
    values: dict[int, int | None] = dict(
        zip(range(0x18, 0x22), [0x48, 0x69, 0, 0xFF, 1, 0x80, None, 0x7E, 0x20, 0x21], strict=True)
    )
    assert [line.rstrip() for line in syntax.draw_bytes(values)] == DUMPED.splitlines()


def test_the_picture_of_words() -> None:
    values: dict[int, int | None] = {register: register * 0x101 for register in range(6, 10)} | {7: None}
    assert list(syntax.draw_words(values)) == [
        "     0,8  1,9  2,a  3,b  4,c  5,d  6,e  7,f",
        "00:                               0606 XXXX ",
        "08: 0808 0909                               ",
    ]


# -- numbers and bytes -------------------------------------------------------------------------------------


def test_numbers_in_all_notations() -> None:
    number = integer(0, 0xFF)
    assert [number(text) for text in ("72", "0x48", "0o110", "0b1001000")] == [72] * 4
    for wrong in ("256", "-1", "48h", "", "0x"):
        with pytest.raises(click.BadParameter):
            number(wrong)


def test_bytes_in_all_notations() -> None:
    assert hex_bytes(["9f", "0x00 A5a5", "0Xff"]) == b"\x9f\x00\xa5\xa5\xff"
    for wrong in ("9", "0x", "9f0", "xyz", "9f 0", "0x9g"):
        with pytest.raises(click.BadParameter):
            hex_bytes([wrong])


@given(st.binary(max_size=64))
def test_bytes_shown_are_bytes_read(data: bytes) -> None:
    for show in (hex_line, prefixed()):
        assert hex_bytes(show(data).split()) == data


def prefixed() -> Callable[[bytes], str]:
    return lambda data: hex_line(data, "0x")


def test_dumps_look_like_those_of_xxd() -> None:
    assert list(dump(b"Hello, myclerk!\n\xff\x00\x01")) == [
        "00000000: 4865 6c6c 6f2c 206d 7963 6c65 726b 210a  Hello, myclerk!.",
        "00000010: ff00 01                                  ...",
    ]
