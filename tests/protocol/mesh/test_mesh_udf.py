"""UDFs: the examples of the Mesh drafts, documents found for their digests, and what is no UDF."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol.mesh import udf
from myclerk_protocol.mesh.encoding import base64url_decode
from myclerk_protocol.status import BadRequest

# Mesh Part IV section 3.1, the profile of "alice@example.com".
ALICE_ED448 = "W5ugEWyCz986Pw7xPP9-ap09PFpqfc9x_MB0Uq1brUpEg1ylIaitE5YaJIAeTb_Cc5y4Yr5D6kgA"
ALICE_X448 = "0ARE0VapsMqYf_P-tFnE0FZ2Zq2wn4e21viCH4Trhyg7Q0N8FXmbpYv_72_L2VKuliiiOhddT1OA"
ALICE = "MC44-IZC3-IWZT-VCVZ-L2AG-HI4E-LOV2"
# Mesh Part IV section 6.2.
MESSAGE_ID = "NBF4-4PTH-UTSC-RYHZ-EQMK-BVH7-MU3F"


@pytest.mark.parametrize(
    ("public", "curve", "fingerprint"),
    [(ALICE_ED448, "Ed448", ALICE), (ALICE_X448, "X448", "MCQX-PF7A-LY3G-3ZPI-AIYO-LR5D-YG6W")],
)
def test_key_fingerprints_of_the_published_profile(public: str, curve: str, fingerprint: str) -> None:
    assert udf.key_fingerprint(base64url_decode(public, "key"), curve) == fingerprint


@pytest.mark.parametrize(("public", "curve"), [(bytes(57), "Ed25519"), (bytes(56), "Ed448"), (b"", "X448")])
def test_keys_of_other_curves_or_lengths_have_no_fingerprint(public: bytes, curve: str) -> None:
    with pytest.raises(BadRequest, match="not a public key"):
        udf.key_fingerprint(public, curve)


def test_content_digest_of_the_published_document() -> None:
    # Mesh Part II, the document "UDF Data Value" as text/plain.
    assert udf.content_digest("text/plain", b"UDF Data Value") == "MDDK-7N6A-727A-JZNO-STRX-XKS7-DJAF"


@pytest.mark.parametrize(
    ("number", "sha3", "kind", "digest"),
    [
        # Found by counting upwards, with hashlib alone, to a digest that ends in 21 (22 for SHA-3) zero bits.
        (2489167, False, 97, "82c334061426b255c15b56b71bf0f7bc"),
        (790769, True, 81, "09dcaccb3632b10ee6f853942a5762cf"),
        # Digests of the same documents under the other algorithm, which do not end so.
        (790769, False, 96, None),
        (2489167, True, 80, None),
    ],
)
def test_type_tells_of_trailing_zero_bits(number: int, sha3: bool, kind: int, digest: str | None) -> None:
    text = udf.content_digest("text/plain", b"MyClerk compressed document %d" % number, sha3=sha3)
    found, data = udf.parse(text)
    assert found == kind
    assert digest is None or data.hex() == digest


@pytest.mark.parametrize(
    ("zeros", "added"),
    [(0, 0), (19, 0), (20, 1), (29, 1), (30, 2), (39, 2), (40, 3), (49, 3), (50, 4), (511, 4)],
)
def test_compression_steps(zeros: int, added: int) -> None:
    assert udf.compression((1 << zeros).to_bytes(64, "big")) == added


def test_message_ids_of_the_published_example() -> None:
    assert udf.envelope_id(MESSAGE_ID) == "MD22-62AQ-PVVT-NPUS-ATUC-MQH4-PWV2"
    assert udf.response_id(MESSAGE_ID) == "MCZ5-YD47-KD23-MHLY-F34Z-PFVI-47VK"


def test_ids_derived_from_a_sha3_fingerprint_are_sha3() -> None:
    assert udf.parse(udf.envelope_id(udf.present(udf.Kind.SHA3_512, bytes(16))))[0] == udf.Kind.SHA3_512


def test_nonce_is_128_random_bits_of_type_104() -> None:
    assert udf.nonce(lambda size: bytes(range(size))) == udf.present(104, bytes(range(16)))
    assert udf.parse(MESSAGE_ID)[0] == udf.Kind.NONCE


def test_published_pin_has_ten_bytes() -> None:
    # Mesh Part IV section 6.3: 18 characters, so two bits are spare.
    kind, data = udf.parse("AAJP-KPYV-NSB4-GIYL-AM")
    assert (kind, len(data)) == (udf.Kind.AUTHENTICATOR, 10)
    assert udf.present(kind, data) == "AAJP-KPYV-NSB4-GIYL-AM"


def test_compact_and_grouped() -> None:
    compact = udf.compact(ALICE)
    assert (len(compact), udf.grouped(compact)) == (28, ALICE)
    assert udf.compact(ALICE.lower()) == udf.compact(compact.lower()) == compact


def test_fingerprint_bytes_drop_the_spare_bits() -> None:
    assert udf.fingerprint_bytes(ALICE) == udf.parse(ALICE)[1]
    assert udf.fingerprint_bytes(ALICE[:-1] + "3") == udf.fingerprint_bytes(ALICE)
    with pytest.raises(BadRequest, match="28 characters"):
        udf.fingerprint_bytes("AAJP-KPYV-NSB4-GIYL-AM")


def test_same_ignores_only_case_and_hyphens() -> None:
    assert udf.same(ALICE, udf.compact(ALICE).lower())
    assert not udf.same(ALICE, ALICE[:-1] + "3")


@pytest.mark.parametrize(
    "text",
    ["", "MC4", "MC44IZC3M", "MC44IZ", "MC44-IZ", "MC4-4IZC", "-MC44", "MC44-", "MC44--IZC3", "MC01",
     "MC44 IZC3", "MC44İZC3", "MC44=", "M" * 132],
)  # fmt: skip
def test_what_is_no_udf(text: str) -> None:
    with pytest.raises(BadRequest, match="fingerprint or PIN"):
        udf.parse(text)


def test_refusal_does_not_quote_what_may_be_a_pin() -> None:
    with pytest.raises(BadRequest) as caught:
        udf.parse("AAJP-KPYV-0000")
    assert "KPYV" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [ALICE, udf.compact(ALICE).lower(), udf.compact(ALICE)[:24], udf.compact(MESSAGE_ID), "A" * 28, ""],
)
def test_what_is_no_key_fingerprint_on_the_wire(text: str) -> None:
    assert udf.check_fingerprint(udf.compact(ALICE)) == udf.compact(ALICE)
    with pytest.raises(BadRequest):
        udf.check_fingerprint(text)


@given(kind=st.integers(0, 255), data=st.binary(min_size=2, max_size=70))
def test_uncut_udf_round_trip(kind: int, data: bytes) -> None:
    assert udf.parse(udf.present(kind, data, bits=1024)) == (kind, data)


@given(kind=st.integers(0, 255), data=st.binary(min_size=17, max_size=64))
def test_cut_udf_keeps_sixteen_bytes(kind: int, data: bytes) -> None:
    text = udf.present(kind, data)
    assert len(text) == 34
    assert udf.parse(text) == (kind, data[:16])


@given(st.text(max_size=40))
def test_any_text_is_a_udf_or_bad_request(text: str) -> None:
    try:
        compact = udf.compact(text)
    except BadRequest:
        return
    assert udf.compact(udf.grouped(compact)) == compact
