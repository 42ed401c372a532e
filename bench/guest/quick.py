"""Quick operations, one at a time, several in flight, and in batches: GPIO lines, I2C bytes, SPI transfers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from myclerk_client.batch import Batch

from .. import msgpack_echo
from ..measure import pipelined
from .contest import ON_BOARD, SUBJECT, Contest, Slice, batched, repeated
from .echo import EchoClient

RGPIOD, SSH_RGPIOD = "rgpiod", "rgpiod through ssh -L"
ECHO, SSH_ECHO, MSGPACK_ECHO = "64-byte echo", "64-byte echo through ssh -L", "msgpack echo"
IN_FLIGHT = (16, 64)
BATCH = 64
ONE_AT_A_TIME, AT_ONCE, BARE = 400, 3200, 2000
"""Operations of one slice: one at a time over a connection, several in flight or batched, on the board itself."""

SPI_HERTZ = 50_000_000

Operation = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of operation, as each contestant does it. ``ours`` is asked with any number.

    ``add`` adds one to a batch; ``slow`` divides how often it is done, for a bus that takes its time.
    """

    case: str
    bare: Operation
    ours: Callable[[int], Awaitable[object]]
    add: Callable[[Batch], Awaitable[Any]]
    rgpiod: Operation | None = None
    ssh_rgpiod: Operation | None = None
    slow: int = 1


def in_flight(contestant: str, number: int) -> str:
    """What a contestant with several requests in flight is called."""
    return f"{contestant}, {number} in flight"


def in_batches(contestant: str) -> str:
    """What a contestant that batches is called."""
    return f"{contestant}, batches of {BATCH}"


async def hold(contest: Contest, work: Work, others: Mapping[str, Slice] | None = None) -> None:
    """A contest in ``work``; with ``others`` these take part, and bytes are counted."""
    count = contest.settings.count
    few, many, bare = (count(full // work.slow) for full in (ONE_AT_A_TIME, AT_ONCE, BARE))
    batches = max(many // BATCH, 1)

    async def batch() -> None:
        async with contest.board.batch() as requests:
            answers = [work.add(requests) for _ in range(BATCH)]
        for answer in answers:
            await answer

    contestants = {
        ON_BOARD: Slice(repeated(work.bare, bare), bare),
        SUBJECT: contest.ours(partial(pipelined, work.ours, 1, few), few),
    }
    for number in IN_FLIGHT:
        total = max(many, number)
        measure = partial(pipelined, work.ours, number, total)
        contestants[in_flight(SUBJECT, number)] = contest.ours(measure, total)
    contestants[in_batches(SUBJECT)] = contest.ours(batched(batch, BATCH, batches), batches * BATCH)
    rgpiod, ssh = contest.peers.rgpiod, contest.peers.ssh
    if work.rgpiod is not None and rgpiod is not None:
        contestants[RGPIOD] = Slice(repeated(work.rgpiod, few), few, rgpiod.port, rgpiod.pid)
    if work.ssh_rgpiod is not None:
        contestants[SSH_RGPIOD] = Slice(repeated(work.ssh_rgpiod, few), few, ssh.port, client=ssh.pid)
    await contest.hold(work.case, contestants | dict(others or {}), wire=others is not None)


@asynccontextmanager
async def _echoes(contest: Contest) -> AsyncIterator[dict[str, Slice]]:
    """Peers that do nothing at all with what they get."""
    peers, count = contest.peers, contest.settings.count
    few, many = count(ONE_AT_A_TIME), count(AT_ONCE)
    plain, tunnelled = EchoClient(peers.echo.port), EchoClient(peers.ssh_echo)
    packed = await msgpack_echo.connect(peers.msgpack_echo.port)
    found = {
        ECHO: Slice(repeated(plain.round_trip, few), few, peers.echo.port, peers.echo.pid),
        SSH_ECHO: Slice(repeated(tunnelled.round_trip, few), few, peers.ssh.port, client=peers.ssh.pid),
    }
    for number in (1, *IN_FLIGHT):
        total = few if number == 1 else max(many, number)
        measure = partial(pipelined, packed.request, number, total)
        name = MSGPACK_ECHO if number == 1 else in_flight(MSGPACK_ECHO, number)
        found[name] = Slice(measure, total, peers.msgpack_echo.port, peers.msgpack_echo.pid)
    yield found
    for client in (plain, tunnelled, packed):
        client.close()


async def gpio(contest: Contest) -> None:
    """Set an output and get an input. The echoes take part in setting."""
    import gpiod
    from gpiod.line import Direction, Value

    from myclerk_client.gpio import Lines

    board, peers = contest.board, contest.peers
    chip = next(chip for chip in await board.gpio.list() if chip["label"] == "board")
    number = int(chip["path"].removeprefix("/dev/gpiochip"))
    names = chip["line_names"]
    ours, bare, theirs, tunnelled = (names.index(name) for name in ("LED", "RELAY", "LINE4", "LINE5"))
    opened = await board.request(
        "GPIO_LINE_REQUEST", resource=chip["name"], lines=[{"line": ours, "direction": "output"}]
    )
    handle = opened["handle"]
    with ExitStack() as stack:
        request = stack.enter_context(
            gpiod.request_lines(
                chip["path"], config={(bare,): gpiod.LineSettings(direction=Direction.OUTPUT)}
            )
        )
        remote = rgpiod_line(stack, peers.rgpiod.port if peers.rgpiod else None, number, theirs)
        far = rgpiod_line(stack, peers.ssh_rgpiod, number, tunnelled)
        async with Lines(board.link, [ours], opened) as lines:
            setting = Work(
                "GPIO set",
                lambda: request.set_value(bare, Value.ACTIVE),
                lambda value: lines.set({ours: bool(value & 1)}),
                lambda batch: batch.add("GPIO_LINE_SET", handle=handle, lines=[ours], values=[True]),
                remote and (lambda: remote[0].gpio_write(remote[1], theirs, 1)),
                far and (lambda: far[0].gpio_write(far[1], tunnelled, 1)),
            )
            getting = Work(
                "GPIO get",
                lambda: request.get_value(bare),
                lambda value: lines.get(ours),
                lambda batch: batch.add("GPIO_LINE_GET", handle=handle, lines=[ours]),
                remote and (lambda: remote[0].gpio_read(remote[1], theirs)),
            )
            async with _echoes(contest) as echoes:
                await hold(contest, setting, echoes)
            await hold(contest, getting)


def rgpiod_line(stack: ExitStack, port: int | None, chip: int, line: int) -> tuple[Any, int] | None:
    """rgpiod's client and its handle of the chip, with the line as an output; None where there is none."""
    if port is None:
        return None
    sbc = rgpiod_client(stack, port)
    handle = sbc.gpiochip_open(chip)
    stack.callback(sbc.gpiochip_close, handle)
    sbc.gpio_claim_output(handle, line)
    return sbc, handle


def rgpiod_client(stack: ExitStack, port: int) -> Any:
    """rgpiod's own Python client."""
    import rgpio

    sbc = rgpio.sbc("127.0.0.1", port, show_errors=False)
    if not sbc.connected:
        raise RuntimeError("rgpiod cannot be reached")
    stack.callback(sbc.stop)
    return sbc


async def i2c(contest: Contest) -> None:
    """One byte of a register: of the kernel's own stub, and behind a USB adapter."""
    import smbus2

    buses = {bus["adapter"]: bus for bus in await contest.board.i2c.list()}
    works = []
    with ExitStack() as stack:
        for case, part, address, slow in (
            ("I2C byte, i2c-stub", "stub", 0x1D, 1),
            ("I2C byte, i2c-tiny-usb", "tiny", 0x50, 25),
        ):
            number = next(
                int(bus["name"].removeprefix("i2c:")) for adapter, bus in buses.items() if part in adapter
            )
            local = stack.enter_context(smbus2.SMBus(number))
            bus = contest.board.i2c.bus(number)
            works.append(
                Work(
                    case,
                    partial(local.read_byte_data, address, 0x10),
                    partial(_read_byte, bus, address),
                    partial(_add_read_byte, bus.resource, address),
                    _rgpiod_i2c(stack, contest, number, address),
                    slow=slow,
                )
            )
        for work in works:
            await hold(contest, work)


async def _read_byte(bus: Any, address: int, value: int) -> int:
    return int(await bus.read_byte_data(address, 0x10))


def _add_read_byte(resource: str, address: int, batch: Batch) -> Awaitable[Any]:
    return batch.add("I2C_READ_BYTE", resource=resource, address=address, register=0x10)


def _rgpiod_i2c(stack: ExitStack, contest: Contest, number: int, address: int) -> Operation | None:
    if contest.peers.rgpiod is None:
        return None
    sbc = rgpiod_client(stack, contest.peers.rgpiod.port)
    handle = sbc.i2c_open(number, address)
    stack.callback(sbc.i2c_close, handle)
    return partial(sbc.i2c_read_byte_data, handle, 0x10)


async def spi(contest: Contest) -> None:
    """Full-duplex transfers on the loopback device, which nobody else may have open meanwhile."""
    for size, name in ((4, "4 B"), (4096, "4 KiB")):
        await _spi(contest, f"SPI {name}", bytes(size), slow=1 if size < 1024 else 4)


async def _spi(contest: Contest, case: str, data: bytes, slow: int) -> None:
    import spidev

    from myclerk_client.spi import SpiDevice

    board, resource = contest.board, "spi:0.0"
    opened = await board.request("SPI_DEVICE_OPEN", resource=resource, speed_hz=SPI_HERTZ)
    handle, segments = opened["handle"], [{"data": data}]
    with ExitStack() as stack:
        local = spidev.SpiDev(0, 0)
        stack.callback(local.close)
        local.max_speed_hz = SPI_HERTZ
        async with SpiDevice(board.link, resource, opened) as device:
            work = Work(
                case,
                lambda: local.xfer2(data),
                lambda value: device.transfer(data),
                lambda batch: batch.add("SPI_TRANSFER", handle=handle, segments=segments),
                _rgpiod_spi(stack, contest, data),
                slow=slow,
            )
            await hold(contest, work)


def _rgpiod_spi(stack: ExitStack, contest: Contest, data: bytes) -> Operation | None:
    if contest.peers.rgpiod is None:
        return None
    sbc = rgpiod_client(stack, contest.peers.rgpiod.port)
    handle = sbc.spi_open(0, 0, SPI_HERTZ)
    stack.callback(sbc.spi_close, handle)
    return partial(sbc.spi_xfer, handle, data)


def pull_attribute(line: int) -> str:
    """Where the outside world pulls at a line of the chip "board"."""
    config = Path("/sys/kernel/config/gpio-sim/board")
    device = (config / "dev_name").read_text().strip()
    chip = (config / "bank0" / "chip_name").read_text().strip()
    return f"/sys/devices/platform/{device}/{chip}/sim_gpio{line}/pull"
