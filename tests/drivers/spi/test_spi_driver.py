"""The SPI driver: devices, settings all or none, transfers in one message, order, closing."""

from __future__ import annotations

import asyncio
import errno
import inspect
import threading
import time
import tomllib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from loop_context import LoopContext

from myclerk_drivers.spi import SpiDriver
from myclerk_drivers.spi.backend import Device
from myclerk_drivers.spi.device import SpiDevice
from myclerk_drivers.spi.segments import Segment
from myclerk_drivers.spi.settings import KernelSettings
from myclerk_drivers.spi.simulated import Loopback, SimulatedDevice, SimulatedSpi
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    HardwareError,
    NotFound,
    OperationError,
    TooLarge,
    Unsupported,
)

BOARD = """
[devices."0.0"]
model = "loopback"
[devices."0.1"]
model = "flash"
contents = "48656c6c6f"
"""

Story = Callable[[SpiDriver], Coroutine[Any, Any, None]]
OnBoard = Callable[[Story], None]


@pytest.fixture
def board() -> SimulatedSpi:
    return SimulatedSpi.from_description(tomllib.loads(BOARD))


@pytest.fixture
def on_board(run: Any, board: SimulatedSpi) -> OnBoard:
    """Run a story with a driver on the board's devices."""

    def on_board(story: Story) -> None:
        async def main() -> None:
            driver = SpiDriver(LoopContext(), board)
            try:
                await story(driver)
            finally:
                driver.close()

        run(main())

    return on_board


async def opened(driver: SpiDriver, name: str, **settings: Any) -> SpiDevice:
    resource = driver.find(name)
    assert resource is not None
    return await driver.open_device(resource, **settings)


async def result(answer: Any) -> Any:
    """What a method gave at once, or will give."""
    return await answer if inspect.isawaitable(answer) else answer


# -- devices -----------------------------------------------------------------------------------------------


def test_devices_are_listed_in_order(on_board: OnBoard) -> None:
    async def story(driver: SpiDriver) -> None:
        listed = driver.list_devices()
        assert [device["name"] for device in listed["devices"]] == ["spi:0.0", "spi:0.1"]
        assert listed["devices"][1]["path"] == "/dev/spidev0.1"
        assert listed["buffer_size"] == 4096
        assert driver.find("spi:0.2") is None
        assert driver.find("spi:") is None

    on_board(story)


def test_a_device_is_in_use_while_it_is_open(on_board: OnBoard) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0")
        assert [d["in_use"] for d in driver.list_devices()["devices"]] == [True, False]
        device.close()
        await opened(driver, "spi:0.1")  # behind the close: they share a bus
        assert [d["in_use"] for d in driver.list_devices()["devices"]] == [False, True]

    on_board(story)


# -- settings ----------------------------------------------------------------------------------------------


def test_settings_in_force_are_those_of_the_kernel(on_board: OnBoard, board: SimulatedSpi) -> None:
    board.chips["0.0"].set_mode(0x04)  # a device tree that says spi-cs-high

    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0", mode=3, speed_hz=1_000_000, delay_us=10)
        told = device.describe()
        assert (told["mode"], told["cs_high"], told["speed_hz"]) == (3, True, 1_000_000)
        assert (told["bits_per_word"], told["delay_us"], told["word_delay_us"]) == (8, 10, 0)
        assert (told["tx_lines"], told["rx_lines"], told["buffer_size"]) == (1, 1, 4096)
        changed = await device.configure(mode=1, cs_high=False, word_delay_us=5)
        assert (changed["mode"], changed["cs_high"]) == (1, False)
        assert (changed["speed_hz"], changed["delay_us"], changed["word_delay_us"]) == (1_000_000, 10, 5)
        assert board.chips["0.0"].settings().mode == 0x01

    on_board(story)


def test_closing_restores_what_was_before(on_board: OnBoard, board: SimulatedSpi) -> None:
    before = board.chips["0.0"].settings()

    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0", mode=2, speed_hz=1_000_000)
        await device.configure(no_cs=True)
        assert board.chips["0.0"].settings() == KernelSettings(0x42, 8, 1_000_000)
        device.close()
        device.close()
        driver.close()
        assert board.chips["0.0"].settings() == before

    on_board(story)


@pytest.mark.parametrize(
    "lacking", [{"bits_per_word": 16}, {"lsb_first": True}, {"ready": True}, {"tx_lines": 4}, {"rx_lines": 2}]
)
def test_what_the_controller_cannot_do_changes_nothing(
    on_board: OnBoard, board: SimulatedSpi, lacking: dict[str, Any]
) -> None:
    (key,) = lacking

    async def story(driver: SpiDriver) -> None:
        before = board.chips["0.0"].settings()
        with pytest.raises(Unsupported, match=key.replace("_", "-")):
            await opened(driver, "spi:0.0", mode=1, speed_hz=1234, **lacking)
        assert board.chips["0.0"].settings() == before
        device = await opened(driver, "spi:0.0")
        with pytest.raises(Unsupported):
            await device.configure(mode=1, speed_hz=1234, **lacking)
        assert board.chips["0.0"].settings() == before
        assert device.settings["mode"] == 0

    on_board(story)


class SinglesOnly(SimulatedDevice):
    """Drops the bits of dual, quad and octal modes without an error, as spi_setup() does."""

    def set_mode(self, mode: int) -> None:
        super().set_mode(mode & ~0x6F00)


def test_modes_that_the_kernel_drops_silently_are_refused(run: Any) -> None:
    device = SinglesOnly(Loopback())

    async def story() -> None:
        driver = SpiDriver(LoopContext(), SimulatedSpi({"0.0": device}))
        with pytest.raises(Unsupported, match=r"`tx-lines` 4"):
            await opened(driver, "spi:0.0", mode=1, tx_lines=4)
        assert device.settings().mode == 0
        driver.close()

    run(story())


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": 4},
        {"bits_per_word": 33},
        {"speed_hz": 0},
        {"tx_lines": 3},
        {"delay_us": 65536},
        {"word_delay_us": 256},
    ],
)
def test_values_out_of_range_are_named(on_board: OnBoard, wrong: dict[str, Any]) -> None:
    (key,) = wrong

    async def story(driver: SpiDriver) -> None:
        with pytest.raises(BadRequest) as refused:
            await opened(driver, "spi:0.0", **wrong)
        assert refused.value.details["key"] == key.replace("_", "-")

    on_board(story)


# -- transfers ---------------------------------------------------------------------------------------------


def test_what_is_sent_comes_back_through_a_loop(on_board: OnBoard, board: SimulatedSpi) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0")
        segments = [{"data": b"abc"}, {"size": 2}, {"data": b"x", "receive": False}, {"data": b""}]
        assert await result(device.transfer(segments)) == {"received": [b"abc", b"\0\0", b""]}
        assert board.chips["0.0"].messages == 1
        assert await result(device.write(b"abcd")) == {"written": 4}
        assert await result(device.read(3)) == {"data": b"\0\0\0"}

    on_board(story)


def test_a_flash_sees_one_chip_select_for_all_segments(on_board: OnBoard) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.1")
        identity = [{"data": b"\x9f", "receive": False}, {"size": 3}]
        assert await result(device.transfer(identity)) == {"received": [b"\xef\x40\x17"]}
        read = [{"data": b"\x03\0\0\0", "receive": False}, {"size": 5}]
        assert await result(device.transfer(read)) == {"received": [b"Hello"]}
        apart = [{"data": b"\x9f", "receive": False, "cs_change": True}, {"size": 3}]
        assert await result(device.transfer(apart)) == {"received": [b"\xff\xff\xff"]}
        kept = [{"data": b"\x9f", "receive": False, "cs_change": True}]
        await result(device.transfer(kept))
        assert await result(device.read(3)) == {"data": b"\xef\x40\x17"}

    on_board(story)


@pytest.mark.parametrize(
    ("segment", "key"),
    [
        ({}, "segments[1]"),
        ({"data": b"a", "size": 1}, "segments[1]"),
        ({"size": 1, "receive": False}, "segments[1].receive"),
        ({"data": b"abc", "bits_per_word": 16}, "segments[1]"),
        ({"size": 6, "bits_per_word": 24}, "segments[1]"),
        ({"data": b"a", "tx_lines": 2}, "segments[1].tx-lines"),
    ],
)
def test_segments_that_make_no_sense_are_refused(
    on_board: OnBoard, board: SimulatedSpi, segment: dict[str, Any], key: str
) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0")
        with pytest.raises(BadRequest) as refused:
            await result(device.transfer([{"data": b"a"}, segment]))
        assert refused.value.details["key"] == key
        assert board.chips["0.0"].messages == 0

    on_board(story)


def test_one_data_line_goes_one_way_at_a_time(on_board: OnBoard) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0", three_wire=True)
        with pytest.raises(BadRequest, match="one data line"):
            await result(device.transfer([{"data": b"a"}]))
        segments = [{"data": b"a", "receive": False}, {"size": 1}]
        assert await result(device.transfer(segments)) == {"received": [b"\0"]}

    on_board(story)


def test_more_than_the_buffer_is_refused_with_the_way_to_raise_it(
    on_board: OnBoard, board: SimulatedSpi
) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0")
        both = [{"data": bytes(4096), "receive": False}, {"size": 4096}]  # each direction has its buffer
        assert len((await result(device.transfer(both)))["received"][0]) == 4096
        for attempt in (
            lambda: device.write(bytes(4097)),
            lambda: device.read(4097),
            lambda: device.transfer([{"data": bytes(2048)}, {"data": bytes(2049)}]),
        ):
            with pytest.raises(TooLarge, match=r"4096 bytes.*bufsiz"):
                await result(attempt())
        assert board.chips["0.0"].messages == 1

    on_board(story)


def test_without_chip_select_long_transfers_are_cut(on_board: OnBoard, board: SimulatedSpi) -> None:
    data = bytes(range(256)) * 40

    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0", no_cs=True)
        segments = [{"data": data}, {"data": data, "receive": False}, {"data": data[:5]}]
        assert await result(device.transfer(segments)) == {"received": [data, data[:5]]}
        assert board.chips["0.0"].messages == 7

    on_board(story)


def test_a_transfer_is_never_more_than_a_message_has_room_for(on_board: OnBoard, board: SimulatedSpi) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0", no_cs=True)
        assert len((await result(device.read(1 << 20)))["data"]) == 1 << 20
        sent = board.chips["0.0"].messages
        with pytest.raises(TooLarge, match="at most 1048576 bytes"):
            await result(device.transfer([{"size": 1 << 20}, {"size": 1}]))
        assert board.chips["0.0"].messages == sent

    on_board(story)


# -- order and failures ------------------------------------------------------------------------------------


class Gate(Loopback):
    """Waits at the first transfer until ``opened``."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.log: list[bytes] = []

    def exchange(self, tx: bytes) -> bytes:
        if not self.log:
            self.opened.wait(10)
        self.log.append(tx)
        return tx


def test_requests_on_one_bus_are_in_order_and_see_the_settings_before_them(run: Any) -> None:
    gate, other = Gate(), Gate()
    other.opened.set()
    slow, quick = SimulatedDevice(gate), SimulatedDevice(other)

    async def story() -> None:
        driver = SpiDriver(LoopContext(), SimulatedSpi({"0.0": slow, "0.1": quick}))
        first, second = await opened(driver, "spi:0.0"), await opened(driver, "spi:0.1")
        asked = [
            first.write(b"1"),
            first.configure(three_wire=True),
            first.transfer([{"data": b"2"}]),  # not in this mode
            second.write(b"3"),
        ]
        assert all(isinstance(answer, asyncio.Future) for answer in asked)
        assert other.log == []
        gate.opened.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(results[2], BadRequest)
        assert (gate.log, other.log) == ([b"1"], [b"3"])
        driver.close()

    run(story())


def test_a_quick_transfer_on_a_quick_bus_needs_no_thread(on_board: OnBoard) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0", speed_hz=100_000_000)
        device._overhead, device._rate = 0.0, 1e9  # as measured on a bus that takes no time
        assert device.transfer([{"data": b"abc"}]) == {"received": [b"abc"]}
        device._overhead = 0.0
        slow = device.transfer([{"data": bytes(4000), "speed_hz": 10_000}])  # three seconds on a real bus
        assert isinstance(slow, asyncio.Future)
        await slow

    on_board(story)


class SlowController(SimulatedDevice):
    """Takes a second for 100,000 bytes, whatever the clock rate is that is asked for."""

    def message(self, segments: Sequence[Segment]) -> list[bytes]:
        time.sleep(sum(segment.size for segment in segments) / 100_000)
        return super().message(segments)


def test_a_clock_rate_that_is_not_reached_blocks_nobody(run: Any) -> None:
    async def story() -> None:
        driver = SpiDriver(LoopContext(), SimulatedSpi({"0.0": SlowController(Loopback())}))
        device = await opened(driver, "spi:0.0", speed_hz=4_000_000_000)
        for _ in range(2):
            device._overhead = 0.0
            long = device.write(bytes(1000))
            assert isinstance(long, asyncio.Future)
            await long
        driver.close()

    run(story())


class Broken(SimulatedDevice):
    """Every message fails in the same way."""

    code = 0

    def message(self, segments: Sequence[Segment]) -> list[bytes]:
        raise OSError(self.code, "it failed")


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        (errno.EMSGSIZE, TooLarge, "bufsiz"),
        (errno.EINVAL, Unsupported, "cannot do this transfer"),
        (errno.ESHUTDOWN, DeviceGone, "is gone"),
        (errno.ETIMEDOUT, HardwareError, "it failed"),
    ],
)
def test_kernel_errors_become_sentences(run: Any, code: int, error: type[OperationError], text: str) -> None:
    device = Broken(Loopback())
    device.code = code

    async def story() -> None:
        driver = SpiDriver(LoopContext(), SimulatedSpi({"0.0": device}))
        with pytest.raises(error, match=text):
            await result((await opened(driver, "spi:0.0")).write(b"x"))
        driver.close()

    run(story())


def test_a_device_that_left_or_was_closed_is_said_so(on_board: OnBoard, board: SimulatedSpi) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.0")
        device.close()
        with pytest.raises(NotFound):
            await result(device.write(b"x"))
        resource = driver.find("spi:0.1")
        assert resource is not None
        del board.chips["0.1"]
        with pytest.raises(NotFound):
            await driver.open_device(resource)

    on_board(story)


class SlowToOpen(SimulatedSpi):
    """Opening takes until ``opened``; ``reached`` says that it began."""

    def __init__(self, chips: dict[str, SimulatedDevice]) -> None:
        super().__init__(chips)
        self.reached, self.opened = threading.Event(), threading.Event()

    def open(self, device: Device) -> SimulatedDevice:
        self.reached.set()
        self.opened.wait(10)
        return super().open(device)


def test_an_open_that_nobody_waits_for_any_more_is_closed(run: Any) -> None:
    chip = SimulatedDevice(Loopback())
    backend = SlowToOpen({"0.0": chip})

    async def story() -> None:
        driver = SpiDriver(LoopContext(), backend)
        resource = driver.find("spi:0.0")
        assert resource is not None
        opening = driver.open_device(resource, mode=3)
        await asyncio.to_thread(backend.reached.wait, 10)
        opening.cancel()
        backend.opened.set()
        again = await opened(driver, "spi:0.0")
        again.close()
        await opened(driver, "spi:0.0")
        assert chip.settings().mode == 0
        driver.close()

    run(story())


def test_a_device_is_opened_by_one_at_a_time(run: Any) -> None:
    chip = SimulatedDevice(Loopback())
    backend = SlowToOpen({"0.0": chip})

    async def story() -> None:
        driver = SpiDriver(LoopContext(), backend)
        resource = driver.find("spi:0.0")
        assert resource is not None
        opening = driver.open_device(resource, mode=1)
        with pytest.raises(Conflict, match="being opened"):
            driver.open_device(resource, mode=3)
        backend.opened.set()
        device = await opening
        assert chip.settings().mode == device.settings["mode"] == 1
        driver.close()

    run(story())


def test_closing_releases_a_chip_select_that_was_kept(on_board: OnBoard) -> None:
    async def story(driver: SpiDriver) -> None:
        device = await opened(driver, "spi:0.1")
        await result(device.transfer([{"data": b"\x03\0\0\0", "cs_change": True}]))
        device.close()
        device = await opened(driver, "spi:0.1")
        identity = [{"data": b"\x9f", "receive": False}, {"size": 3}]
        assert await result(device.transfer(identity)) == {"received": [b"\xef\x40\x17"]}

    on_board(story)
