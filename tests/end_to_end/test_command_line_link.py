"""`myclerk serial link` against a real agent: what local programs find, and what a bad network does."""

from __future__ import annotations

import json
import os
import shutil
import termios
import threading
import time
from pathlib import Path

from programs import (
    Forwarder,
    OwnAgent,
    Run,
    change,
    exchange,
    opened,
    program,
    set_rate,
)

import support
from myclerk_client import KnownBoards


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


def test_an_old_link_is_replaced_and_other_files_are_not(run: Run, paired_home: Path, tmp_path: Path) -> None:
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


def test_a_link_comes_back_after_the_agent_was_restarted(own_agent: OwnAgent, tmp_path: Path) -> None:
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
