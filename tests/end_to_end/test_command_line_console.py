"""`myclerk serial console` against a real agent, in a pipe and on a terminal."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import termios
from pathlib import Path

import pytest
from programs import (
    MYCLERK,
    OwnAgent,
    Run,
    program,
    until_held,
)

import support


def test_a_pipe_through_the_console(run: Run) -> None:
    data = os.urandom(100_000)
    assert run("serial", "console", "echo", input=data) == (0, data, "")
    assert run("serial", "console", "echo", "--crlf", input=b"a\nb\r\n") == (0, b"a\r\nb\r\n", "")
    assert run("serial", "console", "echo", "--idle", "0.1", input=b"") == (0, b"", "")


def test_the_console_as_json_lines(run: Run) -> None:
    data = b"\x00\xffbinary\n" * 1000
    code, out, err = run("serial", "console", "echo", "--json", input=data)
    assert (code, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert b"".join(base64.b64decode(record["data"]) for record in records) == data


def test_the_console_takes_a_file_and_keeps_a_log(paired_home: Path, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"from a file\n")
    (tmp_path / "log").write_bytes(b"before, ")
    with (tmp_path / "input").open("rb") as source:
        ended = subprocess.run(
            [*MYCLERK, "serial", "console", "echo", "--log", str(tmp_path / "log")],
            stdin=source,
            capture_output=True,
            env=support.environment(paired_home),
            timeout=60,
        )
    assert (ended.returncode, ended.stdout) == (0, b"from a file\n")
    assert (tmp_path / "log").read_bytes() == b"before, from a file\n"


def test_the_console_ends_quietly_when_nobody_reads(paired_home: Path) -> None:
    with program(paired_home, "serial", "console", "echo") as console:
        assert console.process.stdout is not None
        console.type(b"x")
        console.expect(b"x")
        console.process.stdout.close()
        console.type(b"y")
        assert console.process.wait(20) == 0


def test_a_terminal_is_raw_in_the_console_and_as_before_behind_it(paired_home: Path) -> None:
    with program(paired_home, "serial", "console", "echo", "--baud", "115200", terminal=True) as console:
        assert console.terminal is not None
        before = termios.tcgetattr(console.terminal)
        console.expect(b"serial:echo at 115200 8N1")
        console.expect(b"to quit\r\n")
        console.type(b"hello \x03\x04\r")
        console.expect(b"hello \x03\x04\r")
        assert not termios.tcgetattr(console.terminal)[3] & termios.ICANON
        console.type(b"\x1d?")
        console.expect(b"toggle DTR")
        console.type(b"\x1db")
        console.expect(b"break sent\r\n")
        console.type(b"\x1dd")
        console.expect(b"modem lines")
        console.type(b"still here\x1d\x1d!")
        console.expect(b"still here\x1d!")
        console.type(b"\x1dq")
        assert console.process.wait(20) == 0
        assert termios.tcgetattr(console.terminal) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_terminal_as_it_was(paired_home: Path, number: int, code: int) -> None:
    with program(paired_home, "serial", "console", "echo", "--echo", "--crlf", terminal=True) as console:
        assert console.terminal is not None
        before = termios.tcgetattr(console.terminal)
        console.expect(b"to quit")
        console.type(b"a\r")
        console.expect(b"a\r\n")
        console.expect(b"a\r\n")
        assert console.stop(number) == code
        assert termios.tcgetattr(console.terminal) == before


def test_interrupted_by_ctrl_c(run: Run, paired_home: Path) -> None:
    with program(paired_home, "serial", "read", "echo", "--size", "1000000") as reader:
        until_held(run)
        assert reader.stop(signal.SIGINT) == 130
        assert reader.process.stdout is not None
        assert reader.process.stdout.read() == b""


def test_a_device_that_is_gone_ends_the_console(own_agent: OwnAgent) -> None:
    _, device, home = own_agent
    with program(home, "serial", "console", "echo") as console:
        console.type(b"x")
        console.expect(b"x")
        device.close()
        assert console.process.wait(20) == 8
        console.expect(b"myclerk: ")
