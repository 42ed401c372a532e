"""``python -m board`` (in tests/): a shell on a clean virtual board, with the agent running and a client paired."""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
import termios
import tty

from . import image
from .virtual_board import VirtualBoard, prepare, restored

DETACH = b"\x1d"  # Ctrl-]
SHELL = "exec setsid --ctty bash --login </dev/hvc0 >/dev/hvc0 2>&1"


def main() -> int:
    """Start a board and connect this terminal to a shell on it."""
    parser = argparse.ArgumentParser(prog="python -m board", description=__doc__)
    parser.add_argument("--arch", choices=("amd64", "arm64"), default="amd64")
    parser.add_argument(
        "--systemd", action="store_true", help="run by systemd, with nothing of ours installed"
    )
    options = parser.parse_args()
    if lacking := image.missing():
        print(f"the virtual board needs: sudo apt install {' '.join(lacking)}", file=sys.stderr)
        return 1
    flavour, state = ("systemd", "systemd") if options.systemd else ("bare", "ready")
    prepare(options.arch, systemd=options.systemd)
    board = restored(flavour, state=state, arch=options.arch)
    try:
        introduce(board)
        shell(board)
    finally:
        board.close()
    return 0


def introduce(board: VirtualBoard) -> None:
    """Say how to reach it from another terminal."""
    print(f"the board's files:  {board.machine.directory}")
    print(f"its kernel's words: {board.machine.console}")
    if board.home.exists():
        print("a client, in another terminal:")
        print(f"    XDG_CONFIG_HOME={board.home} myclerk devices")
        print("the agent's log: /run/board/agent.log")
    print("Ctrl-] switches the board off.", flush=True)


def shell(board: VirtualBoard) -> None:
    """A shell on the board's second console, until Ctrl-] or its end."""
    size = os.get_terminal_size() if sys.stdin.isatty() else os.terminal_size((80, 24))
    board.hand.start(
        name="shell",
        argv=["sh", "-c", f"stty rows {size.lines} cols {size.columns} </dev/hvc0; {SHELL}"],
        env={"TERM": os.environ.get("TERM", "linux"), "HOME": "/root"},
    )
    with socket.socket(socket.AF_UNIX) as far:
        far.connect(str(board.machine.shell_socket))
        if not sys.stdin.isatty():
            _join(board, far)
            return
        before = termios.tcgetattr(sys.stdin)
        try:
            tty.setraw(sys.stdin)
            _join(board, far)
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _join(board: VirtualBoard, far: socket.socket) -> None:
    while board.machine.running:
        ready, _, _ = select.select([sys.stdin, far], [], [], 1.0)
        if far in ready:
            data = far.recv(65536)
            if not data:
                return
            os.write(sys.stdout.fileno(), data)
        if sys.stdin in ready:
            typed = os.read(sys.stdin.fileno(), 4096)
            if not typed or DETACH in typed:
                return
            far.sendall(typed)
        if not ready and board.hand.status(name="shell") is not None:
            return


if __name__ == "__main__":
    sys.exit(main())
