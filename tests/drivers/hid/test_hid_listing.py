"""Which input devices there are, by a /sys as the kernel has it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from myclerk_drivers.hid.listing import kinds, list_devices

WORD = struct.calcsize("l") * 8


def mask(*bits: int) -> str:
    """As the kernel writes a bit mask: words from the highest to the lowest."""
    number = sum(1 << bit for bit in bits)
    words = []
    while number or not words:
        words.insert(0, f"{number & (1 << WORD) - 1:x}")
        number >>= WORD
    return " ".join(words) + "\n"


def device(root: Path, event: str, where: str, /, *, node: bool = True, **files: str) -> Path:
    """An event device of the kernel below the device ``where``."""
    directory = root / "sys/devices" / where / "input" / f"input-{event}"
    directory.mkdir(parents=True)
    for file, text in files.items():
        path = directory / file.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    entry = root / "sys/class/input" / event
    entry.mkdir(parents=True)
    (entry / "device").symlink_to(directory)
    (root / "dev/input").mkdir(parents=True, exist_ok=True)
    if node:
        (root / "dev/input" / event).touch()
    return directory


def test_a_usb_keyboard(tmp_path: Path) -> None:
    usb = tmp_path / "sys/devices/usb1/1-1.4"
    device(
        tmp_path, "event3", "usb1/1-1.4/1-1.4:1.0/0003", name="Bench Keyboard\n", phys="usb-1.4/input0\n",
        uniq="SN1\n", id__bustype="0003\n", id__vendor="046d\n", id__product="c31c\n", id__version="0110\n",
        capabilities__key=mask(*range(1, 120)), capabilities__rel=mask(), properties=mask(),
    )  # fmt: skip
    (usb / "idVendor").write_text("046d\n")
    links = tmp_path / "dev/input/by-id"
    links.mkdir()
    (links / "usb-Bench-event-kbd").symlink_to("../event3")
    (found,) = list_devices(str(tmp_path))
    assert (found.name, found.description, found.parent) == (
        "hid:event3",
        "Bench Keyboard (event3)",
        "usb:1-1.4",
    )
    assert found.aliases == ("hid:usb-Bench-event-kbd",)
    assert found.properties == {
        "path": "/dev/input/event3", "description": "Bench Keyboard (event3)", "kinds": ["keyboard"], "bus": "usb",
        "vendor_id": 0x046D, "product_id": 0xC31C, "version": 0x0110, "phys": "usb-1.4/input0",
        "serial_number": "SN1", "by_id": "/dev/input/by-id/usb-Bench-event-kbd",
    }  # fmt: skip


def test_devices_are_sorted_and_those_without_a_node_left_out(tmp_path: Path) -> None:
    for name in ("event10", "event2", "event1"):
        device(tmp_path, name, f"virtual/{name}", name="x\x1b[31m\n", node=name != "event1")
    (tmp_path / "sys/class/input/mice").mkdir()
    found = list_devices(str(tmp_path))
    assert [each.name for each in found] == ["hid:event2", "hid:event10"]
    assert found[0].description == "x[31m (event2)", "nothing that steers a terminal"
    assert found[0].parent is None


def test_a_machine_without_input_devices(tmp_path: Path) -> None:
    assert list_devices(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("capabilities", "properties", "expected"),
    [
        ({"key": range(1, 200)}, (), ["keyboard"]),
        ({"key": {0x110, 0x111}, "rel": {0, 1, 8}}, (), ["mouse"]),
        ({"key": {*range(1, 128), 0x110}, "rel": {0, 1}}, (), ["keyboard", "mouse"]),
        ({"key": {0x14A}, "abs": {0, 1, 0x2F}}, {1}, ["touchscreen"]),
        ({"key": {0x110, 0x145, 0x14A}, "abs": {0, 1}}, (), ["touchpad"]),
        ({"key": {0x130}, "abs": {0, 1}}, (), ["joystick"]),
        ({"key": {116}}, (), ["keys"]),
        ({"sw": {0}}, (), ["switches"]),
        ({}, (), []),
    ],
)
def test_what_a_device_is(
    capabilities: dict[str, set[int]], properties: set[int], expected: list[str]
) -> None:
    assert kinds(capabilities, properties) == expected
