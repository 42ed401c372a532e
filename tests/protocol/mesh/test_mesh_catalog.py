"""Catalog entries: what the answer to CLIENT_REGISTER carries, and what the agent keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh_samples import NOW, identity

from myclerk_protocol.mesh import catalog, connections, dare, profiles, udf
from myclerk_protocol.mesh.catalog import CatalogedAccess, CatalogedDevice
from myclerk_protocol.mesh.encoding import base64url_encode, dump_json
from myclerk_protocol.status import BadRequest, OperationError, TooLarge, Unauthorized

DEVICE = identity()
HOST = identity("host")
OTHER = identity("device", "other")


def entry(device: profiles.Profile = DEVICE.profile, signer: Any = HOST.key) -> CatalogedDevice:
    raw = connections.connect(device, signer, NOW)
    connection = connections.parse_connection(raw, signer.public)
    return CatalogedDevice(host=HOST.profile, device=device, connection=connection)


def changed(**members: Any) -> bytes:
    body = json.loads(entry().to_bytes())["CatalogedDevice"] | members
    return dump_json({"CatalogedDevice": body})


def test_device_round_trip() -> None:
    assert catalog.parse_device(entry().to_bytes()) == entry()


def test_members_have_the_names_of_the_draft() -> None:
    body = json.loads(entry().to_bytes())["CatalogedDevice"]
    assert body["Udf"] == body["DeviceUdf"] == udf.grouped(DEVICE.fingerprint)
    assert body["SignatureUdf"] == udf.grouped(HOST.fingerprint)
    assert body["EnvelopedProfileUser"] == json.loads(HOST.profile.raw)
    assert body["EnvelopedProfileDevice"] == json.loads(DEVICE.profile.raw)
    assert body["EnvelopedConnectionUser"] == json.loads(entry().connection.raw)


def test_connection_of_a_stranger() -> None:
    with pytest.raises(Unauthorized, match="another key"):
        catalog.parse_device(entry(signer=OTHER.key).to_bytes())


@pytest.mark.parametrize(
    "members",
    [
        {"Udf": udf.grouped(OTHER.fingerprint)},
        {"DeviceUdf": udf.grouped(OTHER.fingerprint)},
        {"SignatureUdf": udf.grouped(OTHER.fingerprint)},
        {"Udf": None},
        {"EnvelopedProfileUser": None},
        {"EnvelopedProfileUser": json.loads(DEVICE.profile.raw)},
        {"EnvelopedProfileDevice": json.loads(OTHER.profile.raw)},
        {"EnvelopedConnectionUser": json.loads(entry(OTHER.profile).connection.raw)},
        {"EnvelopedConnectionUser": []},
    ],
    ids=lambda members: next(iter(members)),
)
def test_entry_whose_parts_do_not_belong_together(members: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        catalog.parse_device(changed(**members))


def test_tampered_signature_inside_an_entry() -> None:
    envelope = json.loads(DEVICE.profile.raw)
    signature = envelope[2]["signatures"][0]["signature"]
    envelope[2]["signatures"][0]["signature"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    with pytest.raises(Unauthorized):
        catalog.parse_device(changed(EnvelopedProfileDevice=envelope))


def test_connection_that_drops_the_mldsa_key() -> None:
    body = dare.parse(DEVICE.profile.raw).body() | {"MlDsa65": base64url_encode(bytes(64))}
    owner = udf.grouped(DEVICE.fingerprint)
    raw = dare.sign("ProfileDevice", body, DEVICE.key, created=NOW, envelope_id=owner)
    profile = profiles.parse_profile(raw, profiles.ProfileKind.DEVICE)
    assert catalog.parse_device(entry(profile).to_bytes()).device.pq_digest == bytes(64)
    with pytest.raises(BadRequest, match="ML-DSA-65"):
        catalog.parse_device(changed(EnvelopedProfileDevice=json.loads(raw)))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"CatalogedAccess":{}}', b'{"CatalogedDevice":[]}', b"\xff"]
)
def test_what_is_no_device_entry(data: bytes) -> None:
    with pytest.raises(BadRequest):
        catalog.parse_device(data)


def test_huge_entry() -> None:
    with pytest.raises(TooLarge):
        catalog.parse_device(b" " * (catalog.MAXIMUM_SIZE + 1))


@given(st.dictionaries(st.text(max_size=20), st.integers(0, 4), max_size=5))
def test_access_round_trip(grants: dict[str, int]) -> None:
    access = CatalogedAccess(DEVICE.fingerprint, grants)
    assert catalog.parse_access(access.to_bytes()) == access


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Udf": "MC44", "Grants": []},
        {"Udf": DEVICE.fingerprint, "Grants": {}},
        {"Udf": DEVICE.fingerprint, "Grants": [1]},
        {"Udf": DEVICE.fingerprint, "Grants": [{"Resource": "gpio:*"}]},
        {"Udf": DEVICE.fingerprint, "Grants": [{"Mode": 1}]},
        {"Udf": DEVICE.fingerprint, "Grants": [{"Resource": "gpio:*", "Mode": 5}]},
        {"Udf": DEVICE.fingerprint, "Grants": [{"Resource": "gpio:*", "Mode": True}]},
        {"Udf": DEVICE.fingerprint, "Grants": [{"Resource": "gpio:*", "Mode": 1}] * 2},
    ],
)
def test_what_is_no_access_entry(body: dict[str, Any]) -> None:
    with pytest.raises(OperationError):
        catalog.parse_access(dump_json({"CatalogedAccess": body}))
