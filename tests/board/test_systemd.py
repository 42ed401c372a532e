"""The board as systemd runs it: a Debian package on it, and a power failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .virtual_board import VirtualBoard

UNIT = """\
[Unit]
Description=Sample
[Service]
DynamicUser=yes
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 8099
[Install]
WantedBy=multi-user.target
"""
RULE = 'SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="plugdev", MODE="0660"\n'
CONTROL = """\
Package: board-sample
Version: 1.0
Architecture: all
Maintainer: Sample <sample@example.org>
Depends: python3, systemd, udev
Description: Sample package
 What a package with a unit and a udev rule needs of the board.
"""
POSTINST = """\
#!/bin/sh
set -e
systemctl daemon-reload
udevadm control --reload
udevadm trigger --subsystem-match=gpio --action=change --settle
systemctl enable --now board-sample.service
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A Debian package with a service and a udev rule."""
    tree = tmp_path / "tree"
    for name, text in {
        "DEBIAN/control": CONTROL,
        "DEBIAN/postinst": POSTINST,
        "usr/lib/systemd/system/board-sample.service": UNIT,
        "usr/lib/udev/rules.d/60-board-sample.rules": RULE,
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "DEBIAN/postinst").chmod(0o755)
    path = tmp_path / "board-sample_1.0_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(path)], check=True, capture_output=True
    )
    return path


def test_a_package_is_installed_and_outlives_a_power_failure(
    systemd_board: VirtualBoard, package: Path
) -> None:
    board = systemd_board
    assert board.hand.check("systemctl", "is-system-running").strip() == "running"
    board.install(package)
    assert board.hand.check("systemctl", "is-active", "board-sample").strip() == "active"
    assert board.hand.check("stat", "--format", "%G %a", "/dev/gpiochip0").strip() == "plugdev 660"
    board.hand.write_file(path="/var/lib/written", data=b"kept")
    board.hand.check("sync")
    board.hand.write_file(path="/var/lib/unwritten", data=b"lost or not, never half")
    board.power_cycle()
    assert board.hand.check("systemctl", "is-system-running", "--wait", timeout=180).strip() == "running"
    assert board.hand.check("systemctl", "is-active", "board-sample").strip() == "active"
    assert board.hand.read_file(path="/var/lib/written") == b"kept"
    board.hand.check("apt-get", "purge", "-y", "board-sample", timeout=300)
    assert board.hand.check("stat", "--format", "%G", "/dev/gpiochip0").strip()
