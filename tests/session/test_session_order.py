"""The order of checks for sealed messages: the first that fails answers (docs/protocol.md, 9.2)."""

from __future__ import annotations

import pytest
from pair import WORK, agent_side, status_of
from raw import RawClient, authenticated

from myclerk_protocol import payloads
from myclerk_protocol.compression import compress
from myclerk_protocol.operations import ANSWER_OPCODES, OPERATIONS, Opcode
from myclerk_protocol.status import Status

UNKNOWN = 0x7FFF


def _client(**changes: object) -> RawClient:
    return authenticated(agent_side(), **changes)


@pytest.mark.parametrize("opcode", sorted(ANSWER_OPCODES))
@pytest.mark.parametrize("flags", [{}, {"push": True}, {"compressed": True}, {"version": 0}], ids=str)
def test_answer_opcode_is_dropped_first(opcode: int, flags: dict[str, bool]) -> None:
    client = _client()
    assert client.send(opcode, b"\xff", **flags) == []
    assert client.agent.dropped == 1
    assert not client.agent.closed
    (answer,) = client.send(WORK)
    assert status_of(answer.payload) == 0


def test_dropped_answer_uses_up_no_request_id() -> None:
    client = _client()
    client.send(Opcode.KEEPALIVE_ACK, request_id=50)
    (answer,) = client.send(WORK, request_id=3)
    assert status_of(answer.payload) == 0


@pytest.mark.parametrize(
    "opcode", [WORK, Opcode.KEEPALIVE, Opcode.SESSION_ROTATE, Opcode.SESSION_INIT, UNKNOWN]
)
def test_push_from_a_client_is_bad_request(opcode: int) -> None:
    client = _client()
    (answer,) = client.send(opcode, push=True, tier=4)
    assert (answer.opcode, answer.push) == (opcode, False)
    assert status_of(answer.payload) == Status.BAD_REQUEST
    assert not client.side.executed


def test_push_is_judged_before_authentication() -> None:
    client = RawClient(agent_side())
    client.handshake()
    (answer,) = client.send(WORK, push=True)
    assert status_of(answer.payload) == Status.BAD_REQUEST


def test_compression_is_judged_before_authentication() -> None:
    client = RawClient(agent_side())
    client.handshake()
    (answer,) = client.send(WORK, compress(bytes(2000)), compressed=True)
    assert status_of(answer.payload) == Status.BAD_REQUEST


def test_minimum_tier_comes_before_everything_about_the_operation() -> None:
    client = _client()
    (answer,) = client.send(Opcode.SESSION_ROTATE, b"\xff", tier=3)
    fields = payloads.unpack(answer.payload)
    assert (fields["status"], fields["required-tier"]) == (Status.FORBIDDEN, 4)


def test_every_operation_below_its_minimum_tier_is_forbidden() -> None:
    client = _client()
    low = [o for o in OPERATIONS if o.minimum_tier > 3 and o.code not in ANSWER_OPCODES]
    assert low
    for operation in low:
        for tier in range(3, operation.minimum_tier):
            (answer,) = client.send(operation.code, tier=tier)
            fields = payloads.unpack(answer.payload)
            assert fields["status"] == Status.FORBIDDEN
            assert fields["required-tier"] == operation.minimum_tier
    assert not client.side.executed


def test_every_other_operation_is_handed_over_at_its_minimum_tier() -> None:
    client = _client()
    others = [o for o in OPERATIONS if o.code >= 0x0100 and o.code != Opcode.CLIENT_REGISTER]
    for operation in others:
        (answer,) = client.send(operation.code, tier=max(operation.minimum_tier, 3))
        assert status_of(answer.payload) == 0
    assert [opcode for _, opcode, _ in client.side.executed] == [o.code for o in others]


@pytest.mark.parametrize("opcode", [UNKNOWN, 0x0020, 0xFFFF])
def test_unknown_operation_is_unsupported(opcode: int) -> None:
    client = _client()
    (answer,) = client.send(opcode, b"\xff")
    assert (answer.opcode, status_of(answer.payload)) == (opcode, Status.UNSUPPORTED)


@pytest.mark.parametrize("opcode", [Opcode.SESSION_INIT, Opcode.SESSION_RESUME])
@pytest.mark.parametrize("tier", [4, 5])
def test_sealed_handshake_is_bad_request(opcode: Opcode, tier: int) -> None:
    client = _client()
    (answer,) = client.send(opcode, tier=tier)
    assert status_of(answer.payload) == Status.BAD_REQUEST
    assert not client.agent.closed


@pytest.mark.parametrize("version", [0, 1])
def test_other_version_is_bad_request_in_its_own_version(version: int) -> None:
    client = authenticated(agent_side(), version)
    (answer,) = client.send(WORK, version=1 - version)
    assert (answer.version, answer.opcode) == (1 - version, WORK)
    assert status_of(answer.payload) == Status.BAD_REQUEST
    assert not client.side.executed


def test_tier_above_the_selected_one_is_judged_before_authentication() -> None:
    client = RawClient(agent_side())
    client.handshake(max_tier=4)
    (answer,) = client.send(Opcode.KEEPALIVE, tier=5)
    assert status_of(answer.payload) == Status.BAD_REQUEST


BAD = [
    b"\xff",
    b"\x90",
    b"\x80\x00",
    b"\x82\xa1a\x01\xa1a\x01",
    b"\x81\xa1a\xc7\x00\x01",
    b"\x81\xa1\xff\x00",
]


@pytest.mark.parametrize("payload", BAD, ids=lambda payload: payload.hex())
@pytest.mark.parametrize(
    "opcode", [Opcode.KEEPALIVE, Opcode.SESSION_CLOSE, Opcode.SESSION_ROTATE, Opcode.KEY_EXCHANGE_INIT,
               Opcode.CLIENT_REGISTER, Opcode.SESSION_REVOKE]
)  # fmt: skip
def test_bad_payload_is_bad_request_and_the_connection_lives(opcode: Opcode, payload: bytes) -> None:
    client = _client()
    (answer,) = client.send(opcode, payload, tier=4)
    assert (answer.opcode, status_of(answer.payload)) == (opcode, Status.BAD_REQUEST)
    (answer,) = client.send(WORK)
    assert status_of(answer.payload) == 0


@pytest.mark.parametrize("opcode", [Opcode.KEEPALIVE, Opcode.SESSION_CLOSE, Opcode.KEY_EXCHANGE_COMPLETE])
def test_bad_payload_without_request_id_is_dropped_and_counted(opcode: Opcode) -> None:
    client = _client()
    assert client.send(opcode, b"\xff", request_id=0, tier=4) == []
    assert client.agent.dropped == 1
    assert not client.agent.closed


def test_unknown_keys_are_ignored() -> None:
    client = _client()
    (answer,) = client.send(Opcode.KEEPALIVE, b"\x81\xa3new\x01")
    assert (answer.opcode, answer.payload) == (Opcode.KEEPALIVE_ACK, b"")
