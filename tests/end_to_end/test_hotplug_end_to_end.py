"""Hot-plug through a real agent, without a kernel that plugs: a tty comes and goes with a link to it.

Nothing announces that here. The agent looks when a stream goes on and when its store was changed, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from programs import program

import myclerk.blocking
import support
from myclerk_client import (
    Board,
    DeviceEvents,
    KnownBoards,
    LocalError,
    NotFound,
    OperationTimeout,
    SessionLost,
    pair,
)
from tracing import Trace

T = TypeVar("T")
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "board.toml"


class Port:
    """serial:late, which is there while the link is."""

    def __init__(self, device: support.EchoDevice, directory: Path) -> None:
        self._device = device
        self.path = directory / "late"

    def plug(self) -> None:
        os.symlink(self._device.path, self.path)

    def unplug(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hotplug")


@pytest.fixture(scope="module")
def agent(directory: Path, trace: Trace) -> Iterator[support.AgentProcess]:
    settings = f'[drivers.serial]\nports = {{late = "{directory}/late"}}\n'
    with support.agent(directory, settings) as running:
        asyncio.run(
            pair(running.link("--administrator"), name="bench", boards=KnownBoards(directory / "myclerk"))
        )
        yield running


@pytest.fixture
def port(echo_device: support.EchoDevice, directory: Path) -> Iterator[Port]:
    port = Port(echo_device, directory)
    yield port
    port.unplug()


def on_board(directory: Path, story: Callable[[Board], Awaitable[T]]) -> T:
    async def run() -> T:
        async with await Board.connect("bench", boards=KnownBoards(directory / "myclerk")) as board:
            return await story(board)

    return asyncio.run(run())


async def next_of(events: DeviceEvents) -> tuple[str, dict[str, Any]]:
    async with asyncio.timeout(30):
        event = await events.next()
    assert event is not None
    return event["action"], event["device"]


def test_events_go_on_over_a_lost_connection(
    agent: support.AgentProcess, directory: Path, port: Port
) -> None:
    async def story(board: Board) -> None:
        async with board.subscribe("serial") as events:
            assert events.devices == await board.devices("serial")
            for _ in range(3):
                port.plug()
                board.link.drop_connection()
                action, device = await next_of(events)
                assert (action, device) == ("add", await board.device("serial:late"))
                port.unplug()
                board.link.drop_connection()
                assert await next_of(events) == ("remove", device)

    on_board(directory, story)


def test_a_resource_is_waited_for(agent: support.AgentProcess, directory: Path, port: Port) -> None:
    async def story(board: Board) -> None:
        with pytest.raises(NotFound, match="film"):
            await board.wait_for("film:noir")
        with pytest.raises(OperationTimeout, match="serial:late"):
            await board.wait_for("serial:late", timeout=0.1)
        waiting = asyncio.create_task(board.wait_for("serial:late", timeout=30))
        async with board.subscribe(resource="serial:late") as events:
            port.plug()
            board.link.drop_connection()
            assert await waiting == (await next_of(events))[1] == await board.wait_for("serial:late")

    on_board(directory, story)


def test_unsubscribing_frees_what_was_subscribed(agent: support.AgentProcess, directory: Path) -> None:
    async def story(board: Board) -> None:
        with pytest.raises(LocalError):
            await board.subscribe().next()
        for _ in range(300):  # more than a session may have at once
            async with board.subscribe(["serial", "can"]) as events:
                pass
            assert await events.next() is None
        with pytest.raises(NotFound):
            await board.request("DEVICE_UNSUBSCRIBE", stream=4_000_000)

    on_board(directory, story)


def test_a_session_that_was_lost_ends_a_subscription(tmp_path: Path) -> None:
    boards = KnownBoards(tmp_path / "myclerk")

    async def story(agent: support.AgentProcess) -> None:
        await pair(agent.link(), name="bench", boards=boards)
        async with await Board.connect("bench", boards=boards) as board:
            async with board.subscribe() as events:
                agent.stop(signal.SIGKILL)
                agent.start()
                with pytest.raises(SessionLost):
                    await events.next()
            async with board.subscribe() as events:
                assert events.devices == await board.devices()

    with support.agent(tmp_path) as agent:
        asyncio.run(story(agent))


@pytest.mark.backend("simulated board")
def test_a_simulated_board_can_be_watched(tmp_path: Path) -> None:
    async def story(socket: Path) -> None:
        async with await Board.connect(f"unix:{socket}") as board:
            async with board.subscribe() as everything, board.subscribe(resource="gpio:LED") as led:
                assert everything.devices == await board.devices()
                assert led.devices == [await board.device("gpio:LED")]
                assert await board.wait_for("can:can0") in everything.devices

    with support.agent(tmp_path, options=("--simulate", str(EXAMPLE))) as agent:
        asyncio.run(story(agent.unix_socket))


def test_a_script_without_await(
    agent: support.AgentProcess, directory: Path, port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory))
    with myclerk.blocking.Board.connect("bench") as board, board.subscribe("serial") as events:
        port.plug()
        agent.link()  # changes the store
        for event in events:
            assert (event["action"], event["device"]["name"]) == ("add", "serial:late")
            break
        port.unplug()
        agent.link()
        event = events.next()
        assert event is not None
        assert event["action"] == "remove"
        assert "serial:late" not in [device["name"] for device in events.devices]


@pytest.mark.parametrize("kind", [[], ["serial"]])
def test_the_command_shows_a_line_for_each(
    agent: support.AgentProcess, directory: Path, port: Port, kind: list[str]
) -> None:
    with program(directory, "devices", "--watch", *kind) as watch:
        watch.expect(b"watching bench; Ctrl-C ends it\n")
        port.plug()
        agent.link()
        watch.expect(f"+ serial:late  late ({port.path})\n".encode())
        port.unplug()
        agent.link()
        watch.expect(b"- serial:late  ")
        assert watch.stop() == 130


def test_the_command_as_json(agent: support.AgentProcess, directory: Path, port: Port) -> None:
    with program(directory, "--json", "devices", "--watch", "serial") as watch:
        assert watch.process.stdout is not None
        for number in range(30):  # nothing says when it has subscribed
            (port.unplug if number % 2 else port.plug)()
            agent.link()
            if select.select([watch.process.stdout], [], [], 2)[0]:
                break
        told = json.loads(watch.expect(b"\n"))
        assert told["action"] in ("add", "remove")
        assert told["device"]["name"] == "serial:late"
        assert told["device"]["access"] == "read-write"
        assert watch.stop() == 130
