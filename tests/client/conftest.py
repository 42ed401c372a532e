"""Fixtures of the tests of the command line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import Run

from myclerk_client.cli import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """XDG_CONFIG_HOME of a user without boards; logging is what it was afterwards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MYCLERK_BOARD", raising=False)
    handlers, level = list(logging.root.handlers), logging.getLogger("myclerk").level
    yield tmp_path
    logging.root.handlers[:] = handlers
    logging.getLogger("myclerk").setLevel(level)


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `myclerk` in this process."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        return int(str(ended.value.code)), *capsys.readouterr()

    return run
