"""What the ML-KEM-768 providers share: the seam, sizes, the key check and the private key's life."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from ..status import BadRequest, LocalError

ENCAPSULATION_KEY_SIZE = 1184
CIPHERTEXT_SIZE = 1088
SHARED_SECRET_SIZE = 32
MODULUS = 3329
"""q of FIPS 203."""

_PACKED_SIZE = 1152  # 768 coefficients of 12 bits, little-endian; the 32 bytes behind them are the seed rho
_LANES = sum(1 << 24 * i for i in range(384))  # two coefficients a lane, so that a carry has room
_LOW_HALVES = 0xFFF * _LANES
_BIAS = (0x1000 - MODULUS) * _LANES
_CARRIES = 0x1000 * _LANES


class Provider(Protocol):
    """An implementation of ML-KEM-768 (FIPS 203)."""

    @property
    def name(self) -> str:
        """The library's name, one of :data:`myclerk_protocol.kem.NAMES`."""

    def keygen(self) -> tuple[bytes, object]:
        """A fresh encapsulation key (1,184 bytes) and its private key, to be handed to :meth:`decapsulate`.

        The private key has ``wipe()`` where the provider can erase it.
        """

    def encapsulate(self, key: bytes) -> tuple[bytes, bytes]:
        """A ciphertext (1,088 bytes) for ``key`` and the shared secret (32 bytes).

        Raises BadRequest for a key that FIPS 203 section 7.2 refuses.
        """

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """The shared secret (32 bytes); for a ciphertext that was not made for this key, another secret.

        Raises BadRequest for a wrong length only (FIPS 203 implicit rejection), and LocalError for a private
        key that was wiped or comes from another provider.
        """


def check_length(key: str, value: bytes, size: int) -> None:
    """Raises BadRequest naming the payload's ``key`` unless ``value`` has ``size`` bytes."""
    if len(value) != size:
        raise BadRequest(f"`{key}` must be {size} bytes, not {len(value)}", key=key)


def check_encapsulation_key(key: bytes) -> None:
    """The checks of FIPS 203 section 7.2: 1,184 bytes, and each of the 768 coefficients below 3,329.

    Raises BadRequest with key ``mlkem-public``.
    """
    check_length("mlkem-public", key, ENCAPSULATION_KEY_SIZE)
    packed = int.from_bytes(key[:_PACKED_SIZE], "little")
    # A coefficient of q or more, with 4096 - q added, carries into the free half of its lane.
    carries = ((packed & _LOW_HALVES) + _BIAS) | ((packed >> 12 & _LOW_HALVES) + _BIAS)
    if carries & _CARRIES:
        raise BadRequest("`mlkem-public` has a coefficient above the modulus of ML-KEM", key="mlkem-public")


class PrivateKey:
    """A decapsulation key in its provider's own form, until :meth:`wipe`.

    ``erase(*arguments)`` runs once: at :meth:`wipe`, or when the key is collected, or at exit.
    """

    __slots__ = ("__weakref__", "_erase", "_material", "_owner")

    def __init__(
        self, owner: object, material: Any, erase: Callable[..., object] | None = None, *arguments: Any
    ) -> None:
        self._owner = owner
        self._material = material
        self._erase = weakref.finalize(self, erase, *arguments) if erase is not None else None

    def material(self, owner: object) -> Any:
        """What ``owner`` put in. Raises LocalError for another owner and after :meth:`wipe`."""
        if owner is not self._owner:
            raise LocalError("an ML-KEM private key works only with the provider that made it")
        if self._material is None:
            raise LocalError("this ML-KEM private key was wiped; make a new one for each exchange")
        return self._material

    def wipe(self) -> None:
        """Erase the key as well as the provider can (docs/protocol.md). Idempotent."""
        self._material = None
        if self._erase is not None:
            self._erase()


class CheckedProvider(ABC):
    """A :class:`Provider` that checks each size that goes in or comes out; subclasses call their library."""

    name: ClassVar[str]

    def keygen(self) -> tuple[bytes, PrivateKey]:
        """See :meth:`Provider.keygen`."""
        public, private = self._keygen()
        return self._sized("encapsulation key", public, ENCAPSULATION_KEY_SIZE), private

    def encapsulate(self, key: bytes) -> tuple[bytes, bytes]:
        """See :meth:`Provider.encapsulate`."""
        check_encapsulation_key(key)
        ciphertext, secret = self._encapsulate(key)
        return (
            self._sized("ciphertext", ciphertext, CIPHERTEXT_SIZE),
            self._sized("shared secret", secret, SHARED_SECRET_SIZE),
        )

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """See :meth:`Provider.decapsulate`."""
        check_length("mlkem-ciphertext", ciphertext, CIPHERTEXT_SIZE)
        if not isinstance(private, PrivateKey):
            raise LocalError("decapsulation needs the private key that keygen returned")
        secret = self._decapsulate(private.material(self), ciphertext)
        return self._sized("shared secret", secret, SHARED_SECRET_SIZE)

    def _sized(self, what: str, value: bytes, size: int) -> bytes:
        if len(value) != size:
            raise LocalError(f"{self.name} is broken: its ML-KEM {what} has {len(value)} bytes, not {size}")
        return value

    @abstractmethod
    def _keygen(self) -> tuple[bytes, PrivateKey]: ...

    @abstractmethod
    def _encapsulate(self, key: bytes) -> tuple[bytes, bytes]:
        """Ciphertext and shared secret for a checked key."""

    @abstractmethod
    def _decapsulate(self, material: Any, ciphertext: bytes) -> bytes:
        """The shared secret; ``material`` is what :meth:`_keygen` put into the private key."""
