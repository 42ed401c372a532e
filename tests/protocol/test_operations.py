"""The registry against the profile's own list, tests/opcodes.csv."""

from __future__ import annotations

import csv
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from myclerk_protocol.operations import ANSWER_OPCODES, OPERATIONS, REGISTRY, Opcode, Operation, Registry
from myclerk_protocol.status import LocalError

OPCODES = Path(__file__).parent.parent / "opcodes.csv"
VENDOR = Operation(0xF001, "ACME_BLINK", "acme", 3, 0xF001, None, "Blink")


def test_registry_equals_the_published_list() -> None:
    with OPCODES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(OPERATIONS) == len(REGISTRY) == len(rows) == 160
    for operation, row in zip(OPERATIONS, rows, strict=True):
        assert operation.code == int(row["code"], 16)
        assert operation.name == row["name"]
        assert operation.family == row["family"]
        assert operation.minimum_tier == int(row["min_tier"])
        assert operation.legacy == (int(row["legacy_code"], 16) if row["legacy_code"] else None)
        assert operation.description == row["description"]


def test_printed_registry_is_the_published_list_byte_for_byte(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "argv", ["myclerk_protocol", "operations"])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_module("myclerk_protocol", run_name="__main__")
    assert exit_info.value.code == 0
    assert capsysbinary.readouterr().out == OPCODES.read_bytes()


@pytest.mark.parametrize("arguments", [[], ["opcodes"], ["operations", "extra"]])
def test_command_line_refuses_anything_else(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["myclerk_protocol", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_module("myclerk_protocol", run_name="__main__")
    output = capsys.readouterr()
    assert exit_info.value.code == 2
    assert output.out == ""
    assert "usage: python -m myclerk_protocol operations" in output.err


def test_look_up_by_code_name_and_constant() -> None:
    operation = REGISTRY.by_code(0x0624)
    assert operation is not None
    assert operation is REGISTRY.by_name("GPIO_LINE_SET")
    assert operation.code == Opcode.GPIO_LINE_SET
    assert operation.code == 0x0624
    assert operation.response == 0x0624
    assert type(operation.code) is int


def test_unknown_operations() -> None:
    assert REGISTRY.by_code(0x0009) is None
    assert REGISTRY.by_code(0xF001) is None
    with pytest.raises(LocalError, match="gpio_line_set"):
        REGISTRY.by_name("gpio_line_set")


def test_legacy_aliases_resolve() -> None:
    sms_send = REGISTRY.by_code(0xF351)
    assert sms_send is not None
    assert sms_send is REGISTRY.by_name("SMS_SEND")
    assert sms_send.code == 0x0B51
    aliases = [code for code in range(0xF000, 0x10000) if REGISTRY.by_code(code)]
    assert len(aliases) == 31
    assert (aliases[0], aliases[-1]) == (0xF350, 0xF37A)
    for alias in aliases:
        operation = REGISTRY.by_code(alias)
        assert operation is not None
        assert operation.code == alias - 0xF350 + 0x0B50


def test_the_drafts_pairs_answer_under_their_second_code() -> None:
    answered = {operation.code: operation.response for operation in OPERATIONS}
    pairs = {code: response for code, response in answered.items() if code != response}
    assert pairs == {0x0001: 0x0002, 0x0003: 0x0004, 0x0005: 0x0006, 0x0007: 0x0008, 0x0010: 0x0011}
    assert frozenset(pairs.values()) == ANSWER_OPCODES


def test_a_third_party_extends_the_registry() -> None:
    extended = REGISTRY.extended([VENDOR])
    assert extended.by_code(0xF001) is VENDOR
    assert extended.by_name("ACME_BLINK") is VENDOR
    assert extended.by_name("NOP").code == 0
    assert len(extended) == 161
    assert REGISTRY.by_code(0xF001) is None


@pytest.mark.parametrize("code", [0xF000, 0xF34F, 0xF37B, 0xFFFE])
def test_bounds_of_the_vendor_range(code: int) -> None:
    addition = replace(VENDOR, code=code, response=code)
    assert REGISTRY.extended([addition]).by_code(code) is addition


@pytest.mark.parametrize(
    "addition",
    [
        replace(VENDOR, code=0x0700, response=0x0700),
        replace(VENDOR, code=0xEFFF, response=0xEFFF),
        replace(VENDOR, code=0xFFFF, response=0xFFFF),
        replace(VENDOR, code=0xF350, response=0xF350),
        replace(VENDOR, name="GPIO_LINE_SET"),
        replace(VENDOR, name="acme-blink"),
        replace(VENDOR, name=""),
        replace(VENDOR, response=0x0624),
        replace(VENDOR, legacy=0xF002),
        replace(VENDOR, minimum_tier=2),
        replace(VENDOR, minimum_tier=6),
    ],
)
def test_additions_that_are_refused(addition: Operation) -> None:
    with pytest.raises(LocalError):
        REGISTRY.extended([addition])


def test_two_additions_with_one_code_or_name_are_refused() -> None:
    with pytest.raises(LocalError, match="0xF001"):
        REGISTRY.extended([VENDOR, replace(VENDOR, name="ACME_OTHER")])
    with pytest.raises(LocalError, match="ACME_BLINK"):
        REGISTRY.extended([VENDOR, replace(VENDOR, code=0xF002, response=0xF002)])


def test_iteration_keeps_the_order() -> None:
    assert tuple(Registry(OPERATIONS)) == OPERATIONS
