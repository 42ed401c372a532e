"""Which devices there are, by a directory in the form of sysfs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from sysfs_tree import SysfsTree

from myclerk_drivers.usb.listing import Listing, State


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path.resolve())


def test_a_device_with_its_interface(tree: SysfsTree) -> None:
    path = tree.device("1-1.4", manufacturer="Board", product="gadget", serial="S N/1")
    tree.interface(path, alternate=1, driver="cdc_acm")
    (resource,) = Listing(str(tree.root)).resources()
    assert resource.name == "usb:1-1.4"
    assert resource.description == "Board gadget"
    assert resource.aliases == ("usb:1234:5678:S%20N%2F1", "usb:1234:5678")
    assert resource.parent == "usb:1-1"
    assert resource.properties == {
        "bus": 1, "device": 2, "port": "1-1.4", "vendor_id": 0x1234, "product_id": 0x5678, "device_release": 0x102,
        "usb_version": 0x200, "class": 0, "subclass": 0, "protocol": 0, "speed": 480_000_000,
        "manufacturer": "Board", "product": "gadget", "serial": "S N/1", "configurations": 2, "configuration": 1,
        "max_power": 100,
        "interfaces": [{
            "number": 0, "alternate": 1, "class": 255, "subclass": 1, "protocol": 2, "description": "the label",
            "driver": "cdc_acm",
            "endpoints": [{"address": 0x82, "type": "bulk", "max_packet_size": 512, "interval": 0}],
        }],
    }  # fmt: skip


def test_an_id_that_two_devices_have_names_neither(tree: SysfsTree) -> None:
    tree.device("1-2")
    tree.device("1-10", serial="B")
    tree.device("1-3", product_id=9)
    found = {r.name: r.aliases for r in Listing(str(tree.root)).resources()}
    assert list(found) == ["usb:1-2", "usb:1-3", "usb:1-10"]
    assert found == {"usb:1-2": (), "usb:1-3": ("usb:1234:0009",), "usb:1-10": ("usb:1234:5678:B",)}


def test_root_hubs_and_interfaces_are_no_devices(tree: SysfsTree) -> None:
    hub = tree.device("2-1", kind=9)
    for name in ("usb2", "2-0:1.0", "2-1:1.0"):
        tree.link(f"sys/bus/usb/devices/{name}", hub)
    listing = Listing(str(tree.root))
    (device,) = listing.devices()
    assert device.is_hub
    assert device.parent is None
    assert listing.device("usb2") is listing.device("2-1:1.0") is listing.device("../2-1") is None


def test_a_device_without_a_configuration(tree: SysfsTree) -> None:
    tree.device("1-1")
    listing = Listing(str(tree.root))
    (device,) = listing.devices()
    assert listing.state(device) == State(None, {}, {})
    described = listing.describe(device)
    assert described["interfaces"] == []
    assert "configuration" not in described
    assert "max_power" not in described


def test_what_is_plugged_in_at_the_same_place_is_another_device(tree: SysfsTree) -> None:
    tree.device("1-1", serial="first")
    listing = Listing(str(tree.root))
    first = listing.device("1-1")
    assert first is not None
    assert listing.device("1-1") is first
    tree.unplug("1-1")
    assert listing.device("1-1") is None
    assert listing.devices() == []
    os.rename(tree.root / "sys/devices/pci/usb1/1-1", tree.root / "gone")
    tree.device("1-1", serial="second")
    second = listing.device("1-1")
    assert second is not None
    assert (first.strings["serial"], second.strings["serial"]) == ("first", "second")


def test_a_device_that_is_just_coming_or_going_is_not_listed(tree: SysfsTree) -> None:
    path = tree.device("1-1")
    (tree.root / path / "descriptors").write_bytes(b"")
    tree.link("sys/bus/usb/devices/1-2", "sys/devices/pci/usb1/gone")
    assert Listing(str(tree.root)).devices() == []
    assert Listing(str(tree.root / "nowhere")).devices() == []


def test_strings_that_a_driver_keeps_waiting_come_later(tree: SysfsTree) -> None:
    path = tree.device("1-1", product="slow")
    serial = tree.root / path / "serial"
    os.mkfifo(serial)  # to read it blocks, as while a driver holds the device
    listing = Listing(str(tree.root))
    (device,) = listing.devices()
    assert "serial" not in device.strings
    with serial.open("w") as fifo:
        fifo.write("at last\n")
    for thread in threading.enumerate():
        if thread.name == "myclerk usb strings":
            thread.join(10)
    (resource,) = listing.resources()
    assert resource.aliases[0] == "usb:1234:5678:at%20last"


def test_control_characters_of_a_device_are_left_out(tree: SysfsTree) -> None:
    tree.device("1-1", product="a\x1b[31mb\x00c")
    (device,) = Listing(str(tree.root)).devices()
    assert device.strings["product"] == "a[31mbc"


@pytest.mark.parametrize(
    ("text", "speed"), [("1.5", 1_500_000), ("12", 12_000_000), ("20000", 20_000_000_000)]
)
def test_speeds(tree: SysfsTree, text: str, speed: int) -> None:
    tree.device("1-1", speed=text)
    (device,) = Listing(str(tree.root)).devices()
    assert device.speed == speed
