"""Signatures of docs/protocol.md: Ed448 (RFC 8032, pure) and ML-DSA-65 (FIPS 204), with an empty context.

Verification never returns a verdict that could be overlooked: it raises Unauthorized or returns None.
Ed448 is always there; ML-DSA-65 comes with ``cryptography`` 48 or newer (:func:`available`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey

from .status import LocalError, Unauthorized

ED448_SEED_SIZE = 57
ED448_PUBLIC_SIZE = 57
ED448_SIGNATURE_SIZE = 114
MLDSA65_SEED_SIZE = 32
MLDSA65_PUBLIC_SIZE = 1952
MLDSA65_SIGNATURE_SIZE = 3309

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
    return _mldsa() is not None


class MlDsa65Key:
    """An ML-DSA-65 private key, made from its 32 secret bytes (the seed xi of FIPS 204 algorithm 6).

    ``public`` is the public key, 1,952 bytes. Raises LocalError for a seed of another length, and where
    ML-DSA-65 is not :func:`available`.
    """

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        library = _mldsa()
        if library is None:
            raise LocalError("nothing here can sign with ML-DSA-65: install cryptography 48 or newer")
        _check_seed("ML-DSA-65", seed, MLDSA65_SEED_SIZE)
        self._key = library.MLDSA65PrivateKey.from_seed_bytes(seed)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """A signature over ``message``, 3,309 bytes, hedged by the library: another one each time."""
        signature: bytes = self._key.sign(message)
        return signature


def verify_mldsa65(public: bytes, signature: bytes, message: bytes) -> None:
    """Raises Unauthorized unless ``signature`` is one over ``message`` by the key ``public`` (1,952 bytes).

    Where ML-DSA-65 is not :func:`available` nothing can be verified, so every signature is refused.
    """
    library = _mldsa()
    if library is None:
        raise Unauthorized("the ML-DSA-65 signature cannot be verified: this takes cryptography 48 or newer")
    try:
        library.MLDSA65PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Unauthorized("the ML-DSA-65 signature does not fit the message and the key") from None


def _check_seed(algorithm: str, seed: bytes, size: int) -> None:
    if len(seed) != size:
        raise LocalError(f"{algorithm} needs {size} secret bytes to make a key, not {len(seed)}")


@cache
def _mldsa() -> ModuleType | None:
    """The module of ``cryptography`` that has ML-DSA, or None where it is missing or cannot do ML-DSA-65."""
    try:
        library = import_module("cryptography.hazmat.primitives.asymmetric.mldsa")
        library.MLDSA65PrivateKey.from_seed_bytes(bytes(MLDSA65_SEED_SIZE))
    except (ImportError, AttributeError, UnsupportedAlgorithm):
        return None
    return library
