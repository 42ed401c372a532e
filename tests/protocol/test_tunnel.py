"""Batches (docs/protocol.md, Tunnel)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol.operations import OPERATIONS, Opcode
from myclerk_protocol.status import BadRequest, LocalError, Status
from myclerk_protocol.tunnel import MAX_MESSAGES, Inner, TunnelError, is_batch, pack, parse

SET = Inner(0x0624, 0x0A0B0C0D, False, b"\x81\xa1v\x01")
EVENT = Inner(0x0627, 7, True, b"")

# length, first byte, [Request ID], opcode, body
BATCH_V1 = bytes.fromhex("0000000b 40 0a0b0c0d 0624 81a17601" "00000007 42 00000007 0627")  # fmt: skip
BATCH_V0 = bytes.fromhex("00000007 00 0624 81a17601" "00000003 02 0627")  # fmt: skip
GOOD = bytes.fromhex("00000007 40 00000005 0624")


def test_batch_bytes() -> None:
    assert pack([SET, EVENT]) == BATCH_V1
    assert pack([SET, EVENT], 0) == BATCH_V0
    assert parse(BATCH_V1, 1) == [SET, EVENT]
    assert parse(BATCH_V0, 0) == [SET._replace(request_id=0), EVENT._replace(request_id=0)]


def test_messages_have_named_fields_of_the_right_types() -> None:
    first, second = parse(BATCH_V1, 1)
    assert type(first) is Inner
    assert (first.opcode, first.request_id, first.push, first.payload) == SET
    assert first.push is False
    assert second.push is True


def test_plain_tuples_are_packed_too() -> None:
    assert (
        pack([(0x0624, 0x0A0B0C0D, False, memoryview(b"\x81\xa1v\x01")), (0x0627, 7, True, b"")]) == BATCH_V1
    )


def test_payloads_of_a_view_are_views_of_it() -> None:
    carrier = memoryview(BATCH_V1)
    first, second = parse(carrier, 1)
    assert isinstance(first.payload, memoryview)
    assert first.payload.obj is carrier.obj
    assert [first, second] == [SET, EVENT]


@pytest.mark.parametrize(
    ("payload", "batch"),
    [(b"", False), (BATCH_V1, True), (b"\x7f", True), (b"\x80", False), (b"\xde\x00\x10", False)],
)
def test_what_a_nop_carries_is_told_by_its_first_byte(payload: bytes, batch: bool) -> None:
    assert is_batch(payload) is batch
    assert is_batch(memoryview(payload)) is batch


def test_zero_bytes_hold_no_messages() -> None:
    assert parse(b"", 1) == []


def fault(payload: bytes, version: int = 1) -> TunnelError:
    with pytest.raises(TunnelError) as error:
        parse(payload, version)
    with pytest.raises(TunnelError) as same:
        parse(memoryview(payload), version)
    assert same.value.request_ids == error.value.request_ids
    return error.value


def test_a_fault_is_a_bad_request_that_names_what_was_read() -> None:
    error = fault(GOOD + b"\x00")
    assert isinstance(error, BadRequest)
    assert error.status is Status.BAD_REQUEST
    assert error.details == {"request_ids": [5]}
    assert error.message


@pytest.mark.parametrize(
    ("bad", "read"),
    [
        ("00", []),  # cut off within the length
        ("00000000", []),  # no message at all
        ("00000004 40 000000", []),  # too short for its header
        ("00000008 40 00000006 0624", []),  # longer than what is there
        ("7fffffff 40 00000006 0624", []),
        ("ffffffff 40 00000006 0624", []),
        ("00000007", []),  # nothing behind the length
        ("00000007 00 00000006 0624", []),  # version 0
        ("00000007 80 00000006 0624", []),  # an unknown version
        ("00000007 48 00000006 0624", []),  # tier 1
        ("00000007 58 00000006 0624", []),  # tier 3
        ("00000007 44 00000006 0624", []),  # C
        ("00000007 41 00000006 0624", []),  # E
        ("00000007 46 00000006 0624", []),  # C beside S
        ("00000005 40 00000006", [6]),  # no opcode
        ("00000006 40 00000006 06", [6]),  # half an opcode
        ("00000006 40 00000006 06" "00000007 40 00000008 0624", [6]),
        ("00000007 40 00000006 0000", [6]),  # NOP
        ("00000007 40 00000006 0250", [6]),  # CLIENT_REGISTER
    ],
)  # fmt: skip
def test_faults_of_a_batch(bad: str, read: list[int]) -> None:
    assert fault(GOOD + bytes.fromhex(bad)).request_ids == [5, *read]
    assert fault(bytes.fromhex(bad)).request_ids == read


def test_what_is_wrong_is_told() -> None:
    assert "no opcode" in fault(bytes.fromhex("00000006 40 00000006 06")).message
    assert "bad length" in fault(GOOD + bytes.fromhex("00000008 40 00000006 0624")).message
    assert "message 2" in fault(GOOD + bytes.fromhex("00000007 48 00000006 0624")).message
    assert "0x0250" in fault(bytes.fromhex("00000007 40 00000006 0250")).message


@pytest.mark.parametrize(
    "bad",
    [
        "00000003 40 0624",  # version 1
        "00000003 04 0624",  # C
        "00000003 01 0624",  # E
        "00000003 08 0624",  # tier 1
        "00000002 00 06",
        "00000001 00",
        "00000000 00 0624",
        "00000004 00 0624",
        "00000003 00 0000",
    ],
)
def test_faults_of_a_version_0_batch(bad: str) -> None:
    error = fault(bytes.fromhex("00000003 00 0624" + bad), 0)
    assert error.request_ids == []


FORBIDDEN = [
    *("NOP", "SESSION_INIT", "SESSION_ACK", "SESSION_CLOSE", "SESSION_CLOSE_ACK", "SESSION_RESUME"),
    *("SESSION_RESUMED", "KEY_EXCHANGE_INIT", "KEY_EXCHANGE_RESPONSE", "KEY_EXCHANGE_COMPLETE"),
    *("SESSION_ROTATE", "SESSION_REVOKE", "CLIENT_REGISTER", "KEEPALIVE", "KEEPALIVE_ACK"),
]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_operations_that_no_batch_holds(name: str) -> None:
    code = Opcode[name].to_bytes(2, "big")
    assert fault(GOOD + b"\x00\x00\x00\x07\x40\x00\x00\x00\x09" + code).request_ids == [5, 9]
    with pytest.raises(LocalError):
        pack([SET, Inner(Opcode[name], 9, False, b"")])


def test_every_other_operation_may_travel_in_a_batch() -> None:
    allowed = [operation.code for operation in OPERATIONS if operation.name not in FORBIDDEN]
    messages = [Inner(code, number, False, b"") for number, code in enumerate([*allowed, 0xF351, 0xBEEF], 2)]
    assert len(allowed) == 145
    assert parse(pack(messages), 1) == messages


def test_1024_messages_are_the_most() -> None:
    messages = [Inner(0x0624, number, False, b"") for number in range(2, MAX_MESSAGES + 2)]
    packed = pack(messages)
    assert parse(packed, 1) == messages
    error = fault(packed + GOOD)
    assert error.request_ids == [message.request_id for message in messages]
    assert "1024" in error.message
    with pytest.raises(LocalError):
        pack([*messages, SET])
    with pytest.raises(LocalError):
        pack([])


@pytest.mark.parametrize(
    "message", [(0x10000, 1, False, b""), (-1, 1, False, b""), (0x0624, 1 << 32, False, b"")]
)
def test_fields_out_of_range_are_not_packed(message: tuple[int, int, bool, bytes]) -> None:
    with pytest.raises(LocalError):
        pack([message])


INNER = st.builds(
    Inner,
    st.sampled_from([operation.code for operation in OPERATIONS if operation.name not in FORBIDDEN]),
    st.integers(0, (1 << 32) - 1),
    st.booleans(),
    st.binary(max_size=40),
)


@given(st.lists(INNER, min_size=1, max_size=20))
def test_batches_survive_the_wire(messages: list[Inner]) -> None:
    packed = pack(messages)
    assert is_batch(packed)
    assert parse(packed, 1) == messages
    assert parse(pack(messages, 0), 0) == [message._replace(request_id=0) for message in messages]


@given(
    st.one_of(st.binary(max_size=60), st.binary(max_size=20).map(lambda rest: GOOD + rest)), st.integers(0, 1)
)
def test_any_bytes_are_a_batch_or_a_fault(data: bytes, version: int) -> None:
    try:
        messages = parse(data, version)
    except TunnelError:
        return
    assert (pack(messages, version) if messages else b"") == data
