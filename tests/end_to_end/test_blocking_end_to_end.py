"""The blocking API as its users write it, through a real agent, on a real tty."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import myclerk.blocking as myclerk
import support
from myclerk.blocking import Board, KnownBoards, SerialPort


@pytest.fixture
def board(paired_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(paired_home))
    with Board.connect("bench") as board:
        yield board


@pytest.fixture
def port(board: Board, echo_port: str) -> Iterator[SerialPort]:
    with board.serial.open(echo_port, baud=115200) as port:
        yield port


def test_a_script_writes_and_reads(port: SerialPort) -> None:
    assert port.settings["baud"] == 115200
    assert port.write(b"hello\n", drain=True) == 6
    assert port.read_until(b"\n", timeout=5) == b"hello\n"
    port.write(b"abcdef")
    assert port.read_exactly(4, timeout=5) == b"abcd"
    assert port.read(timeout=5) == b"ef"


def test_a_timeout_returns_what_there_is(port: SerialPort) -> None:
    started = time.monotonic()
    assert port.read(timeout=0.2) == b""
    assert 0.15 < time.monotonic() - started < 5


def test_iterating_over_a_port(port: SerialPort) -> None:
    port.write(b"one line\n")
    received = b""
    for chunk in port:
        received += chunk
        if received.endswith(b"\n"):
            break
    assert received == b"one line\n"


def test_what_the_board_has(board: Board, echo_port: str) -> None:
    assert board.name == "bench"
    assert board.session["tier"] == 5
    assert board.session["resumed"] is False
    assert 0 < board.ping() < 5
    assert echo_port in [device["name"] for device in board.devices("serial")]
    assert board.device(echo_port)["name"] == echo_port
    assert len(board.serial.list()) >= 1


def test_a_batch_has_one_answer_for_each_request(board: Board, echo_port: str) -> None:
    with board.batch() as batch:
        known = batch.add("DEVICE_INFO", resource=echo_port)
        unknown = batch.add("DEVICE_INFO", resource="serial:nowhere")
    assert known.result()["device"]["name"] == echo_port
    with pytest.raises(myclerk.NotFound):
        unknown.result()


def test_errors_are_those_of_the_asynchronous_api(board: Board) -> None:
    with pytest.raises(myclerk.NotFound):
        board.serial.open("nowhere")
    with pytest.raises(myclerk.NotPaired, match="nobody"):
        Board.connect("nobody")


def test_a_lock_keeps_the_others_off(board: Board, paired_home: Path, echo_port: str) -> None:
    with Board.connect("bench", boards=KnownBoards(paired_home / "myclerk")) as other:
        with board.lock(echo_port), pytest.raises(myclerk.Conflict):
            other.serial.open(echo_port)
        with other.serial.open(echo_port) as port:
            port.write(b"mine")
            assert port.read_exactly(4, timeout=5) == b"mine"


def test_one_thread_reads_what_another_writes(port: SerialPort) -> None:
    data = os.urandom(256 << 10)
    writer = threading.Thread(target=port.write, args=(data,))
    writer.start()
    assert port.read_exactly(len(data), timeout=60) == data
    writer.join()


def test_many_threads_share_a_board(board: Board, echo_port: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(board.device, [echo_port] * 400))
    assert {answer["name"] for answer in answers} == {echo_port}


def test_a_dropped_connection_is_resumed_under_a_blocking_reader(board: Board, port: SerialPort) -> None:
    assert port.write(b"before\n") == 7
    assert port.read_until(timeout=5) == b"before\n"
    reader = ThreadPoolExecutor(1)
    line = reader.submit(port.read_until, timeout=30)
    board.link.drop_connection()
    assert port.write(b"after\n") == 6
    assert line.result() == b"after\n"
    assert board.session["resumed"] is True
    reader.shutdown()


INTERRUPTED = """
from myclerk.blocking import Board
import sys
with Board.connect("bench") as board, board.serial.open(sys.argv[1]) as port:
    port.write(b"half")
    assert port.read_exactly(4, timeout=5) == b"half"
    port.write(b"part")
    print("reading", flush=True)
    try:
        port.read_until(b"never")
    except KeyboardInterrupt:
        print(port.read_exactly(4, timeout=5).decode(), flush=True)
"""


def test_ctrl_c_interrupts_a_read_and_loses_nothing(paired_home: Path, echo_port: str) -> None:
    script = [sys.executable, "-c", INTERRUPTED, echo_port]
    environment = support.environment(paired_home)
    with subprocess.Popen(script, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "part\n")


def test_pairing_by_a_blocking_call(running_agent: support.AgentProcess, tmp_path: Path) -> None:
    boards = KnownBoards(tmp_path)
    assert myclerk.pair(running_agent.link(), name="mine", boards=boards).name == "mine"
    with Board.connect(boards=boards) as board:
        assert board.name == "mine"
