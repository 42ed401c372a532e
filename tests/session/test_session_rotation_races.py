"""What may cross a rotation on its way, and what goes wrong in one (docs/protocol.md, 14)."""

from __future__ import annotations

import pytest
from pair import WORK, Connection, agent_side, connected, status_of
from raw import authenticated, rotate
from raw_agent import raw_agent

from myclerk_protocol import header, keys, payloads, tunnel
from myclerk_protocol.operations import Opcode
from myclerk_protocol.status import Status


@pytest.mark.parametrize("fresh", [False, True])
def test_requests_in_flight_over_a_rotation(fresh: bool) -> None:
    """Requests sent under n are answered under n+1; none is lost and none comes twice."""
    connection = connected()
    agent = connection.agent_side
    agent.serve = lambda request: None
    before = connection.client.request(WORK, b"")
    connection.to_agent()
    connection.client.rotate(fresh=fresh)
    behind = connection.client.request(WORK, b"")  # still under n, behind SESSION_ROTATE
    connection.to_agent()
    agent.finish()  # under n+1, before COMPLETE arrives
    agent.finish()
    connection.pump()
    after = connection.client.request(WORK, b"")
    connection.pump()
    agent.finish()
    connection.pump()
    assert [r for r, _ in connection.answers] == [r.request_id for r in (before, behind, after)]
    assert not connection.client.closed


def test_answers_gathered_before_the_response_stay_under_the_old_key() -> None:
    connection = connected()
    for _ in range(3):
        connection.client.request(WORK, b"", tier=4)
    connection.client.rotate(fresh=False)
    connection.client.request(WORK, b"", tier=4)
    connection.to_agent()
    messages = connection.take_agent()
    assert [header.decode(message)[0].key_id for message in messages] == [1, 1, 2]
    connection.to_client(messages)
    assert len(connection.answers) == 4


def test_requests_gathered_before_complete_stay_under_the_old_key() -> None:
    connection = connected()
    connection.client.rotate(fresh=False)
    connection.to_agent()
    answers = connection.take_agent()
    connection.client.request(WORK, b"", tier=4)
    connection.client.request(WORK, b"", tier=4)
    connection.to_client(answers)
    connection.client.request(WORK, b"", tier=4)
    messages = connection.take_client()
    heads = [header.decode(message)[0] for message in messages]
    assert [head.key_id for head in heads] == [1, 1, 2]
    assert [head.opcode for head in heads] == [Opcode.NOP, Opcode.KEY_EXCHANGE_COMPLETE, WORK]
    connection.to_agent(messages)
    assert len(connection.agent_side.executed) == 3


def test_pushes_in_flight_over_a_rotation() -> None:
    connection = connected()
    stream = connection.client.request(WORK, b"")
    connection.pump()
    connection.client.rotate(fresh=True)
    record = connection.agent.record
    for _ in range(4):
        record.push(stream.request_id, Opcode.STREAM_DATA, b"\x80")
        connection.to_agent()
        record.push(stream.request_id, Opcode.STREAM_DATA, b"\x80")
        connection.to_client()
    pushes = [event for event in connection.client_events if type(event).__name__ == "Push"]
    assert len(pushes) == 8
    assert not connection.client.closed


@pytest.mark.parametrize("opcode", [Opcode.SESSION_ROTATE, Opcode.KEY_EXCHANGE_INIT])
def test_second_start_meanwhile_is_conflict(opcode: Opcode) -> None:
    client = authenticated(agent_side())
    client.send(Opcode.SESSION_ROTATE, tier=4)
    key = keys.rotated_key(client.key, 1)
    client.switch_opener(key, 2)
    fields = {"x25519-public": b"\x09" + bytes(31), "mlkem-public": client.offer.mlkem_public}
    (answer,) = client.send(opcode, payloads.pack(fields), tier=4)
    assert status_of(answer.payload) == Status.CONFLICT
    client.send(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4)
    client.switch_sealer(key, 2)
    rotate(client, 2)


def test_complete_out_of_turn_changes_nothing() -> None:
    client = authenticated(agent_side())
    assert client.send(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4) == []
    assert client.agent.dropped == 1
    (answer,) = client.send(Opcode.KEY_EXCHANGE_COMPLETE, tier=4)
    assert (answer.opcode, status_of(answer.payload)) == (
        Opcode.KEY_EXCHANGE_COMPLETE, Status.BAD_REQUEST,
    )  # fmt: skip
    rotate(client)
    assert client.send(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4) == []
    assert client.agent.dropped == 2
    (answer,) = client.send(WORK)
    assert status_of(answer.payload) == 0


def test_complete_in_a_batch_is_forbidden() -> None:
    client = authenticated(agent_side())
    message = b"\x40\0\0\0\0" + Opcode.KEY_EXCHANGE_COMPLETE.to_bytes(2, "big")
    (refusal,) = client.send(Opcode.NOP, len(message).to_bytes(4, "big") + message, request_id=0, tier=4)
    assert status_of(refusal.payload) == Status.BAD_REQUEST


def test_old_key_is_forgotten_by_complete() -> None:
    client = authenticated(agent_side())
    old = client.sealer
    rotate(client)
    client.sealer = old
    assert client.deliver(client.seal(WORK)) == []
    assert client.agent.closed


def test_new_key_before_complete_does_not_open() -> None:
    client = authenticated(agent_side())
    client.send(Opcode.SESSION_ROTATE, tier=4)
    client.switch_sealer(keys.rotated_key(client.key, 1), 2)
    assert client.deliver(client.seal(WORK)) == []
    assert client.agent.closed


def test_no_complete_within_ten_seconds_ends_the_connection() -> None:
    client = authenticated(agent_side())
    client.send(Opcode.SESSION_ROTATE, tier=4)
    client.switch_opener(keys.rotated_key(client.key, 1), 2)
    client.tick(9.0)
    assert not client.agent.closed
    client.tick(1.0)
    assert client.agent.closed
    assert client.events[-1].linger


@pytest.mark.parametrize("lost", ["request", "response", "complete"])
@pytest.mark.parametrize("fresh", [False, True])
def test_connection_lost_in_a_rotation_is_resumed(fresh: bool, lost: str) -> None:
    connection = connected()
    agent = connection.agent_side
    request = connection.client.request(WORK, b"")
    connection.client.rotate(fresh=fresh)
    messages = connection.take_client()
    if lost != "request":
        connection.to_agent(messages)
        messages = connection.take_agent()
    if lost == "complete":
        connection.to_client(messages)
    again = connected(agent, connection.cut())
    assert again.client.resumed
    assert [r for r, _ in [*connection.answers, *again.answers]] == [request.request_id]
    again.client.rotate(fresh=fresh)
    again.pump()
    assert again.agent._channel.rotations == 1


def test_repeated_registration_that_crosses_a_rotation_gives_a_good_ticket() -> None:
    """The ticket's key comes from the key that seals the answer."""
    for order in (("register", "rotate"), ("rotate", "register")):
        connection = connected()
        client = connection.client
        for step in order:
            if step == "register":
                client._register(client._authenticator.again(client._transcript))
            else:
                client.rotate(fresh=False)
        connection.pump()
        assert connected(connection.agent_side, connection.cut()).client.resumed


def test_own_start_and_push_cross() -> None:
    """The agent's push finds a rotation under way: it is heeded by that."""
    connection = connected()
    connection.client.rotate(fresh=False)
    connection.agent.outbox.send(1, 4, Opcode.SESSION_ROTATE, 0, b"", push=True)
    connection.pump()
    assert connection.agent._channel.rotations == 1
    assert connection.client._rotation.due(connection.world.monotonic) is None


def test_fresh_keys_asked_in_a_derived_rotation_follow_it() -> None:
    connection = connected()
    connection.client.rotate(fresh=False)
    connection.agent.outbox.send(1, 4, Opcode.SESSION_ROTATE, 0, b"\x81\xa5fresh\xc3", push=True)
    connection.to_client()
    connection.pump()
    assert connection.agent._channel.rotations == 1
    connection.tick(1.0)
    connection.pump()
    assert connection.agent._channel.rotations == 2
    connection.tick(1.0)
    connection.pump()
    assert connection.agent._channel.rotations == 2


def test_derived_rotation_that_meets_fresh_keys_due_is_followed_by_those() -> None:
    connection = connected()
    connection.agent._rotation._fresh_at -= 86_400.0
    connection.client.rotate(fresh=False)
    connection.agent_events += connection.agent.tick()  # the push and SESSION_ROTATE cross
    connection.pump()
    assert connection.agent._channel.rotations == 0
    connection.tick(1.0)
    connection.pump()
    assert connection.agent._channel.rotations == 1
    assert not connection.agent._rotation._fresh_due


def test_response_that_does_not_fit_ends_the_connection() -> None:
    agent = raw_agent(agent_side())
    agent.client.rotate(fresh=True)
    (request,) = agent.received()
    body = payloads.pack({"x25519-public": b"\x09" + bytes(31)})  # no mlkem-ciphertext
    agent.deliver(agent.seal(Opcode.KEY_EXCHANGE_RESPONSE, body, request_id=request.request_id, tier=4))
    assert agent.client.closed


def test_conflict_leaves_the_clients_keys() -> None:
    agent = raw_agent(agent_side())
    agent.client.rotate(fresh=False)
    (request,) = agent.received()
    body = payloads.pack({"status": int(Status.CONFLICT), "message": "later"})
    agent.deliver(agent.seal(Opcode.SESSION_ROTATE, body, request_id=request.request_id, tier=4))
    asked = agent.client.request(WORK, b"")
    (message,) = agent.received()
    assert (message.opcode, message.request_id) == (WORK, asked.request_id)


def test_rotations_under_load() -> None:
    """Requests and rotations of both kinds, each message delivered one at a time."""
    connection = connected()
    asked = []
    for step in range(60):
        asked.append(connection.client.request(WORK, payloads.pack({"n": step})).request_id)
        if step % 5 == 0:
            connection.client.rotate(fresh=step % 10 == 0)
        _trickle(connection)
    connection.pump()
    assert sorted(r for r, _ in connection.answers) == asked
    assert connection.agent._channel.rotations == connection.client._channel.rotations > 5
    assert [r for r, _, _ in connection.agent_side.executed] == asked


def _trickle(connection: Connection) -> None:
    for message in connection.take_client():
        connection.to_agent([message])
        connection.to_client()


def test_refused_batch_over_a_rotation_names_its_requests() -> None:
    client = authenticated(agent_side())
    client.deliver(client.seal(Opcode.SESSION_ROTATE, tier=4))
    client.switch_opener(keys.rotated_key(client.key, 1), 2)
    good = tunnel.pack([(WORK, 50, False, b"")])
    (refusal,) = client.send(Opcode.NOP, good + b"\0", request_id=0)
    assert payloads.unpack(refusal.payload)["request-ids"] == [50]


def test_client_starts_no_second_rotation_meanwhile() -> None:
    connection = connected()
    connection.client.rotate(fresh=True)
    connection.to_agent()
    connection.take_agent()  # the answer is on its way for long
    connection.world.advance(1.0)
    connection.client._channel._sealer.messages = 1 << 31
    connection.client.tick()
    connection.client.rotate(fresh=False)
    assert connection.take_client() == []
