"""What commands print, and how their errors are told."""

from __future__ import annotations

import base64
import json
import signal
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_client import AgentNotTrusted, ConnectionLost, NotPaired, SessionLost
from myclerk_client.cli.outcomes import OUTCOMES, Interrupted, epilog, outcome, report
from myclerk_client.cli.output import Columns, Output, clean, data_record, jsonable
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    Forbidden,
    HardwareError,
    InvalidSession,
    LocalError,
    MalformedMessage,
    NotFound,
    OperationTimeout,
    Unauthorized,
    Unsupported,
)

HOSTILE = "ttyUSB0\x1b]0;owned\x07\x1b[2J\u202eexe\n\r\x9b31m"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequest("no"), 1),
        (NotFound("no"), 1),
        (Unsupported("no"), 1),
        (HardwareError("no", errno="EIO"), 1),
        (LocalError("no"), 1),
        (MalformedMessage("no"), 1),
        (OSError(28, "No space left on device"), 1),
        (click.ClickException("no"), 1),
        (click.UsageError("no"), 2),
        (click.BadParameter("no"), 2),
        (NotPaired("no"), 3),
        (ConnectionLost("no"), 4),
        (SessionLost("no"), 4),
        (InvalidSession("no"), 4),
        (AgentNotTrusted("no"), 5),
        (Unauthorized("no"), 5),
        (Forbidden("no"), 5),
        (Conflict("no", holder="ann"), 6),
        (OperationTimeout("no"), 7),
        (TimeoutError(), 7),
        (DeviceGone("no"), 8),
        (ZeroDivisionError("no"), 70),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (Interrupted(signal.SIGINT), 130),
        (Interrupted(signal.SIGTERM), 143),
        (Interrupted(signal.SIGHUP), 129),
    ],
)
def test_every_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert outcome(error).code == code


def test_the_help_lists_every_exit_code() -> None:
    text = epilog()
    assert all(f"{row.code:>5}  {row.meaning}" in text for row in OUTCOMES)
    assert len({row.code for row in OUTCOMES}) == len(OUTCOMES)


def test_an_error_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(Conflict("it is locked by ann", holder="ann"), as_json=False) == 6
    assert capsys.readouterr().err == "myclerk: it is locked by ann\n"


def test_the_errno_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    report(HardwareError("the write failed", errno="EIO"), as_json=False)
    report(HardwareError("the write failed with EIO", errno="EIO"), as_json=False)
    told = capsys.readouterr().err
    assert told == "myclerk: the write failed (EIO)\nmyclerk: the write failed with EIO\n"


def test_an_error_as_json_has_status_message_and_details(capsys: pytest.CaptureFixture[str]) -> None:
    report(Forbidden("not at this tier", required_tier=5), as_json=True)
    assert json.loads(capsys.readouterr().err) == {
        "error": {"status": "FORBIDDEN", "message": "not at this tier", "details": {"required-tier": 5}}
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_a_hostile_message_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    report(Conflict(HOSTILE, errno=HOSTILE), as_json=as_json)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("\n")
    assert printed.err[:-1].isprintable()


def test_an_error_without_a_message_still_says_something(capsys: pytest.CaptureFixture[str]) -> None:
    report(TimeoutError(), as_json=False)
    assert capsys.readouterr().err == "myclerk: not done in time\n"


def test_a_file_that_fails_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    report(PermissionError(13, "Permission denied", "/tmp/log"), as_json=False)
    assert capsys.readouterr().err == "myclerk: /tmp/log: Permission denied\n"


def test_a_defect_asks_for_another_run_and_shows_no_details(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(RuntimeError("secret of the device"), as_json=False) == 70
    told = capsys.readouterr().err
    assert told == "myclerk: unexpected RuntimeError; run the command again with -v to see what went wrong\n"


@given(st.text())
def test_cleaned_text_is_printable_and_keeps_its_length(text: str) -> None:
    assert clean(text).isprintable()
    assert len(clean(text)) == len(text)


def test_plain_text_is_not_changed() -> None:
    assert clean("Grüße, 串口 № 5 → /dev/ttyUSB0") == "Grüße, 串口 № 5 → /dev/ttyUSB0"


@given(st.binary())
def test_bytes_survive_json(data: bytes) -> None:
    record = data_record(data)
    assert base64.b64decode(record["data"]) == data
    assert record.get("text", "").encode() in (b"", data)


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"ok\r\n\t", "ok\r\n\t"), ("ä€".encode(), "ä€"), (b"\xff", None), (b"\x1b[2J", None), (b"\0", None)],
)
def test_text_accompanies_printable_bytes_only(data: bytes, text: str | None) -> None:
    assert data_record(data).get("text") == text


def test_json_has_the_names_of_the_wire() -> None:
    value = {"in_use": True, "list": [{"held_by": None}], "pair": (1, 2.5), "raw": b"\xff"}
    assert jsonable(value) == {"in-use": True, "list": [{"held-by": None}], "pair": [1, 2.5], "raw": "/w=="}


ROWS: list[dict[str, Any]] = [
    {"name": "serial:ttyS0", "who": None},
    {"name": "serial:" + "x" * 200, "who": HOSTILE},
]
COLUMNS: Columns = {"PORT": lambda row: row["name"], "USER": lambda row: row["who"]}


def test_a_table_breaks_no_line_and_ends_without_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    Output(False).table(ROWS, COLUMNS, empty="nothing")
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["PORT", "USER"]
    assert first == "serial:ttyS0"
    assert second == f"serial:{'x' * 200}  {clean(HOSTILE)}"


def test_markup_in_a_cell_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output(False).table([{"name": "[bold]:smile:[/bold]", "who": 5}], COLUMNS, empty="nothing")
    assert capsys.readouterr().out.splitlines()[1] == "[bold]:smile:[/bold]  5"


def test_a_table_as_json_has_all_fields(capsys: pytest.CaptureFixture[str]) -> None:
    Output(True).table(ROWS, {"PORT": lambda row: row["name"]}, empty="nothing")
    assert json.loads(capsys.readouterr().out) == ROWS


def test_an_empty_table_is_a_note_or_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    Output(False).table([], COLUMNS, empty="there is nothing")
    Output(True).table([], COLUMNS, empty="there is nothing")
    printed = capsys.readouterr()
    assert printed.out == "[]\n"
    assert printed.err == "myclerk: there is nothing\n"


def test_data_passes_as_it_is_or_as_a_line_of_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    Output(False).data(b"\x1b[2J\xff\r")
    assert capsysbinary.readouterr().out == b"\x1b[2J\xff\r"
    Output(True).data(b"ok")
    assert json.loads(capsysbinary.readouterr().out) == {"data": "b2s=", "text": "ok"}


def test_notes_and_lines_for_people_are_not_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(True)
    output.note("a note")
    output.say("a line")
    output.document({"a": 1}, "a line")
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out == '{"a": 1}\n'
