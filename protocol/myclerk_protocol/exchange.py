"""The hybrid key exchange of draft section 5: X25519 beside ML-KEM-768, or X25519 alone.

Both outputs are combined by the caller (:mod:`myclerk_protocol.keys`); this module only runs the exchange.
"""

from __future__ import annotations

from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from . import kem
from .environment import Environment
from .status import BadRequest


class Mode(IntEnum):
    """``kex-mode`` of draft section 7.1."""

    CLASSICAL = 0
    HYBRID = 1


def x25519_keypair(random: bytes) -> tuple[X25519PrivateKey, bytes]:
    """A private key from 32 random bytes, and its public key (32 bytes, RFC 7748)."""
    private = X25519PrivateKey.from_private_bytes(random)
    return private, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def x25519_shared(private: X25519PrivateKey, public: bytes) -> bytes:
    """The 32-byte shared secret; an all-zero output is refused (RFC 7748 section 6.1).

    Raises BadRequest with key ``x25519-public``.
    """
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise BadRequest("`x25519-public` is no usable X25519 key", key="x25519-public") from None


class Offer:
    """The initiator's half: fresh keys, to be answered once.

    ``x25519_public`` is 32 bytes; ``mlkem_public`` is 1,184 bytes in hybrid mode, else None.
    """

    def __init__(self, mode: Mode, environment: Environment, provider: kem.Provider | None = None) -> None:
        self.mode = mode
        self._x25519, self.x25519_public = x25519_keypair(environment.random(32))
        self.mlkem_public: bytes | None = None
        self._provider = provider
        self._mlkem: object = None
        if mode is Mode.HYBRID:
            self._provider = provider or kem.default()
            self.mlkem_public, self._mlkem = self._provider.keygen()

    def shared(self, x25519_public: bytes, mlkem_ciphertext: bytes | None) -> bytes:
        """X25519 ‖ ML-KEM-768 (64 bytes), or X25519 alone (32 bytes). The keys are wiped.

        Raises BadRequest when the answer does not fit the mode. ML-KEM decapsulation never fails: a wrong
        ciphertext gives another secret (FIPS 203 implicit rejection).
        """
        if (mlkem_ciphertext is None) != (self.mode is Mode.CLASSICAL):
            raise BadRequest("`mlkem-ciphertext` goes with the hybrid mode only", key="mlkem-ciphertext")
        shared = x25519_shared(self._x25519, x25519_public)
        if mlkem_ciphertext is not None and self._provider is not None:
            shared += self._provider.decapsulate(self._mlkem, mlkem_ciphertext)
        self.wipe()
        return shared

    def wipe(self) -> None:
        """Overwrite the ML-KEM private key where the provider can (draft section 10.7)."""
        wipe = getattr(self._mlkem, "wipe", None)
        if wipe is not None:
            wipe()
        self._mlkem = None


def answer(
    environment: Environment,
    x25519_public: bytes,
    mlkem_public: bytes | None,
    provider: kem.Provider | None = None,
) -> tuple[bytes, bytes | None, bytes]:
    """The responder's half: own X25519 public key, ML-KEM ciphertext (hybrid) or None, the shared secret.

    Raises BadRequest for a key that X25519 or FIPS 203 section 7.2 refuses.
    """
    private, public = x25519_keypair(environment.random(32))
    shared = x25519_shared(private, x25519_public)
    if mlkem_public is None:
        return public, None, shared
    ciphertext, secret = (provider or kem.default()).encapsulate(mlkem_public)
    return public, ciphertext, shared + secret
