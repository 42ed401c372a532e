"""The user stories of GPIO, on an agent that simulates its chips: the library, the blocking library, the commands."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import Run, program

import myclerk.blocking as blocking
import support
from myclerk_client import (
    BadRequest,
    Board,
    Conflict,
    EventStream,
    KnownBoards,
    LocalError,
    NotFound,
    SessionLost,
    TooLarge,
    Unsupported,
)
from tracing import Trace

pytestmark = pytest.mark.backend("simulated GPIO chips")

DESCRIPTION = """\
[gpio]
wires = [["gpiochip0/LED", "gpiochip0/SENSOR"]]
pwm-chips = [2]
[[gpio.chips]]
label = "board"
lines = ["BUTTON", "LED", "RELAY", "SENSOR"]
pulls = { BUTTON = "up" }
[[gpio.chips]]
label = "spare"
lines = 4
"""
SETTINGS = "[drivers.gpio]\nsoftware-pwm-limit = 10000.0\n"


@pytest.fixture(scope="module")
def running_agent(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[support.AgentProcess]:
    """An agent on a simulated board."""
    directory = tmp_path_factory.mktemp("agent")
    (directory / "board.toml").write_text(DESCRIPTION)
    options = ("--simulate", str(directory / "board.toml"))
    with support.agent(directory, SETTINGS, options=options) as running:
        yield running


def on_board(boards: KnownBoards, story: Callable[[Board], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), await Board.connect("bench", boards=boards) as board:
            await story(board)

    asyncio.run(run())


def test_lines_are_requested_set_read_and_watched(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        assert [chip["label"] for chip in await board.gpio.list()] == ["board", "spare"]
        assert [line["offset"] for line in await board.gpio.info("SENSOR")] == [3]
        assert len(await board.gpio.info()) == 8
        async with await board.gpio.request({"LED": True, "SENSOR": {}, "BUTTON": {}}) as lines:
            assert await lines.get() == {"LED": True, "SENSOR": True, "BUTTON": True}
            stream, rising = await lines.watch(edges="both"), await lines.watch("SENSOR", edges="rising")
            for value in (False, True):
                await lines.set({"LED": value})
            first, second = await stream.next(), await stream.next()
            assert first is not None
            assert second is not None
            assert (first["name"], first["edge"], first["sequence"]) == ("SENSOR", "falling", 1)
            assert second["timestamp_ns"] >= first["timestamp_ns"]
            assert await rising.next() == second
            await stream.stop()
        assert not any(line["used"] for line in await board.gpio.info())

    on_board(boards, story)


def test_every_edge_of_a_fast_line_is_on_the_wire(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.gpio.request("SENSOR") as lines:
            stream = await lines.watch()
            async with await board.gpio.pwm("LED", frequency=5000, duty=0.5) as output:
                assert output.state["source"] == "software"
                events = [await stream.next() for _ in range(300)]
            assert [event["sequence"] for event in events if event] == list(range(1, 301))
            assert stream.dropped == 0

    on_board(boards, story)


def test_who_does_not_read_learns_how_much_was_lost(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.gpio.request("SENSOR") as lines:
            stream = EventStream(board.link, window=16)
            await stream.open("GPIO_LINE_WATCH", {"handle": lines._handle})
            last = seen = 0
            async with await board.gpio.pwm("LED", frequency=1000, duty=0.5):
                while stream.buffered < 16:
                    await board.ping()
                for _ in range(50):  # edges come meanwhile, and find no credit
                    await board.ping()
                while not stream.dropped:
                    event = await stream.next()
                    assert event is not None
                    seen, last = seen + 1, event["sequence"]
            await board.ping()
            while stream.buffered:
                event = await stream.next()
                assert event is not None
                seen, last = seen + 1, event["sequence"]
            assert seen + stream.dropped == last

    on_board(boards, story)


def test_conflicts_name_the_holder_and_other_lines_are_free(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with (
            await Board.connect("bench", boards=boards) as other,
            await board.gpio.request(["LED", "RELAY"]),
        ):
            with pytest.raises(Conflict) as conflict:
                await other.gpio.request(["RELAY", "BUTTON"])
            assert conflict.value.details["holder"]
            await (await other.gpio.request("BUTTON")).close()
            with pytest.raises(Conflict):
                await other.lock("gpio:gpiochip0").acquire()
            async with other.lock("gpio:SENSOR"):
                with pytest.raises(Conflict):
                    await board.gpio.request("SENSOR")

    on_board(boards, story)


@pytest.mark.parametrize(
    ("lines", "settings", "error"),
    [
        ("NOPE", {}, NotFound),
        ("gpiochip7/1", {}, NotFound),
        ("gpiochip0/4", {}, NotFound),
        ("pwmchip0/0", {}, BadRequest),
        ("LED", {"value": True}, BadRequest),
        ("LED", {"direction": "up"}, BadRequest),
        ("LED", {"debounce": -1}, BadRequest),
        ("LED", {"bias": 3}, BadRequest),
        ("LED", {"consumer": "x" * 32}, TooLarge),
        ("LED", {"event_clock": "hte"}, Unsupported),
        (["LED", "gpiochip0/1"], {}, BadRequest),
    ],
    ids=str,
)
def test_bad_requests_are_refused_and_change_nothing(
    boards: KnownBoards, lines: Any, settings: dict[str, Any], error: type[Exception]
) -> None:
    async def story(board: Board) -> None:
        with pytest.raises((error, LocalError)):
            await board.gpio.request(lines, **settings)
        assert not any(line["used"] for line in await board.gpio.info())

    on_board(boards, story)


def test_hostile_payloads_of_each_operation(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.gpio.request({"LED": True}) as lines:
            handle = lines._handle
            for operation, fields in (
                ("GPIO_LINE_INFO", {"resource": "gpio:gpiochip0", "lines": [-1]}),
                ("GPIO_LINE_REQUEST", {"resource": "gpio:gpiochip0", "lines": []}),
                ("GPIO_LINE_REQUEST", {"resource": "gpio:gpiochip0", "lines": [{"line": 0}] * 65}),
                ("GPIO_LINE_REQUEST", {"resource": "gpio:gpiochip0", "lines": [{"value": True}]}),
                ("GPIO_LINE_REQUEST", {"resource": "gpio:gpiochip0"}),
                ("GPIO_LINE_REQUEST", {"resource": "serial:x"}),
                ("GPIO_LINE_SET", {"handle": handle, "values": []}),
                ("GPIO_LINE_SET", {"handle": handle, "values": [1]}),
                ("GPIO_LINE_SET", {"handle": handle, "values": [True, True]}),
                ("GPIO_LINE_SET", {"handle": handle + 99, "values": [True]}),
                ("GPIO_LINE_GET", {"handle": handle, "lines": [[1]]}),
                ("GPIO_LINE_GET", {"handle": handle, "lines": [0]}),
                ("GPIO_LINE_WATCH", {"handle": handle, "edges": "none"}),
                ("GPIO_LINE_WATCH", {"handle": handle}),
                ("GPIO_LINE_RELEASE", {"handle": handle + 99}),
                ("GPIO_PWM_CONFIGURE", {"resource": "gpio:pwmchip0/0", "period_ns": 0}),
                ("GPIO_PWM_CONFIGURE", {"resource": "gpio:pwmchip0/0", "period_ns": 10, "duty": 1.5}),
                ("GPIO_PWM_CONFIGURE", {"resource": "gpio:pwmchip0/9", "period_ns": 10}),
                ("GPIO_PWM_CONFIGURE", {"resource": "gpio:LED", "period_ns": 10**9, "polarity": "odd"}),
                ("GPIO_PWM_SET", {"handle": handle, "duty": 0.5}),
            ):
                with pytest.raises((BadRequest, NotFound)):
                    await board.request(operation, **fields)
            assert await lines.get() == {"LED": True}

    on_board(boards, story)


def test_watching_and_lines_survive_a_lost_connection(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.gpio.request({"LED": False, "SENSOR": {}}) as lines:
            stream = await lines.watch()
            board.link.drop_connection()
            await lines.set({"LED": True})
            event = await stream.next()
            assert event is not None
            assert (event["edge"], event["sequence"]) == ("rising", 1)
            assert board.session["resumed"]

    on_board(boards, story)


def test_lines_of_a_session_that_is_gone_say_so(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        lines = await board.gpio.request("LED")
        board.link.generation += 1
        with pytest.raises(SessionLost):
            await lines.get()
        board.link.generation -= 1
        await lines.close()

    on_board(boards, story)


def test_the_blocking_api(boards: KnownBoards) -> None:
    with blocking.Board.connect("bench", boards=boards) as board:
        with board.gpio.request({"LED": True, "SENSOR": {}}) as lines:
            stream = lines.watch()
            lines.set({"LED": False})
            assert next(iter(stream))["edge"] == "falling"
            assert lines.value("SENSOR") is False
            assert lines.offsets == {"LED": 1, "SENSOR": 3}
        with board.gpio.pwm("pwmchip0/0", frequency=50, duty=0.1) as output:
            assert output.set(0.2)["duty_ns"] == 4_000_000


def test_commands(run: Run) -> None:
    code, out, _ = run("gpio", "detect")
    assert (code, out.decode().splitlines()[0]) == (0, "gpiochip0 [board] (4 lines)")
    assert run("gpio", "get", "BUTTON", "LED")[1] == b"BUTTON=active LED=inactive\n"
    assert run("gpio", "set", "RELAY=1", "-t", "0", "--on-release", "hold")[0] == 0
    (relay,) = json.loads(run("gpio", "info", "RELAY", "--json")[1])
    assert (relay["kept"], relay["direction"]) == (True, "output")
    assert run("gpio", "get", "RELAY", "--as-is", "--numeric")[1] == b"1\n"
    assert run("gpio", "pwm", "LED", "-f", "20000")[0] == 1
    state = json.loads(
        run("gpio", "pwm", "pwmchip0/1", "--period", "20", "--pulse", "1500us", "--for", "1", "--json")[1]
    )
    assert (state["period-ns"], state["duty-ns"], state["source"]) == (20_000_000, 1_500_000, "hardware")


def test_set_holds_the_line_until_it_is_stopped_while_mon_records(
    paired_home: Path, run: Run, tmp_path: Path
) -> None:
    recording = tmp_path / "edges.vcd"
    with program(paired_home, "gpio", "mon", "SENSOR", "-n", "4", "--vcd", str(recording), "--json") as mon:
        until_used(run, "SENSOR")
        assert run("gpio", "set", "LED=1", "-t", "5,5,0")[0] == 0
        with program(paired_home, "gpio", "set", "LED=1") as holding:
            until_used(run, "LED")
            assert run("gpio", "get", "LED")[0] == 6
            assert holding.stop() == 130
        assert mon.process.wait(30) == 0
    assert run("gpio", "get", "LED")[1] == b"LED=inactive\n"
    text = recording.read_text()
    assert "$var wire 1 ! SENSOR $end" in text
    assert re.findall(r"^[01]!$", text, re.MULTILINE) == ["0!", "1!", "0!", "1!", "0!"]


def until_used(run: Run, line: str) -> None:
    """Wait until a program has requested a line."""
    while not json.loads(run("gpio", "info", line, "--json")[1])[0]["used"]:
        pass
