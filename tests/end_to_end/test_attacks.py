"""A real agent under attack over TCP: brute force, a man in the middle, replays, stolen tickets, revoked devices."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import support
from myclerk_client import (
    AgentNotTrusted,
    Board,
    ConnectionLost,
    KnownBoards,
    MyClerkError,
    TooMany,
    Unauthorized,
    pair,
)
from myclerk_client.serial import SerialPort
from myclerk_protocol import header
from myclerk_protocol.operations import Opcode


@pytest.fixture
def target(tmp_path: Path, echo_device: support.EchoDevice) -> Iterator[support.AgentProcess]:
    """An agent with the limits that agents have as they come, for whoever attacks it."""
    settings = f'[drivers.serial]\nports = {{echo = "{echo_device.path}"}}\n'
    agent = support.AgentProcess(tmp_path, settings)
    text = agent.config.read_text().replace("handshakes-per-second = 1000\n", "")
    agent.config.write_text(text.replace("connections-per-address = 64\n", ""))
    agent.start()
    yield agent
    if agent.process is not None:
        agent.stop()


@pytest.fixture
def roomy(tmp_path: Path, echo_device: support.EchoDevice) -> Iterator[support.AgentProcess]:
    """An agent that takes on so much that no attacker is stopped by that."""
    settings = f'[drivers.serial]\nports = {{echo = "{echo_device.path}"}}\n'
    with support.agent(tmp_path, settings) as agent:
        yield agent


def paired(target: support.AgentProcess, name: str, *options: str) -> KnownBoards:
    boards = KnownBoards(target.directory / name)
    asyncio.run(pair(target.link("--name", name, *options), name="bench", boards=boards))
    return boards


def audited(target: support.AgentProcess, action: str) -> list[dict[str, object]]:
    """The records of an operation in the audit log."""
    lines = target.command("audit", "tail", "-n", "1000", "--json").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["action"] == action]


# -- the network in between ----------------------------------------------------------------------------------------


class Tap:
    """A relay that keeps whole messages of both directions; ``edit`` may change those of the client."""

    def __init__(self, agent: tuple[str, int]) -> None:
        self._agent = agent
        self.from_client: list[list[bytes]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(*self._agent)
        self._writers += [writer, inner_writer]
        kept: list[bytes] = []
        self.from_client.append(kept)
        await asyncio.gather(
            self._relay(reader, inner_writer, kept),
            self._relay(inner_reader, writer, []),
            return_exceptions=True,
        )

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: list[bytes]
    ) -> None:
        try:
            while True:
                size = await reader.readexactly(4)
                message = await reader.readexactly(struct.unpack(">I", size)[0])
                kept.append(message)
                writer.write(size + message)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def tapped(target: support.AgentProcess, boards: KnownBoards) -> AsyncIterator[Tap]:
    """The way from ``boards`` to the agent leads through a tap."""
    tap = Tap(target.address)
    server = await asyncio.start_server(tap.serve, "127.0.0.1", 0)
    boards.update("bench", port=server.sockets[0].getsockname()[1])
    try:
        yield tap
    finally:
        tap.cut()
        server.close()
        boards.update("bench", port=target.address[1])


async def play(target: support.AgentProcess, messages: list[bytes]) -> list[bytes]:
    """Say these messages to the agent on a connection of their own; what it answers until it is silent."""
    reader, writer = await asyncio.open_connection(*target.address)
    answers: list[bytes] = []
    try:
        for message in messages:
            writer.write(struct.pack(">I", len(message)) + message)
        writer.write_eof()
        while True:
            size = await reader.readexactly(4)
            answers.append(await reader.readexactly(struct.unpack(">I", size)[0]))
    except (asyncio.IncompleteReadError, OSError):  # the agent has closed the connection
        return answers
    finally:
        writer.close()


def opcode(message: bytes) -> int:
    return header.decode(message)[0].opcode


# -- brute force -----------------------------------------------------------------------------------------------------


def test_pins_are_tried_slowly_in_vain_and_without_harm(target: support.AgentProcess, tmp_path: Path) -> None:
    """More tries at once than the agent takes: it refuses handshakes, admits nobody and serves its friends."""
    friend = paired(target, "friend")
    good = target.link()
    before = good.partition("#")[0]
    guesses = [f"{before}#AAAA-BBBB-CCCC-DDDD-EEEE-FFFF-{a}{b}AA" for a in "ABCDEFG" for b in "ABCDEFG"]

    async def guess(number: int, link: str) -> type[BaseException] | None:
        try:
            await pair(link, boards=KnownBoards(tmp_path / f"guess {number % 4}"), name="x", timeout=5)
        except MyClerkError as error:
            return type(error)
        return None

    async def story() -> list[type[BaseException] | None]:
        return await asyncio.gather(*(guess(number, link) for number, link in enumerate(guesses)))

    outcomes = asyncio.run(story())
    assert None not in outcomes
    assert set(outcomes) <= {Unauthorized, TooMany, ConnectionLost}
    assert TooMany in outcomes or ConnectionLost in outcomes
    assert outcomes.count(Unauthorized) < len(guesses)
    assert [d["description"] for d in json.loads(target.command("devices", "--json"))] == ["friend"]

    async def served() -> None:
        for _ in range(50):
            try:
                async with await Board.connect("bench", boards=friend) as board:
                    assert await board.ping() > 0
                    return
            except (TooMany, ConnectionLost):
                await asyncio.sleep(0.2)
        raise AssertionError("the agent does not recover")

    asyncio.run(served())
    asyncio.run(pair(good, name="bench", boards=KnownBoards(tmp_path / "invited")))
    failures = audited(target, "CLIENT_REGISTER")
    assert {"not accepted"} == {f["reason"] for f in failures if f["outcome"] == "unauthorized"}
    assert all(str(f["actor"]).startswith("127.0.0.1:") for f in failures if f["outcome"] != "ok")


# -- a man in the middle -----------------------------------------------------------------------------------------


def test_a_relay_that_only_listens_learns_nobodys_name_and_no_pin(
    target: support.AgentProcess, tmp_path: Path
) -> None:
    link = target.link()
    boards = KnownBoards(tmp_path / "ann")

    async def story() -> bytes:
        tap = Tap(target.address)
        server = await asyncio.start_server(tap.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await pair(link.replace(str(target.address[1]), str(port)), name="bench", boards=boards)
        async with await Board.connect("bench", boards=boards) as board:
            assert await board.ping() > 0
        tap.cut()
        server.close()
        return b"".join(message for kept in tap.from_client for message in kept)

    said = asyncio.run(story())
    assert len(said) > 2000
    for secret in (link.partition("#")[2], boards.identity().fingerprint, boards.find("bench").fingerprint):
        assert secret.encode() not in said
        assert secret.replace("-", "").encode() not in said


def test_an_impostor_between_a_typed_pin_and_the_agent_gets_and_gives_nothing(
    target: support.AgentProcess, tmp_path: Path
) -> None:
    """The victim types host and PIN; the impostor answers there with an agent of its own, which has other PINs."""
    link = target.link()
    (tmp_path / "impostor").mkdir()
    with support.agent(tmp_path / "impostor") as impostor:
        impostor.command("invite", "--host", "127.0.0.1")
        typed = f"myclerk://127.0.0.1:{impostor.address[1]}#{link.partition('#')[2]}"
        boards = KnownBoards(tmp_path / "victim")
        with pytest.raises(Unauthorized):
            asyncio.run(pair(typed, boards=boards))
        with pytest.raises(AgentNotTrusted):  # and with the fingerprint the victim says nothing at all
            asyncio.run(pair(link.replace(str(target.address[1]), str(impostor.address[1])), boards=boards))
        assert json.loads(impostor.command("devices", "--json")) == []
    assert boards.all() == []
    asyncio.run(pair(link, name="bench", boards=boards))


# -- replay ------------------------------------------------------------------------------------------------------


def test_everything_a_device_said_said_again_does_nothing(roomy: support.AgentProcess) -> None:
    target = roomy
    ann = paired(target, "ann")

    async def story() -> None:
        async with tapped(target, ann) as tap:
            async with await Board.connect("bench", boards=ann) as board:
                async with await board.serial.open("echo", exclusive=False) as port:
                    await port.write(b"once")
                    assert await port.read_exactly(4, timeout=5) == b"once"
                tap.cut()
                await board.ping()
            tapes = list(tap.from_client)
        assert len(tapes) == 2
        opened = len(audited(target, "SERIAL_PORT_OPEN"))
        logins = len(audited(target, "CLIENT_REGISTER")) + len(audited(target, "SESSION_RESUME"))
        assert (opened, logins) >= (1, 2)
        for tape in (*tapes, tapes[0][:1] + tapes[1][1:]):
            for start in range(len(tape)):
                await play(target, tape[start:])
        assert len(audited(target, "SERIAL_PORT_OPEN")) == opened
        assert len(audited(target, "CLIENT_REGISTER")) + len(audited(target, "SESSION_RESUME")) == logins

    asyncio.run(story())


def test_a_ticket_seen_on_the_wire_takes_no_session_over(target: support.AgentProcess) -> None:
    ann = paired(target, "ann")

    async def story() -> None:
        async with tapped(target, ann) as tap:
            board = await Board.connect("bench", boards=ann)
            async with await board.serial.open("echo", exclusive=False) as port:
                tap.cut()
                await board.ping()
                resume = next(
                    m for kept in tap.from_client for m in kept if opcode(m) == Opcode.SESSION_RESUME
                )
                for _ in range(6):
                    answers = await play(target, [resume])
                    assert [opcode(answer) for answer in answers if not answer[0] & 1] == [
                        Opcode.SESSION_RESUME
                    ]
                await port.write(b"mine")
                assert await port.read_exactly(4, timeout=5) == b"mine"
            assert board.session["resumed"]
            await board.close()

    asyncio.run(story())


# -- revoked devices -----------------------------------------------------------------------------------------------


async def write_on(port: SerialPort) -> None:
    for _ in range(100):
        await port.write(b"x")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("state", ["connected", "lingering", "away"])
def test_a_device_that_is_revoked_is_out_in_every_state(target: support.AgentProcess, state: str) -> None:
    thief = paired(target, "thief")

    async def story() -> None:
        async with tapped(target, thief) as tap:
            board = await Board.connect("bench", boards=thief, reconnect=20)
            port = await board.serial.open("echo")
            if state == "away":
                await board.close()
            elif state == "lingering":
                tap.cut()
            await asyncio.to_thread(target.command, "devices", "--revoke", "thief")
            if state != "away":
                with pytest.raises((Unauthorized, ConnectionLost)):
                    await write_on(port)
                await board.close()
            with pytest.raises(Unauthorized, match="revoked"):
                await Board.connect("bench", boards=thief)

    asyncio.run(story())

    async def free_again() -> None:
        async with await Board.connect(f"unix:{target.unix_socket}") as local:
            async with await local.serial.open("echo"):
                pass

    asyncio.run(free_again())
    assert audited(target, "CLIENT_REVOKE")


def test_a_revoked_device_with_a_new_name_is_the_same_device(target: support.AgentProcess) -> None:
    thief = paired(target, "thief")
    target.command("devices", "--revoke", "thief")
    with pytest.raises(Unauthorized, match="revoked"):
        asyncio.run(pair(target.link("--name", "somebody else"), name="again", boards=thief))
    (device,) = json.loads(target.command("devices", "--json"))
    assert device["revoked"]


# -- what an agent takes from those it does not know -----------------------------------------------------------------


def test_strangers_do_not_use_up_what_the_agent_has_for_its_friends(target: support.AgentProcess) -> None:
    """Silent connections from one address: eight wait, the rest is closed; a friend from there has to wait for
    them to time out, one on another address does not."""
    friend = paired(target, "friend")
    held = []
    for _ in range(20):
        stranger = socket.create_connection(target.address, timeout=5)
        held.append(stranger)
    closed = 0
    for stranger in held:
        stranger.settimeout(0.5)
        try:
            closed += stranger.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionError:
            closed += 1
    assert closed == 12
    for stranger in held:
        stranger.close()

    async def served() -> None:
        async with await Board.connect("bench", boards=friend) as board:
            assert await board.ping() > 0

    asyncio.run(served())


def test_the_log_of_an_attack_is_whole(target: support.AgentProcess, tmp_path: Path) -> None:
    ann = paired(target, "ann", "--access", "read")

    async def story() -> None:
        async with await Board.connect("bench", boards=ann) as board:
            for operation, fields in (
                ("CLIENT_LIST", {}),
                ("CLIENT_REVOKE", {"client": "M" + "A" * 27}),
                ("SESSION_REVOKE", {"session_id": 1}),
            ):
                with pytest.raises(MyClerkError):
                    await board.request(operation, **fields)

    asyncio.run(story())
    refused = [entry for name in ("CLIENT_REVOKE", "SESSION_REVOKE") for entry in audited(target, name)]
    assert {entry["outcome"] for entry in refused} == {"forbidden"}
    for entry in refused:
        assert entry["actor"] == ann.identity().fingerprint
        assert str(entry["peer"]).startswith("127.0.0.1:")
        assert entry["keys"] == "hybrid"
        assert isinstance(entry["session"], int)
    assert target.command("audit", "verify").startswith(f"{len(lines(target))} records: the chain holds")
    log = target.state / "audit.jsonl"
    log.write_bytes(
        b"".join(line for line in log.read_bytes().splitlines(True) if b"CLIENT_REVOKE" not in line)
    )
    with pytest.raises(AssertionError):
        target.command("audit", "verify")


def lines(target: support.AgentProcess) -> list[bytes]:
    return (target.state / "audit.jsonl").read_bytes().splitlines()


def test_a_copied_list_of_boards_is_no_way_in(target: support.AgentProcess, tmp_path: Path) -> None:
    """Who has boards.json but not device.key knows the board, and is not known by it."""
    ann = paired(target, "ann")
    thief = KnownBoards(tmp_path / "thief")
    thief.add(replace(ann.find("bench")))
    with pytest.raises(Unauthorized):
        asyncio.run(Board.connect("bench", boards=thief))
