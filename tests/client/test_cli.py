"""The command `myclerk` as far as it needs no agent: options, help, errors, completion, what ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from cli_runner import Run, pair_as

from myclerk_client import KnownBoard, KnownBoards
from myclerk_client.cli import main
from myclerk_protocol import __version__

pytestmark = pytest.mark.usefixtures("home")


def commands(command: click.Command = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, sub in command.commands.items():
            yield from commands(sub, (*path, name))


COMMANDS = list(commands())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_a_help(run: Run, path: Sequence[str]) -> None:
    code, out, err = run(*path, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: {' '.join(['myclerk', *path])}")
    assert "Example: myclerk" in out or "Commands:" in out
    assert max(map(len, out.splitlines())) <= 80


def test_commands_are_those_of_the_documentation() -> None:
    assert {" ".join(path) for path in COMMANDS} == {
        "", "discover", "pair", "boards", "forget", "ping", "devices", "lock", "operations", "completion", "serial",
        "serial list", "serial console", "serial link", "serial lines", "serial break", "serial send",
        "serial read", "serial join", "unlock", "hid", "hid list", "hid dump", "hid forward",
        "routes", "routes list", "routes create", "routes delete", "routes modify", "routes priority",
        "i2c", "i2c list", "i2c detect", "i2c get", "i2c set", "i2c transfer", "i2c dump",
        "spi", "spi list", "spi transfer", "spi write", "spi read",
        "can", "can list", "can status", "can send", "can dump", "can play", "can up", "can down", "can configure",
        "gpio", "gpio detect", "gpio info", "gpio get", "gpio set", "gpio mon", "gpio pwm",
        "w1", "w1 list", "w1 search", "w1 temp", "w1 resolution", "w1 alarm", "w1 read", "w1 write", "w1 reset",
        "w1 rom",
        "access", "access show", "access explain", "access grant", "access revoke", "access group", "access hub",
        "access share",
        "clients", "clients list", "clients show", "clients assign", "clients unassign", "clients revoke",
        "clients heartbeat",
        "requests", "requests list", "requests show", "requests create", "requests approve", "requests reject",
        "requests cancel",
        "call", "call answer", "call dial", "call hangup", "call watch",
        "gnss", "gnss config", "gnss history", "gnss off", "gnss on", "gnss position",
        "modem", "modem init", "modem list", "modem network", "modem release", "modem signal", "modem status",
        "modem ussd",
        "sms", "sms delete", "sms list", "sms receive", "sms send",
        "usb", "usb attach", "usb capture", "usb detach", "usb list", "usb port", "usb serve",
    }  # fmt: skip


def test_options_have_the_names_of_the_wire(run: Run) -> None:
    _, out, _ = run("serial", "console", "--help")
    for name in ("--baud", "--data-bits", "--parity", "--stop-bits", "--rts-cts", "--xon-xoff"):
        assert name in out


def test_the_help_lists_exit_codes_and_global_options(run: Run) -> None:
    _, out, _ = run("--help")
    for text in ("Exit codes:", "130  interrupted", "--board", "--json", "--timeout", "--verbose"):
        assert text in out


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version") == (0, f"myclerk, version {__version__}\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ["ping"], ["devices"], ["operations"], ["lock", "serial:x", "true"], ["serial", "list"],
        ["serial", "console", "x"], ["serial", "link", "x"], ["serial", "lines", "x"],
        ["serial", "break", "x"], ["serial", "send", "x", "y"], ["serial", "read", "x"],
    ],
)  # fmt: skip
def test_without_a_paired_board_nothing_works_and_the_way_out_is_told(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (3, "")
    assert err.startswith("myclerk: no board is paired; run `myclerk-agent invite`")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [["--json", "ping"], ["ping", "--json"], ["serial", "--json", "list"]])
def test_json_is_understood_in_every_place(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (3, "")
    error = json.loads(err)["error"]
    assert error["status"] == "NOT_PAIRED"
    assert "no board is paired" in error["message"]
    assert error["details"] == {}


@pytest.mark.parametrize("words", [["-b", "other", "ping"], ["ping", "--board", "other"]])
def test_the_board_is_understood_in_every_place(run: Run, words: list[str]) -> None:
    pair_as("bench")
    code, _, err = run(*words)
    assert code == 3
    assert "no board named 'other'" in err


def test_the_board_may_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pair_as("bench")
    monkeypatch.setenv("MYCLERK_BOARD", "another")
    assert "no board named 'another'" in run("ping")[2]
    assert "no board named 'given'" in run("-b", "given", "ping")[2]
    monkeypatch.setenv("MYCLERK_BOARD", "unix:/nowhere")
    assert run("ping")[0] == 4


def test_several_boards_must_be_told_apart(run: Run) -> None:
    pair_as("one")
    pair_as("two")
    code, _, err = run("ping")
    assert code == 3
    assert "one, two" in err


def test_a_board_that_is_not_there_cannot_be_reached(run: Run) -> None:
    pair_as("bench")
    code, out, err = run("ping")
    assert (code, out) == (4, "")
    assert err.startswith("myclerk: the board cannot be reached")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"], ["--nonsense", "ping"], ["ping", "--count", "0"], ["ping", "--timeout", "0"],
        ["lock", "x"], ["lock", "x", "no-such-program-here"], ["serial", "console"],
        ["serial", "console", "x", "--baud", "0"],
        ["serial", "console", "x", "--parity", "maybe"], ["serial", "break", "x", "--duration", "11"],
        ["serial", "console", "x", "--data-bits", "9"], ["completion", "tcsh"],
        ["serial", "console", "x", "--log", "/nowhere/at/all"],
    ],
)  # fmt: skip
def test_wrong_usage_is_told_before_anything_else(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert "Error:" in err
    code, out, err = run("--json", *words)
    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["status"] == "USAGE"
    assert json.loads(run(*words, "--json")[2])["error"]["status"] == "USAGE"


@pytest.mark.parametrize("words", [[], ["serial"]])
def test_a_group_alone_shows_its_help(run: Run, words: list[str]) -> None:
    code, out, err = run(*words)
    assert code in (0, 2)  # click 8.2 made it wrong usage
    assert "Usage: myclerk" in out + err


@pytest.mark.parametrize(
    "link",
    ["bench.local", "myclerk://", "https://bench/x#y", "myclerk://bench/MDDK#AAAA", "myclerk://h/\x1b[2J#A"],
)
def test_a_bad_link_is_wrong_usage(run: Run, link: str) -> None:
    code, out, err = run("pair", link)
    assert (code, out) == (2, "")
    assert "\x1b" not in err


def test_a_bad_name_is_refused_before_the_invitation_is_spent(run: Run) -> None:
    link = "myclerk://127.0.0.1:1/MDDK-7N6A-727A-JZNO-STRX-XKS7-DJAF#AAJP-KPYV-NSB4-GIYL-AM"
    code, _, err = run("pair", link, "--name", "bad name")
    assert code == 2
    assert "--name" in err
    assert run("pair", link)[0] == 4


def test_a_link_can_come_from_standard_input(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "link").write_text("nothing of a link\n")
    with (tmp_path / "link").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        code, _, err = run("pair", "-")
    assert code == 2
    assert "a link" in err


def test_boards_are_listed_and_forgotten(run: Run) -> None:
    assert run("boards", "--json") == (0, "[]\n", "")
    pair_as("bench", 5657)
    heading, row = run("boards")[1].splitlines()
    assert heading.split() == ["NAME", "ADDRESS", "FINGERPRINT"]
    assert row.split()[:2] == ["bench", "127.0.0.1:5657"]
    (entry,) = json.loads(run("boards", "--json")[1])
    assert (entry["name"], entry["host"], entry["port"]) == ("bench", "127.0.0.1", 5657)
    assert entry["post-quantum"] is True
    assert run("forget", "bench") == (0, "bench is forgotten\n", "")
    assert KnownBoards().all() == []
    assert run("forget", "bench")[0] == 3


def test_a_file_that_others_may_read_is_an_error_and_no_traceback(run: Run, home: Path) -> None:
    pair_as("bench")
    (home / "myclerk" / "boards.json").chmod(0o644)
    code, _, err = run("boards")
    assert code == 1
    assert err.startswith("myclerk: others may read")


def test_a_defect_ends_with_70_and_shows_itself_with_verbose(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: KnownBoards) -> list[KnownBoard]:
        raise ZeroDivisionError("the cause\x1b[2J")

    monkeypatch.setattr(KnownBoards, "all", broken)
    code, out, err = run("boards")
    assert (code, out) == (70, "")
    assert "-v" in err
    assert "Traceback" not in err
    assert "the cause" not in err
    code, _, err = run("boards", "-v")
    assert code == 70
    assert "Traceback" in err
    assert "the cause\ufffd" in err
    assert "\x1b" not in err


# -- as a process ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["completion", "bash"], ["boards", "--json"]])
def test_output_that_nobody_reads_is_no_error(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "myclerk_client.cli", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "myclerk_client.cli", "completion", "zsh"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stderr == b"myclerk: No space left on device\n"
