"""Who a device or an agent is: profiles and identities (docs/protocol.md).

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
from typing import Any, NamedTuple, Protocol

from .. import signatures
from ..status import BadRequest, LocalError, OperationError, Unauthorized
from . import dare, udf
from .authorities import (
    PQ_DIGEST_SIZE,
    Authority,
    key_data,
    profile_members,
    read_key_data,
    read_profile_members,
)
from .encoding import (
    base64url_encode,
    binary_member,
    check_time,
    dump_json,
    format_time,
    load_object,
    text_member,
)

AGENT_CONTEXT = b"myclerk-agent-auth-v1"
CLIENT_CONTEXT = b"myclerk-client-auth-v1"
MAXIMUM_DESCRIPTION = 128
"""Characters of a description; it is shown to people, so it is printable throughout."""


class ProfileKind(StrEnum):
    """Whose profile it is; the value is the Mesh's name for it."""

    HOST = "ProfileHost"
    DEVICE = "ProfileDevice"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile whose form and signature were checked.

    ``fingerprint`` has 28 characters; ``public_key`` is Ed448 (57 bytes); ``pq_digest`` is the SHA-512 of the
    owner's ML-DSA-65 public key, or None; ``updated`` is UTC text; ``raw`` is the envelope as received.
    ``administrators`` are those whom a host names, the one that signs its connection assertions first.
    """

    kind: ProfileKind
    fingerprint: str
    public_key: bytes
    pq_digest: bytes | None
    description: str
    updated: str
    administrators: tuple[Authority, ...]
    raw: bytes

    @property
    def administrator(self) -> bytes:
        """The public key that signs an agent's connection assertions: its own where it names no other."""
        return self.administrators[0].public if self.administrators else self.public_key


def parse_profile(data: bytes | memoryview, kind: ProfileKind, *, fingerprint: str | None = None) -> Profile:
    """The profile in the envelope ``data``, verified; ``fingerprint`` (28 characters) is who it must be.

    Raises BadRequest for a flaw of form, Unauthorized for a signature that does not verify or another owner.
    """
    envelope = dare.parse(data)
    body = read_body(envelope, kind)
    public_key = read_key_data(body, "ProfileSignature")
    envelope.verify(public_key)
    owner = udf.key_fingerprint(public_key)
    if envelope.envelope_id != owner:
        raise BadRequest("the EnvelopeId of a profile is the fingerprint of its key")
    if fingerprint is not None and not udf.same(owner, fingerprint):
        raise Unauthorized("the profile belongs to another key than the one expected")
    return Profile(
        kind=kind,
        fingerprint=udf.compact(owner),
        public_key=public_key,
        pq_digest=_pq_digest(body),
        description=_check_description(text_member(body, "Description") if "Description" in body else ""),
        updated=text_member(body, "Updated"),
        administrators=read_profile_members(body) if kind is ProfileKind.HOST else (),
        raw=envelope.raw,
    )


class Owner(Protocol):
    """Whoever names an ML-DSA-65 key by its SHA-512 ``pq_digest``: a profile, a connection assertion."""

    @property
    def pq_digest(self) -> bytes | None:
        """64 bytes, or None."""


def check_pq_public(owner: Owner, pq_public: bytes | None) -> None:
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
        administrators: tuple[Authority, ...] = (),
    ) -> Identity:
        """A new identity. ``kind`` may be "host" or "device"; ``now`` is Unix time.

        ``with_pq`` adds an ML-DSA-65 key; raises LocalError where that is not available. ``administrators``
        are those whom a host names. Raises BadRequest for a description that is not printable or too long.
        """
        kind = ProfileKind[kind.upper()] if kind in ("host", "device") else ProfileKind(kind)
        seed = random(signatures.ED448_SEED_SIZE)
        pq_seed = random(signatures.MLDSA65_SEED_SIZE) if with_pq else None
        return cls._issue(kind, description, seed, pq_seed, now, administrators)

    def issued_anew(
        self,
        now: float,
        *,
        pq_random: Callable[[int], bytes] | None = None,
        administrators: tuple[Authority, ...] | None = None,
    ) -> Identity:
        """The same identity under a new profile, as of ``now``: with an ML-DSA-65 key, where it had none and
        ``pq_random`` is there to make one, and with other ``administrators``. Raises as :meth:`create`.
        """
        profile, pq_seed = self.profile, self._pq_seed
        if pq_seed is None and pq_random is not None:
            pq_seed = pq_random(signatures.MLDSA65_SEED_SIZE)
        named = profile.administrators if administrators is None else administrators
        return self._issue(profile.kind, profile.description, self._seed, pq_seed, now, named)

    @classmethod
    def _issue(
        cls,
        kind: ProfileKind,
        description: str,
        seed: bytes,
        pq_seed: bytes | None,
        now: float,
        administrators: tuple[Authority, ...],
    ) -> Identity:
        key = signatures.Ed448Key(seed)
        pq_public = None if pq_seed is None else signatures.MlDsa65Key(pq_seed).public
        body: dict[str, Any] = {"ProfileSignature": key_data(key.public), "Updated": format_time(now)}
        body |= _pq_member(None if pq_public is None else hashlib.sha512(pq_public).digest())
        if description:
            body["Description"] = _check_description(description)
        if kind is ProfileKind.HOST:
            body |= profile_members(administrators)
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


def read_body(envelope: dare.Envelope, message_type: str) -> dict[str, Any]:
    """The payload's object, of the type due, last updated when the (unsigned) header says.

    Raises BadRequest.
    """
    if envelope.message_type != message_type:
        raise BadRequest(f"the envelope holds no {message_type}")
    body = envelope.body()
    if check_time(text_member(body, "Updated"), "Updated") != envelope.created:
        raise BadRequest("Updated differs from the time in the header of the envelope")
    return body


def _pq_member(digest: bytes | None) -> dict[str, str]:
    return {} if digest is None else {"MlDsa65": base64url_encode(digest)}


def _pq_digest(body: Mapping[str, Any]) -> bytes | None:
    return binary_member(body, "MlDsa65", PQ_DIGEST_SIZE) if "MlDsa65" in body else None


def _check_description(text: str) -> str:
    if len(text) > MAXIMUM_DESCRIPTION or not text.isprintable():
        raise BadRequest(f"a description is printable text of at most {MAXIMUM_DESCRIPTION} characters")
    return text
