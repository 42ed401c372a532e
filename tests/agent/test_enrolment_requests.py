"""Requests for admission without a PIN, which an administrator decides."""

import pytest
from enrolling import ANOTHER, TRANSCRIPT, Client, enrolment_of, issue, refused

from myclerk_agent.store import REQUEST_LIFETIME, Store
from myclerk_protocol.mesh import messages
from myclerk_protocol.status import NotFound, TooMany, Unauthorized


def answered(keys, client, answer):
    """The RespondConnection in an answer, as the client reads it."""
    administrator = keys.identity.profile.administrator
    return messages.parse_response(answer.fields["response"], administrator, client.message_id)


def test_both_ends_see_the_same_witness_until_the_decision(open_enrolment, keys, store, client):
    first = open_enrolment.register(client.enrol(), TRANSCRIPT)
    assert answered(keys, client, first).result == "Pending"
    shown = acknowledged(keys, client, first).witness
    (waiting,) = open_enrolment.pending()
    assert acknowledged(keys, client, first).raw == waiting.acknowledgement
    later = open_enrolment.register(client.enrol(None, ANOTHER), ANOTHER)
    assert acknowledged(keys, client, later).witness == shown
    other = Client(keys, 2)
    assert acknowledged(keys, other, open_enrolment.register(other.enrol(), TRANSCRIPT)).witness != shown


def acknowledged(keys, client, answer):
    """The AcknowledgeConnection in an answer, as the client reads it."""
    envelope = answer.fields["acknowledgement"]
    return messages.parse_acknowledgement(envelope, keys.identity.profile, client.identity.profile)


def test_the_decision_comes_signed_with_the_catalog_entry(open_enrolment, keys, client):
    open_enrolment.register(client.enrol(), TRANSCRIPT)
    open_enrolment.decide(client.fingerprint, True, access=1)
    answer = open_enrolment.register(client.enrol(None, ANOTHER), ANOTHER)
    response = answered(keys, client, answer)
    assert (response.result, response.device.device.fingerprint) == ("Accept", client.fingerprint)
    client.enrol()
    with pytest.raises(Unauthorized, match="another request"):
        answered(keys, client, answer)


def test_a_request_without_pin_waits_for_the_administrator(open_enrolment, keys, store, world, client):
    told = []
    open_enrolment.on_decision.append(told.append)
    first = open_enrolment.register(client.enrol(), TRANSCRIPT)
    assert (first.result, first.fields["result"]) == ("Pending", "Pending")
    assert open_enrolment.register(client.enrol(None, ANOTHER), ANOTHER).result == "Pending"
    assert [request.fingerprint for request in open_enrolment.pending()] == [client.fingerprint]
    assert open_enrolment.pending()[0].description == "client 1"
    refused(open_enrolment, client.login())
    open_enrolment.check_decisions()
    assert told == []

    device = open_enrolment.decide(client.fingerprint, True, access=2)
    assert (device.access, told) == (2, [client.fingerprint])
    assert open_enrolment.pending() == []
    answer = open_enrolment.register(client.enrol(None, ANOTHER), ANOTHER)
    assert (answer.result, set(answer.fields)) == ("Accept", {"result", "connection", "device", "response"})
    assert open_enrolment.register(client.login(), TRANSCRIPT).result == "Accept"


def test_a_rejection_is_an_answer_not_an_error(open_enrolment, keys, store, world, client):
    told = []
    open_enrolment.on_decision.append(told.append)
    open_enrolment.register(client.enrol(), TRANSCRIPT)
    assert open_enrolment.decide(client.fingerprint, False) is None
    assert told == [client.fingerprint]
    answer = open_enrolment.register(client.enrol(None, ANOTHER), ANOTHER)
    assert (answer.result, answer.fields["result"]) == ("Reject", "Reject")
    assert answered(keys, client, answer).result == "Reject"
    refused(open_enrolment, client.login())
    world.pass_time(REQUEST_LIFETIME + 1)
    assert open_enrolment.register(client.enrol(), TRANSCRIPT).result == "Pending"


def test_a_decision_of_another_process_is_noticed(open_enrolment, keys, store, world, client, tmp_path):
    told = []
    open_enrolment.on_decision.append(told.append)
    open_enrolment.register(client.enrol(), TRANSCRIPT)
    beside = Store(tmp_path / "agent.db", world.environment, "this boot")
    command = enrolment_of(keys, beside, world)
    assert [request.fingerprint for request in command.pending()] == [client.fingerprint]
    command.decide(client.fingerprint, True, access=3, administrator=True)
    beside.close()
    open_enrolment.check_decisions()
    open_enrolment.check_decisions()
    assert told == [client.fingerprint]
    assert store.device(client.fingerprint).administrator


def test_a_callback_may_register_again_at_once(open_enrolment, client):
    answers = []
    open_enrolment.on_decision.append(
        lambda fingerprint: answers.append(open_enrolment.register(client.enrol(), TRANSCRIPT).result)
    )
    open_enrolment.register(client.enrol(), TRANSCRIPT)
    open_enrolment.decide(client.fingerprint, True)
    assert answers == ["Accept"]


def test_decisions_about_nobody_are_refused(open_enrolment, client):
    for accept in (True, False):
        with pytest.raises(NotFound):
            open_enrolment.decide(client.fingerprint, accept)


def test_sixteen_may_wait(open_enrolment, keys):
    for seed in range(1, 17):
        assert open_enrolment.register(Client(keys, seed).enrol(), TRANSCRIPT).result == "Pending"
    with pytest.raises(TooMany):
        open_enrolment.register(Client(keys, 17).enrol(), TRANSCRIPT)
    assert open_enrolment.register(Client(keys, 1).enrol(), TRANSCRIPT).result == "Pending"


def test_a_pin_admits_at_once_who_waits(open_enrolment, keys, store, world, client):
    told = []
    open_enrolment.on_decision.append(told.append)
    open_enrolment.register(client.enrol(), TRANSCRIPT)
    assert open_enrolment.register(client.enrol(issue(keys, store, world)), TRANSCRIPT).result == "Accept"
    assert open_enrolment.pending() == []
    open_enrolment.check_decisions()
    assert told == [client.fingerprint]
