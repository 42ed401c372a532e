"""Key rotation of both kinds, the way it should go (docs/protocol.md, 14)."""

from __future__ import annotations

from typing import Any

import pytest
from pair import WORK, AgentSide, Connection, agent_side, connected, status_of
from raw import RawClient, authenticated, refresh, rotate

from myclerk_protocol import exchange, header, keys, payloads
from myclerk_protocol.events import Registered, Registration
from myclerk_protocol.exchange import Mode, Offer
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Opcode
from myclerk_protocol.status import Status

ANY_MODE = Policy(require_pq=False)


def _works(client: RawClient) -> None:
    (answer,) = client.send(WORK)
    assert status_of(answer.payload) == 0


def test_derived_rotation_by_hand() -> None:
    client = authenticated(agent_side())
    for counter in (1, 2, 3):
        rotate(client, counter)
        _works(client)


@pytest.mark.parametrize("mode", Mode)
def test_fresh_rotation_by_hand(mode: Mode) -> None:
    client = authenticated(agent_side(ANY_MODE), mode=mode)
    answer = refresh(client)
    names = {"x25519-public"} | ({"mlkem-ciphertext"} if mode is Mode.HYBRID else set())
    assert set(payloads.unpack(answer.payload)) == names
    _works(client)


def test_both_kinds_share_one_rotation_counter() -> None:
    client = authenticated(agent_side())
    rotate(client, 1)
    refresh(client, 2)
    rotate(client, 3)
    _works(client)


def test_key_id_names_the_key_that_seals_and_counters_begin_at_0() -> None:
    client = authenticated(agent_side())
    (response,) = client.deliver(client.seal(Opcode.SESSION_ROTATE, tier=4))
    assert header.decode(response)[0].key_id == 1
    client.open(response)
    (answer,) = client.deliver(client.seal(WORK, tier=4))  # asked under key 1, answered under key 2
    head = header.decode(answer)[0]
    assert (head.key_id, head.sequence) == (2, 0)
    complete = client.seal(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4)
    assert header.decode(complete)[0].key_id == 1
    client.deliver(complete)
    client.switch_sealer(keys.rotated_key(client.key, 1), 2)
    message = client.seal(WORK, tier=4)
    assert (header.decode(message)[0].key_id, header.decode(message)[0].sequence) == (2, 0)


def test_key_id_travels_as_its_low_16_bits() -> None:
    """After 65,536 rotations the low bits are 1 again; the session goes on."""
    client = authenticated(agent_side())
    channel = client.agent._channel
    channel.rotations = 0xFFFE
    rotate(client, 0xFFFF)
    (message,) = client.deliver(client.seal(WORK, tier=4))
    assert header.decode(message)[0].key_id == 0
    client.open(message)
    rotate(client, 0x10000)
    _works(client)


# -- between the two sessions --------------------------------------------------------------------------------


@pytest.mark.parametrize("aes", [False, True])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("fresh", [False, True])
def test_pair_rotates_again_and_again(fresh: bool, mode: Mode, aes: bool) -> None:
    policy = Policy(require_pq=False, aes=aes)
    connection = connected(agent_side(policy), policy=policy, mode=mode)
    for _ in range(3):
        connection.client.rotate(fresh=fresh)
        connection.pump()
        connection.client.request(WORK, b"")
        connection.pump()
    assert len(connection.answers) == 3
    assert connection.agent._channel.rotations == connection.client._channel.rotations == 3
    assert not connection.agent._channel.rotating


def test_fresh_keys_are_mixed_with_the_current_one() -> None:
    connection = connected()
    before = connection.client._channel.send_key
    connection.client.rotate(fresh=True)
    connection.pump()
    after = connection.client._channel.send_key
    assert after == connection.agent._channel.send_key == connection.agent._channel.receive_key
    assert after not in (before, keys.rotated_key(before, 1))


def test_client_registers_again_after_fresh_keys_but_not_after_derived_ones() -> None:
    connection = connected()
    for fresh, registrations in ((False, 1), (True, 2), (False, 2)):
        connection.client.rotate(fresh=fresh)
        connection.pump()
        assert len([e for e in connection.client_events if isinstance(e, Registered)]) == registrations
    repeats = [event.repeat for event in connection.agent_events if isinstance(event, Registration)]
    assert repeats == [False, True]


@pytest.mark.parametrize("fresh", [False, True])
def test_ticket_after_a_rotation_resumes(fresh: bool) -> None:
    connection = connected()
    connection.client.rotate(fresh=fresh)
    connection.pump()
    assert connected(connection.agent_side, connection.cut()).client.resumed


# -- when it is due ------------------------------------------------------------------------------------------


def _use(connection: Connection, direction: str, messages: int) -> None:
    """Set the counter of one direction as if that many messages had gone, on both ends."""
    for session, part in ((connection.client, "client"), (connection.agent, "agent")):
        channel = session._channel
        (channel._sealer if part == direction else channel._opener).messages = messages


@pytest.mark.parametrize("direction", ["client", "agent"])
def test_client_rotates_at_2_to_the_31_messages_in_either_direction(direction: str) -> None:
    connection = connected()
    _use(connection, direction, (1 << 31) - 4)
    connection.tick(1.0)
    assert connection.take_client() == connection.take_agent() == []
    _use(connection, direction, 1 << 31)
    connection.client_events += connection.client.tick()
    connection.pump()
    assert connection.agent._channel.rotations == 1
    assert not connection.client._channel.wants_rotation
    connection.client.request(WORK, b"")
    connection.pump()
    assert len(connection.answers) == 1


def test_agent_asks_at_2_to_the_31_messages() -> None:
    client = authenticated(agent_side())
    client.sealer.messages = client.agent._channel._opener.messages = 1 << 31
    (push,) = client.tick(0.0)
    assert (push.opcode, push.push, push.request_id, push.tier) == (Opcode.SESSION_ROTATE, True, 0, 4)
    assert payloads.unpack(push.payload) == {}
    rotate(client)
    _works(client)


def test_fresh_keys_are_used_at_24_hours() -> None:
    connection = connected()
    for _ in range(8_639):
        connection.tick(10.0)
        connection.pump()
    assert connection.agent._channel.rotations == 0
    before = connection.agent._channel.send_key
    connection.tick(10.0)
    connection.pump()
    assert connection.agent._channel.rotations == 1
    assert connection.agent._channel.send_key != keys.rotated_key(before, 1)
    assert not connection.agent._rotation._fresh_due


def _fresh_due(side: AgentSide) -> RawClient:
    client = authenticated(side)
    side.world.advance(86_400.0)
    client.send(Opcode.KEEPALIVE)
    (push,) = client.tick(0.0)
    assert payloads.unpack(push.payload) == {"fresh": True}
    return client


def test_derived_rotation_is_conflict_while_fresh_keys_are_due() -> None:
    client = _fresh_due(agent_side())
    (answer,) = client.send(Opcode.SESSION_ROTATE, tier=4)
    assert status_of(answer.payload) == Status.CONFLICT
    refresh(client)
    _works(client)
    rotate(client, 2)
    _works(client)


def test_unheeded_push_ends_the_connection_after_five_minutes() -> None:
    client = _fresh_due(agent_side())
    for _ in range(29):
        client.tick(10.0)
        client.send(Opcode.KEEPALIVE)
    client.tick(9.0)
    assert not client.agent.closed
    client.tick(1.0)
    assert client.agent.closed
    assert client.events[-1].linger


def test_heeded_push_ends_nothing() -> None:
    client = _fresh_due(agent_side())
    for _ in range(29):
        client.tick(10.0)
        client.send(Opcode.KEEPALIVE)
    refresh(client)
    for _ in range(40):
        client.tick(10.0)
        client.send(Opcode.KEEPALIVE)
    assert not client.agent.closed


def test_rotation_begun_in_the_last_moment_has_its_own_ten_seconds() -> None:
    client = _fresh_due(agent_side())
    for _ in range(29):
        client.tick(10.0)
        client.send(Opcode.KEEPALIVE)
    client.tick(9.0)
    offer = Offer(client.mode, client.environment)
    request = payloads.pack({"x25519-public": offer.x25519_public, "mlkem-public": offer.mlkem_public})
    client.deliver(client.seal(Opcode.KEY_EXCHANGE_INIT, request, tier=4))
    client.side.world.advance(5.0)
    client.agent.tick()
    assert not client.agent.closed


def test_client_heeds_both_kinds_of_push() -> None:
    connection = connected()
    for counter, payload in ((1, b""), (2, b"\x81\xa5fresh\xc3"), (3, b"\x81\xa5fresh\xc2")):
        connection.agent.outbox.send(1, 4, Opcode.SESSION_ROTATE, 0, payload, push=True)
        connection.pump()
        assert connection.agent._channel.rotations == counter
    registrations = [e for e in connection.client_events if isinstance(e, Registered)]
    assert len(registrations) == 2


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "change", "key"),
    [
        (Mode.HYBRID, {"mlkem-public": None}, "mlkem-public"),
        (Mode.CLASSICAL, {"mlkem-public": bytes(1184)}, "mlkem-public"),
        (Mode.HYBRID, {"mlkem-public": b"\xff" * 1184}, "mlkem-public"),
        (Mode.HYBRID, {"mlkem-public": bytes(1183)}, "mlkem-public"),
        (Mode.HYBRID, {"x25519-public": None}, "x25519-public"),
        (Mode.HYBRID, {"x25519-public": bytes(31)}, "x25519-public"),
        (Mode.HYBRID, {"x25519-public": bytes(32)}, "x25519-public"),
    ],
)
def test_bad_keys_are_bad_request_and_change_nothing(mode: Mode, change: dict[str, Any], key: str) -> None:
    client = authenticated(agent_side(ANY_MODE), mode=mode)
    answer = refresh(client, **change)
    fields = payloads.unpack(answer.payload)
    assert (answer.opcode, fields["status"], fields["key"]) == (
        Opcode.KEY_EXCHANGE_INIT, Status.BAD_REQUEST, key,
    )  # fmt: skip
    _works(client)
    rotate(client)


@pytest.mark.parametrize("opcode", [Opcode.SESSION_ROTATE, Opcode.KEY_EXCHANGE_INIT])
def test_rotation_without_request_id_is_dropped(opcode: Opcode) -> None:
    """Nothing could say when the keys switch."""
    client = authenticated(agent_side())
    public, _, _ = exchange.answer(client.environment, client.offer.x25519_public, None)
    payload = b"" if opcode == Opcode.SESSION_ROTATE else payloads.pack({"x25519-public": public})
    assert client.send(opcode, payload, request_id=0, tier=4) == []
    assert client.agent.dropped == 1
    _works(client)
