"""Test vectors of who is who: profiles, signatures over a transcript, pairing by PIN."""

from __future__ import annotations

import hashlib

from vector_parts import CREATED, Document, identity, octets, recorded
from vector_sessions import SETTINGS, Handshake

from myclerk_protocol.mesh import dare, pin, profiles, udf
from myclerk_protocol.mesh.encoding import base64url_encode

PIN_TEXT = "AAJP-KPYV-NSB4-GIYL-AM"
"""Published in the Mesh drafts."""


def signed_messages() -> dict[str, bytes]:
    """What agent and client sign in the first handshake."""
    transcript = Handshake(SETTINGS[0]).transcript
    fingerprint = identity("host").fingerprint.encode()
    return {
        "agent": profiles.AGENT_CONTEXT + transcript,
        "client": profiles.CLIENT_CONTEXT + transcript + fingerprint,
    }


def authentication() -> Document:
    """Keys, profiles, and both signatures over the transcript of the first handshake."""
    parts: Document = {"transcript": Handshake(SETTINGS[0]).transcript.hex()}
    for name, kind in (("agent", "host"), ("client", "device")):
        owner, message = identity(kind), signed_messages()[name]
        post_quantum = dict(recorded()["ml-dsa-65"][name])
        assert post_quantum["message"] == message.hex(), "run tools/vectors.py --record"
        post_quantum["profile"] = _pq_profile(kind, bytes.fromhex(post_quantum["public-key"]))
        parts[name] = {
            "ed448-private": octets(f"{kind} Ed448 seed", 57).hex(),
            "ed448-public": owner.key.public.hex(),
            "fingerprint": owner.fingerprint,
            "profile": owner.profile.raw.decode(),
            "message": message.hex(),
            "ed448-signature": owner.key.sign(message).hex(),
            "ml-dsa-65": post_quantum,
        }
    return parts


def _pq_profile(kind: str, pq_public: bytes) -> str:
    """The profile of the same owner, naming an ML-DSA-65 key."""
    owner = identity(kind)
    body = {
        **dare.parse(owner.profile.raw).body(),
        "MlDsa65": base64url_encode(hashlib.sha512(pq_public).digest()),
    }
    envelope = dare.sign(
        owner.profile.kind.value,
        body,
        owner.key,
        created=CREATED,
        envelope_id=udf.key_fingerprint(owner.key.public),
    )
    profiles.check_pq_public(profiles.parse_profile(envelope, owner.profile.kind), pq_public)
    return envelope.decode()


def pairing() -> Document:
    """PinWitness, the request that carries it, and the agent's witness."""
    agent, device = identity("host"), identity("device")
    transcript = Handshake(SETTINGS[0]).transcript
    account = udf.grouped(agent.fingerprint)
    salted = pin.salted_pin(PIN_TEXT)
    request, pin_witness = pin.request(
        lambda size: octets("message id", size),
        CREATED,
        transcript=transcript,
        account=account,
        profile=device.profile.raw,
        pin=PIN_TEXT,
    )
    assert pin_witness is not None
    witness = pin.agent_witness(salted, transcript, agent.profile.raw, pin_witness)
    return {
        "pin": PIN_TEXT,
        "salted-pin": salted,
        "k": udf.parse(salted)[1].hex(),
        "account": account,
        "pin-id": pin.pin_id(salted, account),
        "transcript": transcript.hex(),
        "client-profile": device.profile.raw.decode(),
        "agent-profile": agent.profile.raw.decode(),
        "pin-witness": pin_witness.hex(),
        "request": request.decode(),
        "agent-witness": witness.hex(),
    }
