"""I2C and SPI from a desktop: library, blocking library and commands, through an agent with simulated buses."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import support
from myclerk_client import (
    BadRequest,
    Board,
    Conflict,
    HardwareError,
    KnownBoards,
    NotFound,
    SpiSegment,
    TooLarge,
    Unsupported,
    pair,
)
from myclerk_client.cli import main
from myclerk_client.i2c import read, read_block, write
from tracing import Trace

pytestmark = pytest.mark.backend("simulated board")

BOARD = """
[i2c.1]
[i2c.1.devices.0x48]
model = "lm75"
celsius = 21.5
driver = "lm75"
[i2c.1.devices.0x50]
model = "24c02"
contents = "48656c6c6f"
write-cycle = 0
[i2c.1.devices.0x76]
model = "registers"
registers = {0xD0 = 0x60, 0xE0 = "03616263"}
[i2c.2]
functionality = "smbus"
[i2c.2.devices.0x1d]
model = "registers"
[spi.devices."0.0"]
model = "loopback"
[spi.devices."0.1"]
model = "flash"
contents = "48656c6c6f"
time-scale = 0
"""

Story = Callable[[Board], Awaitable[None]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[Path]:
    """An XDG_CONFIG_HOME whose user has paired an agent that simulates these buses."""
    directory = tmp_path_factory.mktemp("board")
    (directory / "board.toml").write_text(BOARD)
    with support.agent(directory, options=("--simulate", str(directory / "board.toml"))) as agent:
        boards = KnownBoards(directory / "myclerk")
        asyncio.run(pair(agent.link("--administrator"), name="bench", boards=boards))
        yield directory


@pytest.fixture
def on_board(home: Path) -> Callable[[Story], None]:
    """Run a story on the board."""

    def on_board(story: Story) -> None:
        async def connected() -> None:
            async with await Board.connect("bench", boards=KnownBoards(home / "myclerk")) as board:
                await story(board)

        asyncio.run(connected())

    return on_board


@pytest.fixture
def run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run `myclerk WORDS` in this process: exit code, output, error text."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.delenv("MYCLERK_BOARD", raising=False)
    handlers, level = list(logging.root.handlers), logging.getLogger("myclerk").level

    def run(*words: str, input: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input)))
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        return int(str(ended.value.code)), *capsys.readouterr()

    yield run
    logging.root.handlers[:] = handlers
    logging.getLogger("myclerk").setLevel(level)


Run = Callable[..., tuple[int, str, str]]
OnBoard = Callable[[Story], None]


# -- I2C: the library --------------------------------------------------------------------------------------


def test_devices_are_found_and_talked_to(on_board: OnBoard) -> None:
    async def story(board: Board) -> None:
        assert [bus["name"] for bus in await board.i2c.list()] == ["i2c:1", "i2c:2"]
        bus = board.i2c.bus(1)
        assert [(p["address"], p["state"]) for p in await bus.scan()] == [
            (0x48, "busy"), (0x50, "present"), (0x76, "present"),
        ]  # fmt: skip
        assert await bus.transfer(write(0x50, b"\0"), read(0x50, 5)) == [b"Hello"]
        assert await bus.transfer(write(0x76, [0xE0]), read_block(0x76)) == [b"\x03abc"]
        stream = await bus.watch_scan(0x48, 0x50)
        assert [probe["state"] async for probe in stream] == ["busy", *["absent"] * 7, "present"]

    on_board(story)


def test_every_smbus_method(on_board: OnBoard) -> None:
    async def story(board: Board) -> None:
        for number, address in ((1, 0x76), (2, 0x1D)):
            bus = board.i2c.bus(f"i2c:{number}")
            await bus.write_quick(address)
            await bus.read_quick(address)
            await bus.write_byte_data(address, 0x10, 0xA5)
            assert await bus.read_byte_data(address, 0x10) == 0xA5
            await bus.write_byte(address, 0x10)
            assert await bus.read_byte(address) == 0xA5
            await bus.write_word_data(address, 0x20, 0x1234)
            assert await bus.read_word_data(address, 0x20) == 0x1234
            await bus.write_i2c_block_data(address, 0x30, [2, 7, 8, 2, 5, 6])
            assert await bus.read_i2c_block_data(address, 0x30, 6) == b"\x02\x07\x08\x02\x05\x06"
            assert await bus.read_block_data(address, 0x30) == b"\x07\x08"
            await bus.write_block_data(address, 0x40, b"xyz")
            assert await bus.read_i2c_block_data(address, 0x40, 4) == b"\x03xyz"
            assert await bus.process_call(address, 0x50, 0x0201) == 0
            assert await bus.read_word_data(address, 0x50) == 0x0201
            assert await bus.block_process_call(address, 0x30, b"\x09\x09") == b"\x05\x06"

    on_board(story)


def test_long_blocks(on_board: OnBoard) -> None:
    data = bytes(range(200))

    async def story(board: Board) -> None:
        bus = board.i2c.bus(1)
        await bus.write_i2c_block_data(0x76, 0, data)
        assert await bus.read_i2c_block_data(0x76, 0, 200) == data
        await bus.write_i2c_block_data(0x76, 0xE0, b"\x03abc")
        with pytest.raises(Unsupported):
            await board.i2c.bus(2).read_i2c_block_data(0x1D, 0, 33)

    on_board(story)


def test_failures_on_i2c_are_typed(on_board: OnBoard) -> None:
    async def story(board: Board) -> None:
        bus = board.i2c.bus(1)
        with pytest.raises(HardwareError, match="no device answered at 0x33") as nobody:
            await bus.read_byte(0x33)
        assert nobody.value.details["errno"] == "ENXIO"
        with pytest.raises(Conflict, match="kernel driver lm75"):
            await bus.read_word_data(0x48, 0)
        assert await board.i2c.bus(1, force=True).read_word_data(0x48, 0) == 0x8015
        with pytest.raises(HardwareError) as wrong:
            await board.i2c.bus(1, pec=True).read_byte_data(0x50, 0)
        assert wrong.value.details["errno"] == "EBADMSG"
        with pytest.raises(BadRequest):
            await bus.read_byte(0x03)
        with pytest.raises(BadRequest) as many:
            await bus.transfer(*[read(0x50, 1)] * 43)
        assert many.value.details["key"] == "messages"
        with pytest.raises(BadRequest) as large:
            await bus.transfer(read(0x50, 8193))
        assert large.value.details["key"] == "messages[0].read"
        with pytest.raises(Unsupported, match="SMBus"):
            await board.i2c.bus(2).transfer(read(0x1D, 1))
        with pytest.raises(NotFound):
            await board.i2c.bus(9).read_byte(0x50)

    on_board(story)


def test_a_lock_on_one_address_leaves_the_others_to_everybody(home: Path, on_board: OnBoard) -> None:
    async def story(board: Board) -> None:
        async with await Board.connect("bench", boards=KnownBoards(home / "myclerk")) as other:
            async with board.lock("i2c:1/0x50"):
                assert await other.i2c.bus(1).read_byte_data(0x76, 0xD0) is not None
                await other.i2c.bus(1).write_byte_data(0x76, 0x01, 0x02)
                with pytest.raises(Conflict, match="locked"):
                    await other.i2c.bus(1).write_byte_data(0x50, 0x01, 0x02)
                with pytest.raises(Conflict, match="locked"):
                    await other.i2c.bus("1/0x50").transfer(write(0x50, b"\0"))
                with pytest.raises(Conflict, match="locked"):
                    await other.i2c.bus(1).scan()
                await board.i2c.bus(1).write_byte(0x50, 0x00)

    on_board(story)


def test_requests_under_way_at_once_are_done_in_order(on_board: OnBoard) -> None:
    async def story(board: Board) -> None:
        bus = board.i2c.bus(1)
        writes = (bus.write_byte_data(0x76, register, register ^ 0xFF) for register in range(100))
        reads = (bus.read_byte_data(0x76, register) for register in range(100))
        results = await asyncio.gather(*writes, *reads)
        assert results[100:] == [register ^ 0xFF for register in range(100)]

    on_board(story)


# -- SPI: the library --------------------------------------------------------------------------------------


def test_a_flash_is_read_and_written(on_board: OnBoard) -> None:
    async def story(board: Board) -> None:
        assert [device["name"] for device in await board.spi.list()] == ["spi:0.0", "spi:0.1"]
        async with await board.spi.open("0.1", mode=0, speed_hz=1_000_000) as flash:
            assert flash.settings["speed_hz"] == 1_000_000
            assert flash.buffer_size == 4096
            assert await flash.transfer(b"\x9f\0\0\0") == b"\xff\xef\x40\x17"
            await flash.write(b"\x06")
            await flash.write(b"\x02\x00\x10\x00" + b"written")
            read_back = [SpiSegment(b"\x03\x00\x10\x00", receive=False), SpiSegment(size=7)]
            assert await flash.message(*read_back) == [b"written"]
            await flash.message(SpiSegment(b"\x05", receive=False, cs_change=True))
            assert await flash.read(1) == b"\x00"

    on_board(story)


def test_settings_and_limits_of_spi(on_board: OnBoard) -> None:
    data = os.urandom(10_000)

    async def story(board: Board) -> None:
        device = await board.spi.open("spi:0.0", mode=3)
        assert await device.transfer(data[:4096]) == data[:4096]
        with pytest.raises(TooLarge, match="bufsiz"):
            await device.transfer(data)
        assert (await device.configure(no_cs=True, speed_hz=50_000_000))["mode"] == 3
        assert await device.transfer(data) == data
        with pytest.raises(Unsupported, match="lsb-first"):
            await device.configure(lsb_first=True)
        with pytest.raises(Conflict):
            await board.spi.open("0.0")
        await device.close()
        await device.close()
        with pytest.raises(Conflict, match="closed here"):
            await device.read(1)
        async with await board.spi.open("0.0") as again:
            assert (again.settings["mode"], again.settings["no_cs"]) == (0, False)
        with pytest.raises(NotFound):
            await board.spi.open("7.7")
        with pytest.raises(BadRequest):
            await board.spi.open("0.0", mode=4)

    on_board(story)


# -- blocking ----------------------------------------------------------------------------------------------


def test_the_blocking_library(home: Path) -> None:
    script = """
import sys
from myclerk.blocking import Board, HardwareError, SpiSegment
from myclerk_client.cli import main
from myclerk_client.i2c import read, write

with Board.connect("bench") as board:
    bus = board.i2c.bus(1)
    assert [p["address"] for p in bus.scan()] == [0x48, 0x50, 0x76]
    assert bus.transfer(write(0x50, b"\\0"), read(0x50, 5)) == [b"Hello"]
    assert [p["state"] for p in bus.watch_scan(0x50, 0x51)] == ["present", "absent"]
    try:
        bus.read_byte(0x33)
    except HardwareError as error:
        print(error)
    with board.spi.open("0.1") as flash:
        print(flash.message(SpiSegment(b"\\x9f", receive=False), SpiSegment(size=3))[0].hex())
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=support.environment(home),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["no device answered at 0x33 on i2c:1", "ef4017"]


# -- commands ----------------------------------------------------------------------------------------------


def test_i2c_commands(run: Run) -> None:
    code, out, _ = run("i2c", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["BUS", "i2c:1", "i2c:2"]
    code, out, _ = run("i2c", "detect", "-y", "1", "0x40", "0x57")
    assert code == 0
    rows = out.splitlines()
    assert len(rows) == 9
    assert rows[5] == "40: -- -- -- -- -- -- -- -- UU -- -- -- -- -- -- -- "
    assert rows[6] == "50: 50 -- -- -- -- -- -- --                         "
    assert run("i2c", "get", "1", "0x50", "0x01")[:2] == (0, "0x65\n")
    assert run("i2c", "get", "-f", "1", "0x48", "0x00", "w")[:2] == (0, "0x8015\n")
    assert run("i2c", "get", "1", "0x76", "0xe0", "s")[:2] == (0, "0x61 0x62 0x63\n")
    assert run("i2c", "get", "1", "0x76", "0xe0", "i", "2")[:2] == (0, "0x03 0x61\n")
    assert run("i2c", "get", "1", "0x76", "0xe1", "c")[:2] == (0, "0x61\n")
    assert run("i2c", "transfer", "-y", "1", "w1@0x50", "0x00", "r5")[:2] == (0, "0x48 0x65 0x6c 0x6c 0x6f\n")


def test_i2c_set_and_dump(run: Run) -> None:
    assert run("i2c", "set", "-y", "2", "0x1d", "0x80", "0xf0")[:2] == (0, "")
    assert run("i2c", "set", "-y", "-r", "-m", "0x0f", "2", "0x1d", "0x80", "0x55")[0] == 0
    assert run("i2c", "get", "2", "0x1d", "0x80")[1] == "0xf5\n"
    assert run("i2c", "set", "2", "0x1d", "0x82", "0x4241", "w")[0] == 0
    assert run("i2c", "set", "2", "0x1d", "0x84", "0x43", "0x44", "i")[0] == 0
    assert run("i2c", "set", "2", "0x1d", "0x86", "0x45", "s")[0] == 0
    assert run("i2c", "set", "2", "0x1d", "0x82")[0] == 0
    assert run("i2c", "get", "2", "0x1d")[1] == "0x41\n"
    picture = "80: f5 00 41 42 43 44 01 45                            ?.ABCD?E"
    for mode in ("b", "i", "c", "W"):
        code, out, _ = run("i2c", "dump", "2", "0x1d", mode, "-r", "0x80-0x87")
        assert (code, out.splitlines()[1].rstrip()) == (0, picture)
    words = run("i2c", "dump", "2", "0x1d", "w", "-r", "0x82-0x83")[1].splitlines()[1]
    assert words.split() == ["80:", "4241", "4342"]
    told = json.loads(run("i2c", "dump", "1", "0x33", "-r", "0-1", "--json")[1])
    assert told == {"first": 0, "last": 1, "values": [None, None]}


def test_i2c_commands_in_json_and_their_failures(run: Run) -> None:
    assert json.loads(run("i2c", "get", "1", "0x50", "0", "--json")[1]) == {"value": 0x48}
    probes = json.loads(run("i2c", "detect", "1", "0x50", "0x50", "--json")[1])
    assert probes == [{"address": 0x50, "state": "present"}]
    received = json.loads(run("i2c", "transfer", "1", "w1@0x50", "0", "r2", "--json")[1])["received"]
    assert [base64.b64decode(data) for data in received] == [b"He"]
    assert "i2c" in json.loads(run("i2c", "detect", "-F", "1", "--json")[1])
    assert len(json.loads(run("i2c", "detect", "-a", "2", "--json")[1])) == 128
    code, _, error = run("i2c", "get", "1", "0x33")
    assert (code, error) == (1, "myclerk: no device answered at 0x33 on i2c:1 (ENXIO)\n")
    code, _, error = run("i2c", "get", "1", "0x48")
    assert code == 6
    assert "lm75" in error
    for wrong in (
        ("get", "1", "0x80"), ("get", "1", "0x50", "0", "q"), ("get", "1", "0x50", "0", "b", "3"),
        ("set", "1", "0x50", "0", "0x100"), ("transfer", "1", "w1@0x50"), ("dump", "1", "0x50", "-r", "9"),
        ("detect", "1", "0x100"), ("set", "1", "0x50", "0", "1", "s", "-r"),
    ):  # fmt: skip
        assert run("i2c", *wrong)[0] == 2, wrong


def test_spi_commands(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("spi", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["DEVICE", "spi:0.0", "spi:0.1"]
    assert run("spi", "transfer", "0.0", "0102", "0x03", "--speed-hz", "1000000")[:2] == (0, "01 02 03\n")
    assert run("spi", "transfer", "0.1", "9f", "--read", "3")[:2] == (0, "ef 40 17\n")
    assert run("spi", "transfer", "0.1", "03000000", "--read", "5", "--dump")[1] == (
        "00000000: 4865 6c6c 6f                             Hello\n"
    )
    assert run("spi", "read", "0.0", "4")[:2] == (0, "00 00 00 00\n")
    (tmp_path / "image").write_bytes(b"\x06")
    assert run("spi", "write", "0.1", "--file", str(tmp_path / "image"))[:2] == (0, "")
    assert json.loads(run("spi", "write", "0.0", "ff", "--json")[1]) == {"written": 1}
    output = tmp_path / "received"
    assert run("spi", "transfer", "0.0", "--file", "-", "--output", str(output), input=b"raw")[0] == 0
    assert output.read_bytes() == b"raw"
    assert json.loads(run("spi", "transfer", "0.0", "616263", "--json")[1]) == {"data": "YWJj", "text": "abc"}


def test_spi_commands_fail_with_a_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(5000))
    code, _, error = run("spi", "write", "0.0", "--file", str(tmp_path / "large"))
    assert code == 1
    assert "bufsiz" in error
    assert run("spi", "write", "0.0", "--file", str(tmp_path / "large"), "--no-cs")[0] == 0
    assert run("spi", "read", "9.9", "1")[0] == 1
    for wrong in (
        ("write", "0.0"),
        ("write", "0.0", "9"),
        ("write", "0.0", "ff", "--file", "-"),
        ("read", "0.0", "0"),
    ):
        assert run("spi", *wrong)[0] == 2, wrong


def test_both_are_among_the_devices(run: Run) -> None:
    listed: list[Any] = json.loads(run("devices", "--json")[1])
    assert [device["name"] for device in listed] == ["i2c:1", "i2c:2", "spi:0.0", "spi:0.1"]
    assert all(device["simulated"] for device in listed)
