"""What each phase serves, how large messages may be, how long it lasts (docs/protocol.md, 8.3 and 19)."""

from __future__ import annotations

import pytest
from pair import WORK, Connection, agent_side, connected, status_of
from raw import RawClient, authenticated

from myclerk_protocol import payloads
from myclerk_protocol.agent_session import Phase
from myclerk_protocol.compression import compress
from myclerk_protocol.framing import Deframer, frame
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import ANSWER_OPCODES, OPERATIONS, Opcode
from myclerk_protocol.status import MalformedMessage, Status

SERVED = {
    Opcode.NOP: Opcode.NOP,
    Opcode.KEEPALIVE: Opcode.KEEPALIVE_ACK,
    Opcode.SESSION_CLOSE: Opcode.SESSION_CLOSE_ACK,
}
UNSERVED = [
    operation.code
    for operation in OPERATIONS
    if operation.code not in SERVED
    and operation.code not in ANSWER_OPCODES
    and operation.code != Opcode.CLIENT_REGISTER
]


# -- size ---------------------------------------------------------------------------------------------------


def test_message_limit_grows_with_each_phase() -> None:
    client = RawClient(agent_side())
    assert client.agent.message_limit == 4096
    client.handshake()
    assert client.agent.message_limit == 32768
    client.register()
    assert client.agent.message_limit == 1 << 20


def test_session_limit_is_configurable() -> None:
    client = authenticated(agent_side(Policy(message_limit=100_000)))
    assert client.agent.message_limit == 100_000


def test_unproven_resume_takes_what_an_unauthenticated_session_takes() -> None:
    connection = connected()
    again = Connection(connection.agent_side, connection.cut())
    assert again.agent.message_limit == 4096
    again.to_agent()
    assert again.agent.phase is Phase.UNPROVEN
    assert again.agent.message_limit == 32768
    again.pump()
    assert again.agent.message_limit == 1 << 20


def test_client_takes_the_session_limit_from_the_start() -> None:
    connection = Connection(agent_side())
    assert connection.client.message_limit == 1 << 20


def test_each_message_is_judged_after_the_one_before() -> None:
    """A request above the limit of the phase before may follow CLIENT_REGISTER in the same segment."""
    agent = agent_side()
    connection = Connection(agent)
    connection.client.request(WORK, payloads.pack({"filler": bytes(40_000)}))
    connection.to_agent()
    connection.to_client()
    deframer = Deframer()
    deframer.feed(b"".join(map(frame, connection.take_client())))
    while (message := deframer.next(connection.agent.message_limit)) is not None:
        connection.to_agent([bytes(message)])
    assert len(agent.executed) == 1


def test_frame_above_the_limit_before_a_session_is_refused_at_its_length() -> None:
    client = RawClient(agent_side())
    deframer = Deframer()
    deframer.feed((4097).to_bytes(4, "big"))
    with pytest.raises(MalformedMessage):
        deframer.next(client.agent.message_limit)


@pytest.mark.parametrize("size", [5000, 40_000])
def test_large_request_is_repeated_behind_a_small_proof(size: int) -> None:
    """The proof itself must fit the 32 KiB that an unproven resume takes."""
    connection = connected()
    agent = connection.agent_side
    state = connection.client.state
    connection.client.request(WORK, payloads.pack({"filler": bytes(size)}))
    connection.cut()
    again = Connection(agent, state)
    again.to_agent()
    again.to_client()
    for message in again.take_client():
        assert len(message) <= again.agent.message_limit
        again.to_agent([message])
    assert len(agent.executed) == 1


# -- what is served -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", SERVED)
def test_served_before_authentication(opcode: Opcode) -> None:
    client = RawClient(agent_side())
    client.handshake()
    (answer,) = client.send(opcode)
    assert (answer.opcode, answer.request_id, status_of(answer.payload)) == (SERVED[opcode], 2, 0)


def test_everything_else_is_unauthorized_before_authentication() -> None:
    client = RawClient(agent_side())
    client.handshake()
    for opcode in [*UNSERVED, 0xEEEE, 0xFFFF]:
        for tier in (3, 5):  # authentication is judged before the minimum tier
            (answer,) = client.send(opcode, tier=tier)
            assert answer.opcode == opcode
            assert status_of(answer.payload) == Status.UNAUTHORIZED, opcode
    assert not client.side.executed


def test_no_tunnel_before_authentication() -> None:
    client = RawClient(agent_side())
    client.handshake()
    batch = b"\0\0\0\7\x40\0\0\0\2" + WORK.to_bytes(2, "big")
    assert client.send(Opcode.NOP, batch, request_id=0) == []
    assert client.agent.dropped == 1
    (answer,) = client.send(Opcode.NOP, batch)
    assert status_of(answer.payload) == Status.UNAUTHORIZED
    assert not client.side.executed


def test_no_compression_before_authentication() -> None:
    client = RawClient(agent_side())
    client.handshake(capabilities=[1, 2])
    (answer,) = client.send(Opcode.USB_BULK_TRANSFER, compress(bytes(2000)), compressed=True)
    assert status_of(answer.payload) == Status.BAD_REQUEST


def test_requests_may_be_pipelined_behind_the_registration() -> None:
    connection = Connection(agent_side())
    first = connection.client.request(WORK, b"")
    connection.to_agent()
    connection.to_client()
    messages = connection.take_client()
    assert len(messages) == 2  # one round trip after SESSION_ACK
    connection.to_agent(messages)
    connection.to_client()
    assert connection.answers == [(first.request_id, b"")]


def test_client_sends_nothing_between_init_and_ack() -> None:
    connection = Connection(agent_side())
    assert len(connection.take_client()) == 1
    connection.client.request(WORK, b"")
    connection.client.post(WORK, b"")
    connection.client.close()
    assert connection.take_client() == []


def test_one_session_per_connection() -> None:
    client = authenticated(agent_side())
    sent = client.deliver(client.handshake_message(client.fields()))
    assert sent == []
    assert client.agent.closed


# -- time and attempts --------------------------------------------------------------------------------------


def test_handshake_must_succeed_within_five_seconds() -> None:
    client = RawClient(agent_side())
    client.tick(4.9)
    assert not client.agent.closed
    client.tick(0.1)
    assert client.agent.closed
    assert client.deliver(client.handshake_message(client.fields())) == []


@pytest.mark.parametrize(
    "message",
    [b"\x40\0\0\0\0", b"\x48\x00\x01\0\0\0\0\1", b"\x48\x00\x04\0\0\0\0\1"],
    ids=["tier 0", "KEEPALIVE", "SESSION_ACK"],
)
def test_nothing_but_an_attempt_extends_the_five_seconds(message: bytes) -> None:
    client = RawClient(agent_side())
    client.tick(4.0)
    client.deliver(message)
    client.tick(1.0)
    assert client.agent.closed


def test_further_attempts_have_fifteen_seconds_in_all() -> None:
    client = RawClient(agent_side())
    client.refused(client.handshake_message(b""))
    client.tick(14.0)
    client.refused(client.handshake_message(b""))
    assert not client.agent.closed
    client.tick(1.0)
    assert client.agent.closed


def test_second_attempt_succeeds_after_the_first_five_seconds() -> None:
    client = RawClient(agent_side())
    client.refused(client.handshake_message(b""))
    client.tick(14.0)
    client.handshake()
    assert client.agent.phase is Phase.UNAUTHENTICATED


def test_three_handshakes_per_connection() -> None:
    client = RawClient(agent_side())
    for _ in range(3):
        _, fields = client.refused(client.handshake_message(b""))
        assert fields["status"] == Status.BAD_REQUEST
    _, fields = client.refused(client.handshake_message(client.fields()))
    assert fields["status"] == Status.TOO_MANY
    assert client.agent.closed


def test_rate_is_judged_before_any_cryptography() -> None:
    client = RawClient(agent_side())
    client.side.admits = False
    drawn = client.side.world.drawn
    head, fields = client.refused(client.handshake_message(b"nonsense"))
    assert (head.opcode, fields["status"]) == (Opcode.SESSION_INIT, Status.TOO_MANY)
    assert client.side.world.drawn == drawn
    assert client.agent.closed


def test_authentication_is_due_within_ten_seconds() -> None:
    client = RawClient(agent_side())
    client.handshake()
    client.tick(5.0)
    client.send(Opcode.KEEPALIVE)
    client.tick(4.9)
    assert not client.agent.closed
    client.tick(0.1)
    assert client.agent.closed
    assert len(client.side.registry) == 0


def test_pending_connection_lives_ten_minutes() -> None:
    client = RawClient(agent_side())
    client.handshake()
    client.agent.hold()
    for _ in range(59):
        client.tick(10.0)
        client.send(Opcode.KEEPALIVE)
    assert not client.agent.closed
    client.tick(10.0)
    assert client.agent.closed


def test_three_registrations_per_connection() -> None:
    client = RawClient(agent_side())
    client.handshake()
    wrong = payloads.pack({"device": "A" * 28, "signature": bytes(114)})
    for _ in range(3):
        (answer,) = client.send(Opcode.CLIENT_REGISTER, wrong)
        assert status_of(answer.payload) == Status.UNAUTHORIZED
    (answer,) = client.send(Opcode.CLIENT_REGISTER, wrong)
    assert status_of(answer.payload) == Status.TOO_MANY
    assert client.agent.closed


def test_repeated_registrations_of_an_authenticated_client_are_not_counted() -> None:
    client = authenticated(agent_side())
    for _ in range(5):
        (answer,) = client.register()
        assert status_of(answer.payload) == 0
    assert not client.agent.closed


def test_registration_that_wants_no_answer_is_dropped() -> None:
    client = RawClient(agent_side())
    client.handshake()
    assert client.send(Opcode.CLIENT_REGISTER, b"", request_id=0) == []
    assert client.agent.dropped == 1
    assert client.agent.phase is Phase.UNAUTHENTICATED


def test_client_gives_up_on_a_silent_agent_after_ten_seconds() -> None:
    connection = Connection(agent_side())
    connection.tick(9.9)
    assert not connection.client.closed
    connection.tick(0.1)
    assert connection.client.closed
