"""What cannot be parsed ends the connection without an answer, in every phase (docs/protocol.md, 6.2 and 9.3)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import IDENTITIES, Connection, Trust, World, agent_side, connected
from raw import RawClient, authenticated
from raw_agent import raw_agent

from myclerk_protocol import header
from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.handshake import Policy


def _first(version: int, tier: int, encrypted: bool = False) -> bytes:
    return bytes((version << 6 | tier << 3 | encrypted,))


UNPARSABLE = {
    "empty": b"",
    "version 2": _first(2, 1) + bytes(40),
    "version 3": _first(3, 4) + bytes(40),
    "tier 6": _first(1, 6) + bytes(40),
    "tier 7": _first(0, 7) + bytes(40),
    "short tier 0": _first(1, 0) + bytes(3),
    "short tier 1": _first(0, 1) + bytes(2),
    "short tier 1, version 1": _first(1, 1) + bytes(6),
    "short tier 2": _first(1, 2) + bytes(8),
    "tier 2 without its CRC": header.encode_plain(header.Header(1, 2))[:-2],
    "tier 2 with a wrong CRC": header.encode_plain(header.Header(1, 2, opcode=3))[:-1] + b"\xff",
    "short tier 4": _first(1, 4) + bytes(16),
    "tier 0 encrypted": _first(1, 0, True) + bytes(40),
    "tier 1 encrypted": _first(1, 1, True) + bytes(40),
    "tier 2 encrypted": _first(0, 2, True) + bytes(40),
    "tier 3 in the clear": _first(1, 3) + bytes(40),
    "tier 5 in the clear": _first(0, 5) + bytes(60),
}
ENCRYPTED = {f"tier {tier} without a key": _first(1, tier, True) + bytes(60) for tier in (3, 4, 5)}
ALL = {**UNPARSABLE, **ENCRYPTED}


@pytest.mark.parametrize("message", ALL.values(), ids=ALL)
def test_before_a_session_the_agent_closes_silently(message: bytes) -> None:
    client = RawClient(agent_side())
    assert client.deliver(message) == []
    assert client.agent.closed
    assert len(client.side.registry) == 0


@pytest.mark.parametrize("message", ALL.values(), ids=ALL)
def test_in_a_session_the_agent_closes_silently_and_the_session_lingers(message: bytes) -> None:
    client = authenticated(agent_side())
    assert client.deliver(message) == []
    assert client.agent.closed
    assert client.events[-1].linger
    assert len(client.side.registry) == 1


@pytest.mark.parametrize("message", ALL.values(), ids=ALL)
def test_unproven_resume_comes_to_nothing(message: bytes) -> None:
    connection = connected()
    agent, state = connection.agent_side, connection.cut()
    again = Connection(agent, state)
    again.to_agent()
    again.agent.outbox.take()
    again.to_agent([message])
    assert again.agent.outbox.take() == []
    assert again.agent.closed
    assert connected(agent, state).client.resumed


@pytest.mark.parametrize("message", ALL.values(), ids=ALL)
def test_client_gives_up_in_the_handshake(message: bytes) -> None:
    connection = Connection(agent_side())
    connection.take_client()
    connection.to_client([message])
    assert connection.client.closed
    assert connection.take_client() == []


@pytest.mark.parametrize("message", ALL.values(), ids=ALL)
def test_client_ends_the_connection_in_a_session_and_keeps_its_ticket(message: bytes) -> None:
    connection = connected()
    connection.to_client([message])
    assert connection.end_of_client.linger
    assert connection.take_client() == []


def test_closed_session_ignores_what_still_arrives() -> None:
    client = authenticated(agent_side())
    client.deliver(b"")
    assert client.deliver(client.seal(1)) == []
    agent = raw_agent(agent_side())
    agent.deliver(b"")
    assert agent.deliver(agent.seal(1, push=True)) == []
    assert agent.client.tick() == []


AGENT_PHASES = {
    "opening": lambda: RawClient(agent_side()),
    "authenticated": lambda: authenticated(agent_side()),
}
GARBAGE = st.one_of(
    st.binary(max_size=120),
    st.builds(lambda first, rest: bytes((first,)) + rest, st.integers(0, 255), st.binary(max_size=60)),
)


@pytest.mark.parametrize("phase", AGENT_PHASES)
@settings(deadline=None)
@given(messages=st.lists(GARBAGE, min_size=1, max_size=4))
def test_agent_never_raises_for_garbage(phase: str, messages: list[bytes]) -> None:
    client = AGENT_PHASES[phase]()
    for message in messages:
        client.deliver(message)
        client.agent.tick()


@settings(deadline=None)
@given(messages=st.lists(GARBAGE, min_size=1, max_size=4))
def test_client_never_raises_for_garbage(messages: list[bytes]) -> None:
    world = World()
    trust = Trust(IDENTITIES["device"], IDENTITIES["agent"])
    client = ClientSession(world.environment(), trust, policy=Policy())
    client.start()
    for message in messages:
        client.receive(message)
        client.tick()


@settings(deadline=None)
@given(payload=st.binary(max_size=60), opcode=st.integers(0, 0x20), request_id=st.integers(0, 9))
def test_agent_never_raises_for_sealed_garbage(payload: bytes, opcode: int, request_id: int) -> None:
    client = authenticated(agent_side())
    for _ in range(2):
        client.deliver(client.seal(opcode, payload, request_id=request_id, tier=4))


@settings(deadline=None)
@given(
    payload=st.binary(max_size=60),
    opcode=st.sampled_from([0, 1, 5, 0x10, 0x11, 0x12, 0x16, 0x17, 0x200, 0x250]),
    request_id=st.integers(0, 5),
    push=st.booleans(),
    compressed=st.booleans(),
)
def test_client_never_raises_for_sealed_garbage(
    payload: bytes, opcode: int, request_id: int, push: bool, compressed: bool
) -> None:
    agent = raw_agent(agent_side())
    agent.client.request(0x200, b"")
    agent.client.rotate(fresh=True)
    for _ in range(2):
        agent.deliver(
            agent.seal(opcode, payload, request_id=request_id, push=push, compressed=compressed, tier=4)
        )
