"""A disk of one machine, native on another: written and read, pulled out in mid-copy, the connection cut."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import BoardFactory
from .hand import Hand
from .machine import AGENT_PORT
from .usb_bench import drivers
from .usb_desktop import Attached, Desktop, eventually
from .virtual_board import CONFIG, SITE, UNIX_SOCKET, VirtualBoard

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.backend("virtual board: usb-storage of another machine's kernel"),
]

MIB = 1 << 20
DISK_SIZE = 96 * MIB
FIRST_SECTOR, PARTITION_SIZE = 2048, 64 * MIB
SECTOR = 512
DISK = "46f4:0001"
"""QEMU's."""
RELAY = 7000
"""Where the desktop reaches the agent, through a program that can be killed."""


@dataclass
class World:
    """The board with its disk, and a desktop that reaches it over the segment that both are on."""

    board: VirtualBoard
    hand: Hand
    desktop: Desktop
    image: Path

    def connect(self) -> None:
        """Start what carries the connection."""
        listen = f"TCP-LISTEN:{RELAY},fork,reuseaddr,bind=127.0.0.1"
        self.hand.start(name="relay", argv=["socat", listen, f"TCP:10.0.3.1:{AGENT_PORT}"])

    def disconnect(self) -> None:
        """Cut the connection; no other one comes."""
        self.hand.run(argv=["pkill", "-9", "-x", "socat"])
        self.hand.stop(name="relay", signal=9)

    def plug(self) -> None:
        """Plug the disk into the board."""
        self.board.hand.qemu_plug("usb-storage", "disk", drive="stick")
        eventually(lambda: any(d["product-id"] == 1 for d in self.desktop.result("usb", "list")))

    def unplug(self) -> None:
        """Pull it out."""
        self.board.hand.qemu_unplug("disk")

    def shell(self, script: str, timeout: float = 400) -> str:
        """Run a script on the desktop; what it printed."""
        return self.hand.check("sh", "-ec", script, timeout=timeout).strip()

    def start(self, name: str, script: str) -> None:
        """Start a script on the desktop."""
        self.hand.start(name=name, argv=["sh", "-ec", script])

    def ended(self, name: str, seconds: float = 300) -> int:
        """With what a process on the desktop ends."""
        eventually(lambda: self.hand.status(name=name) is not None, seconds)
        return int(self.hand.status(name=name))

    def moved(self, disk: str, way: str) -> int:
        """Bytes "read" from or "written" to a disk of the desktop so far (Documentation/block/stat.rst)."""
        words = self.shell(f"cat /sys/block/{disk}/stat").split()
        return int(words[2 if way == "read" else 6]) * SECTOR

    def await_moved(self, disk: str, way: str, size: int) -> None:
        """Wait until the disk has moved so many bytes more."""
        wanted = self.moved(disk, way) + size
        eventually(lambda: self.moved(disk, way) >= wanted, 120)

    def cut_during(self, name: str, disk: str, way: str) -> int:
        """Cut the connection whenever the disk has moved 2 MiB more, until the process has ended; how often."""
        for cuts in range(3):
            wanted = self.moved(disk, way) + 2 * MIB
            eventually(
                lambda least=wanted: (
                    self.hand.status(name=name) is not None or self.moved(disk, way) >= least
                ),
                120,
            )
            if self.hand.status(name=name) is not None:
                return cuts
            self.disconnect()
            self.connect()
        return 3

    def drivers(self) -> set[str]:
        """The drivers of the board's kernel that have the disk."""
        names = [d["name"] for d in self.desktop.result("usb", "list") if d["product-id"] == 1]
        return {driver for name in names for driver in drivers(self.board.hand, name).values()}


@pytest.fixture(scope="module")
def world(board_factory: BoardFactory, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Board and desktop, paired. This agent takes no notes for the tests: they would be as large as the disk."""
    segment = tmp_path_factory.mktemp("segment") / "wire"
    board, other = board_factory(link=segment), board_factory(link=segment)
    board.stop_agent()
    command = ["python3", "-m", "myclerk_agent.cli", "--config", CONFIG, "run"]
    board.hand.start(name="agent-without-notes", argv=command, env={"PYTHONPATH": SITE})
    board.hand.wait_for(glob=UNIX_SOCKET, timeout=60)
    image = board.machine.directory / "stick.img"
    with image.open("wb") as file:
        file.truncate(DISK_SIZE)
        file.seek(446)  # the first of four entries, then the signature
        entry = struct.pack("<B3xB3xII", 0, 0x0C, FIRST_SECTOR, PARTITION_SIZE // SECTOR)
        file.write(entry + bytes(48) + b"\x55\xaa")
    board.machine.qmp("blockdev-add", driver="file", filename=str(image), **{"node-name": "stick"})
    world = World(board, other.hand, Desktop(other.hand), image)
    world.connect()
    world.desktop.pair(board, "127.0.0.1", RELAY)
    world.plug()
    return world


@pytest.fixture
def attached(world: World) -> Iterator[Attached]:
    """The disk, attached to the desktop."""
    with world.desktop.attached(DISK) as attached:
        yield attached


def test_64_mib_are_written_and_read_back(world: World, attached: Attached) -> None:
    partition = world.desktop.node(attached.local, "block/sd?/sd?1")
    assert int(world.shell(f"cat /sys/class/block/{partition}/size")) * SECTOR == PARTITION_SIZE
    world.shell("head -c 64M /dev/urandom >/tmp/data")
    written = world.shell("sha256sum </tmp/data").split()[0]
    world.shell(f"dd if=/tmp/data of=/dev/{partition} bs=1M oflag=direct conv=fsync")
    with world.image.open("rb") as file:
        file.seek(FIRST_SECTOR * SECTOR)
        assert hashlib.sha256(file.read(PARTITION_SIZE)).hexdigest() == written
    assert world.shell(f"dd if=/dev/{partition} bs=1M iflag=direct | sha256sum").split()[0] == written


def test_a_file_system_is_mounted_and_used(world: World, attached: Attached) -> None:
    partition = world.desktop.node(attached.local, "block/sd?/sd?1")
    mount = f"mount /dev/{partition} /mnt"
    world.shell(f"mkfs.vfat /dev/{partition}; {mount}; head -c 4M /dev/urandom >/mnt/file")
    world.shell("sha256sum /mnt/file >/tmp/sum; umount /mnt; echo 3 >/proc/sys/vm/drop_caches")
    assert world.shell(f"{mount}; sha256sum -c /tmp/sum; umount /mnt") == "/mnt/file: OK"


@pytest.mark.parametrize("tricks", ["auto", "off"])
def test_a_connection_that_is_cut_costs_no_data(world: World, tricks: str) -> None:
    with world.desktop.attached(DISK, "--trick", tricks) as attached:
        disk = world.desktop.node(attached.local, "block/sd?")
        world.shell("head -c 20M /dev/urandom >/tmp/data")
        world.start("writing", f"dd if=/tmp/data of=/dev/{disk} bs=1M seek=70 oflag=direct conv=fsync")
        assert world.cut_during("writing", disk, "written")
        assert world.ended("writing") == 0
        world.start("reading", f"dd if=/dev/{disk} bs=1M skip=70 count=20 iflag=direct | cmp - /tmp/data")
        assert world.cut_during("reading", disk, "read")
        assert world.ended("reading") == 0
        assert not world.shell("dmesg | grep -i 'sd .*error' || true")


def test_a_disk_that_is_pulled_in_mid_copy_is_gone_at_once(world: World) -> None:
    process = world.desktop.start("usb", "attach", DISK, "--json")
    port = eventually(lambda: world.desktop.lines(process, "port"))[0]["port"]
    disk = world.desktop.node(world.desktop.local(port), "block/sd?")
    world.start("copy", f"dd if=/dev/{disk} of=/dev/null bs=1M iflag=direct")
    world.await_moved(disk, "read", 2 * MIB)
    world.unplug()
    try:
        assert world.ended("copy") != 0
        assert world.ended(process) == 8
        assert "DEVICE_GONE" in world.desktop.said(process)
        eventually(lambda: world.desktop.is_free(port))
        world.hand.wait_for(glob=f"/dev/{disk}", present=False)
    finally:
        world.plug()


@pytest.mark.long
def test_a_connection_that_does_not_come_back_fails_cleanly(world: World) -> None:
    process = world.desktop.start("usb", "attach", DISK, "--json")
    port = eventually(lambda: world.desktop.lines(process, "port"))[0]["port"]
    disk = world.desktop.node(world.desktop.local(port), "block/sd?")
    world.disconnect()
    try:
        assert world.ended(process, 120) == 4
        eventually(lambda: world.desktop.is_free(port))
        world.hand.wait_for(glob=f"/dev/{disk}", present=False)
    finally:
        world.connect()
    eventually(lambda: "usb-storage" in world.drivers())  # the board has it back
