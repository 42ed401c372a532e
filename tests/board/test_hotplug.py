"""Hot-plug: devices of a real kernel come and go while clients watch, without udev and with it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from myclerk_client import Board, DeviceEvents, NotFound, OperationTimeout, SessionLost, devices

from .conftest import BoardFactory
from .hand import Hand
from .virtual_board import VirtualBoard

T = TypeVar("T")
SERIAL = pytest.mark.backend("virtual board: cdc_acm, ftdi_sio")
USB = pytest.mark.backend("virtual board: usbfs")
CAN = pytest.mark.backend("virtual board: vcan")

LISTENERS = """
import sys
rows = [line.split() for line in open("/proc/net/netlink")][1:]
print(sum(row[1] == "15" and row[3].strip("0") != "" for row in rows))
"""


def on(board: VirtualBoard, story: Callable[[Board], Awaitable[T]]) -> T:
    async def run() -> T:
        async with asyncio.timeout(110), await board.connect(reconnect=90) as client:
            return await story(client)

    return asyncio.run(run())


def listeners(hand: Hand) -> int:
    """How many sockets listen to uevents."""
    return int(hand.python(LISTENERS))


def vcan(hand: Hand, *commands: str) -> None:
    """Run `ip link COMMAND` one after another, in one program."""
    script = "".join(f"link {command}\n" for command in commands)
    hand.check("sh", "-c", f"printf '{script}' | ip -batch -")


def burst(action: str, count: int = 50) -> list[str]:
    kind = " type vcan" if action == "add" else ""
    return [f"{action} burst{number}{kind}" for number in range(count)]


class Known:
    """What a subscriber knows: the devices of the start, and what it was told since."""

    def __init__(self, events: DeviceEvents, devices: list[dict[str, Any]]) -> None:
        self._events = events
        self.devices = {device["name"]: device for device in devices}
        self.told: list[str] = []

    async def one(self) -> dict[str, Any]:
        """The next event."""
        event = await self._events.next()
        assert event is not None
        name, action = event["device"]["name"], event["action"]
        assert (name in self.devices) is (action != "add"), "told twice, or of a stranger"
        if action == "remove":
            del self.devices[name]
        else:
            self.devices[name] = event["device"]
        self.told.append(f"{action} {name}")
        return event

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await self.one()


def matching(known: Known, pattern: str) -> list[str]:
    return sorted(name for name in known.devices if re.fullmatch(pattern, name))


@contextmanager
def unplugged(hand: Hand, name: str) -> Iterator[None]:
    """Pull a device out and plug it in again, whatever happens."""
    hand.usb_unplug(name=name)
    try:
        yield
    finally:
        if not next(device["plugged"] for device in hand.usb_list() if device["name"] == name):
            hand.usb_plug(name=name)


async def away(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Let the hand do something while we listen."""
    return await asyncio.to_thread(function, *args, **kwargs)


@SERIAL
@pytest.mark.parametrize("name", ["modem", "serial"])
def test_a_tty_goes_and_comes_back_as_what_it_was(board: VirtualBoard, hand: Hand, name: str) -> None:
    tty = f"serial:{hand.usb_tty(name=name)}"

    async def story(client: Board) -> None:
        async with client.subscribe("serial") as events:
            known = Known(events, events.devices)
            assert events.devices == await client.devices("serial")
            before = known.devices[tty]
            with unplugged(hand, name):
                assert await known.one() == {"action": "remove", "device": before}
                assert tty not in [device["name"] for device in await client.devices("serial")]
            await known.until(lambda: tty in known.devices)
            await client.wait_for(tty, timeout=30)
            assert {**known.devices[tty], "parent": None} == {**before, "parent": None}
            assert known.told == [f"remove {tty}", f"add {tty}"]

    on(board, story)


@SERIAL
def test_a_device_of_qemu_is_there_when_it_is_told(board: VirtualBoard, hand: Hand) -> None:
    hand.check("modprobe", "ftdi_sio")  # there is no udev to do it
    board.machine.qmp("chardev-add", id="nothing", backend={"type": "null", "data": {}})

    async def story(client: Board) -> None:
        with pytest.raises(OperationTimeout, match=r"serial:ttyUSB0 did not appear within 0\.2 s"):
            await client.wait_for("serial:ttyUSB0", timeout=0.2)
        waiting = asyncio.create_task(client.wait_for("serial:ttyUSB0", timeout=60))
        await away(hand.qemu_plug, "usb-serial", "ftdi", chardev="nothing", **{"always-plugged": True})
        device = await waiting
        assert device["properties"]["product"] == "QEMU USB SERIAL"
        async with client.subscribe(resource="serial:ttyUSB0") as events:
            assert [found["name"] for found in events.devices] == ["serial:ttyUSB0"]
            async with await client.serial.open("ttyUSB0", baud=9600) as port:
                await port.write(b"into nothing")
            hand.qemu_unplug("ftdi")
            event = await events.next()
            assert event is not None
            assert (event["action"], event["device"]["name"]) == ("remove", "serial:ttyUSB0")

    on(board, story)


@USB
def test_a_usb_device_comes_and_goes_with_its_tty(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with client.subscribe(["usb", "serial"]) as events:
            known = Known(events, events.devices)
            tty = f"serial:{hand.usb_tty(name='modem')}"
            usb = known.devices[tty]["parent"]
            with unplugged(hand, "modem"):
                await known.until(lambda: not {usb, tty} & known.devices.keys())
            await known.until(lambda: tty in known.devices and known.devices[tty]["parent"] in known.devices)
            assert known.devices[known.devices[tty]["parent"]]["properties"]["product"] == "modem"

    on(board, story)


@USB
@pytest.mark.parametrize("name", ["disk", "keyboard", "source-sink", "isochronous"])
def test_a_usb_device_is_known_by_its_serial_number(board: VirtualBoard, hand: Hand, name: str) -> None:
    serial = next(device["serial"] for device in hand.usb_list() if device["name"] == name)

    def there(known: Known) -> list[str]:
        devices = known.devices.values()
        return [device["name"] for device in devices if device["properties"].get("serial") == serial]

    async def story(client: Board) -> None:
        async with client.subscribe("usb") as events:
            known = Known(events, events.devices)
            (before,) = there(known)
            alias = known.devices[before]["aliases"][0]
            with unplugged(hand, name):
                await known.until(lambda: not there(known))
                with pytest.raises(NotFound):
                    await client.device(alias)
            assert (await client.wait_for(alias, timeout=60))["properties"]["serial"] == serial
            await known.until(lambda: there(known))

    on(board, story)


@USB
def test_a_keyboard_of_qemu_is_told_under_both_its_kinds(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with client.subscribe(["usb", "hid"]) as events:
            known = Known(events, events.devices)
            before = set(known.devices)
            await away(hand.qemu_plug, "usb-kbd", "typist")
            await known.until(
                lambda: {_kind(name) for name in known.devices.keys() - before} == {"usb", "hid"}
            )
            hand.qemu_unplug("typist")
            await known.until(lambda: set(known.devices) == before)

    on(board, story)


def _kind(name: str) -> str:
    return name.partition(":")[0]


@CAN
def test_a_can_interface_comes_is_renamed_and_goes(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with client.subscribe("can") as events:
            known = Known(events, events.devices)
            vcan(hand, "add plugged type vcan")
            await known.until(lambda: "can:plugged" in known.devices)
            vcan(hand, "set plugged name renamed")
            await known.until(lambda: "can:renamed" in known.devices)
            assert "can:plugged" not in known.devices
            vcan(hand, "del renamed")
            await known.until(lambda: "can:renamed" not in known.devices)
            assert len(known.told) == 4

    on(board, story)


@pytest.mark.backend("virtual board: gs_usb, i2c-tiny-usb, ds2490")
@pytest.mark.parametrize(
    ("name", "pattern", "count"),
    [("can", r"can:can[01]", 2), ("i2c", r"i2c:\d+", 1), ("onewire", r"w1:.+", 3)],
)
def test_a_bus_comes_with_what_is_on_it(
    board: VirtualBoard, hand: Hand, name: str, pattern: str, count: int
) -> None:
    async def story(client: Board) -> None:
        async with client.subscribe(["can", "i2c", "w1"]) as events:
            known = Known(events, events.devices)
            before = matching(known, pattern)
            with unplugged(hand, name):
                await known.until(lambda: len(matching(known, pattern)) == len(before) - count)
            await known.until(lambda: len(matching(known, pattern)) == len(before))

    on(board, story)


@CAN
def test_a_burst_loses_nothing_even_for_one_who_takes_one_at_a_time(
    board: VirtualBoard, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(client: Board) -> None:
        async with client.subscribe() as first, client.subscribe("can") as second:
            monkeypatch.setattr(devices, "WINDOW", 1)
            async with client.subscribe("can") as slow:
                await burst_of(client, [Known(events, events.devices) for events in (first, second, slow)])

    async def burst_of(client: Board, everybody: list[Known]) -> None:
        for action, wanted in (("add", 50), ("del", 0), ("add", 50)):
            await away(vcan, hand, *burst(action))
            for known in everybody:
                await known.until(
                    lambda known=known, wanted=wanted: len(matching(known, r"can:burst\d+")) == wanted
                )
        await away(vcan, hand, *burst("del"), *burst("add"), *burst("del"))
        for known in everybody:
            await known.until(lambda known=known: not matching(known, r"can:burst\d+"))

    on(board, story)


@CAN
def test_what_happens_while_the_connection_is_gone_is_told_when_it_is_back(
    board: VirtualBoard, hand: Hand
) -> None:
    async def story(client: Board) -> None:
        async with client.subscribe("can") as events:
            known = Known(events, events.devices)
            for _ in range(3):
                vcan(hand, "add lost type vcan")
                client.link.drop_connection()
                await known.until(lambda: "can:lost" in known.devices)
                client.link.drop_connection()
                vcan(hand, "del lost")
                await known.until(lambda: "can:lost" not in known.devices)
            assert known.told == ["add can:lost", "remove can:lost"] * 3

    on(board, story)


@CAN
def test_nobody_listens_when_nobody_subscribes(board: VirtualBoard, hand: Hand) -> None:
    before = listeners(hand)

    async def story(client: Board) -> None:
        async with client.subscribe():
            assert listeners(hand) == before + 1
            async with await board.connect() as other, other.subscribe("can") as events:
                assert listeners(hand) == before + 1
                vcan(hand, "add shared type vcan")
                await Known(events, events.devices).one()
            vcan(hand, "del shared")
        assert listeners(hand) == before
        events = client.subscribe()
        await events.__aenter__()
        assert listeners(hand) == before + 1

    on(board, story)  # which leaves without a word
    assert listeners(hand) == before


@CAN
def test_looking_makes_no_uevents(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        first = hand.check("cat", "/sys/kernel/uevent_seqnum")
        for _ in range(3):
            await client.devices()
        assert hand.check("cat", "/sys/kernel/uevent_seqnum") == first

    on(board, story)


@CAN
def test_an_agent_that_was_killed_takes_subscriptions_with_it(board: VirtualBoard) -> None:
    async def story(client: Board) -> None:
        with pytest.raises(NotFound, match="nothing of kind 'film'"):
            await client.wait_for("film:noir")
        async with client.subscribe("can") as events:
            await away(board.stop_agent, 9)
            await away(board.start_agent)
            with pytest.raises(SessionLost):
                await events.next()
        async with client.subscribe("can") as events:
            assert events.devices

    on(board, story)


@SERIAL
def test_with_udev_a_tty_comes_with_its_links(board_factory: BoardFactory) -> None:
    board = board_factory()
    hand = board.hand
    hand.check("/usr/lib/systemd/systemd-udevd", "--daemon")
    hand.wait_for(glob="/run/udev/control")

    async def story(client: Board) -> None:
        async with client.subscribe("serial") as events:
            known = Known(events, events.devices)
            for _ in range(3):
                with unplugged(hand, "modem"):
                    await known.one()
                    hand.check("udevadm", "settle")
                    await asyncio.sleep(1)  # so that no look is due when it comes back
                event = await known.one()
                assert event["action"] == "add"
                assert "by_id" in event["device"]["properties"], "it was told before udev was done with it"
                assert event["device"]["aliases"]

    on(board, story)
