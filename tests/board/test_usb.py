"""USB devices of the board: listed, attached, given back, refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from myclerk_client import (
    BadRequest,
    Board,
    Conflict,
    DeviceGone,
    Forbidden,
    HardwareError,
    KnownBoards,
    NotFound,
    Unsupported,
    UsbDevice,
    pair,
)
from myclerk_protocol.usb_descriptors import CONFIGURATION, DEVICE, STRING, parse, string_text

from .hand import Hand
from .usb_bench import appeared, drivers, eventually, lab, place
from .virtual_board import VirtualBoard

pytestmark = pytest.mark.backend("virtual board: dummy_hcd")

PYUSB = """
import json, usb.core, usb.util
for device in usb.core.find(find_all=True):
    if device.bDeviceClass == 9:
        continue
    print(json.dumps([
        device.bus, device.address, device.idVendor, device.idProduct, device.bcdDevice, device.bNumConfigurations,
        device.manufacturer, device.product, device.serial_number,
    ]))
"""
HOLD = """
import sys, usb.core, usb.util
device = usb.core.find(idVendor=0x1d6b, idProduct=0x0106)
usb.util.claim_interface(device, 0)
print("claimed", flush=True)
sys.stdin.read()
import time
time.sleep(1000)
"""


def agent_count(hand: Hand, what: str) -> int:
    """How many entries /proc/PID/``what`` of the agent has: "fd" or "task"."""
    count = hand.check("sh", "-c", f"ls /proc/$(pgrep -f recording_agent.py | head -1)/{what} | wc -l")
    return int(count)


def test_the_devices_are_listed_as_pyusb_lists_them(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            devices = await client.usb.list()
            (modem,) = (device for device in devices if device.get("serial") == "MODEM1")
            assert modem["name"] == place(hand, "modem")
            assert modem["speed"] == 12_000_000
            assert [(i["number"], i["class"], i["driver"]) for i in modem["interfaces"]] == [
                (0, 2, "cdc_acm"),
                (1, 10, "cdc_acm"),
            ]
            assert modem["interfaces"][1]["endpoints"] == [
                {"address": 0x81, "type": "bulk", "max_packet_size": 64, "interval": 1},
                {"address": 0x02, "type": "bulk", "max_packet_size": 64, "interval": 1},
            ]
            assert (modem["configuration"], modem["configurations"], modem["in_use"]) == (1, 1, False)
            ours = [
                [
                    d["bus"],
                    d["device"],
                    d["vendor_id"],
                    d["product_id"],
                    d["device_release"],
                    d["configurations"],
                ]
                + [d.get(key) for key in ("manufacturer", "product", "serial")]
                for d in devices
            ]
            theirs = [json.loads(line) for line in hand.python(PYUSB).splitlines()]
            assert sorted(ours, key=str) == sorted(theirs, key=str)

    asyncio.run(main())


def test_a_device_has_its_place_its_id_and_its_serial_number_as_names(
    board: VirtualBoard, hand: Hand
) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            with lab(hand) as resource:
                entry = await client.device(resource)
                assert entry["aliases"] == ["usb:1d6b:0199:SN-lab%2F1", "usb:1d6b:0199"]
                for name in entry["aliases"]:
                    assert (await client.device(name))["name"] == resource
                tty = next(d for d in await client.devices("serial") if d.get("parent") == resource)
                assert tty["properties"]["serial_number"] == "SN-lab/1"

    asyncio.run(main())


def test_descriptors_are_read_without_attaching(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            modem = place(hand, "modem")
            device = await client.usb.descriptor(modem, DEVICE)
            assert (len(device), parse(device).product_id) == (18, 0x5AC1)
            configuration = await client.usb.descriptor(modem, CONFIGURATION)
            assert configuration[1] == CONFIGURATION
            assert len(configuration) == int.from_bytes(configuration[2:4], "little")
            assert await client.usb.descriptor(modem, CONFIGURATION, length=9) == configuration[:9]
            assert string_text(await client.usb.descriptor(modem, STRING, 2, 0x0409)) == "modem"
            for kind, index in ((CONFIGURATION, 1), (DEVICE, 1), (STRING, 77), (0x42, 0)):
                with pytest.raises(HardwareError) as caught:
                    await client.usb.descriptor(modem, kind, index)
                assert caught.value.details["errno"] == "EPIPE"
            assert drivers(hand, modem) == {"1.0": "cdc_acm", "1.1": "cdc_acm"}

    asyncio.run(main())


def test_attaching_takes_a_device_from_its_drivers_and_detaching_gives_it_back(
    board: VirtualBoard, hand: Hand
) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            with lab(hand) as resource:
                before = drivers(hand, resource)
                assert before == {"1.1": "cdc_acm", "1.2": "cdc_acm"}
                device = await client.usb.attach(resource)
                assert set(drivers(hand, resource).items()) == {
                    (interface, "usbfs") for interface in ("1.0", "1.1", "1.2")
                }
                assert parse(device.descriptors).configurations[1].value == 2
                (listed,) = (d for d in await client.usb.list() if d["name"] == resource)
                assert listed["in_use"]
                await device.detach()
                assert drivers(hand, resource) == before  # the answer came behind it
                await device.detach()
                (listed,) = (d for d in await client.usb.list() if d["name"] == resource)
                assert not listed["in_use"]

    asyncio.run(main())


def test_another_configuration_is_chosen_and_taken_back_with_the_device(
    board: VirtualBoard, hand: Hand
) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            with lab(hand) as resource:
                before = drivers(hand, resource)
                async with await client.usb.attach(resource) as device:
                    info = await device.set_configuration(2)
                    assert info["configuration"] == 2
                    assert drivers(hand, resource) == {"2.0": "usbfs"}
                    (loopback,) = info["interfaces"]
                    addresses = [endpoint["address"] for endpoint in loopback["endpoints"]]
                    into, out = sorted(addresses, reverse=True)
                    await device.write(out, b"there and back", timeout=20)
                    assert await device.read(into, 512, timeout=20) == b"there and back"
                    assert (await device.set_configuration(0)).get("configuration") is None
                    assert await device.control(0x80, 8, 0, 0, 1, timeout=20) == b"\0"
                    await device.control(0x00, 9, 1, 0, b"", timeout=20)  # SET_CONFIGURATION as a transfer
                    assert set(drivers(hand, resource).values()) == {"usbfs"}
                    with pytest.raises(BadRequest, match="no configuration 3"):
                        await device.set_configuration(3)
                    await device.set_configuration(2)
                assert drivers(hand, resource) == before

    asyncio.run(main())


def test_a_session_that_vanishes_gives_its_device_back(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        client = await board.connect(reconnect=0.0)
        modem = place(hand, "modem")
        device = await client.usb.attach(modem)
        waiting = device.submit_bulk(0x81, 64)
        client.link.drop_connection()
        with pytest.raises(ConnectionError):
            await waiting
        assert set(drivers(hand, modem).values()) == {"usbfs"}
        await asyncio.to_thread(eventually, lambda: set(drivers(hand, modem).values()) == {"cdc_acm"})
        await client.close()

    asyncio.run(main())


def test_what_an_agent_had_that_was_killed_is_given_back_at_its_next_start(
    board: VirtualBoard, hand: Hand
) -> None:
    async def main() -> None:
        client = await board.connect(reconnect=0.0)
        with lab(hand) as resource:
            device = await client.usb.attach(resource)
            await device.set_configuration(2)
            board.stop_agent(9)
            hand.check("sh", "-c", "rm -f /run/myclerk/agent.sock")
            await client.close()
            assert drivers(hand, resource) == {}
            board.start_agent()
            await asyncio.to_thread(
                eventually, lambda: drivers(hand, resource) == {"1.1": "cdc_acm", "1.2": "cdc_acm"}
            )
            assert hand.check("ls", "/var/lib/myclerk/usb") == ""

    asyncio.run(main())


def test_an_agent_that_stops_has_given_everything_back(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        client = await board.connect(reconnect=0.0)
        modem = place(hand, "modem")
        await client.usb.attach(modem)
        assert board.stop_agent() == 0
        assert drivers(hand, modem) == {"1.0": "cdc_acm", "1.1": "cdc_acm"}
        await client.close()
        board.start_agent()

    asyncio.run(main())


def test_a_hundred_rounds_leave_nothing_behind(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            keyboard = place(hand, "keyboard")

            async def attach_and_detach() -> None:
                async with await client.usb.attach(keyboard) as device:
                    device.submit_interrupt(0x81, 8)
                    assert len(await device.control(0x80, 6, 0x0100, 0, 18, timeout=20)) == 18  # type: ignore[arg-type]

            await attach_and_detach()
            await asyncio.to_thread(eventually, lambda: drivers(hand, keyboard) == {"1.0": "usbhid"})
            before = agent_count(hand, "fd"), agent_count(hand, "task")
            for _ in range(100):
                await attach_and_detach()
            assert drivers(hand, keyboard) == {"1.0": "usbhid"}
            assert agent_count(hand, "fd") == before[0]
            await asyncio.to_thread(eventually, lambda: agent_count(hand, "task") <= before[1])
            assert not any(device["in_use"] for device in await client.usb.list())

    asyncio.run(main())


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.fixture
def mounted(hand: Hand) -> Iterator[str]:
    """The disk of the bench, mounted by way of a loop device; its resource."""
    name = hand.check(
        "sh", "-c", "basename $(ls -d /sys/bus/usb/devices/*/host*/target*/*/block/sd? | head -1)"
    ).strip()
    hand.check("modprobe", "loop", "max_loop=8")
    hand.check("losetup", "/dev/loop7", f"/dev/{name}")
    hand.check("mkdir", "-p", "/mnt/a b")
    hand.check("mount", "/dev/loop7", "/mnt/a b")
    yield place(hand, "disk")
    hand.check("sh", "-c", "umount -l '/mnt/a b'; losetup -d /dev/loop7; true")


def test_the_disk_that_the_board_has_mounted_is_refused(
    board: VirtualBoard, hand: Hand, mounted: str
) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            (disk,) = (d for d in await client.usb.list() if d["name"] == mounted)
            assert disk["used_for"] == ["/mnt/a b is mounted from loop7"]
            with pytest.raises(Forbidden) as caught:
                await client.usb.attach(mounted)
            assert "/mnt/a b is mounted from loop7" in caught.value.message
            assert f'"{mounted}" into `allow` of [drivers.usb]' in caught.value.message
            assert drivers(hand, mounted) == {"1.0": "usb-storage"}
        board.restart_agent('[drivers.usb]\nallow = ["usb:1d6b:0105:*"]\n')
        async with await board.connect() as client:
            async with await client.usb.attach(mounted):
                assert drivers(hand, mounted) == {"1.0": "usbfs"}
        board.restart_agent()

    asyncio.run(main())


@pytest.mark.backend("virtual board: xhci")
def test_the_network_interface_that_the_board_uses_is_refused(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        hand.check("modprobe", "cdc_ether")
        hand.qemu_plug("usb-net", "stick")
        async with await board.connect() as client:
            stick = await appeared(client, "QEMU USB Network")
            glob = f"/sys/bus/usb/devices/{stick.removeprefix('usb:')}/*/net/*"
            hand.wait_for(glob=glob)
            name = hand.check("sh", "-c", f"basename {glob}").strip()
            assert "used_for" not in (await client.device(stick))["properties"]
            hand.check("sh", "-c", f"ip address add 192.0.2.1/24 dev {name} && ip link set {name} up")
            with pytest.raises(Forbidden, match=f"{name} is up with address 192.0.2.1"):
                await client.usb.attach(stick)
            hand.check("ip", "link", "set", name, "down")
            async with await client.usb.attach(stick):
                pass
        hand.qemu_unplug("stick")

    asyncio.run(main())


@pytest.mark.backend("virtual board: xhci")
def test_a_hub_is_not_attached(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        hand.qemu_plug("usb-hub", "hub")
        async with await board.connect() as client:
            hub = await appeared(client, "QEMU USB Hub")
            with pytest.raises(Unsupported, match="is a hub"):
                await client.usb.attach(hub)
        hand.qemu_unplug("hub")

    asyncio.run(main())


def test_a_device_that_another_session_or_program_has_is_refused(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with await board.connect() as client, await board.connect() as other:
            modem = place(hand, "modem")
            async with await other.serial.open(hand.serial_port()):
                with pytest.raises(Conflict, match="is open already"):
                    await client.usb.attach(modem)
            async with await other.usb.attach(modem):
                with pytest.raises(Conflict, match="is open already"):
                    await client.usb.attach(modem)
            async with await client.usb.attach(modem):
                pass
            hand.start(name="holder", argv=["python3", "-c", HOLD.replace("sys.stdin.read()\n", "")])
            await asyncio.to_thread(
                eventually, lambda: b"claimed" in bytes(hand.read_file(path="/run/board/holder.log"))
            )
            with pytest.raises(Conflict, match="another program"):
                await client.usb.attach(place(hand, "source-sink"))
            hand.stop(name="holder")
            async with await client.usb.attach(place(hand, "source-sink")):
                pass

    asyncio.run(main())


def test_a_device_that_is_not_there_is_not_found(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            for name in ("9-9", "dead:beef", "1-1:1.0", "usb1", "../../class"):
                with pytest.raises(NotFound):
                    await client.usb.attach(name)

    asyncio.run(main())


def test_who_may_only_read_sees_descriptors_and_attaches_nothing(
    board: VirtualBoard, hand: Hand, tmp_path: object
) -> None:
    async def main() -> None:
        boards = KnownBoards(tmp_path)  # type: ignore[arg-type]
        await pair(board.invitation("--access", "read"), name="reader", boards=boards)
        async with await Board.connect("reader", boards=boards) as client:
            modem = place(hand, "modem")
            assert modem in [device["name"] for device in await client.usb.list()]
            assert len(await client.usb.descriptor(modem, DEVICE)) == 18
            with pytest.raises(Forbidden):
                await client.usb.attach(modem)

    asyncio.run(main())


def test_a_device_that_is_unplugged_fails_everything_at_once(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            keyboard = place(hand, "keyboard")
            device: UsbDevice = await client.usb.attach(keyboard)
            waiting = [device.submit_interrupt(0x81, 8) for _ in range(20)]
            poll = await device.poll(0x81, 8)
            hand.usb_unplug(name="keyboard")
            for transfer in waiting:
                with pytest.raises(DeviceGone):
                    await asyncio.wait_for(transfer.future, 20)
            with pytest.raises(DeviceGone):
                await asyncio.wait_for(poll.next(), 20)
            for call in (device.clear_halt(0x81), device.reset(), device.control(0x80, 0, 0, 0, 2)):
                with pytest.raises(DeviceGone):
                    await call
            await device.detach()
            hand.usb_plug(name="keyboard")
            async with await client.usb.attach(keyboard) as again:
                assert len(await again.control(0x80, 6, 0x0100, 0, 18, timeout=20)) == 18  # type: ignore[arg-type]

    asyncio.run(main())
