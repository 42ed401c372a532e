"""The client's tickets when the connection is lost at each point of a resume (docs/protocol.md, 15.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import WORK, AgentSide, Connection, agent_side, connected

from myclerk_protocol import header, payloads
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.events import Established
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Opcode
from myclerk_protocol.records import SessionRegistry

POINTS = [
    "SESSION_RESUME lost",
    "SESSION_RESUMED lost",
    "KEY_EXCHANGE_COMPLETE lost",
    "proof lost",
    "answer lost",
    "answer arrived",
]


def _start(side: AgentSide) -> ClientState:
    return connected(side).cut()


def _resume_up_to(side: AgentSide, state: ClientState, point: str, noticed: bool) -> ClientState:
    """Begin a resume and lose the connection at ``point``; the agent notices it or goes on living."""
    connection = Connection(side, state)
    stop = POINTS.index(point)
    refused = 0
    if stop >= 1:
        while True:  # tickets that the agent knows to be void are refused one by one
            connection.to_agent()
            messages = connection.take_agent()
            if len(messages) == 2:
                break
            connection.to_client(messages)
            refused += 1
            assert refused <= 1
        if stop >= 2:
            connection.to_client(messages[: 1 if stop == 2 else 2])
    if stop >= 4:
        connection.to_agent()
        answers = connection.take_agent()
        if stop >= 5:
            connection.to_client(answers)
    if noticed:
        connection.lose_agent()
    return connection.lose_client()


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_session_survives_a_loss_at_every_point(point: str, noticed: bool) -> None:
    side = agent_side()
    state = _start(side)
    state = _resume_up_to(side, state, point, noticed)
    again = connected(side, state)
    assert again.client.resumed
    again.client.request(WORK, b"")
    again.pump()
    assert len(again.answers) == 1
    assert len([record for record in side.registry if record.session]) == 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(POINTS), st.booleans()), max_size=6))
def test_session_survives_any_losses_in_a_row(losses: list[tuple[str, bool]]) -> None:
    side = agent_side()
    connection = connected(side)
    requests = [connection.client.request(WORK, b"") for _ in range(2)]
    connection.take_client()
    state = connection.cut()
    for point, noticed in losses:
        state = _resume_up_to(side, state, point, noticed)
        assert 1 <= len(state.tickets) <= 2
    again = connected(side, state)
    assert again.client.resumed
    assert state.pending == {}
    assert [request_id for request_id, _, _ in side.executed] == [r.request_id for r in requests]
    assert len(side.registry) == 1


def _attempts(side: AgentSide, state: ClientState) -> list[bytes]:
    """The tickets that a new connection tries, in order; None would be SESSION_INIT."""
    connection = Connection(side, state)
    tried = []
    for _ in range(5):
        messages = connection.take_client()
        if not messages or connection.agent.phase.name != "OPENING":
            break
        head, payload = header.decode_plain(messages[0])
        tried.append(payloads.unpack(payload)["ticket"] if head.opcode == Opcode.SESSION_RESUME else b"")
        connection.to_agent(messages)
        connection.to_client()
    connection.cut()
    return tried


@pytest.mark.parametrize(
    ("point", "tries"),
    [
        ("SESSION_RESUME lost", ["old"]),
        ("KEY_EXCHANGE_COMPLETE lost", ["old"]),
        ("proof lost", ["fresh", "old"]),
        ("answer lost", ["fresh"]),
        ("answer arrived", ["fresh"]),
    ],
)
def test_fresh_ticket_is_tried_before_the_old_one(point: str, tries: list[str]) -> None:
    side = agent_side()
    state = _start(side)
    old = state.tickets[0].ticket
    state = _resume_up_to(side, state, point, noticed=True)
    fresh = state.tickets[0].ticket
    assert _attempts(side, state) == [old if name == "old" else fresh for name in tries]


def test_both_are_kept_until_an_answer_of_its_own_has_opened() -> None:
    side = agent_side()
    state = _start(side)
    _resume_up_to(side, state, "proof lost", noticed=True)
    assert len(state.tickets) == 2
    connection = Connection(side, state)
    connection.to_agent()
    connection.to_client()  # INVALID_SESSION for the fresh one
    connection.to_agent()
    connection.to_client()
    assert len(state.tickets) == 2
    proof, question = connection.take_client()
    connection.to_agent([proof])
    connection.agent.record.push(3, Opcode.STREAM_DATA, b"")
    connection.to_client()
    assert len(state.tickets) == 2  # a push is no answer
    connection.to_agent([question])
    connection.to_client()
    assert len(state.tickets) == 1


def test_tickets_then_session_init_on_one_connection() -> None:
    side = agent_side()
    state = _start(side)
    _resume_up_to(side, state, "proof lost", noticed=True)
    side.registry = SessionRegistry(side.environment, side.policy, side.ended.append)  # the agent restarted
    tried = _attempts(side, state)
    assert len(tried) == 3
    assert tried[2] == b""
    again = connected(side, state)
    established = next(event for event in again.client_events if isinstance(event, Established))
    assert not established.resumed


def test_expired_tickets_are_not_tried() -> None:
    side = agent_side(Policy(ticket_lifetime=100.0))
    state = _start(side)
    side.world.advance(100.0)
    assert _attempts(side, state) == [b""]


def test_refused_ticket_leaves_the_session_id_of_its_own() -> None:
    """Each ticket goes with the session ID under which it was issued."""
    side = agent_side()
    state = _start(side)
    _resume_up_to(side, state, "proof lost", noticed=True)
    fresh, old = state.tickets
    state.tickets = [replace(fresh, session_id=old.session_id), old]
    assert connected(side, state).client.resumed


@pytest.mark.parametrize("change", [{"opcode": Opcode.SESSION_ACK}, {"nonce": 1}, {"session_id": 0}], ids=str)
def test_client_gives_up_on_an_unfit_resumed(change: dict[str, int]) -> None:
    side = agent_side()
    connection = Connection(side, _start(side))
    connection.to_agent()
    head, payload = header.decode_plain(connection.take_agent()[0])
    for name, value in change.items():
        setattr(head, name, value)
    connection.to_client([header.encode_plain(head, payload)])
    assert connection.client.closed
    assert len(connection.client.state.tickets) == 1
    assert connection.take_client() == []


@pytest.mark.parametrize(
    ("key", "value"), [("selected-tier", 4), ("session-id", 9), ("x25519-public", bytes(32))]
)
def test_client_gives_up_on_an_unfit_map_of_a_resumed(key: str, value: object) -> None:
    side = agent_side()
    connection = Connection(side, _start(side))
    connection.to_agent()
    head, payload = header.decode_plain(connection.take_agent()[0])
    fields = {**payloads.unpack(payload), key: value}
    connection.to_client([header.encode_plain(head, payloads.pack(fields))])
    assert connection.client.closed
    assert len(connection.client.state.tickets) == 1


def test_client_sends_nothing_before_the_agents_proof_opens() -> None:
    side = agent_side()
    connection = Connection(side, _start(side))
    connection.client.request(WORK, b"")
    connection.to_agent()
    resumed, complete = connection.take_agent()
    connection.to_client([resumed])
    assert connection.take_client() == []
    connection.to_client([complete])
    assert len(connection.take_client()) >= 2
