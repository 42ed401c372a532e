"""SESSION_RESUME and its tickets as the agent judges them (section 3, Resume)."""

from __future__ import annotations

import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pair import IDENTITIES, WORK, AgentSide, agent_side, status_of
from raw import RawClient, RawTicket, authenticated

from myclerk_protocol import header, keys, payloads
from myclerk_protocol.agent_session import Phase
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.mesh import udf
from myclerk_protocol.operations import Opcode
from myclerk_protocol.records import SessionRegistry
from myclerk_protocol.seal import Aead
from myclerk_protocol.status import Status


def _resume(side: AgentSide, ticket: RawTicket, aead: Aead = Aead.CHACHA20) -> RawClient:
    client = RawClient(side)
    client.resume(ticket, aead)
    client.last_id = 100
    return client


def _prove(client: RawClient) -> None:
    (answer,) = client.send(Opcode.NOP)
    assert status_of(answer.payload) == 0


def _refused(side: AgentSide, ticket: RawTicket, /, **changes: object) -> int:
    client = RawClient(side)
    head, fields = client.refused(client.resume_message(ticket, **changes))
    assert (head.opcode, head.session_id, head.request_id) == (Opcode.SESSION_RESUME, 0, 1)
    assert not client.agent.closed
    client.offer = RawClient(side).offer
    client.handshake()  # SESSION_INIT may follow on the same connection
    return int(fields["status"])


# -- form ----------------------------------------------------------------------------------------------------


def test_resumed_is_shaped_as_an_ack() -> None:
    side = agent_side(ahead=77.0)
    client = authenticated(side, max_tier=4)
    again = _resume(side, client.ticket)
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
    again = _resume(side, client.ticket, Aead.AES256GCM)
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
    again = _resume(client.side, client.ticket)
    (answer,) = again.register()  # signed over the resume's transcript
    assert status_of(answer.payload) == 0
    assert _resume(client.side, again.ticket).session_id


def test_resume_after_a_resume() -> None:
    client = authenticated(agent_side())
    for _ in range(5):
        client = _resume(client.side, client.ticket)
        _prove(client)
    assert len(client.side.registry) == 1


# -- nothing changes before the proof ------------------------------------------------------------------------


def test_resume_changes_nothing_when_it_arrives() -> None:
    client = authenticated(agent_side())
    record = client.agent.record
    unproven = _resume(client.side, client.ticket)
    assert (record.id, record.session) == (client.session_id, client.agent)
    (answer,) = client.send(WORK)
    assert status_of(answer.payload) == 0
    unproven.agent.end("cut", linger=True)
    assert not unproven.agent.take_events()[-1].linger
    _prove(_resume(client.side, client.ticket))


def test_proof_closes_the_old_connection_and_moves_the_session() -> None:
    client = authenticated(agent_side())
    record = client.agent.record
    again = _resume(client.side, client.ticket)
    _prove(again)
    assert client.agent.closed
    assert not client.agent.take_events()[-1].linger
    assert (record.id, record.session, record.dead) == (again.session_id, again.agent, False)
    assert client.side.ended == []
    assert client.side.registry.get(client.session_id) is None


@pytest.mark.parametrize("proof", [b"", b"\xff"], ids=["answered", "refused"])
def test_first_message_that_opens_is_the_proof_whatever_it_asks(proof: bytes) -> None:
    client = authenticated(agent_side())
    again = _resume(client.side, client.ticket)
    again.send(Opcode.KEEPALIVE, proof)
    assert again.agent.phase is Phase.AUTHENTICATED


def test_batch_may_be_the_proof() -> None:
    client = authenticated(agent_side())
    again = _resume(client.side, client.ticket)
    batch = b"\0\0\0\7\x40\0\0\0\x65" + WORK.to_bytes(2, "big")
    (answer,) = again.send(Opcode.NOP, batch, request_id=0)
    assert (answer.request_id, status_of(answer.payload)) == (0x65, 0)


def test_message_that_does_not_open_is_no_proof() -> None:
    client = authenticated(agent_side())
    again = _resume(client.side, client.ticket)
    message = bytearray(again.seal(Opcode.NOP))
    message[-1] ^= 1
    assert again.deliver(bytes(message)) == []
    assert again.agent.closed
    assert not client.agent.closed


def test_proof_is_due_within_ten_seconds() -> None:
    client = authenticated(agent_side())
    again = _resume(client.side, client.ticket)
    again.tick(9.9)
    assert not again.agent.closed
    again.tick(0.1)
    assert again.agent.closed
    assert len(client.side.registry) == 1


# -- which ticket counts -------------------------------------------------------------------------------------


def test_old_ticket_is_spent_by_the_proof_and_the_fresh_one_valid() -> None:
    client = authenticated(agent_side())
    again = _resume(client.side, client.ticket)
    assert _refused(client.side, again.ticket) == Status.INVALID_SESSION  # not yet
    _prove(again)
    assert _refused(client.side, client.ticket) == Status.INVALID_SESSION  # not any more
    _prove(_resume(client.side, again.ticket))


def test_registration_replaces_the_ticket() -> None:
    client = authenticated(agent_side())
    first = client.ticket
    client.register()
    assert _refused(client.side, first) == Status.INVALID_SESSION
    _prove(_resume(client.side, client.ticket))


def test_registration_ends_unproven_resumes_of_the_ticket_it_replaces() -> None:
    client = authenticated(agent_side())
    again = _resume(client.side, client.ticket)
    client.register()
    assert again.agent.closed
    assert again.send(Opcode.NOP) == []
    assert not client.agent.closed


def test_proof_ends_the_other_unproven_resumes() -> None:
    client = authenticated(agent_side())
    resumes = [_resume(client.side, client.ticket) for _ in range(4)]
    _prove(resumes[2])
    assert [resume.agent.closed for resume in resumes] == [True, True, False, True]
    assert len(client.side.registry) == 1


def test_fifth_unproven_resume_ends_the_oldest() -> None:
    client = authenticated(agent_side())
    resumes = [_resume(client.side, client.ticket) for _ in range(5)]
    assert [resume.agent.closed for resume in resumes] == [True, False, False, False, False]
    _prove(resumes[4])


def test_unproven_resumes_of_other_sessions_do_not_count() -> None:
    side = agent_side()
    first, second = authenticated(side), authenticated(side)
    resumes = [_resume(side, client.ticket) for client in (first, second) for _ in range(4)]
    assert not any(resume.agent.closed for resume in resumes)


def test_resume_expires_with_its_ticket() -> None:
    client = authenticated(agent_side(Policy(ticket_lifetime=100.0)))
    ticket = client.ticket
    client.side.world.advance(99.0)
    unproven = _resume(client.side, ticket)
    unproven.agent.end("cut", linger=True)
    client.side.world.advance(1.0)
    assert _refused(client.side, ticket) == Status.INVALID_SESSION


def test_fresh_ticket_expires_24_hours_after_the_last_registration() -> None:
    client = authenticated(agent_side())
    client.side.world.advance(80_000.0)
    again = _resume(client.side, client.ticket)
    _prove(again)
    again.agent.end("cut", linger=True)
    client.side.world.advance(6_400.0)
    assert _refused(client.side, again.ticket) == Status.INVALID_SESSION


def test_wall_clock_jumps_do_not_touch_a_tickets_life() -> None:
    client = authenticated(agent_side())
    client.side.world.wall += 10 * 365 * 86400
    _prove(_resume(client.side, client.ticket))


def test_ticket_outlives_the_key_that_sealed_it_by_its_own_life() -> None:
    """A new ticket key is made every 12 h; tickets of the one before stay valid until they expire."""
    client = authenticated(agent_side())
    client.side.world.advance(43_200.0)
    authenticated(client.side)
    client.side.world.advance(43_199.0)
    again = _resume(client.side, client.ticket)
    _prove(again)


@pytest.mark.parametrize("part", ["ticket", "ticket_tag", "old_session_id"])
def test_every_mismatch_is_invalid_session(part: str) -> None:
    client = authenticated(agent_side())
    ticket = client.ticket
    changed = {
        "ticket": bytes([ticket.ticket[0] ^ 1]) + ticket.ticket[1:],
        "ticket_tag": ticket.tag[:-1] + bytes([ticket.tag[-1] ^ 1]),
        "old_session_id": ticket.session_id ^ 1,
    }
    assert _refused(client.side, ticket, **{part: changed[part]}) == Status.INVALID_SESSION
    _prove(_resume(client.side, ticket))


def test_ticket_of_another_session_does_not_fit_a_session_id() -> None:
    side = agent_side()
    first, second = authenticated(side), authenticated(side)
    changed = _refused(side, first.ticket, old_session_id=second.session_id)
    assert changed == Status.INVALID_SESSION


def test_wrong_ticket_key_gives_no_session() -> None:
    """Who saw a ticket but not its key cannot prove anything."""
    client = authenticated(agent_side())
    thief = RawClient(client.side)
    resumed, complete = thief.deliver(thief.resume_message(client.ticket))
    session_id = header.decode(resumed)[0].session_id
    thief.begin(bytes(32), session_id)
    assert thief.send(Opcode.NOP) == []
    assert thief.agent.closed
    assert not client.agent.closed


@pytest.mark.parametrize("killer", ["close", "revoke", "restart"])
def test_what_kills_a_ticket(killer: str) -> None:
    client = authenticated(agent_side())
    side = client.side
    if killer == "close":
        client.send(Opcode.SESSION_CLOSE)
    elif killer == "revoke":
        side.registry.kill(client.agent.record)
    else:
        side.registry = SessionRegistry(side.environment, side.policy, side.ended.append)
    assert _refused(side, client.ticket) == Status.INVALID_SESSION


def test_kill_ends_unproven_resumes_and_releases_once() -> None:
    client = authenticated(agent_side())
    resumes = [_resume(client.side, client.ticket) for _ in range(3)]
    client.side.registry.kill(client.agent.record)
    assert all(resume.agent.closed for resume in resumes)
    assert client.side.ended == [client.agent.record]
    assert len(client.side.registry) == 0


def test_removal_of_a_device_kills_its_sessions_and_tickets() -> None:
    side = agent_side()
    clients = [authenticated(side) for _ in range(2)]
    clients[0].agent.end("cut", linger=True)
    for record in side.registry.of_device(IDENTITIES["device"].fingerprint):
        side.registry.kill(record)
    assert [_refused(side, client.ticket) for client in clients] == [Status.INVALID_SESSION] * 2


def test_unauthenticated_session_has_no_ticket_and_does_not_linger() -> None:
    client = RawClient(agent_side())
    client.handshake()
    client.agent.end("cut", linger=True)
    assert not client.agent.take_events()[-1].linger
    assert len(client.side.registry) == 0


def test_sweep_forgets_sessions_that_nothing_can_resume() -> None:
    client = authenticated(agent_side(Policy(ticket_lifetime=100.0)))
    live = authenticated(client.side)
    client.agent.end("cut", linger=True)
    client.side.world.advance(99.0)
    client.side.registry.sweep()
    assert len(client.side.registry) == 2
    client.side.world.advance(1.0)
    client.side.registry.sweep()
    assert list(client.side.registry) == [live.agent.record]
    assert client.side.ended == [client.agent.record]


def test_counters_key_id_and_rotations_begin_anew() -> None:
    client = authenticated(agent_side())
    (answer,) = client.send(Opcode.SESSION_ROTATE, tier=4)
    key = keys.rotated_key(client.key, 1)
    client.switch_opener(key, 2)
    client.send(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4)
    client.switch_sealer(key, 2)
    client.register()  # the ticket's key comes from the second epoch
    again = _resume(client.side, client.ticket)
    (message,) = again.deliver(again.seal(WORK, tier=4))
    head = header.decode(message)[0]
    assert (head.key_id, head.sequence) == (1, 1)  # 0 was KEY_EXCHANGE_COMPLETE's
    again.open(message)
    (answer,) = again.send(Opcode.SESSION_ROTATE, tier=4)
    assert status_of(answer.payload) == 0
    again.switch_opener(keys.rotated_key(again.key, 1), 2)  # rotation counter 1 again
    again.send(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4)
    again.switch_sealer(keys.rotated_key(again.key, 1), 2)
    _prove(again)


def test_ticket_plaintext() -> None:
    """key(32) ‖ device(16) ‖ issued-at ‖ expires-at behind an 8-byte counter from 0, under a 32-byte key."""
    side = agent_side()
    drawn: list[bytes] = []
    environment = side.environment
    recording = type(environment)(
        lambda n: drawn.append(environment.random(n)) or drawn[-1], environment.wall, environment.monotonic
    )
    side.registry = SessionRegistry(recording, side.policy, side.ended.append)
    tickets = [authenticated(side).ticket for _ in range(2)]
    for number, ticket in enumerate(tickets):
        assert ticket.ticket[:8] == number.to_bytes(8, "big")
        content = AESGCM(drawn[0]).decrypt(
            bytes(4) + ticket.ticket[:8],
            ticket.ticket[8:] + ticket.tag,
            b"myclerk-ticket-v1" + ticket.session_id.to_bytes(2, "big"),
        )
        device = udf.fingerprint_bytes(IDENTITIES["device"].fingerprint)
        assert content == ticket.key + device + struct.pack(">II", 1_800_000_000, 1_800_086_400)
