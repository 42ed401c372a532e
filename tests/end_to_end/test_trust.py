"""The user story of trust: invited, paired, pinned, revoked; and what a stranger gets."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import support
from myclerk_client import (
    AgentNotTrusted,
    BadRequest,
    Board,
    ConnectionLost,
    Forbidden,
    InvalidSession,
    KnownBoards,
    MyClerkError,
    NotPaired,
    SessionLost,
    Unauthorized,
    pair,
)


@pytest.fixture
def running(tmp_path: Path, echo_device: support.EchoDevice) -> Iterator[support.AgentProcess]:
    """An agent of its own for each test, lingering for two seconds."""
    settings = f'[drivers.serial]\nports = {{echo = "{echo_device.path}"}}\n'
    agent = support.AgentProcess(tmp_path, settings)
    agent.config.write_text(agent.config.read_text().replace("[server]", "[server]\nlinger = 2"))
    agent.start()
    yield agent
    if agent.process is not None:
        agent.stop()


def boards_in(directory: Path, name: str = "client") -> KnownBoards:
    return KnownBoards(directory / name)


def pair_with(running: support.AgentProcess, boards: KnownBoards, *options: str) -> None:
    asyncio.run(pair(running.link(*options), name="bench", boards=boards))


def test_a_pin_admits_one_device_once(running: support.AgentProcess, tmp_path: Path) -> None:
    link = running.link()
    asyncio.run(pair(link, name="bench", boards=boards_in(tmp_path)))
    with pytest.raises(Unauthorized, match="not accepted"):
        asyncio.run(pair(link, name="bench", boards=boards_in(tmp_path, "thief")))
    assert boards_in(tmp_path, "thief").all() == []


def test_a_wrong_pin_is_refused_and_pins_nothing(running: support.AgentProcess, tmp_path: Path) -> None:
    link = running.link()
    wrong = link[:-4] + ("ABCD" if not link.endswith("ABCD") else "DCBA")
    with pytest.raises((Unauthorized, BadRequest)):
        asyncio.run(pair(wrong, name="bench", boards=boards_in(tmp_path)))
    assert boards_in(tmp_path).all() == []


def test_another_agent_at_the_same_address_is_not_trusted(
    running: support.AgentProcess, tmp_path: Path
) -> None:
    boards = boards_in(tmp_path)
    pair_with(running, boards)
    running.stop()
    (tmp_path / "other").mkdir()
    other = support.AgentProcess(tmp_path / "other")
    other.config.write_text(other.config.read_text().replace(str(other.address[1]), str(running.address[1])))
    other.start()
    try:
        with pytest.raises(AgentNotTrusted, match="bench"):
            asyncio.run(Board.connect("bench", boards=boards))
        link = other.link()
        elsewhere = link.replace(link.split("/")[3].split("#")[0], boards.find("bench").fingerprint)
        with pytest.raises(AgentNotTrusted):
            asyncio.run(pair(elsewhere, name="again", boards=boards))
    finally:
        other.stop()


def test_a_stranger_is_refused(running: support.AgentProcess, tmp_path: Path) -> None:
    friend, stranger = boards_in(tmp_path), boards_in(tmp_path, "stranger")
    pair_with(running, friend)
    stranger.add(friend.find("bench"))
    with pytest.raises(Unauthorized):
        asyncio.run(Board.connect("bench", boards=stranger))
    with pytest.raises(NotPaired):
        asyncio.run(Board.connect("nowhere", boards=friend))


def test_a_revoked_device_is_out_at_once(running: support.AgentProcess, tmp_path: Path) -> None:
    boards = boards_in(tmp_path)
    pair_with(running, boards, "--name", "laptop")

    async def story() -> None:
        board = await Board.connect("bench", boards=boards)
        port = await board.serial.open("echo")
        reading = asyncio.create_task(port.read())
        await asyncio.sleep(0.1)
        revoked = time.monotonic()
        await asyncio.to_thread(running.command, "devices", "--revoke", "laptop")
        with pytest.raises(MyClerkError):
            await reading
        assert time.monotonic() - revoked < 10
        with pytest.raises(ConnectionLost):
            await board.ping()
        await board.close()
        with pytest.raises(Unauthorized, match="revoked"):
            await Board.connect("bench", boards=boards)

    asyncio.run(story())
    assert "REVOKED" in running.command("devices")
    assert "echo" in str(asyncio.run(_devices_as_admin(running))), (
        "the port is free again for others after the revocation"
    )


async def _devices_as_admin(running: support.AgentProcess) -> list[str]:
    async with await Board.connect(f"unix:{running.unix_socket}") as board:
        async with await board.serial.open("echo"):
            return [device["name"] for device in await board.devices()]


def test_a_device_may_only_what_its_invitation_granted(running: support.AgentProcess, tmp_path: Path) -> None:
    boards = boards_in(tmp_path)
    pair_with(running, boards, "--access", "read")

    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            assert await board.serial.list()
            with pytest.raises(Forbidden):
                await board.serial.open("echo")
            with pytest.raises(Forbidden):
                await board.request("CLIENT_LIST")
            with pytest.raises(Forbidden):
                await board.request("SESSION_REVOKE", session_id=1)

    asyncio.run(story())


def test_an_agent_restart_ends_sessions_but_not_the_pairing(
    running: support.AgentProcess, tmp_path: Path
) -> None:
    boards = boards_in(tmp_path)
    pair_with(running, boards)

    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            # a pty, unlike a real port, stays exclusive while its far end is open, were its holder killed
            port = await board.serial.open("echo", exclusive=False)
            reading = asyncio.create_task(port.read())
            await asyncio.sleep(0.1)
            assert await asyncio.to_thread(running.stop, signal.SIGKILL) == -signal.SIGKILL
            await asyncio.to_thread(running.unix_socket.unlink)
            await asyncio.to_thread(running.start)
            with pytest.raises(SessionLost):
                await reading
            assert await board.ping() > 0
            async with await board.serial.open("echo") as again:
                await again.write(b"back")
                assert await again.read_exactly(4, timeout=5) == b"back"

    asyncio.run(story())


def test_what_a_session_holds_is_released_after_linger(running: support.AgentProcess, tmp_path: Path) -> None:
    boards = boards_in(tmp_path)
    pair_with(running, boards)

    async def story() -> None:
        lost = await Board.connect("bench", boards=boards, reconnect=0.0)
        await lost.serial.open("echo")
        lost.link.drop_connection()
        async with await Board.connect("bench", boards=boards) as board:
            with pytest.raises(MyClerkError, match="open already"):
                await board.serial.open("echo")
            deadline = time.monotonic() + 10
            while True:
                try:
                    port = await board.serial.open("echo")
                    break
                except MyClerkError:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.2)
            await port.close()
        await lost.close()

    asyncio.run(story())


def test_a_graceful_stop_tells_the_clients(running: support.AgentProcess, tmp_path: Path) -> None:
    boards = boards_in(tmp_path)
    pair_with(running, boards)

    async def story() -> None:
        board = await Board.connect("bench", boards=boards)
        port = await board.serial.open("echo")
        reading = asyncio.create_task(port.read())
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(running.stop) == 0
        with pytest.raises((InvalidSession, ConnectionLost)):
            await reading
        await board.close()

    asyncio.run(story())


def test_administration_over_the_unix_socket(running: support.AgentProcess, tmp_path: Path) -> None:
    boards = boards_in(tmp_path)
    pair_with(running, boards, "--name", "laptop")

    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            async with await Board.connect(f"unix:{running.unix_socket}") as local:
                (client,) = (await local.request("CLIENT_LIST"))["clients"]
                assert client["description"] == "laptop"
                assert client["connected"]
                assert "serial:echo" in {
                    d["name"] for d in (await local.request("DEVICE_DISCOVER"))["devices"]
                }
                await local.request("CLIENT_REVOKE", client=client["fingerprint"])
            with pytest.raises(MyClerkError):
                await board.ping()

    asyncio.run(story())


def test_secrets_are_private_and_never_logged(running: support.AgentProcess, tmp_path: Path) -> None:
    boards = boards_in(tmp_path)
    link = running.link()
    asyncio.run(pair(link, name="bench", boards=boards))
    pin = link.partition("#")[2]
    for directory in (running.state, boards.directory):
        assert directory.stat().st_mode & 0o077 == 0
        for file in directory.iterdir():
            if file.name != ".lock":
                assert file.stat().st_mode & 0o077 == 0, file
            assert pin.encode() not in file.read_bytes(), file
    assert pin not in running.log.read_text()


def test_a_weaker_board_than_last_time_is_warned_about(
    running: support.AgentProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from myclerk_protocol.exchange import Mode
    from myclerk_protocol.handshake import Policy

    boards = boards_in(tmp_path)
    pair_with(running, boards)

    async def story() -> None:
        with pytest.raises(Forbidden, match="post-quantum"):
            await Board.connect("bench", boards=boards, mode=Mode.CLASSICAL)
        async with await Board.connect("bench", boards=boards, policy=Policy(max_tier=4)) as board:
            assert board.session["tier"] == 4

    asyncio.run(story())
    assert any("tier" in record.getMessage() for record in caplog.records)
    assert replace(boards.find("bench")).tier == 4
