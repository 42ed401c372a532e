"""Connection assertions: an administrator says that a device, or an agent, is one of theirs (docs/trust.md).

ConnectionDevice admits a device (Mesh Part IV section 10.2.16). ConnectionHost (10.2.20) says that an agent
is the administrator's; here it also names the agents that it replaces, so that who pinned one of these and
the administrator may go on with the new one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import signatures
from ..signatures import Ed448Key
from ..status import BadRequest, Unauthorized
from . import dare, udf
from .authorities import PQ_DIGEST_SIZE, AdministratorKey, Authority, key_data, read_key_data
from .encoding import base64url_encode, binary_member, format_time, text_member
from .profiles import Profile, read_body

CONNECTION_DEVICE = "ConnectionDevice"
CONNECTION_HOST = "ConnectionHost"
HOST_CONTEXT = b"myclerk-host-connection-v1"
MAXIMUM_REPLACED = 16
"""Agents that one ConnectionHost may name as replaced."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection assertion whose form and signature were checked: ``authority`` vouches for ``subject``.

    Both are fingerprints of 28 characters, ``authority`` that of the administrator's key. ``public_key`` and
    ``pq_digest`` are the subject's, as in its profile. ``replaces`` names agents likewise; a device replaces
    none.
    """

    subject: str
    authority: str
    public_key: bytes
    pq_digest: bytes | None
    updated: str
    raw: bytes
    replaces: tuple[str, ...] = ()


def connect(device: Profile, administrator: Ed448Key, now: float) -> bytes:
    """The ConnectionDevice envelope by which ``administrator`` admits ``device`` at ``now`` (Unix time)."""
    body = _members(device, "DeviceSignature", administrator, now)
    return dare.sign(CONNECTION_DEVICE, body, administrator, created=now)


def parse_connection(data: bytes | memoryview, *administrators: bytes) -> Connection:
    """The ConnectionDevice in ``data``, verified under one of ``administrators``, Ed448 public keys.

    Raises BadRequest for a flaw of form, Unauthorized unless one of them signed it.
    """
    envelope = dare.parse(data)
    body = read_body(envelope, CONNECTION_DEVICE)
    signer = next((key for key in administrators if udf.key_fingerprint(key) == envelope.signer), None)
    if signer is None:
        raise Unauthorized("the connection was signed by another key than an administrator's")
    envelope.verify(signer)
    return _connection(envelope, body, "DeviceSignature")


@dataclass(frozen=True, slots=True)
class HostAssertion:
    """A ConnectionHost as an agent shows it: the envelope, and the administrator's ML-DSA-65 key (1,952
    bytes) and signature (3,309 bytes) for it, both None where the administrator has no such key."""

    envelope: bytes
    pq_public: bytes | None = None
    pq_signature: bytes | None = None


def connect_host(
    host: Profile, replaces: Iterable[str], administrator: AdministratorKey, now: float
) -> HostAssertion:
    """Vouch for ``host`` as what ``replaces`` the agents of these fingerprints (28 characters).

    Raises BadRequest for more than MAXIMUM_REPLACED of them.
    """
    replaced = [udf.grouped(udf.check_fingerprint(fingerprint)) for fingerprint in replaces]
    if len(replaced) > MAXIMUM_REPLACED:
        raise BadRequest(f"an agent replaces at most {MAXIMUM_REPLACED} others")
    body = _members(host, "HostSignature", administrator, now) | {"Replaces": replaced}
    envelope = dare.sign(CONNECTION_HOST, body, administrator, created=now)
    return HostAssertion(envelope, administrator.pq_public, administrator.sign_pq(HOST_CONTEXT + envelope))


def parse_host_connection(
    assertion: HostAssertion, host: Profile, authorities: Sequence[Authority]
) -> tuple[Connection, Authority]:
    """The ConnectionHost by which one of ``authorities`` vouches for ``host``, and which one that is.

    An authority whose ML-DSA-65 key is known must have signed with it too. Raises BadRequest for a flaw of
    form, Unauthorized when none of them signed it, or when it vouches for another agent.
    """
    envelope = dare.parse(assertion.envelope)
    body = read_body(envelope, CONNECTION_HOST)
    signer = next((a for a in authorities if udf.grouped(a.fingerprint) == envelope.signer), None)
    if signer is None:
        raise Unauthorized("no administrator that is known here vouches for the agent")
    envelope.verify(signer.public)
    _verify_pq(assertion, signer)
    connection = _connection(envelope, body, "HostSignature")
    if (connection.public_key, connection.pq_digest) != (host.public_key, host.pq_digest):
        raise Unauthorized("the administrator vouches for another agent than this one")
    return connection, signer


def _verify_pq(assertion: HostAssertion, signer: Authority) -> None:
    if signer.pq_digest is None:
        return
    if assertion.pq_public is None or assertion.pq_signature is None:
        raise Unauthorized("the administrator's ML-DSA-65 signature is missing")
    if not hmac.compare_digest(hashlib.sha512(assertion.pq_public).digest(), signer.pq_digest):
        raise Unauthorized("the ML-DSA-65 key is another than the administrator's")
    message = HOST_CONTEXT + assertion.envelope
    signatures.verify_mldsa65(assertion.pq_public, assertion.pq_signature, message)


def _members(subject: Profile, key_name: str, administrator: Ed448Key, now: float) -> dict[str, Any]:
    pq = {} if subject.pq_digest is None else {"MlDsa65": base64url_encode(subject.pq_digest)}
    return {
        "SubjectUdf": udf.grouped(subject.fingerprint),
        "AuthorityUdf": udf.key_fingerprint(administrator.public),
        "Updated": format_time(now),
        key_name: key_data(subject.public_key),
        **pq,
    }


def _connection(envelope: dare.Envelope, body: dict[str, Any], key_name: str) -> Connection:
    public_key = read_key_data(body, key_name)
    subject, authority = text_member(body, "SubjectUdf"), text_member(body, "AuthorityUdf")
    if subject != udf.key_fingerprint(public_key) or authority != envelope.signer:
        raise BadRequest("SubjectUdf or AuthorityUdf is not the fingerprint of its key")
    return Connection(
        subject=udf.compact(subject),
        authority=udf.compact(authority),
        public_key=public_key,
        pq_digest=binary_member(body, "MlDsa65", PQ_DIGEST_SIZE) if "MlDsa65" in body else None,
        updated=text_member(body, "Updated"),
        raw=envelope.raw,
        replaces=_replaced(body.get("Replaces", [])),
    )


def _replaced(value: Any) -> tuple[str, ...]:
    if type(value) is not list or len(value) > MAXIMUM_REPLACED or any(type(v) is not str for v in value):
        raise BadRequest(f"Replaces is not an array of at most {MAXIMUM_REPLACED} fingerprints")
    return tuple(udf.check_fingerprint(udf.compact(name)) for name in value)
