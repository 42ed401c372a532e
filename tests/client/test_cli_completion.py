"""What the shell completes, asked as bash asks; boards come from the user's file, never from the network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runner import Run, pair_as

from myclerk_client.cli.names import remember_resources


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
    pair_as("bench")
    pair_as("attic")
    assert complete("forget", "b") == ["bench"]
    assert complete("-b", "a") == ["attic"]
    assert complete("ping", "--board", "be") == ["bench"]


def test_a_damaged_file_completes_to_nothing(complete: Callable[..., list[str]], home: Path) -> None:
    pair_as("bench")
    (home / "myclerk" / "boards.json").write_text("{")
    assert complete("forget", "b") == []


def test_resources_complete_as_they_were_listed_last(complete: Callable[..., list[str]]) -> None:
    pair_as("bench")
    assert complete("lock", "s") == []
    remember_resources("bench", ["serial:ttyUSB0", "serial:ttyACM0", "gpio:gpiochip0", "bad\nplain,rm"])
    assert complete("lock", "serial:ttyU") == ["serial:ttyUSB0"]
    assert complete("lock", "") == ["gpio:gpiochip0", "serial:ttyACM0", "serial:ttyUSB0"]
    assert complete("serial", "console", "") == ["ttyACM0", "ttyUSB0"]
    remember_resources("bench", ["serial:ttyS0"], "serial")
    assert complete("operations", "") == ["gpio:gpiochip0", "serial:ttyS0"]


def test_resources_complete_for_the_board_of_the_command_line(complete: Callable[..., list[str]]) -> None:
    pair_as("one")
    pair_as("two")
    remember_resources("one", ["serial:a"])
    remember_resources("two", ["serial:b"])
    remember_resources("unix:/run/agent", ["serial:c"])
    assert complete("serial", "link", "") == []
    assert complete("-b", "one", "serial", "link", "") == ["a"]
    assert complete("-b", "two", "serial", "link", "") == ["b"]
    assert complete("-b", "unix:/run/agent", "serial", "link", "") == ["c"]


def test_a_damaged_cache_is_forgotten(complete: Callable[..., list[str]], home: Path) -> None:
    pair_as("bench")
    remember_resources("bench", ["serial:a"])
    (home / "cache" / "myclerk" / "resources.json").write_text('["not", "a", "table"]')
    assert complete("serial", "link", "") == []
    remember_resources("bench", ["serial:a"])
    assert complete("serial", "link", "") == ["a"]
