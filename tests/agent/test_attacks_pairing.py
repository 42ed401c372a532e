"""Who sits between a device and the agent while they pair, and who tries PINs, keys and assertions of others.

The real agent judges (:class:`Enrolment`), the real client decides whom to pin (:class:`InvitedAgent`,
:class:`PinnedAgent`). Mallory has a session with each of them, so two transcripts, and all that passes through:
she makes keys and signatures of her own, but has no PIN and no key of anybody else.
"""

import dataclasses
import time

import pytest
from enrolling import ANOTHER, NOT_ACCEPTED, TRANSCRIPT, Client, enrolment_of, issue, refused

from myclerk_client import AgentNotTrusted, KnownBoards, Unauthorized
from myclerk_client.invited import InvitedAgent
from myclerk_client.trust import PinnedAgent
from myclerk_protocol import signatures
from myclerk_protocol.mesh import dare, pin, udf
from myclerk_protocol.mesh.authorities import AdministratorKey, key_data
from myclerk_protocol.mesh.connections import HostAssertion, connect, connect_host
from myclerk_protocol.mesh.encoding import base64url_encode, dump_json, load_json
from myclerk_protocol.mesh.link import Link
from myclerk_protocol.mesh.profiles import Identity
from myclerk_protocol.status import BadRequest, OperationError

WITH_VICTIM, WITH_AGENT = TRANSCRIPT, ANOTHER
"""The transcripts of Mallory's two sessions. They differ: a transcript covers both ends' fresh keys."""

needs_ml_dsa = pytest.mark.skipif(not signatures.available(), reason="needs ML-DSA-65")


def proof(identity, transcript, **changed):
    """What an agent of that identity says in KEY_EXCHANGE_COMPLETE."""
    signature, pq_signature = identity.agent_proof(transcript)
    said = {
        "profile": identity.profile.raw,
        "signature": signature,
        "pq_public": identity.pq_public,
        "pq_signature": pq_signature,
        "time": int(time.time()),
        **changed,
    }
    return {name: value for name, value in said.items() if value is not None}


@pytest.fixture
def boards(tmp_path):
    return KnownBoards(tmp_path / "victim")


@pytest.fixture
def mallory(world):
    """Mallory's own identity as an agent, and as the administrator of it."""
    administrator = AdministratorKey(world.random(57))
    named = (administrator.authority,)
    identity = Identity.create("host", "board", world.random, 0, False, administrators=named)
    return dataclasses.make_dataclass("Mallory", ["identity", "administrator"])(identity, administrator)


def victim_of(boards, fingerprint, secret):
    return InvitedAgent(Link("board.local", fingerprint, secret), boards)


# -- between a device and the agent, while a PIN is used -----------------------------------------------------------


def test_with_the_agents_fingerprint_in_the_link_mallory_is_not_spoken_to(boards, keys, mallory, world):
    victim = victim_of(boards, keys.identity.fingerprint, pin.new_pin(world.random))
    for said in (
        proof(mallory.identity, WITH_VICTIM),
        proof(keys.identity, WITH_AGENT),  # what the agent told Mallory, passed on
        proof(mallory.identity, WITH_VICTIM, profile=keys.identity.profile.raw),
    ):
        with pytest.raises(AgentNotTrusted):
            victim.first(said, WITH_VICTIM)


def asked_of_mallory(boards, mallory, secret):
    """What a victim without the agent's fingerprint says to Mallory: everything but the PIN."""
    victim = victim_of(boards, None, secret)
    return victim, dict(victim.first(proof(mallory.identity, WITH_VICTIM), WITH_VICTIM))


def test_what_the_victim_said_is_worth_nothing_to_the_agent(
    boards, enrolment, keys, store, mallory, world, client
):
    """Passed on as it is, with Mallory's signature, in Mallory's name: PinWitness covers all of that."""
    secret = issue(keys, store, world)
    _, said = asked_of_mallory(boards, mallory, secret)
    for fields in (said, {**said, "signature": client.login(WITH_AGENT)["signature"]}):
        with pytest.raises(OperationError):
            enrolment.register(fields, WITH_AGENT)
    relayed = pin.parse_request(said["request"])
    refused(enrolment, with_witness(client, relayed), WITH_AGENT)
    assert store.devices() == []
    assert enrolment.register(client.enrol(secret), TRANSCRIPT).result == "Accept", "the PIN is still good"


def with_witness(client, stolen):
    """Mallory's own request, in the session with the agent, with the PIN's name and witness of another one."""
    fields = client.enrol(None, WITH_AGENT)
    body = {
        "MessageId": udf.nonce(client.world.random),
        "AuthenticatedData": udf.grouped(client.fingerprint),
        "ClientNonce": base64url_encode(WITH_AGENT),
        "PinId": stolen.pin_id,
        "PinWitness": base64url_encode(stolen.pin_witness),
    }
    envelope_id = udf.envelope_id(body["MessageId"])
    request = dare.unsigned("RequestConnection", body, created=0, envelope_id=envelope_id)
    return {**fields, "request": request}


def test_mallory_cannot_answer_for_the_agent(boards, enrolment, keys, store, mallory, world, client):
    """No answer of hers has the agent's witness; one that the agent made for another is another's."""
    secret = issue(keys, store, world)
    accepted = dict(enrolment.register(client.enrol(secret, WITH_AGENT), WITH_AGENT).fields)
    for invented in (
        {"result": "Accept"},
        {"result": "Accept", "agent_witness": bytes(64)},
        {"result": "Accept", "agent_witness": client.witness},
        accepted,
        {**accepted, "connection": connect(boards.identity().profile, mallory.administrator, 0)},
    ):
        victim, _ = asked_of_mallory(boards, mallory, secret)
        with pytest.raises(AgentNotTrusted, match="did not prove that it knows the PIN"):
            victim.registered(invented)
        with pytest.raises(AssertionError):
            victim.board("bench")
    assert boards.all() == []


def test_mallory_who_knows_a_pin_of_her_own_gains_nothing_by_the_victims(boards, mallory, world):
    victim, _ = asked_of_mallory(boards, mallory, pin.new_pin(world.random))
    own = pin.salted_pin(pin.new_pin(world.random))
    witness = pin.agent_witness(own, WITH_VICTIM, mallory.identity.profile.raw, bytes(64))
    with pytest.raises(AgentNotTrusted):
        victim.registered({"result": "Accept", "agent_witness": witness})


def test_a_refusal_that_mallory_makes_up_pins_nothing(boards, mallory, world):
    victim, _ = asked_of_mallory(boards, mallory, pin.new_pin(world.random))
    with pytest.raises((Unauthorized, AgentNotTrusted)):
        victim.registered({"result": "Reject"})


@needs_ml_dsa
def test_the_post_quantum_key_cannot_be_taken_out_on_the_way(boards, keys, mallory, world, store):
    """Of the agent: its profile names it. Of the device: its profile does, which the PIN's witness covers."""
    agent = Identity.create("host", "board", world.random, 0, True, administrators=keys.authorities)
    victim = victim_of(boards, agent.fingerprint, pin.new_pin(world.random))
    plain = Identity(agent._seed, None, without_pq(agent), agent.profile.kind)
    for said in (
        proof(agent, WITH_VICTIM, pq_public=None, pq_signature=None),
        proof(agent, WITH_VICTIM, pq_signature=None),
        proof(agent, WITH_VICTIM, pq_public=bytes(1952)),
        proof(agent, WITH_VICTIM, pq_signature=bytes(3309)),
    ):
        with pytest.raises(AgentNotTrusted):
            victim.first(said, WITH_VICTIM)
    assert plain.fingerprint == agent.fingerprint
    device = Client(keys, with_pq=True)
    secret = issue(keys, store, world)
    fields = device.enrol(secret)
    refused(enrolment_of(keys, store, world), {**fields, "profile": without_pq(device.identity)})
    assert store.devices() == []


def without_pq(identity):
    """The profile that the owner of the Ed448 key alone, or who can forge it, makes."""
    plain = Identity.create("host", "x", lambda size: identity._seed[:size], 0, False)
    kind = identity.profile.kind
    return Identity._issue(kind, "x", plain._seed, None, 0, identity.profile.administrators).profile.raw


# -- a device that is paired, and a board that is not the one --------------------------------------------------------


@pytest.fixture
def pinned(boards, enrolment, keys, store, world):
    """The victim has paired the agent properly."""
    agent = victim_of(boards, keys.identity.fingerprint, issue(keys, store, world))
    fields = agent.first(proof(keys.identity, TRANSCRIPT), TRANSCRIPT)
    agent.registered(enrolment.register(fields, TRANSCRIPT).fields)
    boards.add(agent.board("bench"))
    return PinnedAgent(boards.find("bench"), boards)


def test_a_login_passed_on_is_no_login(pinned, enrolment, keys):
    login = dict(pinned.first(proof(keys.identity, WITH_VICTIM), WITH_VICTIM))
    refused(enrolment, login, WITH_AGENT)
    assert enrolment.register(login, WITH_VICTIM).result == "Accept"


def test_a_login_at_one_board_is_none_at_another(pinned, keys, store, world, mallory):
    """Mallory's board is one that the victim uses too: what it signs there names that board."""
    other = enrolment_of(dataclasses.replace(keys, identity=mallory.identity), store, world)
    login = dict(pinned.first(proof(keys.identity, WITH_VICTIM), WITH_VICTIM))
    refused(other, login, WITH_VICTIM)


def test_a_board_with_other_keys_is_not_spoken_to(pinned, boards, keys, mallory, world):
    stranger = AdministratorKey(world.random(57))
    old = keys.identity.fingerprint
    by_herself = connect_host(mallory.identity.profile, [old], mallory.administrator, 0)
    by_stranger = connect_host(mallory.identity.profile, [old], stranger, 0)
    for said in (
        proof(mallory.identity, WITH_VICTIM),
        proof(keys.identity, WITH_AGENT),
        proof(mallory.identity, WITH_VICTIM, connection=by_herself.envelope),
        proof(mallory.identity, WITH_VICTIM, connection=by_stranger.envelope),
        proof(mallory.identity, WITH_VICTIM, connection=b"[]"),
        proof(mallory.identity, WITH_VICTIM, connection=connect(boards.identity().profile, stranger, 0)),
    ):
        with pytest.raises(AgentNotTrusted):
            pinned.first(said, WITH_VICTIM)
    assert boards.find("bench").fingerprint == old


def test_the_word_for_the_true_successor_is_none_for_mallory(pinned, boards, keys, mallory, world):
    """She has seen the assertion that the administrator made, and shows it with keys of her own."""
    successor = Identity.create("host", "board", world.random, 0, False, administrators=keys.authorities)
    old = keys.identity.fingerprint
    word = connect_host(successor.profile, [old], keys.administrator, 0)
    with pytest.raises(AgentNotTrusted, match="another agent"):
        pinned.first(proof(mallory.identity, WITH_VICTIM, connection=word.envelope), WITH_VICTIM)
    stolen = proof(mallory.identity, WITH_VICTIM, connection=word.envelope, profile=successor.profile.raw)
    with pytest.raises(AgentNotTrusted):  # it has not the successor's key
        pinned.first(stolen, WITH_VICTIM)
    assert boards.find("bench").fingerprint == old
    pinned.first(proof(successor, WITH_VICTIM, connection=word.envelope), WITH_VICTIM)
    assert boards.find("bench").fingerprint == successor.fingerprint


def test_the_device_shows_its_assertion_to_its_own_administrators_agents_only(
    pinned, boards, keys, store, world, mallory
):
    """It names the administrator: a stranger that asks for it does not get it, and nobody gets it twice."""
    own = udf.compact(udf.key_fingerprint(keys.administrator.public))
    stranger = udf.compact(udf.key_fingerprint(mallory.administrator.public))
    pinned.first(proof(keys.identity, WITH_VICTIM), WITH_VICTIM)
    for refusal in (
        Unauthorized("who are you", administrator=stranger),
        Unauthorized("who are you"),
        BadRequest("no", administrator=own),
        {"result": "Reject"},
    ):
        assert pinned.follow_up(refusal, WITH_VICTIM) is None
    asked = Unauthorized("this device is not enrolled here", administrator=own)
    shown = pinned.follow_up(asked, WITH_VICTIM)
    assert shown["connection"] == boards.find("bench").connection.encode()
    assert pinned.follow_up(asked, WITH_VICTIM) is None
    assert pinned.follow_up(asked, WITH_AGENT) is not None


# -- PINs tried, keys and assertions of others -----------------------------------------------------------------------


def test_no_pin_that_is_tried_tells_more_than_another(enrolment, keys, store, world, client):
    """Nothing tells a PIN that is nearly right, was used, has expired or never was from one another."""
    secret = issue(keys, store, world)
    used, expired = issue(keys, store, world), issue(keys, store, world, lifetime=60.0)
    enrolment.register(Client(keys, 5).enrol(used), TRANSCRIPT)
    world.pass_time(61)
    near = [secret[:index] + other(secret[index]) + secret[index + 1 :] for index in (0, 5, 20, 32)]
    tried = [*(guess for guess in near if is_pin(guess)), used, expired, pin.new_pin(world.random)]
    assert len(tried) > 4
    for guess in tried:
        assert refused(enrolment, client.enrol(guess)) == NOT_ACCEPTED
    assert enrolment.register(client.enrol(secret), TRANSCRIPT).result == "Accept"


def other(character):
    return "B" if character != "B" else "C"


def is_pin(text):
    try:
        return udf.parse(text)[0] == udf.Kind.AUTHENTICATOR
    except BadRequest:
        return False


def test_the_name_of_a_pin_is_no_secret_and_no_help(enrolment, keys, store, world, client):
    """PinId and PinWitness of a victim were seen: guessing k takes 2**128 tries, the witness fits one session."""
    secret = issue(keys, store, world)
    seen = pin.parse_request(client.enrol(secret)["request"])
    thief = Client(keys, 2)
    assert refused(enrolment, with_witness(thief, seen), WITH_AGENT) == NOT_ACCEPTED
    assert store.devices() == []


def test_a_key_that_anybody_can_sign_for_is_admitted_nowhere(enrolment, keys, store, world, client):
    """Ed448 keys of small order: OpenSSL accepts a signature of zeros from them."""
    for y in (0, 1, 2**448 - 2**224 - 2):
        fields = {**client.enrol(issue(keys, store, world)), "signature": bytes(114)}
        fields["profile"] = forged_profile(client, y.to_bytes(56, "little") + b"\x00")
        with pytest.raises(OperationError):
            enrolment.register(fields, TRANSCRIPT)
    assert store.devices() == []


def forged_profile(client, public):
    body = {"ProfileSignature": key_data(public), "Updated": "1970-01-01T00:00:00Z"}
    owner = udf.key_fingerprint(public)
    raw = dare.sign("ProfileDevice", body, client.identity.key, created=0, envelope_id=owner)
    parts = load_json(raw, "envelope")
    parts[2]["signatures"][0] |= {"kid": owner, "signature": base64url_encode(bytes(114))}
    return dump_json(parts)


@pytest.mark.parametrize("shown", ["login", "assertion", "pin", "request", "old pin"])
def test_a_revoked_device_is_out_whatever_it_shows(keys, store, world, client, shown):
    enrolment = enrolment_of(keys, store, world, without_pin=True)
    old = issue(keys, store, world)
    assertion = enrolment.register(client.enrol(old), TRANSCRIPT).fields["connection"]
    store.revoke(client.fingerprint)
    fields = {
        "login": lambda: client.login(),
        "assertion": lambda: client.login(connection=assertion),
        "pin": lambda: client.enrol(issue(keys, store, world)),
        "request": lambda: client.enrol(None),
        "old pin": lambda: client.enrol(old),
    }[shown]()
    refused(enrolment, fields)
    assert store.device(client.fingerprint).revoked_at is not None
    assert store.requests() == []


def test_the_assertion_of_another_device_admits_nobody(enrolment, keys, store, world, client):
    """Seen or stolen: it is good for the key that it names."""
    victim = Client(keys, 2)
    word = connect(victim.identity.profile, keys.administrator, 0)
    refused(enrolment, client.login(connection=word))
    refused(enrolment, {**client.login(connection=word), "device": victim.fingerprint})
    assert store.devices() == []


def test_an_assertion_for_a_host_admits_no_device(enrolment, keys, store, client):
    word: HostAssertion = connect_host(keys.identity.profile, [], keys.administrator, 0)
    with pytest.raises(BadRequest):
        enrolment.register(client.login(connection=word.envelope), TRANSCRIPT)
    assert store.devices() == []
