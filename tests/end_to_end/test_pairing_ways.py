"""Other ways to pair than by an invitation: asking an administrator, typing the PIN, scanning a board's label."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import support
from myclerk_client import AgentNotTrusted, Board, ConnectionLost, KnownBoards, Unauthorized, pair


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[support.AgentProcess]:
    """An agent whose administrators decide on requests without a PIN."""
    with support.agent(tmp_path, "[security]\nallow-requests-without-pin = true\n") as running:
        yield running


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[support.AgentProcess]:
    """An agent as it comes."""
    with support.agent(tmp_path) as running:
        yield running


def link_without_pin(agent: support.AgentProcess) -> str:
    return agent.link().partition("#")[0]


def link_without_fingerprint(agent: support.AgentProcess) -> str:
    before, _, pin = agent.link().partition("#")
    return f"{before.rpartition('/')[0]}#{pin}"


async def until_asked(agent: support.AgentProcess, count: int = 1) -> list[str]:
    """The lines of `myclerk-agent pending` once there are ``count``."""
    for _ in range(100):
        lines = (await asyncio.to_thread(agent.command, "pending")).splitlines()
        if len(lines) == count:
            return lines
        await asyncio.sleep(0.1)
    raise AssertionError("nobody asked")


def test_an_administrator_compares_the_witness_and_accepts(
    asked: support.AgentProcess, tmp_path: Path
) -> None:
    boards, shown = KnownBoards(tmp_path / "ann"), list[str]()

    async def story() -> None:
        link = link_without_pin(asked)
        pairing = asyncio.create_task(pair(link, name="bench", boards=boards, on_pending=shown.append))
        (line,) = await until_asked(asked)
        for _ in range(100):
            if shown:
                break
            await asyncio.sleep(0.1)
        assert line.endswith(f"witness {shown[0]}")
        assert not pairing.done()
        fingerprint = boards.identity().fingerprint
        assert line.replace("-", "").startswith(fingerprint)
        await asyncio.to_thread(asked.command, "accept", fingerprint, "--access", "read-write")
        board = await pairing
        assert board.administrators
        assert board.connection
        async with await Board.connect("bench", boards=boards) as connected:
            assert await connected.ping() > 0

    asyncio.run(story())
    assert len(shown) == 1
    assert asked.command("pending") == ""


def test_an_administrator_says_no(asked: support.AgentProcess, tmp_path: Path) -> None:
    boards = KnownBoards(tmp_path / "ann")

    async def story() -> None:
        link = link_without_pin(asked)
        pairing = asyncio.create_task(pair(link, name="bench", boards=boards))
        await until_asked(asked)
        await asyncio.to_thread(asked.command, "reject", boards.identity().fingerprint)
        with pytest.raises(Unauthorized, match="administrator does not admit"):
            await pairing
        with pytest.raises(Unauthorized, match="administrator does not admit"):
            await pair(link, name="bench", boards=boards)

    asyncio.run(story())
    assert boards.all() == []


def test_who_asks_again_later_goes_on_waiting_with_the_same_witness(
    asked: support.AgentProcess, tmp_path: Path
) -> None:
    boards, shown = KnownBoards(tmp_path / "ann"), list[str]()

    async def story() -> None:
        link = link_without_pin(asked)
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                await pair(link, boards=boards, timeout=2, wait=0.5, on_pending=shown.append)
        assert shown[0] == shown[1]
        await asyncio.to_thread(asked.command, "accept", boards.identity().fingerprint)
        await pair(link, name="bench", boards=boards)

    asyncio.run(story())
    assert boards.find("bench").name == "bench"


def test_two_who_ask_at_once_are_told_apart(asked: support.AgentProcess, tmp_path: Path) -> None:
    """A stranger who calls itself as the friend does has another witness, and is not admitted with it."""
    friend, stranger = KnownBoards(tmp_path / "friend"), KnownBoards(tmp_path / "stranger")
    shown = dict[str, str]()

    async def story() -> None:
        link = link_without_pin(asked)
        pairings = [
            asyncio.create_task(
                pair(link, name="bench", boards=b, on_pending=lambda w, n=n: shown.update({n: w}), wait=15)
            )
            for n, b in (("friend", friend), ("stranger", stranger))
        ]
        lines = await until_asked(asked, 2)
        while len(shown) < 2:
            await asyncio.sleep(0.05)
        assert shown["friend"] != shown["stranger"]
        (chosen,) = [line for line in lines if line.endswith(shown["friend"])]
        await asyncio.to_thread(asked.command, "accept", chosen.split()[0])
        await pairings[0]
        pairings[1].cancel()
        await asyncio.gather(*pairings, return_exceptions=True)

    asyncio.run(story())
    assert stranger.all() == []
    assert [d["fingerprint"] for d in json.loads(asked.command("devices", "--json"))] == [
        friend.identity().fingerprint
    ]


def test_nobody_is_asked_where_that_is_not_allowed(closed: support.AgentProcess, tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match="not accepted"):
        asyncio.run(pair(link_without_pin(closed), boards=KnownBoards(tmp_path / "ann")))
    assert closed.command("pending") == ""


def test_a_typed_pin_is_enough_without_the_fingerprint(closed: support.AgentProcess, tmp_path: Path) -> None:
    boards = KnownBoards(tmp_path / "ann")
    asyncio.run(pair(link_without_fingerprint(closed), name="bench", boards=boards))
    assert boards.find("bench").fingerprint == closed.command("fingerprint").strip().replace("-", "")


def test_a_wrong_pin_without_a_fingerprint_pins_nothing(closed: support.AgentProcess, tmp_path: Path) -> None:
    boards, link = KnownBoards(tmp_path / "ann"), link_without_fingerprint(closed)
    wrong = f"{link.partition('#')[0]}#AAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGG"
    with pytest.raises(Unauthorized, match="not accepted"):
        asyncio.run(pair(wrong, boards=boards))
    assert boards.all() == []


def test_the_command_shows_the_witness(asked: support.AgentProcess, tmp_path: Path) -> None:
    link = link_without_pin(asked)
    process = subprocess.Popen(
        [sys.executable, "-m", "myclerk_client.cli", "pair", link, "--name", "bench"],
        env=support.environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    (line,) = asyncio.run(until_asked(asked))
    asked.command("accept", line.split()[0])
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert line.split()[-1] in errors
    assert "paired bench" in output


# -- the label of a headless board -----------------------------------------------------------------------------


def label(agent: support.AgentProcess, *options: str) -> str:
    host = f"127.0.0.1:{agent.address[1]}"
    return str(json.loads(agent.command("preconfigure", "--host", host, "--json", *options))["link"])


def test_the_label_admits_the_first_administrator_and_nobody_else(
    closed: support.AgentProcess, tmp_path: Path
) -> None:
    link = label(closed, "--label", str(tmp_path / "label.svg"))
    assert (tmp_path / "label.svg").read_text().startswith("<?xml")
    closed.stop()  # delivered, and switched on elsewhere
    closed.start()
    ann = KnownBoards(tmp_path / "ann")
    asyncio.run(pair(link, name="bench", boards=ann))
    (device,) = json.loads(closed.command("devices", "--json"))
    assert (device["administrator"], device["description"]) == (True, "first administrator")
    with pytest.raises(Unauthorized, match="not accepted"):
        asyncio.run(pair(link, boards=KnownBoards(tmp_path / "late")))

    async def administer() -> None:
        async with await Board.connect("bench", boards=ann) as board:
            assert (await board.request("CLIENT_LIST"))["clients"]

    asyncio.run(administer())


def test_a_reset_board_is_admitted_by_its_label_again(closed: support.AgentProcess, tmp_path: Path) -> None:
    link = label(closed)
    asyncio.run(pair(link, name="bench", boards=KnownBoards(tmp_path / "first")))
    closed.stop()
    for name in ("agent.db", "agent.db-wal", "agent.db-shm"):
        (closed.state / name).unlink(missing_ok=True)
    closed.start()
    second = KnownBoards(tmp_path / "second")
    asyncio.run(pair(link, name="bench", boards=second))
    assert second.find("bench").fingerprint


def test_a_label_that_was_withdrawn_or_remade_is_void(closed: support.AgentProcess, tmp_path: Path) -> None:
    first = label(closed)
    second = label(closed)
    closed.command("preconfigure", "--withdraw")
    for link in (first, second):
        with pytest.raises(Unauthorized, match="not accepted"):
            asyncio.run(pair(link, boards=KnownBoards(tmp_path / "ann")))


def test_another_board_does_not_pass_for_the_one_on_the_label(
    closed: support.AgentProcess, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    link = label(closed)
    with support.agent(tmp_path / "other") as other:
        elsewhere = link.replace(str(closed.address[1]), str(other.address[1]))
        with pytest.raises(AgentNotTrusted):
            asyncio.run(pair(elsewhere, boards=KnownBoards(tmp_path / "ann")))


def test_the_pin_of_the_label_is_nowhere_on_the_board(closed: support.AgentProcess, tmp_path: Path) -> None:
    pin = label(closed).partition("#")[2]
    for file in closed.state.iterdir():
        assert pin.encode() not in file.read_bytes(), file
        assert file.stat().st_mode & 0o077 == 0, file
    assert pin not in closed.log.read_text()
    assert os.path.exists(closed.state / "preconfiguration.json")
