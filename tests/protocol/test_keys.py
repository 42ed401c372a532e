"""Key derivations: RFC 5869's vectors, and every derivation of the profile against another HKDF."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from myclerk_protocol import keys
from myclerk_protocol.keys import Direction
from myclerk_protocol.status import LocalError

# RFC 5869 appendix A, test cases 1-3: IKM, salt, info, L, PRK, OKM.
RFC_5869 = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        42,
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        82,
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        42,
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]

KEY = bytes(range(32))
SHARED = bytes(range(100, 132))
HYBRID = bytes(range(100, 164))
INITIATOR = b"initiate"
RESPONDER = b"responds"
TRANSCRIPT = hashlib.sha256(b"transcript").digest()


def expected(secret: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


@pytest.mark.parametrize(("secret", "salt", "info", "length", "extracted", "output"), RFC_5869)
def test_hkdf_vectors_of_rfc_5869(
    secret: str, salt: str, info: str, length: int, extracted: str, output: str
) -> None:
    key = keys.hkdf_extract(bytes.fromhex(salt), bytes.fromhex(secret))
    assert key.hex() == extracted
    assert keys.hkdf_expand(key, bytes.fromhex(info), length).hex() == output
    derived = keys.hkdf_sha256(bytes.fromhex(secret), bytes.fromhex(salt), bytes.fromhex(info), length)
    assert derived.hex() == output


def test_hkdf_gives_at_most_255_blocks() -> None:
    assert keys.hkdf_expand(KEY, b"", 255 * 32) == expected_expand(255 * 32)
    with pytest.raises(LocalError):
        keys.hkdf_expand(KEY, b"", 255 * 32 + 1)


def expected_expand(length: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    return HKDFExpand(SHA256(), length, b"").derive(KEY)


def test_session_key_hybrid() -> None:
    info = b"myclerk-session-v1-hybrid" + TRANSCRIPT
    key = keys.session_key(HYBRID, INITIATOR, RESPONDER, TRANSCRIPT)
    assert key == expected(HYBRID, b"initiateresponds", info)


def test_session_key_classical() -> None:
    info = b"myclerk-session-v1-classical" + TRANSCRIPT
    key = keys.session_key(SHARED, INITIATOR, RESPONDER, TRANSCRIPT)
    assert key == expected(SHARED, b"initiateresponds", info)


@pytest.mark.parametrize("length", [0, 31, 33, 63, 96])
def test_a_shared_secret_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(LocalError):
        keys.session_key(bytes(length), INITIATOR, RESPONDER, TRANSCRIPT)


def test_traffic_keys() -> None:
    for direction, byte in ((Direction.CLIENT, b"\x00"), (Direction.AGENT, b"\x01")):
        material = expected(KEY, b"traffic", byte, 36)
        traffic = keys.traffic(KEY, direction)
        assert traffic.key == material[:32]
        assert traffic.random == int.from_bytes(material[32:], "big")


def test_rotated_key() -> None:
    assert keys.rotated_key(KEY, 1) == expected(KEY, b"rotate", b"\x00\x00\x00\x01")
    assert keys.rotated_key(KEY, 0x01020304) == expected(KEY, b"rotate", b"\x01\x02\x03\x04")


@pytest.mark.parametrize("shared", [SHARED, HYBRID])
def test_fresh_key(shared: bytes) -> None:
    info = b"\x00\x00\x00\x02" + hashlib.sha256(b"request payload" + b"response payload").digest()
    key = keys.fresh_key(KEY, shared, 2, b"request payload", b"response payload")
    assert key == expected(KEY + shared, b"rotate", info)


def test_resume_keys() -> None:
    ticket_key = keys.resume_secret(KEY, TRANSCRIPT)
    assert ticket_key == expected(KEY, b"resume", TRANSCRIPT)
    info = b"myclerk-session-v1-resume" + TRANSCRIPT
    key = keys.resumed_key(ticket_key, SHARED, INITIATOR, RESPONDER, TRANSCRIPT)
    assert key == expected(ticket_key + SHARED, b"initiateresponds", info)


def test_mac_keys() -> None:
    assert keys.mac_key(KEY, Direction.CLIENT) == expected(KEY, b"mac", b"\x00")
    assert keys.mac_key(KEY, Direction.AGENT) == expected(KEY, b"mac", b"\x01")


def test_udp_keys() -> None:
    material = expected(KEY, b"udp", b"\x01\x00\x00\x00\x2a", 36)
    side_path = keys.udp_keys(KEY, Direction.AGENT, 42)
    assert side_path.key == material[:32]
    assert side_path.random == int.from_bytes(material[32:], "big")


def test_nonces() -> None:
    """Section 3: timestamp, R XOR ((counter >> 8) AND 0xFFFF), counter."""
    assert keys.nonce(0x65A0BC01, 0xA1B2C3D4, 0).hex() == "65a0bc01a1b2c3d400000000"
    assert keys.nonce(0x65A0BC01, 0xA1B2C3D4, 0xFF).hex() == "65a0bc01a1b2c3d4000000ff"
    assert keys.nonce(0x65A0BC01, 0xA1B2C3D4, 0x12345).hex() == "65a0bc01a1b2c2f700012345"
    assert keys.nonce(0, 0xA1B2C3D4, 0xFF000100).hex() == "00000000a1b2c3d5ff000100"


def test_traffic_keys_do_not_show_in_a_repr() -> None:
    traffic = keys.TrafficKeys(b"secret key bytes", 0xA1B2C3D4)
    assert repr(traffic) == "TrafficKeys()"
