"""Every flaw of a handshake request is refused, in the order due, without a trace (docs/protocol.md, 6.2)."""

from __future__ import annotations

from typing import Any

import pytest
from pair import agent_side
from raw import RawClient

from myclerk_protocol import header, payloads
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Opcode
from myclerk_protocol.status import Status

ANY_MODE = Policy(require_pq=False)

HEADER_FLAWS = [
    ("compressed", True),
    ("push", True),
    ("sequence", 1),
    ("session_id", 1),
    ("nonce", 1),
    ("key_id", 1),
    ("request_id", 0),
    ("request_id", 2),
]

PAYLOAD_FLAWS: list[tuple[dict[str, Any], str]] = [
    ({"nonce": None}, "nonce"),
    ({"nonce": bytes(7)}, "nonce"),
    ({"nonce": bytes(9)}, "nonce"),
    ({"nonce": "initiate"}, "nonce"),
    ({"timestamp": None}, "timestamp"),
    ({"timestamp": 1_800_000_001}, "timestamp"),
    ({"timestamp": 1 << 32}, "timestamp"),
    ({"timestamp": "now"}, "timestamp"),
    ({"kex_mode": None}, "kex-mode"),
    ({"kex_mode": 2}, "kex-mode"),
    ({"kex_mode": 0}, "mlkem-public"),
    ({"x25519_public": None}, "x25519-public"),
    ({"x25519_public": bytes(31)}, "x25519-public"),
    ({"x25519_public": bytes(33)}, "x25519-public"),
    ({"x25519_public": bytes(32)}, "x25519-public"),
    ({"mlkem_public": None}, "mlkem-public"),
    ({"mlkem_public": bytes(1183)}, "mlkem-public"),
    ({"mlkem_public": bytes(1185)}, "mlkem-public"),
    ({"mlkem_public": b"\xff" * 1184}, "mlkem-public"),
    ({"capabilities": 2}, "capabilities"),
    ({"capabilities": ["2"]}, "capabilities[0]"),
    ({"capabilities": [-1]}, "capabilities[0]"),
    ({"max_tier": 3}, "max-tier"),
    ({"max_tier": 6}, "max-tier"),
]


@pytest.mark.parametrize(("field", "value"), HEADER_FLAWS)
def test_every_header_field_has_its_one_value(field: str, value: int) -> None:
    client = RawClient(agent_side())
    _, fields = client.refused(client.handshake_message(client.fields(), **{field: value}))
    assert (fields["status"], fields["key"]) == (Status.BAD_REQUEST, field.replace("_", "-"))


@pytest.mark.parametrize(("changes", "key"), PAYLOAD_FLAWS, ids=lambda value: str(value)[:40])
def test_every_flaw_of_the_payload_names_its_key(changes: dict[str, Any], key: str) -> None:
    client = RawClient(agent_side(ANY_MODE))
    _, fields = client.refused(client.handshake_message(client.fields(**changes)))
    assert (fields["status"], fields["key"]) == (Status.BAD_REQUEST, key)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x80", b"\x90", b"\x80\x00", b"\x82\xa5nonce\xc0\xa5nonce\xc0", b"\xff" * 90],
    ids=["none", "empty map", "array", "more behind", "key twice", "garbage"],
)
def test_payload_that_is_no_map_of_an_init(payload: bytes) -> None:
    client = RawClient(agent_side())
    _, fields = client.refused(client.handshake_message(payload))
    assert fields["status"] == Status.BAD_REQUEST


@pytest.mark.parametrize("public", [bytes(32), (1).to_bytes(32, "little")], ids=["zero", "one"])
def test_all_zero_x25519_output_is_refused(public: bytes) -> None:
    client = RawClient(agent_side())
    _, fields = client.refused(client.handshake_message(client.fields(x25519_public=public)))
    assert (fields["status"], fields["key"]) == (Status.BAD_REQUEST, "x25519-public")


def test_modulus_check_of_the_encapsulation_key() -> None:
    """FIPS 203 section 7.2: one coefficient of 3329 among good ones."""
    client = RawClient(agent_side())
    key = bytearray(client.offer.mlkem_public)
    key[0], key[1] = 0x01, key[1] & 0xF0 | 0x0D  # 0xD01 = 3329
    _, fields = client.refused(client.handshake_message(client.fields(mlkem_public=bytes(key))))
    assert (fields["status"], fields["key"]) == (Status.BAD_REQUEST, "mlkem-public")


def test_unknown_keys_and_device_id_are_ignored() -> None:
    client = RawClient(agent_side())
    client.handshake(device_id="A" * 28, something_new={"a": [1, 2]})
    assert client.session_id


def test_order_of_checks_is_form_then_capabilities_then_policy() -> None:
    """A classical-only offer without AEAD and with a flaw of form is told the flaw first."""
    client = RawClient(agent_side(), mode=Mode.CLASSICAL)
    _, fields = client.refused(client.handshake_message(client.fields(capabilities=[9], nonce=b"")))
    assert fields["status"] == Status.BAD_REQUEST
    _, fields = client.refused(client.handshake_message(client.fields(capabilities=[9])))
    assert fields["status"] == Status.UNSUPPORTED
    _, fields = client.refused(client.handshake_message(client.fields(capabilities=[2])))
    assert fields["status"] == Status.FORBIDDEN


def test_modulus_check_is_form() -> None:
    client = RawClient(agent_side())
    message = client.handshake_message(client.fields(mlkem_public=b"\xff" * 1184, capabilities=[9]))
    assert client.refused(message)[1]["status"] == Status.BAD_REQUEST


def test_tier_is_judged_before_the_rest_of_the_form() -> None:
    client = RawClient(agent_side())
    head = header.Header(1, 2, opcode=Opcode.SESSION_INIT, request_id=77)
    assert client.refused(header.encode_plain(head, b"junk"))[1]["status"] == Status.FORBIDDEN


def test_refused_attempt_leaves_no_trace() -> None:
    client = RawClient(agent_side())
    client.refused(client.handshake_message(client.fields(capabilities=[3, 4])))
    client.refused(client.handshake_message(client.fields(x25519_public=bytes(32))))
    assert len(client.side.registry) == 0
    client.handshake()
    assert len(client.side.registry) == 1


# -- drafts 00-02, version 0, resume -------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"\x01" * 32, b"\x81" + b"\x17" * 31, b"\xde" * 32])
def test_handshake_of_old_drafts_is_told_so(key: bytes) -> None:
    """Its key stands where draft 03 has a map; it may begin like one."""
    client = RawClient(agent_side(), version=0)
    head, fields = client.refused(client.handshake_message(key, session_id=3, nonce=4))
    assert (head.version, head.tier, fields["status"]) == (0, 4, Status.BAD_REQUEST)
    assert "00-02" in fields["message"]


def test_version_0_has_no_resume() -> None:
    client = RawClient(agent_side(), version=0)
    message = client.handshake_message(b"\x80", opcode=Opcode.SESSION_RESUME)
    assert client.refused(message)[1]["status"] == Status.BAD_REQUEST


RESUME = {
    "old-session-id": 5,
    "ticket": bytes(64),
    "ticket-tag": bytes(16),
    "nonce": bytes(8),
    "timestamp": 1_800_000_000,
    "x25519-public": b"\x09" + bytes(31),
}


@pytest.mark.parametrize("key", RESUME)
def test_resume_that_lacks_a_key(key: str) -> None:
    client = RawClient(agent_side())
    fields = {name: value for name, value in RESUME.items() if name != key}
    message = client.handshake_message(fields, opcode=Opcode.SESSION_RESUME)
    answer = client.refused(message)[1]
    assert (answer["status"], answer["key"]) == (Status.BAD_REQUEST, key)


@pytest.mark.parametrize("key", [key for key in RESUME if key not in ("old-session-id", "timestamp")])
@pytest.mark.parametrize("change", [-1, 1])
def test_resume_with_a_wrong_length(key: str, change: int) -> None:
    client = RawClient(agent_side())
    value = RESUME[key]
    assert isinstance(value, bytes)
    message = client.handshake_message(
        {**RESUME, key: bytes(len(value) + change)}, opcode=Opcode.SESSION_RESUME
    )
    answer = client.refused(message)[1]
    assert (answer["status"], answer["key"]) == (Status.BAD_REQUEST, key)


@pytest.mark.parametrize(("field", "value"), HEADER_FLAWS)
def test_every_header_field_of_a_resume_has_its_one_value(field: str, value: int) -> None:
    client = RawClient(agent_side())
    message = client.handshake_message(RESUME, opcode=Opcode.SESSION_RESUME, **{field: value})
    assert client.refused(message)[1]["status"] == Status.BAD_REQUEST


def test_resume_whose_timestamps_differ() -> None:
    client = RawClient(agent_side())
    message = client.handshake_message(RESUME, opcode=Opcode.SESSION_RESUME, timestamp=1)
    assert client.refused(message)[1]["key"] == "timestamp"


def test_unknown_ticket_is_invalid_session_and_init_may_follow() -> None:
    client = RawClient(agent_side())
    message = client.handshake_message(payloads.pack(RESUME), opcode=Opcode.SESSION_RESUME)
    head, fields = client.refused(message)
    assert (head.opcode, fields["status"]) == (Opcode.SESSION_RESUME, Status.INVALID_SESSION)
    client.handshake()
    assert client.session_id
