"""PINs: the examples of Mesh Part IV section 6.3, both witnesses, and RequestConnection."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from mesh_samples import NOW, OTHER_TRANSCRIPT, TRANSCRIPT, identity, source

from myclerk_protocol.mesh import dare, pin, udf
from myclerk_protocol.mesh.encoding import base64url_encode
from myclerk_protocol.status import BadRequest, TooLarge, Unauthorized

# Mesh Part IV section 6.3; the PinId printed there is a slip (it is keyed with the raw PIN).
PIN = "AAJP-KPYV-NSB4-GIYL-AM"
SALTED = "ADBB-JTKR-RGGL-ACEM-TW6E-ZFY6-NQXF"
PIN_ID = "ACCL-WJJ6-QILY-IDQT-67RT-LHGM-PA2K"

DEVICE = identity()
HOST = identity("host")
ACCOUNT = udf.grouped(HOST.fingerprint)


def test_published_salted_pin_and_pin_id() -> None:
    assert pin.salted_pin(PIN) == SALTED
    assert pin.pin_id(SALTED, "alice@example.com") == PIN_ID


def test_another_action_salts_otherwise() -> None:
    assert pin.salted_pin(PIN, "Contact") != SALTED


def test_new_pin_has_128_bits() -> None:
    assert udf.parse(pin.new_pin(source("pin"))) == (udf.Kind.AUTHENTICATOR, source("pin")(16))


@pytest.mark.parametrize("text", ["MC44-IZC3", "", "AAJP-KPYV-NSB4-GIYL-A1"])
def test_what_is_no_pin(text: str) -> None:
    with pytest.raises(BadRequest):
        pin.salted_pin(text)


def test_witness_is_keyed_with_sixteen_bytes_of_the_salted_pin() -> None:
    digest = hashlib.sha512(DEVICE.profile.raw).digest()
    key = udf.fingerprint_bytes(SALTED)
    due = hmac.new(key, ACCOUNT.encode() + TRANSCRIPT + digest, "sha512").digest()
    assert len(ACCOUNT) == 34
    assert pin.witness(SALTED, ACCOUNT, TRANSCRIPT, digest) == due
    pin.check_witness(SALTED, ACCOUNT, TRANSCRIPT, DEVICE.profile.raw, due)


@pytest.mark.parametrize("changed", ["salted", "account", "transcript", "profile", "witness"])
def test_witness_binds_each_of_its_inputs(changed: str) -> None:
    given: dict[str, Any] = {
        "salted": SALTED, "account": ACCOUNT, "transcript": TRANSCRIPT, "profile": DEVICE.profile.raw,
    }  # fmt: skip
    other: dict[str, Any] = {
        "salted": PIN_ID, "account": HOST.fingerprint, "transcript": OTHER_TRANSCRIPT,
        "profile": DEVICE.profile.raw + b" ", "witness": bytes(64),
    }  # fmt: skip
    given["witness"] = pin.witness(SALTED, ACCOUNT, TRANSCRIPT, hashlib.sha512(DEVICE.profile.raw).digest())
    given[changed] = other[changed]
    with pytest.raises(Unauthorized, match=r"^not accepted$"):
        pin.check_witness(*given.values())


def test_agent_witness_formula() -> None:
    shown = bytes(range(64))
    message = b"myclerk-agent-pin-v1" + TRANSCRIPT + hashlib.sha512(HOST.profile.raw).digest() + shown
    due = hmac.new(udf.fingerprint_bytes(SALTED), message, "sha512").digest()
    assert pin.agent_witness(SALTED, TRANSCRIPT, HOST.profile.raw, shown) == due
    pin.check_agent_witness(SALTED, TRANSCRIPT, HOST.profile.raw, shown, due)


@pytest.mark.parametrize("shown", [None, b"", bytes(64)])
def test_agent_that_does_not_know_the_pin(shown: bytes | None) -> None:
    with pytest.raises(Unauthorized, match="did not prove"):
        pin.check_agent_witness(SALTED, TRANSCRIPT, HOST.profile.raw, bytes(64), shown)


def test_an_agent_witness_is_no_pin_witness() -> None:
    shown = bytes(64)
    agent = pin.agent_witness(SALTED, TRANSCRIPT, HOST.profile.raw, shown)
    with pytest.raises(Unauthorized):
        pin.check_witness(SALTED, ACCOUNT, TRANSCRIPT, HOST.profile.raw, agent)


def _request(with_pin: str | None = PIN) -> tuple[bytes, bytes | None]:
    return pin.request(
        source("request"),
        NOW,
        transcript=TRANSCRIPT,
        account=ACCOUNT,
        profile=DEVICE.profile.raw,
        pin=with_pin,
    )


def test_request_round_trip() -> None:
    envelope, witness = _request()
    request = pin.parse_request(memoryview(envelope))
    request.check(TRANSCRIPT, DEVICE.fingerprint)
    assert request.raw == envelope
    assert request.pin_id == pin.pin_id(SALTED, ACCOUNT)
    assert request.pin_witness == witness
    assert witness is not None
    pin.check_witness(SALTED, ACCOUNT, TRANSCRIPT, DEVICE.profile.raw, witness)
    assert PIN.encode() not in envelope
    assert SALTED not in json.dumps(dare.parse(envelope).body())


def test_request_without_pin() -> None:
    envelope, witness = _request(None)
    request = pin.parse_request(envelope)
    assert (request.pin_id, request.pin_witness, witness) == (None, None, None)


def test_request_of_another_session_or_profile() -> None:
    request = pin.parse_request(_request()[0])
    with pytest.raises(BadRequest, match="another session"):
        request.check(OTHER_TRANSCRIPT, DEVICE.fingerprint)
    with pytest.raises(BadRequest, match="another profile"):
        request.check(TRANSCRIPT, HOST.fingerprint)


def test_request_repr_shows_no_witness() -> None:
    request = pin.parse_request(_request()[0])
    assert "PinWitness" not in repr(request)
    assert repr(request.pin_witness) not in repr(request)


def _forged(**changes: Any) -> bytes:
    """A request with members changed, or left out where the value is None."""
    body: dict[str, Any] = dare.parse(_request()[0]).body() | changes
    body = {name: value for name, value in body.items() if value is not None}
    envelope_id = udf.envelope_id(udf.nonce(source("request")))
    return dare.unsigned("RequestConnection", body, created=NOW, envelope_id=envelope_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"MessageId": None},
        {"MessageId": udf.nonce(source("other"))},
        {"MessageId": udf.grouped(DEVICE.fingerprint)},
        {"AuthenticatedData": None},
        {"AuthenticatedData": DEVICE.fingerprint},
        {"AuthenticatedData": "MC44"},
        {"ClientNonce": None},
        {"ClientNonce": base64url_encode(TRANSCRIPT[:-1])},
        {"ClientNonce": base64url_encode(TRANSCRIPT) + "="},
        {"PinId": None},
        {"PinId": 7},
        {"PinId": PIN_ID.lower()},
        {"PinWitness": None},
        {"PinWitness": base64url_encode(bytes(63))},
    ],
    ids=lambda changes: " ".join(f"{name}={str(value)[:8]}" for name, value in changes.items()),
)
def test_request_with_a_flaw_of_form(changes: dict[str, Any]) -> None:
    pin.parse_request(_forged())
    with pytest.raises(BadRequest):
        pin.parse_request(_forged(**changes))


def test_message_id_that_is_no_nonce() -> None:
    message_id = udf.grouped(DEVICE.fingerprint)
    body = dare.parse(_request()[0]).body() | {"MessageId": message_id}
    envelope_id = udf.envelope_id(message_id)
    with pytest.raises(BadRequest, match="MessageId"):
        pin.parse_request(dare.unsigned("RequestConnection", body, created=NOW, envelope_id=envelope_id))


def test_signed_request_and_other_messages_are_refused() -> None:
    body = dare.parse(_request()[0]).body()
    message_id = udf.envelope_id(str(body["MessageId"]))
    signed = dare.sign("RequestConnection", body, DEVICE.key, created=NOW, envelope_id=message_id)
    other = dare.unsigned("MessageContact", body, created=NOW, envelope_id=message_id)
    for envelope in (signed, other):
        with pytest.raises(BadRequest, match="no unsigned RequestConnection"):
            pin.parse_request(envelope)


def test_huge_request() -> None:
    with pytest.raises(TooLarge):
        pin.parse_request(b"[" * 100_000)
