"""``python -m board.transcript --arch arm64`` (in tests/): our packages on a board, command by command, as text.

For each release docs/package-arm64.txt is written with it: packages that are built on one processor are installed and
started on another.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import subprocess
import sys

from myclerk_client import pair

from .packages import built
from .virtual_board import NAME, VirtualBoard, restored

BEFORE = (
    "uname --kernel-release --machine",
    "dpkg --print-architecture",
    "cat /etc/debian_version",
)
AFTER = (
    "systemctl is-enabled myclerk-agent",
    "systemctl is-active myclerk-agent",
    "systemctl show --property=User,MemoryCurrent,TasksCurrent,StatusText myclerk-agent",
    "systemd-analyze security --no-pager myclerk-agent | tail --lines=1",
    "grep ^Cap /proc/$(systemctl show --property=MainPID --value myclerk-agent)/status",
    "getfacl --absolute-names /dev/gpiochip0",
    "myclerk-agent fingerprint",
)
DESKTOP = (
    ("boards",),
    ("devices",),
    ("gpio", "info"),
    ("gpio", "get", "BUTTON"),
    ("w1", "temp"),
)
LAST = (
    "apt-get purge -y myclerk-agent myclerk python3-myclerk 2>&1",
    "getent passwd myclerk; ls -d /var/lib/myclerk /etc/myclerk",
)
NOISE = re.compile(r"^debconf: .*\n|^\(Reading database .*\n|.*\r\n?|^\n", re.MULTILINE)


def main() -> int:
    """Run everything on a fresh board and print it."""
    parser = argparse.ArgumentParser(prog="python -m board.transcript", description=__doc__)
    parser.add_argument("--arch", choices=("amd64", "arm64"), default="arm64")
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):  # what it says of its progress is no part of the transcript
        packages = built()
        board = restored("systemd", state="systemd", arch=options.arch)
    try:
        on_board(board, *BEFORE)
        for package in packages.values():
            board.hand.write_file(path=f"/root/{package.name}", data=package.read_bytes())
        on_board(board, "cd /root; apt-get install -y ./*.deb 2>&1", *AFTER)
        asyncio.run(pair(board.invitation("--administrator"), name=NAME, boards=board.boards, timeout=120))
        for words in DESKTOP:
            on_desktop(board, *words)
        on_board(board, *LAST)
    finally:
        board.close()
    return 0


def on_board(board: VirtualBoard, *commands: str) -> None:
    """Commands of root on the board."""
    for command in commands:
        result = board.hand.call("run", argv=["sh", "-c", command], timeout=900)
        said = (result["stdout"] + result["stderr"]).decode(errors="replace").replace("\r\n", "\n")
        sys.stdout.write(f"root@board:~# {command}\n{NOISE.sub('', said)}")
        sys.stdout.flush()


def on_desktop(board: VirtualBoard, *words: str) -> None:
    """A command of the client, here."""
    command = [sys.executable, "-m", "myclerk_client.cli", *words]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(board.home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    sys.stdout.write(f"desktop$ myclerk {' '.join(words)}\n{done.stdout}{done.stderr}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
