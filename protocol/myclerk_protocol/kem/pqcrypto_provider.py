"""ML-KEM-768 from the ``pqcrypto`` package, in its API of 1.0 and in that of 0.3 and 0.4."""

from __future__ import annotations

import ctypes
from typing import Any

from .base import CheckedProvider, PrivateKey


class PqcryptoProvider(CheckedProvider):
    """Keys are ``bytes``; a private key's are overwritten in place, best effort (docs/protocol.md).

    Raises ImportError without the package, AttributeError for an API that is neither.
    """

    name = "pqcrypto"

    def __init__(self) -> None:
        from pqcrypto.kem import ml_kem_768 as library

        if hasattr(library, "keygen"):
            self._generate, self._encaps, self._decaps = library.keygen, library.encaps, library.decaps
        else:
            self._generate, self._encaps = library.generate_keypair, library.encrypt
            self._decaps = library.decrypt

    def import_private(self, encoded: bytes) -> PrivateKey:
        """A private key from FIPS 203's decapsulation key (2,400 bytes), which is copied."""
        return self._private(bytes(bytearray(encoded)))

    def _keygen(self) -> tuple[bytes, PrivateKey]:
        public, secret = self._generate()
        return public, self._private(secret)

    def _encapsulate(self, key: bytes) -> tuple[bytes, bytes]:
        ciphertext, secret = self._encaps(bytes(key))
        return ciphertext, secret

    def _decapsulate(self, material: Any, ciphertext: bytes) -> bytes:
        secret: bytes = self._decaps(material, bytes(ciphertext))
        return secret

    def _private(self, secret: bytes) -> PrivateKey:
        # No name but the key's own reaches these bytes, so nobody sees an immutable object change.
        return PrivateKey(self, secret, ctypes.memset, secret, 0, len(secret))
