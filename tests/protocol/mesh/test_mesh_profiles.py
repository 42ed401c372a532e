"""Profiles, connection assertions and identities: whose they are, and that no tampered one passes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from mesh_samples import NOW, OTHER_TRANSCRIPT, TRANSCRIPT, identity, source

from myclerk_protocol import signatures
from myclerk_protocol.mesh import dare, profiles, udf
from myclerk_protocol.mesh.authorities import Authority, key_data
from myclerk_protocol.mesh.connections import Connection, connect, parse_connection
from myclerk_protocol.mesh.encoding import base64url_encode, dump_json
from myclerk_protocol.mesh.profiles import (
    Identity,
    Profile,
    ProfileKind,
    check_pq_public,
    parse_profile,
    verify_agent,
    verify_client,
)
from myclerk_protocol.status import BadRequest, LocalError, OperationError, Unauthorized

DEVICE = identity()
HOST = identity("host")
ADMINISTRATOR = identity("host", "administrator").key
PQ_PUBLIC = hashlib.shake_256(b"pq").digest(signatures.MLDSA65_PUBLIC_SIZE)

needs_mldsa = pytest.mark.skipif(not signatures.available(), reason="ML-DSA-65 needs cryptography 48")


def profile_of(key: signatures.Ed448Key = DEVICE.key, **members: Any) -> bytes:
    """A ProfileDevice with members changed, or left out where the value is None."""
    body = {"ProfileSignature": key_data(key.public), "Updated": "2026-09-21T14:13:20Z"} | members
    body = {name: value for name, value in body.items() if value is not None}
    owner = udf.key_fingerprint(key.public)
    return dare.sign("ProfileDevice", body, key, created=NOW, envelope_id=owner)


def test_profile_tells_who_it_is() -> None:
    profile = parse_profile(
        memoryview(DEVICE.profile.raw), ProfileKind.DEVICE, fingerprint=DEVICE.fingerprint
    )
    assert profile.fingerprint == udf.compact(udf.key_fingerprint(DEVICE.key.public)) == DEVICE.fingerprint
    assert (profile.public_key, profile.pq_digest) == (DEVICE.key.public, None)
    assert (profile.description, profile.updated) == ("bench 4", "2026-09-21T14:13:20Z")
    assert profile.raw == DEVICE.profile.raw
    assert profile.administrator == profile.public_key


def test_host_may_name_an_administrator() -> None:
    host = Identity.create(
        "host", "", source("host"), NOW, False, administrators=(Authority(ADMINISTRATOR.public),)
    )
    assert host.profile.kind is ProfileKind.HOST
    assert host.profile.administrator == ADMINISTRATOR.public
    assert host.fingerprint == HOST.fingerprint


def test_profile_of_another_owner_or_kind() -> None:
    with pytest.raises(Unauthorized, match="another key than the one expected"):
        parse_profile(DEVICE.profile.raw, ProfileKind.DEVICE, fingerprint=HOST.fingerprint)
    with pytest.raises(BadRequest, match="holds no ProfileHost"):
        parse_profile(DEVICE.profile.raw, ProfileKind.HOST)


def test_no_changed_byte_passes() -> None:
    raw = DEVICE.profile.raw
    for position in range(len(raw)):
        for bit in range(8):
            tampered = bytearray(raw)
            tampered[position] ^= 1 << bit
            with pytest.raises(OperationError):
                parse_profile(bytes(tampered), ProfileKind.DEVICE)


def test_no_changed_byte_of_a_connection_passes() -> None:
    raw = connect(DEVICE.profile, ADMINISTRATOR, NOW)
    for position in range(len(raw)):
        for bit in range(8):
            tampered = bytearray(raw)
            tampered[position] ^= 1 << bit
            with pytest.raises(OperationError):
                parse_connection(bytes(tampered), ADMINISTRATOR.public)


def test_unknown_members_that_are_signed_are_ignored() -> None:
    raw = profile_of(BaseEncryption={"Udf": "x"}, AdministratorSignature="not read in a ProfileDevice")
    assert parse_profile(raw, ProfileKind.DEVICE).fingerprint == DEVICE.fingerprint


def _key_data(**members: Any) -> dict[str, Any]:
    return {"Udf": udf.key_fingerprint(DEVICE.key.public)} | members


def _parameters(**members: Any) -> dict[str, Any]:
    key = {"crv": "Ed448", "Public": base64url_encode(DEVICE.key.public)} | members
    return _key_data(PublicParameters={"PublicKeyECDH": key})


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"ProfileSignature": None}, "ProfileSignature is not"),
        ({"ProfileSignature": "MC44"}, "ProfileSignature is not"),
        ({"ProfileSignature": _key_data()}, "PublicParameters is not"),
        ({"ProfileSignature": _key_data(PublicParameters={"PublicKeyRSA": {}})}, "PublicKeyECDH is not"),
        ({"ProfileSignature": _parameters(crv="Ed25519")}, "not one of Ed448"),
        ({"ProfileSignature": _parameters(crv="X448")}, "not one of Ed448"),
        ({"ProfileSignature": _parameters(crv=None)}, "crv is missing"),
        ({"ProfileSignature": _parameters(Public=base64url_encode(bytes(56)))}, "56 bytes"),
        ({"ProfileSignature": _parameters(Public="====")}, "not base64url"),
        ({"ProfileSignature": _parameters() | {"Udf": udf.grouped(HOST.fingerprint)}}, "not the fingerprint"),
        ({"ProfileSignature": _parameters() | {"Udf": DEVICE.fingerprint}}, "not the fingerprint"),
        ({"ProfileSignature": _parameters() | {"Udf": "é"}}, "not the fingerprint"),
        ({"MlDsa65": base64url_encode(bytes(32))}, "32 bytes"),
        ({"MlDsa65": 7}, "MlDsa65 is missing"),
        ({"Updated": None}, "Updated is missing"),
        ({"Updated": "2026-09-21T14:13:21Z"}, "Updated differs"),
        ({"Updated": "now"}, "not a time"),
        ({"Description": 7}, "Description is missing"),
        ({"Description": "x" * 129}, "printable"),
        ({"Description": "\x1b[2J"}, "printable"),
    ],
)
def test_profile_with_a_flaw_of_form(members: dict[str, Any], reason: str) -> None:
    parse_profile(profile_of(), ProfileKind.DEVICE)
    with pytest.raises(BadRequest, match=reason):
        parse_profile(profile_of(**members), ProfileKind.DEVICE)


def test_profile_that_another_key_signed() -> None:
    raw = profile_of(HOST.key, ProfileSignature=key_data(DEVICE.key.public))
    with pytest.raises(Unauthorized, match="another key"):
        parse_profile(raw, ProfileKind.DEVICE)


def test_profile_under_another_envelope_id() -> None:
    body = dare.parse(DEVICE.profile.raw).body()
    for envelope_id in (udf.grouped(HOST.fingerprint), None):
        raw = dare.sign("ProfileDevice", body, DEVICE.key, created=NOW, envelope_id=envelope_id)
        with pytest.raises(BadRequest, match="EnvelopeId"):
            parse_profile(raw, ProfileKind.DEVICE)


def test_unsigned_profile() -> None:
    body = dare.parse(DEVICE.profile.raw).body()
    raw = dare.unsigned("ProfileDevice", body, created=NOW, envelope_id=udf.grouped(DEVICE.fingerprint))
    with pytest.raises(Unauthorized, match="not signed"):
        parse_profile(raw, ProfileKind.DEVICE)


def _owners() -> list[Profile | Connection]:
    """A profile, and an assertion about it, that name PQ_PUBLIC."""
    raw = profile_of(MlDsa65=base64url_encode(hashlib.sha512(PQ_PUBLIC).digest()))
    profile = parse_profile(raw, ProfileKind.DEVICE)
    return [profile, parse_connection(connect(profile, ADMINISTRATOR, NOW), ADMINISTRATOR.public)]


def test_pq_public_must_be_the_one_named() -> None:
    for owner in _owners():
        check_pq_public(owner, PQ_PUBLIC)
        with pytest.raises(Unauthorized, match="missing"):
            check_pq_public(owner, None)
        with pytest.raises(Unauthorized, match="another key"):
            check_pq_public(owner, PQ_PUBLIC[:-1] + b"\x00")


def test_pq_public_that_is_not_named() -> None:
    check_pq_public(DEVICE.profile, None)
    with pytest.raises(Unauthorized, match="does not name"):
        check_pq_public(DEVICE.profile, PQ_PUBLIC)


def test_connection_round_trip() -> None:
    raw = connect(DEVICE.profile, ADMINISTRATOR, NOW)
    connection = parse_connection(memoryview(raw), ADMINISTRATOR.public)
    assert (connection.subject, connection.public_key) == (DEVICE.fingerprint, DEVICE.key.public)
    assert connection.authority == udf.compact(udf.key_fingerprint(ADMINISTRATOR.public))
    assert (connection.pq_digest, connection.raw) == (None, raw)


def test_connection_of_another_administrator() -> None:
    raw = connect(DEVICE.profile, DEVICE.key, NOW)
    with pytest.raises(Unauthorized, match="another key"):
        parse_connection(raw, ADMINISTRATOR.public)


@pytest.mark.parametrize(
    "members",
    [
        {"SubjectUdf": udf.grouped(HOST.fingerprint)},
        {"AuthorityUdf": udf.grouped(HOST.fingerprint)},
        {"DeviceSignature": key_data(HOST.key.public)},
    ],
    ids=lambda members: next(iter(members)),
)
def test_connection_that_contradicts_itself(members: dict[str, Any]) -> None:
    body = dare.parse(connect(DEVICE.profile, ADMINISTRATOR, NOW)).body()
    raw = dare.sign("ConnectionDevice", body | members, ADMINISTRATOR, created=NOW)
    with pytest.raises(BadRequest, match="SubjectUdf or AuthorityUdf"):
        parse_connection(raw, ADMINISTRATOR.public)


def test_a_profile_is_no_connection() -> None:
    with pytest.raises(BadRequest, match="holds no ConnectionDevice"):
        parse_connection(DEVICE.profile.raw, DEVICE.key.public)


def test_identity_is_stored_and_read() -> None:
    again = Identity.from_bytes(DEVICE.to_bytes())
    assert again.profile == DEVICE.profile
    assert again.agent_proof(TRANSCRIPT) == DEVICE.agent_proof(TRANSCRIPT)


@needs_mldsa
def test_identity_with_an_mldsa_key() -> None:
    made = identity(with_pq=True)
    again = Identity.from_bytes(made.to_bytes())
    assert made.pq_public is not None
    assert again.pq_public == made.pq_public
    check_pq_public(again.profile, made.pq_public)
    with pytest.raises(LocalError, match="`pq-public` is missing"):
        Identity.from_bytes(_stored(made, MlDsa65=None))
    with pytest.raises(LocalError, match="another key"):
        Identity.from_bytes(_stored(made, MlDsa65=base64url_encode(bytes(32))))


def _stored(of: Identity, **members: Any) -> bytes:
    stored = json.loads(of.to_bytes()) | members
    return dump_json({name: value for name, value in stored.items() if value is not None})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        _stored(DEVICE, Ed448=None),
        _stored(DEVICE, Ed448="AA"),
        _stored(DEVICE, Ed448=base64url_encode(bytes(57))),
        _stored(DEVICE, Kind="ProfileUser"),
        _stored(DEVICE, Kind="ProfileHost"),
        _stored(DEVICE, Profile=base64url_encode(HOST.profile.raw)),
        _stored(DEVICE, Profile=None),
    ],
)
def test_damaged_identity(data: bytes) -> None:
    with pytest.raises(LocalError, match="damaged"):
        Identity.from_bytes(data)


def test_repr_shows_no_secret() -> None:
    assert repr(DEVICE) == f"Identity(ProfileDevice, {DEVICE.fingerprint})"


def test_description_is_checked_at_creation() -> None:
    with pytest.raises(BadRequest, match="printable"):
        Identity.create("device", "two\nlines", source("device"), NOW, False)


def test_agent_proof_is_over_label_and_transcript() -> None:
    proof = HOST.agent_proof(TRANSCRIPT)
    assert proof.signature == HOST.key.sign(b"myclerk-agent-auth-v1" + TRANSCRIPT)
    assert proof.pq_signature is None
    verify_agent(HOST.key.public, TRANSCRIPT, proof.signature)
    for key, transcript in ((HOST.key, OTHER_TRANSCRIPT), (DEVICE.key, TRANSCRIPT)):
        with pytest.raises(Unauthorized):
            verify_agent(key.public, transcript, proof.signature)


def test_client_proof_names_the_agent() -> None:
    proof = DEVICE.client_proof(TRANSCRIPT, HOST.fingerprint)
    message = b"myclerk-client-auth-v1" + TRANSCRIPT + HOST.fingerprint.encode()
    assert proof.signature == DEVICE.key.sign(message)
    assert proof.pq_signature is None
    verify_client(DEVICE.key.public, TRANSCRIPT, HOST.fingerprint, proof.signature)
    for transcript, agent in ((OTHER_TRANSCRIPT, HOST.fingerprint), (TRANSCRIPT, DEVICE.fingerprint)):
        with pytest.raises(Unauthorized):
            verify_client(DEVICE.key.public, transcript, agent, proof.signature)
    with pytest.raises(BadRequest, match="without hyphens"):
        DEVICE.client_proof(TRANSCRIPT, udf.grouped(HOST.fingerprint))


def test_roles_do_not_mix() -> None:
    with pytest.raises(Unauthorized):
        verify_client(HOST.key.public, TRANSCRIPT, HOST.fingerprint, HOST.agent_proof(TRANSCRIPT).signature)


@needs_mldsa
def test_enrolled_mldsa_key_makes_its_signature_due() -> None:
    agent = identity("host", with_pq=True)
    proof = agent.agent_proof(TRANSCRIPT)
    assert proof.pq_signature is not None

    def verify(pq_signature: bytes | None) -> None:
        verify_agent(
            agent.key.public,
            TRANSCRIPT,
            proof.signature,
            pq_public=agent.pq_public,
            pq_signature=pq_signature,
        )

    verify(proof.pq_signature)
    with pytest.raises(Unauthorized, match="is missing"):
        verify(None)
    with pytest.raises(Unauthorized):
        verify(agent.agent_proof(OTHER_TRANSCRIPT).pq_signature)
    with pytest.raises(Unauthorized):
        verify_agent(
            agent.key.public,
            TRANSCRIPT,
            bytes(114),
            pq_public=agent.pq_public,
            pq_signature=proof.pq_signature,
        )


def test_pq_signature_without_an_enrolled_key_is_ignored() -> None:
    proof = HOST.agent_proof(TRANSCRIPT)
    verify_agent(HOST.key.public, TRANSCRIPT, proof.signature, pq_signature=b"ignored")


def test_key_data_is_what_profiles_read() -> None:
    assert profiles.read_key_data({"Key": key_data(DEVICE.key.public)}, "Key") == DEVICE.key.public
