"""ML-KEM-768 from ``cryptography`` 48 or newer."""

from __future__ import annotations

from typing import Any

from .base import CheckedProvider, PrivateKey


class CryptographyProvider(CheckedProvider):
    """Private keys live in OpenSSL's memory, which erases them when the last reference goes.

    Raises ImportError for a ``cryptography`` before 47; one of 47, or one built without ML-KEM, raises
    UnsupportedAlgorithm in each function.
    """

    name = "cryptography"

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import mlkem

        self._private_key = mlkem.MLKEM768PrivateKey
        self._public_key = mlkem.MLKEM768PublicKey

    def import_private(self, encoded: bytes) -> PrivateKey:
        """A private key from FIPS 203's seed d ‖ z (64 bytes), which is copied."""
        return PrivateKey(self, self._private_key.from_seed_bytes(encoded))

    def _keygen(self) -> tuple[bytes, PrivateKey]:
        key = self._private_key.generate()
        return key.public_key().public_bytes_raw(), PrivateKey(self, key)

    def _encapsulate(self, key: bytes) -> tuple[bytes, bytes]:
        secret, ciphertext = self._public_key.from_public_bytes(key).encapsulate()
        return ciphertext, secret

    def _decapsulate(self, material: Any, ciphertext: bytes) -> bytes:
        secret: bytes = material.decapsulate(ciphertext)
        return secret
