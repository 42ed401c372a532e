"""`myclerk` against a real agent: boards, devices, locks, and serial commands that end by themselves."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path

import pytest
from programs import (
    OwnAgent,
    Run,
    program,
    until_held,
)

import support
from myclerk_client import KnownBoards

# -- pairing and boards ------------------------------------------------------------------------------------


def test_pair_list_use_forget(run: Run, running_agent: support.AgentProcess, tmp_path: Path) -> None:
    home = tmp_path / "someone"
    code, out, err = run("pair", running_agent.link(), "--name", "desk", home=home)
    assert (code, err) == (0, "")
    assert out.startswith(f"paired desk at 127.0.0.1:{running_agent.address[1]}, fingerprint M".encode())
    assert [board["name"] for board in json.loads(run("--json", "boards", home=home)[1])] == ["desk"]
    assert run("ping", "--count", "1", home=home)[0] == 0
    assert run("forget", "desk", home=home)[0] == 0
    assert run("ping", home=home)[0] == 3


def test_a_link_from_standard_input_stays_out_of_the_process_list(
    run: Run, running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    link = running_agent.link().encode()
    code, out, _ = run("--json", "pair", "-", input=link + b"\n", home=tmp_path / "someone")
    assert code == 0
    assert json.loads(out)["host"] == "127.0.0.1"


def test_a_spent_link_is_not_accepted(run: Run, running_agent: support.AgentProcess, tmp_path: Path) -> None:
    link = running_agent.link()
    assert run("pair", link, home=tmp_path / "first")[0] == 0
    code, out, err = run("pair", link, home=tmp_path / "second")
    assert (code, out) == (5, b"")
    assert "not accepted" in err


def test_another_agent_at_the_address_is_not_trusted(run: Run, boards: KnownBoards, tmp_path: Path) -> None:
    home = tmp_path / "fooled"
    shutil.copytree(boards.directory, home / "myclerk")
    known = KnownBoards(home / "myclerk")
    known.update("bench", fingerprint="MDDKN6A727AJZNOSTRXXKS7DJAFQ")
    code, _, err = run("--json", "ping", home=home)
    assert code == 5
    assert json.loads(err)["error"]["status"] == "NOT_TRUSTED"


def test_ping_tells_times_and_protection(run: Run) -> None:
    code, out, _ = run("ping", "--count", "4")
    lines = out.decode().splitlines()
    assert code == 0
    assert len(lines) == 5
    assert lines[-1].endswith("post-quantum")
    figures = json.loads(run("ping", "--count", "4", "--json")[1])
    assert figures["board"] == "bench"
    assert len(figures["seconds"]) == 4
    assert 0 < figures["minimum"] <= figures["average"] <= figures["maximum"]


def test_the_agent_of_this_machine_needs_no_pairing(
    run: Run, running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    board = f"unix:{running_agent.unix_socket}"
    assert run("-b", board, "ping", home=tmp_path)[0] == 0
    code, out, _ = run("serial", "console", "echo", "-b", board, input=b"local", home=tmp_path)
    assert (code, out) == (0, b"local")


# -- devices and locks -------------------------------------------------------------------------------------


def test_devices_say_what_can_be_used(run: Run, echo_port: str) -> None:
    code, out, _ = run("devices", "serial")
    heading, *rows = out.decode().splitlines()
    assert code == 0
    assert heading.split() == ["RESOURCE", "DESCRIPTION", "ACCESS", "IN", "USE", "BY"]
    (row,) = [row for row in rows if row.startswith(f"{echo_port} ")]
    assert row.endswith("read-write")
    (entry,) = [d for d in json.loads(run("devices", "--json")[1]) if d["name"] == echo_port]
    assert (entry["kind"], entry["access"]) == ("serial", "read-write")
    assert run("devices", "i2c")[2].startswith("myclerk: bench shares nothing of kind i2c")


def test_a_listing_feeds_the_completion(run: Run, echo_port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("serial", "list")[0] == 0
    monkeypatch.setenv("_MYCLERK_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "myclerk serial console ec")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert run()[1] == b"plain,echo\n"


def test_operations_are_listed_with_their_codes(run: Run, echo_port: str) -> None:
    listed = {entry["name"]: entry for entry in json.loads(run("operations", "--json")[1])}
    assert listed["SERIAL_PORT_OPEN"]["code"] == 0x0611
    assert "DEVICE_LOCK" in listed
    code, out, _ = run("operations", echo_port)
    assert code == 0
    assert "SERIAL_PORT_OPEN" in out.decode()
    assert "DEVICE_LOCK" not in out.decode()


def test_a_lock_ends_by_its_commands_code(run: Run, echo_port: str) -> None:
    assert run("lock", echo_port, "--", "sh", "-c", "exit 42")[0] == 42
    assert run("lock", echo_port, "true") == (0, b"", "")
    assert run("lock", echo_port, "--", "sh", "-c", "kill -9 $$")[0] == 128 + 9
    code, out, _ = run("lock", echo_port, "--", "cat", input=b"passed on")
    assert (code, out) == (0, b"passed on")


def test_a_locked_resource_is_busy_for_others_until_the_command_ends(
    run: Run, paired_home: Path, echo_port: str
) -> None:
    with program(paired_home, "lock", echo_port, "--", "sh", "-c", "echo locked; read line") as holder:
        holder.expect(b"locked")
        code, _, err = run("lock", echo_port, "true", "--json")
        error = json.loads(err)["error"]
        assert (code, error["status"]) == (6, "CONFLICT")
        assert error["details"]["holder"]
        assert run("serial", "send", echo_port, "x")[0] == 6
        assert "(locked)" in run("devices")[1].decode()
        with program(paired_home, "lock", echo_port, "--wait", "20", "--", "echo", "my turn") as waiter:
            time.sleep(0.3)
            holder.type(b"\n")
            waiter.expect(b"my turn")
            assert waiter.process.wait(20) == 0
        assert holder.process.wait(20) == 0


def test_a_lock_that_fell_is_told(run: Run, echo_port: str) -> None:
    code, _, err = run("lock", echo_port, "--ttl", "0.1", "--", "sleep", "1.5")
    assert code == 0
    assert f"{echo_port} was not locked to the end" in err


def test_a_command_decides_itself_about_signals(paired_home: Path, echo_port: str) -> None:
    script = "trap 'echo stopping; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    with program(paired_home, "lock", echo_port, "--", "sh", "-c", script) as holder:
        holder.expect(b"ready")
        assert holder.stop(signal.SIGTERM) == 3
        holder.expect(b"stopping")


# -- serial: one thing and done ----------------------------------------------------------------------------


def test_ports_are_listed(run: Run, echo_port: str, echo_device: support.EchoDevice) -> None:
    code, out, _ = run("serial", "list")
    assert code == 0
    assert out.split(b"\n")[0].split()[:3] == [b"PORT", b"PATH", b"DESCRIPTION"]
    assert f"{echo_port} " in out.decode()
    (entry,) = [port for port in json.loads(run("serial", "list", "--json")[1]) if port["name"] == echo_port]
    assert entry["path"] == echo_device.path
    assert entry["in-use"] is False


@pytest.fixture
def arrive(echo_device: support.EchoDevice) -> Iterator[Callable[[bytes], None]]:
    """Let bytes arrive at the echo tty before anybody opens it."""
    fd = os.open(echo_device.path, os.O_RDWR | os.O_NOCTTY)
    termios.tcflush(fd, termios.TCIFLUSH)

    def arrive(data: bytes) -> None:
        os.write(fd, data)
        deadline = time.monotonic() + 10
        while int.from_bytes(ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder) < len(data):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    yield arrive
    os.close(fd)


def test_send(run: Run) -> None:
    assert run("serial", "send", "echo", "one") == (0, b"", "")
    assert run("serial", "send", "echo", "--json", "-", input=bytes(1000)) == (0, b'{"written": 1000}\n', "")


def test_read(run: Run, arrive: Callable[[bytes], None]) -> None:
    arrive(b"one end two")
    assert run("serial", "read", "echo", "--until", "end", "--timeout", "20") == (0, b"one end", "")
    arrive(b"\x00\xff45")
    assert run("serial", "read", "echo", "--size", "4", "--timeout", "20") == (0, b"\x00\xff45", "")
    arrive(b"first")
    assert run("serial", "read", "echo", "--timeout", "20") == (0, b"first", "")


def test_reading_gives_what_came_when_the_time_is_over(run: Run, arrive: Callable[[bytes], None]) -> None:
    arrive(b"abc")
    code, out, err = run("serial", "read", "echo", "--size", "10", "--timeout", "0.5", "--json")
    assert code == 7
    assert json.loads(out) == {"data": base64.b64encode(b"abc").decode(), "text": "abc"}
    assert json.loads(err)["error"]["status"] == "TIMEOUT"


def test_a_port_in_use_is_busy(run: Run, paired_home: Path) -> None:
    with program(paired_home, "serial", "read", "echo", "--size", "1000000"):
        until_held(run)
        code, out, err = run("serial", "send", "echo", "x")
        assert (code, out) == (6, b"")
        assert "serial:echo" in err


def test_what_a_port_cannot_do_is_one_sentence(run: Run, echo_port: str) -> None:
    code, out, err = run("serial", "lines", echo_port)
    assert (code, out) == (1, b"")
    assert err.startswith("myclerk: ")
    assert len(err.splitlines()) == 1
    assert run("serial", "lines", echo_port, "--watch")[0] == 1
    assert run("serial", "break", echo_port, "--duration", "0.01") == (0, b"", "")
    assert run("serial", "console", echo_port, "--parity", "even")[0] == 1
    code, _, err = run("serial", "console", "ttyNOWHERE")
    assert code == 1
    assert "ttyNOWHERE" in err


def test_a_limit_for_connecting_and_for_the_whole_command(run: Run, own_agent: OwnAgent) -> None:
    agent, _, home = own_agent
    code, _, err = run("ping", "--count", "100000000", "--timeout", "1", home=home)
    assert code == 7
    assert "1 s" in err
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    try:
        code, _, err = run("--timeout", "0.5", "ping", home=home)
    finally:
        agent.process.send_signal(signal.SIGCONT)
    assert code == 4
    assert "0.5 s" in err
