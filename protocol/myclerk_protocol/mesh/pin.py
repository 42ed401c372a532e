"""Proof of knowledge of an invitation's PIN, both ways (docs/protocol.md, Mesh Part IV section 6.3).

The agent stores saltedPIN under PinId, never the PIN. A client shows PinWitness in a RequestConnection; the
agent answers with a witness of its own, which nobody can make who does not know the PIN.

``account`` is always the agent's fingerprint with hyphens (34 characters), as claimed in the session.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from ..status import BadRequest, Unauthorized
from . import dare, udf
from .encoding import base64url_encode, binary_member, text_member

ACTION = "Device"
REQUEST = "RequestConnection"
AGENT_CONTEXT = b"myclerk-agent-pin-v1"
NOT_ACCEPTED = "not accepted"
"""The one message for a wrong, spent, expired or missing PIN."""

WITNESS_SIZE = 64
TRANSCRIPT_SIZE = 32
_PIN_BYTES = 16


def new_pin(random: Callable[[int], bytes]) -> str:
    """A fresh PIN of 128 bits: 28 characters in groups of four."""
    return udf.present(udf.Kind.AUTHENTICATOR, random(_PIN_BYTES))


def salted_pin(pin: str, action: str = ACTION) -> str:
    """What the agent stores of ``pin``, a UDF of 34 characters. Raises BadRequest for what is no PIN."""
    return _mac_udf(_key(pin), action)


def pin_id(salted: str, account: str) -> str:
    """The name under which ``salted`` (saltedPIN) is stored, a UDF of 34 characters that is no secret."""
    return _mac_udf(_key(salted), account)


def witness(salted: str, account: str, transcript: bytes, payload_digest: bytes) -> bytes:
    """PinWitness, 64 bytes; ``payload_digest`` is the SHA-512 of the ProfileDevice envelope."""
    return _mac(_key(salted), account.encode() + transcript + payload_digest)


def agent_witness(salted: str, transcript: bytes, host_profile: bytes, pin_witness: bytes) -> bytes:
    """``agent-witness``, 64 bytes; ``host_profile`` is the agent's profile envelope as sent."""
    digest = hashlib.sha512(host_profile).digest()
    return _mac(_key(salted), AGENT_CONTEXT + transcript + digest + pin_witness)


def check_witness(salted: str, account: str, transcript: bytes, device_profile: bytes, shown: bytes) -> None:
    """Raises Unauthorized unless ``shown`` is the PinWitness over the envelope ``device_profile``."""
    due = witness(salted, account, transcript, hashlib.sha512(device_profile).digest())
    if not hmac.compare_digest(due, shown):
        raise Unauthorized(NOT_ACCEPTED)


def check_agent_witness(
    salted: str, transcript: bytes, host_profile: bytes, pin_witness: bytes, shown: bytes | None
) -> None:
    """Raises Unauthorized unless ``shown`` proves that the agent knows the PIN: pin nothing of it."""
    due = agent_witness(salted, transcript, host_profile, pin_witness)
    if shown is None or not hmac.compare_digest(due, shown):
        raise Unauthorized(
            "the agent did not prove that it knows the PIN: this is not the agent that issued it"
        )


@dataclass(frozen=True, slots=True)
class ConnectionRequest:
    """A parsed RequestConnection. ``profile_id`` is the EnvelopeId of the profile that it stands for;
    ``pin_id`` and ``pin_witness`` (64 bytes) are both there or both None."""

    message_id: str
    profile_id: str
    client_nonce: bytes
    pin_id: str | None
    pin_witness: bytes | None = field(repr=False)
    raw: bytes = field(repr=False)

    def check(self, transcript: bytes, profile_id: str) -> None:
        """Raises BadRequest unless this was made for this session and for the profile sent beside it.

        ``profile_id`` is the profile's fingerprint, with or without hyphens.
        """
        if not hmac.compare_digest(self.client_nonce, transcript):
            raise BadRequest("`request` was made for another session", key="request")
        if not udf.same(self.profile_id, profile_id):
            raise BadRequest("`request` stands for another profile than the one sent", key="request")


def request(
    random: Callable[[int], bytes],
    now: float,
    *,
    transcript: bytes,
    account: str,
    profile: bytes,
    pin: str | None = None,
) -> tuple[bytes, bytes | None]:
    """The RequestConnection envelope (unsigned) and its PinWitness; None, and no PIN in it, without ``pin``.

    ``now`` is Unix time, ``profile`` the client's ProfileDevice envelope as it is sent. Raises BadRequest.
    """
    profile_id = dare.parse(profile).envelope_id
    if profile_id is None:
        raise BadRequest("the profile has no EnvelopeId")
    message_id = udf.nonce(random)
    body = {
        "MessageId": message_id,
        "AuthenticatedData": profile_id,
        "ClientNonce": base64url_encode(transcript),
    }
    pin_witness = None
    if pin is not None:
        salted = salted_pin(pin)
        pin_witness = witness(salted, account, transcript, hashlib.sha512(profile).digest())
        body |= {"PinId": pin_id(salted, account), "PinWitness": base64url_encode(pin_witness)}
    envelope = dare.unsigned(REQUEST, body, created=now, envelope_id=udf.envelope_id(message_id))
    return envelope, pin_witness


def parse_request(data: bytes | memoryview) -> ConnectionRequest:
    """The request in the envelope ``data``; it proves nothing before :func:`check_witness`.

    Raises BadRequest for every flaw of form, TooLarge as :func:`dare.parse`.
    """
    envelope = dare.parse(data)
    if envelope.message_type != REQUEST or envelope.signature is not None:
        raise BadRequest(f"`request` is no unsigned {REQUEST}", key="request")
    body = envelope.body()
    message_id = text_member(body, "MessageId")
    if udf.parse(message_id)[0] != udf.Kind.NONCE or envelope.envelope_id != udf.envelope_id(message_id):
        raise BadRequest("the EnvelopeId of `request` does not follow from its MessageId", key="request")
    has_pin = "PinId" in body
    if has_pin != ("PinWitness" in body):
        raise BadRequest("PinId and PinWitness go together", key="request")
    return ConnectionRequest(
        message_id=message_id,
        profile_id=_canonical(text_member(body, "AuthenticatedData")),
        client_nonce=binary_member(body, "ClientNonce", TRANSCRIPT_SIZE),
        pin_id=_canonical(text_member(body, "PinId")) if has_pin else None,
        pin_witness=binary_member(body, "PinWitness", WITNESS_SIZE) if has_pin else None,
        raw=envelope.raw,
    )


def _canonical(text: str) -> str:
    """``text`` if it is a UDF of 28 characters with its hyphens, so that equal names are equal text."""
    udf.fingerprint_bytes(text)
    if udf.grouped(udf.compact(text)) != text:
        raise BadRequest("a name in `request` is not 34 characters in upper case with hyphens", key="request")
    return text


def _key(authenticator: str) -> bytes:
    kind, data = udf.parse(authenticator)
    if kind != udf.Kind.AUTHENTICATOR:
        raise BadRequest("this is not a PIN: those begin with A")
    return data


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha512")


def _mac_udf(key: bytes, message: str) -> str:
    return udf.present(udf.Kind.AUTHENTICATOR, _mac(key, message.encode()))
