"""``blocking.pyi`` follows from the asynchronous API, and the runtime and type checkers agree with it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from myclerk_client import blocking, stubs

COMMITTED = Path(blocking.__file__).with_name("blocking.pyi")

SAMPLE = """
from collections.abc import Iterator, Mapping
from typing import Any, assert_type
import myclerk.blocking as myclerk
from myclerk.blocking import Batch, Board, KnownBoard, Pending, SerialPort

assert_type(myclerk.pair("link", name="bench"), KnownBoard)
with Board.connect("bench", timeout=1) as board:
    assert_type(board, Board)
    assert_type(board.session, Mapping[str, Any])
    assert_type(board.serial.list(), list[dict[str, Any]])
    with board.serial.open("ttyUSB0", baud=9600) as port, board.lock("serial:ttyUSB0"):
        assert_type(port, SerialPort)
        assert_type(port.read_until(timeout=1), bytes)
        assert_type(iter(port), Iterator[bytes])
        assert_type(next(iter(port.watch_lines())), dict[str, Any])
    with board.batch() as batch:
        answer = batch.add("KEEPALIVE")
    assert_type(answer, Pending[dict[str, Any]])
    assert_type(answer.result(), dict[str, Any])
"""
WRONG = "from myclerk.blocking import Board\nBoard.connect('bench', patience=1)\n"


def test_the_committed_stub_is_up_to_date() -> None:
    committed, generated = COMMITTED.read_text(), stubs.generate()
    same = ast.dump(ast.parse(committed)) == ast.dump(ast.parse(generated))
    assert same, "run: python -m myclerk_client.stubs, then ruff format"


def test_nothing_in_it_is_asynchronous() -> None:
    for node in ast.walk(ast.parse(stubs.generate())):
        assert not isinstance(node, ast.AsyncFunctionDef)
        if isinstance(node, ast.Name):
            assert node.id not in ("AsyncIterator", "Awaitable", "Coroutine", "Future")


def mypy(*words: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy", reason="mypy is not installed")
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=300)


def test_the_runtime_has_what_the_stub_promises() -> None:
    result = mypy("mypy.stubtest", "myclerk_client.blocking")
    assert result.returncode == 0, result.stdout + result.stderr


def test_type_checkers_see_the_real_types(tmp_path: Path) -> None:
    sample, wrong = tmp_path / "sample.py", tmp_path / "wrong.py"
    sample.write_text(SAMPLE)
    wrong.write_text(WRONG)
    result = mypy("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(sample))
    assert result.returncode == 0, result.stdout + result.stderr
    result = mypy("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(wrong))
    assert 'Unexpected keyword argument "patience"' in result.stdout
