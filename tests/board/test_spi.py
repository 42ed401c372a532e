"""SPI on the kernel's spidev: a loopback at chip select 0, a flash that the bench hand plays at chip select 1."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

import support
from myclerk_client import BadRequest, Board, Conflict, NotFound, SpiSegment, TooLarge, Unsupported

from .hand import Hand
from .virtual_board import VirtualBoard

pytestmark = pytest.mark.backend("virtual board: spidev")

READ_STATUS, WRITE_ENABLE, PROGRAM, READ, JEDEC_ID, ERASE_SECTOR = 0x05, 0x06, 0x02, 0x03, 0x9F, 0x20

Story = Callable[[Board], Awaitable[None]]
OnBoard = Callable[[Story], None]


@pytest.fixture
def on_board(board: VirtualBoard) -> OnBoard:
    """Run a story with a session of its own."""

    def run(story: Story) -> None:
        async def connected() -> None:
            async with await board.connect() as client:
                await story(client)

        asyncio.run(connected())

    return run


def instruction(code: int, address: int | None = None, data: bytes = b"") -> bytes:
    return bytes([code]) + (b"" if address is None else address.to_bytes(3, "big")) + data


def test_devices_are_listed(on_board: OnBoard) -> None:
    async def story(client: Board) -> None:
        devices = {device["name"]: device for device in await client.spi.list()}
        assert devices.keys() == {"spi:0.0", "spi:0.1"}
        assert devices["spi:0.1"]["path"] == "/dev/spidev0.1"
        assert devices["spi:0.1"]["modalias"].startswith("spi:")

    on_board(story)


def test_what_is_sent_comes_back(on_board: OnBoard) -> None:
    data = os.urandom(4096)

    async def story(client: Board) -> None:
        async with await client.spi.open("0.0", mode=3, speed_hz=10_000_000) as device:
            assert (device.settings["mode"], device.settings["speed_hz"]) == (3, 10_000_000)
            assert device.buffer_size >= 4096
            assert await device.transfer(data) == data
            segments = [SpiSegment(b"abc"), SpiSegment(size=4), SpiSegment(b"xyz", receive=False)]
            assert await device.message(*segments) == [b"abc", bytes(4)]
            await device.write(data)
            assert await device.read(16) == bytes(16)

    on_board(story)


@pytest.mark.parametrize(("bits", "size"), [(7, 3), (9, 4), (16, 4), (24, 8), (32, 8)])
def test_words_of_other_lengths(on_board: OnBoard, bits: int, size: int) -> None:
    async def story(client: Board) -> None:
        async with await client.spi.open("0.0", bits_per_word=bits) as device:
            assert device.settings["bits_per_word"] == bits
            assert await device.transfer(bytes(size)) == bytes(size)
            if bits > 8:
                with pytest.raises(BadRequest, match="whole words"):
                    await device.transfer(bytes(size + 1))

    on_board(story)


def test_a_flash_is_programmed_and_read(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.spi.open("0.1", mode=0, speed_hz=5_000_000) as flash:
            identity = await flash.message(
                SpiSegment(instruction(JEDEC_ID), receive=False), SpiSegment(size=3)
            )
            assert identity == [b"\xef\x40\x17"]
            hand.spi_flash_poke(offset=0x1000, data=b"\xff" * 256)
            await flash.write(instruction(WRITE_ENABLE))
            await flash.write(instruction(PROGRAM, 0x1000, b"from the desktop"))
            async with asyncio.timeout(30):
                while (await flash.transfer(bytes([READ_STATUS, 0])))[1] & 1:
                    pass
            assert hand.spi_flash_memory(offset=0x1000, size=16) == b"from the desktop"
            read = [SpiSegment(instruction(READ, 0x1000), receive=False), SpiSegment(size=16)]
            assert await flash.message(*read) == [b"from the desktop"]

    on_board(story)


def test_the_controller_gets_the_settings_asked_for(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.spi.open("0.1", mode=3, speed_hz=1_000_000) as flash:
            hand.spi_transfers()
            await flash.message(SpiSegment(instruction(JEDEC_ID)), SpiSegment(size=3, speed_hz=2_000_000))
            first, second = hand.spi_transfers()
            assert (first["size"], first["speed_hz"], first["mode"] & 3) == (1, 1_000_000, 3)
            assert (second["size"], second["speed_hz"], second["bits_per_word"]) == (3, 2_000_000, 8)
            await flash.configure(mode=0, speed_hz=500_000)
            await flash.write(instruction(JEDEC_ID))
            (third,) = hand.spi_transfers()
            assert (third["speed_hz"], third["mode"] & 3) == (500_000, 0)

    on_board(story)


def test_chip_select_is_released_between_segments_if_asked(on_board: OnBoard) -> None:
    async def story(client: Board) -> None:
        async with await client.spi.open("0.1", mode=0) as flash:
            apart = [SpiSegment(instruction(JEDEC_ID), receive=False, cs_change=True), SpiSegment(size=3)]
            assert await flash.message(*apart) == [b"\xff\xff\xff"]

    on_board(story)


def test_a_chip_select_that_was_kept_is_released_at_the_end(on_board: OnBoard) -> None:
    async def story(client: Board) -> None:
        async with await client.spi.open("0.1", mode=0) as flash:
            await flash.message(SpiSegment(instruction(READ, 0), receive=False, cs_change=True))
        async with await client.spi.open("0.1", mode=0) as flash:
            identity = await flash.message(
                SpiSegment(instruction(JEDEC_ID), receive=False), SpiSegment(size=3)
            )
            assert identity == [b"\xef\x40\x17"]

    on_board(story)


def test_settings_are_restored_and_nothing_is_left_open(on_board: OnBoard, hand: Hand) -> None:
    show = (
        "import spidev; s = spidev.SpiDev(0, 0); print(s.mode, s.bits_per_word, s.lsbfirst, s.max_speed_hz)"
    )
    before = hand.python(show)

    async def story(client: Board) -> None:
        device = await client.spi.open("0.0", mode=2, speed_hz=123_456)
        assert hand.python(show) != before
        await device.close()
        async with await client.spi.open("0.1"):  # behind the close: they share a bus
            assert hand.python(show) == before
        await client.spi.open("0.0", mode=1)  # the session ends with this open

    on_board(story)

    async def afterwards(client: Board) -> None:
        async with await client.spi.open("0.0") as device:
            assert device.settings["mode"] == 0
        async with await client.spi.open("0.1"):
            opened = hand.check(
                "sh", "-c", "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c /dev/spidev0.0 || true"
            )
            assert opened == "0\n"

    on_board(afterwards)


def test_long_transfers(on_board: OnBoard) -> None:
    data = os.urandom(100_000)

    async def story(client: Board) -> None:
        device = await client.spi.open("0.0")
        with pytest.raises(TooLarge, match=f"at most {device.buffer_size} bytes.*bufsiz"):
            await device.transfer(bytes(device.buffer_size + 1))
        quarter = SpiSegment(bytes(device.buffer_size // 4))
        assert len(await device.message(*[quarter] * 4)) == 4
        await device.configure(no_cs=True)
        assert await device.transfer(data) == data

    on_board(story)


def test_what_cannot_be_is_refused(on_board: OnBoard, board: VirtualBoard) -> None:
    async def story(client: Board) -> None:
        device = await client.spi.open("0.0")
        with pytest.raises(Unsupported, match="tx-lines"):
            await device.configure(mode=1, tx_lines=8)
        assert (await device.configure())["mode"] == 0
        async with await board.connect() as other:
            with pytest.raises(Conflict, match=r"spi:0\.0"):
                await other.spi.open("0.0")
        with pytest.raises(NotFound):
            await client.spi.open("0.7")

    on_board(story)


def test_commands(board: VirtualBoard) -> None:
    def run(*words: str) -> str:
        ended = support.run_cli(board.home, "spi", *words)
        assert ended.returncode == 0, ended.stderr
        return str(ended.stdout.decode())

    assert "spi:0.1" in run("list")
    assert run("transfer", "0.1", "9f", "--read", "3", "--mode", "0") == "ef 40 17\n"
    assert run("transfer", "0.0", "010203") == "01 02 03\n"
    assert run("read", "0.0", "4") == "00 00 00 00\n"
    assert run("write", "0.1", "06") == ""
