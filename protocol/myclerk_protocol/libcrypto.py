"""The system's libcrypto (OpenSSL 3.5 or newer) through ctypes, for what ``cryptography`` may lack."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import c_uint
from typing import Any

from .status import LocalError

LIBRARIES = ("libcrypto.so.3", "libcrypto.so.4")
MINIMUM_VERSION = (3, 5)
"""The first version with ML-KEM and ML-DSA."""

Prototypes = Mapping[str, tuple[Any, list[Any]]]
"""Result and arguments of each function that is called, by name."""


def load(prototypes: Prototypes, path: str | None = None) -> ctypes.CDLL:
    """The system's libcrypto, or the library at ``path``, with the ``prototypes`` set.

    Raises LocalError when there is none of OpenSSL 3.5 or newer with these functions.
    """
    for name in LIBRARIES if path is None else (path,):
        try:
            library = ctypes.CDLL(name)
            if _version(library) < MINIMUM_VERSION:
                continue
            for function, (result, arguments) in prototypes.items():
                getattr(library, function).restype = result
                getattr(library, function).argtypes = arguments
        except (OSError, AttributeError):
            continue
        return library
    raise LocalError("no libcrypto of OpenSSL 3.5 or newer is installed")


def _version(library: ctypes.CDLL) -> tuple[int, int]:
    library.OPENSSL_version_major.restype = library.OPENSSL_version_minor.restype = c_uint
    return library.OPENSSL_version_major(), library.OPENSSL_version_minor()
