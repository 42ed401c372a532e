"""Serial ports with everything that a pty lacks: modem lines, breaks, line coding, error counters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from myclerk_client import OperationError, SerialPort

from .hand import Hand
from .virtual_board import VirtualBoard

pytestmark = pytest.mark.backend("virtual board: cdc_acm")


@pytest.fixture(scope="module")
def modem(board: VirtualBoard, hand: Hand) -> str:
    """The resource name of the modem's tty."""
    return f"serial:{hand.serial_port()}"


@pytest.fixture(autouse=True)
def quiet(hand: Hand) -> Iterator[None]:
    """All inputs of the port are off before and after."""
    hand.serial_lines(dsr=False, dcd=False, ri=False)
    yield
    hand.serial_lines(dsr=False, dcd=False, ri=False)


async def eventually(port: SerialPort, **levels: bool) -> None:
    """Wait until the port's lines have these levels: a change crosses USB first."""
    async with asyncio.timeout(20):
        while not levels.items() <= (await port.lines()).items():
            await asyncio.sleep(0.02)


def test_dtr_and_rts_reach_the_modem(board: VirtualBoard, hand: Hand, modem: str) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            async with await client.serial.open(modem, dtr=True, rts=False) as port:
                await port.set_lines(dtr=True, rts=False)
                assert (hand.serial_seen()["dtr"], hand.serial_seen()["rts"]) == (True, False)
                await port.set_lines(dtr=False, rts=True)
                assert (hand.serial_seen()["dtr"], hand.serial_seen()["rts"]) == (False, True)
                lines = await port.lines()
                assert (lines["dtr"], lines["rts"]) == (False, True)

    asyncio.run(main())


def test_changes_of_the_modems_lines_are_pushed_as_they_happen(
    board: VirtualBoard, hand: Hand, modem: str
) -> None:
    async def main() -> None:
        async with await board.connect() as client, await client.serial.open(modem) as port:
            watch = await port.watch_lines()
            events = []
            for change in ({"dsr": True}, {"dcd": True}, {"dsr": False}):
                hand.serial_lines(**change)
                async with asyncio.timeout(20):
                    event = await anext(aiter(watch))
                events.append((event["line"], event["value"]))
                assert event["timestamp_ns"] > 1_700_000_000 * 10**9
            assert events == [("dsr", True), ("dcd", True), ("dsr", False)]
            await eventually(port, dcd=True, dsr=False)
            await watch.stop()

    asyncio.run(main())


def test_the_line_coding_reaches_the_modem(board: VirtualBoard, hand: Hand, modem: str) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            settings = {"baud": 57600, "data_bits": 7, "parity": "even", "stop_bits": 2}
            async with await client.serial.open(modem, **settings) as port:
                seen = hand.serial_seen()
                assert {name: seen[name] for name in settings} == settings
                await port.configure(baud=9600, data_bits=8, parity="none", stop_bits=1)
                assert hand.serial_seen()["baud"] == 9600

    asyncio.run(main())


def test_a_break_is_sent_and_one_that_comes_is_counted(board: VirtualBoard, hand: Hand, modem: str) -> None:
    async def main() -> None:
        async with await board.connect() as client, await client.serial.open(modem) as port:
            before = hand.serial_seen()["breaks"]
            await port.send_break(0.05)
            assert hand.serial_seen()["breaks"] == before + 1
            counted = (await port.lines())["counters"]["break"]
            hand.serial_break()
            async with asyncio.timeout(20):
                while (await port.lines())["counters"]["break"] != counted + 1:
                    await asyncio.sleep(0.02)

    asyncio.run(main())


def test_bytes_go_both_ways(board: VirtualBoard, hand: Hand, modem: str) -> None:
    async def main() -> None:
        async with await board.connect() as client, await client.serial.open(modem, baud=115200) as port:
            hand.serial_received()  # what an earlier test sent
            await port.write(b"ATI\r", drain=True)
            data = b""
            async with asyncio.timeout(20):
                while len(data) < 4:
                    data += hand.serial_received()
                    await asyncio.sleep(0.01)
            assert data == b"ATI\r"
            hand.serial_send(data=b"Virtual\r\n" * 1000)
            assert await port.read_exactly(9000, timeout=20) == b"Virtual\r\n" * 1000

    asyncio.run(main())


def test_a_client_that_vanishes_leaves_the_port_free_with_dtr_down(
    board: VirtualBoard, hand: Hand, modem: str
) -> None:
    async def main() -> None:
        client = await board.connect(reconnect=0.0)
        await client.serial.open(modem, dtr=True, hang_up_on_close=True)
        assert hand.serial_seen()["dtr"]
        client.link.drop_connection()
        async with asyncio.timeout(60):
            while hand.serial_seen()["dtr"]:
                await asyncio.sleep(0.02)
        async with await board.connect() as other, await other.serial.open(modem):
            pass
        await client.close()

    asyncio.run(main())


def test_a_port_that_is_pulled_out_ends_what_waits_for_it(
    board: VirtualBoard, hand: Hand, modem: str
) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            port = await client.serial.open(modem)
            reading = asyncio.create_task(port.read(timeout=30))
            await asyncio.sleep(0.1)
            hand.usb_unplug(name="modem")
            with pytest.raises(OperationError, match="serial:"):
                await reading
            await port.close()
            assert modem not in [found["name"] for found in await client.serial.list()]
            hand.usb_plug(name="modem")
            async with asyncio.timeout(20):
                while modem not in [found["name"] for found in await client.serial.list()]:
                    await asyncio.sleep(0.05)
            async with await client.serial.open(modem):
                pass

    asyncio.run(main())
