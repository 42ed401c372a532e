"""A simulated board's I2C buses, with the driver on them."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from i2c_board import BOARD, OnBus, Story
from loop_context import LoopContext

from myclerk_drivers.i2c import I2cDriver
from myclerk_drivers.i2c.simulated import SimulatedI2c


@pytest.fixture
def board() -> SimulatedI2c:
    return SimulatedI2c.from_description(tomllib.loads(BOARD))


@pytest.fixture
def on_bus(run: Any, board: SimulatedI2c) -> OnBus:
    """Run a story with a driver on the board's buses."""

    def on_bus(story: Story) -> None:
        async def main() -> None:
            driver = I2cDriver(LoopContext(), board)
            try:
                await story(driver)
            finally:
                driver.close()

        run(main())

    return on_bus
