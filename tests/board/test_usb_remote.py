"""Devices of one machine, native on another: modem lines, isochronous packets."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from .conftest import BoardFactory
from .hand import Hand
from .usb_bench import drivers
from .usb_desktop import FIND, Desktop, eventually
from .virtual_board import VirtualBoard

pytestmark = [pytest.mark.timeout(300), pytest.mark.backend("virtual board: the kernel of another machine")]

LINES = """
import serial, sys, time
port = serial.Serial(sys.argv[1], 115200, timeout=20)
port.rts = False
port.write(b"ATZ\\r")
print("open", flush=True)  # what came before, pyserial has thrown away
print(port.read(4), port.cd, flush=True)
time.sleep(600)
"""
ISOCHRONOUS = (
    FIND
    + """
device.set_configuration()
device.set_interface_altsetting(0, 1)
data = device.read(0x81, 192 * 32, 20000)
print([data[n] - data[0] for n in range(0, 192 * 32, 192)] == list(range(32)))
print(device.write(0x02, bytes(192 * 32), 20000))
print(int.from_bytes(device.ctrl_transfer(0xC0, 1, 0, 0, 4), "little"))
"""
)


@dataclass
class World:
    """The board, and a desktop that reaches it over the segment that both are on."""

    board: VirtualBoard
    hand: Hand
    desktop: Desktop

    def drivers(self, product: int) -> set[str]:
        """The drivers of the board's kernel that have a device."""
        names = [d["name"] for d in self.desktop.result("usb", "list") if d["product-id"] == product]
        return {driver for name in names for driver in drivers(self.board.hand, name).values()}


@pytest.fixture(scope="module")
def world(board_factory: BoardFactory, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Board and desktop, paired."""
    segment = tmp_path_factory.mktemp("segment") / "wire"
    board, other = board_factory(link=segment), board_factory(link=segment)
    world = World(board, other.hand, Desktop(other.hand))
    world.desktop.pair(board, "10.0.3.1")
    return world


def test_a_serial_port_with_its_lines(world: World) -> None:
    board_hand, hand = world.board.hand, world.hand
    with world.desktop.attached("1d6b:5ac1:MODEM1") as attached:
        tty = world.desktop.node(attached.local, "tty/*")
        board_hand.serial_lines(dcd=True)
        hand.start(name="terminal", argv=["python3", "-c", LINES, f"/dev/{tty}"])
        try:
            eventually(lambda: "open" in world.desktop.said("terminal"))
            board_hand.serial_send(data=b"OK\r\n")
            (said,) = eventually(lambda: world.desktop.said("terminal").splitlines()[1:])
            assert said == r"b'OK\r\n' True"
            seen = board_hand.serial_seen()
            assert (seen["dtr"], seen["rts"], seen["baud"]) == (True, False, 115200)
            assert bytes(board_hand.serial_received()) == b"ATZ\r"
            board_hand.serial_lines(dcd=False)
        finally:
            hand.stop(name="terminal", signal=9)
        eventually(lambda: not board_hand.serial_seen()["dtr"])
    eventually(lambda: "cdc_acm" in world.drivers(0x5AC1))  # the board has it back


def test_isochronous_packets_come_in_order(world: World) -> None:
    with world.desktop.attached("1d6b:1501") as attached:
        said = world.hand.python(
            ISOCHRONOUS, attached.local.partition("-")[0], "1501", timeout=120
        ).splitlines()
    assert said == ["True", "6144", "6144"]
