"""Exactly-once execution over a resume (docs/protocol.md, 10.2)."""

from __future__ import annotations

import pytest
from pair import WORK, AgentSide, Connection, agent_side, connected, status_of
from raw import RawClient, authenticated

from myclerk_protocol import payloads
from myclerk_protocol.events import Established
from myclerk_protocol.operations import Opcode
from myclerk_protocol.status import Status


def _resumed(client: RawClient) -> RawClient:
    """The same client on a new connection, before its proof."""
    again = RawClient(client.side)
    again.resume(client.ticket)
    again.last_id = client.last_id
    return again


def _executed(side: AgentSide) -> list[int]:
    return [request_id for request_id, _, _ in side.executed]


# -- what the agent does with repeats ------------------------------------------------------------------------


def test_kept_answer_is_repeated_under_its_opcode_and_tier() -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: b"\x81\xa1a\x07"
    client.send(WORK, tier=5, request_id=3)
    client.send(Opcode.KEEPALIVE, request_id=4)
    client.send(0x7FFF, request_id=5)
    again = _resumed(client)
    (first,) = again.send(WORK, tier=5, request_id=3)
    (second,) = again.send(Opcode.KEEPALIVE, request_id=4)
    (third,) = again.send(0x7FFF, request_id=5)
    assert (first.opcode, first.tier, first.payload) == (WORK, 5, b"\x81\xa1a\x07")
    assert (second.opcode, second.payload) == (Opcode.KEEPALIVE_ACK, b"")
    assert (third.opcode, status_of(third.payload)) == (0x7FFF, Status.UNSUPPORTED)
    assert _executed(client.side) == [3]


def test_last_256_answers_are_kept() -> None:
    client = authenticated(agent_side())
    for request_id in range(3, 3 + 257):
        client.send(WORK, request_id=request_id)
    again = _resumed(client)
    (gone,) = again.send(WORK, request_id=3)
    fields = payloads.unpack(gone.payload)
    assert (fields["status"], fields["executed"]) == (Status.CONFLICT, True)
    (kept,) = again.send(WORK, request_id=4)
    assert status_of(kept.payload) == 0
    assert len(client.side.executed) == 257


def test_kept_answers_hold_two_mebibytes_together() -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: bytes(600_000)
    for request_id in range(3, 7):
        client.send(WORK, request_id=request_id)
    again = _resumed(client)
    (gone,) = again.send(WORK, request_id=3)
    assert payloads.unpack(gone.payload)["executed"] is True
    for request_id in range(4, 7):
        (kept,) = again.send(WORK, request_id=request_id)
        assert len(kept.payload) == 600_000


def test_repeat_of_a_running_request_starts_nothing() -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: None
    client.send(WORK, request_id=3)
    again = _resumed(client)
    assert again.send(WORK, request_id=3) == []
    assert _executed(client.side) == [3]
    client.side.finish(b"\x81\xa1a\x01")
    (answer,) = again.answers()
    assert (answer.request_id, answer.payload) == (3, b"\x81\xa1a\x01")


def test_answer_that_nobody_repeated_is_not_sent() -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: None
    client.send(WORK, request_id=3)
    again = _resumed(client)
    again.send(Opcode.NOP, request_id=0)
    client.side.finish()
    assert again.answers() == []
    (answer,) = again.send(WORK, request_id=3)  # it was kept, and repeats are still allowed
    assert status_of(answer.payload) == 0
    assert _executed(client.side) == [3]


def test_repeat_ends_with_the_first_new_id() -> None:
    client = authenticated(agent_side())
    client.send(WORK, request_id=3)
    client.send(WORK, request_id=4)
    again = _resumed(client)
    (answer,) = again.send(WORK, request_id=3)
    assert status_of(answer.payload) == 0
    (answer,) = again.send(WORK, request_id=5)
    assert status_of(answer.payload) == 0
    (answer,) = again.send(WORK, request_id=4)
    assert status_of(answer.payload) == Status.BAD_REQUEST
    assert _executed(client.side) == [3, 4, 5]


def test_without_a_resume_a_repeat_is_bad_request() -> None:
    client = authenticated(agent_side())
    client.send(WORK, request_id=3)
    (answer,) = client.send(WORK, request_id=3)
    assert status_of(answer.payload) == Status.BAD_REQUEST


def test_request_that_never_arrived_is_executed_by_its_repeat() -> None:
    client = authenticated(agent_side())
    client.send(WORK, request_id=3)
    again = _resumed(client)
    for request_id in (3, 4, 5):
        (answer,) = again.send(WORK, request_id=request_id)
        assert status_of(answer.payload) == 0
    assert _executed(client.side) == [3, 4, 5]


def test_repeats_survive_several_resumes() -> None:
    client = authenticated(agent_side())
    client.send(WORK, request_id=3)
    for _ in range(4):
        client = _resumed(client)
        (answer,) = client.send(WORK, request_id=3)
        assert status_of(answer.payload) == 0
    assert _executed(client.side) == [3]


def test_repeats_across_the_wrap() -> None:
    client = authenticated(agent_side())
    for request_id in (0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 1, 2):
        client.send(WORK, request_id=request_id)
    again = _resumed(client)
    for request_id in (0xFFFFFFFE, 0xFFFFFFFF, 1, 2, 3):
        (answer,) = again.send(WORK, request_id=request_id)
        assert status_of(answer.payload) == 0
    assert _executed(client.side) == [0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 1, 2, 3]


def test_forgotten_answers_after_linger_never_execute_again() -> None:
    client = authenticated(agent_side())
    client.send(WORK, request_id=3)
    client.agent.record.ledger.forget_answers()
    again = _resumed(client)
    (answer,) = again.send(WORK, request_id=3)
    assert payloads.unpack(answer.payload)["executed"] is True
    assert _executed(client.side) == [3]


# -- what the client does ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["nothing", "request", "answer"])
def test_client_repeats_what_was_not_answered(point: str) -> None:
    """The connection is lost before the request arrives, before its answer leaves, before that arrives."""
    connection = connected()
    agent = connection.agent_side
    request = connection.client.request(WORK, b"\x81\xa1a\x01", context="mine")
    messages = connection.take_client()
    if point != "nothing":
        connection.to_agent(messages)
    if point == "answer":
        connection.take_agent()
    again = connected(agent, connection.cut())
    assert again.client.resumed
    assert again.answers == [(request.request_id, b"")]
    assert _executed(agent) == [request.request_id]


def test_client_goes_on_with_its_ids_and_order() -> None:
    connection = connected()
    agent = connection.agent_side
    sent = [connection.client.request(WORK, b"") for _ in range(3)]
    state = connection.cut()
    again = Connection(agent, state)
    later = again.client.request(WORK, b"")
    again.pump()
    assert _executed(agent) == [r.request_id for r in [*sent, later]] == [3, 4, 5, 6]
    assert again.client.request(WORK, b"").request_id == 8  # 7 asked whether the proof arrived


def test_fire_and_forget_is_never_repeated() -> None:
    connection = connected()
    agent = connection.agent_side
    connection.client.post(WORK, b"")
    state = connection.cut()
    again = connected(agent, state)
    again.client.post(WORK, b"")
    again.pump()
    assert _executed(agent) == [0]


def test_running_request_answers_on_the_new_connection() -> None:
    connection = connected()
    agent = connection.agent_side
    agent.serve = lambda request: None
    request = connection.client.request(WORK, b"")
    connection.pump()
    again = connected(agent, connection.cut())
    assert again.answers == []
    agent.finish(b"\x81\xa1a\x02")
    again.pump()
    assert again.answers == [(request.request_id, b"\x81\xa1a\x02")]
    assert _executed(agent) == [request.request_id]


def test_answer_that_was_made_while_nobody_was_connected() -> None:
    connection = connected()
    agent = connection.agent_side
    agent.serve = lambda request: None
    request = connection.client.request(WORK, b"")
    connection.pump()
    state = connection.cut()
    agent.finish(b"\x81\xa1a\x03")
    assert connected(agent, state).answers == [(request.request_id, b"\x81\xa1a\x03")]


def test_without_resume_what_was_sent_is_lost_and_the_rest_goes_out() -> None:
    connection = connected()
    agent = connection.agent_side
    sent = connection.client.request(WORK, b"\x81\xa1a\x01", context="sent")
    connection.take_client()
    state = connection.cut()
    state.tickets.clear()
    again = Connection(agent, state)
    waiting = again.client.request(WORK, b"\x81\xa1a\x02", context="waiting")
    again.pump()
    established = next(e for e in again.client_events if isinstance(e, Established))
    assert not established.resumed
    assert established.lost == (sent,)
    assert again.answers == [(waiting.request_id, b"")]
    assert agent.executed == [(3, WORK, b"\x81\xa1a\x02")]


def test_the_sessions_own_requests_are_not_repeated() -> None:
    connection = connected()
    agent = connection.agent_side
    connection.client.rotate(fresh=False)
    connection.take_client()
    state = connection.cut()
    assert len(state.pending) == 1
    again = connected(agent, state)
    again.client.request(WORK, b"")
    again.pump()
    assert len(again.answers) == 1
    assert state.pending == {}
