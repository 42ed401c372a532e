"""Ed448 and ML-DSA-65: published vectors, and that verification accepts nothing else."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol import mldsa, signatures
from myclerk_protocol.signatures import Ed448Key, MlDsa65Key, verify_ed448, verify_mldsa65
from myclerk_protocol.status import LocalError, Unauthorized

# RFC 8032 section 7.4, tests "Blank", "1 octet" and "64 octets": secret key, public key, message, signature.
RFC_8032 = {
    "blank": (
        "6c82a562cb808d10d632be89c8513ebf6c929f34ddfa8c9f63c9960ef6e348a3"
        "528c8a3fcc2f044e39a3fc5b94492f8f032e7549a20098f95b",
        "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778"
        "edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180",
        "",
        "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f"
        "2b233f034f628281f2fd7a22ddd47d7828c59bd0a21bfd3980ff0d2028d4b18a"
        "9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4db"
        "b61149f05a7363268c71d95808ff2e652600",
    ),
    "1 octet": (
        "c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463a"
        "fbea67c5e8d2877c5e3bc397a659949ef8021e954e0a12274e",
        "43ba28f430cdff456ae531545f7ecd0ac834a55d9358c0372bfa0c6c6798c086"
        "6aea01eb00742802b8438ea4cb82169c235160627b4c3a9480",
        "03",
        "26b8f91727bd62897af15e41eb43c377efb9c610d48f2335cb0bd0087810f435"
        "2541b143c4b981b7e18f62de8ccdf633fc1bf037ab7cd779805e0dbcc0aae1cb"
        "cee1afb2e027df36bc04dcecbf154336c19f0af7e0a6472905e799f1953d2a0f"
        "f3348ab21aa4adafd1d234441cf807c03a00",
    ),
    "64 octets": (
        "d65df341ad13e008567688baedda8e9dcdc17dc024974ea5b4227b6530e339bf"
        "f21f99e68ca6968f3cca6dfe0fb9f4fab4fa135d5542ea3f01",
        "df9705f58edbab802c7f8363cfe5560ab1c6132c20a9f1dd163483a26f8ac53a"
        "39d6808bf4a1dfbd261b099bb03b3fb50906cb28bd8a081f00",
        "bd0f6a3747cd561bdddf4640a332461a4a30a12a434cd0bf40d766d9c6d458e5"
        "512204a30c17d1f50b5079631f64eb3112182da3005835461113718d1a5ef944",
        "554bc2480860b49eab8532d2a533b7d578ef473eeb58c98bb2d0e1ce488a98b1"
        "8dfde9b9b90775e67f47d4a1c3482058efc9f40d2ca033a0801b63d45b3b722e"
        "f552bad3b4ccb667da350192b61c508cf7b6b5adadc2c8d9a446ef003fb05cba"
        "5f30e88e36ec2703b349ca229c2670833900",
    ),
}
# RFC 8032 section 7.4, "1 octet (with context)": the key and message of "1 octet", context "foo".
WITH_CONTEXT = (
    "d4f8f6131770dd46f40867d6fd5d5055de43541f8c5e35abbcd001b32a89f7d2"
    "151f7647f11d8ca2ae279fb842d607217fce6e042f6815ea000c85741de5c8da"
    "1144a6a1aba7f96de42505d7a7298524fda538fccbbb754f578c1cad10d54d0d"
    "5428407e85dcbc98a49155c13764e66c3c00"
)
MLDSA_MODULE = "cryptography.hazmat.primitives.asymmetric.mldsa"

needs_mldsa = pytest.mark.skipif(
    not signatures.available(), reason="ML-DSA-65 needs cryptography 48 or OpenSSL 3.5"
)
SIGNERS = [
    pytest.param(Ed448Key, 57, verify_ed448, id="Ed448"),
    pytest.param(MlDsa65Key, 32, verify_mldsa65, id="ML-DSA-65", marks=needs_mldsa),
]


@pytest.mark.parametrize("vector", RFC_8032.values(), ids=RFC_8032.keys())
def test_rfc_8032_vectors(vector: tuple[str, str, str, str]) -> None:
    seed, public, message, signature = map(bytes.fromhex, vector)
    key = Ed448Key(seed)
    assert key.public == public
    assert key.sign(message) == signature
    verify_ed448(public, signature, message)


def test_an_ed448_signature_with_a_context_is_refused() -> None:
    _, public, message, _ = map(bytes.fromhex, RFC_8032["1 octet"])
    with pytest.raises(Unauthorized):
        verify_ed448(public, bytes.fromhex(WITH_CONTEXT), message)


def published_mldsa_vectors() -> list[dict[str, str]]:
    vectors = pytest.importorskip("cryptography_vectors")
    path = Path(vectors.__file__).with_name("asymmetric") / "MLDSA" / "kat_MLDSA_65_det_pure.rsp"
    if not path.exists():
        pytest.skip("this cryptography_vectors has no ML-DSA vectors")
    records = path.read_text().split("count = ")[1:]
    lines = [[line.split(" = ") for line in record.splitlines()[1:] if line] for record in records]
    return [dict(record) for record in lines]


@needs_mldsa
def test_published_mldsa_vectors() -> None:
    """kat_MLDSA_65_det_pure.rsp of the package cryptography_vectors: keys from seeds, signed messages.

    The signatures are good FIPS 204 ones, but each is made with a context, so none may verify here.
    """
    vectors = published_mldsa_vectors()
    assert len(vectors) == 100
    for vector in vectors:
        public, signed = bytes.fromhex(vector["pk"]), bytes.fromhex(vector["sm"])
        assert MlDsa65Key(bytes.fromhex(vector["xi"])).public == public
        assert vector["ctx"]
        with pytest.raises(Unauthorized):
            verify_mldsa65(public, signed[:3309], signed[3309:])


@needs_mldsa
def test_mldsa_signs_the_representative_of_fips_204_with_an_empty_context() -> None:
    """FIPS 204 algorithms 2 and 7: mu = H(H(pk, 64) ‖ 0x00 ‖ length of the context ‖ context ‖ M, 64)."""
    library = pytest.importorskip(MLDSA_MODULE)
    private = library.MLDSA65PrivateKey.from_seed_bytes(bytes(range(32)))
    if not hasattr(private, "sign_mu"):
        pytest.skip("this cryptography does not sign a precomputed mu")
    key, message = MlDsa65Key(bytes(range(32))), b"myclerk-agent-auth-v1" + bytes(32)
    tr = hashlib.shake_256(key.public).digest(64)
    mu = hashlib.shake_256(tr + b"\x00\x00" + message).digest(64)
    verify_mldsa65(key.public, private.sign_mu(mu), message)
    private.public_key().verify_mu(key.sign(message), mu)
    other = hashlib.shake_256(tr + b"\x01\x00" + message).digest(64)  # HashML-DSA's domain
    with pytest.raises(Unauthorized):
        verify_mldsa65(key.public, private.sign_mu(other), message)


@needs_mldsa
def test_mldsa_sizes() -> None:
    key = MlDsa65Key(bytes(32))
    assert len(key.public) == signatures.MLDSA65_PUBLIC_SIZE == 1952
    assert len(key.sign(b"")) == signatures.MLDSA65_SIGNATURE_SIZE == 3309


@pytest.mark.parametrize(("kind", "seed_size", "verify"), SIGNERS)
class TestEitherAlgorithm:
    """What holds for both algorithms."""

    def test_what_was_signed_verifies(self, kind: Any, seed_size: int, verify: Any) -> None:
        key = kind(bytes(range(seed_size)))
        assert key.public == kind(bytes(range(seed_size))).public
        for message in (b"", b"one", bytes(5000)):
            assert verify(key.public, key.sign(message), message) is None

    def test_every_change_is_refused(self, kind: Any, seed_size: int, verify: Any) -> None:
        key, other = kind(bytes(range(seed_size))), kind(bytes(seed_size))
        message = b"what the agent said"
        signature = key.sign(message)
        with pytest.raises(Unauthorized):
            verify(other.public, signature, message)
        for changed in (message + b"\x00", message[:-1], b""):
            with pytest.raises(Unauthorized):
                verify(key.public, signature, changed)
        for position in (0, len(signature) // 2, len(signature) - 1):
            forged = bytearray(signature)
            forged[position] ^= 1
            with pytest.raises(Unauthorized):
                verify(key.public, bytes(forged), message)

    def test_wrong_lengths_are_refused(self, kind: Any, seed_size: int, verify: Any) -> None:
        key = kind(bytes(range(seed_size)))
        signature = key.sign(b"m")
        for bad in (b"", signature[:-1], signature + b"\x00"):
            with pytest.raises(Unauthorized):
                verify(key.public, bad, b"m")
        for bad in (b"", key.public[:-1], key.public + b"\x00"):
            with pytest.raises(Unauthorized):
                verify(bad, signature, b"m")

    @pytest.mark.parametrize("change", [-1, 1])
    def test_a_seed_of_another_length_is_refused(
        self, kind: Any, seed_size: int, verify: Any, change: int
    ) -> None:
        with pytest.raises(LocalError, match=f"{seed_size} secret bytes"):
            kind(bytes(seed_size + change))

    def test_a_key_shows_no_secret(self, kind: Any, seed_size: int, verify: Any) -> None:
        seed = b"s" * seed_size
        assert "sss" not in repr(kind(seed))
        assert seed.hex() not in repr(kind(seed))


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("y", [0, 1, 2**448 - 2**224 - 2, 2**448 - 2**224 - 1, 2**448 - 2**224])
def test_a_key_of_small_order_is_refused(y: int, sign: int) -> None:
    """Such a key and S = 0 satisfy the equation of RFC 8032 section 5.2.7 whatever the message.

    y is 0, 1 or -1 modulo p = 2**448 - 2**224 - 1; 0 and 1 come in their non-canonical form too.
    """
    point = y.to_bytes(56, "little") + bytes([sign])
    for r in (point, bytes(57), b"\x01" + bytes(56)):
        with pytest.raises(Unauthorized):
            verify_ed448(point, r + bytes(57), b"any message")


@given(st.binary(min_size=57, max_size=57), st.binary(min_size=114, max_size=114), st.binary(max_size=64))
def test_random_bytes_are_no_ed448_signature(public: bytes, signature: bytes, message: bytes) -> None:
    with pytest.raises(Unauthorized):
        verify_ed448(public, signature, message)


@pytest.fixture
def without_mldsa(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A ``cryptography`` that has no ML-DSA, on a system whose OpenSSL has none either."""
    monkeypatch.setitem(sys.modules, MLDSA_MODULE, None)
    monkeypatch.setattr("myclerk_protocol.libcrypto.LIBRARIES", ("libnone.so.0",))
    mldsa.provider.cache_clear()
    yield
    mldsa.provider.cache_clear()


@pytest.mark.usefixtures("without_mldsa")
def test_without_mldsa_signing_names_the_remedy() -> None:
    assert not signatures.available()
    with pytest.raises(LocalError, match=r"install cryptography 48.*OpenSSL 3\.5"):
        MlDsa65Key(bytes(32))


@needs_mldsa
def test_without_mldsa_even_a_good_signature_is_refused(request: pytest.FixtureRequest) -> None:
    key = MlDsa65Key(bytes(32))
    signature = key.sign(b"m")
    verify_mldsa65(key.public, signature, b"m")
    request.getfixturevalue("without_mldsa")
    with pytest.raises(Unauthorized, match=r"cannot be verified.*cryptography 48"):
        verify_mldsa65(key.public, signature, b"m")


# -- the libraries behind ML-DSA-65 ----------------------------------------------------------------------------

LIBRARY_PATH = os.environ.get("MYCLERK_TEST_LIBCRYPTO")
"""The path of an OpenSSL 3.5 beside the system's, for the tests of a libcrypto."""


def libcrypto_provider() -> mldsa.LibcryptoProvider:
    try:
        return mldsa.LibcryptoProvider(LIBRARY_PATH)
    except LocalError:
        pytest.skip(
            "libcrypto does no ML-KEM-768 here, nor ML-DSA-65 (OpenSSL 3.5 or newer is not installed)"
        )


def test_libcrypto_makes_the_published_keys_from_their_seeds() -> None:
    library = libcrypto_provider()
    for vector in published_mldsa_vectors():
        assert library.private_key(bytes.fromhex(vector["xi"])).public == bytes.fromhex(vector["pk"])


@needs_mldsa
def test_libcrypto_and_cryptography_verify_each_other() -> None:
    library, other = libcrypto_provider(), mldsa.CryptographyProvider()
    ours, theirs = library.private_key(bytes(range(32))), other.private_key(bytes(range(32)))
    assert ours.public == theirs.public
    assert other.verifies(ours.public, ours.sign(b"message"), b"message")
    assert library.verifies(theirs.public, theirs.sign(b"message"), b"message")
    assert not library.verifies(theirs.public, theirs.sign(b"message"), b"another")
    for public, signature in ((b"", b""), (bytes(1952), bytes(3309)), (ours.public, ours.sign(b"m")[:-1])):
        assert not library.verifies(public, signature, b"m")


def test_a_libcrypto_that_is_too_old_signs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myclerk_protocol.libcrypto.MINIMUM_VERSION", (1000, 0))
    with pytest.raises(LocalError, match=r"OpenSSL 3\.5"):
        mldsa.LibcryptoProvider(LIBRARY_PATH)


@needs_mldsa
def test_a_library_that_contradicts_itself_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mldsa.CryptographyProvider, "verifies", lambda *given: False)
    monkeypatch.setattr("myclerk_protocol.libcrypto.LIBRARIES", ("libnone.so.0",))
    mldsa.provider.cache_clear()
    try:
        assert not signatures.available()
    finally:
        mldsa.provider.cache_clear()
