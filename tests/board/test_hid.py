"""Input devices of a real kernel: what they report here, and replayed there; python3-evdev is the second opinion."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator

import pytest

from myclerk_client import Board, HidDevice

from .hand import Hand
from .virtual_board import SITE, UNIX_SOCKET, VirtualBoard

pytestmark = pytest.mark.backend("virtual board: evdev and uinput")

EV_KEY, EV_REL, EV_LED = 1, 2, 17
KEY_A, KEY_B, CAPS_LOCK = 30, 48, 1
TWIN = "twin of board-keys"

DESCRIBE = """
import evdev, json, sys
device = evdev.InputDevice(sys.argv[1])
info = device.info
types = {kind: codes for kind, codes in device.capabilities(absinfo=False).items() if kind not in (0, 20, 21)}
identity = [info.bustype, info.vendor, info.product, info.version]
print(json.dumps([device.name, identity, sorted(types.items()), device.input_props()]))
"""
LISTEN = """
import evdev, sys
device = next(d for d in map(evdev.InputDevice, evdev.list_devices()) if d.name == sys.argv[1])
print("listening", flush=True)
try:
    for event in device.read_loop():
        if event.type in (evdev.ecodes.EV_KEY, evdev.ecodes.EV_REL):
            print(event.type, event.code, event.value, flush=True)
except OSError:
    print("gone", flush=True)
"""
LEDS = """
import evdev, sys
device = next(d for d in map(evdev.InputDevice, evdev.list_devices()) if sys.argv[1] in d.name)
print(device.leds())
"""
NAMES = """
import evdev, json
names = {}
for kind, codes in evdev.ecodes.bytype.items():
    for code, name in codes.items():
        names[f"{kind} {code}"] = [name] if isinstance(name, str) else list(name)
print(json.dumps(names))
"""


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something that programs on the board do in their own time."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Listener:
    """A program on the board that listens to an input device by its name."""

    count = 0

    def __init__(self, hand: Hand, device: str) -> None:
        Listener.count += 1
        self._hand = hand
        self._name = f"evdev-{Listener.count}"
        hand.start(name=self._name, argv=["python3", "-c", LISTEN, device])
        eventually(lambda: "listening" in self.heard())

    def heard(self) -> list[str]:
        """Type, code and value of what came so far."""
        return bytes(self._hand.read_file(path=f"/run/board/{self._name}.log")).decode().splitlines()

    def until(self, line: str) -> None:
        eventually(lambda: line in self.heard())

    def stop(self) -> None:
        self._hand.stop(name=self._name)


@pytest.fixture(scope="module")
def keys(hand: Hand) -> str:
    """The resource name of the keyboard and mouse that the hand plays."""
    return f"hid:{hand.input_device().rsplit('/', 1)[1]}"


@pytest.fixture(autouse=True)
def quiet(hand: Hand) -> Iterator[None]:
    """No key is down before and after."""
    yield
    for code in ("KEY_A", "KEY_B"):
        hand.key(code=code, pressed=False)


@pytest.fixture
def listen(hand: Hand) -> Iterator[Callable[[str], Listener]]:
    """Start listeners by name of the device; they are stopped behind the test."""
    listeners: list[Listener] = []

    def start(device: str) -> Listener:
        listeners.append(Listener(hand, device))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.stop()


async def next_events(device: HidDevice) -> list[list[int]]:
    """The events of the next report."""
    async with asyncio.timeout(60):
        while (report := await device.next()) is not None:
            if report.get("events"):
                return [list(event) for event in report["events"]]
    raise AssertionError("the stream is over")


async def read_to_its_end(device: HidDevice) -> None:
    while True:
        await next_events(device)


def on_board(board: VirtualBoard, story: Callable[[Board], object]) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            await story(client)  # type: ignore[misc]

    asyncio.run(main())


def test_devices_are_listed_and_described_as_the_kernel_has_them(
    board: VirtualBoard, hand: Hand, keys: str
) -> None:
    async def story(client: Board) -> None:
        listed = {device["name"]: device for device in await client.hid.list()}
        assert listed[keys]["kinds"] == ["keyboard", "mouse"]
        assert (listed[keys]["vendor_id"], listed[keys]["product_id"]) == (0x1D6B, 0x0E01)
        assert [d for d in listed.values() if "Board keyboard" in d["description"] and d["bus"] == "usb"]
        for name, device in listed.items():
            async with await client.hid.open(name) as opened:
                ours = opened.description
                theirs = json.loads(hand.python(DESCRIBE, device["path"]))
                identity = [ours[part] for part in ("bus_type", "vendor_id", "product_id", "version")]
                types = [[row["type"], row["codes"]] for row in ours["capabilities"]]
                assert [ours.get("name", ""), identity, types, ours["properties"]] == theirs

    on_board(board, story)


def test_names_of_events_are_those_that_others_use(hand: Hand) -> None:
    from myclerk_client.input_codes import _names, type_name

    theirs = json.loads(hand.python(NAMES))
    known = 0
    for (kind, code), name in _names().items():
        number = next(n for n in range(32) if type_name(n) == kind)
        if names := theirs.get(f"{number} {code}"):
            assert name in names
            known += 1
    assert known > 600


def test_keys_and_motions_come_as_reports(board: VirtualBoard, hand: Hand, keys: str) -> None:
    async def story(client: Board) -> None:
        async with await client.hid.open(keys) as device:
            before = time.time_ns()
            await asyncio.to_thread(hand.key, code="KEY_A", pressed=True)
            assert [EV_KEY, KEY_A, 1] in await next_events(device)
            await asyncio.to_thread(hand.move, x=3, y=-4)
            assert await next_events(device) == [[EV_REL, 0, 3], [EV_REL, 1, -4]]
            await asyncio.to_thread(hand.key, code="KEY_A", pressed=False)
            report = await device.next()
            assert report is not None
            assert report["events"] == [[EV_KEY, KEY_A, 0]]
            assert abs(report["timestamp_ns"] - before) < 120 * 10**9, "by the board's clock"

    on_board(board, story)


def test_a_grabbed_device_is_silent_for_others(
    board: VirtualBoard, hand: Hand, keys: str, listen: Callable[[str], Listener]
) -> None:
    listener = listen("board-keys")

    async def story(client: Board) -> None:
        async with await client.hid.open(keys, grab=True) as device:
            await asyncio.to_thread(hand.key, code="KEY_B", pressed=True)
            assert [EV_KEY, KEY_B, 1] in await next_events(device)
            await asyncio.to_thread(hand.key, code="KEY_B", pressed=False)
            assert [EV_KEY, KEY_B, 0] in await next_events(device)
        await asyncio.to_thread(hand.key, code="KEY_A", pressed=True)
        await asyncio.to_thread(listener.until, f"{EV_KEY} {KEY_A} 1")
        assert f"{EV_KEY} {KEY_B} 1" not in listener.heard()

    on_board(board, story)


def test_what_the_kernel_had_no_room_for_is_made_good(board: VirtualBoard, hand: Hand, keys: str) -> None:
    """The agent is stopped while the keyboard types more than the kernel keeps."""

    async def story(client: Board) -> None:
        async with await client.hid.open(keys) as device:
            down: set[int] = set()
            await asyncio.to_thread(hand.key, code="KEY_A", pressed=True)
            while KEY_A not in down:
                _follow(down, await next_events(device))
            await asyncio.to_thread(_type_while_the_agent_sleeps, hand)
            while down != {KEY_B}:
                _follow(down, await next_events(device))
            assert device.dropped > 0

    on_board(board, story)


def _follow(down: set[int], events: list[list[int]]) -> None:
    for kind, code, value in events:
        if kind == EV_KEY and value != 2:
            (down.add if value else down.discard)(code)


def _type_while_the_agent_sleeps(hand: Hand) -> None:
    hand.check("pkill", "-STOP", "-f", "recording_agent.py")
    try:
        hand.key(code="KEY_A", pressed=False)
        for _ in range(150):
            hand.move(x=1)
        hand.key(code="KEY_B", pressed=True)
    finally:
        hand.check("pkill", "-CONT", "-f", "recording_agent.py")


def test_lights_reach_a_usb_keyboard_and_it_can_be_pulled_out(board: VirtualBoard, hand: Hand) -> None:
    hand.qemu_plug("usb-kbd", "lamps")
    eventually(lambda: "QEMU USB Keyboard" in hand.check("cat", "/proc/bus/input/devices"))

    async def story(client: Board) -> None:
        async with asyncio.timeout(90):
            while not (found := [d for d in await client.hid.list() if "QEMU USB Key" in d["description"]]):
                await asyncio.sleep(0.1)
        assert found[0]["kinds"] == ["keyboard"]
        assert (await client.device(found[0]["name"]))["parent"].startswith("usb:")
        async with await client.hid.open(found[0]["name"]) as device:
            await device.set_lights({CAPS_LOCK: True})
            assert await asyncio.to_thread(hand.python, LEDS, "QEMU USB Keyboard") == f"[{CAPS_LOCK}]\n"
            await device.set_lights({CAPS_LOCK: False})
            assert await asyncio.to_thread(hand.python, LEDS, "QEMU USB Keyboard") == "[]\n"
            await asyncio.to_thread(hand.qemu_unplug, "lamps")
            with pytest.raises(ConnectionError, match=f"{found[0]['name']} is gone"):
                await read_to_its_end(device)

    on_board(board, story)


# -- replayed by `myclerk hid forward`, which runs on the board, too: it has uinput ------------------------


@pytest.fixture
def forwarded(
    board: VirtualBoard, hand: Hand, keys: str, listen: Callable[[str], Listener]
) -> Iterator[Listener]:
    """A listener on the twin of the keyboard."""
    argv = [
        "python3",
        "-m",
        "myclerk_client.cli",
        "hid",
        "forward",
        keys,
        "--name",
        TWIN,
        "-b",
        f"unix:{UNIX_SOCKET}",
    ]
    hand.start(name="forward", argv=argv, env={"PYTHONPATH": SITE})
    eventually(lambda: TWIN in hand.check("cat", "/proc/bus/input/devices"))
    yield listen(TWIN)
    hand.stop(name="forward")
    eventually(lambda: TWIN not in hand.check("cat", "/proc/bus/input/devices"))


def test_what_the_keyboard_does_its_twin_does(hand: Hand, forwarded: Listener) -> None:
    hand.key(code="KEY_A", pressed=True)
    hand.move(x=5, y=0)
    hand.key(code="KEY_A", pressed=False)
    forwarded.until(f"{EV_KEY} {KEY_A} 0")
    assert forwarded.heard()[1:] == [f"{EV_KEY} {KEY_A} 1", f"{EV_REL} 0 5", f"{EV_KEY} {KEY_A} 0"]


def test_the_twin_is_such_a_device(board: VirtualBoard, hand: Hand, forwarded: Listener, keys: str) -> None:
    find = "import evdev; print(next(p for p in evdev.list_devices() if evdev.InputDevice(p).name == %r))"
    twin, original = (
        json.loads(hand.python(DESCRIBE, hand.python(find % name).strip())) for name in (TWIN, "board-keys")
    )
    assert twin[0] == TWIN
    assert twin[1:] == original[1:]


def test_a_key_that_is_held_comes_up_when_the_stream_goes_elsewhere(
    board: VirtualBoard, hand: Hand, forwarded: Listener, keys: str
) -> None:
    hand.key(code="KEY_A", pressed=True)
    forwarded.until(f"{EV_KEY} {KEY_A} 1")

    async def story(client: Board) -> None:
        clients = (await client.request("CLIENT_LIST"))["clients"]
        async with await client.hid.open(keys) as device:
            assert not device.active
            route = await client.routes.create(keys, clients[0]["fingerprint"])
            await device.wait_active(60)
            await asyncio.to_thread(forwarded.until, f"{EV_KEY} {KEY_A} 0")
            await asyncio.to_thread(hand.key, code="KEY_B", pressed=True)
            assert [EV_KEY, KEY_B, 1] in await next_events(device)
            await client.routes.delete(route)
        await asyncio.to_thread(hand.key, code="KEY_B", pressed=False)
        await asyncio.to_thread(hand.move, x=1, y=0)
        await asyncio.to_thread(forwarded.until, f"{EV_REL} 0 1")

    on_board(board, story)
    assert f"{EV_KEY} {KEY_B} 1" not in forwarded.heard()


def test_a_key_that_is_held_comes_up_when_the_board_does_not_answer(hand: Hand, forwarded: Listener) -> None:
    hand.key(code="KEY_A", pressed=True)
    forwarded.until(f"{EV_KEY} {KEY_A} 1")
    hand.check("pkill", "-STOP", "-f", "recording_agent.py")
    try:
        forwarded.until(f"{EV_KEY} {KEY_A} 0")
    finally:
        hand.check("pkill", "-CONT", "-f", "recording_agent.py")
    hand.key(code="KEY_A", pressed=False)
    hand.key(code="KEY_B", pressed=True)
    forwarded.until(f"{EV_KEY} {KEY_B} 1")


def test_a_key_that_is_held_comes_up_when_the_program_is_killed(hand: Hand, forwarded: Listener) -> None:
    hand.key(code="KEY_A", pressed=True)
    forwarded.until(f"{EV_KEY} {KEY_A} 1")
    hand.stop(name="forward", signal=9)
    forwarded.until("gone")
    assert forwarded.heard()[-2:] == [f"{EV_KEY} {KEY_A} 0", "gone"]
