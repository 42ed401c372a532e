"""A third party's driver tested as installed: in a directory of its own, with a real agent and client."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

import support
from myclerk_client import BadRequest, Board, EventStream, KnownBoards, LocalError, NotFound, pair
from tracing import Trace

pytestmark = [pytest.mark.agent_process, pytest.mark.backend("kernel of the host (proc)")]

SAMPLE = Path(__file__).parents[1] / "examples" / "health-driver"
T = TypeVar("T")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which pip has installed the sample, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(SAMPLE)],
        check=True,
        timeout=100,
    )
    return target


@pytest.fixture(scope="module")
def thermal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thermal class as sysfs has it: two zones that work, one whose sensor is off."""
    directory = tmp_path_factory.mktemp("thermal")
    for number, (kind, temperature) in enumerate([("cpu-thermal", "48312"), ("gpu", "-2500"), ("off", None)]):
        zone = directory / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(f"{kind}\n")
        if temperature is not None:
            (zone / "temp").write_text(f"{temperature}\n")
    return directory


@pytest.fixture(scope="module")
def sample_boards(
    tmp_path_factory: pytest.TempPathFactory, installed: Path, thermal: Path, trace: Trace
) -> Iterator[KnownBoards]:
    """The boards of a user who has paired an agent that has the sample installed."""
    settings = f'[drivers.health]\nthermal = "{thermal}"\n'
    with support.agent(tmp_path_factory.mktemp("agent"), settings, {"PYTHONPATH": str(installed)}) as running:
        boards = KnownBoards(tmp_path_factory.mktemp("client"))
        asyncio.run(pair(running.link("--access", "read"), name="bench", boards=boards))
        yield boards


@pytest.fixture
def sample(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The sample's client module, as installed."""
    monkeypatch.syspath_prepend(str(installed))
    module = importlib.import_module("myclerk_health.client")
    assert Path(str(module.__file__)).is_relative_to(installed)
    return module


def on_board(boards: KnownBoards, story: Callable[[Board], Awaitable[T]]) -> T:
    async def run() -> T:
        async with await Board.connect("bench", boards=boards) as board:
            return await story(board)

    return asyncio.run(run())


def test_the_resource_is_listed_with_its_operations(sample_boards: KnownBoards, sample: Any) -> None:
    async def story(board: Board) -> None:
        (device,) = await board.devices("health")
        assert device["name"] == "health:cpu"
        assert device["properties"] == {"processors": os.cpu_count()}
        names = {name for name in await board.operations("health:cpu") if name.startswith("HEALTH_")}
        assert names == {operation.name for operation in sample.OPERATIONS}

    on_board(sample_boards, story)


def test_a_quick_operation(sample_boards: KnownBoards, sample: Any) -> None:
    async def story(board: Board) -> None:
        health = await sample.Health(board).read()
        assert health["uptime"] == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=60)
        assert 0 < health["memory_available"] <= health["memory_total"]
        assert health["memory_total"] == pytest.approx(physical_memory(), rel=0.1)
        assert health["load_1"] >= 0

    on_board(sample_boards, story)


def test_a_slow_operation_with_nested_fields(sample_boards: KnownBoards, sample: Any) -> None:
    async def story(board: Board) -> None:
        assert await sample.Health(board).temperatures() == [
            {"name": "thermal_zone0", "kind": "cpu-thermal", "celsius": 48.312},
            {"name": "thermal_zone1", "kind": "gpu", "celsius": -2.5},
        ]

    on_board(sample_boards, story)


def test_a_handle_measures_from_one_look_to_the_next(sample_boards: KnownBoards, sample: Any) -> None:
    async def story(board: Board) -> None:
        async with await sample.Health(board).monitor() as monitor:
            assert monitor.processors == os.cpu_count()
            work_until = time.process_time() + 0.3
            while time.process_time() < work_until:
                pass
            assert 0.0 < await monitor.read() <= 1.0
        with pytest.raises(NotFound, match="handle"):
            await monitor.read()

    on_board(sample_boards, story)


def test_two_sessions_measure_at_once(sample_boards: KnownBoards, sample: Any) -> None:
    async def story(board: Board) -> None:
        async with (
            await sample.Health(board).monitor(),
            await Board.connect("bench", boards=sample_boards) as other,
            await sample.Health(other).monitor() as monitor,
        ):
            await asyncio.sleep(0.1)
            assert await monitor.read() is not None

    on_board(sample_boards, story)


def test_a_stream_of_events_survives_a_dropped_connection(sample_boards: KnownBoards, sample: Any) -> None:
    async def story(board: Board) -> None:
        async with await sample.Health(board).monitor() as monitor:
            stream = await monitor.watch(interval=0.1)
            first = await stream.next()
            board.link.drop_connection()
            later = [await stream.next() for _ in range(3)]
            assert board.session["resumed"]
            await stream.stop()
        times = [event["timestamp_ns"] for event in [first, *later]]
        assert times == sorted(set(times))
        assert abs(times[0] / 1e9 - time.time()) < 60
        assert all(0.0 <= event["busy"] <= 1.0 for event in [first, *later])

    on_board(sample_boards, story)


def test_events_beyond_the_credit_are_dropped_and_counted(sample_boards: KnownBoards, sample: Any) -> None:
    async def story(board: Board) -> None:
        opened = await board.request("HEALTH_MONITOR_OPEN", resource=sample.Health(board).resource)
        stream = EventStream(board.link, window=2)
        await stream.open("HEALTH_MONITOR_WATCH", {"handle": opened["handle"], "interval": 0.1})
        await asyncio.sleep(1.0)
        assert stream.dropped == 0  # told with the next event that finds credit
        for _ in range(3):
            await stream.next()
        assert stream.dropped >= 3
        await stream.stop()

    on_board(sample_boards, story)


def test_the_schema_is_enforced_at_the_agent(sample_boards: KnownBoards, sample: Any) -> None:
    async def story(board: Board) -> None:
        async with await sample.Health(board).monitor() as monitor:
            with pytest.raises(BadRequest) as refused:
                await monitor.watch(interval=0.0)
            assert refused.value.details["key"] == "interval"
        with pytest.raises(NotFound):
            await board.request("HEALTH_READ", resource="health:gpu")
        with pytest.raises(BadRequest, match="health"):
            await board.request("HEALTH_READ", resource="serial:ttyS0")

    on_board(sample_boards, story)


def test_a_client_without_the_sample_does_not_know_its_operations(sample_boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        with pytest.raises(LocalError, match="HEALTH_READ"):
            await board.request("HEALTH_READ", resource="health:cpu")

    on_board(sample_boards, story)


def physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
