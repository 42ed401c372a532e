"""The I2C driver: resources, transfers, bytes and blocks, refusals, order."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from i2c_board import OnBus, found
from loop_context import LoopContext

from myclerk_drivers.i2c import I2cDriver
from myclerk_drivers.i2c.messages import Message
from myclerk_drivers.i2c.simulated import KINDS, Device, SimulatedBus, SimulatedI2c
from myclerk_drivers.models import Eeprom, Nack
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    HardwareError,
    NotFound,
    OperationError,
    Unsupported,
)

# -- resources ---------------------------------------------------------------------------------------------


def test_buses_are_listed_with_what_they_can_do(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        one, two, three = driver.list_buses()["buses"]
        assert (one["name"], one["bus"], one["adapter"]) == ("i2c:1", 1, "bench")
        assert one["clients"] == [{"address": 0x48, "name": "lm75", "driver": "lm75"}]
        assert "i2c" in one["functionality"]
        assert "i2c" not in two["functionality"]
        assert three["functionality"] == ["smbus-read-byte"]
        assert [resource.name for resource in driver.resources()] == ["i2c:1", "i2c:2", "i2c:3"]

    on_bus(story)


def test_an_address_is_a_resource_below_its_bus(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        resource = found(driver, "i2c:1/0x4A")
        assert (resource.name, resource.parent) == ("i2c:1/0x4a", "i2c:1")
        for name in ("i2c:9", "i2c:9/0x48", "i2c:1/0x80", "i2c:1/72", "i2c:01", "i2c:1/", "i2c:", "i2c:one"):
            assert driver.find(name) is None

    on_bus(story)


def test_a_lock_on_one_address_concerns_only_requests_that_name_it(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        bus = found(driver, "i2c:1")

        def parts(**fields: Any) -> list[str]:
            return [part.name for part in driver.parts_of(bus, fields)]

        assert parts(address=0x50, register=0) == ["i2c:1/0x50"]
        both = [{"address": 0x50, "read": 1}, {"address": 0x48, "read": 1}]
        assert parts(messages=both) == ["i2c:1/0x48", "i2c:1/0x50"]
        assert parts(first=0x08, last=0x77) == ["i2c:1"]
        assert parts(messages=[{"address": 0x148, "ten_bit": True, "read": 1}]) == ["i2c:1"]

    on_bus(story)


# -- transfers ---------------------------------------------------------------------------------------------


def test_a_transfer_writes_and_reads_in_order(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        messages = [
            {"address": 0x50, "write": b"\x00"},
            {"address": 0x50, "read": 2},
            {"address": 0x76, "write": b"\xf7"},
            {"address": 0x76, "read": 5},
            {"address": 0x50, "read": 3},
        ]
        answer = await driver.transfer(found(driver, "i2c:1"), messages)
        assert answer == {"received": [b"He", b"\x01\x02\x03\x04\x05", b"llo"]}

    on_bus(story)


def test_the_address_of_the_resource_needs_not_be_said_again(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        device = found(driver, "i2c:1/0x50")
        assert await driver.transfer(device, [{"write": b"\x01"}, {"read": 4}]) == {"received": [b"ello"]}
        assert await driver.read_byte(device, register=0) == {"value": ord("H")}
        assert await driver.read_byte(device, address=0x50, register=0) == {"value": ord("H")}
        with pytest.raises(BadRequest, match=r"0x76 is not the address"):
            driver.read_byte(device, address=0x76)
        with pytest.raises(BadRequest) as refused:
            driver.transfer(device, [{"read": 1}, {"address": 0x51, "read": 1}])
        assert refused.value.details["key"] == "messages[1].address"

    on_bus(story)


def test_messages_without_a_start_are_one_write(on_bus: OnBus, board: SimulatedI2c) -> None:
    async def story(driver: I2cDriver) -> None:
        messages = [{"address": 0x50, "write": b"\x08"}, {"address": 0x50, "write": b"abc", "no_start": True}]
        await driver.transfer(found(driver, "i2c:1"), messages)
        eeprom = board.buses[1].devices[0x50].target
        assert isinstance(eeprom, Eeprom)
        assert eeprom.memory[8:11] == b"abc"

    on_bus(story)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"address": 0x50}, "exactly one of"),
        ({"address": 0x50, "write": b"", "read": 1}, "exactly one of"),
        ({"address": 0x50, "read": 1, "read_block": True}, "exactly one of"),
        ({"read": 1}, "is missing"),
        ({"address": 0x80, "read": 1}, "no 7-bit address"),
        ({"address": 0x03, "read": 1}, "reserves 0x03"),
        ({"address": 0x78, "read": 1}, "reserves 0x78"),
    ],
)
def test_messages_that_make_no_sense_are_refused(
    on_bus: OnBus, message: dict[str, Any], problem: str
) -> None:
    async def story(driver: I2cDriver) -> None:
        with pytest.raises(BadRequest, match=problem) as refused:
            driver.transfer(found(driver, "i2c:1"), [{"address": 0x50, "read": 1}, message])
        assert refused.value.details["key"].startswith("messages[1]")

    on_bus(story)


@pytest.mark.parametrize("flag", ["ten_bit", "ignore_nak", "reverse_direction", "no_read_ack", "stop"])
def test_flags_that_the_adapter_lacks_are_refused(on_bus: OnBus, flag: str) -> None:
    async def story(driver: I2cDriver) -> None:
        with pytest.raises(Unsupported, match=flag.replace("_", "-")):
            await driver.transfer(found(driver, "i2c:1"), [{"address": 0x50, "read": 1, flag: True}])

    on_bus(story)


def test_an_adapter_without_plain_i2c_says_what_it_can(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        with pytest.raises(Unsupported, match=r"only SMBus commands: smbus-read-byte$"):
            await driver.transfer(found(driver, "i2c:3"), [{"address": 0x50, "read": 1}])

    on_bus(story)


def test_nobody_at_an_address_is_said_so(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        bus = found(driver, "i2c:1")
        for attempt in (
            driver.transfer(bus, [{"address": 0x33, "read": 1}]),
            driver.read_byte(bus, address=0x33, register=0),
            driver.write_block(bus, b"x", address=0x33),
            driver.smbus_command(bus, "write-quick", address=0x33),
        ):
            with pytest.raises(HardwareError, match="no device answered at 0x33 on i2c:1") as failure:
                await attempt
            assert failure.value.details["errno"] == "ENXIO"
        with pytest.raises(HardwareError, match="0x33 or 0x50"):
            await driver.transfer(bus, [{"address": 0x33, "read": 1}, {"address": 0x50, "read": 1}])

    on_bus(story)


def test_an_address_of_a_kernel_driver_needs_force(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        bus = found(driver, "i2c:1")
        for attempt in (
            driver.transfer(bus, [{"address": 0x48, "read": 2}]),
            driver.read_byte(bus, address=0x48),
            driver.read_block(bus, 2, address=0x48),
        ):
            with pytest.raises(Conflict, match="kernel driver lm75") as refused:
                await attempt
            assert refused.value.details["errno"] == "EBUSY"
        answer = await driver.transfer(bus, [{"address": 0x48, "read": 2}], force=True)
        assert answer == {"received": [b"\x15\x80"]}
        assert await driver.read_byte(bus, address=0x48, force=True) == {"value": 0x15}

    on_bus(story)


# -- bytes and blocks --------------------------------------------------------------------------------------


def test_bytes_with_and_without_a_register(on_bus: OnBus, board: SimulatedI2c) -> None:
    async def story(driver: I2cDriver) -> None:
        bus = found(driver, "i2c:1")
        await driver.write_byte(bus, 0xA5, address=0x76, register=0x10)
        assert await driver.read_byte(bus, address=0x76, register=0x10) == {"value": 0xA5}
        await driver.write_byte(bus, 0xD0, address=0x76)  # sets the pointer only
        assert await driver.read_byte(bus, address=0x76) == {"value": 0x60}

    on_bus(story)


def test_blocks_beyond_smbus_on_an_i2c_adapter(on_bus: OnBus) -> None:
    data = bytes(range(200))

    async def story(driver: I2cDriver) -> None:
        bus = found(driver, "i2c:1")
        await driver.write_block(bus, data, address=0x76, register=0)
        assert await driver.read_block(bus, 200, address=0x76, register=0) == {"data": data}
        await driver.write_block(bus, b"\x05", address=0x76)
        assert await driver.read_block(bus, 3, address=0x76) == {"data": b"\x05\x06\x07"}

    on_bus(story)


def test_blocks_on_an_smbus_adapter_have_its_limits(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        bus = found(driver, "i2c:2")
        await driver.write_block(bus, bytes(range(32)), address=0x1D, register=4)
        assert await driver.read_block(bus, 32, address=0x1D, register=4) == {"data": bytes(range(32))}
        for attempt in (
            driver.read_block(bus, 33, address=0x1D, register=4),
            driver.read_block(bus, 3, address=0x1D),
            driver.write_block(bus, bytes(33), address=0x1D, register=4),
        ):
            with pytest.raises(Unsupported, match="at most 32 bytes"):
                await attempt

    on_bus(story)


# -- order and failures ------------------------------------------------------------------------------------


class SlowTarget:
    """Notes when it is talked to; the first write waits for the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.log: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self.log:
            self.gate.wait(10)
        self.log.append(data)

    def read(self, size: int) -> bytes:
        raise Nack


def test_everything_on_one_bus_is_in_the_order_asked(run: Any) -> None:
    """Also under the names of several resources, as when a multiplexer is switched for the next transfer."""
    target = SlowTarget()
    backend = SimulatedI2c({1: SimulatedBus({0x70: Device(target), 0x20: Device(target)})})

    async def story() -> None:
        driver = I2cDriver(LoopContext(), backend)
        names = ["i2c:1/0x70", "i2c:1", "i2c:1/0x20", "i2c:1/0x70", "i2c:1/0x20"]
        asked = [
            driver.write_block(found(driver, name), bytes([i]), address=0x20 if name == "i2c:1" else None)
            for i, name in enumerate(names)
        ]
        scan = driver.scan(found(driver, "i2c:1"), first=0x20, last=0x20)
        assert target.log == []
        target.gate.set()
        await asyncio.gather(*asked)
        assert (await scan)["probes"] == [{"address": 0x20, "state": "present"}]
        assert target.log == [b"\x00", b"\x01", b"\x02", b"\x03", b"\x04", b""]
        driver.close()

    run(story())


class BrokenBus(SimulatedBus):
    """Every transfer fails in the same way."""

    def __init__(self, code: int) -> None:
        super().__init__({}, KINDS["i2c"])
        self.code = code

    def transfer(self, messages: Sequence[Message]) -> list[bytes]:
        raise OSError(self.code, "it failed")


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        (errno.EREMOTEIO, HardwareError, "no device answered at 0x50"),
        (errno.ETIMEDOUT, HardwareError, "SDA or SCL"),
        (errno.EAGAIN, HardwareError, "another master"),
        (errno.EBADMSG, HardwareError, "PEC"),
        (errno.EIO, HardwareError, "it failed"),
        (errno.ENODEV, HardwareError, "no device answered at 0x50"),
        (errno.ESHUTDOWN, DeviceGone, "is gone"),
        (errno.EOPNOTSUPP, Unsupported, "cannot do this transfer"),
    ],
)
def test_kernel_errors_become_sentences(run: Any, code: int, error: type[OperationError], text: str) -> None:
    async def story() -> None:
        driver = I2cDriver(LoopContext(), SimulatedI2c({1: BrokenBus(code)}))
        for attempt in (
            driver.transfer(found(driver, "i2c:1"), [{"address": 0x50, "read": 1}]),
            driver.read_byte(found(driver, "i2c:1"), address=0x50),
        ):
            with pytest.raises(error, match=text) as failure:
                await attempt
            assert failure.value.details["errno"] == errno.errorcode[code]
        driver.close()

    run(story())


class Unplugged(SimulatedBus):
    """Leaves its board at the first transfer."""

    def __init__(self) -> None:
        super().__init__({})
        self.board = SimulatedI2c({1: self})

    def transfer(self, messages: Sequence[Message]) -> list[bytes]:
        self.board.buses.clear()
        raise OSError(errno.ENODEV, "No such device")


def test_a_bus_that_leaves_meanwhile_is_gone(run: Any) -> None:
    async def story() -> None:
        for attempt in (
            lambda driver, bus: driver.transfer(bus, [{"address": 0x50, "read": 1}]),
            lambda driver, bus: driver.scan(bus),
        ):
            driver = I2cDriver(LoopContext(), Unplugged().board)
            with pytest.raises(DeviceGone, match="adapter of i2c:1 is gone"):
                await attempt(driver, found(driver, "i2c:1"))
            driver.close()

    run(story())


def test_a_bus_that_left_is_said_so(on_bus: OnBus, board: SimulatedI2c) -> None:
    async def story(driver: I2cDriver) -> None:
        bus = found(driver, "i2c:1")
        del board.buses[1]
        with pytest.raises(NotFound):
            await driver.read_byte(bus, address=0x50)

    on_bus(story)
