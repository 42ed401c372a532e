"""Requests and answers in a session: IDs, order, limits (docs/protocol.md, 10.1)."""

from __future__ import annotations

import pytest
from pair import WORK, Connection, agent_side, connected, status_of
from raw import authenticated
from raw_agent import raw_agent

from myclerk_protocol import payloads
from myclerk_protocol.client_state import ClientState, PendingRequest
from myclerk_protocol.events import Push, Response
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Opcode
from myclerk_protocol.status import Conflict, LocalError, Status


def test_answers_come_in_completion_order_under_their_own_id() -> None:
    connection = connected()
    agent = connection.agent_side
    agent.serve = lambda request: None
    first, second, third = (connection.client.request(WORK, b"", context=n) for n in range(3))
    connection.pump()
    for index in (2, 0, 0):
        agent.finish(agent.held[index][1].request_id.to_bytes(1, "big"), index)
    connection.pump()
    ids = [third.request_id, first.request_id, second.request_id]
    assert connection.answers == [(i, bytes([i])) for i in ids]
    contexts = [event.request.context for event in connection.client_events if isinstance(event, Response)]
    assert contexts == [2, 0, 1]


def test_request_ids_count_from_2_by_one() -> None:
    connection = connected()
    ids = [connection.client.request(WORK, b"").request_id for _ in range(4)]
    assert ids == [3, 4, 5, 6]  # 2 was CLIENT_REGISTER's
    connection.pump()
    assert [request_id for request_id, _, _ in connection.agent_side.executed] == ids


def test_request_ids_wrap_to_1() -> None:
    connection = connected()
    connection.client.request(WORK, b"")
    connection.client.state.last_id = 0x7FFFFFFF
    connection.client.request(WORK, b"")
    connection.client.state.last_id = 0xFFFFFFFE
    connection.pump()
    ids = [connection.client.request(WORK, b"").request_id for _ in range(3)]
    connection.pump()
    assert ids == [0xFFFFFFFF, 1, 2]
    assert [status_of(payload) for _, payload in connection.answers] == [0] * 5


def test_client_does_not_reuse_ids_of_open_streams_and_pending_requests() -> None:
    state = ClientState(last_id=0xFFFFFFFF)
    state.streams = {1: False, 3: True}
    state.pending = {4: PendingRequest(4, WORK, 3, b"")}
    assert [state.next_id(), state.next_id()] == [2, 5]


@pytest.mark.parametrize("request_id", [1, 2, 3, 0xFFFFFFFF, 0x80000003])
def test_id_not_above_the_highest_is_bad_request_and_not_executed(request_id: int) -> None:
    client = authenticated(agent_side())
    client.send(WORK)
    executed = len(client.side.executed)
    (answer,) = client.send(WORK, request_id=request_id)
    assert (answer.request_id, status_of(answer.payload)) == (request_id, Status.BAD_REQUEST)
    assert len(client.side.executed) == executed


def test_ids_may_skip_but_only_forwards() -> None:
    client = authenticated(agent_side())
    for request_id in (10, 0x7FFFFFF0, 0xFFFFFFE0, 5):
        (answer,) = client.send(WORK, request_id=request_id)
        assert status_of(answer.payload) == 0
    (answer,) = client.send(WORK, request_id=0xFFFFFFE0)
    assert status_of(answer.payload) == Status.BAD_REQUEST


def test_id_still_running_is_not_taken_again_after_a_whole_turn() -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: None
    client.send(WORK, request_id=5)
    for request_id in (0x70000000, 0xE0000000):
        client.send(WORK, request_id=request_id)
    (answer,) = client.send(WORK, request_id=5)
    assert status_of(answer.payload) == Status.BAD_REQUEST
    assert len(client.side.executed) == 3


def test_kept_answers_survive_any_number_of_turns() -> None:
    """IDs that come round again replace what was kept under them."""
    client = authenticated(agent_side())
    client.side.serve = lambda request: payloads.pack({"filler": bytes(700_000)})
    for _ in range(3):
        for request_id in (5, 0x50000000, 0xA0000000):
            (answer,) = client.send(WORK, request_id=request_id)
            assert len(answer.payload) > 700_000


def test_fire_and_forget_is_executed_and_not_answered() -> None:
    connection = connected()
    connection.client.post(WORK, b"\x81\xa1a\x01")
    connection.client.post(0x7FFF, b"")
    connection.pump()
    assert connection.agent_side.executed == [(0, WORK, b"\x81\xa1a\x01")]
    assert connection.agent.dropped == 1
    assert connection.answers == []


def test_fire_and_forget_that_fails_is_dropped_and_counted() -> None:
    connection = connected()
    connection.agent_side.serve = lambda request: Conflict("busy")
    connection.client.post(WORK, b"")
    connection.pump()
    assert connection.agent.dropped == 1
    assert connection.client.dropped == 0


def test_2048_requests_in_flight() -> None:
    connection = connected()
    agent = connection.agent_side
    agent.serve = lambda request: None
    requests = [connection.client.request(WORK, b"") for _ in range(2049)]
    connection.pump()
    assert len(agent.held) == 2048
    ((refused, payload),) = connection.answers
    assert (refused, status_of(payload)) == (requests[-1].request_id, Status.TOO_MANY)
    agent.finish()
    connection.client.request(WORK, b"")
    connection.pump()
    assert len(agent.held) == 2048
    assert len(connection.answers) == 2


def test_limit_in_flight_is_the_policys() -> None:
    client = authenticated(agent_side(Policy(requests_in_flight=2)))
    client.side.serve = lambda request: None
    assert client.send(WORK) + client.send(WORK) == []
    (answer,) = client.send(WORK)
    assert status_of(answer.payload) == Status.TOO_MANY


def test_failure_of_a_pair_comes_under_the_requests_own_opcode() -> None:
    client = authenticated(agent_side())
    (answer,) = client.send(Opcode.KEEPALIVE, b"\xff")
    assert answer.opcode == Opcode.KEEPALIVE
    (answer,) = client.send(Opcode.KEY_EXCHANGE_INIT, b"", tier=4)
    assert answer.opcode == Opcode.KEY_EXCHANGE_INIT


@pytest.mark.parametrize(("legacy", "code"), [(0xF350, 0x0B50), (0xF37A, 0x0B7A)])
def test_legacy_alias_is_answered_under_the_code_asked(legacy: int, code: int) -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: request.operation.code.to_bytes(2, "big")
    (answer,) = client.send(legacy)
    assert (answer.opcode, answer.payload) == (legacy, code.to_bytes(2, "big"))


def test_answer_above_the_limit_becomes_too_large() -> None:
    connection = connected(agent_side(Policy(message_limit=100_000)))
    connection.agent_side.serve = lambda request: bytes(int(payloads.unpack(request.payload)["size"]))
    for size in (99_900, 100_000):
        connection.client.request(WORK, payloads.pack({"size": size}))
    connection.to_agent()
    messages = connection.take_agent()
    assert all(len(message) <= 100_000 for message in messages)
    connection.to_client(messages)
    (_, good), (_, bad) = connection.answers
    assert len(good) == 99_900
    assert status_of(bad) == Status.TOO_LARGE


def test_request_above_the_limit_is_never_sent() -> None:
    connection = connected()
    for send in (connection.client.request, connection.client.post):
        with pytest.raises(LocalError):
            send(WORK, bytes(1 << 20))
    assert connection.client.state.pending == {}
    assert connection.take_client() == []


def test_pushes_carry_the_id_of_their_stream_and_are_never_answered() -> None:
    connection = connected()
    stream = connection.client.request(WORK, b"")
    connection.pump()
    connection.agent.record.push(stream.request_id, Opcode.STREAM_DATA, b"\x81\xa1a\x01")
    connection.to_client()
    (push,) = (event for event in connection.client_events if isinstance(event, Push))
    assert (push.request_id, push.opcode, bytes(push.payload)) == (
        stream.request_id, Opcode.STREAM_DATA, b"\x81\xa1a\x01",
    )  # fmt: skip
    assert connection.take_client() == []


def test_answer_that_nobody_awaits_is_dropped_and_counted() -> None:
    agent = raw_agent(agent_side())
    assert agent.deliver(agent.seal(WORK, b"", request_id=99)) == []
    assert agent.client.dropped == 1
    assert not agent.client.closed


def test_an_event_is_handed_out_once() -> None:
    """What a message led to does not come again when the connection ends."""
    connection = connected()
    connection.client.request(WORK, b"")
    connection.pump()
    agent_events, client_events = len(connection.agent_events), len(connection.client_events)
    connection.cut()
    assert [type(e).__name__ for e in connection.agent_events[agent_events:]] == ["Ended"]
    assert [type(e).__name__ for e in connection.client_events[client_events:]] == ["Ended"]


def test_requests_made_before_the_session_is_open_get_their_ids_behind_the_registrations() -> None:
    connection = Connection(agent_side())
    waiting = [connection.client.request(WORK, bytes([0x81, 0xA1, 0x61, n])) for n in range(3)]
    connection.pump()
    assert [request.request_id for request in waiting] == [3, 4, 5]
    assert [status_of(payload) for _, payload in connection.answers] == [0, 0, 0]
    assert [payload[-1] for _, _, payload in connection.agent_side.executed] == [0, 1, 2]
