"""Each byte of each handshake message and of a sealed message of each tier, flipped: nobody agrees on it."""

from __future__ import annotations

import pytest
from pair import WORK, AgentSide, Connection, agent_side, connected
from raw import authenticated
from raw_agent import raw_agent

from myclerk_protocol.client_state import ClientState
from myclerk_protocol.handshake import Policy

ANY_MODE = Policy(require_pq=False)


def _flipped(message: bytes, index: int, mask: int) -> bytes:
    return message[:index] + bytes((message[index] ^ mask,)) + message[index + 1 :]


def _exchanged(
    side: AgentSide, state: ClientState | None, number: int, index: int, mask: int
) -> tuple[Connection, int]:
    """A handshake in which byte ``index`` of message ``number`` (0 from the client, 1 and 2 from the agent) is
    flipped; the length of that message."""
    connection = Connection(side, state)
    (asked,) = connection.take_client()
    size = len(asked)
    connection.to_agent([_flipped(asked, index, mask) if number == 0 else asked])
    answers = connection.take_agent()
    if number:
        size = len(answers[number - 1])
        answers[number - 1] = _flipped(answers[number - 1], index, mask)
    connection.to_client(answers)
    return connection, size


def _no_agreement(connection: Connection) -> None:
    """Nobody is authenticated, and the client has said nothing under the keys."""
    events = [type(event).__name__ for event in connection.client_events]
    assert "Established" not in events
    messages = connection.take_client()
    assert messages == [] or connection.client.phase.name == "HANDSHAKE"
    assert connection.agent.phase.name != "AUTHENTICATED"
    connection.cut()


@pytest.mark.parametrize("number", [0, 1, 2], ids=["SESSION_INIT", "SESSION_ACK", "KEY_EXCHANGE_COMPLETE"])
def test_every_byte_of_the_handshake(number: int) -> None:
    side = agent_side(ANY_MODE)
    index, size = 0, 1
    while index < size:
        mask = (0x01, 0x80, 0xFF)[index % 3] if index >= 20 else 1 << index % 8
        connection, size = _exchanged(side, None, number, index, mask)
        _no_agreement(connection)
        index += 1
    assert size > 200
    assert len(side.registry) == 0


@pytest.mark.parametrize("number", [0, 1], ids=["SESSION_INIT", "SESSION_ACK"])
def test_every_bit_of_the_handshakes_headers(number: int) -> None:
    side = agent_side(ANY_MODE)
    for index in range(18):
        for bit in range(8):
            connection, _ = _exchanged(side, None, number, index, 1 << bit)
            _no_agreement(connection)


@pytest.mark.parametrize(
    "number", [0, 1, 2], ids=["SESSION_RESUME", "SESSION_RESUMED", "KEY_EXCHANGE_COMPLETE"]
)
@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_every_byte_of_a_resume(number: int, mask: int) -> None:
    first = connected()
    side, state = first.agent_side, first.cut()
    tickets = list(state.tickets)
    index, size = 0, 1
    while index < size:
        connection, size = _exchanged(side, state, number, index, mask)
        _no_agreement(connection)
        assert state.tickets == tickets
        index += 1
    assert connected(side, state).client.resumed


def test_every_byte_of_the_proof_of_a_resume() -> None:
    first = connected()
    side, state = first.agent_side, first.cut()
    record = first.agent.record
    index, size = 0, 1
    while index < size:
        connection = Connection(side, state)
        while connection.agent.phase.name == "OPENING":
            connection.to_agent()
            connection.to_client()
        proof = connection.take_client()[0]
        connection.to_agent([_flipped(proof, index, 0x10)])
        assert connection.agent.closed
        assert (record.id, record.session) == (first.agent._channel.session_id, None)
        connection.cut()
        index, size = index + 1, len(proof)
    assert connected(side, state).client.resumed


@pytest.mark.parametrize("aes", [False, True])
@pytest.mark.parametrize("tier", [3, 4, 5])
@pytest.mark.parametrize("version", [0, 1])
def test_every_byte_of_a_sealed_request(version: int, tier: int, aes: bool) -> None:
    side = agent_side(Policy(require_pq=False, aes=aes))
    payload = b"\x81\xa1a\x01"
    index, size = 0, 1
    while index < size:
        client = authenticated(side, version, capabilities=[3] if aes else None)
        message = client.seal(WORK, payload, tier=tier)
        assert client.deliver(_flipped(message, index, 1 << index % 8))[1:] == []
        assert client.agent.closed
        index, size = index + 1, len(message)
    assert side.executed == []


@pytest.mark.parametrize("tier", [3, 4, 5])
def test_every_byte_of_a_sealed_answer(tier: int) -> None:
    connection = connected()
    connection.client.request(WORK, b"", tier=tier)
    connection.to_agent()
    (answer,) = connection.take_agent()
    for index in range(len(answer)):
        for mask in (0x01, 0x80):
            agent = raw_agent(connection.agent_side)
            request = agent.client.request(WORK, b"", tier=tier)
            message = agent.seal(WORK, b"", tier=tier, request_id=request.request_id)
            assert len(message) == len(answer)
            events = agent.deliver(_flipped(message, index, mask))
            assert [type(event).__name__ for event in events] == ["Ended"]
            assert agent.client.closed


@pytest.mark.parametrize("tier", [3, 4, 5])
@pytest.mark.parametrize("change", ["shorter", "longer", "empty"])
def test_length_of_a_sealed_message(tier: int, change: str) -> None:
    client = authenticated(agent_side())
    message = client.seal(WORK, b"\x81\xa1a\x01", tier=tier)
    changed = {"shorter": message[:-1], "longer": message + b"\0", "empty": message[: 16 + tier]}[change]
    assert client.deliver(changed) == []
    assert client.agent.closed
    assert client.side.executed == []
