"""DevicePreconfiguration: what is kept of a board that is delivered with a label."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh_samples import NOW, identity, source

from myclerk_protocol.mesh import preconfiguration, udf
from myclerk_protocol.mesh.authorities import AdministratorKey
from myclerk_protocol.mesh.encoding import dump_json
from myclerk_protocol.mesh.link import Link
from myclerk_protocol.mesh.messages import MessagePin
from myclerk_protocol.mesh.preconfiguration import Preconfiguration
from myclerk_protocol.mesh.profiles import Identity
from myclerk_protocol.status import BadRequest, OperationError, TooLarge, Unauthorized

ANN = AdministratorKey(source("ann")(57))
HOST = Identity.create("host", "", source("host"), NOW, False, administrators=(ANN.authority,))
OTHER = Identity.create("host", "", source("other"), NOW, False, administrators=(ANN.authority,))
PIN = "AAJP-KPYV-NSB4-GIYL-AM"


def record(
    host: Identity = HOST, account: Identity = HOST, signer: AdministratorKey = ANN
) -> Preconfiguration:
    noted = MessagePin.issue(PIN, udf.grouped(account.fingerprint))
    link = Link("board.local", HOST.fingerprint, PIN)
    return Preconfiguration(host.profile, link, noted, noted.envelope(signer, NOW))


def changed(**members: Any) -> bytes:
    body = json.loads(record().to_bytes())["DevicePreconfiguration"] | members
    return dump_json({"DevicePreconfiguration": body})


def test_round_trip_without_the_pin() -> None:
    data = record().to_bytes()
    assert PIN.encode() not in data
    read = preconfiguration.parse(data)
    assert read.host.fingerprint == HOST.fingerprint
    assert read.link == Link("board.local", HOST.fingerprint, None)
    assert read.pin == record().pin
    assert preconfiguration.parse(read.to_bytes()) == read


def test_members_have_the_names_of_the_draft() -> None:
    body = json.loads(record().to_bytes())["DevicePreconfiguration"]
    assert body["ConnectUri"] == f"myclerk://board.local/{HOST.fingerprint}"
    assert body["EnvelopedProfileDevice"] == json.loads(HOST.profile.raw)
    assert set(body) == {"ConnectUri", "EnvelopedProfileDevice", "EnvelopedMessagePin"}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (record(host=OTHER).to_bytes(), Unauthorized),
        (record(account=OTHER).to_bytes(), Unauthorized),
        (record(signer=AdministratorKey(source("bob")(57))).to_bytes(), Unauthorized),
        (changed(ConnectUri=f"myclerk://board.local/{OTHER.fingerprint}"), Unauthorized),
        (changed(ConnectUri=f"myclerk://board.local/{HOST.fingerprint}#{PIN}"), BadRequest),
        (changed(ConnectUri="https://example.com"), BadRequest),
        (changed(ConnectUri=None), BadRequest),
        (changed(EnvelopedProfileDevice=json.loads(identity().profile.raw)), BadRequest),
        (changed(EnvelopedMessagePin=None), BadRequest),
        (changed(EnvelopedMessagePin=json.loads(HOST.profile.raw)), BadRequest),
        (b'{"Other": {}}', BadRequest),
        (b'{"DevicePreconfiguration": []}', BadRequest),
        (b" " * (preconfiguration.MAXIMUM_SIZE + 1), TooLarge),
    ],
)
def test_what_does_not_belong_together_is_refused(data: bytes, error: type[OperationError]) -> None:
    with pytest.raises(error):
        preconfiguration.parse(data)


@given(st.binary(max_size=100))
def test_noise_is_no_record(noise: bytes) -> None:
    with pytest.raises(OperationError):
        preconfiguration.parse(noise)
