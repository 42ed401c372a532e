"""The dialogue with a modem: what answers a command, what comes by itself, and what is noise."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_drivers.gsm.at import (
    FREE,
    LONGEST_LINE,
    Command,
    Dialogue,
    Done,
    Event,
    Prompt,
    Unsolicited,
    fields,
)
from myclerk_drivers.gsm.faults import CME, CMS, AtError

CSQ = Command("AT+CSQ", re.compile(r"\+CSQ: ?\d+,\d+"), required=True)
CREG = Command("AT+CREG?", re.compile(r"\+CREG: ?\d+, ?\d+(,.*)?"))


def heard(dialogue: Dialogue, data: bytes, byte_by_byte: bool) -> list[Event]:
    if not byte_by_byte:
        return dialogue.receive(data)
    return [event for byte in data for event in dialogue.receive(bytes([byte]))]


@pytest.mark.parametrize("byte_by_byte", [False, True])
def test_a_response_with_everything_between_its_lines(byte_by_byte: bool) -> None:
    dialogue = Dialogue()
    assert dialogue.start(CSQ) == b"AT+CSQ\r"
    said = (
        b'AT+CSQ\r\r\nRING\r\n\r\n+CREG: 1\r\n\r\n+CSQ: 20,0\r\n\xff\x00\x81\r\n+CMTI: "ME",3\r\n'
        b"NO CARRIER\r\n\r\nOK\r\n"
    )
    events = heard(dialogue, said, byte_by_byte)
    assert events[-1] == Done(["+CSQ: 20,0"], "OK")
    lines = [event.line for event in events if isinstance(event, Unsolicited)]
    assert [line for line in lines if line.isascii()] == ["RING", "+CREG: 1", '+CMTI: "ME",3', "NO CARRIER"]
    assert dialogue.echoes == 1
    assert not dialogue.busy


def test_an_unsolicited_code_of_the_same_name_is_no_answer() -> None:
    dialogue = Dialogue()
    dialogue.start(CREG)
    events = dialogue.receive(b'\r\n+CREG: 5,"1A2B","01C3",7\r\n\r\n+CREG: 2,1,"1A2B","01C3",7\r\n\r\nOK\r\n')
    assert events == [
        Unsolicited('+CREG: 5,"1A2B","01C3",7'),
        Done(['+CREG: 2,1,"1A2B","01C3",7'], "OK"),
    ]


def test_results_of_calls_are_final_for_calls_only() -> None:
    dialogue = Dialogue()
    dialogue.start(Command("ATD123;", places_call=True))
    assert dialogue.receive(b"\r\nBUSY\r\n") == [Done([], "BUSY")]
    dialogue.start(Command("AT"))
    assert dialogue.receive(b"\r\nBUSY\r\n\r\nOK\r\n") == [Unsolicited("BUSY"), Done([], "OK")]


@pytest.mark.parametrize(
    "final", ["ERROR", "+CME ERROR: 10", "+CMS ERROR: 500", "+CME ERROR: SIM not inserted"]
)
def test_errors_are_final(final: str) -> None:
    dialogue = Dialogue()
    dialogue.start(Command("AT+CPIN?"))
    (done,) = dialogue.receive(f"\r\n{final}\r\n".encode())
    assert isinstance(done, Done)
    assert not done.succeeded
    assert AtError("AT+CPIN?", done.final).meaning


def test_codes_in_words() -> None:
    assert AtError("x", "+CME ERROR: 10").meaning == CME[10]
    assert AtError("x", "+CMS ERROR: 322").meaning == CMS[322]
    assert AtError("x", "+CME ERROR: SIM not inserted").meaning == "SIM not inserted"
    assert "9999" in AtError("x", "+CMS ERROR: 9999").meaning


@pytest.mark.parametrize("byte_by_byte", [False, True])
def test_a_prompt_with_a_ring_before_it(byte_by_byte: bool) -> None:
    dialogue = Dialogue()
    command = Command("AT+CMGS=23", re.compile(r"\+CMGS:.*"), payload=b"0011")
    dialogue.start(command)
    assert heard(dialogue, b"\r\nRING\r\n\r\n> ", byte_by_byte) == [Unsolicited("RING"), Prompt()]
    assert dialogue.payload() == b"0011\x1a"
    assert heard(dialogue, b"0011\x1a\r\n+CMGS: 7\r\n\r\nOK\r\n", byte_by_byte)[-1] == Done(
        ["+CMGS: 7"], "OK"
    )


def test_a_prompt_that_was_refused_and_one_that_was_given_up() -> None:
    dialogue = Dialogue()
    command = Command("AT+CMGS=23", payload=b"0011")
    dialogue.start(command)
    assert dialogue.receive(b"\r\n+CMS ERROR: 310\r\n") == [Done([], "+CMS ERROR: 310")]
    dialogue.start(command)
    assert dialogue.abandon() == b"\x1b"
    dialogue.start(CSQ)
    assert dialogue.abandon() == b""


def test_the_pdu_of_a_report_belongs_to_it_even_within_a_list_of_messages() -> None:
    dialogue = Dialogue()
    dialogue.start(Command("AT+CMGL=4", re.compile(r"\+CMGL:.*|[0-9A-F]{4,}")))
    events = dialogue.receive(b"+CMGL: 1,1,,3\r\n+CDS: 25\r\n0006AA\r\n00BBCC\r\nOK\r\n")
    assert events == [Unsolicited("+CDS: 25", "0006AA"), Done(["+CMGL: 1,1,,3", "00BBCC"], "OK")]


def test_ussd_text_of_several_lines_is_one_code() -> None:
    dialogue = Dialogue()
    dialogue.start(Command("AT"))
    said = b'\r\n+CUSD: 1,"1 Balance\r\n2 Data\n3 More",15\r\n\r\nOK\r\n'
    assert dialogue.receive(said) == [Unsolicited('+CUSD: 1,"1 Balance\n2 Data\n3 More",15'), Done([], "OK")]


def test_ussd_text_whose_end_was_lost_does_not_swallow_the_final_code() -> None:
    dialogue = Dialogue()
    dialogue.start(Command("AT"))
    assert dialogue.receive(b'+CUSD: 1,"1 Balance\r\n2 Da\r\nOK\r\n') == [Done([], "OK")]


def test_a_late_ok_does_not_answer_a_command_that_has_information() -> None:
    dialogue = Dialogue()
    dialogue.start(CSQ)
    assert dialogue.receive(b"\r\nOK\r\n\r\n+CSQ: 9,0\r\n\r\nOK\r\n") == [Done(["+CSQ: 9,0"], "OK")]
    assert dialogue.stray == 1
    assert dialogue.receive(b"\r\nOK\r\n\r\nERROR\r\n") == []
    assert dialogue.stray == 3


@pytest.mark.parametrize(
    "line", ["RING", "RDY", "+CREG: 1", "OVER-VOLTAGE WARNNING", "VOICE CALL: END: 000012"]
)
def test_free_information_is_no_unsolicited_code(line: str) -> None:
    assert FREE.fullmatch(line) is None
    assert FREE.fullmatch("SIMCOM INCORPORATED")


def test_a_line_without_end_is_noise_and_costs_no_memory() -> None:
    dialogue = Dialogue()
    dialogue.start(CSQ)
    assert dialogue.receive(b"x" * 10 * LONGEST_LINE) == []
    assert dialogue.receive(b"rest\r\n+CSQ: 9,0\r\nOK\r\n") == [Done(["+CSQ: 9,0"], "OK")]
    assert dialogue.discarded >= 10 * LONGEST_LINE


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("+CSQ: 20,0", ["20", "0"]), ('+COPS: 0,0,"A, B",7', ["0", "0", "A, B", "7"]),
        ('+CMGL: 1,0,"",23', ["1", "0", "", "23"]), ("+CMGR: 0,,23", ["0", "", "23"]), ("+X:", []),
        ("+CGPSINFO: ,,,", ["", "", "", ""]), ("+CREG: 0, 1", ["0", "1"]),
    ],
)  # fmt: skip
def test_parameters(line: str, values: list[str]) -> None:
    assert fields(line) == values


@given(st.binary(max_size=600), st.sampled_from([CSQ, CREG, Command("AT+CMGS=1", payload=b"00")]))
def test_noise_raises_nothing_and_the_next_response_is_understood(noise: bytes, command: Command) -> None:
    dialogue = Dialogue()
    dialogue.start(command)
    dialogue.receive(noise)
    if dialogue.busy:
        dialogue.abandon()
    dialogue.receive(b'"\r\nOK\r\n')  # whatever was open is closed
    dialogue.start(CSQ)
    assert dialogue.receive(b"\r\n+CSQ: 1,0\r\n\r\nOK\r\n")[-1] == Done(["+CSQ: 1,0"], "OK")


@given(st.lists(st.sampled_from(
    [b"+CSQ: 9,0", b"OK", b"ERROR", b"RING", b"> ", b'+CUSD: 1,"a', b'b",15', b"+CDS: 3", b"0006AA", b"AT+CSQ", b""]
), max_size=20), st.lists(st.integers(1, 9), max_size=40))  # fmt: skip
def test_how_bytes_are_cut_changes_nothing(lines: list[bytes], cuts: list[int]) -> None:
    said = b"".join(line + b"\r\n" for line in lines)
    whole, pieces = Dialogue(), Dialogue()
    whole.start(CSQ)
    pieces.start(CSQ)
    expected = whole.receive(said)
    found: list[Event] = []
    for cut in cuts:
        found += pieces.receive(said[:cut])
        said = said[cut:]
    assert found + pieces.receive(said) == expected
