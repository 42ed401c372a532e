"""DARE envelopes: the published example, round trips, and one test for each hostile input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh_samples import NOW, identity

from myclerk_protocol.mesh import dare, udf
from myclerk_protocol.mesh.encoding import base64url_decode, base64url_encode, dump_json
from myclerk_protocol.status import BadRequest, TooLarge, Unauthorized

KEY = identity().key
OWNER = udf.key_fingerprint(KEY.public)

# Mesh Part IV (draft-hallambaker-mesh-schema-08) section 9.2, EnvelopedProfileDevice. Read from a scan
# that mistakes O, l and g for 0, 1 and q; mended until key fingerprints, digest and signature agreed.
COFFEE_POT = Path(__file__).with_name("coffee_pot.json").read_bytes()
COFFEE_POT_KEY = "7ZWDAzntmyxhUvzXCvl9tAxRXeBz2WuwTqlNVnojsoK753_Nvj9ZXW_JOJzRAeSO6SYrCuX58eUA"


def signed(**members: Any) -> bytes:
    return dare.sign("Test", members, KEY, created=NOW, envelope_id=OWNER)


def changed(change: Callable[[list[Any]], object], envelope: bytes | None = None) -> bytes:
    """An envelope after ``change`` was made to its array."""
    parts = json.loads(envelope or signed(a=1))
    change(parts)
    return dump_json(parts)


def test_published_envelope_verifies() -> None:
    public = base64url_decode(COFFEE_POT_KEY, "key")
    envelope = dare.parse(COFFEE_POT)
    assert udf.key_fingerprint(public) == envelope.signer == envelope.envelope_id
    assert (envelope.message_type, envelope.created) == ("ProfileDevice", "2021-08-05T16:37:43Z")
    envelope.verify(public)


def test_published_envelope_does_not_verify_with_another_payload() -> None:
    def change(parts: list[Any]) -> None:
        payload = base64url_decode(parts[1], "payload").replace(b"X448", b"X25 ")
        parts[1] = base64url_encode(payload)
        parts[2]["PayloadDigest"] = base64url_encode(hashlib.sha512(payload).digest())

    with pytest.raises(Unauthorized):
        dare.parse(changed(change, COFFEE_POT)).verify(base64url_decode(COFFEE_POT_KEY, "key"))


def test_form_of_what_is_signed() -> None:
    header, payload, trailer = json.loads(signed(a=1))
    raw = base64url_decode(payload, "payload")
    assert raw == b'{"Test":{"a":1}}'
    assert (header["dig"], header["EnvelopeId"]) == ("S512", OWNER)
    assert json.loads(base64url_decode(header["ContentMetaData"], "")) == {
        "UniqueId": OWNER,
        "MessageType": "Test",
        "cty": "application/mmm/object",
        "Created": "2026-09-21T14:13:20Z",
    }
    digest = hashlib.sha512(raw).digest()
    assert trailer == {
        "signatures": [{"alg": "S512", "kid": OWNER, "signature": base64url_encode(KEY.sign(digest))}],
        "PayloadDigest": base64url_encode(digest),
    }


def test_received_bytes_are_kept() -> None:
    spaced = json.dumps(json.loads(signed(a=1)), indent=2).encode()
    envelope = dare.parse(memoryview(spaced))
    assert envelope.raw == spaced
    envelope.verify(KEY.public)


def test_envelope_inside_other_json() -> None:
    envelope = dare.from_value(json.loads(COFFEE_POT))
    envelope.verify(base64url_decode(COFFEE_POT_KEY, "key"))
    assert dare.from_value(json.loads(signed(a=1))).raw == signed(a=1)


def test_unsigned_envelope_is_never_verified() -> None:
    envelope = dare.parse(dare.unsigned("Test", {"a": 1}, created=NOW))
    assert (envelope.body(), envelope.envelope_id, envelope.signer) == ({"a": 1}, None, None)
    with pytest.raises(Unauthorized, match="not signed"):
        envelope.verify(KEY.public)


def test_another_key_does_not_verify() -> None:
    with pytest.raises(Unauthorized, match="another key"):
        dare.parse(signed(a=1)).verify(identity("host").key.public)


def test_signature_of_another_key_under_this_name() -> None:
    other = identity("host").key
    digest = dare.parse(signed(a=1)).payload_digest

    def change(parts: list[Any]) -> None:
        parts[2]["signatures"][0]["signature"] = base64url_encode(other.sign(digest))

    with pytest.raises(Unauthorized):
        dare.parse(changed(change)).verify(KEY.public)


def test_body_must_be_of_the_type_announced() -> None:
    for payload in (
        b'{"Other":{}}',
        b'{"Test":{},"Other":{}}',
        b'{"Test":[]}',
        b"[]",
        b"\xff",
        b'{"Test":{}} 1',
    ):
        parts = json.loads(dare.unsigned("Test", {}, created=NOW))
        parts[1] = base64url_encode(payload)
        with pytest.raises(BadRequest):
            dare.parse(dump_json(parts)).body()


def test_huge_envelope() -> None:
    with pytest.raises(TooLarge, match="65536"):
        dare.parse(signed(a="x" * 50_000))


def test_largest_envelope() -> None:
    dare.parse(signed(a=1) + b" " * (dare.MAXIMUM_SIZE - len(signed(a=1)))).verify(KEY.public)


@pytest.mark.parametrize("depth", [20, 65_000])
def test_nested_envelope(depth: int) -> None:
    with pytest.raises(BadRequest):
        dare.parse(b"[" * depth)
    with pytest.raises(BadRequest):
        dare.parse((b"[" * (depth // 2)) + b"]" * (depth // 2))


def test_nested_payload() -> None:
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    with pytest.raises(BadRequest, match="nests"):
        dare.parse(signed(a=deep)).body()


@pytest.mark.parametrize(
    "data", [b"", b"null", b"{}", b"[]", b"[1]", b"[{},1]", b"[{},{},{}]", b"\xff\xfe", b"[NaN,1]"]
)
def test_what_is_no_envelope(data: bytes) -> None:
    with pytest.raises(BadRequest):
        dare.parse(data)


def test_numbers_too_long_to_convert() -> None:
    with pytest.raises(BadRequest):
        dare.parse(b"[" + b"9" * 5000 + b",1]")


def test_number_that_is_not_finite() -> None:
    parts = json.loads(dare.unsigned("Test", {}, created=NOW))
    for payload in (b'{"Test":{"a":NaN}}', b'{"Test":{"a":-Infinity}}'):
        parts[1] = base64url_encode(payload)
        with pytest.raises(BadRequest, match="not finite"):
            dare.parse(dump_json(parts)).body()


def test_lone_surrogate() -> None:
    with pytest.raises(BadRequest, match="not Unicode"):
        dare.parse(signed(a=1).replace(b'"S512"', b'"\\ud800"', 1))


def test_duplicate_member_in_header_and_payload() -> None:
    with pytest.raises(BadRequest, match="member twice"):
        dare.parse(signed(a=1).replace(b'"dig":', b'"dig":"S256","dig":', 1))
    parts = json.loads(dare.unsigned("Test", {}, created=NOW))
    parts[1] = base64url_encode(b'{"Test":{"a":1,"a":2}}')
    with pytest.raises(BadRequest, match="member twice"):
        dare.parse(dump_json(parts)).body()


@pytest.mark.parametrize(
    "text",
    ["+", "YQ==", "YR", "Y", "YQ\n", " YQ", "é"],
    ids=["alphabet", "pad", "spare", "short", "line", "space", "é"],
)
def test_wrong_base64_in_each_place(text: str) -> None:
    places: list[Callable[[list[Any]], object]] = [
        lambda parts: parts.__setitem__(1, text),
        lambda parts: parts[0].update(ContentMetaData=text),
        lambda parts: parts[2].update(PayloadDigest=text),
        lambda parts: parts[2]["signatures"][0].update(signature=text),
    ]
    for change in places:
        with pytest.raises(BadRequest):
            dare.parse(changed(change))


META_DATA = {
    "UniqueId": OWNER,
    "MessageType": "Test",
    "cty": dare.CONTENT_TYPE,
    "Created": "2026-09-21T14:13:20Z",
}


def _with_meta_data(**members: Any) -> bytes:
    meta_data = {name: value for name, value in (META_DATA | members).items() if value is not None}
    return changed(lambda parts: parts[0].update(ContentMetaData=base64url_encode(dump_json(meta_data))))


@pytest.mark.parametrize(
    "members",
    [
        {"UniqueId": None}, {"UniqueId": "MC44"}, {"MessageType": None}, {"MessageType": 1}, {"cty": None},
        {"cty": "text/plain"}, {"Created": "yesterday"}, {"Created": "2026-13-21T14:13:20Z"}, {"Created": 1},
        {"Filename": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_meta_data(members: dict[str, Any]) -> None:
    assert dare.parse(_with_meta_data()) == dare.parse(signed(a=1))
    with pytest.raises(BadRequest):
        dare.parse(_with_meta_data(**members))


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[0].update(dig="S256"),
        lambda parts: parts[0].pop("dig"),
        lambda parts: parts[0].update(enc="A256CBC"),
        lambda parts: parts[0].update(EnvelopeId=7),
        lambda parts: parts[0].pop("EnvelopeId"),
        lambda parts: parts[0].pop("ContentMetaData"),
        lambda parts: parts[2].update(PayloadDigest=base64url_encode(bytes(64))),
        lambda parts: parts[2].update(PayloadDigest=base64url_encode(bytes(32))),
        lambda parts: parts[2].pop("PayloadDigest"),
        lambda parts: parts[2].update(extra=1),
        lambda parts: parts[2].update(signatures=[]),
        lambda parts: parts[2].update(signatures={}),
        lambda parts: parts[2]["signatures"].append(parts[2]["signatures"][0]),
        lambda parts: parts[2]["signatures"][0].update(alg="none"),
        lambda parts: parts[2]["signatures"][0].update(kid=OWNER.lower()),
        lambda parts: parts[2]["signatures"][0].update(kid=udf.compact(OWNER)),
        lambda parts: parts[2]["signatures"][0].update(kid="N" + OWNER[1:]),
        lambda parts: parts[2]["signatures"][0].update(signature=base64url_encode(bytes(113))),
        lambda parts: parts[2]["signatures"][0].update(header="x"),
        lambda parts: parts.append({}),
        lambda parts: parts.__setitem__(2, None),
    ],
)
def test_wrong_header_or_trailer(change: Callable[[list[Any]], object]) -> None:
    with pytest.raises(BadRequest):
        dare.parse(changed(change))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(
    name=st.text(min_size=1, max_size=12),
    body=st.dictionaries(st.text(max_size=6), JSON, max_size=4),
    created=st.integers(0, 2**32 - 1),
    signs=st.booleans(),
)
def test_envelope_round_trip(name: str, body: dict[str, Any], created: int, signs: bool) -> None:
    if signs:
        data = dare.sign(name, body, KEY, created=created, envelope_id=OWNER)
    else:
        data = dare.unsigned(name, body, created=created, envelope_id=OWNER)
    envelope = dare.parse(data)
    assert (envelope.message_type, envelope.body(), envelope.raw) == (name, body, data)
    if signs:
        envelope.verify(KEY.public)


@given(st.binary(max_size=200))
def test_noise_is_bad_request(data: bytes) -> None:
    with pytest.raises(BadRequest):
        dare.parse(data)
