"""GPIO and PWM on real drivers of the kernel: gpio-sim, whose lines the bench hand pulls, and a PWM chip."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import support
from myclerk_client import Board, Conflict, DeviceGone, EventStream, Lines, NotFound, Unsupported

from .hand import Hand
from .virtual_board import VirtualBoard

pytestmark = pytest.mark.backend("virtual board: gpio-sim")

Story = Callable[[Board], Awaitable[None]]
OnBoard = Callable[[Story], None]
SECONDS = 30
"""What may take long in emulation is waited for; nothing is decided by it."""


@pytest.fixture
def on_board(board: VirtualBoard) -> OnBoard:
    """Run a story with a session of its own."""

    def run(story: Story) -> None:
        async def connected() -> None:
            async with await board.connect() as client:
                await story(client)

        asyncio.run(connected())

    return run


@pytest.fixture(autouse=True)
def quiet(hand: Hand) -> None:
    """All lines are pulled down before."""
    for line in ("BUTTON", "LED", "RELAY", "SENSOR"):
        hand.gpio_pull(line=line, pull="down")


async def take(stream: EventStream, count: int) -> list[dict[str, Any]]:
    """So many events of a stream."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(SECONDS):
        while len(events) < count:
            event = await stream.next()
            assert event is not None
            events.append(event)
    return events


def edges(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["name"], event["edge"]) for event in events]


# -- chips and lines ---------------------------------------------------------------------------------------


def test_chips_and_lines_are_listed_with_their_users(on_board: OnBoard) -> None:
    async def story(client: Board) -> None:
        chips = {chip["label"]: chip for chip in await client.gpio.list()}
        assert chips["board"]["line_names"][:4] == ["BUTTON", "LED", "RELAY", "SENSOR"]
        assert chips["board"]["path"].startswith("/dev/gpiochip")
        assert chips["spare"]["line_names"] == [""] * 4
        lines = await client.gpio.info(chip="spare")
        assert [line["used"] for line in lines] == [False, False, False, True]
        assert (lines[3]["consumer"], lines[3]["direction"]) == ("reserved", "output")
        assert await client.gpio.info("LED") == await client.gpio.info("board/1")

    on_board(story)


def test_asking_about_lines_leaves_them_alone(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request({"LED": True}) as lines:
            before = await client.gpio.info(chip="board")
            assert await client.gpio.info(chip="board") == before
            assert before[1] == {
                "chip": lines.resource, "offset": 1, "name": "LED", "used": True, "consumer": "myclerk",
                "direction": "output", "active_low": False, "bias": "unknown", "drive": "push-pull",
            }  # fmt: skip
            assert hand.gpio_value(line="LED") == 1

    on_board(story)


def test_outputs_are_seen_outside_and_inputs_follow(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request({"LED": False, "RELAY": True, "BUTTON": {}}) as lines:
            assert [hand.gpio_value(line=name) for name in ("LED", "RELAY")] == [0, 1]
            await lines.set({"LED": True, "RELAY": False})
            assert [hand.gpio_value(line=name) for name in ("LED", "RELAY")] == [1, 0]
            assert await lines.get() == {"LED": True, "RELAY": False, "BUTTON": False}
            hand.gpio_pull(line="BUTTON", pull="up")
            assert await lines.value("BUTTON") is True

    on_board(story)


def test_active_low_and_bias(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request({"LED": True}, active_low=True) as lines:
            assert hand.gpio_value(line="LED") == 0
            await lines.set({"LED": False})
            assert hand.gpio_value(line="LED") == 1
        async with await client.gpio.request("BUTTON", bias="pull-up", active_low=True) as lines:
            assert await lines.value() is False
            (info,) = await client.gpio.info("BUTTON")
            assert (info["bias"], info["active_low"]) == ("pull-up", True)

    on_board(story)


def test_refusals_of_the_kernel_are_typed(on_board: OnBoard) -> None:
    async def story(client: Board) -> None:
        with pytest.raises(Conflict, match="reserved") as conflict:
            await client.gpio.request("spare/3")
        assert conflict.value.details["errno"] == "EBUSY"
        with pytest.raises(Unsupported):
            await client.gpio.request("BUTTON", event_clock="hte")
        with pytest.raises(NotFound):
            await client.gpio.request("DOORBELL")
        assert not any(line["used"] for line in await client.gpio.info(chip="board"))

    on_board(story)


def test_two_sessions_have_different_lines_of_one_chip(board: VirtualBoard, on_board: OnBoard) -> None:
    async def story(client: Board) -> None:
        async with await board.connect() as other, await client.gpio.request(["LED", "RELAY"]):
            async with await other.gpio.request(["BUTTON", "SENSOR"]):
                with pytest.raises(Conflict) as conflict:
                    await other.gpio.request(["RELAY", "LINE4"])
                assert conflict.value.details["holder"]
                async with client.lock("gpio:LINE4"):
                    with pytest.raises(Conflict):
                        await other.gpio.request("LINE4")
                    await (await other.gpio.request("LINE5")).close()

    on_board(story)


# -- how lines are left ------------------------------------------------------------------------------------


def test_an_output_lets_go_when_its_session_ends(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        await client.gpio.request({"LED": True})
        assert hand.gpio_value(line="LED") == 1

    on_board(story)
    assert hand.gpio_value(line="LED") == 0
    on_board(story)


def test_levels_outlive_their_session_where_asked(on_board: OnBoard, hand: Hand) -> None:
    async def leave(client: Board) -> None:
        wanted = {
            "LED": {"direction": "output", "on_release": "hold"},
            "RELAY": {"direction": "output", "value": True, "on_release": "low"},
            "SENSOR": {"on_release": "high"},
        }
        lines = await client.gpio.request(wanted)
        await lines.set({"LED": True})

    async def look(client: Board) -> None:
        lines = {line["name"]: line for line in await client.gpio.info(chip="board") if line["used"]}
        assert {name: line["kept"] for name, line in lines.items()} == dict.fromkeys(
            ("LED", "RELAY", "SENSOR"), True
        )
        async with await client.gpio.request("LED", direction="as-is"):
            assert hand.gpio_value(line="LED") == 1

    async def release(client: Board) -> None:
        async with await client.gpio.request(["LED", "RELAY", "SENSOR"]):
            pass
        assert not any(line["used"] for line in await client.gpio.info(chip="board"))

    on_board(leave)
    assert [hand.gpio_value(line=name) for name in ("LED", "RELAY", "SENSOR")] == [1, 0, 1]
    on_board(look)
    assert [hand.gpio_value(line=name) for name in ("RELAY", "SENSOR")] == [0, 1]
    on_board(release)


# -- edges -------------------------------------------------------------------------------------------------


def test_edges_come_with_the_kernels_time_and_number(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request(["BUTTON", "SENSOR"], event_clock="realtime") as lines:
            stream, rising = await lines.watch(), await lines.watch("SENSOR", edges="rising")
            for name, pull in (("BUTTON", "up"), ("SENSOR", "up"), ("BUTTON", "down"), ("SENSOR", "down")):
                hand.gpio_pull(line=name, pull=pull)
            events = await take(stream, 4)
            assert edges(events) == [
                ("BUTTON", "rising"), ("SENSOR", "rising"), ("BUTTON", "falling"), ("SENSOR", "falling"),
            ]  # fmt: skip
            assert [event["sequence"] for event in events] == [1, 1, 2, 2]
            times = [event["timestamp_ns"] for event in events]
            assert times == sorted(times)
            assert times[0] > 1_700_000_000 * 10**9
            assert edges(await take(rising, 1)) == [("SENSOR", "rising")]
            assert (stream.dropped, rising.buffered) == (0, 0)

    on_board(story)


def test_a_watch_that_ends_and_one_that_begins_change_no_output(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request({"LED": True, "BUTTON": {}}) as lines:
            await lines.set({"LED": False})
            await lines.set({"LED": True})
            for pull in ("up", "down"):
                stream = await lines.watch()
                assert hand.gpio_value(line="LED") == 1
                hand.gpio_pull(line="BUTTON", pull=pull)
                assert len(await take(stream, 1)) == 1
                await stream.stop()
                assert hand.gpio_value(line="LED") == 1

    on_board(story)


@pytest.mark.parametrize("hertz", [500, 5000])
def test_every_edge_that_the_kernel_numbered_arrives_or_is_counted(
    on_board: OnBoard, hand: Hand, hertz: int
) -> None:
    """Of a fast train the interrupt of an emulated chip misses some edges, which nothing then knows of."""

    async def story(client: Board) -> None:
        async with await client.gpio.request(["SENSOR", "BUTTON"]) as lines:
            stream = await lines.watch()
            train = asyncio.to_thread(hand.gpio_pulse_train, line="SENSOR", count=2000, hertz=hertz)
            marker = asyncio.create_task(until(stream, "BUTTON"))
            made = await train
            hand.gpio_pull(line="BUTTON", pull="up")
            events = await marker
            numbers = [event["sequence"] for event in events if event["name"] == "SENSOR"]
            assert numbers == sorted(set(numbers))
            assert len(numbers) + stream.dropped == numbers[-1]
            rate = 2 * made["count"] / made["seconds"]
            print(f"{rate:.0f} edges/s: {numbers[-1]} seen by the kernel, {stream.dropped} lost behind it")

    on_board(story)


async def until(stream: EventStream, name: str) -> list[dict[str, Any]]:
    """The events of a stream up to the first one of a line."""
    events = await take(stream, 1)
    while events[-1]["name"] != name:
        events += await take(stream, 1)
    return events


def test_edges_seen_before_a_line_was_kept_are_not_lost(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request("SENSOR", on_release="low") as lines:
            stream = await lines.watch()
            for pull in ("up", "down", "up"):
                hand.gpio_pull(line="SENSOR", pull=pull)
            await take(stream, 3)
        async with await client.gpio.request("SENSOR") as lines:  # the kernel counts on
            stream = await lines.watch()
            hand.gpio_pull(line="SENSOR", pull="down")
            hand.gpio_pull(line="SENSOR", pull="up")
            (first, *_) = await take(stream, 1)
            assert stream.dropped == 0, first

    on_board(story)


def test_watching_goes_on_behind_a_lost_connection(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request("SENSOR") as lines:
            stream = await lines.watch()
            hand.gpio_pull(line="SENSOR", pull="up")
            await take(stream, 1)
            client.link.drop_connection()
            hand.gpio_pull(line="SENSOR", pull="down")
            assert (await lines.get()) == {"SENSOR": False}
            hand.gpio_pull(line="SENSOR", pull="up")
            first = (await take(stream, 1))[0]["sequence"]
            rest = await take(stream, 3 - first)
            assert stream.dropped == first - 2, "what came while nobody was connected is counted"
            assert [event["sequence"] for event in rest] == ([3] if first == 2 else [])

    on_board(story)


def test_debounce_is_the_kernels(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.request("BUTTON", debounce=0.05) as lines:
            stream = await lines.watch()
            assert (await client.gpio.info("BUTTON"))[0]["debounce"] == 0.05
            hand.gpio_pull(line="BUTTON", pull="up")
            assert edges(await take(stream, 1)) == [("BUTTON", "rising")]

    on_board(story)


def test_a_chip_that_is_unplugged_ends_what_uses_it(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        lines = await client.gpio.request("spare/0")
        stream = await lines.watch()
        hand.gpio_unplug(chip="spare")
        try:
            with pytest.raises(DeviceGone):
                await asyncio.wait_for(stream.next(), SECONDS)
            with pytest.raises(DeviceGone):
                await lines.get()
            assert "spare" not in [chip["label"] for chip in await client.gpio.list()]
            await lines.close()
        finally:
            hand.gpio_plug(chip="spare")
        async with await client.gpio.request("spare/0") as again:
            assert await again.get() == {"spare/0": False}

    on_board(story)


# -- PWM ---------------------------------------------------------------------------------------------------


@pytest.mark.backend("virtual board: PWM chip of the kernel")
def test_a_pwm_channel_puts_out_what_it_is_told(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        (chip,) = await client.gpio.pwm_chips()
        name = chip["name"].removeprefix("gpio:")
        async with await client.gpio.pwm(f"{name}/1", frequency=1000, duty=0.25) as output:
            assert output.state["source"] == "hardware"
            assert shown(hand) == (True, 1_000_000, 250_000, "normal")
            for change, seen in (
                ({"duty_ns": 900_000}, (True, 1_000_000, 900_000, "normal")),
                ({"frequency": 10_000}, (True, 100_000, 90_000, "normal")),
                ({"period_ns": 2_000_000, "duty": 0.5}, (True, 2_000_000, 1_000_000, "normal")),
                ({"polarity": "inversed"}, (True, 2_000_000, 1_000_000, "inversed")),
                ({"enabled": False}, (False, 2_000_000, 1_000_000, "inversed")),
                ({"enabled": True, "polarity": "normal", "duty": 1}, (True, 2_000_000, 2_000_000, "normal")),
            ):
                await output.set(**change)
                assert shown(hand) == seen
            with pytest.raises(Conflict):
                await client.gpio.pwm(f"{name}/1", frequency=50)
        assert not shown(hand)[0]
        async with await client.gpio.pwm(f"{name}/1", frequency=50, duty=0.1):
            assert shown(hand) == (True, 20_000_000, 2_000_000, "normal")

    on_board(story)


def shown(hand: Hand) -> tuple[Any, ...]:
    state = hand.pwm_state()[1]
    return state["enabled"], state["period_ns"], state["duty_ns"], state["polarity"]


@pytest.mark.backend("virtual board: PWM chip of the kernel")
def test_a_pwm_channel_of_another_program_is_left_to_it(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        (chip,) = await client.gpio.pwm_chips()
        name = chip["name"].removeprefix("gpio:")
        hand.check("sh", "-c", f"echo 0 > /sys/class/pwm/{name}/export")
        try:
            with pytest.raises(Conflict, match="another program"):
                await client.gpio.pwm(f"{name}/0", frequency=50)
        finally:
            hand.check("sh", "-c", f"echo 0 > /sys/class/pwm/{name}/unexport")

    on_board(story)


def test_pwm_by_software_moves_the_line(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.gpio.pwm("LED", frequency=20, duty=0.5) as output:
            assert output.state["source"] == "software"
            for level in (1, 0, 1):
                async with asyncio.timeout(SECONDS):
                    while hand.gpio_value(line="LED") != level:
                        await client.ping()
            assert (await output.set(duty=1))["duty_ns"] == 50_000_000
            async with asyncio.timeout(SECONDS):
                while hand.gpio_value(line="LED") != 1:
                    await client.ping()
        assert (await client.gpio.info("LED"))[0]["used"] is False

    on_board(story)


# -- the command line --------------------------------------------------------------------------------------


def command(board: VirtualBoard, *words: str) -> Any:
    ended = support.run_cli(board.home, "gpio", *words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode()


def test_commands(board: VirtualBoard, hand: Hand) -> None:
    assert "[board] (8 lines)" in command(board, "detect")
    hand.gpio_pull(line="BUTTON", pull="up")
    assert command(board, "get", "BUTTON", "SENSOR") == "BUTTON=active SENSOR=inactive\n"
    command(board, "set", "LED=1", "RELAY=0", "-t", "0", "--on-release", "hold")
    assert hand.gpio_value(line="LED") == 1
    (led,) = json.loads(command(board, "info", "LED", "--json"))
    assert led["kept"] is True
    command(board, "set", "LED=0", "RELAY=0", "-t", "10,10,0")
    assert hand.gpio_value(line="LED") == 0
    state = json.loads(
        command(board, "pwm", "pwmchip0/0", "-f", "100", "--duty", "10%", "--for", "1", "--json")
    )
    assert state["duty-ns"] == 1_000_000


def test_the_session_that_holds_lines_is_named(on_board: OnBoard, board: VirtualBoard) -> None:
    async def story(client: Board) -> None:
        lines = await client.gpio.request("LINE7")
        assert isinstance(lines, Lines)
        ended = await asyncio.to_thread(support.run_cli, board.home, "gpio", "get", "LINE7")
        assert ended.returncode == 6
        assert b"open already in" in ended.stderr

    on_board(story)
