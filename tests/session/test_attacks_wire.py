"""Who sees and changes what is on the wire: replays, reflections, splices, stolen tickets.

Each test says what the attacker has. None may execute anything, learn an answer, or cost the owner the session.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import WORK, AgentSide, Connection, agent_side, connected
from raw import RawClient, RawTicket, authenticated

from myclerk_protocol import header
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.events import Established, Response
from myclerk_protocol.operations import Opcode
from myclerk_protocol.records import UNPROVEN_RESUMES
from myclerk_protocol.status import Status


@dataclass
class Tape:
    """Everything that both ends said in a session, in order."""

    side: AgentSide
    from_client: list[bytes] = field(default_factory=list)
    from_agent: list[bytes] = field(default_factory=list)

    def pump(self, connection: Connection) -> None:
        """Deliver and record until both are silent."""
        while True:
            asked = connection.take_client()
            connection.to_agent(asked)
            answered = connection.take_agent()
            connection.to_client(answered)
            self.from_client += asked
            self.from_agent += answered
            if not asked and not answered:
                return


def recorded() -> tuple[Tape, ClientState]:
    """A whole life on the wire: a handshake, requests in every tier, batches, both rotations, a keepalive, a
    resume, more requests. The session lingers."""
    side = agent_side()
    tape = Tape(side)
    connection = Connection(side)
    for tier in (3, 4, 5):
        connection.client.request(WORK, b"", tier=tier)
    tape.pump(connection)
    for _ in range(3):
        connection.client.request(WORK, b"")
    connection.client.post(WORK, b"")
    tape.pump(connection)
    for fresh in (False, True):
        connection.client.rotate(fresh=fresh)
        tape.pump(connection)
        connection.client.request(WORK, b"")
        tape.pump(connection)
    connection.tick(16)
    tape.pump(connection)
    again = Connection(side, connection.cut())
    again.client.request(WORK, b"")
    tape.pump(again)
    assert again.client.resumed
    assert len(side.executed) == 10
    return tape, again.cut()


TAPE, STATE = recorded()
NUMBERS = range(len(TAPE.from_client))


def test_the_tape_has_every_kind_of_message() -> None:
    kinds = {header.decode(message)[0].opcode for message in TAPE.from_client if message[0] & 1 == 0}
    assert kinds == {Opcode.SESSION_INIT, Opcode.SESSION_RESUME}
    assert {message[0] >> 3 & 7 for message in TAPE.from_client if message[0] & 1} == {3, 4, 5}


# -- replay ----------------------------------------------------------------------------------------------------


def nothing_happened(side: AgentSide, before: int) -> None:
    assert len(side.executed) == before


@pytest.mark.parametrize("number", NUMBERS)
def test_a_recorded_message_opens_nothing_as_the_first_of_a_connection(number: int) -> None:
    side, before = TAPE.side, len(TAPE.side.executed)
    attacker = RawClient(side)
    answers = attacker.deliver(TAPE.from_client[number])
    nothing_happened(side, before)
    assert attacker.agent.record is None or attacker.agent.phase.name != "AUTHENTICATED"
    for answer in answers[1:]:  # behind SESSION_ACK: sealed under keys that nobody on the wire has
        assert answer[0] & 1


def test_the_whole_tape_played_to_the_agent_again_executes_nothing() -> None:
    tape, state = recorded()
    before = len(tape.side.executed)
    for start in range(len(tape.from_client)):
        attacker = RawClient(tape.side)
        for message in tape.from_client[start:]:
            attacker.deliver(message)
        attacker.agent.end("the attacker goes", linger=True)
    nothing_happened(tape.side, before)
    assert connected(tape.side, state).client.resumed, "the owner's session is as it was"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_recorded_message_in_a_live_session_executes_nothing(number: int) -> None:
    """On the very connection: it ends there, as an order that is not kept does; the session lives on."""
    side = agent_side()
    victim = connected(side)
    victim.client.request(WORK, b"")
    victim.pump()
    before = len(side.executed)
    victim.to_agent([TAPE.from_client[number]])
    nothing_happened(side, before)
    again = connected(side, victim.cut())
    assert again.client.resumed


def test_each_message_sent_twice_is_executed_once() -> None:
    """The second one ends the connection each time; the owner resumes, and asks again for what was not answered."""
    side = agent_side()
    state = None
    for number in range(1, 6):
        connection = connected(side, state)
        connection.client.request(WORK, b"")
        (message,) = connection.take_client()
        connection.to_agent([message])
        assert len(side.executed) == number
        connection.to_agent([message])
        nothing_happened(side, number)
        assert connection.agent.closed
        state = connection.cut()
    numbers = [executed for executed, _, _ in side.executed]
    assert numbers == sorted(set(numbers))
    last = connected(side, state)
    nothing_happened(side, 5)
    assert len(last.answers) == 1


@pytest.mark.parametrize("number", range(len(TAPE.from_agent)))
def test_a_recorded_answer_is_no_answer_to_the_client(number: int) -> None:
    side = agent_side()
    victim = connected(side)
    victim.client.request(WORK, b"")
    victim.take_client()
    victim.to_client([TAPE.from_agent[number]])
    assert [event for event in victim.client_events if isinstance(event, Response)] == []
    assert len(victim.client.state.pending) == 1


@pytest.mark.parametrize("number", range(len(TAPE.from_agent)))
def test_a_recorded_answer_is_no_handshake_to_the_client(number: int) -> None:
    connection = Connection(agent_side())
    connection.take_client()
    connection.to_client(TAPE.from_agent[number:])
    assert not any(isinstance(event, Established) for event in connection.client_events)


# -- reflection, splices, order ----------------------------------------------------------------------------------


def test_what_one_side_said_is_nothing_when_it_is_said_to_it() -> None:
    side = agent_side()
    victim = connected(side)
    victim.client.request(WORK, b"")
    mine = victim.take_client()
    victim.to_client(mine)
    assert victim.end_of_client is not None
    assert [event for event in victim.client_events if isinstance(event, Response)] == []

    victim = connected(side)
    victim.client.request(WORK, b"")
    before = len(side.executed)
    victim.to_agent()
    executed = len(side.executed)
    assert executed == before + 1
    victim.to_agent(victim.take_agent())
    nothing_happened(side, executed)
    assert victim.end_of_agent is not None


def test_a_message_of_one_session_is_nothing_in_another_of_the_same_device() -> None:
    side = agent_side()
    one, other = connected(side), connected(side)
    one.client.request(WORK, b"")
    message = one.take_client()
    before = len(side.executed)
    other.to_agent(message)
    nothing_happened(side, before)
    assert other.end_of_agent is not None
    one.to_agent(message)
    assert len(side.executed) == before + 1


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_messages_are_executed_in_the_order_sent_or_not_at_all(order: list[int], dropped: set[int]) -> None:
    side = agent_side()
    victim = connected(side)
    sent = []
    for _ in range(6):
        victim.client.request(WORK, b"")
        sent += victim.take_client()
    assert len(sent) == 6
    before = len(side.executed)
    arriving = [index for index in order if index not in dropped]
    victim.to_agent([sent[index] for index in arriving])
    in_order = next((place for place, index in enumerate(arriving) if index != place), len(arriving))
    numbers = [number for number, _, _ in side.executed]
    assert len(numbers) - before == in_order
    assert numbers == sorted(numbers)


# -- stolen tickets ----------------------------------------------------------------------------------------------


def seen(state: ClientState) -> RawTicket:
    """What SESSION_RESUME shows of a ticket; the key in it stays with its owner."""
    ticket = state.tickets[0]
    return RawTicket(ticket.ticket, ticket.tag, bytes(32), ticket.session_id)


def steal(side: AgentSide, ticket: RawTicket) -> RawClient:
    """Offer a ticket of somebody else; the thief guesses at the key."""
    thief = RawClient(side)
    resumed = thief.deliver(thief.resume_message(ticket))[0]
    thief.begin(bytes(32), header.decode(resumed)[0].session_id)
    return thief


def test_a_stolen_ticket_reads_nothing_executes_nothing_and_leaves_the_owner_alone() -> None:
    owner = connected()
    side, record = owner.agent_side, owner.agent.record
    thief = steal(side, seen(owner.client.state))
    before = len(side.executed)
    assert thief.send(WORK) == []
    assert thief.agent.closed
    nothing_happened(side, before)
    assert record is not None
    assert record.session is owner.agent
    owner.client.request(WORK, b"")
    owner.pump()
    assert len(owner.answers) == 1


def test_stolen_tickets_by_the_dozen_do_not_keep_the_owner_from_resuming() -> None:
    first = connected()
    side, state = first.agent_side, first.cut()
    ticket = seen(state)
    thieves = [steal(side, ticket) for _ in range(3 * UNPROVEN_RESUMES)]
    assert sum(not thief.agent.closed for thief in thieves) == UNPROVEN_RESUMES
    owner = connected(side, state)
    assert owner.client.resumed
    assert all(thief.agent.closed for thief in thieves)


def test_a_ticket_is_worth_nothing_once_its_owner_has_used_it() -> None:
    first = connected()
    side, state = first.agent_side, first.cut()
    ticket = seen(state)
    owner = connected(side, state)
    thief = RawClient(side)
    head, fields = thief.refused(thief.resume_message(ticket))
    assert (head.opcode, fields["status"]) == (Opcode.SESSION_RESUME, Status.INVALID_SESSION)
    assert not owner.agent.closed


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_ticket_of_a_revoked_device_opens_nothing_even_to_its_owner(when: str) -> None:
    """Who has the ticket and its key, as a thief of the whole machine has: the agent ends what is under way."""
    owner = authenticated(agent_side())
    side, ticket, record = owner.side, owner.ticket, owner.agent.record
    assert record is not None
    thief = RawClient(side)
    if when == "between":
        thief.deliver(thief.resume_message(ticket))
        side.registry.kill(record)
        assert thief.agent.closed
    else:
        side.registry.kill(record)
        _, fields = thief.refused(thief.resume_message(ticket))
        assert fields["status"] == Status.INVALID_SESSION
    assert owner.agent.closed
    assert side.executed == []
