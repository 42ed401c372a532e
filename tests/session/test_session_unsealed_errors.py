"""What parses but is wrong before a session gets an unsealed error (docs/protocol.md, 6.2)."""

from __future__ import annotations

import pytest
from pair import agent_side
from raw import RawClient

from myclerk_protocol import header, payloads
from myclerk_protocol.operations import ANSWER_OPCODES, OPERATIONS, Opcode
from myclerk_protocol.status import Status

FORMS = [(version, tier) for version in (0, 1) for tier in (1, 2, 4)]


def _message(version: int, tier: int, opcode: int, **fields: int) -> bytes:
    values = {
        "session_id": 9,
        "nonce": 8,
        "key_id": 7,
        "sequence": 6,
        "timestamp": 5,
        "request_id": 4,
        **fields,
    }
    known = values if version else {**values, "request_id": 0}
    return header.encode_plain(header.Header(version, tier, opcode=opcode, **known), b"\x80")


@pytest.mark.parametrize(("version", "tier"), FORMS)
def test_every_other_opcode_is_invalid_session(version: int, tier: int) -> None:
    client = RawClient(agent_side())
    others = [o.code for o in OPERATIONS if o.name not in ("SESSION_INIT", "SESSION_RESUME")]
    for opcode in [code for code in others if code not in ANSWER_OPCODES] + [0xEEEE]:
        head, fields = client.refused(_message(version, tier, opcode))
        assert fields["status"] == Status.INVALID_SESSION
        assert isinstance(fields["message"], str)
        assert head == header.Header(
            version,
            tier,
            opcode=opcode,
            sequence=6 if tier <= 2 else 0,
            timestamp=1_800_000_000 if tier == 4 else 0,
            request_id=4 if version else 0,
        )
    assert not client.agent.closed


@pytest.mark.parametrize("opcode", [Opcode.SESSION_INIT, Opcode.SESSION_RESUME])
@pytest.mark.parametrize(("version", "tier"), [form for form in FORMS if form[1] != 4])
def test_handshake_at_another_tier_is_forbidden(version: int, tier: int, opcode: Opcode) -> None:
    client = RawClient(agent_side())
    head, fields = client.refused(_message(version, tier, opcode))
    assert (head.version, head.tier, head.opcode) == (version, tier, opcode)
    assert (head.sequence, head.session_id, head.request_id) == (6, 0, 4 if version else 0)
    assert (fields["status"], fields["required-tier"]) == (Status.FORBIDDEN, 4)


def test_timestamp_of_an_error_is_the_agents() -> None:
    client = RawClient(agent_side(ahead=1234.0))
    client.side.world.advance(1.0)
    head, _ = client.refused(_message(1, 4, Opcode.KEEPALIVE))
    assert head.timestamp == 1_800_001_235


@pytest.mark.parametrize("version", [0, 1])
def test_tier_0_is_dropped_before_a_session(version: int) -> None:
    client = RawClient(agent_side())
    message = header.encode_plain(header.Header(version, 0, request_id=2 * version), b"\0\2")
    assert client.deliver(message) == []
    assert not client.agent.closed
    assert client.agent.dropped == 1


@pytest.mark.parametrize("opcode", sorted(ANSWER_OPCODES))
@pytest.mark.parametrize(("version", "tier"), FORMS)
def test_answer_is_never_answered_before_a_session(version: int, tier: int, opcode: int) -> None:
    client = RawClient(agent_side())
    assert client.deliver(_message(version, tier, opcode)) == []
    assert client.agent.dropped == 1
    assert not client.agent.closed


@pytest.mark.parametrize("version", [0, 1])
def test_refused_init_echoes_its_own_form(version: int) -> None:
    client = RawClient(agent_side(), version)
    head, fields = client.refused(client.handshake_message(payloads.pack({"nonce": bytes(8)})))
    assert head == header.Header(
        version, 4, opcode=Opcode.SESSION_INIT, timestamp=1_800_000_000, request_id=version
    )
    assert fields["status"] == Status.BAD_REQUEST
