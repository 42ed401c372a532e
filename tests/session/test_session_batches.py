"""Batches: tier 0 messages inside a sealed NOP (docs/protocol.md, 12)."""

from __future__ import annotations

import pytest
from pair import WORK, agent_side, connected, status_of
from raw import RawClient, authenticated
from raw_agent import raw_agent

from myclerk_protocol import header, payloads, tunnel
from myclerk_protocol.events import Failure, Response
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import REGISTRY, Opcode, Operation
from myclerk_protocol.seal import Opened
from myclerk_protocol.status import Forbidden, Status

OTHER_WORK = Opcode.DEVICE_INFO
UNTUNNELLED = [
    Opcode.NOP, Opcode.SESSION_INIT, Opcode.SESSION_ACK, Opcode.SESSION_CLOSE, Opcode.SESSION_CLOSE_ACK,
    Opcode.SESSION_RESUME, Opcode.SESSION_RESUMED, Opcode.KEY_EXCHANGE_INIT, Opcode.KEY_EXCHANGE_RESPONSE,
    Opcode.KEY_EXCHANGE_COMPLETE, Opcode.SESSION_ROTATE, Opcode.SESSION_REVOKE, Opcode.CLIENT_REGISTER,
]  # fmt: skip


def _inner(opcode: int, request_id: int, body: bytes = b"", first: int = 0x40) -> bytes:
    message = bytes((first,)) + request_id.to_bytes(4, "big") + opcode.to_bytes(2, "big") + body
    return len(message).to_bytes(4, "big") + message


def _opened(client: RawClient, payload: bytes, **options: object) -> dict[int, tuple[int, int, bytes]]:
    """Send a batch; Request ID -> opcode, tier and payload of the answer, bare or gathered."""
    answers: dict[int, tuple[int, int, bytes]] = {}
    for opened in client.send(Opcode.NOP, payload, request_id=0, **options):
        for opcode, request_id, push, body in _taken_apart(opened):
            assert not push
            answers[request_id] = (opcode, opened.tier, bytes(body))
    return answers


def _taken_apart(opened: Opened) -> list[tuple[int, int, bool, bytes]]:
    if opened.opcode == Opcode.NOP and opened.request_id == 0 and tunnel.is_batch(opened.payload):
        assert not opened.push
        return [tuple(inner) for inner in tunnel.parse(opened.payload, opened.version)]
    return [(opened.opcode, opened.request_id, opened.push, opened.payload)]


@pytest.mark.parametrize("tier", [3, 4, 5])
def test_each_message_is_a_request_of_the_carriers_tier(tier: int) -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: bytes((0x81, 0xA1, 0x61, request.tier))
    batch = _inner(WORK, 10) + _inner(OTHER_WORK, 11, b"\x81\xa1b\x02")
    answers = _opened(client, batch, tier=tier)
    answer = bytes((0x81, 0xA1, 0x61, tier))
    assert answers == {10: (WORK, tier, answer), 11: (OTHER_WORK, tier, answer)}
    assert client.side.executed == [(10, WORK, b""), (11, OTHER_WORK, b"\x81\xa1b\x02")]


def test_one_failing_message_fails_alone() -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: Forbidden("no") if request.request_id == 11 else b""
    batch = b"".join(
        (
            _inner(WORK, 10),
            _inner(WORK, 11),
            _inner(0x7FFF, 12),
            _inner(WORK, 13, first=0x42),
            _inner(WORK, 14),
        )
    )
    answers = _opened(client, batch)
    statuses = {request_id: status_of(payload) for request_id, (_, _, payload) in answers.items()}
    assert statuses == {
        10: 0, 11: Status.FORBIDDEN, 12: Status.UNSUPPORTED, 13: Status.BAD_REQUEST, 14: 0,
    }  # fmt: skip
    assert [request_id for request_id, _, _ in client.side.executed] == [10, 11, 14]


def test_minimum_tier_is_judged_by_the_carrier() -> None:
    side = agent_side()
    guarded = Operation(0xF000, "GUARDED", "vendor", 5, 0xF000, None, "needs tier 5")
    side.operations = REGISTRY.extended([guarded])
    client = authenticated(side)
    _, _, refusal = _opened(client, _inner(guarded.code, 10), tier=4)[10]
    fields = payloads.unpack(refusal)
    assert (fields["status"], fields["required-tier"]) == (Status.FORBIDDEN, 5)
    assert status_of(_opened(client, _inner(guarded.code, 11), tier=5)[11][2]) == 0


def test_fire_and_forget_in_a_batch() -> None:
    client = authenticated(agent_side())
    assert _opened(client, _inner(WORK, 0) + _inner(WORK, 0)) == {}
    assert len(client.side.executed) == 2


def test_ids_in_a_batch_must_rise_too() -> None:
    client = authenticated(agent_side())
    answers = _opened(client, _inner(WORK, 10) + _inner(WORK, 9) + _inner(WORK, 11))
    assert {i: status_of(answer[2]) for i, answer in answers.items()} == {10: 0, 9: Status.BAD_REQUEST, 11: 0}


def test_each_message_counts_as_a_request_in_flight() -> None:
    client = authenticated(agent_side(Policy(requests_in_flight=3)))
    client.side.serve = lambda request: None
    answers = _opened(client, b"".join(_inner(WORK, n) for n in range(10, 15)))
    assert {i: status_of(answer[2]) for i, answer in answers.items()} == {
        13: Status.TOO_MANY, 14: Status.TOO_MANY,
    }  # fmt: skip


def test_1024_messages_and_no_more() -> None:
    client = authenticated(agent_side())
    assert len(_opened(client, b"".join(_inner(WORK, n) for n in range(10, 1034)))) == 1024
    (refusal,) = client.send(Opcode.NOP, b"".join(_inner(WORK, n) for n in range(2000, 3025)), request_id=0)
    fields = payloads.unpack(refusal.payload)
    assert fields["request-ids"] == list(range(2000, 3024))
    assert len(client.side.executed) == 1024


def test_slow_message_holds_none_back() -> None:
    client = authenticated(agent_side())
    client.side.serve = lambda request: None if request.request_id == 10 else b""
    assert set(_opened(client, _inner(WORK, 10) + _inner(WORK, 11))) == {11}
    client.side.finish()
    (answer,) = client.answers()
    assert (answer.opcode, answer.request_id) == (WORK, 10)


@pytest.mark.parametrize(
    ("fault", "request_ids"),
    [
        (b"\0", [10]),
        (b"\0\0\0\0", [10]),
        (b"\0\0\0\x04" + bytes(4), [10]),
        (b"\0\0\0\x05\x40\0\0\0\x0b", [10, 11]),
        (b"\xff\xff\xff\xff" + bytes(20), [10]),
        (_inner(WORK, 11)[:-1], [10]),
        (_inner(WORK, 11, first=0x48), [10]),
        (_inner(WORK, 11, first=0x00), [10]),
        (_inner(WORK, 11, first=0x41), [10]),
        (_inner(WORK, 11, first=0x44), [10]),
        *[(_inner(opcode, 11), [10, 11]) for opcode in UNTUNNELLED],
    ],
)
def test_run_that_does_not_parse_executes_nothing(fault: bytes, request_ids: list[int]) -> None:
    client = authenticated(agent_side())
    (refusal,) = client.send(Opcode.NOP, _inner(WORK, 10) + fault, request_id=0, tier=4)
    fields = payloads.unpack(refusal.payload)
    assert (refusal.opcode, refusal.request_id, refusal.tier, refusal.push) == (Opcode.NOP, 0, 4, False)
    assert fields["status"] == Status.BAD_REQUEST
    assert isinstance(fields["message"], str)
    assert fields["request-ids"] == request_ids
    assert not client.side.executed
    (answer,) = client.send(WORK, request_id=10)  # the IDs are not used up
    assert status_of(answer.payload) == 0


def test_nop_with_a_payload_and_a_request_id_is_bad_request() -> None:
    client = authenticated(agent_side())
    for payload in (_inner(WORK, 10), b"\x80", b"\xff"):
        (answer,) = client.send(Opcode.NOP, payload)
        assert (answer.opcode, status_of(answer.payload)) == (Opcode.NOP, Status.BAD_REQUEST)
    assert not client.side.executed


@pytest.mark.parametrize("payload", [b"\x80", b"\x81\xa6status\x10", b"\xff"])
def test_map_from_a_client_is_an_answer_and_dropped(payload: bytes) -> None:
    client = authenticated(agent_side())
    assert client.send(Opcode.NOP, payload, request_id=0) == []
    assert client.agent.dropped == 1
    assert not client.agent.closed


@pytest.mark.parametrize("flaw", [{"push": True}, {"compressed": True}, {"tier": 5}], ids=str)
def test_flawed_carrier_is_dropped_with_all_it_carries(flaw: dict[str, bool]) -> None:
    client = authenticated(agent_side(), max_tier=4)
    assert client.send(Opcode.NOP, _inner(WORK, 10), request_id=0, **flaw) == []
    assert client.agent.dropped == 1
    assert not client.side.executed


def test_bare_tier_0_is_discarded() -> None:
    client = authenticated(agent_side())
    message = header.encode_plain(header.Header(1, 0, request_id=10), WORK.to_bytes(2, "big"))
    assert client.deliver(message) == []
    assert (client.agent.dropped, client.agent.closed) == (1, False)
    assert not client.side.executed
    agent = raw_agent(agent_side())
    agent.deliver(message)
    assert (agent.client.dropped, agent.client.closed) == (1, False)


# -- the client's end ----------------------------------------------------------------------------------------


def test_client_learns_which_requests_a_refused_batch_carried() -> None:
    agent = raw_agent(agent_side())
    requests = [agent.client.request(WORK, b"") for _ in range(3)]
    ids = [request.request_id for request in requests]
    fields = {"status": 0x10, "message": "does not parse", "request-ids": ids[:2]}
    (failure,) = agent.deliver(agent.seal(Opcode.NOP, payloads.pack(fields)))
    assert isinstance(failure, Failure)
    assert failure.requests == tuple(requests[:2])
    assert failure.fields["status"] == 0x10
    assert list(agent.client.state.pending) == ids[2:]


@pytest.mark.parametrize("request_ids", [5, None, [[1]], ["1"], [-1], {"a": 1}])
def test_refusal_without_proper_ids_ends_the_connection(request_ids: object) -> None:
    agent = raw_agent(agent_side())
    agent.client.request(WORK, b"")
    fields = {"status": 0x10, "message": "no", "request-ids": request_ids}
    agent.deliver(agent.seal(Opcode.NOP, payloads.pack(fields)))
    assert agent.client.closed


def test_client_opens_gathered_answers_and_pushes() -> None:
    agent = raw_agent(agent_side())
    requests = [agent.client.request(WORK, b"") for _ in range(2)]
    inner = [
        (WORK, requests[1].request_id, False, b"\x81\xa1a\x02"),
        (Opcode.STREAM_DATA, requests[0].request_id, True, b"\x81\xa1a\x03"),
        (WORK, requests[0].request_id, False, b"\x81\xa1a\x01"),
    ]
    events = agent.deliver(agent.seal(Opcode.NOP, tunnel.pack(inner)))
    assert [type(event).__name__ for event in events] == ["Response", "Push", "Response"]
    assert [bytes(event.payload) for event in events] == [inner[0][3], inner[1][3], inner[2][3]]


def test_batch_from_the_agent_that_does_not_parse_ends_the_connection() -> None:
    agent = raw_agent(agent_side())
    agent.deliver(agent.seal(Opcode.NOP, _inner(WORK, 3)[:-1]))
    assert agent.client.closed


# -- what goes out -------------------------------------------------------------------------------------------


def test_small_messages_that_are_ready_together_share_one_seal() -> None:
    connection = connected()
    for _ in range(5):
        connection.client.request(WORK, b"")
    (carrier,) = connection.take_client()
    connection.to_agent([carrier])
    assert len(connection.agent_side.executed) == 5
    (carrier,) = connection.take_agent()
    connection.to_client([carrier])
    assert [event for event in connection.client_events if isinstance(event, Response)]
    assert len(connection.answers) == 5


def test_messages_of_different_tiers_are_not_gathered_into_one() -> None:
    connection = connected()
    for tier in (3, 3, 4, 5):
        connection.client.request(WORK, b"", tier=tier)
    messages = connection.take_client()
    assert [header.decode(message)[0].tier for message in messages] == [3, 4, 5]
    connection.to_agent(messages)
    assert [r for r, _, _ in connection.agent_side.executed] == [3, 4, 5, 6]


def test_order_is_kept_between_gathered_and_large_messages() -> None:
    connection = connected()
    sizes = [1, 5000, 1, 1, 9000, 1]
    for size in sizes:
        connection.client.request(WORK, payloads.pack({"filler": bytes(size)}))
    connection.pump()
    assert [r for r, _, _ in connection.agent_side.executed] == [3, 4, 5, 6, 7, 8]


def test_many_messages_become_several_batches_within_the_limits() -> None:
    connection = connected(policy=Policy(message_limit=100_000))
    for _ in range(1500):
        connection.client.request(WORK, payloads.pack({"filler": bytes(100)}))
    messages = connection.take_client()
    assert all(len(message) <= 100_000 for message in messages)
    connection.to_agent(messages)
    assert len(connection.agent_side.executed) == 1500


def test_nothing_is_gathered_before_authentication() -> None:
    agent = raw_agent(agent_side())
    agent.client.outbox.gather = False
    agent.client.request(WORK, b"")
    agent.client.request(WORK, b"")
    assert len(agent.received()) == 2


def test_empty_messages_fill_batches_up_to_1024() -> None:
    connection = connected()
    for _ in range(2000):
        connection.client.post(WORK, b"")
    messages = connection.take_client()
    assert len(messages) == 2
    connection.to_agent(messages)
    assert len(connection.agent_side.executed) == 2000
