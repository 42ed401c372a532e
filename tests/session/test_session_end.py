"""What ends a session, and what only ends its connection (docs/protocol.md, 9.3 and 9.5)."""

from __future__ import annotations

import pytest
from pair import WORK, agent_side, connected, status_of
from raw import authenticated
from raw_agent import raw_agent

from myclerk_protocol import header, payloads
from myclerk_protocol.events import Ended, Request
from myclerk_protocol.operations import ANSWER_OPCODES, Opcode
from myclerk_protocol.status import InvalidSession, Status


def test_close_is_acknowledged_and_ends_the_session_at_once() -> None:
    connection = connected()
    side = connection.agent_side
    connection.client.close()
    connection.to_agent()
    assert connection.agent.closed
    assert not connection.end_of_agent.linger
    assert side.ended == [connection.agent.record]
    messages = connection.take_agent()
    assert len(messages) == 1  # the agent closes behind it
    connection.to_client(messages)
    assert not connection.end_of_client.linger
    assert connection.client.state.tickets == []
    assert len(side.registry) == 0


def test_close_without_request_id_is_not_acknowledged() -> None:
    client = authenticated(agent_side())
    assert client.send(Opcode.SESSION_CLOSE, request_id=0) == []
    assert client.agent.closed


def test_close_ends_what_still_runs() -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: None
    client.send(WORK)
    (answer,) = client.send(Opcode.SESSION_CLOSE)
    assert answer.opcode == Opcode.SESSION_CLOSE_ACK
    client.side.finish()
    assert client.answers() == []


def test_lost_connection_leaves_the_session_to_linger() -> None:
    connection = connected()
    record = connection.agent.record
    connection.lose_agent()
    assert connection.end_of_agent.linger
    assert (record.session, record.dead) == (None, False)
    assert connection.agent_side.ended == []


@pytest.mark.parametrize("change", ["bit", "order", "replay", "session", "key"])
def test_message_that_does_not_open_ends_the_connection_silently(change: str) -> None:
    client = authenticated(agent_side())
    message = client.seal(WORK, tier=4)
    if change == "bit":
        message = message[:-1] + bytes([message[-1] ^ 1])
    elif change == "order":
        message = client.seal(WORK, tier=4)
    elif change == "replay":
        client.deliver(message)
    elif change == "session":
        message = message[:4] + bytes([message[4] ^ 1]) + message[5:]
    else:
        message = message[:13] + bytes([message[13] ^ 1]) + message[14:]
    executed = len(client.side.executed)
    assert client.deliver(message) == []
    assert client.agent.closed
    assert client.events[-1].linger
    assert len(client.side.executed) == executed


# -- unsealed messages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("tier", [1, 2])
@pytest.mark.parametrize(
    "opcode", [WORK, Opcode.KEEPALIVE, Opcode.SESSION_CLOSE, Opcode.SESSION_INIT, 0x7FFF]
)
def test_readable_message_of_tier_1_or_2_is_forbidden(version: int, tier: int, opcode: int) -> None:
    client = authenticated(agent_side())
    head = header.Header(version, tier, opcode=opcode, sequence=9, request_id=5 * version)
    answer, fields = client.refused(header.encode_plain(head, b"\x80"))
    assert answer == head  # opcode, Request ID and sequence are echoed, the session id is 0
    assert (fields["status"], fields["required-tier"]) == (Status.FORBIDDEN, 3)
    assert client.agent.closed
    assert client.events[-1].linger
    assert client.side.executed == []


def test_unsealed_answer_opcode_is_never_answered() -> None:
    for opcode in sorted(ANSWER_OPCODES):
        client = authenticated(agent_side())
        assert client.deliver(header.encode_plain(header.Header(1, 1, opcode=opcode))) == []
        assert client.agent.closed


@pytest.mark.parametrize("opcode", [Opcode.SESSION_INIT, Opcode.SESSION_RESUME, WORK])
def test_unsealed_message_of_tier_4_counts_as_one_that_does_not_open(opcode: int) -> None:
    client = authenticated(agent_side())
    assert client.deliver(header.encode_plain(header.Header(1, 4, opcode=opcode, request_id=1))) == []
    assert client.agent.closed
    assert client.events[-1].linger


@pytest.mark.parametrize("tier", [1, 2, 4])
def test_client_ends_the_connection_for_an_unsealed_message(tier: int) -> None:
    agent = raw_agent(agent_side())
    fields = payloads.pack({"status": int(Status.INVALID_SESSION), "message": "gone"})
    agent.deliver(header.encode_plain(header.Header(1, tier, opcode=Opcode.SESSION_CLOSE), fields))
    assert agent.client.closed
    assert agent.events[-1].linger  # an unauthenticated hint ends no session


# -- ends that the agent begins ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opcode", "error"), [(Opcode.SESSION_CLOSE, type(None)), (Opcode.SESSION_REVOKE, InvalidSession)]
)
def test_push_that_ends_the_session(opcode: Opcode, error: type) -> None:
    connection = connected()
    connection.agent.outbox.send(1, 4, opcode, 0, b"", push=True)
    connection.agent_side.registry.kill(connection.agent.record)
    connection.to_client()
    ended = connection.end_of_client
    assert not ended.linger
    assert isinstance(ended.error, error)  # a stopped agent may be started again; to be revoked is final
    assert connection.client.state.tickets == []


def test_revoke_is_the_agents_to_decide() -> None:
    client = authenticated(agent_side())
    client.send(Opcode.SESSION_REVOKE, payloads.pack({"session-id": 5}), tier=4)
    (request,) = (event for event in client.events if isinstance(event, Request))
    assert request.operation.name == "SESSION_REVOKE"
    assert not client.agent.closed


def test_end_is_reported_once() -> None:
    client = authenticated(agent_side())
    for _ in range(3):
        client.agent.end("cut", linger=True)
        client.side.registry.kill(client.agent.record)
    ends = [event for event in client.agent.take_events() if isinstance(event, Ended)]
    assert len(ends) == 1
    assert client.agent.tick() == []
    assert client.side.ended == [client.agent.record]


def test_session_ended_from_elsewhere_wakes_its_connection() -> None:
    client = authenticated(agent_side())
    woken = []
    client.agent.outbox.wakeup = lambda: woken.append(True)
    client.side.registry.kill(client.agent.record)
    assert woken
    assert [type(event) for event in client.agent.take_events()] == [Ended]


def test_answer_under_way_when_the_session_ends_is_still_sent() -> None:
    client = authenticated(agent_side())
    client.deliver(client.seal(WORK, request_id=0))
    request = client.seal(WORK)
    for event in client.agent.receive(request):
        client.side.handle(client.agent, event)
    client.agent.end("shutting down", linger=False)
    (answer,) = client.answers()
    assert status_of(answer.payload) == 0
