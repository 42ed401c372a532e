"""README's quick start, command by command: a fresh board, and a fresh desktop on the same network."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from .conftest import BoardFactory
from .hand import Hand
from .packages import built
from .virtual_board import VirtualBoard

pytestmark = [pytest.mark.backend("virtual board: Debian package"), pytest.mark.timeout(900)]

README = Path(__file__).parent.parent.parent / "README.md"
SECONDS = 300
IN_A_TERMINAL = """
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
while b"Ctrl-]" not in seen:
    seen += os.read(terminal, 4096)
os.write(terminal, b"AT\\r")
while b"OK" not in seen:
    seen += os.read(terminal, 4096)
os.write(terminal, b"\\x1dq")
try:
    while os.read(terminal, 4096):
        pass
except OSError:  # its far end is closed
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""Run a console until something is there; say something, wait for the answer, and leave."""


def commands(where: str) -> list[str]:
    """The commands of the quick start ``where``, without their comments."""
    section = README.read_text().partition("## Quick start")[2].partition("\n## ")[0]
    block = re.search(rf"^On the {where}:\n\n((?:    .*\n)+)", section, re.MULTILINE)
    assert block is not None
    return [re.sub(r" {2,}#.*", "", line.strip()) for line in block[1].splitlines()]


def shell(hand: Hand, command: str) -> str:
    """Run a command as a user would; root needs no sudo."""
    return hand.check("sh", "-c", command.removeprefix("sudo "), cwd="/root", timeout=SECONDS)


@pytest.fixture
def board(board_factory: BoardFactory, ethernet: Path) -> VirtualBoard:
    return fresh(board_factory, ethernet)


@pytest.fixture
def desktop(board: VirtualBoard, board_factory: BoardFactory, ethernet: Path) -> VirtualBoard:
    return fresh(board_factory, ethernet)


def fresh(board_factory: BoardFactory, ethernet: Path) -> VirtualBoard:
    """A system with nothing of ours but the packages in a directory."""
    system = board_factory(flavour="systemd", state="systemd", link=ethernet)
    for package in built().values():
        system.hand.write_file(path=f"/root/{package.name}", data=package.read_bytes())
    return system


def test_the_quick_start(board: VirtualBoard, desktop: VirtualBoard) -> None:
    install, invite = commands("board")
    shell(board.hand, install)
    (link,) = re.findall(r"myclerk://\S+", shell(board.hand, f"{invite} --host 10.0.3.1"))

    install, discover, pair, *use, console, tty = commands("desktop")
    shell(desktop.hand, install)
    deadline = time.monotonic() + SECONDS
    while "10.0.3.1" not in shell(desktop.hand, discover):
        assert time.monotonic() < deadline
    assert re.search(r"'myclerk://\S+'", pair)
    shell(desktop.hand, re.sub(r"'myclerk://\S+'", f"'{link}'", pair))
    said = "".join(shell(desktop.hand, command) for command in use)
    assert "serial:ttyACM0" in said
    assert "LED" in said
    board.hand.gsm_attach(family="ec25")
    console = console.replace("ttyUSB0", board.hand.serial_port())
    desktop.hand.python(IN_A_TERMINAL, *console.split(), timeout=SECONDS)
    tty = tty.replace("ttyUSB0", board.hand.serial_port())
    desktop.hand.start(name="link", argv=tty.split())
    made = re.compile(r"/\S*/\S+")
    while not made.search(desktop.hand.read_file(path="/run/board/link.log").decode()):
        assert desktop.hand.status(name="link") is None
        assert time.monotonic() < deadline + SECONDS
