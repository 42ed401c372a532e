"""1-Wire from a desktop, asynchronous, blocking and on the command line, through an agent with a simulated board."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from programs import program

import support
from myclerk_client import (
    BadRequest,
    Board,
    Conflict,
    DeviceGone,
    HardwareError,
    KnownBoards,
    NotFound,
    blocking,
    pair,
)
from tracing import Trace

pytestmark = pytest.mark.backend("simulated board")

KITCHEN, CELLAR, BROKEN, KEY = "28-0000075f4d2c", "28-0000075f4d2d", "28-0000075f4d2e", "01-00000a1b2c3d"
DESCRIPTION = f"""
[onewire.w1_bus_master1]
"{KITCHEN}" = {{ temperature = 21.5, time-scale = 0 }}
"{CELLAR}" = {{ temperature = -4, time-scale = 0, parasite = true }}
[onewire.w1_bus_master2]
"{BROKEN}" = {{ crc-fault = true, time-scale = 0 }}
[onewire.w1_bus_master3]
"{KEY}" = {{}}
[onewire.w1_bus_master4]
"""
Story = Callable[[Board], Awaitable[None]]
Myclerk = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[Path]:
    """An XDG_CONFIG_HOME whose user has paired an agent that simulates these buses."""
    directory = tmp_path_factory.mktemp("onewire")
    (directory / "board.toml").write_text(DESCRIPTION)
    with support.agent(directory, options=("--simulate", str(directory / "board.toml"))) as agent:
        boards = KnownBoards(directory / "home" / "myclerk")
        asyncio.run(pair(agent.link(), name="bench", boards=boards))
        yield directory / "home"


@pytest.fixture
def on_board(home: Path) -> Callable[[Story], None]:
    """Run a story with the board connected."""

    async def run(story: Story) -> None:
        async with await Board.connect(boards=KnownBoards(home / "myclerk")) as board:
            await story(board)

    return lambda story: asyncio.run(run(story))


@pytest.fixture
def w1(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Myclerk:
    """Run `myclerk w1 WORDS`; code, output, errors."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def run(*words: str) -> tuple[int, str, str]:
        ended = support.run_cli(home, "w1", *words)
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    return run


def test_every_operation_from_the_library(on_board: Callable[[Story], None]) -> None:
    async def story(board: Board) -> None:
        assert [bus["name"] for bus in await board.onewire.list()] == [
            f"w1:w1_bus_master{n}" for n in range(1, 5)
        ]
        assert {t["rom"] for t in await board.onewire.thermometers()} == {KITCHEN, CELLAR, BROKEN}
        bus, empty = board.onewire.bus("w1_bus_master1"), board.onewire.bus("w1:w1_bus_master4")
        assert {device["rom"] for device in await bus.search()} == {KITCHEN, CELLAR}
        assert (await bus.reset(), await empty.reset()) == (True, False)
        assert (await board.onewire.bus("w1_bus_master3").read_rom())["rom"] == KEY
        assert await board.onewire.temperature(CELLAR) == -4.0
        assert [r["temperature"] for r in await bus.temperatures()] == [21.5, -4.0]
        scratchpad = await bus.transaction(rom=CELLAR, write=b"\xbe", read=9, crc=True)
        assert await board.onewire.transaction(CELLAR, write=b"\xbe", read=9, crc=True) == scratchpad
        selection = await bus.match_rom(f"w1:{CELLAR}")
        assert await selection.write(b"\xbe") == b""
        assert await selection.read(9) == scratchpad
        assert await (await board.onewire.select(CELLAR)).write(b"\xbe", read=9, crc=True) == scratchpad
        await (await bus.skip_rom()).write(b"\x44")
        await bus.transaction(rom=None, write=b"\x44")
        await board.onewire.configure(CELLAR, alarm_low=0, alarm_high=30)
        await board.onewire.configure(KITCHEN, resolution=9, alarm_low=0, alarm_high=30, save=True)
        assert (await board.onewire.settings(KITCHEN))["resolution"] == 9
        await bus.temperatures()
        assert [device["rom"] for device in await bus.alarm_search()] == [CELLAR]

    on_board(story)


def test_errors_are_typed_and_say_what_failed(on_board: Callable[[Story], None]) -> None:
    async def story(board: Board) -> None:
        with pytest.raises(HardwareError, match=f"CRC.*{BROKEN}") as damaged:
            await board.onewire.temperature(BROKEN)
        assert damaged.value.details["errno"] == "EBADMSG"
        with pytest.raises(DeviceGone):
            await board.onewire.bus("w1_bus_master4").read_rom()
        with pytest.raises(NotFound, match="w1_bus_master9"):
            await board.onewire.bus("w1_bus_master9").search()
        with pytest.raises(NotFound):
            await board.onewire.temperature("28-000000000000")
        with pytest.raises(BadRequest) as wrong:
            await board.onewire.configure(KITCHEN, resolution=8)
        assert wrong.value.details["key"] == "resolution"

    on_board(story)


def test_a_selection_of_another_session_ends_mine_and_a_lock_keeps_it_out(
    on_board: Callable[[Story], None], home: Path
) -> None:
    async def story(board: Board) -> None:
        async with await Board.connect(boards=KnownBoards(home / "myclerk")) as other:
            mine = await board.onewire.bus("w1_bus_master1").match_rom(KITCHEN)
            await other.onewire.bus("w1_bus_master1").match_rom(CELLAR)
            with pytest.raises(Conflict, match="select again"):
                await mine.write(b"\x44")
            async with board.lock("w1:w1_bus_master1"):
                with pytest.raises(Conflict, match="locked"):
                    await other.onewire.transaction(CELLAR, write=b"\x44")
                with pytest.raises(Conflict, match="locked"):
                    await other.onewire.bus("w1_bus_master1").skip_rom()
                with pytest.raises(Conflict, match="locked"):
                    await other.onewire.bus("w1_bus_master1").search()
                with pytest.raises(Conflict, match="locked"):
                    await other.onewire.bus("w1_bus_master1").read_rom()
                assert await other.onewire.temperature(CELLAR) == -4.0

    on_board(story)


def test_the_blocking_twins(home: Path) -> None:
    with blocking.Board.connect("bench", boards=KnownBoards(home / "myclerk")) as board:
        bus = board.onewire.bus("w1_bus_master1")
        assert {device["rom"] for device in bus.search()} == {KITCHEN, CELLAR}
        selection = bus.match_rom(CELLAR)
        selection.write(b"\xbe")
        assert len(selection.read(9)) == 9
        assert board.onewire.temperature(CELLAR) == -4.0


def test_list_and_search(w1: Myclerk) -> None:
    code, out, _ = w1("list")
    assert code == 0
    assert f"  w1:{KITCHEN}  DS18B20, thermometer" in out.splitlines()
    assert [bus["name"] for bus in json.loads(w1("list", "--json")[1])][3] == "w1:w1_bus_master4"
    code, out, notes = w1("search")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()[1:]} == {KITCHEN, CELLAR, BROKEN, KEY}
    assert "searching w1_bus_master2" in notes
    (found,) = json.loads(w1("search", "w1_bus_master3", "--json")[1])
    assert found["rom"] == KEY
    assert base64.b64decode(found["code"])[0] == 1
    assert w1("search", "w1_bus_master4")[1:] == (
        "",
        "myclerk: searching w1_bus_master4\nmyclerk: no device answers\n",
    )


def test_reset_and_rom(w1: Myclerk) -> None:
    assert w1("reset", "w1_bus_master1")[:2] == (0, "a device is there\n")
    assert json.loads(w1("reset", "w1_bus_master4", "--json")[1]) == {"presence": False}
    assert w1("rom", "w1_bus_master3")[:2] == (0, f"{KEY} DS1990A\n")
    assert w1("rom", "w1_bus_master4")[0] == 8
    assert w1("reset")[0] == 2  # which of the four?


def test_temperatures(w1: Myclerk) -> None:
    code, out, err = w1("temp")
    assert code == 1
    assert out.splitlines()[:2] == [f"{KITCHEN} 21.500", f"{CELLAR} -4.000"]
    assert "CRC" in out.splitlines()[2]
    assert "1 of 3 thermometers gave no temperature" in err
    assert w1("temp", CELLAR)[:2] == (0, f"{CELLAR} -4.000\n")
    assert json.loads(w1("temp", f"w1:{CELLAR}", "--json")[1]) == {
        "name": f"w1:{CELLAR}",
        "temperature": -4.0,
    }
    code, out, err = w1("temp", BROKEN)
    assert (code, out) == (1, "")
    assert "EBADMSG" in err
    assert w1("temp", KEY)[0] == 1


def test_temperatures_are_watched_until_it_is_stopped(home: Path) -> None:
    with program(home, "w1", "temp", CELLAR, "--watch", "0.1", "--json") as running:
        for _ in range(3):
            line = json.loads(running.expect(b"\n"))
            assert line["temperature"] == -4.0
            assert line["timestamp-ns"] > 1_700_000_000 * 10**9
        assert running.stop(signal.SIGINT) == 130


def test_settings_of_a_thermometer(w1: Myclerk) -> None:
    assert w1("resolution", CELLAR, "10")[:2][1].splitlines()[0] == "resolution 10 bits"
    shown = json.loads(w1("resolution", CELLAR, "--json")[1])
    assert (shown["resolution"], shown["external-power"]) == (10, False)
    code, out, _ = w1("alarm", CELLAR, "--low", "-10", "--high", "30", "--save")
    assert code == 0
    assert "alarm at -10 degrees and below" in out.splitlines()
    assert w1("alarm", CELLAR, "--low", "31")[0] == 1
    assert w1("resolution", CELLAR, "15")[0] == 2


def test_bytes_to_and_from_a_device(w1: Myclerk) -> None:
    assert w1("write", KITCHEN, "4e", "1efb", "7f")[:2] == (0, "")
    code, out, _ = w1("read", KITCHEN, "9", "--command", "be", "--crc")
    assert code == 0
    assert out.split()[2:5] == ["1e", "fb", "7f"]
    assert w1("read", KITCHEN, "9", "--command", "be", "--steps")[1] == out
    assert w1("write", KITCHEN, "be", "--read", "9", "--crc")[1] == out
    assert (
        base64.b64decode(json.loads(w1("write", KITCHEN, "be", "--read", "9", "--json")[1])["data"])[2]
        == 0x1E
    )
    at_once = w1("write", "w1_bus_master2", "be", "--read", "2")[1]
    assert len(at_once.split()) == 2
    assert w1("read", "w1_bus_master2", "2", "--command", "be", "--steps")[1] == at_once
    assert w1("write", "w1_bus_master4", "44")[0] == 8
    assert w1("write", KITCHEN, "4")[0] == 2
    assert w1("read", KITCHEN, "9", "--crc", "--steps")[0] == 2
