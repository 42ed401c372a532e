"""SESSION_RESUME as the agent judges it, and what its proof changes (docs/protocol.md, 15.2)."""

from __future__ import annotations

import pytest
from pair import IDENTITIES, WORK, agent_side, status_of
from raw import RawClient, authenticated, prove, resumed

from myclerk_protocol import header, payloads
from myclerk_protocol.agent_session import Phase
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Opcode
from myclerk_protocol.seal import Aead
from myclerk_protocol.status import Status

# -- form ----------------------------------------------------------------------------------------------------


def test_resumed_is_shaped_as_an_ack() -> None:
    side = agent_side(ahead=77.0)
    client = authenticated(side, max_tier=4)
    again = resumed(side, client.ticket)
    fields = again.resumed_fields
    assert again.resumed_header == header.Header(
        1,
        4,
        opcode=Opcode.SESSION_RESUMED,
        session_id=fields["session-id"],
        timestamp=1_800_000_077,
        request_id=1,
    )
    assert set(fields) == {"session-id", "nonce", "selected-tier", "x25519-public"}
    assert fields["selected-tier"] == 4
    assert fields["session-id"] not in (0, client.session_id)


def test_ticket_is_64_bytes_with_its_tag_beside_it() -> None:
    client = RawClient(agent_side())
    client.handshake()
    (answer,) = client.register()
    fields = payloads.unpack(answer.payload)
    assert (len(fields["ticket"]), len(fields["ticket-tag"])) == (64, 16)
    assert fields["expires-at"] == 1_800_086_400


def test_agents_proof_carries_a_fresh_ticket() -> None:
    client = authenticated(agent_side())
    client.side.world.advance(1000.0)
    again = RawClient(client.side)
    proof = again.resume(client.ticket)
    assert set(proof) == {"ticket", "ticket-tag", "expires-at", "held"}
    assert proof["held"] is True
    assert proof["expires-at"] == 1_800_086_400  # 24 h from the last CLIENT_REGISTER, not from now
    assert proof["ticket"] != client.ticket.ticket


def test_held_says_whether_anything_is_left() -> None:
    client = authenticated(agent_side())
    client.agent.record.holdings = None
    assert RawClient(client.side).resume(client.ticket)["held"] is False


def test_no_registration_follows_and_everything_is_inherited() -> None:
    side = agent_side(Policy(aes=True, require_pq=False, max_tier=5))
    client = authenticated(side, mode=Mode.CLASSICAL, capabilities=[1, 3], max_tier=4)
    again = resumed(side, client.ticket, Aead.AES256GCM)
    (answer,) = again.send(WORK)
    assert status_of(answer.payload) == 0
    record = again.agent.record
    assert record is client.agent.record
    assert (record.device, record.mode, record.aead, record.tier, record.capabilities) == (
        IDENTITIES["device"].fingerprint, Mode.CLASSICAL, Aead.AES256GCM, 4, frozenset({1, 3}),
    )  # fmt: skip
    (answer,) = again.send(WORK, tier=5)
    assert status_of(answer.payload) == Status.BAD_REQUEST


def test_transcript_of_the_session_is_now_the_resumes() -> None:
    client = authenticated(agent_side())
    again = resumed(client.side, client.ticket)
    (answer,) = again.register()  # signed over the resume's transcript
    assert status_of(answer.payload) == 0
    assert resumed(client.side, again.ticket).session_id


def test_resume_after_a_resume() -> None:
    client = authenticated(agent_side())
    for _ in range(5):
        client = resumed(client.side, client.ticket)
        prove(client)
    assert len(client.side.registry) == 1


# -- nothing changes before the proof ------------------------------------------------------------------------


def test_resume_changes_nothing_when_it_arrives() -> None:
    client = authenticated(agent_side())
    record = client.agent.record
    unproven = resumed(client.side, client.ticket)
    assert (record.id, record.session) == (client.session_id, client.agent)
    (answer,) = client.send(WORK)
    assert status_of(answer.payload) == 0
    unproven.agent.end("cut", linger=True)
    assert not unproven.agent.take_events()[-1].linger
    prove(resumed(client.side, client.ticket))


def test_proof_closes_the_old_connection_and_moves_the_session() -> None:
    client = authenticated(agent_side())
    record = client.agent.record
    again = resumed(client.side, client.ticket)
    prove(again)
    assert client.agent.closed
    assert not client.agent.take_events()[-1].linger
    assert (record.id, record.session, record.dead) == (again.session_id, again.agent, False)
    assert client.side.ended == []
    assert client.side.registry.get(client.session_id) is None


@pytest.mark.parametrize("proof", [b"", b"\xff"], ids=["answered", "refused"])
def test_first_message_that_opens_is_the_proof_whatever_it_asks(proof: bytes) -> None:
    client = authenticated(agent_side())
    again = resumed(client.side, client.ticket)
    again.send(Opcode.KEEPALIVE, proof)
    assert again.agent.phase is Phase.AUTHENTICATED


def test_batch_may_be_the_proof() -> None:
    client = authenticated(agent_side())
    again = resumed(client.side, client.ticket)
    batch = b"\0\0\0\7\x40\0\0\0\x65" + WORK.to_bytes(2, "big")
    (answer,) = again.send(Opcode.NOP, batch, request_id=0)
    assert (answer.request_id, status_of(answer.payload)) == (0x65, 0)


def test_message_that_does_not_open_is_no_proof() -> None:
    client = authenticated(agent_side())
    again = resumed(client.side, client.ticket)
    message = bytearray(again.seal(Opcode.NOP))
    message[-1] ^= 1
    assert again.deliver(bytes(message)) == []
    assert again.agent.closed
    assert not client.agent.closed


def test_proof_is_due_within_ten_seconds() -> None:
    client = authenticated(agent_side())
    again = resumed(client.side, client.ticket)
    again.tick(9.9)
    assert not again.agent.closed
    again.tick(0.1)
    assert again.agent.closed
    assert len(client.side.registry) == 1
