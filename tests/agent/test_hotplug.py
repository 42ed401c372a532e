"""Hot-plug: what a subscriber is told of what comes, goes and changes, and when the agent looks."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_dispatch import Session

from myclerk_agent import hotplug, uevents
from myclerk_agent.audit import Audit
from myclerk_agent.dispatch import Dispatcher
from myclerk_agent.drivers import AgentContext
from myclerk_agent.environment import SYSTEM
from myclerk_agent.hotplug import HotPlug
from myclerk_agent.resources import Rights
from myclerk_agent.system import SystemOperations
from myclerk_agent.uevents import Uevents
from myclerk_drivers.base import Access, Driver, Resource
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import BadRequest, Status


class Shelf(Driver):
    """What stands on it is what there is."""

    kind = "toy"

    def __init__(self) -> None:
        super().__init__(AgentContext(self.kind, {}, asyncio.get_running_loop()))
        self.there: dict[str, Resource] = {}
        self.asked = 0
        self.error: Exception | None = None

    def put(self, name: str, *aliases: str, **properties: Any) -> None:
        full = f"{self.kind}:{name}"
        self.there[full] = Resource(full, f"a {name}", aliases, properties=properties)

    def take(self, name: str) -> None:
        del self.there[f"{self.kind}:{name}"]

    def resources(self) -> Iterable[Resource]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return list(self.there.values())


class Books(Shelf):
    kind = "book"


class Source:
    """Uevents that the test makes up."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self.heard = heard
        self.closed = False
        self.settled = True

    def close(self) -> None:
        self.closed = True


class Bench:
    """A dispatcher with two shelves and the agent's own operations."""

    def __init__(self, directory: Path) -> None:
        self.registry = REGISTRY
        self.schema = Schema.load()
        self.dispatcher = Dispatcher(self.registry, self.schema, Audit(directory, SYSTEM))
        self.toys, self.books = Shelf(), Books()
        for shelf in (self.toys, self.books):
            self.dispatcher.bind_driver(shelf)
        self.sources: list[Source] = []
        self.refuses: OSError | None = None
        self.hot_plug = HotPlug(self.dispatcher, self._open)
        service: Any = SimpleNamespace(
            dispatcher=self.dispatcher, hot_plug=self.hot_plug, config=SimpleNamespace(simulation=None)
        )
        self.dispatcher.bind_system(SystemOperations(service))

    def _open(self, heard: Callable[[], None]) -> Source:
        if self.refuses is not None:
            raise self.refuses
        self.sources.append(Source(heard))
        return self.sources[-1]

    def session(self, access: Access = Access.READ_WRITE, name: str = "someone") -> Subscriber:
        return Subscriber(self, Rights(name, access))  # type: ignore[arg-type]

    @property
    def listening(self) -> list[Source]:
        return [source for source in self.sources if not source.closed]


class Subscriber(Session):
    stream = 0

    def subscribe(self, credit_to: int = 1000, **fields: Any) -> dict[str, Any]:
        self.stream = self.ask("DEVICE_SUBSCRIBE", credit_to=credit_to, **fields)
        answer = self.answer(self.stream)
        assert answer is not None
        return answer

    def names(self, **fields: Any) -> list[str]:
        return [device["name"] for device in self.subscribe(**fields)["devices"]]

    @property
    def events(self) -> list[dict[str, Any]]:
        rule = Schema.load().map("device-event")
        found = [event for push in self.pushes() for event in push.get("events", [])]
        for event in found:
            rule.decode_map(event)  # as the schema has it
        return found

    @property
    def told(self) -> list[str]:
        signs = {"add": "+", "remove": "-", "change": "~"}
        return [signs[event["action"]] + event["name"] for event in self.events]


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


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def test_what_is_there_at_the_start_then_what_happens(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bench.toys.put("bear", "toy:teddy", colour="brown")
        session = bench.session()
        (device,) = session.subscribe()["devices"]
        assert device == session.now("DEVICE_LIST")["devices"][0]
        assert device["properties"] == {"colour": "brown"}
        bench.toys.put("ball")
        bench.books.put("atlas")
        bench.listening[0].heard()
        await eventually(lambda: session.told == ["+toy:ball", "+book:atlas"])
        bench.toys.put("ball", colour="red")
        bench.toys.take("bear")
        bench.listening[0].heard()
        await eventually(lambda: session.told[2:] == ["-toy:bear", "~toy:ball"])
        gone, changed = session.events[2:]
        assert gone == {"action": "remove", **device}
        assert changed["properties"] == {"colour": "red"}

    run(story)


def test_only_what_was_asked_for_is_shown_and_looked_at(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bench.toys.put("bear")
        bench.books.put("atlas")
        session, other = bench.session(), bench.session()
        assert session.names(kinds=["book", "film"]) == ["book:atlas"]
        assert other.names(kinds=["film"]) == []
        bench.toys.put("ball")
        bench.books.put("novel")
        asked = bench.toys.asked
        bench.listening[0].heard()
        await eventually(lambda: session.told == ["+book:novel"])
        assert bench.toys.asked == asked
        assert other.told == []

    run(story)


def test_one_resource_by_any_of_its_names_even_before_it_is_there(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session, other, third = bench.session(), bench.session(), bench.session()
        assert session.names(resource="toy:teddy") == []
        assert third.names(resource="toy:teddy", kinds=["book"]) == []
        bench.toys.put("ball")
        bench.toys.put("bear", "toy:teddy")
        bench.listening[0].heard()
        await eventually(lambda: session.told == ["+toy:bear"])
        assert other.names(resource="toy:bear") == ["toy:bear"]
        bench.toys.take("ball")
        bench.toys.take("bear")
        bench.listening[0].heard()
        await eventually(lambda: session.told == ["+toy:bear", "-toy:bear"])
        assert other.told == ["-toy:bear"]
        assert third.told == []

    run(story)


def test_what_cannot_be_waited_for_is_refused_at_once(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        refused = session.subscribe(resource="film:noir")
        assert (refused["status"], refused["key"]) == (Status.NOT_FOUND, "resource")
        assert session.subscribe(kinds=[])["status"] == Status.BAD_REQUEST
        bench.toys.find = _ambiguous  # type: ignore[method-assign]
        assert session.subscribe(resource="toy:twin")["status"] == Status.BAD_REQUEST
        assert not bench.sources
        assert not session.holdings.streams

    run(story)


def _ambiguous(name: str) -> Resource | None:
    raise BadRequest("there are two of them", key="resource")


def test_who_uses_a_device_is_no_change(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bench.toys.put("bear", in_use=False)
        session = bench.session(name="Ann")
        session.subscribe()
        await bench.dispatcher.table.lock(session.holdings, bench.dispatcher.find("toy:bear"), None, None)
        bench.toys.put("bear", in_use=True)
        bench.books.put("atlas")
        bench.listening[0].heard()
        await eventually(lambda: session.told)
        bench.toys.take("bear")
        bench.listening[0].heard()
        await eventually(lambda: session.told == ["+book:atlas", "-toy:bear"])

    run(story)


def test_a_burst_costs_one_look_and_a_second_one_behind_it(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hotplug, "AFTERMATH", 0.1)

    async def story(bench: Bench) -> None:
        sessions = [bench.session() for _ in range(3)]
        for session in sessions:
            session.subscribe()
        asked = bench.toys.asked
        for number in range(50):
            bench.toys.put(str(number))
            bench.listening[0].heard()
        await eventually(lambda: bench.toys.asked == asked + 1)
        for session in sessions:
            assert session.told == [f"+toy:{number}" for number in range(50)]
        bench.toys.put("0", permissions="set by udev")  # which nobody announces
        await eventually(lambda: sessions[0].told[50:] == ["~toy:0"])
        assert bench.toys.asked == asked + 2

    run(story)


def test_a_device_is_told_when_udev_is_done_with_it(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.session()
        session.subscribe()
        (source,) = bench.listening
        source.settled = False
        bench.toys.put("bear")
        source.heard()
        await asyncio.sleep(2 * hotplug.BURST)
        assert session.told == []
        bench.toys.put("bear", permissions="set by udev")
        source.settled = True
        await eventually(lambda: session.told == ["+toy:bear"])
        assert session.events[0]["properties"] == {"permissions": "set by udev"}

    run(story)


def test_the_second_look_waits_for_udev_too(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hotplug, "AFTERMATH", 0.05)

    async def story(bench: Bench) -> None:
        session = bench.session()
        session.subscribe()
        (source,) = bench.listening
        bench.toys.put("bear")
        source.heard()
        await eventually(lambda: session.told == ["+toy:bear"])
        source.settled = False
        bench.toys.put("ball")
        await asyncio.sleep(0.2)
        assert session.told == ["+toy:bear"]
        bench.toys.put("ball", permissions="set by udev")
        source.settled = True
        await eventually(lambda: session.told == ["+toy:bear", "+toy:ball"])
        assert session.events[1]["properties"]

    run(story)


def test_a_rule_of_udev_that_hangs_holds_nothing_back_for_long(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hotplug, "PATIENCE", 0.2)

    async def story(bench: Bench) -> None:
        session = bench.session()
        session.subscribe()
        (source,) = bench.listening
        source.settled = False
        bench.toys.put("bear")
        source.heard()
        await eventually(lambda: session.told == ["+toy:bear"])
        source.heard()
        session.holdings.release()
        assert not bench.listening

    run(story)


def test_nothing_listens_or_looks_while_nobody_subscribes(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session, other = bench.session(), bench.session()
        assert not bench.sources
        session.subscribe()
        other.subscribe()
        assert len(bench.sources) == 1, "all share one"
        assert session.now("DEVICE_UNSUBSCRIBE", stream=session.stream) == {}
        assert session.now("DEVICE_UNSUBSCRIBE", stream=session.stream)["status"] == Status.NOT_FOUND
        assert len(bench.listening) == 1
        bench.toys.put("bear")
        bench.listening[0].heard()
        other.holdings.release()  # its client vanished
        assert not bench.listening
        asked = bench.toys.asked
        await asyncio.sleep(2 * hotplug.BURST)
        assert bench.toys.asked == asked
        assert session.told == other.told == []
        session.subscribe()
        bench.toys.put("ball")
        bench.listening[0].heard()
        await eventually(lambda: session.told == ["+toy:ball"])

    run(story)


def test_what_finds_no_credit_is_told_when_there_is_some(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        poor, rich = bench.session(), bench.session()
        poor.subscribe(credit_to=0)
        rich.subscribe()
        bench.toys.put("bear")
        bench.toys.put("ball")
        bench.listening[0].heard()
        await eventually(lambda: rich.told == ["+toy:bear", "+toy:ball"])
        assert poor.told == []
        stream = poor.holdings.stream(poor.stream)
        stream.configure(None, 1)
        assert poor.told == ["+toy:bear"]
        bench.toys.take("ball")  # came and went without a word
        bench.toys.take("bear")
        bench.toys.put("kite")
        stream.configure(1, 10)
        assert poor.told == ["+toy:bear", "-toy:bear", "+toy:kite"]
        assert not any("dropped" in push for push in poor.pushes())

    run(story)


def test_a_lost_connection_is_told_what_happened_meanwhile(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session, witness = bench.session(), bench.session()
        session.subscribe()
        witness.subscribe()
        bench.toys.put("bear")
        bench.listening[0].heard()
        await eventually(lambda: session.told == ["+toy:bear"])
        session.holdings.detach()
        session.wire.sent.clear()  # the push never arrived
        bench.toys.put("ball")
        bench.listening[0].heard()
        await eventually(lambda: witness.told == ["+toy:bear", "+toy:ball"])
        assert session.told == []
        session.holdings.stream(session.stream).configure(0, 1000)
        assert session.told == ["+toy:bear", "+toy:ball"]

    run(story)


def test_rights_decide_what_is_shown(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bench.toys.put("bear")
        assert bench.session(Access.WRITE).subscribe()["status"] == Status.FORBIDDEN
        session = bench.session(Access.READ_WRITE)
        session.subscribe()
        session.holdings.rights = Rights("someone", Access.READ)
        bench.hot_plug.look()
        assert session.told == ["~toy:bear"]
        session.holdings.rights = Rights("someone", Access.NONE)
        bench.toys.put("ball")
        bench.hot_plug.look()
        assert session.told == ["~toy:bear", "-toy:bear"]
        assert session.now("DEVICE_UNSUBSCRIBE", stream=session.stream) == {}

    run(story)


def test_a_driver_that_fails_to_list_takes_nothing_away(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bench.toys.put("bear")
        session = bench.session()
        session.subscribe()
        bench.toys.error = OSError(errno.ENODEV, "it went while it was asked")
        bench.books.put("atlas")
        bench.hot_plug.look()
        assert session.told == ["+book:atlas"]
        bench.toys.error = None
        bench.toys.take("bear")
        bench.hot_plug.look()
        assert session.told == ["+book:atlas", "-toy:bear"]

    run(story)


def test_a_driver_that_fails_to_find_takes_nothing_away(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bench.toys.put("bear")
        session = bench.session()
        assert session.names(resource="toy:bear") == ["toy:bear"]
        bench.toys.error = OSError(errno.EIO, "Input/output error")
        bench.hot_plug.look()
        assert session.pushes() == []
        bench.toys.error = None
        bench.toys.take("bear")
        bench.hot_plug.look()
        assert session.told == ["-toy:bear"]

    run(story)


def test_an_entry_that_cannot_be_told_ends_that_subscription_alone(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session, other = bench.session(), bench.session()
        session.subscribe(kinds=["toy"])
        other.subscribe(kinds=["book"])
        bench.toys.put("bear", thoughts=object())
        bench.books.put("atlas")
        bench.hot_plug.look()
        (push,) = session.pushes()
        assert (push["end"], push["status"]) == (True, Status.INTERNAL_ERROR)
        assert other.told == ["+book:atlas"]
        other.holdings.release()
        assert not bench.listening

    run(story)


def test_without_uevents_a_subscription_is_refused_and_leaves_nothing(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bench.refuses = OSError(errno.EAFNOSUPPORT, "Address family not supported")
        session = bench.session()
        refused = session.subscribe()
        assert (refused["status"], refused["errno"]) == (Status.HARDWARE_ERROR, "EAFNOSUPPORT")
        assert not session.holdings.streams
        bench.refuses = None
        assert session.names() == []

    run(story)


def test_a_stream_too_many_leaves_nothing(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myclerk_agent.resources.MAX_STREAMS", 0)

    async def story(bench: Bench) -> None:
        assert bench.session().subscribe()["status"] == Status.TOO_MANY
        assert len(bench.sources) == 1
        assert not bench.listening

    run(story)


def test_whatever_happens_a_subscriber_knows_in_the_end_what_is_there(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        for seed in range(50):
            chance = random.Random(seed)
            session = bench.session()
            start = session.subscribe(credit_to=chance.randrange(3))["devices"]
            known = {device["name"]: device["properties"] for device in start}
            stream, credit, consumed = session.holdings.stream(session.stream), 0, 0
            for _ in range(100):
                shelf, name = chance.choice((bench.toys, bench.books)), chance.choice("abcdef")
                if f"{shelf.kind}:{name}" in shelf.there and chance.random() < 0.5:
                    shelf.take(name)
                else:
                    shelf.put(name, number=chance.randrange(3))
                if chance.random() < 0.3:
                    bench.hot_plug.look()
                if chance.random() < 0.2:
                    credit += chance.randrange(4)
                    consumed = chance.randint(consumed, len(session.told))
                    stream.configure(consumed, credit)
            stream.configure(len(session.told), 10_000)
            bench.hot_plug.look()
            for event in session.events:
                name, properties = event["name"], event["properties"]
                assert (name in known) is (event["action"] != "add")
                if event["action"] == "remove":
                    assert known.pop(name) == properties
                else:
                    assert known.get(name) != properties
                    known[name] = properties
            there = {**bench.toys.there, **bench.books.there}
            assert known == {name: resource.properties for name, resource in there.items()}
            session.holdings.release()

    run(story)


class Overflowing(socket.socket):
    """A socket that says once that it had no room for all that came."""

    overflows = 1

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.overflows:
            self.overflows -= 1
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return super().recv(size, flags)


def test_messages_of_the_kernel_are_a_knock_on_the_door(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # for what only the virtual board has
    ours, kernels = Overflowing(fileno=pair[0].detach()), pair[1]
    ours.setblocking(False)
    monkeypatch.setattr(uevents, "_uevent_socket", lambda: ours)
    queue = tmp_path / "queue"
    monkeypatch.setattr(uevents, "UDEV_BUSY", str(queue))
    heard: list[int] = []

    async def main() -> None:
        source = Uevents(lambda: heard.append(1))
        kernels.send(b"add@/devices/virtual/tty/tty0\0")
        await eventually(lambda: len(heard) == 2)  # one for what was lost, one for what was not
        for _ in range(3):
            kernels.send(b"remove@/devices/virtual/tty/tty0\0")
        await eventually(lambda: len(heard) == 3)
        assert source.settled
        queue.touch()
        assert not source.settled
        source.close()
        source.close()

    with kernels:
        asyncio.run(main())


def test_the_kernels_socket_can_be_opened_and_closed() -> None:
    async def main() -> None:
        Uevents(lambda: None).close()

    asyncio.run(main())
