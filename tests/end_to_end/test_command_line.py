"""`myclerk` as a process against a real agent: what a user or a script does with it."""

from __future__ import annotations

import base64
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

import support
from myclerk_client import KnownBoards

MYCLERK = [sys.executable, "-m", "myclerk_client.cli"]


@pytest.fixture
def run(paired_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `myclerk WORDS` as the paired user; returns code, output and error text."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def run(*words: str, input: bytes = b"", home: Path = paired_home) -> tuple[int, bytes, str]:
        ended = support.run_cli(home, *words, input=input)
        return ended.returncode, ended.stdout, ended.stderr.decode()

    return run


class Program:
    """A `myclerk` that keeps running; ``terminal`` gives it one of its own instead of pipes."""

    def __init__(self, home: Path, *words: str, terminal: bool = False) -> None:
        self._seen = bytearray()
        self.terminal: int | None = None
        ends: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
        }
        if terminal:
            self.terminal, slave = pty.openpty()
            ends = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
        self.process = subprocess.Popen(
            [*MYCLERK, *words], env=support.environment(home), start_new_session=True, **ends
        )
        if terminal:
            os.close(slave)

    @property
    def _output(self) -> int:
        if self.terminal is not None:
            return self.terminal
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def type(self, data: bytes) -> None:
        if self.terminal is not None:
            os.write(self.terminal, data)
        else:
            assert self.process.stdin is not None
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def expect(self, text: bytes, timeout: float = 20) -> bytes:
        """What came up to and with ``text``."""
        deadline = time.monotonic() + timeout
        while (at := self._seen.find(text)) < 0:
            ready, _, _ = select.select([self._output], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} did not come, but {bytes(self._seen)!r}"
            chunk = os.read(self._output, 65536)
            assert chunk, f"{text!r} did not come, but {bytes(self._seen)!r} and the end"
            self._seen += chunk
        found = bytes(self._seen[: at + len(text)])
        del self._seen[: at + len(text)]
        return found

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        if self.terminal is not None:
            os.close(self.terminal)


@contextmanager
def program(home: Path, *words: str, terminal: bool = False) -> Iterator[Program]:
    running = Program(home, *words, terminal=terminal)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[tuple[support.AgentProcess, support.EchoDevice, Path]]:
    """An agent that a test may stop, its echo device, and the home of a user who has paired it."""
    device = support.EchoDevice()
    (tmp_path / "agent").mkdir()
    settings = f'[drivers.serial]\nports = {{echo = "{device.path}"}}\n'
    agent = support.AgentProcess(tmp_path / "agent", settings)
    agent.config.write_text(agent.config.read_text().replace("[server]", "[server]\nlinger = 2"))
    agent.start()
    assert support.run_cli(tmp_path, "pair", agent.link(), "--name", "bench").returncode == 0
    yield agent, device, tmp_path
    if agent.process is not None:
        agent.stop()
    device.close()


# -- pairing and boards ------------------------------------------------------------------------------------


def test_pair_list_use_forget(
    run: Callable[..., Any], running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    home = tmp_path / "someone"
    code, out, err = run("pair", running_agent.link(), "--name", "desk", home=home)
    assert (code, err) == (0, "")
    assert out.startswith(f"paired desk at 127.0.0.1:{running_agent.address[1]}, fingerprint M".encode())
    assert [board["name"] for board in json.loads(run("--json", "boards", home=home)[1])] == ["desk"]
    assert run("ping", "--count", "1", home=home)[0] == 0
    assert run("forget", "desk", home=home)[0] == 0
    assert run("ping", home=home)[0] == 3


def test_a_link_from_standard_input_stays_out_of_the_process_list(
    run: Callable[..., Any], running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    link = running_agent.link().encode()
    code, out, _ = run("--json", "pair", "-", input=link + b"\n", home=tmp_path / "someone")
    assert code == 0
    assert json.loads(out)["host"] == "127.0.0.1"


def test_a_spent_link_is_not_accepted(
    run: Callable[..., Any], running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    link = running_agent.link()
    assert run("pair", link, home=tmp_path / "first")[0] == 0
    code, out, err = run("pair", link, home=tmp_path / "second")
    assert (code, out) == (5, b"")
    assert "not accepted" in err


def test_another_agent_at_the_address_is_not_trusted(
    run: Callable[..., Any], boards: KnownBoards, tmp_path: Path
) -> None:
    home = tmp_path / "fooled"
    shutil.copytree(boards.directory, home / "myclerk")
    known = KnownBoards(home / "myclerk")
    known.update("bench", fingerprint="MDDKN6A727AJZNOSTRXXKS7DJAFQ")
    code, _, err = run("--json", "ping", home=home)
    assert code == 5
    assert json.loads(err)["error"]["status"] == "NOT_TRUSTED"


def test_ping_tells_times_and_protection(run: Callable[..., Any]) -> None:
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
    run: Callable[..., Any], running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    board = f"unix:{running_agent.unix_socket}"
    assert run("-b", board, "ping", home=tmp_path)[0] == 0
    code, out, _ = run("serial", "console", "echo", "-b", board, input=b"local", home=tmp_path)
    assert (code, out) == (0, b"local")


# -- devices and locks -------------------------------------------------------------------------------------


def test_devices_say_what_can_be_used(run: Callable[..., Any], echo_port: str) -> None:
    code, out, _ = run("devices", "serial")
    heading, *rows = out.decode().splitlines()
    assert code == 0
    assert heading.split() == ["RESOURCE", "DESCRIPTION", "ACCESS", "IN", "USE", "BY"]
    (row,) = [row for row in rows if row.startswith(f"{echo_port} ")]
    assert row.endswith("read-write")
    (entry,) = [d for d in json.loads(run("devices", "--json")[1]) if d["name"] == echo_port]
    assert (entry["kind"], entry["access"]) == ("serial", "read-write")
    assert run("devices", "i2c")[2].startswith("myclerk: bench shares nothing of kind i2c")


def test_a_listing_feeds_the_completion(
    run: Callable[..., Any], echo_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("serial", "list")[0] == 0
    monkeypatch.setenv("_MYCLERK_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "myclerk serial console ec")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert run()[1] == b"plain,echo\n"


def test_operations_are_listed_with_their_codes(run: Callable[..., Any], echo_port: str) -> None:
    listed = {entry["name"]: entry for entry in json.loads(run("operations", "--json")[1])}
    assert listed["SERIAL_PORT_OPEN"]["code"] == 0x0611
    assert "DEVICE_LOCK" in listed
    code, out, _ = run("operations", echo_port)
    assert code == 0
    assert "SERIAL_PORT_OPEN" in out.decode()
    assert "DEVICE_LOCK" not in out.decode()


def test_a_lock_ends_by_its_commands_code(run: Callable[..., Any], echo_port: str) -> None:
    assert run("lock", echo_port, "--", "sh", "-c", "exit 42")[0] == 42
    assert run("lock", echo_port, "true") == (0, b"", "")
    assert run("lock", echo_port, "--", "sh", "-c", "kill -9 $$")[0] == 128 + 9
    code, out, _ = run("lock", echo_port, "--", "cat", input=b"passed on")
    assert (code, out) == (0, b"passed on")


def test_a_locked_resource_is_busy_for_others_until_the_command_ends(
    run: Callable[..., Any], paired_home: Path, echo_port: str
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


def test_a_lock_that_fell_is_told(run: Callable[..., Any], echo_port: str) -> None:
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


def test_ports_are_listed(run: Callable[..., Any], echo_port: str, echo_device: support.EchoDevice) -> None:
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


def until_held(run: Callable[..., Any]) -> None:
    """Wait until somebody has the echo port open."""
    deadline = time.monotonic() + 20
    while not any(device.get("held-by") for device in json.loads(run("devices", "--json")[1])):
        assert time.monotonic() < deadline


def test_send(run: Callable[..., Any]) -> None:
    assert run("serial", "send", "echo", "one") == (0, b"", "")
    assert run("serial", "send", "echo", "--json", "-", input=bytes(1000)) == (0, b'{"written": 1000}\n', "")


def test_read(run: Callable[..., Any], arrive: Callable[[bytes], None]) -> None:
    arrive(b"one end two")
    assert run("serial", "read", "echo", "--until", "end", "--timeout", "20") == (0, b"one end", "")
    arrive(b"\x00\xff45")
    assert run("serial", "read", "echo", "--size", "4", "--timeout", "20") == (0, b"\x00\xff45", "")
    arrive(b"first")
    assert run("serial", "read", "echo", "--timeout", "20") == (0, b"first", "")


def test_reading_gives_what_came_when_the_time_is_over(
    run: Callable[..., Any], arrive: Callable[[bytes], None]
) -> None:
    arrive(b"abc")
    code, out, err = run("serial", "read", "echo", "--size", "10", "--timeout", "0.5", "--json")
    assert code == 7
    assert json.loads(out) == {"data": base64.b64encode(b"abc").decode(), "text": "abc"}
    assert json.loads(err)["error"]["status"] == "TIMEOUT"


def test_a_port_in_use_is_busy(run: Callable[..., Any], paired_home: Path) -> None:
    with program(paired_home, "serial", "read", "echo", "--size", "1000000"):
        until_held(run)
        code, out, err = run("serial", "send", "echo", "x")
        assert (code, out) == (6, b"")
        assert "serial:echo" in err


def test_what_a_port_cannot_do_is_one_sentence(run: Callable[..., Any], echo_port: str) -> None:
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


def test_a_limit_for_connecting_and_for_the_whole_command(run: Callable[..., Any], own_agent: Any) -> None:
    agent, _, home = own_agent
    code, _, err = run("ping", "--count", "100000000", "--timeout", "1", home=home)
    assert code == 7
    assert "1 s" in err
    agent.process.send_signal(signal.SIGSTOP)
    try:
        code, _, err = run("--timeout", "0.5", "ping", home=home)
    finally:
        agent.process.send_signal(signal.SIGCONT)
    assert code == 4
    assert "0.5 s" in err


# -- serial console ----------------------------------------------------------------------------------------


def test_a_pipe_through_the_console(run: Callable[..., Any]) -> None:
    data = os.urandom(100_000)
    assert run("serial", "console", "echo", input=data) == (0, data, "")
    assert run("serial", "console", "echo", "--crlf", input=b"a\nb\r\n") == (0, b"a\r\nb\r\n", "")
    assert run("serial", "console", "echo", "--idle", "0.1", input=b"") == (0, b"", "")


def test_the_console_as_json_lines(run: Callable[..., Any]) -> None:
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


def test_interrupted_by_ctrl_c(run: Callable[..., Any], paired_home: Path) -> None:
    with program(paired_home, "serial", "read", "echo", "--size", "1000000") as reader:
        until_held(run)
        assert reader.stop(signal.SIGINT) == 130
        assert reader.process.stdout is not None
        assert reader.process.stdout.read() == b""


def test_a_device_that_is_gone_ends_the_console(own_agent: Any) -> None:
    _, device, home = own_agent
    with program(home, "serial", "console", "echo") as console:
        console.type(b"x")
        console.expect(b"x")
        device.close()
        assert console.process.wait(20) == 8
        console.expect(b"myclerk: ")


# -- serial link -------------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The pty, as a program opens it."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        yield fd
    finally:
        os.close(fd)


def exchange(fd: int, data: bytes, timeout: float = 20) -> bytes:
    """Write and read as many bytes back."""
    writer = threading.Thread(
        target=lambda: [os.write(fd, data[i : i + 4096]) for i in range(0, len(data), 4096)]
    )
    writer.start()
    received = b""
    deadline = time.monotonic() + timeout
    while len(received) < len(data):
        ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            break
        received += os.read(fd, 65536)
    writer.join(5)
    return received


def change(fd: int, index: int, on: int) -> None:
    attributes = termios.tcgetattr(fd)
    attributes[index] |= on
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def set_rate(fd: int, code: int) -> None:
    attributes = termios.tcgetattr(fd)
    attributes[4] = attributes[5] = code
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def test_a_linked_port_is_a_local_tty(paired_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "ttyBench"
    with program(paired_home, "serial", "link", "echo", "--to", str(path), "--baud", "57600") as link:
        link.expect(f"{path}\n".encode())
        link.expect(b"at 57600 8N1")
        with opened(path) as fd:
            assert termios.tcgetattr(fd)[5] == termios.B57600
            data = os.urandom(200_000)
            assert exchange(fd, data) == data
        assert link.stop() == 130
    assert not path.is_symlink()


def test_settings_of_local_programs_are_followed_at_the_board(
    paired_home: Path, tmp_path: Path, echo_device: support.EchoDevice
) -> None:
    path = tmp_path / "tty"
    with program(paired_home, "-v", "serial", "link", "echo", "--to", str(path)) as link:
        link.expect(b"at 9600 8N1")
        with opened(path) as fd:
            set_rate(fd, termios.B115200)
            link.expect(b"serial:echo now at 115200 8N1")
            change(fd, 2, termios.CSTOPB | termios.CRTSCTS)
            link.expect(b"now at 115200 8N2 rts-cts")
            change(fd, 0, termios.IXON | termios.IXOFF)
            link.expect(b"now at 115200 8N2 rts-cts xon-xoff")
            assert exchange(fd, b"hello") == b"hello"
        with opened(path) as fd:
            set_rate(fd, termios.B19200)
            os.write(fd, b"x")
            link.expect(b"now at 19200 8N2")
            assert os.read(fd, 1) == b"x"


def test_what_the_port_does_not_take_is_told_and_the_rest_is_set(paired_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "tty"
    with program(paired_home, "-v", "serial", "link", "echo", "--to", str(path)) as link:
        link.expect(b"until Ctrl-C")
        with opened(path) as fd:
            attributes = termios.tcgetattr(fd)
            attributes[2] |= termios.PARODD
            attributes[4] = attributes[5] = termios.B38400
            termios.tcsetattr(fd, termios.TCSANOW, attributes)
            link.expect(b"did not take parity odd")
            link.expect(b"now at 38400 8N1")
            assert exchange(fd, b"works") == b"works"


def test_a_flush_discards_what_was_on_its_way(paired_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "tty"
    with program(paired_home, "serial", "link", "echo", "--to", str(path)) as link:
        link.expect(b"until Ctrl-C")
        with opened(path) as fd:
            os.write(fd, b"stale")
            time.sleep(0.5)
            termios.tcflush(fd, termios.TCIFLUSH)
            time.sleep(0.3)
            assert exchange(fd, b"fresh") == b"fresh"


def test_an_old_link_is_replaced_and_other_files_are_not(
    run: Callable[..., Any], paired_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, err = run("serial", "link", "echo", "--to", str(tmp_path / "file"))
    assert code == 1
    assert "exists" in err
    (tmp_path / "tty").symlink_to("/dev/pts/99999")
    with program(paired_home, "--json", "serial", "link", "echo", "--to", str(tmp_path / "tty")) as link:
        told = json.loads(link.expect(b"\n"))
        assert told["path"] == str(tmp_path / "tty")
        assert os.readlink(tmp_path / "tty") == told["pty"]
        assert told["settings"]["baud"] == 9600


class Forwarder:
    """A TCP port in front of the agent's, whose connections can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self.accepted += 1
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        self._end(source, target)

    def cut(self) -> None:
        sockets, self._sockets = self._sockets, []
        self._end(*sockets)

    def _end(self, *sockets: socket.socket) -> None:
        for end in sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


def test_a_link_survives_a_network_drop_and_loses_nothing(
    boards: KnownBoards, running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(boards.directory, home / "myclerk")
    forwarder = Forwarder(running_agent.address[1])
    try:
        KnownBoards(home / "myclerk").update("bench", port=forwarder.port)
        path = tmp_path / "tty"
        with program(home, "serial", "link", "echo", "--to", str(path)) as link:
            link.expect(b"until Ctrl-C")
            with opened(path) as fd:
                for number in range(3):
                    data = os.urandom(50_000)
                    threading.Timer(0.05, forwarder.cut).start()
                    assert exchange(fd, data) == data, number
                    forwarder.cut()
            assert forwarder.accepted > 1
            assert link.stop() == 130
    finally:
        forwarder.close()


def test_a_link_comes_back_after_the_agent_was_restarted(own_agent: Any, tmp_path: Path) -> None:
    agent, _, home = own_agent
    path = tmp_path / "tty"
    with program(home, "serial", "link", "echo", "--to", str(path)) as link:
        link.expect(b"until Ctrl-C")
        with opened(path) as fd:
            set_rate(fd, termios.B115200)
            assert exchange(fd, b"before") == b"before"
            agent.stop()
            agent.start()
            link.expect(b"connecting again", timeout=60)
            link.expect(b"serial:echo is back at 115200 8N1", timeout=60)
            assert exchange(fd, b"after") == b"after"
        assert link.stop() == 130
