"""MessagePin, AcknowledgeConnection, RespondConnection: published values, round trips, and every kind of forgery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh_samples import NOW, OTHER_TRANSCRIPT, TRANSCRIPT, identity, source

from myclerk_protocol.mesh import dare, pin, udf
from myclerk_protocol.mesh.catalog import CatalogedDevice
from myclerk_protocol.mesh.connections import connect, parse_connection
from myclerk_protocol.mesh.encoding import base64url_decode, base64url_encode
from myclerk_protocol.mesh.messages import (
    MessagePin,
    acknowledge,
    parse_acknowledgement,
    parse_message_pin,
    parse_response,
    respond,
    witness,
)
from myclerk_protocol.status import BadRequest, OperationError, Unauthorized

DEVICE, OTHER = identity(), identity("device", "other")
HOST, STRANGER = identity("host"), identity("host", "stranger")
ADMINISTRATOR = identity("host", "administrator").key
ACCOUNT = udf.grouped(HOST.fingerprint)
PIN = "AAJP-KPYV-NSB4-GIYL-AM"


def request(device: Any = DEVICE, transcript: bytes = TRANSCRIPT) -> pin.ConnectionRequest:
    envelope, _ = pin.request(
        source("request"), NOW, transcript=transcript, account=ACCOUNT, profile=device.profile.raw
    )
    return pin.parse_request(envelope)


def signed(message_type: str, body: dict[str, Any], key: Any, message_id: str | None = None) -> bytes:
    """An envelope as the messages have it, whatever is in it."""
    envelope_id = udf.envelope_id(message_id or body["MessageId"])
    return dare.sign(message_type, body, key, created=NOW, envelope_id=envelope_id)


# -- MessagePin ------------------------------------------------------------------------------------------------


def test_published_message_pin() -> None:
    """The MessagePin in the examples of the Mesh drafts (August 2021) for the PIN of Part IV section 6.3."""
    noted = MessagePin.issue(PIN, "alice@example.com", 1628267860.0)
    body = dare.parse(noted.envelope(ADMINISTRATOR, NOW)).body()
    assert body == {
        "MessageId": "ACCL-WJJ6-QILY-IDQT-67RT-LHGM-PA2K",
        "Account": "alice@example.com",
        "Expires": "2021-08-06T16:37:40Z",
        "Automatic": True,
        "SaltedPin": "ADBB-JTKR-RGGL-ACEM-TW6E-ZFY6-NQXF",
        "Action": "Device",
    }


def test_published_pin_witness() -> None:
    """The RequestConnection that these examples make with that PIN."""
    digest = base64url_decode(
        "ZXcdFX7i4PYf4oJ6O7_dLw7TWEkr0vC_r3_RcaDdcy-Wz4DPbqhCk1VGyU0YLsR6C6NEcHa9ExjBa5OIoZakgA", "digest"
    )
    due = base64url_decode(
        "YhwAi-IvYYP2dMjOd-pXioRqgIq0knwLwnUqMHvpvTueLMc7ATSXMdBlxOSZ_u8sztqpwwEZEZ5Rc4WQBKP3cA", "witness"
    )
    nonce = base64url_decode("VGxxL-LKUQyqn_Rpdj86Zg", "nonce")
    assert pin.witness("ADBB-JTKR-RGGL-ACEM-TW6E-ZFY6-NQXF", "alice@example.com", nonce, digest) == due


def test_message_pin_round_trip() -> None:
    for expires in (None, NOW + 900):
        noted = MessagePin.issue(PIN, ACCOUNT, expires)
        envelope = noted.envelope(ADMINISTRATOR, NOW)
        assert parse_message_pin(envelope, ADMINISTRATOR.public) == noted
        assert PIN.encode() not in envelope
        assert noted.salted not in repr(noted)


def message_pin(**changed: Any) -> bytes:
    noted = MessagePin.issue(PIN, ACCOUNT)
    body = dare.parse(noted.envelope(ADMINISTRATOR, NOW)).body() | changed
    return signed("MessagePin", {k: v for k, v in body.items() if v is not None}, ADMINISTRATOR, noted.pin_id)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"MessageId": "ACCL-WJJ6-QILY-IDQT-67RT-LHGM-PA2K"}, "does not follow"),
        ({"SaltedPin": "ACCL-WJJ6-QILY-IDQT-67RT-LHGM-PA2K"}, "is its PinId"),
        ({"Account": udf.grouped(STRANGER.fingerprint)}, "is its PinId"),
        ({"Account": "alice@example.com"}, "letters A-Z"),
        ({"Action": "Contact"}, "admits a Device"),
        ({"Automatic": False}, "admits a Device"),
        ({"Automatic": None}, "admits a Device"),
        ({"Expires": "tomorrow"}, "not a time"),
        ({"Expires": 7}, "Expires is missing"),
        ({"SaltedPin": None}, "SaltedPin is missing"),
    ],
)
def test_message_pin_with_a_flaw(changed: dict[str, Any], reason: str) -> None:
    parse_message_pin(message_pin(), ADMINISTRATOR.public)
    with pytest.raises(BadRequest, match=reason):
        parse_message_pin(message_pin(**changed), ADMINISTRATOR.public)


# -- AcknowledgeConnection -------------------------------------------------------------------------------------


def test_published_witness() -> None:
    """The examples of Mesh Part V of April 2022: account key, device key, both nonces, and the witness shown."""
    account = "ni85QjaM8wU5vRoKmwnxD0F9c4SK303Mk0Gad5WlJ8hgBiYWw9oNzmi32sw8XAmer6UM0SoTc24A"
    device = "E5eK4qI3MYBx5xptzcnxpHZnvMAjSnrHF8AnbypN-Y6ifUGnS_NT_iqZrgmyDKDDCiAWJE4Gp8UA"
    assert udf.key_fingerprint(base64url_decode(device, "key")) == "MAA3-BQPZ-WWO4-7Q5B-P7AH-FY5C-ATMD"
    shown = witness(
        base64url_decode(account, "key"),
        base64url_decode("TxNcq2rNIK8BgGbwmyCcBw", "nonce"),
        base64url_decode(device, "key"),
        base64url_decode("gZFH1LZNoACm0-x0tg28yA", "nonce"),
    )
    assert shown == "HS22-VO5M-JAG4-RQT4-ROHX-PERK-YYCW"


def test_acknowledgement_round_trip() -> None:
    made = acknowledge(source("nonce"), NOW, request(), DEVICE.profile, HOST.key)
    read = parse_acknowledgement(memoryview(made.raw), HOST.profile, DEVICE.profile)
    assert (read.witness, read.raw) == (made.witness, made.raw)
    assert read.request.message_id == request().message_id
    assert read.request.client_nonce == TRANSCRIPT


def test_the_witness_binds_both_keys_and_both_nonces() -> None:
    given = (HOST.key.public, bytes(16), DEVICE.key.public, TRANSCRIPT)
    others = (STRANGER.key.public, bytes(15) + b"x", OTHER.key.public, OTHER_TRANSCRIPT)
    seen = {witness(*given)}
    for index, other in enumerate(others):
        seen.add(witness(*given[:index], other, *given[index + 1 :]))
    assert len(seen) == 5


def acknowledged() -> dict[str, Any]:
    made = acknowledge(source("nonce"), NOW, request(), DEVICE.profile, HOST.key)
    return dare.parse(made.raw).body()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda body: {"MessageId": udf.nonce(source("other"))}, "is its Witness"),
        (lambda body: {"ServerNonce": base64url_encode(bytes(8))}, "8 bytes where 16"),
        (lambda body: {"EnvelopedRequestConnection": None}, "an envelope is an array"),
        (lambda body: {"EnvelopedRequestConnection": []}, "an envelope is an array"),
        (lambda body: {"Witness": None}, "Witness is missing"),
    ],
)
def test_acknowledgement_with_a_flaw(change: Callable[[Any], dict[str, Any]], reason: str) -> None:
    body = acknowledged()
    body |= change(body)
    with pytest.raises(BadRequest, match=reason):
        parse_acknowledgement(signed("AcknowledgeConnection", body, HOST.key), HOST.profile, DEVICE.profile)


def test_acknowledgement_of_another_device_host_or_witness() -> None:
    made = acknowledge(source("nonce"), NOW, request(OTHER), OTHER.profile, HOST.key)
    with pytest.raises(Unauthorized, match="another device"):
        parse_acknowledgement(made.raw, HOST.profile, DEVICE.profile)
    mine = acknowledge(source("nonce"), NOW, request(), DEVICE.profile, HOST.key)
    with pytest.raises(Unauthorized, match="another key"):
        parse_acknowledgement(mine.raw, STRANGER.profile, DEVICE.profile)
    body = acknowledged()
    body["Witness"] = body["MessageId"] = made.witness
    with pytest.raises(Unauthorized, match="another device"):
        parse_acknowledgement(signed("AcknowledgeConnection", body, HOST.key), HOST.profile, DEVICE.profile)


# -- RespondConnection -----------------------------------------------------------------------------------------


def entry() -> CatalogedDevice:
    connection = parse_connection(connect(DEVICE.profile, HOST.key, NOW), HOST.key.public)
    return CatalogedDevice(HOST.profile, DEVICE.profile, connection)


def test_response_round_trips() -> None:
    asked = request()
    for result in ("Reject", "Pending"):
        envelope = respond(asked, result, HOST.key, NOW)
        assert parse_response(memoryview(envelope), HOST.key.public, asked.message_id).result == result
    envelope = respond(asked, "Accept", HOST.key, NOW, entry())
    read = parse_response(envelope, HOST.key.public, asked.message_id)
    assert read.device is not None
    assert (read.result, read.device.device.fingerprint) == ("Accept", DEVICE.fingerprint)
    body = dare.parse(envelope).body()
    assert body["MessageId"] == udf.response_id(asked.message_id)


@pytest.mark.parametrize(
    "changed",
    [
        {"Result": "accept"},
        {"Result": "Perhaps"},
        {"Result": 1},
        {"Result": "Accept"},
        {"Result": "Reject", "CatalogedDevice": {}},
        {"Result": "Accept", "CatalogedDevice": {}},
        {"Result": "Accept", "CatalogedDevice": []},
        {"Result": None},
    ],
)
def test_response_with_a_flaw(changed: dict[str, Any]) -> None:
    asked = request()
    body = {"MessageId": udf.response_id(asked.message_id)} | changed
    with pytest.raises(BadRequest):
        parse_response(signed("RespondConnection", body, HOST.key), HOST.key.public, asked.message_id)


def test_response_to_another_request_or_by_another_signer() -> None:
    asked = request()
    envelope = respond(asked, "Reject", HOST.key, NOW)
    with pytest.raises(Unauthorized, match="another request"):
        parse_response(envelope, HOST.key.public, udf.nonce(source("another")))
    with pytest.raises(Unauthorized, match="another key"):
        parse_response(envelope, STRANGER.key.public, asked.message_id)


# -- all of them -----------------------------------------------------------------------------------------------


def envelopes() -> dict[str, tuple[bytes, Callable[[bytes], Any]]]:
    asked = request()
    ack = acknowledge(source("nonce"), NOW, asked, DEVICE.profile, HOST.key).raw
    return {
        "MessagePin": (message_pin(), lambda data: parse_message_pin(data, ADMINISTRATOR.public)),
        "AcknowledgeConnection": (
            ack,
            lambda data: parse_acknowledgement(data, HOST.profile, DEVICE.profile),
        ),
        "RespondConnection": (
            respond(asked, "Pending", HOST.key, NOW),
            lambda data: parse_response(data, HOST.key.public, asked.message_id),
        ),
    }


@pytest.mark.parametrize("name", ["MessagePin", "AcknowledgeConnection", "RespondConnection"])
def test_no_message_passes_as_another_or_unsigned(name: str) -> None:
    for other, (envelope, _) in envelopes().items():
        if other != name:
            with pytest.raises(BadRequest, match=f"holds no {name}"):
                envelopes()[name][1](envelope)
    body = dare.parse(envelopes()[name][0]).body()
    envelope_id = udf.envelope_id(body["MessageId"])
    with pytest.raises(Unauthorized, match="not signed"):
        envelopes()[name][1](dare.unsigned(name, body, created=NOW, envelope_id=envelope_id))


@given(
    st.sampled_from(["MessagePin", "AcknowledgeConnection", "RespondConnection"]),
    st.data(),
    st.integers(0, 7),
)
def test_no_changed_bit_passes(name: str, data: st.DataObject, bit: int) -> None:
    envelope, parse = ENVELOPES[name]
    position = data.draw(st.integers(0, len(envelope) - 1))
    tampered = bytearray(envelope)
    tampered[position] ^= 1 << bit
    try:
        read = parse(bytes(tampered))
    except OperationError:
        return
    before, after = dare.parse(envelope), dare.parse(bytes(tampered))
    assert (after.payload, after.signature) == (before.payload, before.signature)
    assert after.created != before.created  # the one member of the header that nobody reads here
    assert read is not None


ENVELOPES = envelopes()


@given(st.binary(max_size=200))
def test_noise_is_no_message(noise: bytes) -> None:
    for _, parse in ENVELOPES.values():
        with pytest.raises(OperationError):
            parse(noise)


def test_key_digest_is_the_fingerprint_in_binary() -> None:
    kind, data = udf.parse(udf.key_fingerprint(DEVICE.key.public))
    digest = udf.key_digest(DEVICE.key.public)
    assert len(digest) == 64
    assert (digest[0], digest[1:17]) == (kind, data)
