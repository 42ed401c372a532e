"""KEEPALIVE, silence, and the repeated registration (docs/protocol.md, 9.5 and 8.2)."""

from __future__ import annotations

import pytest
from pair import WORK, AgentSide, Connection, World, agent_side, connected
from raw import RawClient, authenticated
from raw_agent import raw_agent

from myclerk_protocol import payloads
from myclerk_protocol.events import Registered
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Opcode


def test_agent_that_sent_nothing_for_15_seconds_pushes_keepalive() -> None:
    client = authenticated(agent_side())
    assert client.tick(14.9) == []
    (push,) = client.tick(0.1)
    assert (push.opcode, push.request_id, push.push, push.payload) == (Opcode.KEEPALIVE, 0, True, b"")
    assert client.tick(14.9) == []
    assert len(client.tick(0.1)) == 1


def test_whatever_was_sent_puts_the_keepalive_off() -> None:
    client = authenticated(agent_side())
    client.tick(10.0)
    client.send(WORK)
    assert client.tick(14.9) == []


def test_client_that_sent_nothing_for_15_seconds_sends_keepalive_without_request_id() -> None:
    agent = raw_agent(agent_side())
    agent.client.sent()
    agent.side.world.advance(14.9)
    agent.client.tick()
    assert agent.received() == []
    agent.side.world.advance(0.1)
    agent.client.tick()
    (message,) = agent.received()
    assert (message.opcode, message.request_id, message.push) == (Opcode.KEEPALIVE, 0, False)


def test_keepalive_with_a_request_id_measures() -> None:
    client = authenticated(agent_side())
    (answer,) = client.send(Opcode.KEEPALIVE)
    assert (answer.opcode, answer.payload) == (Opcode.KEEPALIVE_ACK, b"")
    assert client.send(Opcode.KEEPALIVE, request_id=0) == []
    assert client.agent.dropped == 0


def test_idle_pair_lives() -> None:
    connection = connected()
    connection.live(300)
    assert not connection.agent.closed
    assert not connection.client.closed
    assert connection.agent_side.executed == []


@pytest.mark.parametrize("phase", ["unauthenticated", "authenticated"])
def test_agent_ends_the_connection_after_45_silent_seconds(phase: str) -> None:
    client = RawClient(agent_side())
    client.handshake()
    if phase == "authenticated":
        client.register()
    else:
        client.agent.hold()
    client.tick(44.9)
    assert not client.agent.closed
    client.tick(0.1)
    assert client.agent.closed
    assert client.events[-1].linger is (phase == "authenticated")


def test_only_what_opens_counts_as_heard() -> None:
    client = authenticated(agent_side())
    for _ in range(5):
        client.tick(9.0)
        client.deliver(b"\x40\0\0\0\1\0\0")  # bare tier 0 is discarded
    assert client.agent.closed


def test_client_ends_the_connection_after_45_silent_seconds() -> None:
    connection = connected()
    for _ in range(4):
        connection.tick(11.0)
    assert not connection.client.closed
    connection.tick(1.0)
    assert connection.end_of_client.linger


def test_clients_keepalives_do_not_keep_a_dead_agent_alive() -> None:
    connection = connected()
    for _ in range(45):
        connection.tick(1.0)
        connection.take_client()
    assert connection.client.closed


def test_suspend_counts() -> None:
    """A machine that slept for an hour finds its connection over at once."""
    connection = connected()
    connection.tick(3600.0)
    assert connection.agent.closed
    assert connection.client.closed
    assert connected(connection.agent_side, connection.client.state).client.resumed


# -- the repeated registration -------------------------------------------------------------------------------


def _registrations(connection: Connection) -> int:
    return len([event for event in connection.client_events if isinstance(event, Registered)])


def test_registration_is_repeated_at_half_the_tickets_life() -> None:
    connection = connected(agent_side(Policy(ticket_lifetime=200.0)))
    first = connection.client.state.tickets[0]
    connection.live(99)
    assert _registrations(connection) == 1
    connection.live(1)
    assert _registrations(connection) == 2
    (second,) = connection.client.state.tickets
    assert second.ticket != first.ticket
    connection.live(300)
    assert _registrations(connection) == 5
    assert connected(connection.agent_side, connection.cut()).client.resumed


def test_session_lives_on_for_days() -> None:
    connection = connected()
    for _ in range(3 * 8640):
        connection.tick(10.0)
        connection.pump()
    assert not connection.client.closed
    again = connected(connection.agent_side, connection.cut())
    assert again.client.resumed


def test_half_the_life_counts_from_the_registration_over_a_resume() -> None:
    connection = connected(agent_side(Policy(ticket_lifetime=200.0)))
    connection.live(60)
    again = connected(connection.agent_side, connection.cut())
    again.live(69)
    assert _registrations(again) == 0
    again.live(1)  # half of the 140 s that were left
    assert _registrations(again) == 1


@pytest.mark.parametrize("jump", [10 * 365 * 86400.0, -10 * 365 * 86400.0])
def test_agents_wall_clock_may_be_set_in_a_session(jump: float) -> None:
    """``expires-at`` is then nonsense: the client neither registers all the time nor drops the ticket."""
    connection = connected()
    connection.world.wall += jump
    connection.client._register(connection.client._authenticator.again(connection.client._transcript))
    connection.pump()
    assert _registrations(connection) == 2
    connection.live(120)
    assert _registrations(connection) == 2
    assert connected(connection.agent_side, connection.cut()).client.resumed


def test_ticket_that_expired_on_its_way_is_not_asked_for_every_second() -> None:
    agent = raw_agent(agent_side())
    agent.client._register(agent.client._authenticator.again(agent.client._transcript))
    asked = 0
    for _ in range(30):
        for request in (m for m in agent.received() if m.opcode == Opcode.CLIENT_REGISTER):
            asked += 1
            now = int(agent.side.environment.wall())
            body = payloads.pack({"ticket": bytes(64), "ticket-tag": bytes(16), "expires-at": now})
            agent.deliver(agent.seal(Opcode.CLIENT_REGISTER, body, request_id=request.request_id))
        agent.side.world.advance(1.0)
        agent.client.tick()
    assert 2 <= asked <= 4


def test_ticket_without_its_parts_ends_the_connection() -> None:
    agent = raw_agent(agent_side())
    agent.client._register(agent.client._authenticator.again(agent.client._transcript))
    (request,) = agent.received()
    body = payloads.pack({"ticket": bytes(64)})
    agent.deliver(agent.seal(Opcode.CLIENT_REGISTER, body, request_id=request.request_id))
    assert agent.client.closed


def test_tickets_life_reaches_beyond_the_wrap_of_the_clocks() -> None:
    """``expires-at`` is taken modulo 2**32."""
    connection = connected(AgentSide(World(wall=2.0**32 - 50), Policy(ticket_lifetime=200.0)))
    (ticket,) = connection.client.state.tickets
    assert ticket.expires == connection.world.monotonic + 200.0
    connection.live(100)
    assert _registrations(connection) == 2
