"""Who a device or an agent is: profiles, connection assertions, identities (docs/protocol.md).

A profile is signed by the very key that it names, and the fingerprint of that key is the name of its owner.
Keys of the draft that only threshold operations use (BaseEncryption and the like) are neither written nor
read; members that are not known are ignored, as the signature covers them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from .. import signatures
from ..status import BadRequest, LocalError, OperationError, Unauthorized
from . import dare, udf
from .encoding import (
    base64url_encode,
    binary_member,
    check_time,
    dump_json,
    format_time,
    load_object,
    object_of,
    text_member,
)

CONNECTION = "ConnectionDevice"
AGENT_CONTEXT = b"myclerk-agent-auth-v1"
CLIENT_CONTEXT = b"myclerk-client-auth-v1"
MAXIMUM_DESCRIPTION = 128
"""Characters of a description; it is shown to people, so it is printable throughout."""

_PQ_DIGEST_SIZE = 64


class ProfileKind(StrEnum):
    """Whose profile it is; the value is the Mesh's name for it."""

    HOST = "ProfileHost"
    DEVICE = "ProfileDevice"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile whose form and signature were checked.

    ``fingerprint`` has 28 characters; ``public_key`` is Ed448 (57 bytes); ``pq_digest`` is the SHA-512 of the
    owner's ML-DSA-65 public key, or None; ``updated`` is UTC text; ``raw`` is the envelope as received.
    ``administrator`` is the public key that signs an agent's connection assertions (a host names another one
    in AdministratorSignature, else it is its own).
    """

    kind: ProfileKind
    fingerprint: str
    public_key: bytes
    pq_digest: bytes | None
    description: str
    updated: str
    administrator: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection assertion whose form and signature were checked: ``authority`` admitted ``subject``.

    Both are fingerprints of 28 characters, ``authority`` that of the administrator's key. ``public_key`` and
    ``pq_digest`` are the device's, as in its profile.
    """

    subject: str
    authority: str
    public_key: bytes
    pq_digest: bytes | None
    updated: str
    raw: bytes


def key_data(public_key: bytes) -> dict[str, Any]:
    """The KeyData of an Ed448 public key (Mesh Part IV section 10.1.2)."""
    parameters = {"PublicKeyECDH": {"crv": "Ed448", "Public": base64url_encode(public_key)}}
    return {"Udf": udf.key_fingerprint(public_key), "PublicParameters": parameters}


def read_key_data(body: Mapping[str, Any], name: str) -> bytes:
    """The Ed448 public key in KeyData member ``name``, once its Udf was found to be the key's.

    Raises BadRequest.
    """
    data = object_of(body.get(name), name)
    parameters = object_of(data.get("PublicParameters"), "PublicParameters")
    key = object_of(parameters.get("PublicKeyECDH"), "PublicKeyECDH")
    if text_member(key, "crv") != "Ed448":
        raise BadRequest(f"the key of {name} is not one of Ed448")
    public_key = binary_member(key, "Public", signatures.ED448_PUBLIC_SIZE)
    if not hmac.compare_digest(text_member(data, "Udf").encode(), udf.key_fingerprint(public_key).encode()):
        raise BadRequest(f"the Udf of {name} is not the fingerprint of its key")
    return public_key


def parse_profile(data: bytes | memoryview, kind: ProfileKind, *, fingerprint: str | None = None) -> Profile:
    """The profile in the envelope ``data``, verified; ``fingerprint`` (28 characters) is who it must be.

    Raises BadRequest for a flaw of form, Unauthorized for a signature that does not verify or another owner.
    """
    envelope = dare.parse(data)
    body = _body(envelope, kind)
    public_key = read_key_data(body, "ProfileSignature")
    envelope.verify(public_key)
    owner = udf.key_fingerprint(public_key)
    if envelope.envelope_id != owner:
        raise BadRequest("the EnvelopeId of a profile is the fingerprint of its key")
    if fingerprint is not None and not udf.same(owner, fingerprint):
        raise Unauthorized("the profile belongs to another key than the one expected")
    named = kind is ProfileKind.HOST and "AdministratorSignature" in body
    return Profile(
        kind=kind,
        fingerprint=udf.compact(owner),
        public_key=public_key,
        pq_digest=_pq_digest(body),
        description=_check_description(text_member(body, "Description") if "Description" in body else ""),
        updated=text_member(body, "Updated"),
        administrator=read_key_data(body, "AdministratorSignature") if named else public_key,
        raw=envelope.raw,
    )


def connect(device: Profile, administrator: signatures.Ed448Key, now: float) -> bytes:
    """The ConnectionDevice envelope by which ``administrator`` admits ``device`` at ``now`` (Unix time)."""
    body = {
        "SubjectUdf": udf.grouped(device.fingerprint),
        "AuthorityUdf": udf.key_fingerprint(administrator.public),
        "Updated": format_time(now),
        "DeviceSignature": key_data(device.public_key),
        **_pq_member(device.pq_digest),
    }
    return dare.sign(CONNECTION, body, administrator, created=now)


def parse_connection(data: bytes | memoryview, administrator: bytes) -> Connection:
    """The assertion in the envelope ``data``, verified under the public key ``administrator`` (57 bytes).

    Raises BadRequest for a flaw of form, Unauthorized for one that another key signed.
    """
    envelope = dare.parse(data)
    body = _body(envelope, CONNECTION)
    envelope.verify(administrator)
    public_key = read_key_data(body, "DeviceSignature")
    subject, authority = text_member(body, "SubjectUdf"), text_member(body, "AuthorityUdf")
    if subject != udf.key_fingerprint(public_key) or authority != envelope.signer:
        raise BadRequest("SubjectUdf or AuthorityUdf is not the fingerprint of its key")
    return Connection(
        subject=udf.compact(subject),
        authority=udf.compact(authority),
        public_key=public_key,
        pq_digest=_pq_digest(body),
        updated=text_member(body, "Updated"),
        raw=envelope.raw,
    )


def check_pq_public(owner: Profile | Connection, pq_public: bytes | None) -> None:
    """Raises Unauthorized unless ``pq_public`` is the ML-DSA-65 key that ``owner`` names, if any."""
    if owner.pq_digest is None:
        if pq_public is not None:
            raise Unauthorized("`pq-public` is a key that the profile does not name")
    elif pq_public is None:
        raise Unauthorized("`pq-public` is missing, and the profile names one")
    elif not hmac.compare_digest(hashlib.sha512(pq_public).digest(), owner.pq_digest):
        raise Unauthorized("`pq-public` is another key than the profile names")


class Proof(NamedTuple):
    """Signatures over a transcript: Ed448 (114 bytes), and ML-DSA-65 (3,309) if there is such a key."""

    signature: bytes
    pq_signature: bytes | None


class Identity:
    """The private half of a profile: an Ed448 key, and an ML-DSA-65 key or none. Its repr shows no secret."""

    def __init__(self, seed: bytes, pq_seed: bytes | None, envelope: bytes, kind: ProfileKind) -> None:
        """From the stored parts; raises LocalError when they do not belong together."""
        self._seed, self._pq_seed = seed, pq_seed
        self._key = signatures.Ed448Key(seed)
        self._pq_key = None if pq_seed is None else signatures.MlDsa65Key(pq_seed)
        try:
            self.profile = parse_profile(envelope, kind)
            check_pq_public(self.profile, self.pq_public)
        except OperationError as error:
            raise LocalError(f"the identity is damaged: {error.message}") from None
        if self.profile.public_key != self._key.public:
            raise LocalError("the identity is damaged: its profile belongs to another key")

    @classmethod
    def create(
        cls,
        kind: ProfileKind | str,
        description: str,
        random: Callable[[int], bytes],
        now: float,
        with_pq: bool,
        *,
        administrator: bytes | None = None,
    ) -> Identity:
        """A new identity. ``kind`` may be "host" or "device"; ``now`` is Unix time.

        ``with_pq`` adds an ML-DSA-65 key; raises LocalError where that is not available.
        ``administrator`` is the public key that a host names for its connection assertions. Raises BadRequest
        for a description that is not printable or too long.
        """
        kind = ProfileKind[kind.upper()] if kind in ("host", "device") else ProfileKind(kind)
        seed = random(signatures.ED448_SEED_SIZE)
        pq_seed = random(signatures.MLDSA65_SEED_SIZE) if with_pq else None
        key = signatures.Ed448Key(seed)
        pq_public = None if pq_seed is None else signatures.MlDsa65Key(pq_seed).public
        body: dict[str, Any] = {"ProfileSignature": key_data(key.public), "Updated": format_time(now)}
        body |= _pq_member(None if pq_public is None else hashlib.sha512(pq_public).digest())
        if description:
            body["Description"] = _check_description(description)
        if administrator is not None and kind is ProfileKind.HOST:
            body["AdministratorSignature"] = key_data(administrator)
        owner = udf.key_fingerprint(key.public)
        envelope = dare.sign(kind.value, body, key, created=now, envelope_id=owner)
        return cls(seed, pq_seed, envelope, kind)

    @classmethod
    def from_bytes(cls, data: bytes) -> Identity:
        """An identity as :meth:`to_bytes` wrote it. Raises LocalError for anything else."""
        try:
            members = load_object(data, "the identity")
            seed = binary_member(members, "Ed448", signatures.ED448_SEED_SIZE)
            has_pq = "MlDsa65" in members
            pq_seed = binary_member(members, "MlDsa65", signatures.MLDSA65_SEED_SIZE) if has_pq else None
            envelope, kind = binary_member(members, "Profile"), ProfileKind(text_member(members, "Kind"))
        except ValueError:
            raise LocalError("the identity is damaged: it cannot be read") from None
        return cls(seed, pq_seed, envelope, kind)

    def to_bytes(self) -> bytes:
        """For storage, secrets included: whoever can read it is this identity."""
        members = {"Kind": self.profile.kind.value, "Ed448": base64url_encode(self._seed)}
        if self._pq_seed is not None:
            members["MlDsa65"] = base64url_encode(self._pq_seed)
        return dump_json({**members, "Profile": base64url_encode(self.profile.raw)})

    @property
    def fingerprint(self) -> str:
        """28 characters, as on the wire."""
        return self.profile.fingerprint

    @property
    def key(self) -> signatures.Ed448Key:
        """The ProfileSignature key."""
        return self._key

    @property
    def pq_public(self) -> bytes | None:
        """The ML-DSA-65 public key (1,952 bytes), or None."""
        return None if self._pq_key is None else self._pq_key.public

    def agent_proof(self, transcript: bytes) -> Proof:
        """What an agent puts into KEY_EXCHANGE_COMPLETE."""
        return self._sign(AGENT_CONTEXT + transcript)

    def client_proof(self, transcript: bytes, agent_fingerprint: str) -> Proof:
        """What a client puts into CLIENT_REGISTER; ``agent_fingerprint`` has 28 characters."""
        return self._sign(_client_message(transcript, agent_fingerprint))

    def __repr__(self) -> str:
        return f"Identity({self.profile.kind}, {self.fingerprint})"

    def _sign(self, message: bytes) -> Proof:
        return Proof(self._key.sign(message), None if self._pq_key is None else self._pq_key.sign(message))


def verify_agent(
    public_key: bytes,
    transcript: bytes,
    signature: bytes,
    *,
    pq_public: bytes | None = None,
    pq_signature: bytes | None = None,
) -> None:
    """Raises Unauthorized unless the agent's signatures verify under the keys stored for it.

    With a stored ``pq_public`` a valid ``pq_signature`` is due; without one ``pq_signature`` is ignored.
    """
    _verify(public_key, AGENT_CONTEXT + transcript, signature, pq_public, pq_signature)


def verify_client(
    public_key: bytes,
    transcript: bytes,
    agent_fingerprint: str,
    signature: bytes,
    *,
    pq_public: bytes | None = None,
    pq_signature: bytes | None = None,
) -> None:
    """As :func:`verify_agent`, for a client that registers with the agent ``agent_fingerprint``."""
    message = _client_message(transcript, agent_fingerprint)
    _verify(public_key, message, signature, pq_public, pq_signature)


def _client_message(transcript: bytes, agent_fingerprint: str) -> bytes:
    return CLIENT_CONTEXT + transcript + udf.check_fingerprint(agent_fingerprint).encode()


def _verify(
    public_key: bytes, message: bytes, signature: bytes, pq_public: bytes | None, pq_signature: bytes | None
) -> None:
    signatures.verify_ed448(public_key, signature, message)
    if pq_public is None:
        return
    if pq_signature is None:
        raise Unauthorized("`pq-signature` is missing: this peer enrolled with an ML-DSA-65 key")
    signatures.verify_mldsa65(pq_public, pq_signature, message)


def _body(envelope: dare.Envelope, message_type: str) -> dict[str, Any]:
    """The payload's object, of the type due, last updated when the (unsigned) header says."""
    if envelope.message_type != message_type:
        raise BadRequest(f"the envelope holds no {message_type}")
    body = envelope.body()
    if check_time(text_member(body, "Updated"), "Updated") != envelope.created:
        raise BadRequest("Updated differs from the time in the header of the envelope")
    return body


def _pq_member(digest: bytes | None) -> dict[str, str]:
    return {} if digest is None else {"MlDsa65": base64url_encode(digest)}


def _pq_digest(body: Mapping[str, Any]) -> bytes | None:
    return binary_member(body, "MlDsa65", _PQ_DIGEST_SIZE) if "MlDsa65" in body else None


def _check_description(text: str) -> str:
    if len(text) > MAXIMUM_DESCRIPTION or not text.isprintable():
        raise BadRequest(f"a description is printable text of at most {MAXIMUM_DESCRIPTION} characters")
    return text
