"""What the board itself uses of a device, by directories in the form of /sys and /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sysfs_tree import SysfsTree

from myclerk_drivers.usb.usage import Usage

MOUNT = "36 35 {number} / {target} rw,noatime shared:1 - {kind} {source} rw\n"


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path.resolve())


def block(tree: SysfsTree, name: str, number: str, path: str) -> None:
    tree.write(f"{path}/{name}/dev", f"{number}\n")
    (tree.root / path / name / "holders").mkdir()
    tree.link(f"sys/class/block/{name}", f"{path}/{name}")


def used(tree: SysfsTree, name: str = "1-1") -> list[str]:
    return Usage(str(tree.root)).of(str(tree.root / f"sys/devices/pci/usb1/{name}"))


@pytest.fixture
def disk(tree: SysfsTree) -> str:
    """A disk with one partition at 1-1, and another one at 1-10."""
    path = tree.device("1-1") + "/1-1:1.0/host0/block"
    block(tree, "sda", "8:0", path)
    block(tree, "sda1", "8:1", f"{path}/sda")
    block(tree, "sdb", "8:16", tree.device("1-10") + "/1-10:1.0/host1/block")
    return path


def mount(tree: SysfsTree, number: str, target: str, kind: str = "ext4", source: str = "/dev/root") -> None:
    with (tree.root / "proc/self/mountinfo").open("a") as file:
        file.write(MOUNT.format(number=number, target=target, kind=kind, source=source))


def test_a_disk_that_nobody_uses(tree: SysfsTree, disk: str) -> None:
    mount(tree, "0:22", "/proc", "proc", "proc")
    assert used(tree) == []


def test_a_mounted_partition(tree: SysfsTree, disk: str) -> None:
    mount(tree, "8:1", "/")
    mount(tree, "8:1", "/mnt/with\\040space")
    assert used(tree) == ["/ is mounted from sda1", "/mnt/with space is mounted from sda1"]
    assert used(tree, "1-10") == []


def test_an_encrypted_volume_on_a_partition(tree: SysfsTree, disk: str) -> None:
    block(tree, "dm-0", "254:0", "sys/devices/virtual/block")
    tree.link(f"{disk}/sda/sda1/holders/dm-0", "sys/devices/virtual/block/dm-0")
    mount(tree, "254:0", "/home")
    assert used(tree) == ["/home is mounted from dm-0"]


def test_an_image_on_the_disk_that_is_mounted(tree: SysfsTree, disk: str) -> None:
    image = tree.write("mnt/image", b"")
    number = os.stat(image).st_dev
    tree.write(f"{disk}/sda/sda1/dev", f"{os.major(number)}:{os.minor(number)}\n")
    block(tree, "loop0", "7:0", "sys/devices/virtual/block")
    tree.write("sys/devices/virtual/block/loop0/loop/backing_file", "/mnt/image\n")
    mount(tree, "7:0", "/snap")
    assert used(tree) == ["/snap is mounted from loop0"]


def test_a_filesystem_with_device_numbers_of_its_own(tree: SysfsTree, disk: str) -> None:
    source = tree.write("dev/sda1", b"")  # stands for the node: its own number is that of the disk it is on
    number = os.stat(source).st_dev
    tree.write(f"{disk}/sda/sda1/dev", f"{os.major(number)}:{os.minor(number)}\n")
    mount(tree, "0:41", "/data", "btrfs", "/dev/sda1")
    assert used(tree) == ["/data is mounted from sda1"]


def test_swap(tree: SysfsTree, disk: str) -> None:
    swap = tree.write("swapfile", b"")
    number = os.stat(swap).st_dev
    tree.write(f"{disk}/sda/sda1/dev", f"{os.major(number)}:{os.minor(number)}\n")
    tree.write(
        "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/swapfile file 1024 0 -2\n/gone file 1 0 -3\n"
    )
    assert used(tree) == ["/swapfile on sda1 is swap"]


def network(tree: SysfsTree, name: str, path: str, flags: str = "0x1003") -> None:
    tree.write(f"{path}/{name}/flags", f"{flags}\n")
    tree.link(f"sys/class/net/{name}", f"{path}/{name}")


@pytest.fixture
def stick(tree: SysfsTree) -> str:
    """A network interface at 1-1."""
    path = tree.device("1-1") + "/1-1:1.0/net"
    network(tree, "eth9", path)
    return path


ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def test_a_network_interface_without_routes_or_addresses(tree: SysfsTree, stick: str) -> None:
    tree.write("proc/net/route", ROUTES + "eth9\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    tree.write("proc/net/if_inet6", f"fe80{'0' * 27}1 02 40 20 80     eth9\n")
    assert used(tree) == []


def test_the_default_route(tree: SysfsTree, stick: str) -> None:
    tree.write("proc/net/route", ROUTES + "eth9\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
    assert used(tree) == ["the default route goes over eth9"]


def test_the_default_route_of_ipv6_over_a_bridge(tree: SysfsTree, stick: str) -> None:
    network(tree, "br0", "sys/devices/virtual/net")
    tree.link(f"{stick}/eth9/upper_br0", "sys/devices/virtual/net/br0")
    zero = "0" * 32
    tree.write("proc/net/ipv6_route", f"{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 00000003 br0\n")
    assert used(tree) == ["the default route goes over br0"]


@pytest.mark.parametrize(("flags", "found"), [("0x1003", True), ("0x1002", False)])
def test_an_address_of_an_interface_counts_while_it_is_up(
    tree: SysfsTree, stick: str, flags: str, found: bool
) -> None:
    tree.write(f"{stick}/eth9/flags", flags)
    tree.write("proc/net/if_inet6", f"20010db8{'0' * 23}1 02 40 00 80     eth9\n")
    assert used(tree) == (["eth9 is up with address 2001:db8::1"] if found else [])
