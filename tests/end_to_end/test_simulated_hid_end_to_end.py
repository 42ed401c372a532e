"""Input devices of a simulated board: the library, the blocking library, the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from programs import Run, program

import myclerk.blocking as blocking
import support
from myclerk_client import BadRequest, Board, HidDevice, KnownBoards, NotFound, Unsupported
from tracing import Trace

pytestmark = pytest.mark.backend("simulated keyboards")

EV_KEY, EV_LED = 1, 17
KEY_H, KEY_I, CAPS_LOCK = 35, 23, 1
DESCRIPTION = """\
[hid.event0]
name = "Typist"
keys = [35, 23]
every = 0.02
[hid.event1]
[gpio]
[[gpio.chips]]
lines = 2
"""


@pytest.fixture(scope="module")
def running_agent(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[support.AgentProcess]:
    """An agent that serves a keyboard that types and one that does not."""
    directory = tmp_path_factory.mktemp("agent")
    (directory / "board.toml").write_text(DESCRIPTION)
    with support.agent(directory, options=("--simulate", str(directory / "board.toml"))) as running:
        yield running


def on_board(boards: KnownBoards, story: Callable[[Board], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), await Board.connect("bench", boards=boards) as board:
            await story(board)

    asyncio.run(run())


async def strokes(device: HidDevice, count: int) -> list[tuple[int, int]]:
    """Code and value of the next keys."""
    found: list[tuple[int, int]] = []
    async for report in device:
        found += [(code, value) for kind, code, value in report.get("events", ()) if kind == EV_KEY]
        if len(found) >= count:
            break
    return found


def test_a_keyboard_is_read(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        listed = {device["name"]: device for device in await board.hid.list()}
        assert listed["hid:event0"]["kinds"] == ["keyboard"]
        async with await board.hid.open("event0") as device:
            assert device.description["name"] == "Typist"
            assert {row["type"] for row in device.description["capabilities"]} == {EV_KEY, EV_LED}
            typed = await strokes(device, 8)
            start = typed.index((KEY_H, 1))
            assert typed[start : start + 4] == [(KEY_H, 1), (KEY_H, 0), (KEY_I, 1), (KEY_I, 0)]
            assert device.active
            assert device.dropped == 0

    on_board(boards, story)


def test_a_key_comes_up_however_much_was_dropped(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.hid.open("event0") as device:
            await device.pause()
            await asyncio.sleep(0.3)
            await device.resume()
            down: set[int] = set()
            async for report in device:
                for kind, code, value in report.get("events", ()):
                    if kind == EV_KEY:
                        assert (code in down) is (value == 0), "pressed when up, released when down"
                        (down.add if value else down.discard)(code)
                if device.dropped and not down:
                    return

    on_board(boards, story)


def test_a_dropped_connection_loses_no_report(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.hid.open("event0") as device:
            expected: int | None = None
            for turn in range(3):
                board.link.drop_connection()
                for code, value in await strokes(device, 6):
                    assert expected in (None, value), f"turn {turn}: presses and releases take turns"
                    expected = 1 - value
                    assert code in (KEY_H, KEY_I)

    on_board(boards, story)


def test_lights_are_set_and_told_to_others(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.hid.open("hid:event1", grab=True) as device:
            await device.set_lights({CAPS_LOCK: True})
            async for report in device:
                if [EV_LED, CAPS_LOCK, 1] in [list(event) for event in report.get("events", ())]:
                    break
            for wrong in ([(EV_LED, 9, 1)], [(EV_KEY, KEY_H, 1)]):
                with pytest.raises(BadRequest):
                    await device.send(wrong)
            with pytest.raises(Unsupported):
                await board.request("STREAM_DATA", stream=device._request_id, data=b"x")
            with pytest.raises(Unsupported) as refused:
                await device.set_quality(rate=100)
            assert refused.value.details["key"] == "rate"

    on_board(boards, story)


def test_reports_are_gathered(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.hid.open("event0") as device:
            assert await device.set_quality(interval=0.2) == {"interval": 0.2}
            await strokes(device, 3)
            before = device.buffered
            while device.buffered <= before:
                await asyncio.sleep(0.005)
            assert device.buffered > before + 3, "several at once"

    on_board(boards, story)


def test_what_is_no_input_device(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        with pytest.raises(NotFound):
            await board.hid.open("event9")
        with pytest.raises(Unsupported):
            await board.request("STREAM_START", resource="gpio:gpiochip0")
        with pytest.raises(Unsupported):
            await board.streams.start("hid:event0")
        with pytest.raises(BadRequest):
            await board.request("STREAM_START", resource="hid:event0", serial={"baud": 9600})
        clients = (await board.request("CLIENT_LIST"))["clients"]
        with pytest.raises(Unsupported, match="no stream that could be routed"):
            await board.routes.create("gpio:gpiochip0", clients[0]["fingerprint"])

    on_board(boards, story)


def test_the_blocking_library(paired_home: Path) -> None:
    boards = blocking.KnownBoards(paired_home / "myclerk")
    with blocking.Board.connect("bench", boards=boards) as board, board.hid.open("event0") as device:
        report = next(report for report in device if "events" in report)
        assert report["timestamp_ns"] > 1.6e18


def test_the_commands(run: Run, paired_home: Path) -> None:
    code, out, _ = run("hid", "list")
    assert code == 0
    assert "hid:event0" in out.decode()
    assert json.loads(run("hid", "list", "--json")[1])[0]["kinds"] == ["keyboard"]
    with program(paired_home, "hid", "dump", "event0") as dump:
        dump.expect(b"EV_KEY  KEY_H                1")
        dump.expect(b"EV_KEY  KEY_H                0")
    code, out, _ = run("hid", "dump", "event0", "-n", "3", "--json")
    reports = [json.loads(line) for line in out.splitlines()]
    assert (code, len(reports)) == (0, 3)
    assert {"type": "EV_LED", "code": "LED_CAPSL", "value": 0} in reports[0]["events"]
    assert reports[0]["resync"] is True
    code, _, said = run("hid", "forward", "event0")
    assert code != 0, "a machine for tests has no uinput"
    assert "/dev/uinput" in said
