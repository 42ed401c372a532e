"""Sessions of version 0, whole: no Request ID, no ticket, few pushes (docs/protocol.md, 9.4)."""

from __future__ import annotations

import pytest
from pair import WORK, AgentSide, agent_side, status_of
from raw import RawClient, authenticated

from myclerk_protocol import keys, payloads, tunnel
from myclerk_protocol.operations import Opcode
from myclerk_protocol.status import BadRequest, Status

OTHER_WORK = Opcode.DEVICE_INFO


def _client(side: AgentSide | None = None) -> RawClient:
    return authenticated(side or agent_side(), version=0)


def test_registration_carries_no_ticket() -> None:
    client = RawClient(agent_side(), version=0)
    client.handshake()
    (answer,) = client.register()
    assert (answer.version, answer.opcode, answer.payload) == (0, Opcode.CLIENT_REGISTER, b"")


def test_requests_and_failures_are_answered_under_their_opcode() -> None:
    side = agent_side()
    side.serve = lambda request: b"\x81\xa1a\x01" if request.opcode == WORK else BadRequest("no", key="a")
    client = _client(side)
    (answer,) = client.send(WORK)
    assert (answer.version, answer.opcode, answer.payload) == (0, WORK, b"\x81\xa1a\x01")
    (answer,) = client.send(OTHER_WORK, tier=5)
    assert (answer.tier, status_of(answer.payload)) == (5, Status.BAD_REQUEST)


def test_pairs_keep_their_answer_opcode() -> None:
    client = _client()
    (answer,) = client.send(Opcode.KEEPALIVE)
    assert answer.opcode == Opcode.KEEPALIVE_ACK
    (answer,) = client.send(Opcode.SESSION_CLOSE)
    assert answer.opcode == Opcode.SESSION_CLOSE_ACK
    assert client.agent.closed


def test_one_outstanding_request_per_opcode() -> None:
    side = agent_side()
    side.serve = lambda request: None
    client = _client(side)
    assert client.send(WORK) == []
    assert client.send(OTHER_WORK) == []
    (answer,) = client.send(WORK)
    assert status_of(answer.payload) == Status.BAD_REQUEST
    assert len(side.executed) == 2
    side.finish()
    assert [a.opcode for a in client.answers()] == [WORK]
    assert client.send(WORK) == []
    assert len(side.executed) == 3


def test_one_outstanding_request_per_opcode_within_a_batch() -> None:
    side = agent_side()
    side.serve = lambda request: None
    client = _client(side)
    batch = tunnel.pack([(WORK, 0, False, b""), (OTHER_WORK, 0, False, b""), (WORK, 0, False, b"")], 0)
    (answer,) = client.send(Opcode.NOP, batch)
    assert (answer.opcode, status_of(answer.payload)) == (WORK, Status.BAD_REQUEST)
    assert [opcode for _, opcode, _ in side.executed] == [WORK, OTHER_WORK]


def test_batch_is_answered_bare() -> None:
    client = _client()
    answers = client.send(Opcode.NOP, tunnel.pack([(WORK, 0, False, b""), (OTHER_WORK, 0, False, b"")], 0))
    assert [(a.version, a.opcode) for a in answers] == [(0, WORK), (0, OTHER_WORK)]


@pytest.mark.parametrize("flaw", ["push", "compressed"])
def test_flawed_carrier_is_answered_since_nothing_is_fire_and_forget(flaw: str) -> None:
    client = _client()
    (answer,) = client.send(Opcode.NOP, tunnel.pack([(WORK, 0, False, b"")], 0), **{flaw: True})
    assert (answer.opcode, status_of(answer.payload)) == (Opcode.NOP, Status.BAD_REQUEST)
    assert not client.side.executed


def test_batch_before_authentication_is_unauthorized() -> None:
    client = RawClient(agent_side(), version=0)
    client.handshake()
    (answer,) = client.send(Opcode.NOP, tunnel.pack([(WORK, 0, False, b"")], 0))
    assert status_of(answer.payload) == Status.UNAUTHORIZED


def test_refused_batch() -> None:
    client = _client()
    (answer,) = client.send(Opcode.NOP, tunnel.pack([(WORK, 0, False, b"")], 0) + b"\0\0\0")
    fields = payloads.unpack(answer.payload)
    assert (answer.opcode, fields["status"], fields["request-ids"]) == (Opcode.NOP, Status.BAD_REQUEST, [])
    assert not client.side.executed


@pytest.mark.parametrize("payload", [b"", b"\xff"])
def test_complete_is_never_answered(payload: bytes) -> None:
    client = _client()
    assert client.send(Opcode.KEY_EXCHANGE_COMPLETE, payload, tier=4) == []
    assert client.agent.dropped == 1
    client = RawClient(agent_side(), version=0)
    client.handshake()
    assert client.send(Opcode.KEY_EXCHANGE_COMPLETE, payload, tier=4) == []


def test_keys_rotate_and_complete_stays_without_answer() -> None:
    client = _client()
    (answer,) = client.send(Opcode.SESSION_ROTATE, tier=4)
    assert (answer.opcode, answer.payload) == (Opcode.SESSION_ROTATE, b"")
    key = keys.rotated_key(client.key, 1)
    client.switch_opener(key, 2)
    assert client.send(Opcode.KEY_EXCHANGE_COMPLETE, tier=4) == []
    client.switch_sealer(key, 2)
    (answer,) = client.send(WORK)
    assert answer.opcode == WORK
    assert client.agent.dropped == 0


def test_keepalive_and_rotation_are_pushed_in_version_0() -> None:
    client = _client()
    (push,) = client.tick(15.0)
    assert (push.version, push.opcode, push.push, push.payload) == (0, Opcode.KEEPALIVE, True, b"")
    client.side.world.advance(86400.0)
    client.send(Opcode.KEEPALIVE)
    pushes = client.tick(0.0)
    assert [(p.version, p.opcode, p.push) for p in pushes] == [(0, Opcode.SESSION_ROTATE, True)]
    assert payloads.unpack(pushes[0].payload) == {"fresh": True}


def test_lost_connection_ends_a_session_that_cannot_be_resumed() -> None:
    client = _client()
    client.agent.end("cut", linger=True)
    assert not client.agent.take_events()[-1].linger
    assert client.side.ended == [client.agent.record]
    assert len(client.side.registry) == 0


def test_version_0_message_in_a_version_1_session_is_answered() -> None:
    client = authenticated(agent_side())
    (answer,) = client.send(Opcode.NOP, tunnel.pack([(WORK, 0, False, b"")], 0), version=0)
    assert (answer.version, status_of(answer.payload)) == (0, Status.BAD_REQUEST)


def test_request_id_0_is_no_fire_and_forget_without_request_ids() -> None:
    client = _client()
    (answer,) = client.send(0x7FFF)
    assert status_of(answer.payload) == Status.UNSUPPORTED
