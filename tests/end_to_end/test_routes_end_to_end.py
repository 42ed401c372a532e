"""Streams that several clients share, and the routes that move them, on a running agent and a real tty."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tty
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from programs import program

import myclerk.blocking as blocking
import support
from myclerk_client import (
    BadRequest,
    Board,
    Conflict,
    Forbidden,
    KnownBoards,
    NotFound,
    OperationTimeout,
    Routes,
    SharedStream,
    Unsupported,
    pair,
)
from tracing import Trace

PORT = "serial:wire"


class Wire:
    """A tty and the far end of its line."""

    def __init__(self) -> None:
        self.far_end, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self.slave = slave

    def close(self) -> None:
        os.close(self.far_end)
        os.close(self.slave)


class Recorder(SharedStream):
    """A stream that keeps what came with its place in what the port gave."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.parts: list[tuple[int, bytearray]] = []

    def pushed(self, fields: Mapping[str, Any]) -> None:
        super().pushed(fields)
        if fields.get("active"):
            self.parts.append((fields["at"], bytearray()))
        if data := fields.get("data"):
            self.parts[-1][1].extend(data)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def doomed() -> Iterator[Wire]:
    """A tty whose far end a test closes."""
    doomed = Wire()
    yield doomed
    os.close(doomed.slave)


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory, wire: Wire, doomed: Wire, trace: Trace
) -> Iterator[support.AgentProcess]:
    """An agent with these ttys, which three users have paired: the hub, Ann and Bob."""
    directory = tmp_path_factory.mktemp("bench")
    settings = f'[drivers.serial]\nports = {{wire = "{wire.path}", doomed = "{doomed.path}"}}\n'
    with support.agent(directory, settings) as running:
        for name in ("hub", "Ann", "Bob"):
            rights = ["--administrator"] if name == "hub" else []
            link = running.link("--name", name, *rights)
            asyncio.run(pair(link, name="bench", boards=KnownBoards(directory / name / "myclerk")))
        yield running


@pytest.fixture
def home(bench: support.AgentProcess) -> Iterator[Path]:
    """Where the users have their homes, by name. No route is left over for the next test."""
    yield bench.directory

    async def forget(hub: Board, ann: Board, bob: Board) -> None:
        for route in await hub.routes.list():
            await hub.routes.delete(route["route"])

    on_boards(bench.directory, forget)


def on_boards(home: Path, story: Callable[[Board, Board, Board], Awaitable[None]]) -> None:
    """Run a story with the boards of the hub, Ann and Bob."""

    async def main() -> None:
        def board(name: str) -> Awaitable[Board]:
            return Board.connect("bench", boards=KnownBoards(home / name / "myclerk"))

        async with asyncio.timeout(90):
            async with await board("hub") as hub, await board("Ann") as ann, await board("Bob") as bob:
                await story(hub, ann, bob)

    asyncio.run(main())


async def fingerprints(hub: Board) -> dict[str, str]:
    clients = (await hub.request("CLIENT_LIST"))["clients"]
    return {client["description"]: client["fingerprint"] for client in clients}


def test_a_hub_moves_a_stream_and_it_goes_back(home: Path, wire: Wire) -> None:
    async def story(hub: Board, ann: Board, bob: Board) -> None:
        devices = await fingerprints(hub)
        async with await ann.streams.start(PORT, baud=115200) as mine, await bob.streams.start(PORT) as other:
            assert mine.settings == other.settings
            assert other.settings["baud"] == 115200
            await mine.wait_active(10)
            os.write(wire.far_end, b"one")
            assert await mine.read(timeout=10) == b"one"
            assert (other.active, other.holder) == (False, "Ann")
            with pytest.raises(OperationTimeout) as late:
                await other.wait_active(0.01)
            assert late.value.details["holder"] == "Ann"
            route = await hub.routes.create(PORT, devices["Bob"], priority=7)
            (listed,) = await hub.routes.list(PORT)
            assert (listed["client"], listed["priority"], listed["state"]) == (devices["Bob"], 7, "active")
            await other.wait_active(10)
            os.write(wire.far_end, b"two")
            assert await other.read(timeout=10) == b"two"
            assert (mine.active, mine.holder, other.at) == (False, "Bob", 3)
            assert await other.write(b"hello") == 5
            assert os.read(wire.far_end, 100) == b"hello"
            with pytest.raises(Conflict) as refused:
                await mine.write(b"no")
            assert refused.value.details["holder"] == "Bob"
            (port,) = [each for each in await hub.devices("serial") if each["name"] == PORT]
            assert port["held_by"] == "Bob"
            await hub.routes.delete(route)
            await mine.wait_active(10)
            os.write(wire.far_end, b"three")
            assert await mine.read(timeout=10) == b"three"
            assert mine.at == 6
        with pytest.raises(NotFound):
            await hub.routes.delete(route)

    on_boards(home, story)


def test_no_byte_is_lost_or_comes_twice_while_routes_and_connections_change(home: Path, wire: Wire) -> None:
    chance = random.Random(4)
    sent = chance.randbytes(400_000)

    async def story(hub: Board, ann: Board, bob: Board) -> None:
        devices = await fingerprints(hub)
        streams = []
        for board in (ann, bob):
            stream = Recorder(board.link, PORT)
            await stream.open("STREAM_START", {"resource": PORT})
            streams.append(stream)
        routes = [await hub.routes.create(PORT, devices[name]) for name in ("Ann", "Bob")]

        async def read(stream: Recorder) -> None:
            while await stream.read():
                pass

        async def disturb() -> None:
            while True:
                await hub.routes.set_priority(chance.choice(routes), chance.randrange(3))
                if chance.random() < 0.1:
                    chance.choice((ann, bob)).link.drop_connection()
                await asyncio.sleep(chance.random() / 200)

        tasks = [asyncio.create_task(work) for work in (*map(read, streams), disturb())]
        for start in range(0, len(sent), 4000):
            await asyncio.to_thread(_feed, wire.far_end, sent[start : start + 4000])
            await asyncio.sleep(0.005)
        while sum(len(data) for stream in streams for _, data in stream.parts) < len(sent):
            await asyncio.sleep(0.01)
            for task in tasks:
                assert not task.done(), task.exception()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for board in (ann, bob):
            await board.ping()  # connected again: what closes while it is not lingers
        parts = sorted((at, bytes(data)) for stream in streams for at, data in stream.parts if data)
        assert b"".join(data for _, data in parts) == sent
        assert [at for at, _ in parts] == [sum(len(d) for _, d in parts[:n]) for n in range(len(parts))]
        assert len(parts) > 5
        assert all(stream.parts for stream in streams)

    on_boards(home, story)


def _feed(far_end: int, data: bytes) -> None:
    while data:
        data = data[os.write(far_end, data) :]


def test_a_port_is_open_as_long_as_somebody_shares_it(home: Path, wire: Wire) -> None:
    async def story(hub: Board, ann: Board, bob: Board) -> None:
        mine, other = await ann.streams.start(PORT), await bob.streams.start(PORT)
        with pytest.raises(Conflict, match="with baud 9600, not 4800"):
            await hub.streams.start(PORT, baud=4800)
        with pytest.raises(Conflict) as refused:
            await hub.serial.open(PORT)
        assert refused.value.details["holder"] == "Ann"
        await mine.stop()
        await other.wait_active(10)
        await bob.close()
        async with await hub.serial.open(PORT, baud=4800):
            with pytest.raises(Conflict, match="open already in hub"):
                await ann.streams.start(PORT)

    on_boards(home, story)


def test_wrong_requests_change_nothing(home: Path) -> None:
    async def story(hub: Board, ann: Board, bob: Board) -> None:
        devices = await fingerprints(hub)
        route = await hub.routes.create(PORT, devices["Ann"])
        before = await hub.routes.list()
        refusals: list[tuple[Awaitable[Any], type[Exception]]] = [
            (hub.routes.create(PORT, devices["Ann"]), Conflict),
            (hub.routes.create("serial:nowhere", devices["Ann"]), NotFound),
            (hub.routes.create(PORT, "M" * 28), NotFound),
            (hub.routes.create(PORT, devices["Bob"], priority=65536), BadRequest),
            (hub.routes.modify(route, resource="serial:nowhere"), NotFound),
            (hub.routes.modify(route, client="M" * 28), NotFound),
            (hub.routes.set_priority(route + 1, 1), NotFound),
            (ann.routes.create(PORT, devices["Ann"]), Forbidden),
            (ann.routes.list(), Forbidden),
            (ann.routes.delete(route), Forbidden),
            (ann.routes.modify(route, client=devices["Bob"]), Forbidden),
            (ann.routes.set_priority(route, 1), Forbidden),
            (ann.request("STREAM_START", resource=PORT, type=1), Unsupported),
            (ann.request("STREAM_START", resource=PORT, hid={}), BadRequest),
            (ann.request("STREAM_START", resource="serial:nowhere"), NotFound),
            (ann.request("STREAM_DATA", stream=99, data=b""), NotFound),
            (ann.request("STREAM_QUALITY", stream=99), NotFound),
        ]
        for request, error in refusals:
            with pytest.raises(error):
                await request
        assert await hub.routes.list() == before
        await hub.routes.modify(route, client=devices["Bob"])
        assert [entry["client"] for entry in await hub.routes.list()] == [devices["Bob"]]

    on_boards(home, story)


def test_a_hub_need_not_be_an_administrator(home: Path, bench: support.AgentProcess) -> None:
    bench.command("access", "hub", "Ann")

    async def story(hub: Board, ann: Board, bob: Board) -> None:
        async with await ann.streams.start(PORT), await bob.streams.start(PORT) as other:
            route = await ann.routes.create(PORT, (await fingerprints(hub))["Bob"])
            await other.wait_active(10)
            await ann.routes.delete(route)

    on_boards(home, story)
    bench.command("access", "hub", "Ann", "--off")
    with pytest.raises(Forbidden):
        on_boards(home, story)


def test_a_right_that_is_taken_away_passes_the_stream_on(
    home: Path, bench: support.AgentProcess, wire: Wire
) -> None:
    async def story(hub: Board, ann: Board, bob: Board) -> None:
        async with await bob.streams.start(PORT) as other, await ann.streams.start(PORT) as mine:
            assert other.holder is None
            await asyncio.to_thread(bench.command, "access", "grant", "Bob", PORT, "read")
            await mine.wait_active(30)
            os.write(wire.far_end, b"for Ann")
            assert await mine.read(timeout=10) == b"for Ann"
            with pytest.raises(Forbidden, match="taken away"):
                await other.read(timeout=10)
            with pytest.raises(Forbidden, match="needs read-write access"):
                await bob.streams.start(PORT)

    try:
        on_boards(home, story)
    finally:
        bench.command("access", "revoke", "Bob", PORT)


def test_routes_survive_a_restart_of_the_agent(home: Path, bench: support.AgentProcess) -> None:
    async def make(hub: Board, ann: Board, bob: Board) -> None:
        await hub.routes.create(PORT, (await fingerprints(hub))["Bob"], priority=3)

    async def look(hub: Board, ann: Board, bob: Board) -> None:
        async with await ann.streams.start(PORT), await bob.streams.start(PORT) as other:
            await other.wait_active(10)
            assert [route["state"] for route in await hub.routes.list()] == ["active"]

    on_boards(home, make)
    bench.stop()
    bench.start()
    on_boards(home, look)


def test_quality_pause_and_what_a_plain_stream_cannot(home: Path, wire: Wire) -> None:
    async def story(hub: Board, ann: Board, bob: Board) -> None:
        async with await ann.streams.start(PORT) as stream:
            assert await stream.set_quality(interval=0.05) == {"interval": 0.05, "rate": 0}
            assert await stream.set_quality(rate=100_000) == {"interval": 0.05, "rate": 100_000}
            with pytest.raises(BadRequest):
                await stream.set_quality(interval=61.0)
            data = random.Random(1).randbytes(30_000)
            feeding = asyncio.create_task(asyncio.to_thread(_feed, wire.far_end, data))
            received = b""
            while len(received) < len(data):
                received += await stream.read(timeout=20)
            assert received == data
            await feeding
            await stream.set_quality(interval=0, rate=0)
            await stream.pause()
            os.write(wire.far_end, b"later")
            assert await stream.read(timeout=0.1) == b""
            await stream.resume()
            assert await stream.read(timeout=10) == b"later"
        async with await ann.serial.open(PORT) as port:
            await port.read(timeout=0)
            (number,) = ann.link._streams
            with pytest.raises(Unsupported, match="STREAM_START"):
                await ann.request("STREAM_DATA", stream=number, data=b"x")

    on_boards(home, story)


def test_a_stream_ends_when_the_port_goes(home: Path, doomed: Wire) -> None:
    async def story(hub: Board, ann: Board, bob: Board) -> None:
        streams = [await board.streams.start("serial:doomed") for board in (ann, bob)]
        os.write(doomed.far_end, b"last words")
        assert await streams[0].read(timeout=10) == b"last words"
        os.close(doomed.far_end)
        for stream in streams:
            with pytest.raises(ConnectionError, match="serial:doomed"):
                await stream.read(timeout=10)
            await stream.stop()

    on_boards(home, story)


def test_the_blocking_library(home: Path, wire: Wire) -> None:
    homes = {name: blocking.KnownBoards(home / name / "myclerk") for name in ("hub", "Ann")}
    with blocking.Board.connect("bench", boards=homes["hub"]) as hub:
        with blocking.Board.connect("bench", boards=homes["Ann"]) as ann, ann.streams.start(PORT) as stream:
            os.write(wire.far_end, b"hello")
            assert stream.read(timeout=10) == b"hello"
            assert stream.active
            clients = hub.request("CLIENT_LIST")["clients"]
            route = hub.routes.create(PORT, clients[0]["fingerprint"])
            assert [each["state"] for each in hub.routes.list()] == ["idle"]
            hub.routes.delete(route)
    assert not isinstance(hub.routes, Routes)


# -- the commands ------------------------------------------------------------------------------------------


def test_the_commands(home: Path, wire: Wire) -> None:
    def run(*words: str) -> Any:
        ended = support.run_cli(home / "hub", *words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.decode()

    with program(home / "Ann", "serial", "join", "wire") as ann:
        ann.expect(b"is routed here")
        with program(home / "Bob", "serial", "join", PORT) as bob:
            bob.expect(b"is routed to Ann; waiting")
            os.write(wire.far_end, b"for Ann\n")
            ann.expect(b"for Ann\n")
            route = run("routes", "create", PORT, "Bob", "--priority", "2").strip()
            bob.expect(b"is routed here")
            ann.expect(b"is routed to Bob; waiting")
            os.write(wire.far_end, b"for Bob\n")
            bob.expect(b"for Bob\n")
            bob.type(b"from Bob\n")
            assert os.read(wire.far_end, 100) == b"from Bob\n"
            ann.type(b"from Ann\n")
            ann.expect(b"is routed to Bob")
            listed = run("routes", "list")
            assert listed.split("\n")[1].split()[1:3] == [PORT, "Bob"]
            assert listed.split("\n")[1].split()[-2:] == ["2", "active"]
            assert json.loads(run("routes", "list", PORT, "--json"))[0]["name"] == "Bob"
            run("routes", "modify", route, "--client", "Ann")
            ann.expect(b"is routed here")
            run("routes", "priority", route, "9")
            run("routes", "delete", route)
            assert json.loads(run("routes", "list", "--json")) == []
        os.write(wire.far_end, b"still for Ann\n")
        ann.expect(b"still for Ann\n")


def test_commands_that_are_wrong(home: Path) -> None:
    def run(user: str, *words: str) -> tuple[int, str]:
        ended = support.run_cli(home / user, *words)
        return ended.returncode, ended.stderr.decode()

    code, said = run("hub", "routes", "create", PORT, "Zoe")
    assert (code, "'Zoe'" in said) == (1, True)
    assert run("hub", "routes", "modify", "1")[0] == 2
    assert run("hub", "routes", "delete", "4000000")[0] == 1
    assert run("Ann", "routes", "list")[0] == 5
    assert run("Ann", "serial", "join", "nowhere")[0] == 1
