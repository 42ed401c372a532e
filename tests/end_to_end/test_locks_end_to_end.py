"""Locks of a running agent: shared with what a command starts, broken, queued, and stormed."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Run, program

import support
from myclerk_client import Board, Conflict, Forbidden, KnownBoards, MyClerkError, NotFound, pair
from tracing import Trace

MYCLERK = f"{sys.executable} -m myclerk_client.cli"


@pytest.fixture(scope="module")
def stormy(
    tmp_path_factory: pytest.TempPathFactory, echo_device: support.EchoDevice, trace: Trace
) -> Iterator[KnownBoards]:
    """The boards of a user who has paired an agent that lets go of lost sessions at once, and allows many."""
    directory = tmp_path_factory.mktemp("stormy")
    settings = f'[drivers.serial]\nports = {{echo = "{echo_device.path}"}}\n'
    agent = support.AgentProcess(directory, settings)
    text = agent.config.read_text()
    agent.config.write_text(text.replace("[server]", "[server]\nlinger = 0\nsessions-per-device = 64"))
    agent.start()
    boards = KnownBoards(directory / "home")
    try:
        asyncio.run(pair(agent.link(), name="bench", boards=boards))
        yield boards
    finally:
        agent.stop()


def test_what_a_command_starts_shares_its_lock(run: Run, echo_port: str) -> None:
    inner = f"{MYCLERK} serial send {echo_port} x && {MYCLERK} serial lines {echo_port}; echo ended by $?"
    code, out, err = run("lock", echo_port, "--", "sh", "-c", inner)
    assert code == 0
    assert out == b"ended by 1\n", "a pty has no lines, but it was opened"
    assert "locked" not in err
    nested = f"{MYCLERK} lock {echo_port} -- {MYCLERK} serial send {echo_port} x"
    assert run("lock", echo_port, "--", "sh", "-c", nested)[0] == 0, "a lock within it is the same one"


def test_a_lock_of_one_board_is_not_asked_for_at_another(
    running_agent: support.AgentProcess, boards: KnownBoards, echo_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            lock = board.lock(echo_port)
            async with lock:
                assert lock.key is not None
                for words in (
                    f"other/{echo_port}={lock.key.hex()}",
                    "bench/x",
                    f"bench/{echo_port}=zz",
                    "=",
                    "a=b",
                ):
                    monkeypatch.setenv("MYCLERK_LOCKS", words)
                    async with await Board.connect("bench", boards=boards) as other:
                        with pytest.raises(Conflict):
                            await other.serial.open(echo_port)
                monkeypatch.setenv("MYCLERK_LOCKS", f"a/b=00  bench/{echo_port}={lock.key.hex()}")
                async with await Board.connect("bench", boards=boards) as other:
                    await (await other.serial.open(echo_port)).close()

    asyncio.run(story())


def test_a_key_is_handed_on(boards: KnownBoards, echo_port: str) -> None:
    async def story() -> None:
        async with (
            await Board.connect("bench", boards=boards) as board,
            await Board.connect("bench", boards=boards) as other,
        ):
            lock = board.lock(echo_port)
            async with lock:
                async with other.lock(echo_port, key=lock.key):
                    await (await other.serial.open(echo_port)).close()
                with pytest.raises(Conflict):
                    await other.serial.open(echo_port)
            with pytest.raises(Conflict, match="has fallen"):
                await other.lock(echo_port, key=lock.key).acquire()

    asyncio.run(story())


def test_administrators_break_locks_and_nobody_else(
    running_agent: support.AgentProcess, run: Run, paired_home: Path, tmp_path: Path, echo_port: str
) -> None:
    asyncio.run(pair(running_agent.link(), name="bench", boards=KnownBoards(tmp_path / "myclerk")))
    with program(paired_home, "lock", echo_port, "--", "sh", "-c", "echo locked; read line") as holder:
        holder.expect(b"locked")
        assert run("unlock", echo_port, home=tmp_path)[0] == 5
        assert run("serial", "send", echo_port, "x")[0] == 6
        assert run("unlock", echo_port)[0] == 0
        assert run("serial", "send", echo_port, "x")[0] == 0
        holder.type(b"\n")
        holder.expect(b"was not locked to the end")
        assert holder.process.wait(20) == 0
    assert run("unlock", echo_port)[0] == 1

    async def story() -> None:
        async with await Board.connect("bench", boards=KnownBoards(tmp_path / "myclerk")) as board:
            with pytest.raises(Forbidden):
                await board.break_lock(echo_port)

    asyncio.run(story())


def test_the_queue_is_fair_between_commands(paired_home: Path, echo_port: str) -> None:
    script = "echo mine; read line"
    with program(paired_home, "lock", echo_port, "--", "sh", "-c", script) as first:
        first.expect(b"mine")
        words = ("lock", echo_port, "--wait", "60", "--")
        with program(paired_home, *words, "sh", "-c", script) as second:
            await_waiter(paired_home, echo_port)
            with program(paired_home, *words, "sh", "-c", "echo last") as third:
                first.type(b"\n")
                second.expect(b"mine")
                assert third.process.poll() is None
                second.type(b"\n")
                third.expect(b"last")


def await_waiter(home: Path, resource: str) -> None:
    """Until somebody waits for the lock: then it is refused for that, not for the lock alone."""

    async def story() -> None:
        async with await Board.connect("bench", boards=KnownBoards(home / "myclerk")) as board:
            async with asyncio.timeout(30):
                while True:
                    before = (await board.device(resource)).get("waiting")
                    if before:
                        return
                    await asyncio.sleep(0.05)

    asyncio.run(story())


@pytest.mark.parametrize("seed", range(2))
def test_a_storm_of_locks_with_clients_killed_at_random(
    stormy: KnownBoards, echo_port: str, seed: int
) -> None:
    """Whoever holds the lock has the port alone; the locks of the dead fall; everybody comes to an end."""
    chance = random.Random(seed)
    inside: list[str] = []
    served = 0

    async def client(name: str) -> None:
        nonlocal served
        for turn in range(6):
            who = f"{name}.{turn}"
            board = await Board.connect("bench", boards=stormy, reconnect=0.0)
            killed = chance.random() < 0.3
            try:
                if killed and chance.random() < 0.5:
                    asyncio.get_running_loop().call_later(chance.random() / 50, board.link.drop_connection)
                async with board.lock(echo_port, wait=90.0):
                    if not killed:
                        assert not inside
                        inside.append(who)
                        port = await board.serial.open(echo_port)
                        await port.close()
                        inside.remove(who)
                        served += 1
                    else:
                        board.link.drop_connection()
                        await asyncio.sleep(0)
            except (MyClerkError, LookupError):
                assert killed, f"{who} was refused"
            finally:
                await board.close()

    async def storm() -> None:
        async with asyncio.timeout(100):
            await asyncio.gather(*(client(f"client {number}") for number in range(6)))
            async with await Board.connect("bench", boards=stormy) as board:
                async with asyncio.timeout(30):
                    await board.lock(echo_port, wait=30.0).acquire()
                with pytest.raises(NotFound):
                    await board.lock("serial:nowhere").acquire()

    asyncio.run(storm())
    assert served > 10
