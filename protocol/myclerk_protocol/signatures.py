"""Signatures of docs/protocol.md: Ed448 (RFC 8032, pure) and ML-DSA-65 (FIPS 204), with an empty context.

Verification never returns a verdict that could be overlooked: it raises Unauthorized or returns None.
Ed448 is always there; ML-DSA-65 comes with ``cryptography`` 48 or newer, or OpenSSL 3.5 or newer
(:func:`available`).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey

from . import mldsa
from .status import LocalError, Unauthorized

ED448_SEED_SIZE = 57
ED448_PUBLIC_SIZE = 57
ED448_SIGNATURE_SIZE = 114
MLDSA65_SEED_SIZE = mldsa.SEED_SIZE
MLDSA65_PUBLIC_SIZE = mldsa.PUBLIC_SIZE
MLDSA65_SIGNATURE_SIZE = mldsa.SIGNATURE_SIZE

REMEDY = "install cryptography 48 or newer, or OpenSSL 3.5 or newer (Debian 13 has it)"

_ED448_PRIME = 2**448 - 2**224 - 1
_SMALL_ORDER = frozenset(y.to_bytes(56, "little") for y in (0, 1, _ED448_PRIME - 1))
"""The y of the four points whose order divides the cofactor: anyone can sign for such a "key"."""


class Ed448Key:
    """An Ed448 private key, made from its 57 secret bytes (RFC 8032 section 5.2.5).

    ``public`` is the public key, 57 bytes. Raises LocalError for a seed of another length.
    """

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        _check_seed("Ed448", seed, ED448_SEED_SIZE)
        self._key = Ed448PrivateKey.from_private_bytes(seed)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The signature over ``message``, 114 bytes, the same each time."""
        return self._key.sign(message)


def verify_ed448(public: bytes, signature: bytes, message: bytes) -> None:
    """Raises Unauthorized unless ``signature`` is one over ``message`` by the key ``public`` (57 bytes).

    A key of small order, all zeros among them, is refused too: OpenSSL accepts a signature of zeros from it.
    """
    if public[:56] in _SMALL_ORDER:
        raise Unauthorized("the Ed448 key is one that anybody can sign for")
    try:
        Ed448PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Unauthorized("the Ed448 signature does not fit the message and the key") from None


def available() -> bool:
    """Whether ML-DSA-65 can be signed and verified here."""
    return mldsa.provider() is not None


class MlDsa65Key:
    """An ML-DSA-65 private key, made from its 32 secret bytes (the seed xi of FIPS 204 algorithm 6).

    ``public`` is the public key, 1,952 bytes. Raises LocalError for a seed of another length, and where
    ML-DSA-65 is not :func:`available`.
    """

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        library = mldsa.provider()
        if library is None:
            raise LocalError(f"nothing here can sign with ML-DSA-65: {REMEDY}")
        _check_seed("ML-DSA-65", seed, MLDSA65_SEED_SIZE)
        self._key = library.private_key(seed)
        self.public: bytes = self._key.public

    def sign(self, message: bytes) -> bytes:
        """A signature over ``message``, 3,309 bytes, hedged by the library: another one each time."""
        return self._key.sign(message)


def verify_mldsa65(public: bytes, signature: bytes, message: bytes) -> None:
    """Raises Unauthorized unless ``signature`` is one over ``message`` by the key ``public`` (1,952 bytes).

    Where ML-DSA-65 is not :func:`available` nothing can be verified, so every signature is refused.
    """
    library = mldsa.provider()
    if library is None:
        raise Unauthorized(f"the ML-DSA-65 signature cannot be verified: {REMEDY}")
    if not library.verifies(public, signature, message):
        raise Unauthorized("the ML-DSA-65 signature does not fit the message and the key")


def _check_seed(algorithm: str, seed: bytes, size: int) -> None:
    if len(seed) != size:
        raise LocalError(f"{algorithm} needs {size} secret bytes to make a key, not {len(seed)}")
