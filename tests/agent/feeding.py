"""What the tests of shared streams have in common: a driver with one port, and clients that note what they get."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from myclerk_agent.feeds import Feeds
from myclerk_agent.resources import Holdings, Rights
from myclerk_agent.routes import Routes
from myclerk_agent.streams import AgentStream
from myclerk_agent.subscription import Subscription
from myclerk_agent.table import ResourceTable
from myclerk_drivers.base import Access, Driver, Handle, Resource, Stream, StreamHandle, StreamType
from myclerk_drivers.context import StreamSink
from myclerk_protocol.exchange import Mode
from myclerk_protocol.payloads import unpack
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.seal import Aead
from myclerk_protocol.status import Conflict

PORT = Resource("serial:tty0", aliases=("serial:by-id-0",))


class Tap(Stream):
    """Bytes that wait in a kernel until somebody has credit for them."""

    is_bytes = True

    def __init__(self) -> None:
        self.waiting = b""
        self.running = False
        self.closed = 0
        self.sink: StreamSink | None = None

    def start(self, sink: StreamSink) -> None:
        self.sink, self.running = sink, True
        self.flow()

    def resume(self) -> None:
        self.running = True
        self.flow()

    def pause(self) -> None:
        self.running = False

    def close(self) -> None:
        self.closed += 1
        self.running = False

    def flow(self, data: bytes = b"") -> None:
        self.waiting += data
        while self.running and self.waiting and self.sink is not None and (credit := self.sink.credit) > 0:
            piece, self.waiting = self.waiting[: min(credit, 7)], self.waiting[min(credit, 7) :]
            self.sink.push_bytes(piece)


class Port(StreamHandle):
    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.tap = Tap()
        self.closed = 0
        self.passed: list[Mapping[str, Any]] = []
        self.written = b""
        self.refuses: Exception | None = None

    def open_stream(self) -> Stream:
        return self.tap

    def describe_stream(self) -> Mapping[str, Any]:
        return {"serial": {"baud": 9600}}

    def admit(self, options: Mapping[str, Any]) -> None:
        if options.get("baud", 9600) != 9600:
            raise Conflict("another rate is in force", key="serial.baud")

    def pass_to(self, options: Mapping[str, Any]) -> None:
        if options.get("grab") and self.refuses is not None:
            raise self.refuses
        self.passed.append(options)

    def write_data(self, data: bytes) -> Mapping[str, Any]:
        self.written += data
        return {"written": len(data)}

    def close(self) -> None:
        self.closed += 1


class Ports(Driver):
    kind = "serial"
    stream_type = StreamType.SERIAL

    def __init__(self) -> None:
        self.opened: list[Port] = []
        self.fails: Exception | None = None

    def resources(self) -> list[Resource]:
        return [PORT]

    def open_stream_handle(self, resource: Resource, options: Mapping[str, Any]) -> Port:
        if self.fails is not None:
            raise self.fails
        self.opened.append(Port(resource))
        return self.opened[-1]


class Exclusive(Handle):
    def close(self) -> None:
        pass


class Outbox:
    def __init__(self) -> None:
        self.pushes: list[dict[str, Any]] = []

    def send(
        self, version: int, tier: int, opcode: int, request_id: int, payload: bytes, *rest: object
    ) -> None:
        self.pushes.append(unpack(payload))


class Carrier:
    def __init__(self) -> None:
        self.outbox = Outbox()


class Client:
    """A session and its one stream; what it has received is put together as a client does that."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench = bench
        self.name = name
        self.record = SessionRecord(1, 1, Mode.HYBRID, Aead.CHACHA20, 5, frozenset(), b"", name)
        self.holdings = Holdings(self.record, Rights(name, Access.READ_WRITE), bench.table)
        self.stream: AgentStream | None = None
        self.parts: list[tuple[int, bytes]] = []
        """Bytes with the position of the first of them in what the resource gave."""
        self.received = 0
        self.news: list[dict[str, Any]] = []
        self.end: dict[str, Any] | None = None
        self.granted = 0
        self.connect()

    def connect(self) -> None:
        self.carrier = Carrier()
        self.record.session = self.carrier  # type: ignore[assignment]

    async def join(self, credit: int = 1 << 20, access: Access = Access.READ, **options: Any) -> Subscription:
        source = await self.bench.feeds.subscribe(self.holdings, self.bench.driver, PORT, options, access)
        self.stream = AgentStream(self.record, 9, 3, source, credit_to=credit)
        self.granted = credit
        self.holdings.add_stream(9, self.stream)
        self.stream.start()
        return source

    def hear(self) -> bytes:
        """Take in what was pushed; the bytes of it."""
        heard = b""
        for push in self.carrier.outbox.pushes:
            if "data" in push:
                assert push["offset"] == self.received
                assert self.news, "data comes behind the word that the stream is here"
                data = bytes(push["data"])
                heard += data
                self.received += len(data)
                at, before = self.parts.pop() if self.parts and not self.fresh else (self.news[-1]["at"], b"")
                self.parts.append((at, before + data))
                self.fresh = False
            if "active" in push and push not in self.news[-1:]:
                self.news.append(push)
                self.fresh = push["active"]
            if push.get("end"):
                self.end = push
        self.carrier.outbox.pushes.clear()
        return heard

    fresh = False

    @property
    def active(self) -> bool:
        self.hear()
        return bool(self.news and self.news[-1]["active"])

    def drop(self, *, lost: bool) -> None:
        """The connection is lost, perhaps with what was under way."""
        if not lost:
            self.hear()
        self.record.session = None
        self.holdings.detach()
        self.carrier.outbox.pushes.clear()

    def resume(self) -> None:
        self.connect()
        assert self.stream is not None
        self.stream.configure(self.received, self.granted)


class Bench:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.table = ResourceTable({}.get)
        self.driver = Ports()
        self.routes = Routes(directory, lambda: 1_700_000_000.9)
        self.gate: asyncio.Event | None = None
        self.feeds = Feeds(self.routes.rank, self.in_turn, self.table.put_first)
        self.routes.on_change = self.feeds.choose

    def in_turn(self, name: str, function: Callable[[], StreamHandle]) -> asyncio.Future[StreamHandle]:
        async def opened() -> StreamHandle:
            if self.gate is not None:
                await self.gate.wait()
            return function()

        return asyncio.ensure_future(opened())

    def client(self, name: str) -> Client:
        return Client(self, name)

    @property
    def port(self) -> Port:
        return self.driver.opened[-1]


Story = Callable[[Bench], Awaitable[None]]


def run(directory: Path, story: Story) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await story(Bench(directory))

    asyncio.run(main())
