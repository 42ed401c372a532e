"""ML-DSA-65 (FIPS 204, empty context) from whichever library is there; nothing on the wire tells them apart.

Tried in this order: ``cryptography`` 48 or newer, the system's libcrypto (OpenSSL 3.5 or newer, as in
Debian 13). :mod:`.signatures` is what the rest of the project uses.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_long, c_size_t, c_void_p, create_string_buffer
from ctypes import cast as c_cast
from functools import cache
from importlib import import_module
from typing import Protocol

from . import libcrypto
from .status import LocalError

SEED_SIZE = 32
PUBLIC_SIZE = 1952
SIGNATURE_SIZE = 3309


class PrivateKey(Protocol):
    """An ML-DSA-65 private key; ``public`` is its public key, 1,952 bytes."""

    public: bytes

    def sign(self, message: bytes) -> bytes:
        """A signature over ``message``, 3,309 bytes, another one each time."""


class Provider(Protocol):
    """An implementation of ML-DSA-65."""

    name: str

    def private_key(self, seed: bytes) -> PrivateKey:
        """The key made from the seed xi (32 bytes, FIPS 204 algorithm 6)."""

    def verifies(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is one over ``message``; False too for a key or a length that is none."""


@cache
def provider() -> Provider | None:
    """The first provider that works here, or None."""
    kinds: tuple[Callable[[], Provider], ...] = (CryptographyProvider, LibcryptoProvider)
    for kind in kinds:
        try:
            found = kind()
            key = found.private_key(bytes(SEED_SIZE))
            if found.verifies(key.public, key.sign(b"probe"), b"probe"):
                return found
        except Exception:  # noqa: S112 (whatever a foreign library raises, the next one is tried)
            continue
    return None


class CryptographyProvider:
    """ML-DSA-65 from ``cryptography``. Raises ImportError for one before 47."""

    name = "cryptography"

    def __init__(self) -> None:
        self._library = import_module("cryptography.hazmat.primitives.asymmetric.mldsa")

    def private_key(self, seed: bytes) -> PrivateKey:
        """See :meth:`Provider.private_key`."""
        return _CryptographyKey(self._library, seed)

    def verifies(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """See :meth:`Provider.verifies`."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._library.MLDSA65PublicKey.from_public_bytes(public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class _CryptographyKey:
    __slots__ = ("_key", "public")

    def __init__(self, library: object, seed: bytes) -> None:
        self._key = library.MLDSA65PrivateKey.from_seed_bytes(seed)  # type: ignore[attr-defined]
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        signature: bytes = self._key.sign(message)
        return signature


ALGORITHM = b"ML-DSA-65"
_PKCS8 = bytes.fromhex("3034020100300b0609608648016503040312" "04228020")  # fmt: skip
"""PrivateKeyInfo of id-ml-dsa-65 with a key in its seed form (RFC 9881 section 6); the seed follows."""

_BYTES = POINTER(c_char)
_PROTOTYPES: libcrypto.Prototypes = {
    "ERR_clear_error": (None, []),
    "d2i_AutoPrivateKey": (c_void_p, [c_void_p, POINTER(_BYTES), c_long]),
    "EVP_PKEY_free": (None, [c_void_p]),
    "EVP_PKEY_get_raw_public_key": (c_int, [c_void_p, c_char_p, POINTER(c_size_t)]),
    "EVP_PKEY_new_raw_public_key_ex": (c_void_p, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "EVP_MD_CTX_new": (c_void_p, []),
    "EVP_MD_CTX_free": (None, [c_void_p]),
    "EVP_DigestSignInit_ex": (c_int, [c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p]),
    "EVP_DigestSign": (c_int, [c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t]),
    "EVP_DigestVerifyInit_ex": (
        c_int, [c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p],
    ),
    "EVP_DigestVerify": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t]),
}  # fmt: skip


class LibcryptoProvider:
    """ML-DSA-65 from libcrypto; ``path`` names another library than the system's.

    Private keys live in OpenSSL's memory, which erases them when they are freed. Raises LocalError when
    there is no OpenSSL 3.5 or newer.
    """

    name = "libcrypto"

    def __init__(self, path: str | None = None) -> None:
        self._crypto = libcrypto.load(_PROTOTYPES, path)

    def private_key(self, seed: bytes) -> PrivateKey:
        """See :meth:`Provider.private_key`."""
        encoded = create_string_buffer(_PKCS8 + seed, len(_PKCS8) + SEED_SIZE)
        start = c_cast(encoded, _BYTES)
        try:
            key = self.expect(self._crypto.d2i_AutoPrivateKey(None, byref(start), len(encoded)))
        finally:
            encoded.raw = bytes(len(encoded))
        return _LibcryptoKey(self, key)

    def verifies(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """See :meth:`Provider.verifies`."""
        if len(public) != PUBLIC_SIZE or len(signature) != SIGNATURE_SIZE:
            return False
        crypto = self._crypto
        key = self.expect(
            crypto.EVP_PKEY_new_raw_public_key_ex(None, ALGORITHM, None, bytes(public), len(public))
        )
        context = crypto.EVP_MD_CTX_new()
        try:
            self.expect(crypto.EVP_DigestVerifyInit_ex(context, None, None, None, None, key, None))
            signature, message = bytes(signature), bytes(message)
            good: int = crypto.EVP_DigestVerify(context, signature, len(signature), message, len(message))
            crypto.ERR_clear_error()
            return good == 1
        finally:
            crypto.EVP_MD_CTX_free(context)
            crypto.EVP_PKEY_free(key)

    def public_key(self, key: int) -> bytes:
        """The raw public key of the private ``key``, an EVP_PKEY."""
        public, size = create_string_buffer(PUBLIC_SIZE), c_size_t(PUBLIC_SIZE)
        self.expect(self._crypto.EVP_PKEY_get_raw_public_key(key, public, byref(size)))
        return public.raw[: size.value]

    def sign(self, key: int, message: bytes) -> bytes:
        """A signature over ``message`` by ``key``, an EVP_PKEY."""
        crypto = self._crypto
        signature, size = create_string_buffer(SIGNATURE_SIZE), c_size_t(SIGNATURE_SIZE)
        context = crypto.EVP_MD_CTX_new()
        try:
            self.expect(crypto.EVP_DigestSignInit_ex(context, None, None, None, None, key, None))
            self.expect(crypto.EVP_DigestSign(context, signature, byref(size), bytes(message), len(message)))
        finally:
            crypto.EVP_MD_CTX_free(context)
        return signature.raw[: size.value]

    def free(self, key: int) -> None:
        """Erase and free ``key``, an EVP_PKEY."""
        self._crypto.EVP_PKEY_free(key)

    def expect(self, result: int | None) -> int:
        """``result`` of a call: a pointer, or 1 for success. Raises LocalError for anything else."""
        if result is None or result <= 0:
            self._crypto.ERR_clear_error()  # this thread's queue may be the ssl module's too
            raise LocalError("libcrypto failed in an ML-DSA-65 operation; install cryptography 48 or newer")
        return result


class _LibcryptoKey:
    __slots__ = ("__weakref__", "_key", "_library", "public")

    def __init__(self, library: LibcryptoProvider, key: int) -> None:
        self._library, self._key = library, key
        weakref.finalize(self, library.free, key)
        self.public = library.public_key(key)

    def sign(self, message: bytes) -> bytes:
        return self._library.sign(self._key, message)
