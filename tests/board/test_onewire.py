"""1-Wire on the kernel: DS18B20 behind a DS2490 adapter, through netlink and the thermometer driver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from myclerk_client import Board, Conflict, DeviceGone, HardwareError
from myclerk_drivers.models import crc8

from .hand import Hand
from .virtual_board import SITE, VirtualBoard

pytestmark = pytest.mark.backend("virtual board: ds2490, w1_therm")

BUS = "w1_bus_master1"
SYSFS = f"/sys/bus/w1/devices/{BUS}"
SEARCH_ONCE = f"""
before=$(cat {SYSFS}/w1_master_attempts)
echo 1 > {SYSFS}/w1_master_search
while [ $(cat {SYSFS}/w1_master_attempts) = $before ]; do sleep 0.1; done
"""
READ_SCRATCHPAD = b"\xbe"
Story = Callable[[Board], Awaitable[None]]


@pytest.fixture(autouse=True)
def first(hand: Hand) -> Iterator[str]:
    """The ROM code of the first sensor; both are there, intact and as delivered, before and after.

    The kernel does not search by itself meanwhile: it would forget a sensor that a test takes away.
    """

    def restore() -> list[str]:
        hand.check("sh", "-c", f"echo 0 > {SYSFS}/w1_master_search")
        sensors: list[dict[str, Any]] = hand.w1_sensors()
        for index in range(len(sensors)):
            hand.w1_remove(index=index)
            hand.w1_insert(index=index)
            hand.w1_fault(index=index, fault=None)
            hand.w1_parasite(index=index, parasite=False)
        return [str(sensor["name"]) for sensor in sensors]

    yield restore()[0]
    restore()


@pytest.fixture
def second(hand: Hand) -> str:
    """The ROM code of the second sensor."""
    return str(hand.w1_sensors()[1]["name"])


@pytest.fixture
def on_board(board: VirtualBoard) -> Callable[[Story], None]:
    """Run a story in a session with the board."""

    async def run(story: Story) -> None:
        async with await board.connect() as client:
            await story(client)

    return lambda story: asyncio.run(run(story))


def test_the_bus_and_its_thermometers_are_listed(on_board: Any, first: str, second: str) -> None:
    async def story(client: Board) -> None:
        (bus,) = await client.onewire.list()
        assert bus["name"] == f"w1:{BUS}"
        assert bus["raw"], bus.get("reason")
        assert bus["searches"] == 0
        assert {slave["rom"] for slave in bus["slaves"]} == {first, second}
        assert {thermometer["rom"] for thermometer in await client.onewire.thermometers()} == {first, second}
        (device,) = [d for d in await client.devices("w1") if d["name"] == f"w1:{first}"]
        assert device["parent"] == f"w1:{BUS}"

    on_board(story)


def test_a_search_sees_what_is_there_now(on_board: Any, hand: Hand, first: str, second: str) -> None:
    async def story(client: Board) -> None:
        bus = client.onewire.bus(BUS)
        assert {device["rom"] for device in await bus.search()} == {first, second}
        hand.w1_remove(index=1)
        (device,) = await bus.search()
        assert device["rom"] == first
        assert crc8(device["code"]) == 0
        hand.w1_insert(index=1)
        assert {device["rom"] for device in await bus.search()} == {first, second}

    on_board(story)


def test_a_search_makes_known_to_the_kernel_what_it_does_not_know(
    on_board: Any, hand: Hand, first: str, second: str
) -> None:
    async def story(client: Board) -> None:
        hand.check("sh", "-c", f"echo {second} > {SYSFS}/w1_master_remove")
        assert {thermometer["rom"] for thermometer in await client.onewire.thermometers()} == {first}
        assert {device["rom"] for device in await client.onewire.bus(BUS).search()} == {first, second}
        hand.w1_set_temperature(index=1, celsius=12.5)
        assert await client.onewire.temperature(second) == 12.5
        assert {thermometer["rom"] for thermometer in await client.onewire.thermometers()} == {first, second}

    on_board(story)


def test_temperatures_are_what_is_around_the_sensors(
    on_board: Any, hand: Hand, first: str, second: str
) -> None:
    async def story(client: Board) -> None:
        for celsius in (85.0, -55.0, 0.0625):
            hand.w1_set_temperature(index=0, celsius=celsius)
            assert await client.onewire.temperature(first) == pytest.approx(celsius, abs=0.001)
        hand.w1_set_temperature(index=1, celsius=37.5)
        readings = await client.onewire.bus(BUS).temperatures()
        assert {r["name"]: r["temperature"] for r in readings} == {f"w1:{first}": 0.062, f"w1:{second}": 37.5}

    on_board(story)


def test_a_damaged_scratchpad_is_a_wrong_crc(on_board: Any, hand: Hand, first: str, second: str) -> None:
    async def story(client: Board) -> None:
        hand.w1_fault(index=0, fault="crc")
        with pytest.raises(HardwareError, match="CRC") as measured:
            await client.onewire.temperature(first)
        with pytest.raises(HardwareError, match="CRC") as raw:
            await client.onewire.transaction(first, write=READ_SCRATCHPAD, read=9, crc=True)
        assert {measured.value.details["errno"], raw.value.details["errno"]} == {"EBADMSG"}
        readings = {r["name"]: r for r in await client.onewire.bus(BUS).temperatures()}
        assert "CRC" in readings[f"w1:{first}"]["message"]
        assert "temperature" in readings[f"w1:{second}"]

    on_board(story)


def test_a_single_device_needs_no_address(on_board: Any, hand: Hand) -> None:
    async def story(client: Board) -> None:
        hand.w1_remove(index=1)
        selection = await client.onewire.bus(BUS).skip_rom()
        scratchpad = await selection.write(READ_SCRATCHPAD, read=9, crc=True)
        assert crc8(scratchpad) == 0
        assert await (await client.onewire.bus(BUS).skip_rom()).write(READ_SCRATCHPAD) == b""

    on_board(story)


def test_a_sensor_that_was_taken_away_does_not_answer(on_board: Any, hand: Hand, first: str) -> None:
    async def story(client: Board) -> None:
        hand.w1_remove(index=0)
        with pytest.raises(DeviceGone, match=f"{first} does not answer"):
            await client.onewire.temperature(first)
        with pytest.raises(DeviceGone, match=f"{first} does not answer"):
            await client.onewire.bus(BUS).transaction(rom=first, write=READ_SCRATCHPAD, read=9, crc=True)

    on_board(story)


def test_presence_is_told_truthfully_by_an_adapter_whose_driver_does_not_report_it(
    on_board: Any, hand: Hand
) -> None:
    async def story(client: Board) -> None:
        bus = client.onewire.bus(BUS)
        assert await bus.reset()
        hand.w1_remove(index=0)
        assert await bus.reset()
        hand.w1_remove(index=1)
        assert not await bus.reset()
        with pytest.raises(DeviceGone):
            await bus.read_rom()

    on_board(story)


def test_the_rom_of_the_only_device(on_board: Any, hand: Hand, second: str) -> None:
    async def story(client: Board) -> None:
        bus = client.onewire.bus(BUS)
        with pytest.raises(HardwareError, match="several devices"):
            await bus.read_rom()
        hand.w1_remove(index=0)
        assert (await bus.read_rom())["rom"] == second

    on_board(story)


def test_settings_reach_the_sensor_and_survive_what_they_should(
    on_board: Any, hand: Hand, first: str
) -> None:
    async def story(client: Board) -> None:
        settings = await client.onewire.configure(first, resolution=9, alarm_low=-20, alarm_high=40)
        assert (settings["resolution"], settings["alarm_low"], settings["alarm_high"]) == (9, -20, 40)
        assert settings["conversion_time"] < 0.1
        seen = hand.w1_sensors()[0]
        assert (seen["resolution"], tuple(seen["limits"])) == (9, (40, -20))
        hand.w1_set_temperature(index=0, celsius=21.9)
        assert await client.onewire.temperature(first) == 21.5
        await client.onewire.configure(first, resolution=11, save=True)
        await client.onewire.configure(first, resolution=12)
        hand.w1_remove(index=0)
        hand.w1_insert(index=0)
        after = await client.onewire.settings(first)
        assert (after["resolution"], after["alarm_high"]) == (11, 40)
        await client.onewire.configure(first, resolution=12, alarm_low=70, alarm_high=75, save=True)

    on_board(story)


def test_an_alarm_search_finds_those_beyond_their_limits(
    on_board: Any, hand: Hand, first: str, second: str
) -> None:
    async def story(client: Board) -> None:
        bus = client.onewire.bus(BUS)
        hand.w1_set_temperature(index=0, celsius=20)
        hand.w1_set_temperature(index=1, celsius=31)
        for rom in (first, second):
            await client.onewire.configure(rom, alarm_low=10, alarm_high=30)
        await bus.temperatures()
        for _ in range(4):  # more than this kernel forgives a device that it does not find itself
            assert [device["rom"] for device in await bus.alarm_search()] == [second]
        assert {thermometer["rom"] for thermometer in await client.onewire.thermometers()} == {first, second}

    on_board(story)


def test_a_sensor_on_parasite_power_is_fed_while_it_measures(on_board: Any, hand: Hand, second: str) -> None:
    async def story(client: Board) -> None:
        assert (await client.onewire.settings(second))["external_power"]
        hand.w1_parasite(index=1, parasite=True)
        assert not (await client.onewire.settings(second))["external_power"]
        hand.w1_set_temperature(index=1, celsius=-3.5)
        assert await client.onewire.temperature(second) == -3.5

    on_board(story)


def test_bytes_reach_the_device_that_was_selected(on_board: Any, hand: Hand, first: str, second: str) -> None:
    async def story(client: Board) -> None:
        bus = client.onewire.bus(BUS)
        await bus.transaction(rom=first, write=b"\x4e\x1e\xfb\x7f")
        await client.onewire.transaction(second, write=b"\x4e\x1f\xfc\x7f")
        assert [tuple(sensor["limits"]) for sensor in hand.w1_sensors()] == [(30, -5), (31, -4)]
        scratchpad = await bus.transaction(rom=second, write=READ_SCRATCHPAD, read=9, crc=True)
        assert scratchpad[2:5] == b"\x1f\xfc\x7f"
        await bus.transaction(rom=None, write=b"\x4e\x20\xfd\x7f")
        assert [tuple(sensor["limits"]) for sensor in hand.w1_sensors()] == [(32, -3)] * 2
        long = await bus.transaction(rom=first, write=READ_SCRATCHPAD, read=300)
        assert long[9:] == b"\xff" * 291

    on_board(story)


def test_the_drafts_steps_and_what_a_search_of_the_kernel_does_to_them(
    on_board: Any, hand: Hand, first: str
) -> None:
    async def story(client: Board) -> None:
        bus = client.onewire.bus(BUS)
        whole = await bus.transaction(rom=first, write=READ_SCRATCHPAD, read=9, crc=True)
        selection = await bus.match_rom(first)
        await selection.write(READ_SCRATCHPAD)
        assert await selection.read(4) + await selection.read(5) == whole
        await selection.write(READ_SCRATCHPAD)
        hand.check("sh", "-c", SEARCH_ONCE)
        with pytest.raises(Conflict, match="used for something else"):
            await selection.read(9)
        assert await selection.write(READ_SCRATCHPAD, read=9, crc=True) == whole

    on_board(story)


def test_an_access_is_whole_while_others_measure_and_search(
    on_board: Any, hand: Hand, first: str, second: str
) -> None:
    measure = f"while :; do cat /sys/bus/w1/devices/{second}/temperature; done"
    search = f"while :; do echo -1 > {SYSFS}/w1_master_search; sleep 0.05; done"

    async def story(client: Board) -> None:
        await client.onewire.configure(second, resolution=9)
        for index, loop in enumerate((measure, search)):
            hand.start(name=f"w1-{index}", argv=["sh", "-c", loop])
        try:
            for value in range(30):
                limits = bytes([value, 0xF0])
                await client.onewire.transaction(first, write=b"\x4e" + limits + b"\x7f")
                data = await client.onewire.transaction(first, write=READ_SCRATCHPAD, read=9, crc=True)
                assert data[2:4] == limits
        finally:
            for index in range(2):
                hand.stop(name=f"w1-{index}", signal=9)

    on_board(story)


PROBE = """
import os, sys
from myclerk_drivers.onewire.kernel import KernelOneWire
from myclerk_protocol.status import OperationError
if sys.argv[1] == "nobody":
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
backend = KernelOneWire(20)
try:
    print(len(backend.exchange("w1_bus_master1", b"\\xcc\\xbe", 9)))
except OperationError as error:
    print(type(error).__name__, error)
print(backend.attribute(backend.buses()[0].slaves[0].rom, "w1_slave").split()[-1])
"""


def test_no_capability_is_needed_but_the_machines_own_network_namespace(hand: Hand) -> None:
    environment = {"PYTHONPATH": SITE}
    size, temperature = hand.python(PROBE, "nobody", env=environment).splitlines()
    assert (size, temperature[:2]) == ("9", "t=")
    apart = hand.check("unshare", "-n", "python3", "-c", PROBE, "root", env=environment)
    refusal, temperature = apart.splitlines()
    assert refusal.startswith("Unsupported")
    assert "container" in refusal
    assert temperature[:2] == "t="


def test_an_adapter_that_was_pulled_out_takes_its_bus_away(on_board: Any, hand: Hand, first: str) -> None:
    async def story(client: Board) -> None:
        bus = client.onewire.bus(BUS)
        selection = await bus.match_rom(first)
        hand.usb_unplug(name="onewire")
        try:
            hand.wait_for(glob=SYSFS, present=False)
            assert await client.onewire.list() == []
            with pytest.raises(LookupError):
                await bus.search()
        finally:
            hand.usb_plug(name="onewire")
            hand.wait_for(glob=f"/sys/bus/w1/devices/{first}/w1_slave", timeout=60)
        assert await selection.write(READ_SCRATCHPAD, read=9, crc=True)
        assert isinstance(await client.onewire.temperature(first), float)

    on_board(story)
