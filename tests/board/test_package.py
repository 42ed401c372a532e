"""Our Debian packages on a board under systemd: installed, confined, and each bus used as the service uses it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from myclerk_client import Board, Frame, KnownBoards, Unauthorized, pair
from myclerk_client.known import KnownBoard

from .hand import Hand
from .usb_bench import drivers
from .virtual_board import NAME, VirtualBoard

pytestmark = [pytest.mark.backend("virtual board: Debian package"), pytest.mark.timeout(600)]

SECONDS = 120
EXPOSURE = 25
"""Ten times what `systemd-analyze security` may say at most."""
CAP_NET_ADMIN = 1 << 12
REACHABLE = """
import glob, os, stat
os.setgroups([]); os.setgid({gid}); os.setuid({uid})
for path in glob.glob("/dev/[!f]*/**", recursive=True) + glob.glob("/dev/*"):
    status = os.stat(path, follow_symlinks=False)
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        if os.access(path, os.R_OK) or os.access(path, os.W_OK):
            print(path)
"""
"""What a user may read or write in /dev."""

Story = Callable[[Board], Awaitable[Any]]
OnBoard = Callable[[Story], Any]


@pytest.fixture
def on_board(packaged: VirtualBoard) -> OnBoard:
    """Run a story in a session with the agent."""

    def run(story: Story) -> Any:
        async def connected() -> Any:
            async with asyncio.timeout(SECONDS), await packaged.connect(timeout=60) as client:
                return await story(client)

        return asyncio.run(connected())

    return run


@pytest.fixture
def hand(packaged: VirtualBoard) -> Hand:
    """The bench hand of that board."""
    return packaged.hand


# -- confinement -------------------------------------------------------------------------------------------


def test_it_runs_as_its_own_user_with_one_capability(hand: Hand) -> None:
    assert hand.check("systemctl", "is-system-running").strip() == "running"
    assert hand.check("systemctl", "is-enabled", "myclerk-agent").strip() == "enabled"
    status = dict(
        line.split(":\t", 1)
        for line in hand.check("cat", f"/proc/{main_pid(hand)}/status").splitlines()
        if ":\t" in line
    )
    assert set(status["Uid"].split()) == {hand.check("id", "-u", "myclerk").strip()}
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert int(status[kind], 16) == CAP_NET_ADMIN, kind
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    hand.check("systemd-analyze", "security", f"--threshold={EXPOSURE}", "myclerk-agent", timeout=60)


def test_its_group_reaches_the_buses_and_nothing_else_in_dev(hand: Hand) -> None:
    def reachable(user: str) -> set[str]:
        uid, gid = (hand.check("id", option, user).strip() for option in ("-u", "-g"))
        return set(hand.python(REACHABLE.format(uid=uid, gid=gid)).splitlines())

    gained = reachable("myclerk") - reachable("nobody")
    kinds = ("/dev/gpiochip", "/dev/i2c-", "/dev/spidev", "/dev/tty", "/dev/input/event", "/dev/bus/usb/")
    assert not [path for path in gained if not path.startswith(kinds)]
    assert not [path for path in gained if path.removeprefix("/dev/tty").isdigit()], (
        "consoles are no serial ports"
    )
    for kind in kinds:
        assert [path for path in gained if path.startswith(kind)] or kind == "/dev/bus/usb/", kind


def test_its_secrets_are_its_own_and_the_settings_are_documented(hand: Hand) -> None:
    assert hand.check("stat", "--format", "%U %a", "/var/lib/myclerk").strip() == "myclerk 700"
    assert hand.check("stat", "--format", "%U %a", "/var/lib/myclerk/agent.key").strip() == "myclerk 600"
    settings = hand.check("cat", "/etc/myclerk/agent.toml")
    assert not [line for line in settings.splitlines() if line and not line.startswith(("#", "["))]


def test_nobody_is_served_without_pairing(packaged: VirtualBoard, tmp_path: Path) -> None:
    known = packaged.boards.find(NAME)
    stranger = KnownBoards(tmp_path / "stranger")
    stranger.add(
        KnownBoard(NAME, known.host, packaged.port, known.fingerprint, known.public_key, known.pq_public)
    )

    async def main() -> None:
        with pytest.raises(Unauthorized):
            await Board.connect(NAME, boards=stranger, timeout=60)

    asyncio.run(main())


def test_a_user_of_the_board_invites_with_sudo_and_the_link_pairs(
    packaged: VirtualBoard, tmp_path: Path
) -> None:
    printed = json.loads(packaged.hand.check("myclerk-agent", "invite", "--json", "--host", "127.0.0.1"))
    link = printed["link"].replace("127.0.0.1", f"127.0.0.1:{packaged.port}", 1)
    boards = KnownBoards(tmp_path / "second")

    async def main() -> None:
        await pair(link, name="second", boards=boards, timeout=60)
        async with await Board.connect("second", boards=boards, timeout=60) as client:
            assert client.session["post_quantum"]

    asyncio.run(main())
    owners = packaged.hand.check("find", "/var/lib/myclerk", "!", "-user", "myclerk")
    assert owners == "", "root left nothing behind that the agent cannot use"


def test_it_is_discovered_with_its_port_and_fingerprint(packaged: VirtualBoard, hand: Hand) -> None:
    (found,) = json.loads(hand.check("myclerk", "discover", "--json", "--timeout", "15", timeout=60))
    assert found["port"] == 5657
    assert found["fingerprint"] == hand.check("myclerk-agent", "fingerprint").strip()
    assert found["fingerprint"].replace("-", "") == packaged.boards.find(NAME).fingerprint
    assert "10.0.2.15" in found["addresses"]


# -- buses -------------------------------------------------------------------------------------------------


def test_gpio_and_pwm(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request({"LED": True}):
            assert hand.gpio_value(line="LED") == 1
        async with await client.gpio.request({"BUTTON": {"bias": "pull-up"}}) as lines:
            hand.gpio_pull(line="BUTTON", pull="down")
            assert (await lines.get())["BUTTON"] is False
        (chip,) = await client.gpio.pwm_chips()
        name = chip["name"].partition(":")[2] or chip["name"]
        async with await client.gpio.pwm(f"{name}/1", frequency=1000, duty=0.25) as output:
            assert output.state["source"] == "hardware"
            assert hand.pwm_state()[1]["duty_ns"] == 250_000

    on_board(story)


def test_i2c(on_board: OnBoard, hand: Hand) -> None:
    hand.i2c_poke(address=0x50, offset=0, data=b"Hello")

    async def story(client: Board) -> None:
        (name,) = (bus["name"] for bus in await client.i2c.list() if "tiny" in bus["adapter"])
        assert await client.i2c.bus(name).read_byte_data(0x50, 0) == ord("H")

    on_board(story)


def test_spi(on_board: OnBoard) -> None:
    async def story(client: Board) -> None:
        async with await client.spi.open("0.0", speed_hz=1_000_000) as device:
            assert await device.transfer(b"loopback") == b"loopback"

    on_board(story)


@pytest.mark.amd64_only("kvaser_pci")
def test_can_settings_and_frames(on_board: OnBoard) -> None:
    """The settings are what the one capability is for."""

    async def story(client: Board) -> None:
        async with (
            await client.can.open("can2", bitrate=500_000) as one,
            await client.can.open("can3", bitrate=500_000) as other,
        ):
            await one.send(Frame.parse("123#DEADBEEF"))
            received = await other.receive(timeout=30)
            assert str(received) == "123#DEADBEEF"

    on_board(story)


def test_1_wire_is_measured_and_configured(on_board: OnBoard, hand: Hand) -> None:
    hand.w1_set_temperature(index=0, celsius=21.5)
    rom = str(hand.w1_sensors()[0]["name"])

    async def story(client: Board) -> None:
        await client.onewire.configure(rom, resolution=10, alarm_low=10, alarm_high=30)
        assert await client.onewire.temperature(rom) == 21.5
        await client.onewire.transaction(rom, write=b"\xbe", read=9, crc=True)
        (bus,) = await client.onewire.list()
        found = await client.onewire.bus(bus["name"]).search()
        assert {device["rom"] for device in found} == {str(sensor["name"]) for sensor in hand.w1_sensors()}

    on_board(story)


def test_serial_ports(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.serial.open(hand.serial_port(), baud=57600, dtr=True) as port:
            assert hand.serial_seen()["baud"] == 57600
            hand.serial_send(data=b"OK\r\n")
            assert await port.read_until(b"\r\n", timeout=30) == b"OK\r\n"

    on_board(story)


def test_usb_devices_are_taken_from_the_kernel_reset_and_given_back(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        (modem,) = (device for device in await client.usb.list() if device.get("serial") == "MODEM1")
        assert drivers(hand, modem["name"]) == {"1.0": "cdc_acm", "1.1": "cdc_acm"}
        async with await client.usb.attach(modem["name"]) as device:
            assert "cdc_acm" not in drivers(hand, modem["name"]).values()
            assert (await device.control(0x80, 6, 0x0100, 0, 18))[:2] == b"\x12\x01"
            await device.reset()
            hand.serial_send(data=b"RING\r\n")
            assert await device.read(0x81, 6) == b"RING\r\n"
        tty = hand.wait_for(glob=f"/sys/bus/usb/devices/{modem['port']}:*/tty/ttyACM*", timeout=30)
        assert tty, "the board's own driver has it again"

    on_board(story)


def test_input_devices(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        name = Path(hand.input_device()).name
        async with await client.hid.open(name, grab=True) as device:
            hand.key(code="KEY_A", pressed=True)
            hand.key(code="KEY_A", pressed=False)
            async for report in device:
                if [1, 30, 1] in report.get("events", ()):
                    break

    on_board(story)


def test_what_is_plugged_in_later_is_reached_too(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        hand.usb_unplug(name="modem")
        hand.wait_for(glob="/dev/serial/by-id/*MODEM1*", present=False)
        hand.usb_plug(name="modem")
        hand.wait_for(glob="/dev/serial/by-id/*MODEM1*")
        port = hand.serial_port()
        deadline = time.monotonic() + 30
        while "myclerk" not in hand.check("getfacl", "--absolute-names", f"/dev/{port}"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        async with await client.serial.open(port):
            pass

    on_board(story)


def test_modems(on_board: OnBoard, hand: Hand) -> None:
    tty = hand.serial_port()
    settings = f'[drivers.gsm]\nports = {{gate = "/dev/{tty}"}}\n'.encode()
    hand.write_file(path="/etc/myclerk/agent.toml", data=settings, append=True)
    hand.check("systemctl", "restart", "myclerk-agent", timeout=SECONDS)
    hand.gsm_attach(family="ec25")

    async def story(client: Board) -> None:
        modem = client.gsm.modem("gate")
        await modem.initialise(wait=SECONDS)
        await modem.send("+491701234567", "from the service")
        await modem.release()

    try:
        on_board(story)
        assert len(hand.gsm_seen()["sent"]) == 1
    finally:
        hand.gsm_attach(family=None)


def main_pid(hand: Hand) -> int:
    """The agent's process."""
    return int(hand.check("systemctl", "show", "--property=MainPID", "--value", "myclerk-agent"))
