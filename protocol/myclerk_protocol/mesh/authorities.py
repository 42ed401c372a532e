"""Who may vouch: the keys of administrators, and key data as the Mesh writes it (docs/trust.md)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import signatures
from ..signatures import Ed448Key, MlDsa65Key
from ..status import BadRequest, LocalError
from . import udf
from .encoding import base64url_encode, binary_member, object_of, text_member

MAXIMUM_FURTHER = 8
"""Administrators that a profile names beside the one whose key the agent holds."""

PQ_DIGEST_SIZE = 64


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


@dataclass(frozen=True, slots=True)
class Authority:
    """An administrator's public key: Ed448 (57 bytes), and the SHA-512 of the ML-DSA-65 one, or None."""

    public: bytes
    pq_digest: bytes | None = None

    @property
    def fingerprint(self) -> str:
        """28 characters, without hyphens."""
        return udf.compact(udf.key_fingerprint(self.public))

    def members(self) -> dict[str, Any]:
        """The members by which a profile names it."""
        pq = {} if self.pq_digest is None else {"AdministratorMlDsa65": base64url_encode(self.pq_digest)}
        return {"AdministratorSignature": key_data(self.public), **pq}


def read_authority(body: Mapping[str, Any]) -> Authority:
    """The administrator that the members of ``body`` name. Raises BadRequest."""
    has_pq = "AdministratorMlDsa65" in body
    pq_digest = binary_member(body, "AdministratorMlDsa65", PQ_DIGEST_SIZE) if has_pq else None
    return Authority(read_key_data(body, "AdministratorSignature"), pq_digest)


def profile_members(authorities: tuple[Authority, ...]) -> dict[str, Any]:
    """The members by which a ProfileHost names its administrators, the one whose key it holds first.

    Raises BadRequest for more than MAXIMUM_FURTHER others.
    """
    if len(authorities) > 1 + MAXIMUM_FURTHER:
        raise BadRequest(f"an agent has at most {MAXIMUM_FURTHER} administrators beside its own")
    if not authorities:
        return {}
    further = [authority.members() for authority in authorities[1:]]
    return {**authorities[0].members(), **({"FurtherAdministrators": further} if further else {})}


def read_profile_members(body: Mapping[str, Any]) -> tuple[Authority, ...]:
    """What :func:`profile_members` wrote. Raises BadRequest."""
    if "AdministratorSignature" not in body:
        return ()
    further = body.get("FurtherAdministrators", [])
    if type(further) is not list or len(further) > MAXIMUM_FURTHER:
        raise BadRequest(f"FurtherAdministrators is not an array of at most {MAXIMUM_FURTHER} members")
    entries = [object_of(entry, "an entry of FurtherAdministrators") for entry in further]
    return (read_authority(body), *map(read_authority, entries))


class AdministratorKey(Ed448Key):
    """The private key of an administrator: Ed448, and ML-DSA-65 beside it, or None.

    ``public`` (57 bytes) and ``pq_public`` (1,952 bytes, or None) are its public halves. Raises LocalError
    for seeds of another length, and where ML-DSA-65 is not available for a key that has it.
    """

    __slots__ = ("_pq_key", "_pq_seed", "_seed", "pq_public")

    def __init__(self, seed: bytes, pq_seed: bytes | None = None) -> None:
        super().__init__(seed)
        self._seed, self._pq_seed = seed, pq_seed
        self._pq_key = None if pq_seed is None else MlDsa65Key(pq_seed)
        self.pq_public = None if self._pq_key is None else self._pq_key.public

    @classmethod
    def create(cls, random: Callable[[int], bytes], with_pq: bool) -> AdministratorKey:
        """A new key; ``with_pq`` as for the constructor."""
        seed = random(signatures.ED448_SEED_SIZE)
        return cls(seed, random(signatures.MLDSA65_SEED_SIZE) if with_pq else None)

    @classmethod
    def from_bytes(cls, data: bytes) -> AdministratorKey:
        """A key as :meth:`to_bytes` wrote it. Raises LocalError for another length."""
        size = signatures.ED448_SEED_SIZE
        if len(data) not in (size, size + signatures.MLDSA65_SEED_SIZE):
            raise LocalError("the administrator's key is damaged: it has another length")
        return cls(data[:size], data[size:] or None)

    def to_bytes(self) -> bytes:
        """For storage, secret: the Ed448 seed, and behind it the ML-DSA-65 seed if there is one."""
        return self._seed + (self._pq_seed or b"")

    def with_pq(self, random: Callable[[int], bytes]) -> AdministratorKey:
        """The same Ed448 key with a new ML-DSA-65 key beside it."""
        return AdministratorKey(self._seed, random(signatures.MLDSA65_SEED_SIZE))

    @property
    def authority(self) -> Authority:
        """What a profile names of it."""
        return Authority(
            self.public, None if self.pq_public is None else hashlib.sha512(self.pq_public).digest()
        )

    def sign_pq(self, message: bytes) -> bytes | None:
        """The ML-DSA-65 signature (3,309 bytes) over ``message``; None without such a key."""
        return None if self._pq_key is None else self._pq_key.sign(message)
