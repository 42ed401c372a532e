"""The console's escape commands and line ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_client.cli.keys import ESCAPE, HELP, Action, EscapeReader, LineEnds

PIECES = st.lists(st.binary(max_size=8))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (b"hello\r", [b"hello\r"]),
        (b"\x03\x04\x1a", [b"\x03\x04\x1a"]),
        (b"\x1dq", [Action.QUIT]),
        (b"\x1dQ", [Action.QUIT]),
        (b"\x1db\x1dd\x1dr\x1d?", [Action.BREAK, Action.DTR, Action.RTS, Action.HELP]),
        (b"ab\x1dbcd", [b"ab", Action.BREAK, b"cd"]),
        (b"\x1d\x1d", [b"\x1d"]),
        (b"a\x1d\x1db", [b"a\x1db"]),
        (b"\x1dx", [Action.HELP]),
        (b"\x1d\xff", [Action.HELP]),
        (b"\x1d\x1f", [Action.HELP]),
        (b"", []),
    ],
)
def test_data_and_actions_are_told_apart(typed: bytes, expected: list[bytes | Action]) -> None:
    assert list(EscapeReader().feed(typed)) == expected


def test_an_escape_waits_for_its_key() -> None:
    reader = EscapeReader()
    assert list(reader.feed(b"a\x1d")) == [b"a"]
    assert list(reader.feed(b"q")) == [Action.QUIT]
    assert list(reader.feed(b"q")) == [b"q"]


def test_help_explains_every_action() -> None:
    assert set(HELP) == set(Action)


@given(PIECES)
def test_how_typing_is_cut_into_pieces_does_not_matter(pieces: list[bytes]) -> None:
    def flat(items: list[bytes | Action]) -> list[int | Action]:
        return [x for item in items for x in (item if isinstance(item, bytes) else [item])]

    reader = EscapeReader()
    in_pieces = [item for piece in pieces for item in reader.feed(piece)]
    assert flat(in_pieces) == flat(list(EscapeReader().feed(b"".join(pieces))))


@given(st.binary())
def test_any_data_can_be_typed(data: bytes) -> None:
    typed = data.replace(bytes([ESCAPE]), bytes([ESCAPE, ESCAPE]))
    assert b"".join(item for item in EscapeReader().feed(typed) if isinstance(item, bytes)) == data


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"a\rb"], b"a\r\nb"),
        ([b"a\nb"], b"a\r\nb"),
        ([b"a\r\nb"], b"a\r\nb"),
        ([b"a\r", b"\nb"], b"a\r\nb"),
        ([b"a\r", b"b\n"], b"a\r\nb\r\n"),
        ([b"a\r", b"", b"\n", b"\n"], b"a\r\n\r\n"),
        ([b"\n\n", b"\r\r"], b"\r\n" * 4),
    ],
)
def test_every_line_end_becomes_cr_lf(pieces: list[bytes], expected: bytes) -> None:
    line_ends = LineEnds()
    assert b"".join(map(line_ends.convert, pieces)) == expected


@given(st.lists(st.sampled_from([b"x", b"\r", b"\n", b"\r\n", b""])))
def test_how_lines_are_cut_into_pieces_does_not_matter(pieces: list[bytes]) -> None:
    line_ends = LineEnds()
    assert b"".join(map(line_ends.convert, pieces)) == LineEnds().convert(b"".join(pieces))
