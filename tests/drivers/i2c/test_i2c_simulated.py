"""The description of simulated buses: what it says, and each mistake named."""

from __future__ import annotations

import tomllib

import pytest

from myclerk_drivers.i2c.functionality import Functionality
from myclerk_drivers.i2c.messages import Flag, Message
from myclerk_drivers.i2c.simulated import SimulatedI2c
from myclerk_drivers.models import Registers


def read(board: SimulatedI2c, address: int, register: bytes, size: int) -> bytes:
    return board.open(1).transfer([Message(address, register), Message(address, None, size)])[0]


def test_devices_have_what_the_description_says() -> None:
    board = SimulatedI2c.from_description(
        tomllib.loads("""
        [1.devices.0x48]
        model = "lm75"
        celsius = -10.5
        bits = 11
        [1.devices.0x50]
        model = "24c256"
        contents = "cafe"
        [1.devices.118]
        model = "registers"
        registers = {0xFE = "0102", 16 = 0x5A}
        """)
    )
    assert read(board, 0x48, b"\0", 2) == b"\xf5\x80"
    assert read(board, 0x50, b"\0\0", 3) == b"\xca\xfe\xff"
    assert read(board, 118, b"\xfe", 3) == b"\x01\x02\x00"
    assert read(board, 118, b"\x10", 1) == b"\x5a"
    assert board.clients(1) == []


def test_functionality_is_a_kind_or_a_list() -> None:
    board = SimulatedI2c.from_description(
        tomllib.loads("""
        [1]
        [2]
        functionality = "smbus"
        [3]
        functionality = ["i2c", "10bit-addr"]
        """)
    )
    assert Functionality.I2C in board.buses[1].functionality
    assert Functionality.I2C not in board.buses[2].functionality
    assert board.buses[3].functionality == Functionality.I2C | Functionality.TEN_BIT_ADDR


def test_a_write_cycle_keeps_an_eeprom_quiet() -> None:
    board = SimulatedI2c.from_description(
        tomllib.loads('[1.devices.0x50]\nmodel = "24c02"\nwrite-cycle = 60')
    )
    bus = board.open(1)
    bus.transfer([Message(0x50, b"\0x")])
    with pytest.raises(OSError, match="No such device"):
        bus.transfer([Message(0x50, None, 1)])
    assert bus.transfer([Message(0x50, None, 2, Flag.IGNORE_NAK)]) == [b"\xff\xff"]


def test_registers_go_on_behind_the_last_one() -> None:
    chip = Registers()
    chip.write(b"\xfe\x01\x02\x03")
    assert chip.memory[0xFE:] + chip.memory[:2] == b"\x01\x02\x03\x00"
    chip.write(b"\xff")
    assert (chip.read(2), chip.read(1)) == (b"\x02\x03", b"\x00")
    chip.write(b"")
    assert chip.read(0) == b""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("one = {}", "`i2c.one`"),
        ("1 = 5", "`i2c.1`"),
        ("[1]\nspeed = 5", "`speed`"),
        ("[1]\nadapter = 5", "`i2c.1.adapter`"),
        ('[1]\nfunctionality = "magic"', "`i2c.1.functionality`"),
        ('[1]\nfunctionality = ["magic"]', "`i2c.1.functionality`"),
        ("[1]\nfunctionality = [1]", "`i2c.1.functionality`"),
        ("[1]\ndevices = 5", "`i2c.1.devices`"),
        ("[1.devices.0x80]", "`i2c.1.devices.0x80`"),
        ("[1.devices.0x07]", "`i2c.1.devices.0x07`"),
        ("[1.devices.eeprom]", "`i2c.1.devices.eeprom`"),
        ("[1.devices.0x50]", "`i2c.1.devices.0x50.model`"),
        ('[1.devices.0x50]\nmodel = "24c04"', "`i2c.1.devices.0x50.model`"),
        ('[1.devices.0x50]\nmodel = "24c02"\nsize = 5', "`size`"),
        ('[1.devices.0x50]\nmodel = "24c02"\ncontents = "xyz"', "`i2c.1.devices.0x50.contents`"),
        (f'[1.devices.0x50]\nmodel = "24c01"\ncontents = "{"00" * 129}"', "room for 128"),
        ('[1.devices.0x50]\nmodel = "24c02"\nwrite-cycle = true', "`i2c.1.devices.0x50.write-cycle`"),
        ('[1.devices.0x48]\nmodel = "lm75"\ncelsius = 200', "`i2c.1.devices.0x48`"),
        ('[1.devices.0x48]\nmodel = "lm75"\nbits = 12', "`i2c.1.devices.0x48`"),
        ('[1.devices.0x48]\nmodel = "lm75"\ndriver = 5', "`i2c.1.devices.0x48.driver`"),
        ('[1.devices.0x48]\nmodel = "registers"\nregisters = {0x100 = 1}', "registers.0x100`"),
        ('[1.devices.0x48]\nmodel = "registers"\nregisters = {0x10 = 256}', "registers.0x10`"),
        ('[1.devices.0x48]\nmodel = "registers"\nregisters = {0xFF = "0102"}', "room for 1"),
    ],
)
def test_each_mistake_is_named(text: str, key: str) -> None:
    with pytest.raises(ValueError, match="`") as refused:
        SimulatedI2c.from_description(tomllib.loads(text))
    assert key in str(refused.value)
