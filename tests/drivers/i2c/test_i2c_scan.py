"""Looking for devices: methods by address range, skipped and busy addresses, streams, stuck buses."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from i2c_board import OnBus, found
from loop_context import CollectingSink, LoopContext

from myclerk_drivers.base import Stream
from myclerk_drivers.i2c import I2cDriver
from myclerk_drivers.i2c.simulated import KINDS, Device, SimulatedBus, SimulatedI2c
from myclerk_drivers.i2c.smbus import Command, Reply
from myclerk_protocol.status import BadRequest, HardwareError, Unsupported


def states(answer: Mapping[str, Any]) -> dict[int, str]:
    return {probe["address"]: probe["state"] for probe in answer["probes"]}


class NotedBus(SimulatedBus):
    """Notes by which protocol each address was probed."""

    def __init__(self) -> None:
        super().__init__({}, KINDS["i2c"])
        self.probes: dict[int, str] = {}

    def smbus(self, command: Command) -> Reply:
        self.probes[self._address] = command.protocol.name
        return super().smbus(command)


@pytest.mark.parametrize("method", ["auto", "quick", "read"])
def test_auto_reads_where_a_quick_write_is_known_to_do_harm(run: Any, method: str) -> None:
    bus = NotedBus()

    async def story() -> None:
        driver = I2cDriver(LoopContext(), SimulatedI2c({1: bus}))
        await driver.scan(found(driver, "i2c:1"), method=method)
        driver.close()

    run(story())
    assert list(bus.probes) == list(range(0x08, 0x78))
    fragile = {*range(0x30, 0x38), *range(0x50, 0x60)}
    for address, name in bus.probes.items():
        reads = method == "read" or (method == "auto" and address in fragile)
        assert name == ("read-byte" if reads else "write-quick")


def test_devices_are_present_and_those_of_kernel_drivers_busy(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        answer = await driver.scan(found(driver, "i2c:1"))
        seen = states(answer)
        assert len(seen) == 0x70
        assert {a: s for a, s in seen.items() if s != "absent"} == {
            0x48: "busy",
            0x50: "present",
            0x76: "present",
        }
        assert answer["probes"][0x40] == {"address": 0x48, "state": "busy", "driver": "lm75"}

    on_bus(story)


def test_addresses_that_the_adapter_cannot_probe_are_skipped(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        bus = found(driver, "i2c:3")
        seen = states(await driver.scan(bus))
        assert {address for address, state in seen.items() if state == "skipped"} == {
            *range(0x08, 0x30), *range(0x38, 0x50), *range(0x60, 0x78),
        }  # fmt: skip
        assert seen[0x50] == "present"
        with pytest.raises(Unsupported, match="smbus-read-byte"):
            await driver.scan(bus, method="quick")
        with pytest.raises(Unsupported):
            await driver.scan(bus, first=0x08, last=0x2F)

    on_bus(story)


def test_one_address_is_scanned_by_its_resource(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        assert states(await driver.scan(found(driver, "i2c:1/0x50"))) == {0x50: "present"}
        with pytest.raises(BadRequest):
            driver.scan(found(driver, "i2c:1/0x50"), first=0x40)

    on_bus(story)


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ({"first": 0x50, "last": 0x40}, "first"),
        ({"first": 0x03}, "first"),
        ({"last": 0x7F}, "last"),
        ({"method": "guess"}, "method"),
    ],
)
def test_scans_that_make_no_sense_are_refused(on_bus: OnBus, asked: dict[str, Any], key: str) -> None:
    async def story(driver: I2cDriver) -> None:
        with pytest.raises(BadRequest) as refused:
            driver.scan(found(driver, "i2c:1"), **asked)
        assert refused.value.details["key"] == key

    on_bus(story)


def test_reserved_addresses_are_scanned_by_force(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        answer = await driver.scan(found(driver, "i2c:1"), first=0x00, last=0x7F, force=True)
        assert list(states(answer)) == list(range(0x80))
        assert states(answer)[0x48] == "busy"  # force is for addresses, not for a driver's device

    on_bus(story)


def test_a_watched_scan_gives_every_probe_and_ends(on_bus: OnBus) -> None:
    async def story(driver: I2cDriver) -> None:
        stream = driver.scan(found(driver, "i2c:1"), watch=True)
        assert isinstance(stream, Stream)
        sink = CollectingSink(stream, credit=1000).start()
        await sink.until(lambda: sink.ended)
        assert sink.error is None
        assert sink.events == (await driver.scan(found(driver, "i2c:1")))["probes"]

    on_bus(story)


class Gate:
    """A target that holds the bus until ``opened``; ``reached`` says that it does."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def write(self, data: bytes) -> None:
        self.reached.set()
        self.opened.wait(10)

    def read(self, size: int) -> bytes:
        return bytes(size)


@pytest.mark.parametrize("watch", [False, True])
def test_a_scan_that_nobody_wants_any_more_stops(run: Any, watch: bool) -> None:
    first, last = Gate(), Gate()
    backend = SimulatedI2c({1: SimulatedBus({0x08: Device(first), 0x77: Device(last)})})

    async def story() -> None:
        driver = I2cDriver(LoopContext(), backend)
        scan = driver.scan(found(driver, "i2c:1"), watch=watch)
        sink = CollectingSink(scan, credit=1000).start() if isinstance(scan, Stream) else None
        await asyncio.to_thread(first.reached.wait, 10)
        if isinstance(scan, Stream):
            scan.close()
        else:
            scan.cancel()
            await asyncio.sleep(0)
        first.opened.set()
        await driver.scan(found(driver, "i2c:1"), first=0x20, last=0x20)  # behind the other one
        assert not last.reached.is_set()
        assert sink is None or sink.events == []
        driver.close()

    run(story())


class DeadBus(SimulatedBus):
    def __init__(self, code: int) -> None:
        super().__init__({}, KINDS["i2c"])
        self.code = code

    def smbus(self, command: Command) -> Reply:
        raise OSError(self.code, "it failed")


@pytest.mark.parametrize("watch", [False, True])
def test_a_bus_that_is_held_low_is_an_error_not_an_empty_bus(run: Any, watch: bool) -> None:
    async def story() -> None:
        driver = I2cDriver(LoopContext(), SimulatedI2c({1: DeadBus(errno.ETIMEDOUT)}))
        scan = driver.scan(found(driver, "i2c:1"), watch=watch)
        if isinstance(scan, Stream):
            sink = CollectingSink(scan, credit=1000).start()
            await sink.until(lambda: sink.ended)
            error = sink.error
        else:
            with pytest.raises(HardwareError) as failure:
                await scan
            error = failure.value
        assert isinstance(error, HardwareError)
        assert "SDA or SCL" in error.message
        driver.close()

    run(story())


@pytest.mark.parametrize("code", [errno.ENXIO, errno.EREMOTEIO, errno.ENODEV, errno.EIO])
def test_whatever_adapters_report_for_nobody_is_absent(run: Any, code: int) -> None:
    async def story() -> None:
        driver = I2cDriver(LoopContext(), SimulatedI2c({1: DeadBus(code)}))
        assert set(states(await driver.scan(found(driver, "i2c:1"))).values()) == {"absent"}
        driver.close()

    run(story())
