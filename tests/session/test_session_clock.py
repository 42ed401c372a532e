"""Session clocks (docs/protocol.md, 7.4): any offset at the handshake, 300 s of drift, modulo 2**32."""

from __future__ import annotations

import pytest
from pair import WORK, AgentSide, Connection, World, agent_side, connected
from raw import RawClient, authenticated
from raw_agent import raw_agent

from myclerk_protocol import header

OFFSETS = [0.0, 300.0, -301.0, 86_400.0, -1_800_000_000.0, 2.0**31, -(2.0**31), 2.0**32 - 5, 3e9]


@pytest.mark.parametrize("ahead", OFFSETS)
def test_handshake_is_never_refused_for_the_clock(ahead: float) -> None:
    connection = connected(ahead=ahead)
    connection.client.request(WORK, b"")
    connection.pump()
    assert len(connection.answers) == 1
    again = connected(connection.agent_side, connection.cut(), ahead=-ahead)
    assert again.client.resumed


@pytest.mark.parametrize("ahead", [offset for offset in OFFSETS if offset >= -1.8e9])
def test_handshake_of_an_agent_with_any_clock(ahead: float) -> None:
    connection = connected(agent_side(ahead=ahead))
    connection.client.request(WORK, b"")
    connection.pump()
    assert len(connection.answers) == 1


def test_clock_that_wraps_in_the_session() -> None:
    connection = Connection(AgentSide(World(wall=2.0**32 - 10))).pump()
    for _ in range(30):
        connection.tick(1.0)
        connection.client.request(WORK, b"")
        connection.pump()
    assert len(connection.answers) == 30


class Drifting(RawClient):
    """A client whose messages bear any timestamp."""

    drift = 0

    def seal_with_drift(self, drift: int) -> bytes:
        now = int(self.environment.wall()) + drift & 0xFFFFFFFF
        self.last_id += 1
        return self.sealer.seal(1, 3, WORK, self.session_id, self.last_id, now, b"")


@pytest.mark.parametrize(
    ("drift", "opens"),
    [
        (0, True),
        (300, True),
        (-300, True),
        (301, False),
        (-301, False),
        (1 << 31, False),
        (1 << 32, True),
        ((1 << 32) + 300, True),
        (-(1 << 32) - 301, False),
    ],
)
@pytest.mark.parametrize("wall", [1_800_000_000.0, 100.0, 2.0**32 - 100])
def test_later_message_may_depart_by_300_seconds(drift: int, opens: bool, wall: float) -> None:
    client = Drifting(AgentSide(World(wall=wall)))
    client.handshake()
    client.register()
    client.deliver(client.seal_with_drift(drift))
    assert client.agent.closed is not opens
    assert len(client.side.executed) == opens


@pytest.mark.parametrize(("drift", "opens"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_client_judges_the_same_way(drift: int, opens: bool) -> None:
    agent = raw_agent(agent_side())
    agent.side.environment = agent.side.world.environment(b"agent", drift)
    agent.deliver(agent.seal(1, push=True))
    assert agent.client.closed is not opens


def test_departure_is_measured_from_the_offset_at_the_handshake() -> None:
    """A client an hour ahead may drift 300 s around that hour, not around zero."""
    client = Drifting(agent_side())
    client.environment = client.side.world.environment(b"raw", 3600.0)
    client.handshake()
    client.register()
    client.deliver(client.seal_with_drift(300))
    assert not client.agent.closed
    client.deliver(client.seal_with_drift(-3600))
    assert client.agent.closed


def test_offset_is_that_of_the_last_handshake_message() -> None:
    """Time that passes between two attempts on one connection is no drift."""
    client = RawClient(agent_side())
    client.refused(client.handshake_message(b""))
    client.side.world.advance(14.0)
    client.handshake()
    assert client.agent._clock.peer_offset == 0


def test_wall_clock_jump_in_a_session_changes_nothing() -> None:
    connection = connected()
    connection.world.wall += 1e6
    connection.client.request(WORK, b"")
    connection.pump()
    assert len(connection.answers) == 1
    connection.client.request(WORK, b"")
    (message,) = connection.take_client()
    assert header.decode(message)[0].timestamp == 1_800_000_000


def test_suspend_is_counted_by_the_session_clock() -> None:
    client = authenticated(agent_side())
    client.side.world.advance(400.0)  # both slept
    client.send(WORK)
    assert len(client.side.executed) == 1
