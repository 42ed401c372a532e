"""Dispatch: from request to driver and back; order, workers, rights, locks, ownership, errors."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from myclerk_agent import resources
from myclerk_agent.audit import Audit
from myclerk_agent.dispatch import Dispatcher
from myclerk_agent.drivers import AgentContext
from myclerk_agent.environment import SYSTEM
from myclerk_agent.resources import Holdings, Rights
from myclerk_drivers.base import Access, Driver, Handle, Resource, Stream, serves
from myclerk_drivers.context import StreamSink
from myclerk_protocol.events import Request
from myclerk_protocol.exchange import Mode
from myclerk_protocol.operations import REGISTRY, Operation
from myclerk_protocol.payloads import unpack
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.schema import Schema
from myclerk_protocol.seal import Aead
from myclerk_protocol.status import NotFound, Status

NAMES = (
    "LAMP_LIST",
    "LAMP_OPEN",
    "LAMP_CLOSE",
    "LAMP_SET",
    "LAMP_SLOW",
    "LAMP_WATCH",
    "LAMP_FAIL",
    "LAMP_LATER",
)
CDDL = """
lamp-list-request = {}
lamp-list-response = { lamps: [* tstr] }
lamp-open-request = { resource: resource-name }
lamp-open-response = { handle: handle-number, colour: tstr }
lamp-close-request = { handle: handle-number }
lamp-close-response = {}
lamp-set-request = { handle: handle-number, level: 0..100 }
lamp-set-response = { level: uint }
lamp-slow-request = { resource: resource-name, ? tag: tstr }
lamp-slow-response = { tag: tstr }
lamp-watch-request = { handle: handle-number, ? credit-to: uint }
lamp-watch-response = {}
lamp-fail-request = { resource: resource-name, how: tstr }
lamp-fail-response = {}
lamp-later-request = { resource: resource-name, ? tag: tstr }
lamp-later-response = { tag: tstr }
"""
STREAM_DATA = REGISTRY.by_name("STREAM_DATA").code


class LampStream(Stream):
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sink: StreamSink | None = None

    def start(self, sink: StreamSink) -> None:
        self.sink = sink
        self.calls.append("start")

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def close(self) -> None:
        self.calls.append("close")


class Lamp(Handle):
    def __init__(self, resource: Resource, log: list[str]) -> None:
        super().__init__(resource)
        self.log = log
        self.stream = LampStream()

    def describe(self) -> Mapping[str, Any]:
        return {"colour": "red"}

    def close(self) -> None:
        self.log.append(f"close {self.resource.name}")

    @serves("LAMP_CLOSE", access=Access.NONE)
    def close_lamp(self) -> None:
        pass

    @serves("LAMP_SET", access=Access.WRITE)
    def set(self, level: int) -> Mapping[str, Any]:
        self.log.append(f"set {level}")
        return {"level": level}

    @serves("LAMP_WATCH", access=Access.READ)
    def watch(self) -> Stream:
        return self.stream


class LampDriver(Driver):
    kind = "lamp"
    handles = (Lamp,)
    operations = tuple(
        Operation(0xF010 + i, name, "lamp", 3, 0xF010 + i, None, name) for i, name in enumerate(NAMES)
    )
    schema = CDDL

    def __init__(self, context: AgentContext) -> None:
        super().__init__(context)
        self.log: list[str] = []
        self.gate = threading.Event()
        self.later: asyncio.Future[None] | None = None
        self.lamps: list[Lamp] = []

    def resources(self) -> Iterable[Resource]:
        return [
            Resource("lamp:a", aliases=("lamp:first",), parent="lamp:rail"),
            Resource("lamp:b"),
            Resource("lamp:rail"),
        ]

    @serves("LAMP_LIST", access=Access.READ)
    def list_lamps(self) -> Mapping[str, Any]:
        return {"lamps": [r.name for r in self.resources()]}

    @serves("LAMP_OPEN", access=Access.READ_WRITE)
    def open_lamp(self, resource: Resource) -> Lamp:
        self.log.append(f"open {resource.name}")
        lamp = Lamp(resource, self.log)
        self.lamps.append(lamp)
        return lamp

    @serves("LAMP_SLOW", access=Access.WRITE, slow=True)
    def slow(self, resource: Resource, tag: str = "") -> Mapping[str, Any]:
        if tag == "stuck":
            self.gate.wait(10)
        self.log.append(f"slow {tag}")
        return {"tag": tag}

    @serves("LAMP_LATER", access=Access.WRITE)
    def later_or_now(
        self, resource: Resource, tag: str = ""
    ) -> Mapping[str, Any] | Awaitable[Mapping[str, Any]]:
        return {"tag": tag} if tag == "now" else self._later(tag)

    async def _later(self, tag: str) -> Mapping[str, Any]:
        self.later = asyncio.get_running_loop().create_future()
        await self.later
        return {"tag": tag}

    @serves("LAMP_FAIL", access=Access.READ)
    def fail(self, resource: Resource, how: str) -> None:
        if how == "kernel":
            raise OSError(errno.EIO, "Input/output error")
        if how == "gone":
            raise OSError(errno.ENODEV, "No such device")
        if how == "typed":
            raise NotFound("no bulb in this lamp")
        raise RuntimeError("secret details")


class Wire:
    """Stands where the connection is: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int, bytes, bool]] = []
        self.outbox = self

    def send(
        self,
        version: int,
        tier: int,
        opcode: int,
        request_id: int,
        payload: bytes,
        push: bool = False,
        compress: bool = False,
    ) -> None:
        self.sent.append((request_id, opcode, payload, push))

    def end(self, reason: str, *, linger: bool) -> None:
        pass


class Bench:
    """A dispatcher with one lamp driver, and sessions that ask it."""

    def __init__(self, directory: Path, tiers: Mapping[str, int] | None = None) -> None:
        self.registry = REGISTRY.extended(LampDriver.operations)
        self.schema = Schema.load().extended(CDDL)
        self.dispatcher = Dispatcher(self.registry, self.schema, Audit(directory, SYSTEM), tiers)
        self.driver = LampDriver(AgentContext("lamp", {}, asyncio.get_running_loop()))
        self.dispatcher.bind_driver(self.driver)

    def session(self, access: Access = Access.READ_WRITE, name: str = "someone") -> Session:
        return Session(self, Rights(name, access))


class Session:
    def __init__(self, bench: Bench, rights: Rights) -> None:
        self.bench = bench
        self.record = SessionRecord(1, 1, Mode.HYBRID, Aead.CHACHA20, 5, frozenset(), b"", rights.description)
        self.wire = Wire()
        self.record.session = self.wire  # type: ignore[assignment]
        self.holdings = Holdings(self.record, rights, bench.dispatcher.table)
        self.last_id = 1

    def ask(self, name: str, *, tier: int = 3, **fields: Any) -> int:
        operation = self.bench.registry.by_name(name)
        rule = self.bench.schema.request(name)
        assert rule is not None
        self.last_id += 1
        self.record.ledger.admit(self.last_id)
        request = Request(operation.code, operation, self.last_id, tier, 1, rule.encode(fields))
        self.bench.dispatcher.handle(self.holdings, request)
        return self.last_id

    def answer(self, request_id: int) -> dict[str, Any] | None:
        """The answer's wire fields, or None while there is none."""
        found = [p for i, _, p, push in self.wire.sent if i == request_id and not push]
        assert len(found) <= 1, "a request is answered once"
        return (unpack(found[0]) if found[0] else {}) if found else None

    def now(self, name: str, **fields: Any) -> dict[str, Any]:
        answer = self.answer(self.ask(name, **fields))
        assert answer is not None
        return answer

    async def later(self, request_id: int) -> dict[str, Any]:
        for _ in range(500):
            answer = self.answer(request_id)
            if answer is not None:
                return answer
            await asyncio.sleep(0.01)
        raise AssertionError("no answer came")

    def pushes(self) -> list[dict[str, Any]]:
        return [unpack(p) for _, opcode, p, push in self.wire.sent if push and opcode == STREAM_DATA]


Story = Callable[[Bench], Awaitable[None]]


def run(directory: Path, story: Story, tiers: Mapping[str, int] | None = None) -> None:
    async def wrapped() -> None:
        bench = Bench(directory, tiers)
        try:
            await story(bench)
        finally:
            bench.driver.gate.set()
            bench.dispatcher.close()

    asyncio.run(wrapped())


def test_a_quick_operation_is_answered_at_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        assert session.now("LAMP_LIST") == {"lamps": ["lamp:a", "lamp:b", "lamp:rail"]}

    run(tmp_path, story)


def test_handles_belong_to_the_session_and_are_released_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session, other = bench.session(), bench.session(name="other")
        assert session.now("LAMP_OPEN", resource="lamp:first") == {"handle": 1, "colour": "red"}
        assert session.now("LAMP_SET", handle=1, level=7) == {"level": 7}
        assert other.now("LAMP_SET", handle=1, level=7)["status"] == Status.NOT_FOUND
        session.holdings.release()
        session.holdings.release()
        assert bench.driver.log == ["open lamp:a", "set 7", "close lamp:a"]
        assert other.now("LAMP_OPEN", resource="lamp:a")["handle"] == 1

    run(tmp_path, story)


def test_a_close_operation_closes_the_handle(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        session.now("LAMP_OPEN", resource="lamp:a")
        assert session.now("LAMP_CLOSE", handle=1) == {}
        assert session.now("LAMP_CLOSE", handle=1)["status"] == Status.NOT_FOUND
        session.holdings.release()
        assert bench.driver.log == ["open lamp:a", "close lamp:a"]

    run(tmp_path, story)


def test_an_open_resource_excludes_others_on_it_and_its_relatives(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session, other = bench.session(name="Ann"), bench.session(name="Bob")
        session.now("LAMP_OPEN", resource="lamp:a")
        for name in ("lamp:a", "lamp:rail"):
            refused = other.now("LAMP_OPEN", resource=name)
            assert refused["status"] == Status.CONFLICT
            assert refused["holder"] == "Ann"
        assert "handle" in other.now("LAMP_OPEN", resource="lamp:b")
        assert bench.driver.log == ["open lamp:a", "open lamp:b"], "a refused open never reaches the driver"

    run(tmp_path, story)


def test_a_stuck_resource_delays_only_itself(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        stuck = session.ask("LAMP_SLOW", resource="lamp:a", tag="stuck")
        behind = session.ask("LAMP_SLOW", resource="lamp:a", tag="behind")
        quick = session.ask("LAMP_OPEN", resource="lamp:a")
        beside = session.ask("LAMP_SLOW", resource="lamp:b", tag="beside")
        assert await session.later(beside) == {"tag": "beside"}
        assert session.now("LAMP_LIST")["lamps"]
        assert [session.answer(i) for i in (stuck, behind, quick)] == [None, None, None]
        bench.driver.gate.set()
        assert await session.later(stuck) == {"tag": "stuck"}
        assert await session.later(behind) == {"tag": "behind"}
        assert "handle" in await session.later(quick)
        assert bench.driver.log == ["slow beside", "slow stuck", "slow behind", "open lamp:a"]

    run(tmp_path, story)


def test_a_plain_method_may_answer_later(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        assert session.now("LAMP_LATER", resource="lamp:a", tag="now") == {"tag": "now"}
        waiting = session.ask("LAMP_LATER", resource="lamp:a", tag="then")
        await asyncio.sleep(0)
        assert session.answer(waiting) is None
        assert bench.driver.later is not None
        bench.driver.later.set_result(None)
        assert await session.later(waiting) == {"tag": "then"}

    run(tmp_path, story)


def test_release_cancels_what_still_waits(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        waiting = session.ask("LAMP_LATER", resource="lamp:a")
        await asyncio.sleep(0)
        session.holdings.release()
        assert (await session.later(waiting))["status"] == Status.CONFLICT
        assert not session.holdings.tasks

    run(tmp_path, story)


def test_what_waits_when_the_session_ends_is_never_executed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        stuck = session.ask("LAMP_SLOW", resource="lamp:a", tag="stuck")
        opening = session.ask("LAMP_OPEN", resource="lamp:a")
        session.holdings.release()
        bench.driver.gate.set()
        assert (await session.later(opening))["status"] == Status.CONFLICT
        assert (await session.later(stuck)) == {"tag": "stuck"}
        assert bench.driver.log == ["slow stuck"]
        assert "handle" in bench.session().now("LAMP_OPEN", resource="lamp:a")

    run(tmp_path, story)


def test_what_waits_is_judged_again_when_its_turn_comes(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session, other = bench.session(name="Ann"), bench.session(name="Bob")
        session.now("LAMP_OPEN", resource="lamp:b")
        session.ask("LAMP_SLOW", resource="lamp:b", tag="stuck")
        waiting = [session.ask("LAMP_SET", handle=1, level=level) for level in (1, 2)]
        session.ask("LAMP_SLOW", resource="lamp:a", tag="stuck")
        locked_out = session.ask("LAMP_LATER", resource="lamp:a", tag="now")
        await bench.dispatcher.table.lock(other.holdings, bench.dispatcher.find("lamp:a"), None, None)
        session.holdings.close_handle(1)
        bench.driver.gate.set()
        assert [(await session.later(i))["status"] for i in waiting] == [Status.NOT_FOUND] * 2
        assert (await session.later(locked_out))["status"] == Status.CONFLICT
        assert not [line for line in bench.driver.log if line.startswith("set")]

    run(tmp_path, story)


def test_data_that_is_awaited_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "MAX_WAITING_BYTES", 2500)

    async def story(bench: Bench) -> None:
        session, other = bench.session(), bench.session()
        asked = [session.ask("LAMP_LATER", resource="lamp:a", tag="x" * 1000) for _ in range(3)]
        assert (await session.later(asked[2]))["status"] == Status.TOO_MANY
        assert "tag" in other.now("LAMP_LATER", resource="lamp:a", tag="now"), "nobody else is refused"
        large = other.ask("LAMP_LATER", resource="lamp:a", tag="x" * 3000)
        assert other.answer(large) is None, "one alone may be larger"
        session.holdings.release()
        other.holdings.release()
        await session.later(asked[1])
        await other.later(large)
        assert session.holdings._waiting_bytes == other.holdings._waiting_bytes == 0

    run(tmp_path, story)


def test_data_that_waits_for_its_turn_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "MAX_WAITING_BYTES", 2500)

    async def story(bench: Bench) -> None:
        session = bench.session()
        session.ask("LAMP_SLOW", resource="lamp:a", tag="stuck")
        asked = [session.ask("LAMP_SLOW", resource="lamp:a", tag="x" * 1000) for _ in range(3)]
        assert (session.answer(asked[2]) or {})["status"] == Status.TOO_MANY
        bench.driver.gate.set()
        assert "tag" in await session.later(asked[0])
        assert "tag" in await session.later(asked[1])
        assert session.holdings._waiting_bytes == 0

    run(tmp_path, story)


def test_a_slow_method_that_stops_iteration_blocks_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        bench.driver.slow = lambda resource, tag="": next(iter(()))  # type: ignore[method-assign]
        bench.dispatcher.served["LAMP_SLOW"].method = bench.driver.slow
        first = session.ask("LAMP_SLOW", resource="lamp:a")
        second = session.ask("LAMP_OPEN", resource="lamp:a")
        assert (await session.later(first))["status"] == Status.INTERNAL_ERROR
        assert "handle" in await session.later(second)

    run(tmp_path, story)


def test_a_stream_that_cannot_close_leaks_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        session.now("LAMP_OPEN", resource="lamp:a")
        session.ask("LAMP_WATCH", handle=1, credit_to=1)

        def fail() -> None:
            raise OSError(errno.EIO, "Input/output error")

        bench.driver.lamps[0].stream.close = fail  # type: ignore[method-assign]
        session.holdings.release()
        assert "handle" in bench.session().now("LAMP_OPEN", resource="lamp:a")

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        (Access.NONE, set()),
        (Access.READ, {"LAMP_LIST"}),
        (Access.WRITE, {"LAMP_LATER"}),
        (Access.READ_WRITE, {"LAMP_LIST", "LAMP_LATER", "LAMP_OPEN"}),
        (Access.EXCLUSIVE, {"LAMP_LIST", "LAMP_LATER", "LAMP_OPEN"}),
    ],
)
def test_access_decides_what_is_served(tmp_path: Path, access: Access, allowed: set[str]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session(access)
        asked: dict[str, dict[str, Any]] = {
            "LAMP_LIST": {},
            "LAMP_LATER": {"resource": "lamp:b", "tag": "now"},
            "LAMP_OPEN": {"resource": "lamp:a"},
        }
        served = {name for name, fields in asked.items() if "status" not in session.now(name, **fields)}
        assert served == allowed
        refused = [name for name in asked if name not in allowed]
        for name in refused:
            assert session.now(name, **asked[name])["status"] == Status.FORBIDDEN

    run(tmp_path, story)


def test_a_lock_keeps_writers_out_and_names_its_holder(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.session(name="Ann"), bench.session(name="Bob")
        rail = bench.dispatcher.find("lamp:rail")
        await bench.dispatcher.table.lock(ann.holdings, rail, None, None)
        refused = bob.now("LAMP_LATER", resource="lamp:a", tag="now")
        assert (refused["status"], refused["holder"]) == (Status.CONFLICT, "Ann")
        assert "status" not in bob.now("LAMP_LATER", resource="lamp:b", tag="now")
        assert "status" not in ann.now("LAMP_LATER", resource="lamp:a", tag="now")
        ann.holdings.release()
        assert "status" not in bob.now("LAMP_LATER", resource="lamp:a", tag="now")

    run(tmp_path, story)


def test_a_lock_can_be_waited_for_and_falls_by_itself(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.session(name="Ann"), bench.session(name="Bob")
        table, lamp = bench.dispatcher.table, bench.dispatcher.find("lamp:a")
        await table.lock(ann.holdings, lamp, None, None)
        waiting = asyncio.create_task(table.lock(bob.holdings, lamp, 5.0, None))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        table.unlock(ann.holdings, lamp)
        await waiting
        assert table.lock_holder("lamp:a") is bob.holdings
        with pytest.raises(NotFound):
            table.unlock(ann.holdings, lamp)
        table.unlock(bob.holdings, lamp)
        await table.lock(ann.holdings, lamp, None, 0.05)
        await table.lock(bob.holdings, lamp, 5.0, None)

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("how", "status", "fields"),
    [
        ("kernel", Status.HARDWARE_ERROR, {"errno": "EIO"}),
        ("gone", Status.DEVICE_GONE, {"errno": "ENODEV"}),
        ("typed", Status.NOT_FOUND, {}),
        ("bug", Status.INTERNAL_ERROR, {}),
    ],
)
def test_errors_become_statuses_at_one_place(
    tmp_path: Path, how: str, status: Status, fields: dict[str, str]
) -> None:
    async def story(bench: Bench) -> None:
        answer = bench.session().now("LAMP_FAIL", resource="lamp:a", how=how)
        assert answer["status"] == status
        assert {key: answer.get(key) for key in fields} == fields
        assert "secret" not in answer["message"]

    run(tmp_path, story)


def test_a_minimum_tier_can_be_raised(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        refused = session.answer(session.ask("LAMP_LIST", tier=4))
        assert refused is not None
        assert (refused["status"], refused["required-tier"]) == (Status.FORBIDDEN, 5)
        assert session.answer(session.ask("LAMP_LIST", tier=5)) == {
            "lamps": ["lamp:a", "lamp:b", "lamp:rail"]
        }

    run(tmp_path, story, {"LAMP_LIST": 5})


def test_bad_input_is_named_and_changes_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        session.now("LAMP_OPEN", resource="lamp:a")
        bad = session.now("LAMP_SET", handle=1, level=101)
        assert (bad["status"], bad["key"]) == (Status.BAD_REQUEST, "level")
        assert session.now("LAMP_OPEN", resource="serial:ttyS0")["status"] == Status.BAD_REQUEST
        assert session.now("LAMP_OPEN", resource="lamp:z")["status"] == Status.NOT_FOUND
        assert bench.driver.log == ["open lamp:a"]

    run(tmp_path, story)


def test_event_streams_count_what_finds_no_credit(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        session.now("LAMP_OPEN", resource="lamp:a")
        stream_id = session.ask("LAMP_WATCH", handle=1, credit_to=2)
        source = bench.driver.lamps[0].stream
        assert source.sink is not None
        source.sink.push_events([{"level_now": n} for n in range(5)])
        assert session.pushes() == [{"index": 0, "events": [{"level-now": 0}, {"level-now": 1}]}]
        assert source.calls == ["start", "pause"]
        stream = session.holdings.stream(stream_id)
        stream.configure(2, 4)
        source.sink.push_events([{"level_now": 9}])
        assert session.pushes()[-1] == {"index": 2, "events": [{"level-now": 9}], "dropped": 3}
        assert source.calls == ["start", "pause", "resume"]
        session.holdings.stop_stream(stream_id)
        assert source.calls[-1] == "close"

    run(tmp_path, story)


def test_a_stream_of_large_events_keeps_fewer_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LampStream, "window", 3)

    async def story(bench: Bench) -> None:
        session = bench.session()
        session.now("LAMP_OPEN", resource="lamp:a")
        stream_id = session.ask("LAMP_WATCH", handle=1, credit_to=100)
        source = bench.driver.lamps[0].stream
        assert source.sink is not None
        for number in range(5):
            source.sink.push_events([{"level_now": number}])
        assert len(session.pushes()) == 3
        assert source.calls == ["start", "pause"]
        session.holdings.stream(stream_id).configure(2, None)
        assert source.sink.credit == 2

    run(tmp_path, story)


def test_a_byte_stream_continues_after_a_resume_without_gap_or_repeat(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        session.now("LAMP_OPEN", resource="lamp:a")
        stream_id = session.ask("LAMP_WATCH", handle=1, credit_to=100)
        source, stream = bench.driver.lamps[0].stream, session.holdings.stream(stream_id)
        assert source.sink is not None
        source.sink.push_bytes(b"abc")
        source.sink.push_bytes(b"defg")
        stream.detach()
        assert source.sink.credit == 0
        assert source.calls == ["start", "pause"]
        session.wire.sent.clear()
        stream.configure(4, 100)
        assert session.pushes() == [{"offset": 4, "data": b"efg"}]
        source.sink.push_bytes(b"h")
        assert session.pushes()[-1] == {"offset": 7, "data": b"h"}
        assert source.calls == ["start", "pause", "resume"]

    run(tmp_path, story)


def test_closing_a_handle_ends_its_streams(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        session.now("LAMP_OPEN", resource="lamp:a")
        session.ask("LAMP_WATCH", handle=1, credit_to=9)
        session.now("LAMP_CLOSE", handle=1)
        assert session.pushes() == [{"end": True}]
        assert bench.driver.lamps[0].stream.calls[-1] == "close"

    run(tmp_path, story)


def test_what_waits_for_a_stuck_resource_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myclerk_agent.workers.MAX_WAITING", 3)

    async def story(bench: Bench) -> None:
        session = bench.session()
        asked = [session.ask("LAMP_SLOW", resource="lamp:a", tag="stuck") for _ in range(6)]
        refused = [fields for fields in map(session.answer, asked) if fields is not None]
        assert [fields["status"] for fields in refused] == [Status.TOO_MANY] * 2
        bench.driver.gate.set()
        assert await session.later(asked[3]) == {"tag": "stuck"}

    run(tmp_path, story)
