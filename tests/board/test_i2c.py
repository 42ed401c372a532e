"""I2C on real drivers of the kernel: i2c-tiny-usb with an EEPROM and an LM75 behind it, i2c-stub with SMBus only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest

import support
from myclerk_client import BadRequest, Board, Conflict, HardwareError, I2cBus, Unsupported
from myclerk_client.i2c import read, write

from .hand import Hand
from .virtual_board import VirtualBoard

pytestmark = [
    pytest.mark.backend("virtual board: i2c-tiny-usb, i2c-stub"),
    pytest.mark.amd64_only("i2c-stub"),
]

EEPROM, LM75, NOBODY = 0x50, 0x48, 0x33
STUBS = (0x1D, 0x68)

Story = Callable[[Board, I2cBus, I2cBus], Awaitable[None]]
OnBoard = Callable[[Story], None]


@pytest.fixture
def on_board(board: VirtualBoard) -> OnBoard:
    """Run a story with a session, the USB adapter's bus, and the SMBus-only one."""

    def run(story: Story) -> None:
        async def connected() -> None:
            async with await board.connect() as client:
                names = {bus["adapter"]: bus["name"] for bus in await client.i2c.list()}
                await story(
                    client, client.i2c.bus(_named(names, "tiny")), client.i2c.bus(_named(names, "stub"))
                )

        asyncio.run(connected())

    return run


def _named(names: dict[str, str], part: str) -> str:
    (name,) = (name for adapter, name in names.items() if part in adapter.lower())
    return name


@pytest.fixture(autouse=True)
def sound(hand: Hand) -> Iterator[None]:
    """Both devices answer, and the EEPROM begins with a text."""
    hand.i2c_poke(address=EEPROM, offset=0, data=b"Hello")
    yield
    for address in (EEPROM, LM75):
        hand.i2c_fault(address=address, fault=None)


# -- buses -------------------------------------------------------------------------------------------------


def test_buses_are_listed_with_what_they_can_do(on_board: OnBoard) -> None:
    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        buses = {bus["name"]: bus for bus in await client.i2c.list()}
        assert "i2c" in buses[usb.resource]["functionality"]
        assert "i2c" not in buses[smbus.resource]["functionality"]
        assert "smbus-read-byte-data" in buses[smbus.resource]["functionality"]
        device = await client.device(usb.resource)
        assert device["parent"].startswith("usb:")

    on_board(story)


def test_a_scan_finds_what_is_there(on_board: OnBoard) -> None:
    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        found = {probe["address"]: probe["state"] for probe in await usb.scan()}
        assert found.keys() == {EEPROM, LM75}
        stream = await usb.watch_scan(LM75, EEPROM)
        probed = [probe["address"] async for probe in stream]
        assert probed == list(range(LM75, EEPROM + 1))
        assert {probe["address"] for probe in await smbus.scan()} == set(STUBS)

    on_board(story)


# -- transfers ---------------------------------------------------------------------------------------------


def test_transfers_reach_the_devices(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        assert await usb.transfer(write(EEPROM, b"\0"), read(EEPROM, 5)) == [b"Hello"]
        await usb.transfer(write(EEPROM, b"\x20written"))
        assert hand.i2c_memory(address=EEPROM, offset=0x20, size=7) == b"written"
        with pytest.raises(Unsupported, match="SMBus"):
            await smbus.transfer(read(STUBS[0], 1))

    on_board(story)


def test_every_protocol_that_the_adapters_have(on_board: OnBoard) -> None:
    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        for bus, address in ((usb, EEPROM), (smbus, STUBS[0])):
            await bus.write_quick(address)
            await written(bus, bus.write_byte_data, address, 0x40, 0xA5)
            assert await bus.read_byte_data(address, 0x40) == 0xA5
            await bus.write_byte(address, 0x40)
            assert await bus.read_byte(address) == 0xA5
            await written(bus, bus.write_word_data, address, 0x48, 0x1234)
            assert await bus.read_word_data(address, 0x48) == 0x1234
            await written(bus, bus.write_i2c_block_data, address, 0x50, bytes(range(8)))
            assert await bus.read_i2c_block_data(address, 0x50, 8) == bytes(range(8))
        with pytest.raises(Unsupported, match="write-block-data"):
            await smbus.write_block_data(STUBS[0], 0xC0, b"block")
        assert len(await usb.read_i2c_block_data(EEPROM, 0, 256)) == 256

    on_board(story)


async def written(
    bus: I2cBus, operation: Callable[..., Awaitable[None]], address: int, *operands: object
) -> None:
    """Write, then wait while an EEPROM keeps quiet over its write cycle, as programs poll for it."""
    await operation(address, *operands)
    async with asyncio.timeout(30):
        while True:
            try:
                await bus.write_quick(address)
                return
            except HardwareError:
                continue


def test_temperatures_arrive(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        forced = client.i2c.bus(usb.resource, force=True)
        for celsius, raw in ((21.5, b"\x15\x80"), (-10.0, b"\xf6\x00")):
            hand.i2c_temperature(celsius=celsius)
            assert await forced.transfer(write(LM75, b"\0"), read(LM75, 2)) == [raw]

    on_board(story)


# -- failures ----------------------------------------------------------------------------------------------


def test_nobody_at_an_address(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        for attempt in (
            usb.transfer(read(NOBODY, 1)),
            usb.read_byte_data(NOBODY, 0),
            smbus.read_byte(NOBODY),
        ):
            with pytest.raises(HardwareError, match="no device answered at 0x33") as failure:
                await attempt
            assert failure.value.details["errno"] in ("ENXIO", "EREMOTEIO", "ENODEV")
        hand.i2c_fault(address=EEPROM, fault="absent")
        with pytest.raises(HardwareError, match="no device answered at 0x50"):
            await usb.transfer(write(EEPROM, b"\0"), read(EEPROM, 5))
        hand.i2c_fault(address=EEPROM, fault=None)
        assert await usb.transfer(write(EEPROM, b"\0"), read(EEPROM, 5)) == [b"Hello"]

    on_board(story)


def test_what_the_adapter_cannot_do_is_refused(on_board: OnBoard) -> None:
    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        with pytest.raises(Unsupported, match="block-process-call"):
            await usb.block_process_call(EEPROM, 0, b"x")
        with pytest.raises(Unsupported, match="protocol-mangling"):
            await usb.transfer(read(EEPROM, 1, ignore_nak=True))
        with pytest.raises(BadRequest, match="reserves"):
            await usb.read_byte(0x03)
        with pytest.raises(HardwareError, match="PEC") as wrong:  # an EEPROM sends no checksum
            await client.i2c.bus(usb.resource, pec=True).read_byte_data(EEPROM, 0)
        assert wrong.value.details["errno"] == "EBADMSG"

    on_board(story)


def test_an_address_of_a_kernel_driver_is_refused_by_name(on_board: OnBoard, hand: Hand) -> None:
    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        number = usb.resource.removeprefix("i2c:")
        hand.check("modprobe", "lm75")
        new_device = f"/sys/bus/i2c/devices/i2c-{number}/new_device"
        hand.check("sh", "-c", f"[ -e /sys/bus/i2c/devices/{number}-0048 ] || echo lm75 0x48 >{new_device}")
        hand.wait_for(glob=f"/sys/bus/i2c/devices/{number}-0048/driver")
        try:
            (busy,) = (probe for probe in await usb.scan() if probe["address"] == LM75)
            assert busy == {"address": LM75, "state": "busy", "driver": "lm75"}
            for attempt in (usb.read_word_data(LM75, 0), usb.transfer(read(LM75, 2))):
                with pytest.raises(Conflict, match="kernel driver lm75"):
                    await attempt
            forced = client.i2c.bus(usb.resource, force=True)
            assert len(await forced.read_i2c_block_data(LM75, 0, 2)) == 2
            (listed,) = (bus for bus in await client.i2c.list() if bus["name"] == usb.resource)
            assert {"address": LM75, "name": "lm75", "driver": "lm75"} in listed["clients"]
        finally:
            hand.check("sh", "-c", f"echo 0x48 >{new_device.replace('new_', 'delete_')}")

    on_board(story)


def test_no_descriptor_stays_open(board: VirtualBoard, on_board: OnBoard) -> None:
    """An open /dev/i2c-N would keep its adapter's driver from letting an unplugged adapter go."""

    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        await usb.scan(LM75, EEPROM)
        with pytest.raises(HardwareError):
            await usb.read_byte(NOBODY)
        opened = board.hand.check("sh", "-c", "ls -l /proc/[0-9]*/fd 2>/dev/null | grep /dev/i2c || true")
        assert opened == ""

    on_board(story)


# -- commands ----------------------------------------------------------------------------------------------


def test_commands(board: VirtualBoard, on_board: OnBoard) -> None:
    names: list[str] = []

    async def story(client: Board, usb: I2cBus, smbus: I2cBus) -> None:
        names.extend(bus.resource.removeprefix("i2c:") for bus in (usb, smbus))

    on_board(story)
    usb, smbus = names

    def run(*words: str) -> str:
        ended = support.run_cli(board.home, "i2c", *words)
        assert ended.returncode == 0, ended.stderr
        return str(ended.stdout.decode())

    assert usb in run("list")
    ours = run("detect", "-y", usb)
    assert " 50 " in ours.splitlines()[6]
    theirs = board.hand.check("i2cdetect", "-y", usb)
    assert ours == theirs
    assert run("get", usb, "0x50", "0x01") == "0x65\n"
    transfer = ("w1@0x50", "0x00", "r5")
    assert run("transfer", "-y", usb, *transfer) == board.hand.check("i2ctransfer", "-y", usb, *transfer)
    run("set", smbus, "0x1d", "0x10", "0x55")
    assert board.hand.check("i2cget", "-y", smbus, "0x1d", "0x10") == "0x55\n"
    for mode in ("b", "w", "W", "i", "c"):
        ours = run("dump", smbus, "0x1d", mode, "-r", "0x08-0x27")
        assert ours == board.hand.check("i2cdump", "-y", "-r", "0x08-0x27", smbus, "0x1d", mode), mode
    assert json.loads(run("dump", smbus, "0x1d", "-r", "0x10-0x10", "--json"))["values"] == [0x55]
