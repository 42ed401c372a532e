"""The board's USB and input devices, by the kernel's own drivers and Debian's own tools."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from .hand import Hand, HandError

LISTEN = """
import sys, evdev
device = next(d for d in map(evdev.InputDevice, evdev.list_devices()) if sys.argv[1] in d.name)
print("listening", flush=True)
for event in device.read_loop():
    if event.type == evdev.ecodes.EV_KEY and event.value == 1:
        print(evdev.ecodes.KEY[event.code], flush=True)
        break
"""
BULK = """
import usb.core
device = usb.core.find(idVendor=0x1d6b, idProduct=0x0106)
device.set_configuration()
data = device.read(0x81, 65536, 5000)
print(len(data), set(data) == {0}, device.write(0x02, bytes(65536), 5000))
"""
ISOCHRONOUS = """
import usb.core
device = usb.core.find(idVendor=0x1d6b, idProduct=0x1501)
device.set_configuration()
device.set_interface_altsetting(0, 1)
print(len(device.read(0x81, 192 * 8, 5000)), device.write(0x02, bytes(192 * 8), 5000))
"""
BLOCKS = "for d in /sys/block/sd*; do echo $(basename $d) $(readlink -f $d); done"


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something that the kernel does in its own time."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def pressed(hand: Hand, device: str, press: Callable[[], object]) -> str:
    """The first key that an event device shows when ``press`` is called."""
    name = f"listener-{device.replace(' ', '-')}"

    def log() -> str:
        try:
            return bytes(hand.read_file(path=f"/run/board/{name}.log")).decode()
        except HandError:
            return ""  # never started before

    before = len(log())
    hand.start(name=name, argv=["python3", "-c", LISTEN, device])
    eventually(lambda: "listening" in log()[before:])
    press()
    eventually(lambda: hand.status(name=name) is not None)
    return log().splitlines()[-1]


def test_a_key_of_the_uinput_keyboard(hand: Hand) -> None:
    assert pressed(hand, "board-keys", lambda: hand.key(code="KEY_B", pressed=True)) == "KEY_B"
    hand.key(code="KEY_B", pressed=False)


def test_a_key_of_the_keyboard_gadget(hand: Hand) -> None:
    report = bytes([0, 0, 0x04, 0, 0, 0, 0, 0])  # usage 4 is the key A
    assert pressed(hand, "Board keyboard", lambda: hand.hid_report(report=report)) == "KEY_A"
    hand.hid_report(report=bytes(8))


def test_a_key_of_qemus_keyboard_that_is_plugged_in_and_out(hand: Hand) -> None:
    hand.qemu_plug("usb-kbd", "typist")
    hand.wait_for(glob="/sys/bus/usb/devices/*/*/*/input/input*/event*")
    eventually(lambda: "QEMU USB Keyboard" in hand.check("cat", "/proc/bus/input/devices"))
    assert pressed(hand, "QEMU USB Keyboard", lambda: hand.qemu_keys("c")) == "KEY_C"
    hand.qemu_unplug("typist")
    eventually(lambda: "QEMU USB Keyboard" not in hand.check("cat", "/proc/bus/input/devices"))


def test_bulk_transfers_both_ways(hand: Hand) -> None:
    assert hand.python(BULK).split() == ["65536", "True", "65536"]


def test_isochronous_transfers_both_ways(hand: Hand) -> None:
    assert hand.python(ISOCHRONOUS).split() == ["1536", "1536"]


def test_a_disk_holds_what_is_written_to_it_and_goes_when_it_is_pulled(hand: Hand) -> None:
    name = hand.check("sh", "-c", BLOCKS).split()[0]
    mount = f"mkdir -p /mnt/disk && mount /dev/{name} /mnt/disk"
    hand.check("sh", "-c", f"{mount} && echo kept >/mnt/disk/file && umount /mnt/disk")
    assert hand.check("sh", "-c", f"{mount} && cat /mnt/disk/file && umount /mnt/disk") == "kept\n"
    hand.usb_unplug(name="disk")
    hand.wait_for(glob=f"/dev/{name}", present=False)
    hand.usb_plug(name="disk")
    hand.wait_for(glob="/dev/sd?")


@pytest.mark.parametrize("name", ["modem", "i2c", "onewire", "can", "isochronous", "source-sink", "keyboard"])
def test_every_device_can_be_pulled_and_comes_back(hand: Hand, name: str) -> None:
    def plugged() -> dict[str, bool]:
        return {device["name"]: device["plugged"] for device in hand.usb_list()}

    assert plugged()[name]
    hand.usb_unplug(name=name)
    assert not plugged()[name]
    with pytest.raises(HandError, match="not plugged in"):
        hand.usb_unplug(name=name)
    hand.usb_plug(name=name)
    assert plugged()[name]


def test_a_device_by_its_serial_number(hand: Hand) -> None:
    listed = hand.check("lsusb", "-v", "-d", "1d6b:0106")
    assert "SN-source-sink" in listed
    assert "480M" in hand.check("lsusb", "-t")
