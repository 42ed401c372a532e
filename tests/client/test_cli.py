"""The command `myclerk` as far as it needs no agent: options, help, errors, completion, what ends it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import pytest

from myclerk_client import KnownBoard, KnownBoards
from myclerk_client.cli import main
from myclerk_client.cli.names import remember_resources
from myclerk_protocol import __version__

Run = Callable[..., tuple[int, str, str]]
FINGERPRINT = "MDDKN6A727AJZNOSTRXXKS7DJAFX"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user without boards; logging is what it was afterwards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MYCLERK_BOARD", raising=False)
    handlers, level = list(logging.root.handlers), logging.getLogger("myclerk").level
    yield tmp_path
    logging.root.handlers[:] = handlers
    logging.getLogger("myclerk").setLevel(level)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process: exit code, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        return int(str(ended.value.code)), *capsys.readouterr()

    return run


def remember(name: str, port: int = 1) -> KnownBoard:
    return KnownBoards().add(
        KnownBoard(name, "127.0.0.1", port, FINGERPRINT[: -len(name)] + name.upper(), "00")
    )


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
    assert "Example: myclerk" in out or path == ("serial",)
    assert max(map(len, out.splitlines())) <= 80


def test_commands_are_those_of_the_documentation() -> None:
    assert {" ".join(path) for path in COMMANDS} == {
        "", "pair", "boards", "forget", "ping", "devices", "lock", "operations", "completion", "serial",
        "serial list", "serial console", "serial link", "serial lines", "serial break", "serial send",
        "serial read",
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
    remember("bench")
    code, _, err = run(*words)
    assert code == 3
    assert "no board named 'other'" in err


def test_the_board_may_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    remember("bench")
    monkeypatch.setenv("MYCLERK_BOARD", "another")
    assert "no board named 'another'" in run("ping")[2]
    assert "no board named 'given'" in run("-b", "given", "ping")[2]
    monkeypatch.setenv("MYCLERK_BOARD", "unix:/nowhere")
    assert run("ping")[0] == 4


def test_several_boards_must_be_told_apart(run: Run) -> None:
    remember("one")
    remember("two")
    code, _, err = run("ping")
    assert code == 3
    assert "one, two" in err


def test_a_board_that_is_not_there_cannot_be_reached(run: Run) -> None:
    remember("bench")
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
    remember("bench", 5657)
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
    remember("bench")
    (home / "myclerk" / "boards.json").chmod(0o644)
    code, _, err = run("boards")
    assert code == 1
    assert err.startswith("myclerk: others may read")


def test_a_defect_ends_with_70_and_shows_itself_with_verbose(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: KnownBoards) -> list[KnownBoard]:
        raise ZeroDivisionError("the cause")

    monkeypatch.setattr(KnownBoards, "all", broken)
    code, out, err = run("boards")
    assert (code, out) == (70, "")
    assert "-v" in err
    assert "Traceback" not in err
    assert "the cause" not in err
    code, _, err = run("boards", "-v")
    assert code == 70
    assert "Traceback" in err
    assert "the cause" in err


# -- completion --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(run: Run, shell: str) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0
    assert "_MYCLERK_COMPLETE" in out
    assert json.loads(run("completion", shell, "--json")[1])["shell"] == shell


def test_bash_accepts_its_script(run: Run) -> None:
    script = run("completion", "bash")[1]
    checked = subprocess.run(["bash", "-n"], input=script.encode(), capture_output=True, timeout=30)
    assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.fixture
def complete(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What bash offers for the last of the words."""

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("_MYCLERK_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["myclerk", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        code, out, err = run()
        assert (code, err) == (0, "")
        return [line.partition(",")[2] for line in out.splitlines() if line]

    return complete


def test_commands_and_options_complete(complete: Callable[..., list[str]]) -> None:
    assert complete("bo") == ["boards"]
    assert complete("serial", "li") == ["lines", "link", "list"]
    assert complete("serial", "console", "x", "--da") == ["--data-bits"]
    assert complete("serial", "console", "x", "--parity", "o") == ["odd"]
    assert complete("ping", "--js") == ["--json"]


def test_boards_complete_from_the_file(complete: Callable[..., list[str]]) -> None:
    assert complete("forget", "b") == []
    remember("bench")
    remember("attic")
    assert complete("forget", "b") == ["bench"]
    assert complete("-b", "a") == ["attic"]
    assert complete("ping", "--board", "be") == ["bench"]


def test_a_damaged_file_completes_to_nothing(complete: Callable[..., list[str]], home: Path) -> None:
    remember("bench")
    (home / "myclerk" / "boards.json").write_text("{")
    assert complete("forget", "b") == []


def test_resources_complete_as_they_were_listed_last(complete: Callable[..., list[str]]) -> None:
    remember("bench")
    assert complete("lock", "s") == []
    remember_resources("bench", ["serial:ttyUSB0", "serial:ttyACM0", "gpio:gpiochip0", "bad\nplain,rm"])
    assert complete("lock", "serial:ttyU") == ["serial:ttyUSB0"]
    assert complete("lock", "") == ["gpio:gpiochip0", "serial:ttyACM0", "serial:ttyUSB0"]
    assert complete("serial", "console", "") == ["ttyACM0", "ttyUSB0"]
    remember_resources("bench", ["serial:ttyS0"], "serial")
    assert complete("operations", "") == ["gpio:gpiochip0", "serial:ttyS0"]


def test_resources_complete_for_the_board_of_the_command_line(complete: Callable[..., list[str]]) -> None:
    remember("one")
    remember("two")
    remember_resources("one", ["serial:a"])
    remember_resources("two", ["serial:b"])
    remember_resources("unix:/run/agent", ["serial:c"])
    assert complete("serial", "link", "") == []
    assert complete("-b", "one", "serial", "link", "") == ["a"]
    assert complete("-b", "two", "serial", "link", "") == ["b"]
    assert complete("-b", "unix:/run/agent", "serial", "link", "") == ["c"]


def test_a_damaged_cache_is_forgotten(complete: Callable[..., list[str]], home: Path) -> None:
    remember("bench")
    remember_resources("bench", ["serial:a"])
    (home / "cache" / "myclerk" / "resources.json").write_text('["not", "a", "table"]')
    assert complete("serial", "link", "") == []
    remember_resources("bench", ["serial:a"])
    assert complete("serial", "link", "") == ["a"]


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
