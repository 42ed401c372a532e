"""What enrolment tests share: a client that speaks the profile, invitations, and the agent's judgement."""

import hashlib

import pytest
from fake_environment import World

from myclerk_agent.enrolment import Enrolment
from myclerk_protocol.mesh import pin, udf
from myclerk_protocol.mesh.profiles import Identity
from myclerk_protocol.status import Unauthorized

TRANSCRIPT = hashlib.sha256(b"a session").digest()
ANOTHER = hashlib.sha256(b"another session").digest()


def enrolment_of(keys, store, world, **options):
    return Enrolment(keys.identity, keys.administrator, store, world.environment, **options)


class Client:
    """A device as the agent meets it: builds the fields of CLIENT_REGISTER."""

    def __init__(self, keys, seed=1, with_pq=False):
        self.world = World()
        self.world.drawn = seed * 10_000
        self.agent = keys.identity
        self.identity = Identity.create("device", f"client {seed}", self.world.random, 0, with_pq)
        self.fingerprint = self.identity.fingerprint

    def signed(self, transcript, **fields):
        proof = self.identity.client_proof(transcript, self.agent.fingerprint)
        fields = {"signature": proof.signature, "pq_signature": proof.pq_signature, **fields}
        return {name: value for name, value in fields.items() if value is not None}

    def login(self, transcript=TRANSCRIPT, **changed):
        return self.signed(transcript, **{"device": self.fingerprint, **changed})

    def enrol(self, secret=None, transcript=TRANSCRIPT, **changed):
        request, self.witness = pin.request(
            self.world.random,
            0,
            transcript=transcript,
            account=udf.grouped(self.agent.fingerprint),
            profile=self.identity.profile.raw,
            pin=secret,
        )
        self.message_id = pin.parse_request(request).message_id
        fields = {
            "profile": self.identity.profile.raw,
            "request": request,
            "pq_public": self.identity.pq_public,
            **changed,
        }
        return self.signed(transcript, **fields)


def issue(keys, store, world, **changed):
    """An invitation; gives the PIN."""
    secret = pin.new_pin(world.random)
    salted = pin.salted_pin(secret)
    grant = {"access": 3, "administrator": False, "description": "", "lifetime": 900.0, **changed}
    name = udf.compact(pin.pin_id(salted, udf.grouped(keys.identity.fingerprint)))
    store.add_pin(name, udf.parse(salted)[1], **grant)
    return secret


def refused(enrolment, fields, transcript=TRANSCRIPT):
    """The sentence and the details with which the registration is refused as UNAUTHORIZED."""
    with pytest.raises(Unauthorized) as refusal:
        enrolment.register(fields, transcript)
    return refusal.value.message, dict(refusal.value.details)


NOT_ACCEPTED = ("not accepted", {})
