"""The user story of a session: many requests at once, batches, locks; and what hostile connections get."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import support
from myclerk_client import BadRequest, Board, Conflict, ConnectionLost, KnownBoards, NotFound, TooMany, pair
from myclerk_client.link import Link
from myclerk_protocol.framing import frame
from myclerk_protocol.local import LocalClientSession
from myclerk_protocol.payloads import unpack
from myclerk_protocol.status import Status

NOT_SERVED, UNKNOWN = 0x0B50, 0x0ABC  # SMS_CREATE, and an opcode of nobody's


def test_a_ping_is_a_round_trip(boards: KnownBoards) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            assert 0 < await board.ping() < 5
            assert board.session["post_quantum"]

    asyncio.run(story())


def test_thousands_of_requests_at_once_are_each_answered_once(boards: KnownBoards) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            asked = [board.request("DEVICE_CAPABILITIES", resource="serial:echo") for _ in range(5000)]
            answers = await asyncio.gather(*asked)
            assert len(answers) == 5000
            assert all("SERIAL_PORT_OPEN" in answer["operations"] for answer in answers)

    asyncio.run(story())


def test_a_batch_executes_in_order_and_each_part_fails_alone(boards: KnownBoards, echo_port: str) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            handle = (await board.request("SERIAL_PORT_OPEN", resource=echo_port))["handle"]
            async with board.batch() as batch:
                parts = [batch.add("SERIAL_DATA_WRITE", handle=handle, data=b"%d," % n) for n in range(300)]
                wrong = batch.add("SERIAL_DATA_WRITE", handle=999, data=b"x")
                last = batch.add("DEVICE_LIST", kind="serial")
            assert [await part for part in parts] == [{"written": len(b"%d," % n)} for n in range(300)]
            with pytest.raises(NotFound):
                await wrong
            assert (await last)["devices"]
            expected = b"".join(b"%d," % n for n in range(300))
            read = await board.request(
                "SERIAL_DATA_READ", handle=handle, size=len(expected), minimum=len(expected), timeout=5.0
            )
            assert read["data"] == expected

    asyncio.run(story())


def test_locks_are_exclusive_and_fall_with_the_session(boards: KnownBoards, echo_port: str) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as other:
            async with await Board.connect("bench", boards=boards) as board:
                async with board.lock(echo_port):
                    with pytest.raises(Conflict) as conflict:
                        await other.serial.open(echo_port)
                    assert conflict.value.details["holder"]
                    assert (await other.device(echo_port))["locked_by"]
                await (await other.serial.open(echo_port)).close()
                await board.lock(echo_port).acquire()
            async with other.lock(echo_port, wait=5.0):
                pass

    asyncio.run(story())


def test_streams_pause_and_stop(boards: KnownBoards, echo_port: str) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            async with await board.serial.open(echo_port) as port:
                assert await port.read(timeout=0) == b""
                (stream_id,) = board.link._streams
                await board.request("STREAM_PAUSE", stream=stream_id)
                await port.write(b"later")
                assert await port.read(timeout=0.2) == b""
                await board.request("STREAM_RESUME", stream=stream_id)
                assert await port.read_exactly(5, timeout=5) == b"later"
                await board.request("STREAM_STOP", stream=stream_id)
                with pytest.raises(NotFound):
                    await board.request("STREAM_RESUME", stream=stream_id)

    asyncio.run(story())


def test_what_the_agent_does_not_serve_is_unsupported(running_agent: support.AgentProcess) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(running_agent.unix_socket))
        for request_id, opcode in ((2, NOT_SERVED), (3, UNKNOWN)):
            connection.sendall(frame(struct.pack(">BHBI", 0x48, opcode, 0, request_id)))
            answer = connection.recv(1000)
            assert answer[4:12] == struct.pack(">BHBI", 0x48, opcode, 0, request_id)
            assert unpack(answer[12:])["status"] == Status.UNSUPPORTED


def test_keys_rotate_under_load_and_a_resume_follows(boards: KnownBoards) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            for round in range(12):
                asked = [asyncio.create_task(board.request("DEVICE_LIST", kind="none")) for _ in range(50)]
                if round % 2:
                    board.link.rotate(fresh=False)
                else:
                    board.rotate_keys()
                assert await asyncio.gather(*asked) == [{"devices": []}] * 50
                await board.ping()
            board.link.drop_connection()
            await board.ping()
            assert board.session["resumed"]

    asyncio.run(story())


@pytest.fixture
def strict(tmp_path: Path, trace: object) -> Iterator[support.AgentProcess]:
    """An agent with low limits."""
    agent = support.AgentProcess(tmp_path)
    text = agent.config.read_text()
    for key, value in (("handshakes-per-second", 3), ("connections-per-address", 4)):
        text = "\n".join(line for line in text.splitlines() if not line.startswith(key))
        text = text.replace("[server]", f"[server]\n{key} = {value}")
    agent.config.write_text(text.replace("[server]", "[server]\nsessions-per-device = 2"))
    agent.start()
    yield agent
    if agent.process is not None:
        agent.stop()


def test_sessions_of_a_device_are_limited(strict: support.AgentProcess, tmp_path: Path) -> None:
    boards = KnownBoards(tmp_path / "client")

    async def story() -> None:
        await pair(strict.link(), name="bench", boards=boards)
        async with await Board.connect("bench", boards=boards):
            async with await Board.connect("bench", boards=boards):
                await asyncio.sleep(1.5)  # the limit on handshakes is another one
                with pytest.raises(TooMany, match="2 sessions"):
                    await Board.connect("bench", boards=boards)
            await asyncio.sleep(0.5)
            await (await Board.connect("bench", boards=boards)).close()

    asyncio.run(story())


def connect(agent: support.AgentProcess) -> socket.socket:
    return socket.create_connection(agent.address, timeout=20)


def closed_after(connection: socket.socket) -> float:
    """Seconds until the agent closes the connection."""
    start = time.monotonic()
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - start


def test_connections_above_the_limit_are_closed_in_silence(strict: support.AgentProcess) -> None:
    waiting = [connect(strict) for _ in range(4)]
    with connect(strict) as fifth:
        assert closed_after(fifth) < 2
    for connection in waiting:
        connection.close()
    time.sleep(0.3)
    with connect(strict) as again:
        again.settimeout(1)
        with pytest.raises(TimeoutError):
            again.recv(1)


def test_a_stalled_handshake_dies(strict: support.AgentProcess) -> None:
    with connect(strict) as silent, connect(strict) as slow:
        slow.sendall(b"\x00\x00\x05")
        assert closed_after(silent) < 8
        assert closed_after(slow) < 3


@pytest.mark.parametrize(
    "hostile",
    [
        struct.pack(">I", 0),
        struct.pack(">I", 5000) + b"x" * 100,
        struct.pack(">I", 0xFFFFFFFF),
        frame(b"\xff" * 40),
        frame(os.urandom(200)[:1] * 0 + b"\x63" + os.urandom(40)),
        frame(b"\x48\x00\x03"),
    ],
    ids=["empty", "too large", "huge", "version 3", "sealed without a key", "short"],
)
def test_what_cannot_be_parsed_is_closed_without_an_answer(
    running_agent: support.AgentProcess, hostile: bytes
) -> None:
    with connect(running_agent) as connection:
        connection.sendall(hostile)
        received = b""
        try:
            while data := connection.recv(4096):
                received += data
        except ConnectionResetError:
            pass
        assert received == b""


def test_too_many_handshakes_are_refused_before_any_cryptography(strict: support.AgentProcess) -> None:
    hopeless = frame(bytes.fromhex("60000300" + "0000" + "00000000" + "0000" + "0000" + "00000001"))
    statuses = []
    for _ in range(8):
        with connect(strict) as connection:
            connection.sendall(hopeless)
            length = struct.unpack(">I", connection.recv(4))[0]
            statuses.append(unpack(connection.recv(length)[18:])["status"])
    assert set(statuses) == {Status.BAD_REQUEST, Status.TOO_MANY}
    assert statuses[-1] == Status.TOO_MANY


def test_random_bytes_never_harm_the_agent(running_agent: support.AgentProcess, boards: KnownBoards) -> None:
    for size in (1, 4, 5, 18, 19, 100, 3000):
        with connect(running_agent) as connection:
            connection.sendall(frame(os.urandom(size)))
            connection.settimeout(0.2)
            try:
                connection.recv(100)
            except (TimeoutError, ConnectionResetError):
                pass

    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            await board.ping()

    asyncio.run(story())


def test_other_users_are_kept_off_the_unix_socket(running_agent: support.AgentProcess) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        f"s.connect({str(running_agent.unix_socket)!r}); sys.exit(0 if s.recv(1) == b'' else 1)"
    )
    for directory in [running_agent.directory, *running_agent.directory.parents][:-1]:
        if directory.stat().st_uid == 0 and "pytest" in str(directory):
            directory.chmod(directory.stat().st_mode | 0o011)
    assert subprocess.run([sys.executable, "-c", script], timeout=20).returncode == 0


def test_the_unix_socket_speaks_tier_1_only(running_agent: support.AgentProcess) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(running_agent.unix_socket))
        connection.sendall(frame(bytes.fromhex("48000000" + "00000002")))  # NOP, tier 1, version 1
        answer = connection.recv(100)
        assert answer == frame(bytes.fromhex("48000000" + "00000002"))
        connection.sendall(frame(bytes.fromhex("08000000")))  # version 0
        assert connection.recv(100) == b""


def test_wrong_fields_name_their_key(boards: KnownBoards) -> None:
    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            with pytest.raises(BadRequest) as wrong:
                await board.request("DEVICE_INFO", resource=7)
            assert wrong.value.details["key"] == "resource"

    asyncio.run(story())


def test_a_second_agent_leaves_the_first_ones_socket_alone(
    running_agent: support.AgentProcess, tmp_path: Path
) -> None:
    second = support.AgentProcess(tmp_path)
    second.config.write_text(
        second.config.read_text().replace(str(second.unix_socket), str(running_agent.unix_socket))
    )
    result = subprocess.run(
        [sys.executable, "-m", "myclerk_agent.cli", "--config", str(second.config), "run"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 1
    assert "another agent listens" in result.stderr
    assert running_agent.command("devices") is not None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(running_agent.unix_socket))


def test_a_peer_that_half_closes_and_reads_nothing_is_let_go(running_agent: support.AgentProcess) -> None:
    assert running_agent.process is not None
    descriptors = Path(f"/proc/{running_agent.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    nop = bytes.fromhex("48000000")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(running_agent.unix_socket))
        for request_id in range(2, 2002):
            connection.sendall(frame(nop + struct.pack(">I", request_id)))
        connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 30
        while len(list(descriptors.iterdir())) > before:
            assert time.monotonic() < deadline, "the agent keeps the connection"
            time.sleep(0.2)


def test_a_connector_that_fails_unexpectedly_ends_the_link_with_a_sentence(
    running_agent: support.AgentProcess,
) -> None:
    async def story() -> None:
        loop, attempts = asyncio.get_running_loop(), 0

        async def connect(factory: Callable[[], asyncio.Protocol]) -> None:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                raise RuntimeError("no way")
            await loop.create_unix_connection(factory, str(running_agent.unix_socket))

        link = Link(connect, lambda state: LocalClientSession(), reconnect=5.0)
        await link.open()
        link.drop_connection()
        await asyncio.sleep(0.5)
        with pytest.raises(ConnectionLost, match="no way"):
            await link.request("DEVICE_LIST", {})
        await link.close()

    asyncio.run(story())
