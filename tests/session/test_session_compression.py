"""Where C may be set, and what a set C must hold (docs/protocol.md, 13)."""

from __future__ import annotations

import os

import pytest
import zstandard
from pair import WORK, agent_side, connected, status_of
from raw import RawClient, authenticated
from raw_agent import raw_agent

from myclerk_protocol import header, payloads
from myclerk_protocol.compression import compress
from myclerk_protocol.events import Push, Response
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import OPERATIONS, Opcode
from myclerk_protocol.status import Status

BULK = Opcode.USB_BULK_TRANSFER
CONTENT = payloads.pack({"data": bytes(2000)})


def _client(capabilities: list[int] | None = None) -> RawClient:
    return authenticated(agent_side(), capabilities=capabilities or [1, 2])


def test_bulk_transfer_may_be_compressed() -> None:
    client = _client()
    (answer,) = client.send(BULK, compress(CONTENT), compressed=True)
    assert status_of(answer.payload) == 0
    assert client.side.executed == [(answer.request_id, BULK, CONTENT)]


def test_every_other_operation_refuses_c() -> None:
    client = _client()
    others = [o for o in OPERATIONS if o.code >= 0x0100 and o.code != BULK]
    for operation in others:
        (answer,) = client.send(operation.code, compress(CONTENT), compressed=True, tier=5)
        assert status_of(answer.payload) == Status.BAD_REQUEST
    assert not client.side.executed
    assert not client.agent.closed


def test_c_without_zstd_selected() -> None:
    client = _client([2])
    (answer,) = client.send(BULK, compress(CONTENT), compressed=True)
    assert status_of(answer.payload) == Status.BAD_REQUEST


def _frame(content: bytes, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)


BAD_FRAMES = {
    "no frame": bytes(1024),
    "empty": b"",
    "below 1,024 bytes": _frame(bytes(1023)),
    "without content size": _frame(CONTENT, write_content_size=False),
    "something behind it": _frame(CONTENT) + b"\0",
    "two frames": _frame(CONTENT) * 2,
    "cut off": _frame(os.urandom(2000))[:-5],
    "above the limit": _frame(bytes((1 << 20) + 1)),
    "skippable": b"\x50\x2a\x4d\x18\x04\0\0\0abcd",
    "a bomb by its own word": b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + bytes(8),
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_bad_frame_is_bad_request(frame: bytes) -> None:
    client = _client()
    (answer,) = client.send(BULK, frame, compressed=True)
    assert status_of(answer.payload) == Status.BAD_REQUEST
    assert not client.side.executed
    assert not client.agent.closed


def test_content_limit_is_the_message_limit() -> None:
    client = authenticated(agent_side(Policy(message_limit=10_000)), capabilities=[1, 2])
    (answer,) = client.send(BULK, compress(bytes(10_001)), compressed=True)
    assert status_of(answer.payload) == Status.BAD_REQUEST


# -- pushes --------------------------------------------------------------------------------------------------


def test_pushes_of_a_compressed_stream() -> None:
    connection = connected()
    stream = connection.client.request(WORK, b"")
    connection.client.state.streams[stream.request_id] = True
    connection.pump()
    record = connection.agent.record
    record.push(stream.request_id, Opcode.STREAM_DATA, CONTENT, compress=True)
    record.push(stream.request_id, Opcode.STREAM_DATA, b"\x80", compress=True)
    messages = connection.take_agent()
    assert [header.decode(message)[0].compressed for message in messages] == [True, False]
    connection.to_client(messages)
    pushes = [event for event in connection.client_events if isinstance(event, Push)]
    assert [bytes(push.payload) for push in pushes] == [CONTENT, b"\x80"]


def test_nothing_is_compressed_where_zstd_was_not_selected() -> None:
    connection = connected(policy=Policy(zstd=False))
    connection.agent.record.push(3, Opcode.STREAM_DATA, CONTENT, compress=True)
    (message,) = connection.take_agent()
    assert not header.decode(message)[0].compressed


def test_payload_that_zstd_cannot_shrink_is_sent_as_it_is() -> None:
    """So that no message outgrows the limit by being compressed."""
    connection = connected()
    record, limit = connection.agent.record, connection.client.message_limit
    record.push(3, Opcode.STREAM_DATA, os.urandom(limit - 64), compress=True)
    (message,) = connection.take_agent()
    assert len(message) <= limit
    connection.to_client([message])
    assert not connection.client.closed


def test_push_of_another_stream_must_not_be_compressed() -> None:
    agent = raw_agent(agent_side(), selected_capabilities=[1, 2])
    agent.deliver(agent.seal(Opcode.STREAM_DATA, compress(CONTENT), request_id=3, push=True, compressed=True))
    assert agent.client.closed


# -- what a client refuses -----------------------------------------------------------------------------------


def test_compressed_answer_of_a_bulk_transfer() -> None:
    agent = raw_agent(agent_side(), selected_capabilities=[1, 2])
    request = agent.client.request(BULK, b"")
    (event,) = agent.deliver(
        agent.seal(BULK, compress(CONTENT), request_id=request.request_id, compressed=True)
    )
    assert isinstance(event, Response)
    assert bytes(event.payload) == CONTENT


@pytest.mark.parametrize("opcode", [WORK, Opcode.NOP, Opcode.KEEPALIVE_ACK])
def test_client_that_gets_c_elsewhere_ends_the_connection(opcode: int) -> None:
    agent = raw_agent(agent_side(), selected_capabilities=[1, 2])
    request = agent.client.request(WORK, b"")
    agent.deliver(agent.seal(opcode, compress(CONTENT), request_id=request.request_id, compressed=True))
    assert agent.client.closed


def test_compressed_answer_where_zstd_was_not_selected() -> None:
    agent = raw_agent(agent_side())
    request = agent.client.request(BULK, b"")
    agent.deliver(agent.seal(BULK, compress(CONTENT), request_id=request.request_id, compressed=True))
    assert agent.client.closed


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_bad_frame_ends_the_clients_connection(frame: bytes) -> None:
    agent = raw_agent(agent_side(), selected_capabilities=[1, 2])
    request = agent.client.request(BULK, b"")
    agent.deliver(agent.seal(BULK, frame, request_id=request.request_id, compressed=True))
    assert agent.client.closed
