"""USB devices of the board, native on a desktop: agent and desktop on one machine, each device by its kernel driver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .capture_file import dissected, urbs
from .hand import Hand
from .test_usb_devices import pressed
from .usb_desktop import FIND, Desktop, eventually
from .virtual_board import VirtualBoard

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.backend("virtual board: vhci_hcd and the kernel's drivers on the desktop"),
]

ISOCHRONOUS_TRANSFER, BULK_TRANSFER = 0, 3

REQUESTS = (
    FIND
    + """
device.set_configuration()
print(set(device.read(0x81, 65536, 20000)), device.write(0x02, bytes(65536), 20000))
device.set_interface_altsetting(0, 0)
device.clear_halt(0x81)
device.clear_halt(0x02)
print(len(device.read(0x81, 1024, 20000)))
device.reset()
device = find()
print(len(device.read(0x81, 1024, 20000)))
try:
    device.ctrl_transfer(0xC0, 0x99, 0, 0, 8, 20000)
except usb.core.USBError as error:
    print(error.errno)
print(len(device.read(0x81, 1024, 20000)))
"""
)
COMPOSITE = """
set -e
cd /sys/kernel/config/usb_gadget
mkdir -p two/strings/0x409 two/configs/c.1 two/functions/acm.two two/functions/mass_storage.two
cd two
echo 0x1d6b >idVendor; echo 0x0199 >idProduct
truncate -s 8M /run/board/two.img
echo /run/board/two.img >functions/mass_storage.two/lun.0/file
ln -s functions/acm.two functions/mass_storage.two configs/c.1/
echo dummy_udc.3 >UDC
"""


@pytest.fixture(scope="module")
def desktop(board: VirtualBoard, hand: Hand) -> Desktop:
    """The board's own machine is the desktop, too; it reaches the agent over TCP."""
    desktop = Desktop(hand)
    desktop.pair(board)
    return desktop


@pytest.fixture
def keyboard(hand: Hand) -> Iterator[str]:
    """QEMU's keyboard, plugged into the board; its resource."""
    hand.qemu_plug("usb-kbd", "typist")
    yield "0627:0001"
    hand.qemu_unplug("typist")


@pytest.fixture
def loudspeaker(hand: Hand) -> Iterator[str]:
    """QEMU's loudspeaker, plugged into the board; its resource."""
    hand.qemu_plug("usb-audio", "audio")
    yield "46f4:0002"
    hand.qemu_unplug("audio")


def listed(desktop: Desktop, resource: str) -> bool:
    """Whether the board lists a device by vendor and product."""
    vendor, product = (int(part, 16) for part in resource.split(":"))
    return any((d["vendor-id"], d["product-id"]) == (vendor, product) for d in desktop.result("usb", "list"))


def test_keys_arrive(desktop: Desktop, hand: Hand, keyboard: str) -> None:
    eventually(lambda: listed(desktop, keyboard))
    with desktop.attached(keyboard) as attached:
        desktop.node(attached.local, "event*")
        assert pressed(hand, "QEMU USB Keyboard", lambda: hand.qemu_keys("c")) == "KEY_C"
        assert pressed(hand, "QEMU USB Keyboard", lambda: hand.qemu_keys("q")) == "KEY_Q"


def test_sound_plays(desktop: Desktop, hand: Hand, loudspeaker: str) -> None:
    eventually(lambda: listed(desktop, loudspeaker))
    with desktop.attached(loudspeaker, "--capture", "/run/board/sound.pcapng") as attached:
        card = desktop.node(attached.local, "sound/card*").removeprefix("card")
        play = ["aplay", "-q", "-D", f"hw:{card},0", "-f", "S16_LE", "-c", "2", "-r", "48000"]
        hand.check("timeout", "60", *play, input=bytes(192_000))
    found = list(urbs(bytes(hand.read_file(path="/run/board/sound.pcapng"))))
    sent, played = (
        [urb for urb in found if (urb.kind, urb.transfer) == (kind, ISOCHRONOUS_TRANSFER)] for kind in "SC"
    )
    assert len(sent) == len(played)
    assert sum(length for urb in sent for _, length in urb.packets) >= 192_000
    done = [urb for urb in played if urb.status == 0]  # the last ones are unlinked
    assert {status for urb in done for status, _ in urb.packets} == {0}  # the device took every packet
    assert len(done) >= 0.9 * len(sent)


def test_tshark_reads_what_was_captured(desktop: Desktop, hand: Hand, tmp_path: Path) -> None:
    process = desktop.start("usb", "capture", "1d6b:0106", "-w", "/run/board/urbs.pcapng", "--json")
    port = eventually(lambda: desktop.lines(process, "port"))[0]["port"]
    desktop.local(port)
    hand.stop(name=process, signal=2, timeout=30)
    captured = bytes(hand.read_file(path="/run/board/urbs.pcapng"))
    path = tmp_path / "urbs.pcapng"
    path.write_bytes(captured)
    lines = dissected(path)
    assert len(lines) == len(list(urbs(captured))) > 10
    assert any("GET DESCRIPTOR Response DEVICE" in line for line in lines)


def test_standard_requests_do_what_they_say(desktop: Desktop, hand: Hand) -> None:
    with desktop.attached("1d6b:0106") as attached:
        said = hand.python(REQUESTS, attached.local.partition("-")[0], "0106", timeout=120).splitlines()
    assert said == ["{0} 65536", "1024", "1024", "32", "1024"]


def test_a_device_of_two_functions(desktop: Desktop, hand: Hand) -> None:
    hand.usb_unplug(name="keyboard")
    hand.check("sh", "-c", COMPOSITE)
    try:
        eventually(lambda: listed(desktop, "1d6b:0199"))
        with desktop.attached("1d6b:0199") as attached:
            disk = desktop.node(attached.local, "block/*")
            tty = desktop.node(attached.local, "tty/*")
            assert tty.startswith("ttyACM")
            hand.check("sh", "-c", f"head -c 1M /dev/urandom >/run/x; cat /run/x >/dev/{disk}; sync")
            hand.check("sh", "-c", "head -c 1M /run/board/two.img | cmp - /run/x")
            (row,) = [row for row in desktop.result("usb", "port") if row.get("resource")]
            assert {disk, tty} <= set(row["nodes"])
    finally:
        hand.check("sh", "-c", "echo >/sys/kernel/config/usb_gadget/two/UDC")
        hand.usb_plug(name="keyboard")


def test_ports_are_listed_and_pulled_out(desktop: Desktop) -> None:
    process = desktop.run("usb", "attach", "1d6b:0106", "--background", "--json")
    port = json.loads(process)["port"]
    local = desktop.local(port)
    (row,) = [row for row in desktop.result("usb", "port") if row["port"] == port]
    assert (row["board"], row["description"], row["local"]) == ("board", "Board source-sink", local)
    desktop.run("usb", "detach", str(port))
    assert desktop.is_free(port)
    eventually(lambda: not [row for row in desktop.result("usb", "port") if row.get("resource")])


def test_what_cannot_be_attached_says_why(desktop: Desktop, hand: Hand) -> None:
    (place,) = [d["port"] for d in desktop.result("usb", "list") if d["product-id"] == 0x0106]
    with desktop.attached(place):
        for device, code, words in (
            ("dead:beef", 1, "dead:beef"),
            (place, 6, "close it there first"),
            ("1d6b:0106", 1, "several devices"),  # the board is the desktop, so it has another one now
        ):
            ended = hand.run(argv=desktop.command("usb", "attach", device), env=desktop.env)
            assert ended["code"] == code, ended
            assert words in ended["stderr"].decode()


def test_it_is_attached_again_whenever_it_is_back(desktop: Desktop, board: VirtualBoard, hand: Hand) -> None:
    process = desktop.start("usb", "attach", "--auto", "1d6b:0107", "--json")
    try:
        eventually(lambda: desktop.lines(process, "port"))
        hand.usb_unplug(name="keyboard")
        eventually(lambda: not [row for row in desktop.result("usb", "port") if row.get("resource")])
        hand.usb_plug(name="keyboard")
        eventually(lambda: len(desktop.lines(process, "port")) == 2)
        board.restart_agent()
        eventually(lambda: len(desktop.lines(process, "port")) == 3, 120)
        port = desktop.lines(process, "port")[-1]["port"]
        desktop.local(port)
        assert pressed_gadget(hand) == "KEY_A"
        desktop.run("usb", "detach", str(port))
        assert eventually(lambda: hand.status(name=process) is not None)
        assert hand.status(name=process) == 0
    finally:
        if hand.status(name=process) is None:
            hand.stop(name=process, signal=2)


def pressed_gadget(hand: Hand) -> str:
    """The key that the keyboard gadget presses, as seen here."""
    found = pressed(hand, "Board keyboard", lambda: hand.hid_report(report=bytes([0, 0, 4, 0, 0, 0, 0, 0])))
    hand.hid_report(report=bytes(8))
    return found


def test_debians_own_client_attaches_from_the_server(desktop: Desktop, hand: Hand) -> None:
    process = desktop.start("usb", "serve", "1d6b:0106", "--json", "--capture", "/run/board/served.pcapng")
    try:
        eventually(lambda: desktop.lines(process, "host"))
        listing = hand.check("usbip", "list", "-r", "127.0.0.1")
        assert "1d6b:0106" in listing
        assert "1d6b:0107" not in listing
        (bus_id,) = [d["port"] for d in desktop.result("usb", "list") if d["product-id"] == 0x0106]
        attach = ["usbip", "attach", "-r", "127.0.0.1", "-b", bus_id]
        hand.check(*attach)
        port = int(eventually(lambda: attached_port(desktop)))
        bus = desktop.local(port).partition("-")[0]
        said = hand.python(REQUESTS, bus, "0106", timeout=120).splitlines()
        assert said == ["{0} 65536", "1024", "1024", "32", "1024"]
        assert hand.run(argv=attach)["code"] != 0  # it is in use
        hand.check("usbip", "detach", "-p", str(port))
        eventually(lambda: attached_port(desktop) is None)
    finally:
        hand.stop(name=process, signal=2)
    captured = urbs(bytes(hand.read_file(path="/run/board/served.pcapng")))
    assert any((urb.kind, urb.transfer, urb.length) == ("C", BULK_TRANSFER, 65536) for urb in captured)


def attached_port(desktop: Desktop) -> str | None:
    """The port in which `usbip` has put something."""
    said = eventually(lambda: usbip_ports(desktop.hand))
    lines = said.splitlines()
    ports = [line.split()[1].rstrip(":") for line in lines if line.startswith("Port")]
    remote = [line for line in lines if "usbip://127.0.0.1" in line]
    return ports[-1] if remote else None


def usbip_ports(hand: Hand) -> str | None:
    """What `usbip port` says; None when it gives up, as it does when a device leaves while it looks."""
    ended = hand.run(argv=["usbip", "port"])
    return str(ended["stdout"].decode()) or "none" if ended["code"] == 0 else None


def test_nobody_else_is_served_unasked(desktop: Desktop, hand: Hand) -> None:
    refused = hand.run(argv=desktop.command("usb", "serve", "--host", "0.0.0.0"), env=desktop.env)
    assert refused["code"] == 2
    assert b"not encrypted" in refused["stderr"]


def test_without_permission_it_says_so(desktop: Desktop, hand: Hand) -> None:
    somebody = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    ended = hand.run(argv=[*somebody, *desktop.command("usb", "detach", "0")], env=desktop.env)
    assert ended["code"] == 1
    assert b"root" in ended["stderr"]
