"""Requests that use some of a resource: which locks and handles they meet; pushes under an opcode of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from test_dispatch import Session

from myclerk_agent.audit import Audit
from myclerk_agent.dispatch import Dispatcher
from myclerk_agent.drivers import AgentContext
from myclerk_agent.environment import SYSTEM
from myclerk_agent.resources import Rights
from myclerk_drivers.base import Access
from myclerk_drivers.gpio import GpioDriver
from myclerk_drivers.gpio.simulated import SimulatedGpio
from myclerk_drivers.i2c import I2cDriver
from myclerk_drivers.i2c.simulated import Device, SimulatedBus, SimulatedI2c
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.payloads import unpack
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import Status

GPIO_EVENT = REGISTRY.by_name("GPIO_EVENT").code


class Bench:
    """A dispatcher with the GPIO driver on a simulated chip of eight lines."""

    def __init__(self, directory: Path) -> None:
        self.registry = REGISTRY
        self.schema = Schema.load()
        self.audit = directory / "audit.jsonl"
        self.dispatcher = Dispatcher(self.registry, self.schema, Audit(directory, SYSTEM))
        self.board = SimulatedGpio.from_description({"chips": [{"lines": 8}], "pwm-chips": [1]})
        context = AgentContext("gpio", {}, asyncio.get_running_loop())
        self.dispatcher.bind_driver(GpioDriver(context, self.board))

    def session(self, name: str, access: Access = Access.READ_WRITE) -> GpioSession:
        return GpioSession(self, Rights(name, access))  # type: ignore[arg-type]


class GpioSession(Session):
    def request(self, *lines: int, **settings: Any) -> dict[str, Any]:
        fields = {"resource": "gpio:gpiochip0", "lines": [{"line": line} for line in lines], **settings}
        return self.now("GPIO_LINE_REQUEST", **fields)

    def pushed(self, opcode: int) -> list[dict[str, Any]]:
        return [unpack(payload) for _, code, payload, push in self.wire.sent if push and code == opcode]


Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Story], None]:
    def run(story: Story) -> None:
        async def wrapped() -> None:
            bench = Bench(tmp_path)
            try:
                await story(bench)
            finally:
                bench.dispatcher.close()

        asyncio.run(wrapped())

    return run


def refused(answer: Mapping[str, Any]) -> tuple[int, str | None]:
    return answer["status"], answer.get("holder")


def test_two_sessions_hold_different_lines_of_one_chip(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.session("Ann"), bench.session("Bob")
        assert "handle" in ann.request(1, 2)
        assert refused(bob.request(2, 3)) == (Status.CONFLICT, "Ann")
        assert "handle" in bob.request(3, 4)
        assert refused(ann.request(1)) == (Status.CONFLICT, "Ann"), "nor twice in one session"
        assert "handle" in ann.request(5)
        ann.holdings.release()
        assert "handle" in bob.request(1, 2, 5)
        bob.holdings.release()

    run(story)


def test_a_line_by_its_own_name_is_the_same_line(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.session("Ann"), bench.session("Bob")
        assert "handle" in ann.now("GPIO_LINE_REQUEST", resource="gpio:gpiochip0/1")
        assert refused(bob.request(1)) == (Status.CONFLICT, "Ann")
        pwm = {"resource": "gpio:gpiochip0/1", "period_ns": 10**9}
        assert refused(await bob.later(bob.ask("GPIO_PWM_CONFIGURE", **pwm))) == (Status.CONFLICT, "Ann")
        ann.holdings.release()

    run(story)


def test_a_lock_on_a_line_is_met_by_requests_for_it_alone(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.session("Ann"), bench.session("Bob")
        handle = bob.request(3)["handle"]
        line, chip = (bench.dispatcher.find(f"gpio:gpiochip0{part}") for part in ("/1", ""))
        await bench.dispatcher.table.lock(ann.holdings, line, None, None)
        assert refused(bob.request(0, 1)) == (Status.CONFLICT, "Ann")
        assert bob.now("GPIO_LINE_RELEASE", handle=handle) == {}
        assert "handle" in bob.request(2, 3, direction="output")
        assert bob.now("GPIO_LINE_SET", handle=2, values=[True, True]) == {}
        bob.holdings.release()
        bench.dispatcher.table.unlock(ann.holdings, line)
        await bench.dispatcher.table.lock(ann.holdings, chip, None, None)
        assert refused(bench.session("Bob").request(7)) == (Status.CONFLICT, "Ann")

    run(story)


def test_a_chip_with_a_line_in_use_is_not_locked_by_another(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.session("Ann"), bench.session("Bob")
        ann.request(1, 2)
        for name, free in (
            ("gpio:gpiochip0", False),
            ("gpio:gpiochip0/2", False),
            ("gpio:gpiochip0/3", True),
        ):
            try:
                await bench.dispatcher.table.lock(bob.holdings, bench.dispatcher.find(name), None, None)
                locked = True
            except Exception:
                locked = False
            assert locked is free, name
        ann.holdings.release()

    run(story)


def test_the_holder_of_each_line_is_known(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann = bench.session("Ann")
        ann.request(1, 2)
        holders = [bench.dispatcher.table.holder(f"gpio:gpiochip0/{line}") for line in (1, 2, 3)]
        assert holders == [ann.holdings, ann.holdings, None]
        ann.holdings.release()
        assert bench.dispatcher.table.holder("gpio:gpiochip0/2") is None

    run(story)


def test_an_unknown_line_is_refused_by_name(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        answer = bench.session("Ann").request(1, 8)
        assert (answer["status"], answer["key"]) == (Status.NOT_FOUND, "lines")

    run(story)


def test_release_serves_lines_and_pwm_and_audits_every_line(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann = bench.session("Ann", Access.WRITE)
        ann.request(1, 2)
        fields = {"resource": "gpio:pwmchip0/0", "period_ns": 1000, "duty": 0.5}
        assert (await ann.later(ann.ask("GPIO_PWM_CONFIGURE", **fields)))["source"] == "hardware"
        for handle in (1, 2):
            assert ann.now("GPIO_LINE_RELEASE", handle=handle) == {}
            assert ann.now("GPIO_LINE_RELEASE", handle=handle)["status"] == Status.NOT_FOUND
        assert ann.now("GPIO_PWM_SET", handle=1)["status"] == Status.NOT_FOUND
        assert bench.board.pwm("pwmchip0", 0).waveform is None
        assert "gpio:gpiochip0/1 gpio:gpiochip0/2" in bench.audit.read_text()

    run(story)


def test_operations_fit_their_kind_of_handle(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann = bench.session("Ann")
        handle = ann.request(1)["handle"]
        answer = ann.now("GPIO_PWM_SET", handle=handle, duty=0.5)
        assert (answer["status"], answer["key"]) == (Status.BAD_REQUEST, "handle")
        ann.holdings.release()

    run(story)


def test_edges_are_pushed_as_gpio_event_with_what_was_lost(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann = bench.session("Ann")
        ann.request(1)
        watch = ann.ask("GPIO_LINE_WATCH", handle=1, credit_to=10)
        assert ann.answer(watch) == {}
        for index in range(1027):
            bench.board.push("gpiochip0", 1, index % 2 == 0)
        for _ in range(100):
            await asyncio.sleep(0.01)
            if ann.pushed(GPIO_EVENT):
                break
        (push,) = ann.pushed(GPIO_EVENT)
        assert (push["index"], len(push["events"]), push["dropped"]) == (0, 10, 3)
        assert push["events"][0].keys() == {"timestamp-ns", "line", "edge", "sequence"}
        assert Schema.load().map("gpio-event-push").decode_map(push)
        assert ann.pushes() == [], "none of them as STREAM_DATA"
        ann.holdings.stream(watch).configure(10, 1000)
        bench.board.push("gpiochip0", 1, False)
        for _ in range(100):
            await asyncio.sleep(0.01)
            if len(ann.pushed(GPIO_EVENT)) == 2:
                break
        assert ann.pushed(GPIO_EVENT)[1]["dropped"] == 1024 - 10
        ann.holdings.release()

    run(story)


def test_reading_needs_no_right_to_write(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        reader = bench.session("Reader", Access.READ)
        assert len(reader.now("GPIO_CHIP_LIST")["chips"]) == 1
        assert len(reader.now("GPIO_LINE_INFO", resource="gpio:gpiochip0")["lines"]) == 8
        twice = reader.now("GPIO_LINE_INFO", resource="gpio:gpiochip0", lines=[1] * 65535)  # seconds of work
        assert (twice["status"], twice["key"]) == (Status.BAD_REQUEST, "lines")
        assert reader.request(1)["status"] == Status.FORBIDDEN
        answer = await reader.later(reader.ask("GPIO_PWM_CONFIGURE", resource="gpio:pwmchip0/0", period_ns=1))
        assert answer["status"] == Status.FORBIDDEN

    run(story)


def test_reading_from_an_i2c_device_is_writing_to_it(run: Callable[[Story], None]) -> None:
    class Expander:
        """A PCF8574, which takes any byte as the level of its outputs."""

        outputs = 0xFF

        def write(self, data: bytes) -> None:
            self.outputs = data[-1]

        def read(self, size: int) -> bytes:
            return bytes([self.outputs]) * size

    async def story(bench: Bench) -> None:
        expander = Expander()
        context = AgentContext("i2c", {}, asyncio.get_running_loop())
        backend = SimulatedI2c({1: SimulatedBus({0x20: Device(expander)})})
        bench.dispatcher.bind_driver(I2cDriver(context, backend))
        reader, ann, bob = bench.session("Reader", Access.READ), bench.session("Ann"), bench.session("Bob")
        requests = {
            "I2C_READ_BYTE": {"resource": "i2c:1", "address": 0x20, "register": 0},
            "I2C_READ_BLOCK": {"resource": "i2c:1/0x20", "size": 1, "register": 0},
        }
        await bench.dispatcher.table.lock(ann.holdings, bench.dispatcher.find("i2c:1/0x20"), None, None)
        for name, fields in requests.items():
            answer = await reader.later(reader.ask(name, **fields))
            assert answer["status"] == Status.FORBIDDEN
            assert refused(await bob.later(bob.ask(name, **fields))) == (Status.CONFLICT, "Ann")
            assert expander.outputs == 0xFF
            expander.outputs = 0xFF
            assert "status" not in await ann.later(ann.ask(name, **fields))
            assert expander.outputs == 0
            expander.outputs = 0xFF

    run(story)


def test_locks_cost_the_same_however_many_there_are(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.session("Ann"), bench.session("Bob")
        table, driver = bench.dispatcher.table, bench.dispatcher.drivers["gpio"]
        bob.request(0, direction="output")
        asked: list[str] = []
        find = driver.find
        driver.find = lambda name: asked.append(name) or find(name)  # type: ignore[method-assign,func-returns-value]

        def asked_to_set() -> int:
            asked.clear()
            assert bob.now("GPIO_LINE_SET", handle=1, values=[True]) == {}
            return len(asked)

        costs = []
        for line in range(1, 8):
            await table.lock(ann.holdings, bench.dispatcher.find(f"gpio:gpiochip0/{line}"), None, None)
            costs.append(asked_to_set())
        assert len(set(costs)) == 1
        bob.holdings.release()

    run(story)
