"""ML-KEM-768 from the system's libcrypto (OpenSSL 3.5 or newer) through ctypes and EVP_PKEY(3)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p, create_string_buffer
from typing import Any

from .. import libcrypto
from ..status import LocalError
from .base import (
    CIPHERTEXT_SIZE,
    ENCAPSULATION_KEY_SIZE,
    SHARED_SECRET_SIZE,
    CheckedProvider,
    PrivateKey,
)

ALGORITHM = b"ML-KEM-768"

_SIZE = ctypes.POINTER(c_size_t)
_PROTOTYPES: libcrypto.Prototypes = {
    "ERR_clear_error": (None, []),
    "EVP_PKEY_Q_keygen": (c_void_p, [c_void_p, c_char_p, c_char_p]),
    "EVP_PKEY_free": (None, [c_void_p]),
    "EVP_PKEY_get_raw_public_key": (c_int, [c_void_p, c_char_p, _SIZE]),
    "EVP_PKEY_new_raw_public_key_ex": (c_void_p, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "EVP_PKEY_new_raw_private_key_ex": (c_void_p, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "EVP_PKEY_CTX_new_from_pkey": (c_void_p, [c_void_p, c_void_p, c_char_p]),
    "EVP_PKEY_CTX_free": (None, [c_void_p]),
    "EVP_PKEY_encapsulate_init": (c_int, [c_void_p, c_void_p]),
    "EVP_PKEY_encapsulate": (c_int, [c_void_p, c_char_p, _SIZE, c_char_p, _SIZE]),
    "EVP_PKEY_decapsulate_init": (c_int, [c_void_p, c_void_p]),
    "EVP_PKEY_decapsulate": (c_int, [c_void_p, c_char_p, _SIZE, c_char_p, c_size_t]),
}


class LibcryptoProvider(CheckedProvider):
    """Private keys live in OpenSSL's memory, which erases them when they are freed.

    ``path`` names another library than the system's. Raises LocalError when there is none of OpenSSL 3.5
    or newer.
    """

    name = "libcrypto"

    def __init__(self, path: str | None = None) -> None:
        self._crypto = libcrypto.load(_PROTOTYPES, path)

    def import_private(self, encoded: bytes) -> PrivateKey:
        """A private key from FIPS 203's decapsulation key (2,400 bytes), which is copied."""
        return self._private(
            self._crypto.EVP_PKEY_new_raw_private_key_ex(None, ALGORITHM, None, encoded, len(encoded))
        )

    def _keygen(self) -> tuple[bytes, PrivateKey]:
        private = self._private(self._crypto.EVP_PKEY_Q_keygen(None, None, ALGORITHM))
        public, size = _output(ENCAPSULATION_KEY_SIZE)
        self._expect(self._crypto.EVP_PKEY_get_raw_public_key(private.material(self), public, byref(size)))
        return public.raw[: size.value], private

    def _encapsulate(self, key: bytes) -> tuple[bytes, bytes]:
        ciphertext, ciphertext_size = _output(CIPHERTEXT_SIZE)
        secret, secret_size = _output(SHARED_SECRET_SIZE)
        public = self._expect(
            self._crypto.EVP_PKEY_new_raw_public_key_ex(None, ALGORITHM, None, bytes(key), len(key))
        )
        try:
            arguments = ciphertext, byref(ciphertext_size), secret, byref(secret_size)
            self._run(
                self._crypto.EVP_PKEY_encapsulate_init, self._crypto.EVP_PKEY_encapsulate, public, *arguments
            )
        finally:
            self._crypto.EVP_PKEY_free(public)
        return ciphertext.raw[: ciphertext_size.value], secret.raw[: secret_size.value]

    def _decapsulate(self, material: Any, ciphertext: bytes) -> bytes:
        secret, size = _output(SHARED_SECRET_SIZE)
        arguments = secret, byref(size), bytes(ciphertext), len(ciphertext)
        self._run(
            self._crypto.EVP_PKEY_decapsulate_init, self._crypto.EVP_PKEY_decapsulate, material, *arguments
        )
        return secret.raw[: size.value]

    def _private(self, key: int | None) -> PrivateKey:
        pointer = self._expect(key)
        return PrivateKey(self, pointer, self._crypto.EVP_PKEY_free, pointer)

    def _run(self, begin: Callable[..., int], operate: Callable[..., int], key: int, *arguments: Any) -> None:
        """One operation with ``key``, in a context of its own."""
        context = self._expect(self._crypto.EVP_PKEY_CTX_new_from_pkey(None, key, None))
        try:
            self._expect(begin(context, None))
            self._expect(operate(context, *arguments))
        finally:
            self._crypto.EVP_PKEY_CTX_free(context)

    def _expect(self, result: int | None) -> int:
        """``result`` of a call: a pointer, or 1 for success. Raises LocalError for anything else."""
        if result is None or result <= 0:
            self._crypto.ERR_clear_error()  # this thread's queue may be the ssl module's too
            raise LocalError(
                "libcrypto failed in an ML-KEM-768 operation; install pqcrypto, which is used before it"
            )
        return result


def _output(size: int) -> tuple[ctypes.Array[ctypes.c_char], c_size_t]:
    return create_string_buffer(size), c_size_t(size)
