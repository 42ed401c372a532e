"""A user with no board: the example description served, from Python without pairing, and what the guide shows."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import support
from drivers.loop_context import LoopContext
from myclerk.blocking import Board, Frame
from myclerk_agent.config import Config
from myclerk_agent.drivers import load_classes
from myclerk_client import i2c
from tracing import Trace

pytestmark = pytest.mark.backend("simulated board")

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "board.toml"
GUIDE = (ROOT / "docs" / "simulation.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[str]:
    """The Unix socket of an agent that serves the example, as a board's name."""
    directory = tmp_path_factory.mktemp("simulated")
    with support.agent(directory, options=("--simulate", str(EXAMPLE))) as agent:
        yield f"unix:{agent.unix_socket}"


def test_the_example_has_something_on_every_bus(socket: str) -> None:
    with Board.connect(socket) as board:
        devices = board.devices()
        assert {device["kind"] for device in devices} == {"gpio", "gsm", "i2c", "spi", "can", "w1", "serial"}
        assert all(device["simulated"] for device in devices)

        with board.gpio.request({"LED": False}) as led, board.gpio.request("SENSOR") as sensor:
            for level in (True, False):
                led.set({"LED": level})
                assert sensor.value() is level

        bus = board.i2c.bus(1)
        assert bus.transfer(i2c.write(0x50, b"\0"), i2c.read(0x50, 5)) == [b"Hello"]

        with board.spi.open("0.1") as flash:
            assert flash.transfer(b"\x9f\0\0\0")[1:] == bytes.fromhex("ef4017")

        with board.can.open("can0") as sender, board.can.open("can1") as receiver:
            sender.send(Frame(0x123, b"four"))
            assert receiver.receive(timeout=10).data == b"four"

        assert board.onewire.temperature("28-0000075f4d2d") == -4

        with board.serial.open("console") as port:
            port.write(b"echo")
            assert port.read_exactly(4, timeout=10) == b"echo"


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.split("]")[0].strip("["))
def test_every_table_of_the_guide_can_be_served(text: str) -> None:
    async def main() -> None:
        classes = load_classes(Config.defaults())
        for name, table in tomllib.loads(text).items():
            driver = classes[name].simulated(LoopContext(), table)
            try:
                assert list(driver.resources())
            finally:
                driver.close()

    asyncio.run(main())
    assert len(BLOCKS) == 8
