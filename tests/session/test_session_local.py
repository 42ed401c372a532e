"""Sessions on the Unix socket: tier 1 messages, the connection is the session (docs/protocol.md, 18)."""

from __future__ import annotations

import pytest
from pair import WORK, status_of

from myclerk_protocol import header, payloads
from myclerk_protocol.events import AgentEvent, Ended, Established, Push, Request, Response
from myclerk_protocol.handshake import Policy
from myclerk_protocol.local import LocalAgentSession, LocalClientSession
from myclerk_protocol.operations import ANSWER_OPCODES, OPERATIONS, Opcode
from myclerk_protocol.status import BadRequest, LocalError, Status


class Local:
    """A local client and agent, joined; requests are answered with ``answer``, or held back when None."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.agent = LocalAgentSession("uid 0", policy or Policy())
        self.client = LocalClientSession(policy)
        self.client.start()
        self.opened = self.client.take_events()
        self.events: list[AgentEvent] = []
        self.answer: bytes | None = b""

    def deliver(self, message: bytes) -> list[bytes]:
        """Hand a message to the agent; what it sends."""
        events = self.agent.receive(message)
        self.events += events
        for event in events:
            if isinstance(event, Request) and self.answer is not None:
                self.agent.record.respond(event, self.answer)
        sent: list[bytes] = self.agent.outbox.take()
        return sent

    def ask(self, opcode: int, payload: bytes = b"", **fields: int) -> tuple[header.Header, bytes]:
        """Send one message and take its one answer apart."""
        values = {"version": 1, "tier": 1, "request_id": 1, **fields}
        (answer,) = self.deliver(header.encode_plain(header.Header(opcode=opcode, **values), payload))
        head, body = header.decode_plain(answer)
        return head, bytes(body)

    @property
    def requests(self) -> list[Request]:
        """What was handed to the agent proper."""
        return [event for event in self.events if isinstance(event, Request)]


def test_pair_whole() -> None:
    local = Local()
    (established,) = local.opened
    assert isinstance(established, Established)
    request = local.client.request(WORK, b"\x81\xa1a\x01", context="mine")
    local.answer = b"\x81\xa1a\x02"
    events = []
    for message in local.client.outbox.take():
        assert (message[0] >> 3 & 7, message[0] >> 6) == (1, 1)
        for answer in local.deliver(message):
            events += local.client.receive(answer)
    (response,) = events
    assert isinstance(response, Response)
    assert (response.request, bytes(response.payload)) == (request, b"\x81\xa1a\x02")
    assert local.client.state.pending == {}


@pytest.mark.parametrize("first_id", [1, 2])
def test_first_request_id(first_id: int) -> None:
    """There was no handshake that would have used up Request ID 1."""
    local = Local()
    head, payload = local.ask(WORK, request_id=first_id)
    assert (head.request_id, status_of(payload)) == (first_id, 0)


@pytest.mark.parametrize(
    ("opcode", "answered"), [(Opcode.NOP, Opcode.NOP), (Opcode.KEEPALIVE, Opcode.KEEPALIVE_ACK)]
)
def test_core_operations(opcode: Opcode, answered: Opcode) -> None:
    head, payload = Local().ask(opcode)
    assert (head.opcode, payload) == (answered, b"")


def test_close_ends_it_behind_its_acknowledgement() -> None:
    local = Local()
    head, _ = local.ask(Opcode.SESSION_CLOSE)
    assert head.opcode == Opcode.SESSION_CLOSE_ACK
    assert local.agent.closed
    assert isinstance(local.events[-1], Ended)
    assert not local.events[-1].linger


def test_every_operation_is_handed_over_below_its_minimum_tier() -> None:
    local = Local()
    expected = [o.code for o in OPERATIONS if o.code >= 0x0100] + [Opcode.SESSION_REVOKE]
    for number, opcode in enumerate(expected, 1):
        _, payload = local.ask(opcode, request_id=number)
        assert status_of(payload) == 0
    assert [request.opcode for request in local.requests] == expected


@pytest.mark.parametrize(
    "opcode",
    [Opcode.SESSION_INIT, Opcode.SESSION_RESUME, Opcode.SESSION_ROTATE, Opcode.KEY_EXCHANGE_INIT,
     Opcode.KEY_EXCHANGE_COMPLETE],
)  # fmt: skip
def test_no_handshake_and_no_keys(opcode: Opcode) -> None:
    head, payload = Local().ask(opcode)
    assert (head.opcode, status_of(payload)) == (opcode, Status.BAD_REQUEST)


@pytest.mark.parametrize("flag", ["push", "compressed"])
def test_s_and_c_come_before_the_operation(flag: str) -> None:
    local = Local()
    _, payload = local.ask(0x7FFF, **{flag: True})
    assert status_of(payload) == Status.BAD_REQUEST


def test_unknown_operation() -> None:
    head, payload = Local().ask(0x7FFF, b"\xff")
    assert (head.opcode, status_of(payload)) == (0x7FFF, Status.UNSUPPORTED)


@pytest.mark.parametrize("opcode", [Opcode.NOP, Opcode.KEEPALIVE, Opcode.SESSION_CLOSE])
def test_bad_payload_is_bad_request_and_the_connection_lives(opcode: Opcode) -> None:
    local = Local()
    head, payload = local.ask(opcode, b"\0\0\0\7\x40\0\0\0\2\2\0")
    assert (head.opcode, status_of(payload)) == (opcode, Status.BAD_REQUEST)
    assert not local.agent.closed


@pytest.mark.parametrize("opcode", sorted(ANSWER_OPCODES))
def test_answer_opcode_is_dropped_and_counted(opcode: int) -> None:
    local = Local()
    assert local.deliver(header.encode_plain(header.Header(1, 1, opcode=opcode, request_id=1))) == []
    assert (local.agent.dropped, local.agent.closed) == (1, False)


def test_tier_0_is_dropped() -> None:
    local = Local()
    message = header.encode_plain(header.Header(1, 0, request_id=1), b"\2\0")
    assert local.deliver(message) == []
    assert (local.agent.dropped, local.agent.closed) == (1, False)
    assert local.client.receive(message) == []
    assert (local.client.dropped, local.client.closed) == (1, False)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x48",
        header.encode_plain(header.Header(0, 1, opcode=WORK)),
        header.encode_plain(header.Header(1, 2, opcode=WORK, request_id=1)),
        header.encode_plain(header.Header(1, 4, opcode=Opcode.SESSION_INIT, request_id=1)),
        bytes([0x59]) + bytes(60),
        b"\xff" * 20,
    ],
    ids=["empty", "short", "version 0", "tier 2", "tier 4", "sealed", "garbage"],
)
def test_anything_else_closes_silently(message: bytes) -> None:
    local = Local()
    assert local.deliver(message) == []
    assert local.agent.closed
    assert local.deliver(header.encode_plain(header.Header(1, 1, opcode=WORK, request_id=1))) == []
    local.client.receive(message)
    assert local.client.closed
    assert local.client.receive(b"\x48" + bytes(7)) == []


def test_stale_ids_are_refused() -> None:
    local = Local()
    local.ask(WORK, request_id=9)
    _, payload = local.ask(WORK, request_id=9)
    assert status_of(payload) == Status.BAD_REQUEST
    assert len(local.requests) == 1


def test_requests_in_flight() -> None:
    local = Local(Policy(requests_in_flight=2))
    local.answer = None
    for request_id in (1, 2):
        message = header.encode_plain(header.Header(1, 1, opcode=WORK, request_id=request_id))
        assert local.deliver(message) == []
    _, payload = local.ask(WORK, request_id=3)
    assert status_of(payload) == Status.TOO_MANY
    local.agent.record.respond(local.requests[0], b"")
    assert len(local.agent.outbox.take()) == 1


def test_fire_and_forget() -> None:
    local = Local()
    local.client.post(WORK, b"")
    local.client.post(0x7FFF, b"")
    for message in local.client.outbox.take():
        assert local.deliver(message) == []
    assert [request.request_id for request in local.requests] == [0]
    assert local.agent.dropped == 1


def test_failure_and_push_reach_the_client() -> None:
    local = Local()
    local.answer = None
    pending = local.client.request(WORK, b"")
    (message,) = local.client.outbox.take()
    local.deliver(message)
    local.agent.refuse(local.requests[0], BadRequest("no", key="a"))
    local.agent.record.push(pending.request_id, Opcode.STREAM_DATA, b"\x80", compress=True)
    answer, push = (local.client.receive(m)[0] for m in local.agent.outbox.take())
    assert isinstance(answer, Response)
    assert payloads.unpack(answer.payload)["key"] == "a"
    assert isinstance(push, Push)
    assert push.request_id == pending.request_id


def test_close_from_the_client() -> None:
    local = Local()
    local.client.close()
    (message,) = local.client.outbox.take()
    local.deliver(message)
    assert local.agent.closed


def test_nothing_lingers() -> None:
    local = Local()
    local.agent.end("cut", linger=True)
    local.agent.end("cut", linger=True)
    (ended,) = local.agent.take_events()
    assert not ended.linger
    local.client.end("cut", linger=True)
    assert not local.client.take_events()[-1].linger
    assert local.agent.tick() == local.client.tick() == []


def test_limits() -> None:
    local = Local(Policy(message_limit=50_000))
    assert local.agent.message_limit == local.client.message_limit == 50_000
    with pytest.raises(LocalError):
        local.client.request(WORK, bytes(50_000))
    with pytest.raises(LocalError):
        local.client.post(WORK, bytes(50_000))
    local.answer = bytes(50_000)
    _, payload = local.ask(WORK)
    assert status_of(payload) == Status.TOO_LARGE
