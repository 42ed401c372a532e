"""Which ticket resumes which session, and until when (docs/protocol.md, 15)."""

from __future__ import annotations

import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pair import IDENTITIES, WORK, agent_side, status_of
from raw import RawClient, authenticated, prove, refused_resume, resumed

from myclerk_protocol import header, keys
from myclerk_protocol.handshake import Policy
from myclerk_protocol.mesh import udf
from myclerk_protocol.operations import Opcode
from myclerk_protocol.records import SessionRegistry
from myclerk_protocol.status import Status


def test_old_ticket_is_spent_by_the_proof_and_the_fresh_one_valid() -> None:
    client = authenticated(agent_side())
    again = resumed(client.side, client.ticket)
    assert refused_resume(client.side, again.ticket) == Status.INVALID_SESSION  # not yet
    prove(again)
    assert refused_resume(client.side, client.ticket) == Status.INVALID_SESSION  # not any more
    prove(resumed(client.side, again.ticket))


def test_registration_replaces_the_ticket() -> None:
    client = authenticated(agent_side())
    first = client.ticket
    client.register()
    assert refused_resume(client.side, first) == Status.INVALID_SESSION
    prove(resumed(client.side, client.ticket))


def test_registration_ends_unproven_resumes_of_the_ticket_it_replaces() -> None:
    client = authenticated(agent_side())
    again = resumed(client.side, client.ticket)
    client.register()
    assert again.agent.closed
    assert again.send(Opcode.NOP) == []
    assert not client.agent.closed


def test_proof_ends_the_other_unproven_resumes() -> None:
    client = authenticated(agent_side())
    resumes = [resumed(client.side, client.ticket) for _ in range(4)]
    prove(resumes[2])
    assert [resume.agent.closed for resume in resumes] == [True, True, False, True]
    assert len(client.side.registry) == 1


def test_fifth_unproven_resume_ends_the_oldest() -> None:
    client = authenticated(agent_side())
    resumes = [resumed(client.side, client.ticket) for _ in range(5)]
    assert [resume.agent.closed for resume in resumes] == [True, False, False, False, False]
    prove(resumes[4])


def test_unproven_resumes_of_other_sessions_do_not_count() -> None:
    side = agent_side()
    first, second = authenticated(side), authenticated(side)
    resumes = [resumed(side, client.ticket) for client in (first, second) for _ in range(4)]
    assert not any(resume.agent.closed for resume in resumes)


def test_resume_expires_with_its_ticket() -> None:
    client = authenticated(agent_side(Policy(ticket_lifetime=100.0)))
    ticket = client.ticket
    client.side.world.advance(99.0)
    unproven = resumed(client.side, ticket)
    unproven.agent.end("cut", linger=True)
    client.side.world.advance(1.0)
    assert refused_resume(client.side, ticket) == Status.INVALID_SESSION


def test_fresh_ticket_expires_24_hours_after_the_last_registration() -> None:
    client = authenticated(agent_side())
    client.side.world.advance(80_000.0)
    again = resumed(client.side, client.ticket)
    prove(again)
    again.agent.end("cut", linger=True)
    client.side.world.advance(6_400.0)
    assert refused_resume(client.side, again.ticket) == Status.INVALID_SESSION


def test_wall_clock_jumps_do_not_touch_a_tickets_life() -> None:
    client = authenticated(agent_side())
    client.side.world.wall += 10 * 365 * 86400
    prove(resumed(client.side, client.ticket))


def test_ticket_outlives_the_key_that_sealed_it_by_its_own_life() -> None:
    """A new ticket key is made every 12 h; tickets of the one before stay valid until they expire."""
    client = authenticated(agent_side())
    client.side.world.advance(43_200.0)
    authenticated(client.side)
    client.side.world.advance(43_199.0)
    again = resumed(client.side, client.ticket)
    prove(again)


@pytest.mark.parametrize("part", ["ticket", "ticket_tag", "old_session_id"])
def test_every_mismatch_is_invalid_session(part: str) -> None:
    client = authenticated(agent_side())
    ticket = client.ticket
    changed = {
        "ticket": bytes([ticket.ticket[0] ^ 1]) + ticket.ticket[1:],
        "ticket_tag": ticket.tag[:-1] + bytes([ticket.tag[-1] ^ 1]),
        "old_session_id": ticket.session_id ^ 1,
    }
    assert refused_resume(client.side, ticket, **{part: changed[part]}) == Status.INVALID_SESSION
    prove(resumed(client.side, ticket))


def test_ticket_of_another_session_does_not_fit_a_session_id() -> None:
    side = agent_side()
    first, second = authenticated(side), authenticated(side)
    changed = refused_resume(side, first.ticket, old_session_id=second.session_id)
    assert changed == Status.INVALID_SESSION


def test_wrong_ticket_key_gives_no_session() -> None:
    """Who saw a ticket but not its key cannot prove anything."""
    client = authenticated(agent_side())
    thief = RawClient(client.side)
    resumed, _ = thief.deliver(thief.resume_message(client.ticket))
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
    assert refused_resume(side, client.ticket) == Status.INVALID_SESSION


def test_kill_ends_unproven_resumes_and_releases_once() -> None:
    client = authenticated(agent_side())
    resumes = [resumed(client.side, client.ticket) for _ in range(3)]
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
    assert [refused_resume(side, client.ticket) for client in clients] == [Status.INVALID_SESSION] * 2


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
    again = resumed(client.side, client.ticket)
    (message,) = again.deliver(again.seal(WORK, tier=4))
    head = header.decode(message)[0]
    assert (head.key_id, head.sequence) == (1, 1)  # 0 was KEY_EXCHANGE_COMPLETE's
    again.open(message)
    (answer,) = again.send(Opcode.SESSION_ROTATE, tier=4)
    assert status_of(answer.payload) == 0
    again.switch_opener(keys.rotated_key(again.key, 1), 2)  # rotation counter 1 again
    again.send(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4)
    again.switch_sealer(keys.rotated_key(again.key, 1), 2)
    prove(again)


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


def test_id_of_an_unproven_resume_is_taken_until_that_comes_to_nothing() -> None:
    client = authenticated(agent_side())
    again = resumed(client.side, client.ticket)
    assert client.side.registry.get(again.session_id) is client.agent.record
    again.agent.end("cut", linger=True)
    assert client.side.registry.get(again.session_id) is None
    assert client.side.registry.get(client.session_id) is client.agent.record
