"""CLIENT_REGISTER judged: real identities, real PINs, a real database."""

import sqlite3

import pytest
from enrolling import ANOTHER, NOT_ACCEPTED, TRANSCRIPT, Client, enrolment_of, issue, refused

from myclerk_agent.enrolment import REVOKED
from myclerk_agent.store import StoreError
from myclerk_protocol import signatures
from myclerk_protocol.mesh import pin, udf
from myclerk_protocol.mesh.authorities import AdministratorKey
from myclerk_protocol.mesh.catalog import parse_device
from myclerk_protocol.mesh.connections import connect, parse_connection
from myclerk_protocol.status import BadRequest

needs_ml_dsa = pytest.mark.skipif(not signatures.available(), reason="needs ML-DSA-65")


def test_enrolment_by_pin_and_login(enrolment, keys, store, world, client):
    secret = issue(keys, store, world, access=2, administrator=True, description="my laptop")
    answer = enrolment.register(client.enrol(secret), TRANSCRIPT)
    assert (answer.result, answer.fingerprint) == ("Accept", client.fingerprint)
    assert set(answer.fields) == {"result", "connection", "device", "response", "agent_witness"}
    assert answer.fields["result"] == "Accept"
    device = store.device(client.fingerprint)
    assert (device.access, device.administrator, device.description) == (2, True, "my laptop")
    assert device.profile == client.identity.profile.raw

    login = enrolment.register(client.login(ANOTHER), ANOTHER)
    assert (login.result, login.fingerprint, dict(login.fields)) == ("Accept", client.fingerprint, {})
    assert store.device(client.fingerprint).last_seen == world.wall_time


def test_what_the_agent_answers_proves_who_admitted_the_device(enrolment, keys, store, world, client):
    secret = issue(keys, store, world)
    fields = enrolment.register(client.enrol(secret), TRANSCRIPT).fields
    administrator = keys.identity.profile.administrator
    assertion = parse_connection(fields["connection"], administrator)
    assert assertion.subject == client.fingerprint
    assert assertion.public_key == client.identity.profile.public_key
    entry = parse_device(fields["device"])
    assert entry.host.fingerprint == keys.identity.fingerprint
    assert entry.device.fingerprint == client.fingerprint
    host = keys.identity.profile.raw
    salted = pin.salted_pin(secret)
    pin.check_agent_witness(salted, TRANSCRIPT, host, client.witness, fields["agent_witness"])


def test_an_answer_that_was_lost_is_repeated_to_the_same_key_with_pin_or_without(
    enrolment, keys, store, world, client
):
    secret = issue(keys, store, world, access=1)
    enrolment.register(client.enrol(secret), TRANSCRIPT)
    store.grant(client.fingerprint, access=4, administrator=True)
    before = store.device(client.fingerprint)
    answer = enrolment.register(client.enrol(secret, ANOTHER), ANOTHER)
    host = keys.identity.profile.raw
    pin.check_agent_witness(
        pin.salted_pin(secret), ANOTHER, host, client.witness, answer.fields["agent_witness"]
    )
    without = enrolment.register(client.enrol(None, ANOTHER), ANOTHER)
    assert set(without.fields) == {"result", "connection", "device", "response"}
    assert store.device(client.fingerprint) == before


def test_a_spent_pin_admits_nobody_else(enrolment, keys, store, world, client):
    secret = issue(keys, store, world)
    enrolment.register(client.enrol(secret), TRANSCRIPT)
    other = Client(keys, 2)
    assert refused(enrolment, other.enrol(secret)) == NOT_ACCEPTED
    assert store.device(other.fingerprint) is None


def test_the_first_login_ends_the_pin(enrolment, keys, store, world, client):
    secret = issue(keys, store, world)
    enrolment.register(client.enrol(secret), TRANSCRIPT)
    enrolment.register(client.login(), TRANSCRIPT)
    assert refused(enrolment, client.enrol(secret)) == NOT_ACCEPTED


def test_a_login_ends_the_pin_also_when_it_follows_another_within_the_minute(
    enrolment, keys, store, world, client
):
    enrolment.register(client.enrol(issue(keys, store, world)), TRANSCRIPT)
    enrolment.register(client.login(), TRANSCRIPT)
    secret = issue(keys, store, world)
    enrolment.register(client.enrol(secret), TRANSCRIPT)
    enrolment.register(client.login(), TRANSCRIPT)
    assert refused(enrolment, client.enrol(secret)) == NOT_ACCEPTED


def test_wrong_missing_expired_and_spent_pins_are_told_alike(enrolment, keys, store, world, client):
    secret = issue(keys, store, world)
    wrong = Client(keys).enrol(pin.new_pin(world.random))
    assert refused(enrolment, wrong) == NOT_ACCEPTED
    assert refused(enrolment, client.enrol(None)) == NOT_ACCEPTED
    world.pass_time(900)
    assert refused(enrolment, client.enrol(secret)) == NOT_ACCEPTED
    assert store.devices() == []


def forged(client, secret, transcript, account):
    """An enrolment whose witness was computed for another account or transcript."""
    return pin.request(
        client.world.random, 0, transcript=transcript, account=account,
        profile=client.identity.profile.raw, pin=secret,
    )[0]  # fmt: skip


def test_a_witness_made_for_another_agent_or_session_is_refused(enrolment, keys, store, world, client):
    secret = issue(keys, store, world)
    elsewhere = udf.grouped(Client(keys, 3).fingerprint)
    request = forged(client, secret, TRANSCRIPT, elsewhere)
    assert refused(enrolment, client.enrol(secret, request=request)) == NOT_ACCEPTED
    with pytest.raises(BadRequest, match="another session") as refusal:
        enrolment.register(client.enrol(secret, ANOTHER, signature=b"x"), TRANSCRIPT)
    assert refusal.value.details["key"] == "request"


def test_an_unknown_pin_costs_an_hmac_too(enrolment, keys, store, world, client, monkeypatch):
    computed = []
    real = pin.check_witness
    monkeypatch.setattr(pin, "check_witness", lambda *given: (computed.append(given[0]), real(*given)))
    issue(keys, store, world)
    refused(enrolment, client.enrol(pin.new_pin(world.random)))
    assert len(computed) == 1
    assert udf.parse(computed[0])[0] == udf.Kind.AUTHENTICATOR


def test_a_request_shown_by_another_device_is_refused(enrolment, keys, store, world, client):
    secret = issue(keys, store, world)
    fields = client.enrol(secret)
    thief = Client(keys, 2)
    with pytest.raises(BadRequest, match="another profile"):
        enrolment.register(thief.enrol(None, request=fields["request"]), TRANSCRIPT)
    assert enrolment.register(fields, TRANSCRIPT).result == "Accept"


@pytest.mark.parametrize("name", ["profile", "request", "signature"])
def test_a_missing_field_is_named(enrolment, keys, store, world, client, name):
    fields = client.enrol(issue(keys, store, world))
    del fields[name]
    with pytest.raises(BadRequest) as refusal:
        enrolment.register(fields, TRANSCRIPT)
    assert refusal.value.details["key"] == name


def test_an_empty_registration_is_refused(enrolment):
    with pytest.raises(BadRequest):
        enrolment.register({}, TRANSCRIPT)
    with pytest.raises(BadRequest):
        enrolment.register({"device": "lower case", "signature": b""}, TRANSCRIPT)


def test_signatures_of_enrolment_and_login_are_verified(enrolment, keys, store, world, client):
    secret = issue(keys, store, world)
    other = Client(keys, 2)
    for fields in (
        client.enrol(secret, signature=bytes(114)),
        client.enrol(secret, signature=other.login()["signature"]),
        client.enrol(secret, signature=client.login(ANOTHER)["signature"]),
    ):
        refused(enrolment, fields)
    assert store.devices() == []
    enrolment.register(client.enrol(secret), TRANSCRIPT)
    for fields in (
        client.login(signature=bytes(114)),
        client.login(ANOTHER),
        other.login(device=client.fingerprint),
    ):
        refused(enrolment, fields)
    assert store.device(client.fingerprint).last_seen is None


def test_a_profile_of_a_host_enrols_nothing(enrolment, keys, store, world, client):
    fields = client.enrol(issue(keys, store, world), profile=keys.identity.profile.raw)
    with pytest.raises(BadRequest):
        enrolment.register(fields, TRANSCRIPT)


@needs_ml_dsa
def test_a_post_quantum_key_is_pinned_and_then_due(enrolment, keys, store, world):
    client = Client(keys, with_pq=True)
    secret = issue(keys, store, world)
    fields = client.enrol(secret)
    for wrong in (
        {**fields, "pq_public": Client(keys, 2, with_pq=True).identity.pq_public},
        {name: value for name, value in fields.items() if name != "pq_public"},
        {name: value for name, value in fields.items() if name != "pq_signature"},
        {**fields, "pq_signature": bytes(3309)},
    ):
        refused(enrolment, wrong)
    assert enrolment.register(fields, TRANSCRIPT).result == "Accept"
    assert store.device(client.fingerprint).pq_public == client.identity.pq_public
    refused(enrolment, client.login(pq_signature=None))
    refused(enrolment, client.login(pq_signature=bytes(3309)))
    assert enrolment.register(client.login(), TRANSCRIPT).result == "Accept"


@needs_ml_dsa
def test_a_pinned_key_cannot_be_shed_by_another_profile_of_the_same_key(enrolment, keys, store, world):
    """Whoever can forge Ed448 signatures makes a profile of that key without ML-DSA-65: it opens nothing."""
    client = Client(keys, with_pq=True)
    secret = issue(keys, store, world)
    enrolment.register(client.enrol(secret), TRANSCRIPT)
    forger = Client(keys)
    assert forger.fingerprint == client.fingerprint
    assert forger.identity.pq_public is None
    assert refused(enrolment, forger.enrol(secret)) == NOT_ACCEPTED
    assert refused(enrolment, forger.enrol(None)) == NOT_ACCEPTED
    refused(enrolment, forger.login())
    assert store.device(client.fingerprint).pq_public == client.identity.pq_public


@needs_ml_dsa
def test_a_key_that_was_not_pinned_is_ignored_until_the_device_enrols_anew(keys, store, world):
    client = Client(keys, with_pq=True)
    classical = enrolment_of(keys, store, world, post_quantum=False)
    classical.register(client.enrol(issue(keys, store, world)), TRANSCRIPT)
    assert store.device(client.fingerprint).pq_public is None
    enrolment = enrolment_of(keys, store, world)
    enrolment.register(client.login(pq_public=client.identity.pq_public), TRANSCRIPT)
    assert enrolment.register(client.login(pq_signature=None), TRANSCRIPT).result == "Accept"
    enrolment.register(client.enrol(issue(keys, store, world)), TRANSCRIPT)
    refused(enrolment, client.login(pq_signature=None))


def test_a_revoked_device_is_refused_whatever_it_shows(enrolment, keys, store, world, client):
    secret = issue(keys, store, world)
    assertion = enrolment.register(client.enrol(secret), TRANSCRIPT).fields["connection"]
    store.revoke(client.fingerprint)
    assert refused(enrolment, client.login()) == (REVOKED, {})
    assert refused(enrolment, client.login(connection=assertion)) == (REVOKED, {})
    assert refused(enrolment, client.enrol(secret)) == NOT_ACCEPTED
    assert refused(enrolment, client.enrol(None)) == NOT_ACCEPTED
    assert refused(enrolment, client.enrol(issue(keys, store, world))) == (REVOKED, {})
    assert store.device(client.fingerprint).revoked_at is not None


def test_nobody_learns_of_a_revocation_without_the_key(enrolment, keys, store, world, client):
    enrolment.register(client.enrol(issue(keys, store, world)), TRANSCRIPT)
    wrong = client.login(signature=bytes(114))
    before = refused(enrolment, wrong)
    store.revoke(client.fingerprint)
    assert refused(enrolment, wrong) == before


def test_a_lost_catalog_knows_devices_again_by_their_assertion(enrolment, keys, store, world, client):
    signer = udf.compact(udf.key_fingerprint(keys.administrator.public))
    assert refused(enrolment, client.login()) == (
        "this device is not enrolled here",
        {"administrator": signer},
    )
    assertion = connect(client.identity.profile, keys.administrator, 0)
    fields = client.login(connection=assertion)
    refused(enrolment, {**fields, "signature": bytes(114)})
    assert store.devices() == []
    answer = enrolment.register(fields, TRANSCRIPT)
    assert (answer.result, answer.fingerprint) == ("Accept", client.fingerprint)
    device = store.device(client.fingerprint)
    assert (device.access, device.administrator) == (0, False)
    assert enrolment.register(client.login(), TRANSCRIPT).result == "Accept"


def test_an_assertion_for_another_device_or_by_another_signer_admits_nobody(
    enrolment, keys, store, world, client
):
    other = Client(keys, 2)
    theirs = connect(other.identity.profile, keys.administrator, 0)
    refused(enrolment, client.login(connection=theirs))
    refused(enrolment, other.login(connection=theirs, device=client.fingerprint))
    self_made = connect(client.identity.profile, client.identity.key, 0)
    refused(enrolment, client.login(connection=self_made))
    assert store.devices() == []


def test_an_assertion_of_a_further_administrator_is_believed(keys, store, world, client):
    further = AdministratorKey(world.random(57))
    fields = client.login(connection=connect(client.identity.profile, further, 0))
    refused(enrolment_of(keys, store, world), fields)
    believing = enrolment_of(keys, store, world, further=[further.authority])
    assert believing.register(fields, TRANSCRIPT).result == "Accept"
    assert store.device(client.fingerprint).access == 0


@needs_ml_dsa
def test_an_assertion_that_names_a_post_quantum_key_needs_it(enrolment, keys, store):
    client = Client(keys, with_pq=True)
    assertion = connect(client.identity.profile, keys.administrator, 0)
    refused(enrolment, client.login(connection=assertion))
    public = client.identity.pq_public
    refused(enrolment, client.login(connection=assertion, pq_public=public, pq_signature=None))
    enrolment.register(client.login(connection=assertion, pq_public=public), TRANSCRIPT)
    assert store.device(client.fingerprint).pq_public == public


class FullStore:
    """The store of a disk that is full: what is read comes from ``store``, what is written fails."""

    def __init__(self, store):
        self._store = store
        self.device, self.find_pin = store.device, store.find_pin

    def touch(self, fingerprint):
        raise StoreError("The agent's database failed: disk is full")

    def spend_pin(self, pin_id, applicant):
        raise StoreError("The agent's database failed: disk is full")


def test_a_full_disk_stops_enrolment_but_not_login(enrolment, keys, store, world, client, caplog):
    enrolment.register(client.enrol(issue(keys, store, world)), TRANSCRIPT)
    full = enrolment_of(keys, FullStore(store), world)
    assert full.register(client.login(), TRANSCRIPT).result == "Accept"
    assert "login not noted" in caplog.messages
    with pytest.raises(StoreError):
        full.register(Client(keys, 2).enrol(issue(keys, store, world)), TRANSCRIPT)


def test_no_secret_is_logged_or_shown(enrolment, keys, store, world, client, caplog):
    caplog.set_level(0)
    secret = issue(keys, store, world)
    answer = enrolment.register(client.enrol(secret), TRANSCRIPT)
    refused(enrolment, Client(keys, 2).enrol(secret))
    shown = repr(answer) + repr(enrolment) + "".join(repr(vars(record)) for record in caplog.records)
    salted = pin.salted_pin(secret)
    for hidden in (secret, udf.compact(secret), salted, udf.compact(salted), repr(client.witness)[2:30]):
        assert hidden not in shown


def test_the_stored_pin_is_bound_to_the_device(enrolment, keys, store, world, client, tmp_path):
    enrolment.register(client.enrol(issue(keys, store, world)), TRANSCRIPT)
    beside = sqlite3.connect(tmp_path / "agent.db")
    assert beside.execute("SELECT bound_to FROM pins").fetchall() == [(client.fingerprint,)]
    beside.close()
