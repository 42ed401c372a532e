"""ML-KEM-768: every provider against the published vectors, against each other, and against hostile input.

The system's libcrypto counts when it is OpenSSL 3.5 or newer; ``MYCLERK_TEST_LIBCRYPTO`` may hold the path of
another one, for machines whose own is older.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cryptography
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol import kem
from myclerk_protocol.kem.libcrypto_provider import LibcryptoProvider
from myclerk_protocol.kem.pqcrypto_provider import PqcryptoProvider
from myclerk_protocol.status import BadRequest, LocalError

LIBRARY_PATH = os.environ.get("MYCLERK_TEST_LIBCRYPTO")
PRESENT = {provider.name: provider for provider in kem.providers()}
if LIBRARY_PATH:
    PRESENT["libcrypto"] = LibcryptoProvider(LIBRARY_PATH)
PACKAGES = {"pqcrypto": "pqcrypto.kem", "cryptography": "cryptography.hazmat.primitives.asymmetric"}
VECTORS = 50


def need(name: str) -> Any:
    if name not in PRESENT:
        hint = " (OpenSSL 3.5 or newer is not installed)" if name == "libcrypto" else ""
        pytest.skip(f"{name} does no ML-KEM-768 here{hint}")
    return PRESENT[name]


@pytest.fixture(params=kem.NAMES)
def provider(request: pytest.FixtureRequest) -> Any:
    return need(request.param)


@pytest.fixture
def forget_providers() -> Iterator[None]:
    """Providers are looked for anew in the test, and again behind it."""
    kem._load.cache_clear()
    yield
    kem._load.cache_clear()


def block(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make these providers' libraries fail to load."""
    for name in names:
        if name == "libcrypto":
            monkeypatch.setattr("myclerk_protocol.libcrypto.LIBRARIES", ("libnone.so.0",))
        else:
            monkeypatch.setitem(sys.modules, PACKAGES[name], None)


def encode_key(coefficients: list[int], rho: bytes = bytes(32)) -> bytes:
    """ByteEncode12 of FIPS 203 algorithm 5, two coefficients to three bytes, and the seed rho behind it."""
    packed = bytearray()
    for low, high in zip(coefficients[::2], coefficients[1::2], strict=True):
        packed += bytes((low & 0xFF, (low >> 8) | (high & 0xF) << 4, high >> 4))
    return bytes(packed) + rho


def test_at_least_two_providers_and_all_installed_ones_are_tested() -> None:
    assert len(PRESENT) >= 2, f"only {sorted(PRESENT)}: install pqcrypto and cryptography 48 or newer"

    if find_spec("pqcrypto"):
        assert "pqcrypto" in PRESENT
    if int(cryptography.__version__.partition(".")[0]) >= 48:
        assert "cryptography" in PRESENT


@pytest.mark.parametrize("encapsulator", kem.NAMES)
@pytest.mark.parametrize("decapsulator", kem.NAMES)
def test_providers_interoperate(decapsulator: str, encapsulator: str) -> None:
    ours, theirs = need(decapsulator), need(encapsulator)
    for _ in range(10):
        public, private = ours.keygen()
        ciphertext, secret = theirs.encapsulate(public)
        assert (len(public), len(ciphertext), len(secret)) == (1184, 1088, 32)
        assert ours.decapsulate(private, ciphertext) == secret


def test_keys_and_encapsulations_are_fresh(provider: Any) -> None:
    assert provider.keygen()[0] != provider.keygen()[0]
    public, _ = provider.keygen()
    first, second = provider.encapsulate(public), provider.encapsulate(public)
    assert first[0] != second[0]
    assert first[1] != second[1]


def published_vectors() -> list[dict[str, bytes]]:
    vectors = pytest.importorskip("cryptography_vectors")
    path = Path(vectors.__file__).with_name("asymmetric") / "MLKEM" / "kat_MLKEM_768.rsp"
    if not path.exists():
        pytest.skip("this cryptography_vectors has no ML-KEM vectors")
    records = path.read_text().split("count = ")[1 : VECTORS + 1]
    lines = [[line.split(" = ") for line in record.splitlines()[1:] if line] for record in records]
    return [{name: bytes.fromhex(value) for name, value in record} for record in lines]


def test_published_decapsulation_vectors(provider: Any) -> None:
    """kat_MLKEM_768.rsp of the package cryptography_vectors: FIPS 203 key pairs, ciphertexts and secrets.

    ``ct_n`` are ciphertexts that do not decrypt, ``ss_n`` what implicit rejection must give for them.
    pqcrypto and libcrypto import the expanded key ``sk``, cryptography the seed ``d`` ‖ ``z``.
    """
    vectors = published_vectors()
    assert len(vectors) == VECTORS
    for vector in vectors:
        seeded = provider.name == "cryptography"
        private = provider.import_private(vector["d"] + vector["z"] if seeded else vector["sk"])
        assert provider.decapsulate(private, vector["ct"]) == vector["ss"]
        assert provider.decapsulate(private, vector["ct_n"]) == vector["ss_n"]
        kem.check_encapsulation_key(vector["pk"])


def test_a_changed_ciphertext_gives_another_secret_always_the_same(provider: Any) -> None:
    """FIPS 203 section 6.3: implicit rejection, without an error."""
    public, private = provider.keygen()
    ciphertext, secret = provider.encapsulate(public)
    seen = {secret}
    for position in (0, 543, 959, 960, 1087):
        changed = bytearray(ciphertext)
        changed[position] ^= 0x10
        rejected = provider.decapsulate(private, bytes(changed))
        assert rejected == provider.decapsulate(private, bytes(changed))
        assert len(rejected) == 32
        seen.add(rejected)
    assert len(seen) == 6
    assert provider.decapsulate(private, ciphertext) == secret


@pytest.mark.parametrize("size", [0, 1087, 1089])
def test_a_ciphertext_of_another_length_is_refused(provider: Any, size: int) -> None:
    _, private = provider.keygen()
    with pytest.raises(BadRequest, match="mlkem-ciphertext") as error:
        provider.decapsulate(private, bytes(size))
    assert error.value.details["key"] == "mlkem-ciphertext"


def test_no_provider_encapsulates_to_a_key_above_the_modulus(provider: Any) -> None:
    with pytest.raises(BadRequest) as error:
        provider.encapsulate(encode_key([3328] * 767 + [3329]))
    assert error.value.details["key"] == "mlkem-public"


def test_a_private_key_of_another_provider_is_refused(provider: Any) -> None:
    class Other(type(provider)):  # type: ignore[misc]
        """The same library, but not the same object."""

    ciphertext = bytes(1088)
    stranger = Other(LIBRARY_PATH) if provider.name == "libcrypto" else Other()
    for private in (stranger.keygen()[1], None, b"secret"):
        with pytest.raises(LocalError, match="private key"):
            provider.decapsulate(private, ciphertext)


# Wiping


def test_a_wiped_key_no_longer_works(provider: Any) -> None:
    public, private = provider.keygen()
    ciphertext, _ = provider.encapsulate(public)
    private.wipe()
    private.wipe()
    with pytest.raises(LocalError, match="wiped"):
        provider.decapsulate(private, ciphertext)


@pytest.mark.parametrize("collected", [False, True])
def test_pqcrypto_overwrites_the_secret_in_place(collected: bool) -> None:
    provider = need("pqcrypto")
    private = provider.keygen()[1]
    secret = private.material(provider)
    assert len(secret) == 2400
    assert secret != bytes(2400)
    assert repr(secret)[2:30] not in repr(private)
    if collected:
        del private
        gc.collect()
    else:
        private.wipe()
    assert secret == bytes(2400)


def test_an_imported_key_leaves_the_callers_bytes_alone() -> None:
    provider = need("pqcrypto")
    encoded = bytes(range(256)) * 9 + bytes(96)
    kept = bytearray(encoded)
    provider.import_private(encoded).wipe()
    assert encoded == kept


def test_no_native_object_is_leaked(provider: Any) -> None:
    """An EVP_PKEY of ML-KEM-768 takes some 16 KB: 1,000 rounds that leaked one would show as 16 MB."""

    def rounds(count: int) -> None:
        for _ in range(count):
            public, private = provider.keygen()
            ciphertext, _ = provider.encapsulate(public)
            provider.decapsulate(private, ciphertext)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    rounds(200)
    before = resident()
    rounds(1000)
    assert resident() - before < 4_000_000


# Choice of the provider


def test_the_order_is_fixed_and_the_default_is_the_first() -> None:
    names = [provider.name for provider in kem.providers()]
    assert names == [name for name in kem.NAMES if name in names]
    assert kem.NAMES == ("pqcrypto", "cryptography", "libcrypto")
    assert kem.default() is kem.providers()[0]
    assert kem.provider(names[-1]) is kem.providers()[-1]


@pytest.mark.usefixtures("forget_providers")
def test_a_missing_library_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    block(monkeypatch, "pqcrypto")
    assert "pqcrypto" not in [provider.name for provider in kem.providers()]
    with pytest.raises(LocalError, match="'pqcrypto' does not work here"):
        kem.provider("pqcrypto")


@pytest.mark.usefixtures("forget_providers")
def test_without_any_library_the_error_names_three_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    block(monkeypatch, *kem.NAMES)
    assert kem.providers() == []
    with pytest.raises(LocalError, match=r"pqcrypto.*cryptography 48.*OpenSSL 3\.5"):
        kem.default()
    with pytest.raises(LocalError, match="'rot13' does not work here; these do: none"):
        kem.provider("rot13")


def test_a_libcrypto_that_is_too_old_or_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalError, match=r"OpenSSL 3\.5"):
        LibcryptoProvider("libnone.so.0")
    monkeypatch.setattr("myclerk_protocol.libcrypto.MINIMUM_VERSION", (1000, 0))
    with pytest.raises(LocalError, match=r"OpenSSL 3\.5"):
        LibcryptoProvider(LIBRARY_PATH)


WORKING: dict[str, Any] = {
    "keygen": lambda: (bytes(1184), bytes(2400)),
    "encaps": lambda key: (bytes(1088), bytes(32)),
    "decaps": lambda secret, ciphertext: bytes(32),
}


def pretend_pqcrypto(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    package = SimpleNamespace(ml_kem_768=SimpleNamespace(**functions))
    monkeypatch.setitem(sys.modules, "pqcrypto.kem", package)


@pytest.mark.usefixtures("forget_providers")
@pytest.mark.parametrize(
    "names", [("keygen", "encaps", "decaps"), ("generate_keypair", "encrypt", "decrypt")], ids=["1.0", "0.4"]
)
def test_both_interfaces_of_pqcrypto_work(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    original = need("pqcrypto")
    functions = dict(zip(names, (original._generate, original._encaps, original._decaps), strict=True))
    pretend_pqcrypto(monkeypatch, **functions)
    provider = kem.provider("pqcrypto")
    public, private = provider.keygen()
    ciphertext, secret = original.encapsulate(public)
    assert provider.decapsulate(private, ciphertext) == secret


@pytest.mark.usefixtures("forget_providers")
@pytest.mark.parametrize(
    "broken",
    [
        {"keygen": lambda: (bytes(1183), bytes(2400))},
        {"encaps": lambda key: (bytes(1088), bytes(31))},
        {"encaps": lambda key: (bytes(32), bytes(1088))},
        {"decaps": lambda secret, ciphertext: b"another secret of 32 bytes......"},
        {"decaps": None},
    ],
)
def test_a_broken_library_is_skipped(monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any]) -> None:
    pretend_pqcrypto(monkeypatch, **WORKING)
    assert kem.default().name == "pqcrypto"
    kem._load.cache_clear()
    pretend_pqcrypto(monkeypatch, **WORKING | broken)
    assert "pqcrypto" not in [provider.name for provider in kem.providers()]


def test_a_library_that_breaks_later_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_pqcrypto(monkeypatch, **WORKING | {"encaps": lambda key: (bytes(1088), bytes(33))})
    with pytest.raises(LocalError, match="pqcrypto is broken: its ML-KEM shared secret has 33 bytes, not 32"):
        PqcryptoProvider().encapsulate(bytes(1184))


# The encapsulation key's check (FIPS 203 section 7.2)


def test_generated_keys_pass_the_check(provider: Any) -> None:
    for _ in range(50):
        kem.check_encapsulation_key(provider.keygen()[0])


@pytest.mark.parametrize("value", [3329, 3330, 3840, 4095])
def test_one_coefficient_above_the_modulus_is_found_anywhere(value: int) -> None:
    """At each of the 768 positions: both halves of a byte triple, first and last included, among extremes."""
    for filler in (0, 3328):
        kem.check_encapsulation_key(encode_key([filler] * 768, bytes([0xFF]) * 32))
        for position in range(768):
            coefficients = [filler] * 768
            coefficients[position] = value
            with pytest.raises(BadRequest, match="modulus") as error:
                kem.check_encapsulation_key(encode_key(coefficients))
            assert error.value.details["key"] == "mlkem-public"


@given(
    st.dictionaries(st.integers(0, 767), st.integers(3200, 3400) | st.integers(0, 4095), max_size=6),
    st.integers(0, 3328),
    st.binary(min_size=32, max_size=32),
)
def test_the_check_is_that_of_each_coefficient(values: dict[int, int], filler: int, rho: bytes) -> None:
    key = encode_key([values.get(position, filler) for position in range(768)], rho)
    if max(values.values(), default=0) < 3329:
        kem.check_encapsulation_key(key)
    else:
        with pytest.raises(BadRequest):
            kem.check_encapsulation_key(key)


@pytest.mark.parametrize("size", [0, 32, 1152, 1183, 1185, 2400])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(BadRequest, match="1184 bytes") as error:
        kem.check_encapsulation_key(bytes(size))
    assert error.value.details["key"] == "mlkem-public"
