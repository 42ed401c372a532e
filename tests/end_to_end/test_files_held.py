"""A command beside the agent that was stopped (Ctrl-Z) while it holds the agent's files keeps nobody waiting."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import support
from myclerk_client import Board, KnownBoards, ServiceUnavailable, pair


@contextmanager
def database_held(agent: support.AgentProcess) -> Iterator[None]:
    """A transaction that writes and does not end."""
    with closing(sqlite3.connect(agent.state / "agent.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def audit_log_held(agent: support.AgentProcess) -> Iterator[None]:
    with (agent.state / "audit.jsonl").open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        yield


@pytest.fixture
def friend(running_agent: support.AgentProcess, tmp_path: Path) -> KnownBoards:
    boards = KnownBoards(tmp_path / "friend")
    asyncio.run(pair(running_agent.link(), name="bench", boards=boards))
    return boards


def test_a_held_database_stops_no_session_and_no_login(
    running_agent: support.AgentProcess, friend: KnownBoards
) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=friend) as board:
            with database_held(running_agent):
                async with await board.serial.open("echo", exclusive=False) as port:
                    await port.write(b"through")
                    assert await port.read_exactly(7, timeout=4) == b"through"
                async with await Board.connect("bench", boards=friend) as second:
                    assert await second.ping() > 0

    asyncio.run(story())


def test_pairing_waits_for_a_held_database_and_then_goes_on(
    running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    link = running_agent.link()

    async def story() -> None:
        with database_held(running_agent):
            pairing = asyncio.create_task(pair(link, name="bench", boards=KnownBoards(tmp_path / "ann")))
            await asyncio.sleep(1.5)
            assert not pairing.done()
        assert (await pairing).name == "bench"

    asyncio.run(story())


def test_pairing_gives_up_when_the_database_stays_held(
    running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    link = running_agent.link()
    with database_held(running_agent), pytest.raises(ServiceUnavailable, match="try again"):
        asyncio.run(pair(link, name="bench", boards=KnownBoards(tmp_path / "ann"), timeout=30))
    assert asyncio.run(pair(link, name="bench", boards=KnownBoards(tmp_path / "ann"))).name == "bench"


def test_a_held_audit_log_stops_nothing_and_gets_everything_later(
    running_agent: support.AgentProcess, friend: KnownBoards
) -> None:
    async def story() -> None:
        with audit_log_held(running_agent):
            for _ in range(3):
                async with await Board.connect("bench", boards=friend) as board:
                    async with await board.serial.open("echo", exclusive=False):
                        assert await board.ping() > 0

    def opened() -> int:
        lines = running_agent.command("audit", "tail", "-n", "1000", "--json").splitlines()
        return sum(json.loads(line)["action"] == "SERIAL_PORT_OPEN" for line in lines)

    before = opened()
    asyncio.run(story())

    async def written() -> None:
        for _ in range(50):
            if await asyncio.to_thread(opened) == before + 3:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the records are not there")

    asyncio.run(written())
    assert "the chain holds" in running_agent.command("audit", "verify")
