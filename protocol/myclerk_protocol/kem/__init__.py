"""ML-KEM-768 (FIPS 203) behind a seam of three functions, from whichever library is there.

Tried in this order: ``pqcrypto``, ``cryptography`` 48 or newer, the system's libcrypto (OpenSSL 3.5 or
newer). They interoperate; nothing on the wire tells them apart.
"""

from __future__ import annotations

from functools import cache
from hmac import compare_digest

from ..status import LocalError
from .base import (
    CIPHERTEXT_SIZE,
    ENCAPSULATION_KEY_SIZE,
    SHARED_SECRET_SIZE,
    CheckedProvider,
    PrivateKey,
    Provider,
    check_encapsulation_key,
)
from .cryptography_provider import CryptographyProvider
from .libcrypto_provider import LibcryptoProvider
from .pqcrypto_provider import PqcryptoProvider

__all__ = [
    "CIPHERTEXT_SIZE",
    "ENCAPSULATION_KEY_SIZE",
    "NAMES",
    "SHARED_SECRET_SIZE",
    "PrivateKey",
    "Provider",
    "check_encapsulation_key",
    "default",
    "provider",
    "providers",
]

_CLASSES: tuple[type[CheckedProvider], ...] = (PqcryptoProvider, CryptographyProvider, LibcryptoProvider)

NAMES = tuple(cls.name for cls in _CLASSES)
"""The providers' names, in the order in which they are tried."""


def providers() -> list[Provider]:
    """The providers that work here, in the order of :data:`NAMES`; the others are left out silently."""
    return [found for found in map(_load, _CLASSES) if found is not None]


def default() -> Provider:
    """The first provider that works here. Raises LocalError when there is none."""
    found = next(filter(None, map(_load, _CLASSES)), None)
    if found is None:
        raise LocalError(
            "no library here does ML-KEM-768: install the Python package pqcrypto, or cryptography 48 or "
            "newer, or the system's OpenSSL 3.5 or newer (Debian 13 has it)"
        )
    return found


def provider(name: str) -> Provider:
    """The provider called ``name``, one of :data:`NAMES`. Raises LocalError if it does not work here."""
    found = next((_load(cls) for cls in _CLASSES if cls.name == name), None)
    if found is None:
        working = ", ".join(p.name for p in providers()) or "none"
        raise LocalError(f"the ML-KEM-768 provider {name!r} does not work here; these do: {working}")
    return found


@cache
def _load(cls: type[CheckedProvider]) -> CheckedProvider | None:
    """``cls`` ready for use, or None if its library is missing, lacks ML-KEM-768 or contradicts itself."""
    try:
        candidate = cls()
        public, private = candidate.keygen()
        ciphertext, secret = candidate.encapsulate(public)
        agrees = compare_digest(candidate.decapsulate(private, ciphertext), secret)
        private.wipe()
    except Exception:  # whatever a foreign library raises, the next provider is tried
        return None
    return candidate if agrees else None
