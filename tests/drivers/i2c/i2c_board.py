"""What the tests of the I2C driver share: a description of buses, and running a story on them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from myclerk_drivers.base import Resource
from myclerk_drivers.i2c import I2cDriver

BOARD = """
[1]
adapter = "bench"
[1.devices.0x48]
model = "lm75"
celsius = 21.5
driver = "lm75"
[1.devices.0x50]
model = "24c02"
contents = "48656c6c6f"
write-cycle = 0
[1.devices.0x76]
model = "registers"
registers = {0xD0 = 0x60, 0xF7 = "0102030405"}
[2]
functionality = "smbus"
[2.devices.0x1d]
model = "registers"
[3]
functionality = ["smbus-read-byte"]
[3.devices.0x50]
model = "24c02"
"""

Story = Callable[[I2cDriver], Coroutine[Any, Any, None]]
OnBus = Callable[[Story], None]


def found(driver: I2cDriver, name: str) -> Resource:
    """The resource of this name, which must exist."""
    resource = driver.find(name)
    assert resource is not None
    return resource
