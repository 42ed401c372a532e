"""The description of simulated devices: what it says, and each mistake named."""

from __future__ import annotations

import tomllib

import pytest

from myclerk_drivers.models import Flash
from myclerk_drivers.spi.simulated import SimulatedSpi


def test_devices_have_what_the_description_says() -> None:
    board = SimulatedSpi.from_description(
        tomllib.loads("""
        buffer-size = 65536
        [devices."1.2"]
        model = "flash"
        capacity = 1048576
        contents = "cafe"
        [devices."0.10"]
        model = "loopback"
        [devices."0.9"]
        model = "loopback"
        """)
    )
    assert [device.name for device in board.devices()] == ["0.9", "0.10", "1.2"]
    assert board.buffer_size == 65536
    flash = board.chips["1.2"].chip
    assert isinstance(flash, Flash)
    assert flash.memory(0, 3) == b"\xca\xfe\xff"
    assert flash.capacity == 1 << 20


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("speed = 5", "`speed`"),
        ("buffer-size = 0", "`spi.buffer-size`"),
        ('buffer-size = "4k"', "`spi.buffer-size`"),
        ("devices = 5", "`spi.devices`"),
        ('[devices."0"]\nmodel = "loopback"', '`spi.devices."0"`'),
        ('[devices]\n"0.0" = 5', '`spi.devices."0.0"`'),
        ('[devices."0.0"]', '`spi.devices."0.0".model`'),
        ('[devices."0.0"]\nmodel = "display"', '`spi.devices."0.0".model`'),
        ('[devices."0.0"]\nmodel = "loopback"\ncapacity = 5', "`capacity`"),
        ('[devices."0.0"]\nmodel = "flash"\ncapacity = 5', '`spi.devices."0.0".capacity`'),
        ('[devices."0.0"]\nmodel = "flash"\ncontents = "x"', '`spi.devices."0.0".contents`'),
        ('[devices."0.0"]\nmodel = "flash"\ntime-scale = "slow"', '`spi.devices."0.0".time-scale`'),
    ],
)
def test_each_mistake_is_named(text: str, key: str) -> None:
    with pytest.raises(ValueError, match="`") as refused:
        SimulatedSpi.from_description(tomllib.loads(text))
    assert key in str(refused.value)
