"""ConnectionHost and the administrators that a profile names: who may say that an agent replaces another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mesh_samples import NOW, identity, source

from myclerk_protocol import signatures
from myclerk_protocol.mesh import dare, udf
from myclerk_protocol.mesh.authorities import (
    MAXIMUM_FURTHER,
    AdministratorKey,
    Authority,
    key_data,
    profile_members,
    read_profile_members,
)
from myclerk_protocol.mesh.connections import (
    MAXIMUM_REPLACED,
    HostAssertion,
    connect,
    connect_host,
    parse_connection,
    parse_host_connection,
)
from myclerk_protocol.mesh.profiles import Identity, ProfileKind, parse_profile
from myclerk_protocol.status import BadRequest, LocalError, OperationError, Unauthorized

HOST, OTHER = identity("host"), identity("host", "other")
OLD = identity("host", "old").fingerprint
DEVICE = identity()
ANN = AdministratorKey(source("ann")(57))
BOB = AdministratorKey(source("bob")(57))

needs_mldsa = pytest.mark.skipif(not signatures.available(), reason="needs ML-DSA-65")


def said(**changed: Any) -> HostAssertion:
    """Ann's word for HOST, its members changed."""
    body = {
        "SubjectUdf": udf.grouped(HOST.fingerprint),
        "AuthorityUdf": udf.key_fingerprint(ANN.public),
        "Updated": "2026-09-21T14:13:20Z",
        "HostSignature": key_data(HOST.key.public),
        "Replaces": [udf.grouped(OLD)],
    } | changed
    body = {name: value for name, value in body.items() if value is not None}
    return HostAssertion(dare.sign("ConnectionHost", body, ANN, created=NOW))


def test_host_connection_round_trip() -> None:
    assertion = connect_host(HOST.profile, [OLD, OTHER.fingerprint], ANN, NOW)
    connection, signer = parse_host_connection(assertion, HOST.profile, [BOB.authority, ANN.authority])
    assert (connection.subject, connection.authority) == (HOST.fingerprint, ANN.authority.fingerprint)
    assert connection.replaces == (OLD, OTHER.fingerprint)
    assert signer == ANN.authority
    assert parse_host_connection(said(), HOST.profile, [ANN.authority])[0].replaces == (OLD,)


@pytest.mark.parametrize("authorities", [[], [BOB.authority]])
def test_only_a_known_administrator_is_believed(authorities: list[Authority]) -> None:
    with pytest.raises(Unauthorized, match="no administrator"):
        parse_host_connection(connect_host(HOST.profile, [OLD], ANN, NOW), HOST.profile, authorities)


def test_it_is_for_one_agent_alone() -> None:
    assertion = connect_host(HOST.profile, [OLD], ANN, NOW)
    with pytest.raises(Unauthorized, match="another agent"):
        parse_host_connection(assertion, OTHER.profile, [ANN.authority])


def test_the_assertion_for_a_device_is_none_for_a_host() -> None:
    for raw in (connect(DEVICE.profile, ANN, NOW), HOST.profile.raw):
        with pytest.raises(BadRequest, match="holds no ConnectionHost"):
            parse_host_connection(HostAssertion(raw), HOST.profile, [ANN.authority])
    with pytest.raises(BadRequest, match="holds no ConnectionDevice"):
        parse_connection(connect_host(HOST.profile, [OLD], ANN, NOW).envelope, ANN.public)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"SubjectUdf": udf.grouped(OTHER.fingerprint)}, BadRequest),
        ({"AuthorityUdf": udf.key_fingerprint(BOB.public)}, BadRequest),
        ({"HostSignature": key_data(OTHER.key.public)}, BadRequest),
        ({"HostSignature": None, "DeviceSignature": key_data(HOST.key.public)}, BadRequest),
        ({"Updated": "2026-09-21T14:13:21Z"}, BadRequest),
        ({"Replaces": "all"}, BadRequest),
        ({"Replaces": [7]}, BadRequest),
        ({"Replaces": ["*"]}, BadRequest),
        ({"Replaces": [udf.grouped(OLD)] * 17}, BadRequest),
        ({"MlDsa65": "AAAA"}, BadRequest),
    ],
)
def test_host_connection_with_a_flaw(changed: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_host_connection(said(**changed), HOST.profile, [ANN.authority])


def test_it_replaces_nobody_unless_it_says_so() -> None:
    assert parse_host_connection(said(Replaces=None), HOST.profile, [ANN.authority])[0].replaces == ()
    with pytest.raises(BadRequest):
        connect_host(HOST.profile, [OLD] * (MAXIMUM_REPLACED + 1), ANN, NOW)
    with pytest.raises(BadRequest):
        connect_host(HOST.profile, ["everything"], ANN, NOW)


def test_no_changed_byte_of_a_host_connection_passes() -> None:
    envelope = connect_host(HOST.profile, [OLD], ANN, NOW).envelope
    for position in range(len(envelope)):
        tampered = bytearray(envelope)
        tampered[position] ^= 1
        with pytest.raises(OperationError):
            parse_host_connection(HostAssertion(bytes(tampered)), HOST.profile, [ANN.authority])


@needs_mldsa
class TestPostQuantum:
    """An administrator whose ML-DSA-65 key is known must have signed with it."""

    ann = AdministratorKey(source("ann")(57), bytes(32))
    assertion = connect_host(HOST.profile, [OLD], ann, NOW)

    def test_both_signatures_are_verified(self) -> None:
        _, signer = parse_host_connection(self.assertion, HOST.profile, [self.ann.authority])
        assert signer.pq_digest is not None

    def test_one_is_enough_where_only_one_is_known(self) -> None:
        assert self.ann.public == ANN.public
        parse_host_connection(self.assertion, HOST.profile, [ANN.authority])

    @pytest.mark.parametrize("missing", [{"pq_public": None}, {"pq_signature": None}])
    def test_the_second_signature_cannot_be_left_out(self, missing: dict[str, Any]) -> None:
        with pytest.raises(Unauthorized, match="missing"):
            parse_host_connection(replace(self.assertion, **missing), HOST.profile, [self.ann.authority])

    def test_another_key_or_envelope_is_refused(self) -> None:
        other = AdministratorKey(source("ann")(57), bytes(31) + b"x")
        forged = replace(
            self.assertion,
            pq_public=other.pq_public,
            pq_signature=connect_host(HOST.profile, [OLD], other, NOW).pq_signature,
        )
        with pytest.raises(Unauthorized, match="another than"):
            parse_host_connection(forged, HOST.profile, [self.ann.authority])
        elsewhere = connect_host(HOST.profile, [OTHER.fingerprint], self.ann, NOW)
        moved = replace(elsewhere, pq_signature=self.assertion.pq_signature)
        with pytest.raises(Unauthorized, match="does not fit"):
            parse_host_connection(moved, HOST.profile, [self.ann.authority])

    def test_the_host_key_it_vouches_for_includes_its_second_half(self) -> None:
        plain, full = identity("host", "new"), identity("host", "new", with_pq=True)
        assert plain.fingerprint == full.fingerprint
        assertion = connect_host(full.profile, [OLD], self.ann, NOW)
        parse_host_connection(assertion, full.profile, [self.ann.authority])
        with pytest.raises(Unauthorized, match="another agent"):
            parse_host_connection(assertion, plain.profile, [self.ann.authority])


# -- administrators in profiles --------------------------------------------------------------------------------


def host_of(*administrators: Authority) -> Identity:
    return Identity.create("host", "", source("host"), NOW, False, administrators=administrators)


def test_a_profile_names_its_administrators_in_order() -> None:
    digest = bytes(range(64))
    named = (ANN.authority, Authority(BOB.public, digest), Authority(HOST.key.public))
    profile = host_of(*named).profile
    assert parse_profile(profile.raw, ProfileKind.HOST).administrators == named
    assert profile.administrator == ANN.public
    body = dare.parse(profile.raw).body()
    assert body["AdministratorSignature"]["Udf"] == udf.grouped(ANN.authority.fingerprint)
    assert len(body["FurtherAdministrators"]) == 2


def test_a_profile_that_names_nobody_is_its_own_administrator() -> None:
    profile = host_of().profile
    assert (profile.administrators, profile.administrator) == ((), profile.public_key)


def test_there_are_only_so_many() -> None:
    many = tuple(AdministratorKey(source(str(n))(57)).authority for n in range(MAXIMUM_FURTHER + 2))
    assert len(read_profile_members(profile_members(many[:-1]))) == MAXIMUM_FURTHER + 1
    with pytest.raises(BadRequest):
        profile_members(many)
    body = profile_members(many[:2])
    body["FurtherAdministrators"] *= MAXIMUM_FURTHER + 1
    with pytest.raises(BadRequest):
        read_profile_members(body)


@pytest.mark.parametrize(
    "further", ["x", {}, [1], [{}], [{"AdministratorSignature": {}}], [{"AdministratorMlDsa65": "AA"}]]
)
def test_administrators_that_cannot_be_read(further: Any) -> None:
    body = profile_members((ANN.authority, BOB.authority)) | {"FurtherAdministrators": further}
    with pytest.raises(BadRequest):
        read_profile_members(body)


def test_a_profile_issued_anew_keeps_key_name_and_administrators() -> None:
    before = host_of(ANN.authority)
    after = before.issued_anew(NOW + 60)
    assert after.fingerprint == before.fingerprint
    assert after.profile.administrators == (ANN.authority,)
    assert after.profile.updated != before.profile.updated
    assert after.issued_anew(NOW, administrators=(BOB.authority,)).profile.administrator == BOB.public
    assert identity().issued_anew(NOW + 1).profile.description == "bench 4"


@needs_mldsa
def test_a_profile_issued_anew_gets_a_second_key_once() -> None:
    completed = identity().issued_anew(NOW, pq_random=source("pq"))
    assert completed.pq_public is not None
    assert completed.issued_anew(NOW, pq_random=source("other")).pq_public == completed.pq_public


# -- the administrator's private key ---------------------------------------------------------------------------


def test_an_administrator_key_is_stored_and_found_again() -> None:
    assert AdministratorKey.from_bytes(ANN.to_bytes()).public == ANN.public
    assert ANN.sign_pq(b"message") is None
    assert repr(ANN.to_bytes())[2:20] not in repr(ANN)
    for damaged in (b"", bytes(56), bytes(58), bytes(57 + 31), bytes(57 + 33)):
        with pytest.raises(LocalError):
            AdministratorKey.from_bytes(damaged)


@needs_mldsa
def test_an_administrator_key_with_its_second_half() -> None:
    key = AdministratorKey.create(source("key"), True)
    again = AdministratorKey.from_bytes(key.to_bytes())
    assert (again.authority, len(key.to_bytes())) == (key.authority, 89)
    signature = key.sign_pq(b"message")
    assert signature is not None
    assert again.pq_public is not None
    signatures.verify_mldsa65(again.pq_public, signature, b"message")
    assert ANN.with_pq(source("pq")).public == ANN.public
