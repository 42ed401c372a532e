"""The virtual board: a machine in a known state, our agent in it, and a client that has paired it.

Four states are saved, each made from another, so that a clean board costs a second:

    base      booted, every device in place, the bench hand waiting
    ready     base, our wheel installed, the agent running, a client paired
    systemd   booted by systemd to multi-user, the hand running as a unit; nothing of ours installed
    packaged  systemd, our Debian packages installed, the agent running as they have it, a client paired
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from myclerk_client import Board, KnownBoards, pair

from .hand import Hand
from .image import Images, ensure, guest_image
from .machine import AGENT_PORT, Machine
from .packages import built
from .snapshots import content_hash, saved, sources

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGES = ("protocol", "drivers", "agent", "client")
RECORDER = ROOT / "tests" / "recording_agent.py"

SITE = "/opt/myclerk"
CONFIG = "/etc/myclerk/agent.toml"
TRACE = "/run/myclerk/trace"
UNIX_SOCKET = "/run/myclerk/agent.sock"
SETTINGS = f"""\
[server]
listen = ["0.0.0.0:{AGENT_PORT}"]
announce = false
unix-socket = "{UNIX_SOCKET}"
handshakes-per-second = 1000
connections-per-address = 64
linger = 3
[state]
directory = "/var/lib/myclerk"
[log]
format = "human"
"""
NAME = "board"
BOOT_TIMEOUT = 300.0
"""Seconds; a quiet machine boots in 15, by systemd in 40."""


class VirtualBoard:
    """A running virtual board.

    ``hand`` is the outside world; ``home`` an XDG_CONFIG_HOME whose user has paired the agent as "board";
    ``boards`` the same as :class:`KnownBoards`; ``port`` the host's loopback port of the agent.
    """

    def __init__(self, machine: Machine, hand: Hand, home: Path) -> None:
        self.machine = machine
        self.hand = hand
        self.home = home
        self.boards = KnownBoards(home / "myclerk")
        self.port = machine.forward()
        self._traced = 0

    def join(self, number: int) -> None:
        """Be 10.0.3.``number`` on the segment that ``link`` names."""
        address = f"52:54:00:00:01:{number:02x}"
        self.hand.check("ip", "link", "set", "eth1", "down")
        self.hand.check("ip", "address", "flush", "dev", "eth1")
        self.hand.check("ip", "link", "set", "eth1", "address", address, "up")
        self.hand.check("ip", "address", "add", f"10.0.3.{number}/24", "dev", "eth1")

    async def connect(self, **options: Any) -> Board:
        """A session with the agent, as its administrator."""
        return await Board.connect(NAME, boards=self.boards, **options)

    def start_agent(self, settings: str = "") -> None:
        """Start the agent with further ``settings`` (TOML) and wait until it listens."""
        self.hand.write_file(path=CONFIG, data=(SETTINGS + settings).encode())
        self.hand.start(
            name="agent",
            argv=["python3", f"{SITE}/recording_agent.py", "--config", CONFIG, "run"],
            env={"PYTHONPATH": SITE, "MYCLERK_TRACE": TRACE},
        )
        self.hand.wait_for(glob=UNIX_SOCKET, timeout=60)

    def stop_agent(self, number: int = 15) -> int | None:
        """End the agent with a signal; its exit code."""
        code: int | None = self.hand.stop(name="agent", signal=number, timeout=30)
        return code

    def restart_agent(self, settings: str = "") -> None:
        """Stop the agent and start it with further settings; its state stays."""
        self.stop_agent()
        self.start_agent(settings)

    def agent_command(self, *words: str) -> str:
        """Run ``myclerk-agent WORDS`` on the board; what it printed."""
        argv = ("python3", "-m", "myclerk_agent.cli", "--config", CONFIG, *words)
        return self.hand.check(*argv, env={"PYTHONPATH": SITE})

    def agent_log(self) -> str:
        """What the agent has logged."""
        return bytes(self.hand.read_file(path="/run/board/agent.log")).decode(errors="replace")

    def trace(self) -> bytes:
        """What the agent noted of its messages since the last call."""
        noted = bytes(self.hand.read_file(path=TRACE, offset=self._traced))
        self._traced += len(noted)
        return noted

    def invitation(self, *options: str) -> str:
        """A fresh link with which a client on the host can pair."""
        printed = json.loads(self.agent_command("invite", "--json", "--host", "127.0.0.1", *options))
        return str(printed["link"]).replace("127.0.0.1", f"127.0.0.1:{self.port}", 1)

    def install(self, *packages: Path) -> str:
        """Install or upgrade Debian packages; what apt printed."""
        for package in packages:
            self.hand.write_file(path=f"/tmp/{package.name}", data=package.read_bytes())
        files = [f"/tmp/{package.name}" for package in packages]
        return self.hand.check("apt-get", "install", "-y", *files, timeout=300)

    def power_cycle(self) -> None:
        """Cut the power and boot again: what was not written to the disk is lost."""
        self.hand.close()
        self.machine.kill()
        self.machine.start()
        self.hand = Hand(self.machine, ready_within=BOOT_TIMEOUT)
        self.hand.set_clock(epoch=time.time())
        self.port = self.machine.forward()

    def close(self) -> None:
        """Switch it off and remove what it left."""
        self.hand.close()
        self.machine.close()
        shutil.rmtree(self.home, ignore_errors=True)


def prepare(arch: str = "amd64", *, systemd: bool = False, packaged: bool = False) -> None:
    """Make what :func:`restored` starts from, if it is not there."""
    images, guest = _materials(arch)
    _ready(images, guest)
    if systemd:
        _systemd(images, guest)
    if packaged:
        _packaged(images, guest)


def restored(
    flavour: str = "bare", *, state: str = "ready", arch: str = "amd64", link: Path | None = None
) -> VirtualBoard:
    """A clean board that goes on from the saved ``state``, which is made first if need be.

    The first one on a ``link`` is 10.0.3.1, the second 10.0.3.2.
    """
    images, guest = _materials(arch)
    makers = {"base": _base, "ready": _ready, "systemd": _systemd, "packaged": _packaged}
    directory = makers[state](images, guest)
    os.utime(directory)  # in use: it is not pruned
    disk = directory / "disk.qcow2"
    number = 2 if link is not None and link.exists() else 1
    machine = Machine(images, guest, flavour, disk=disk if disk.exists() else None, link=link)
    hand = None
    try:
        machine.start(directory / "state")
        hand = Hand(machine)
        hand.set_clock(epoch=time.time())
        home = machine.directory / "home"
        if (directory / "home").exists():
            shutil.copytree(directory / "home", home)
        board = VirtualBoard(machine, hand, home)
        if (directory / "home").exists():
            board.boards.update(NAME, host="127.0.0.1", port=board.port)
        if link is not None:
            board.join(number)
        return board
    except BaseException:
        if hand is not None:
            hand.close()
        machine.close()
        raise


@cache  # a test run keeps to what it began with, here and below
def _materials(arch: str) -> tuple[Images, Path]:
    return ensure(arch), guest_image()


@cache
def _base(images: Images, guest: Path) -> Path:
    """The bare flavour, booted."""

    def make(directory: Path) -> None:
        _save(_booted(Machine(images, guest)), directory)

    return saved(f"base-{_key(images, guest)}", make)


@cache
def _systemd(images: Images, guest: Path) -> Path:
    """The systemd flavour, booted to multi-user, on a disk of its own."""

    def make(directory: Path) -> None:
        empty = directory / "empty.raw"
        with empty.open("wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "board", str(empty)], check=True)
        board = _booted(Machine(images, guest, "systemd", disk=empty))
        board.hand.check("systemctl", "is-system-running", "--wait", timeout=180)
        _save(board, directory)
        empty.unlink()

    return saved(f"systemd-{_key(images, guest)}", make)


@cache
def _ready(images: Images, guest: Path) -> Path:
    """Base with our software as it is now, the agent running and paired."""
    ours = sources(ROOT, [f"{package}/**/*" for package in PACKAGES])
    files = [*ours, ROOT / "pyproject.toml", RECORDER, HERE / "virtual_board.py"]

    def make(directory: Path) -> None:
        base = _base(images, guest)
        machine = Machine(images, guest)
        try:
            machine.start(base / "state")
            board = VirtualBoard(machine, Hand(machine), directory / "home")
            board.hand.set_clock(epoch=time.time())
            board.hand.unpack(data=_wheel(machine.directory), directory=SITE)
            board.hand.write_file(path=f"{SITE}/recording_agent.py", data=RECORDER.read_bytes())
            board.hand.check("mkdir", "-p", "/etc/myclerk", "/run/myclerk", "/var/lib/myclerk")
            board.hand.write_file(path=TRACE, data=b"")
            board.start_agent()
            link = board.invitation("--administrator")
            asyncio.run(pair(link, name=NAME, boards=board.boards, timeout=60))
            asyncio.run(_first_words(board))
            _save(board, directory)
        except BaseException:
            machine.close()
            raise

    return saved(f"ready-{content_hash(_key(images, guest), *files)}", make)


@cache
def _packaged(images: Images, guest: Path) -> Path:
    """The systemd flavour with our packages on it, and a paired client."""
    packages = built()

    def make(directory: Path) -> None:
        base = _systemd(images, guest)
        machine = Machine(images, guest, "systemd", disk=base / "disk.qcow2")
        try:
            machine.start(base / "state")
            board = VirtualBoard(machine, Hand(machine), directory / "home")
            board.hand.set_clock(epoch=time.time())
            board.install(*packages.values())
            board.hand.check("systemctl", "is-active", "myclerk-agent")
            link = board.invitation("--administrator")
            asyncio.run(pair(link, name=NAME, boards=board.boards, timeout=60))
            asyncio.run(_first_words(board))
            _save(board, directory)
        except BaseException:
            machine.close()
            raise

    return saved(f"packaged-{content_hash(_key(images, guest), *packages.values())}", make)


async def _first_words(board: VirtualBoard) -> None:
    """A session before the state is saved, so that nothing is done for the first time in a test."""
    async with await board.connect(timeout=60) as session:
        await session.ping()
        await session.devices()


def _booted(machine: Machine) -> VirtualBoard:
    """The board on ``machine`` when its hand answers."""
    try:
        machine.start()
        return VirtualBoard(machine, Hand(machine, ready_within=BOOT_TIMEOUT), machine.directory / "home")
    except BaseException:
        machine.close()
        raise


def _save(board: VirtualBoard, directory: Path) -> None:
    board.hand.close()
    disk = board.machine.save(directory / "state")
    if disk is not None:
        target = directory / "disk.qcow2"  # with what it is based on, in one file
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(disk), str(target)], check=True)
    board.machine.close()


def _key(images: Images, guest: Path) -> str:
    version = subprocess.run(
        [Machine.emulator(images.arch), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return content_hash(images.name, guest.stem, version, HERE / "machine.py")


def _wheel(directory: Path) -> bytes:
    """Our software as a wheel, as pip would install it."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = directory.glob("*.whl")
    return wheel.read_bytes()
