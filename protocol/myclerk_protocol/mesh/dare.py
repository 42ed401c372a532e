"""DARE envelopes: signed JSON as the Mesh wraps it (Mesh Part IV sections 7 and 9.2).

An envelope is the JSON array [header, payload, trailer], or [header, payload] where nothing signs it::

    [{"EnvelopeId": "MC44-...", "dig": "S512", "ContentMetaData": base64url({"MessageType": ..., ...})},
     base64url({"ProfileHost": {...}}),
     {"signatures": [{"alg": "S512", "kid": "MC44-...", "signature": base64url}], "PayloadDigest": base64url}]

The one signature is Ed448 (pure, empty context) over the 64 bytes of PayloadDigest, the SHA-512 of the
payload's bytes; the published example of Mesh Part IV section 9.2 verifies in this form. Header and trailer
are not signed, so nothing unknown may stand in them and nothing is believed because of them. An envelope is
kept, hashed and forwarded as the bytes received, never written anew.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..signatures import ED448_SIGNATURE_SIZE, Ed448Key, verify_ed448
from ..status import BadRequest, TooLarge, Unauthorized
from . import udf
from .encoding import (
    base64url_decode,
    base64url_encode,
    binary_member,
    check_time,
    dump_json,
    format_time,
    load_json,
    load_object,
    object_of,
    text_member,
)

MAXIMUM_SIZE = 65536
"""Bytes of an envelope that are read."""

CONTENT_TYPE = "application/mmm/object"
DIGEST = "S512"

_HEADER = frozenset({"EnvelopeId", "dig", "ContentMetaData"})
_META_DATA = frozenset({"UniqueId", "MessageType", "cty", "Created"})
_TRAILER = frozenset({"signatures", "PayloadDigest"})
_SIGNATURE = frozenset({"alg", "kid", "signature"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed envelope. Nothing in it is to be believed before :meth:`verify`.

    ``raw`` is what was received. ``message_type`` and ``created`` come from the unsigned header; ``payload``
    is JSON in bytes, ``payload_digest`` its SHA-512 (recomputed). ``signer`` is the fingerprint with hyphens
    that the signature names; None, like ``signature``, where the envelope is unsigned.
    """

    raw: bytes
    envelope_id: str | None
    message_type: str
    created: str | None
    payload: bytes
    payload_digest: bytes
    signer: str | None
    signature: bytes | None

    def verify(self, public_key: bytes) -> None:
        """Raises Unauthorized unless the key ``public_key`` (Ed448, 57 bytes) signed this."""
        if self.signature is None or self.signer is None:
            raise Unauthorized("the envelope is not signed")
        if not udf.same(self.signer, udf.key_fingerprint(public_key)):
            raise Unauthorized("the envelope was signed by another key")
        verify_ed448(public_key, self.signature, self.payload_digest)

    def body(self) -> dict[str, Any]:
        """The members of the payload's one object, which must bear the name ``message_type``.

        Raises BadRequest.
        """
        payload = load_object(self.payload, "the payload of the envelope")
        if list(payload) != [self.message_type]:
            raise BadRequest(f"the payload of the envelope is not one {self.message_type}")
        return object_of(payload[self.message_type], self.message_type)


def sign(
    message_type: str,
    body: Mapping[str, Any],
    key: Ed448Key,
    *,
    created: float,
    envelope_id: str | None = None,
) -> bytes:
    """The envelope around {``message_type``: ``body``}, signed by ``key``. ``created`` is Unix time."""
    payload = dump_json({message_type: body})
    digest = hashlib.sha512(payload).digest()
    signature = {
        "alg": DIGEST,
        "kid": udf.key_fingerprint(key.public),
        "signature": base64url_encode(key.sign(digest)),
    }
    trailer = {"signatures": [signature], "PayloadDigest": base64url_encode(digest)}
    return dump_json([_header(message_type, created, envelope_id), base64url_encode(payload), trailer])


def unsigned(
    message_type: str, body: Mapping[str, Any], *, created: float, envelope_id: str | None = None
) -> bytes:
    """The envelope around {``message_type``: ``body``} with nothing that authenticates it."""
    payload = base64url_encode(dump_json({message_type: body}))
    return dump_json([_header(message_type, created, envelope_id), payload])


def parse(data: bytes | memoryview) -> Envelope:
    """The envelope in ``data``, its form and its digest checked, its signature not (:meth:`Envelope.verify`).

    Raises TooLarge above :data:`MAXIMUM_SIZE`, BadRequest for every other flaw.
    """
    if len(data) > MAXIMUM_SIZE:
        raise TooLarge(f"an envelope has at most {MAXIMUM_SIZE} bytes")
    raw = bytes(data)
    return _read(raw, load_json(raw, "the envelope"))


def from_value(value: Any) -> Envelope:
    """An envelope that stands as an array inside other JSON; its ``raw`` is that array without white space.

    Raises as :func:`parse`. The signature holds, as it covers the payload; a digest of ``raw`` need not
    be that of the envelope as its author wrote it.
    """
    return parse(dump_json(value))


def _header(message_type: str, created: float, envelope_id: str | None) -> dict[str, str]:
    identifier = {} if envelope_id is None else {"UniqueId": envelope_id}
    meta_data = dump_json(
        {**identifier, "MessageType": message_type, "cty": CONTENT_TYPE, "Created": format_time(created)}
    )
    header = {} if envelope_id is None else {"EnvelopeId": envelope_id}
    return {**header, "dig": DIGEST, "ContentMetaData": base64url_encode(meta_data)}


def _read(raw: bytes, parts: Any) -> Envelope:
    if type(parts) is not list or len(parts) not in (2, 3) or type(parts[1]) is not str:
        raise BadRequest("an envelope is an array of header, payload and, if signed, trailer")
    header = _members(parts[0], "the header of the envelope", _HEADER)
    if header.get("dig") != DIGEST:
        raise BadRequest(f"the digest of an envelope is {DIGEST}")
    envelope_id = text_member(header, "EnvelopeId") if "EnvelopeId" in header else None
    meta_data = _meta_data(header, envelope_id)
    payload = base64url_decode(parts[1], "the payload of the envelope")
    digest = hashlib.sha512(payload).digest()
    signer, signature = _trailer(parts[2], digest) if len(parts) == 3 else (None, None)
    return Envelope(
        raw=raw,
        envelope_id=envelope_id,
        message_type=text_member(meta_data, "MessageType"),
        created=check_time(text_member(meta_data, "Created"), "Created") if "Created" in meta_data else None,
        payload=payload,
        payload_digest=digest,
        signer=signer,
        signature=signature,
    )


def _meta_data(header: Mapping[str, Any], envelope_id: str | None) -> dict[str, Any]:
    members = load_object(binary_member(header, "ContentMetaData"), "ContentMetaData")
    meta_data = _members(members, "ContentMetaData", _META_DATA)
    if meta_data.get("cty") != CONTENT_TYPE:
        raise BadRequest(f"the content type of an envelope is {CONTENT_TYPE}")
    if meta_data.get("UniqueId") != envelope_id:
        raise BadRequest("EnvelopeId and UniqueId differ")
    return meta_data


def _trailer(value: Any, digest: bytes) -> tuple[str, bytes]:
    """Signer and signature, after the digest was compared."""
    trailer = _members(value, "the trailer of the envelope", _TRAILER)
    if not hmac.compare_digest(binary_member(trailer, "PayloadDigest", len(digest)), digest):
        raise BadRequest("PayloadDigest is not the digest of the payload")
    entries = trailer.get("signatures")
    if type(entries) is not list or len(entries) != 1:
        raise BadRequest("an envelope has exactly one signature")
    entry = _members(entries[0], "the signature of the envelope", _SIGNATURE)
    if entry.get("alg") != DIGEST:
        raise BadRequest(f"the signature of an envelope is over a digest of {DIGEST}")
    signer = text_member(entry, "kid")
    if udf.grouped(udf.check_fingerprint(udf.compact(signer))) != signer:
        raise BadRequest("kid is not a fingerprint of 34 characters with hyphens")
    return signer, binary_member(entry, "signature", ED448_SIGNATURE_SIZE)


def _members(value: Any, what: str, known: frozenset[str]) -> dict[str, Any]:
    """The JSON object ``value``, which has members of ``known`` only."""
    members = object_of(value, what)
    if not members.keys() <= known:
        raise BadRequest(f"{what} has a member that is not known")
    return members
