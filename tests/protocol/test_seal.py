"""Sealed messages: every form byte for byte, order, tampering, exhaustion (docs/protocol.md)."""

from __future__ import annotations

import hmac
import itertools

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol.header import Header, decode, encode_plain
from myclerk_protocol.keys import TrafficKeys, nonce
from myclerk_protocol.seal import Aead, Opener, Sealer, aes_is_faster, append_mac, check_mac
from myclerk_protocol.status import LocalError, UnopenedMessage

KEYS = TrafficKeys(bytes(range(32)), 0xA1B2C3D4)
KEY_ID = 0x00030102
SESSION = 0x1234
NOW = 0x65A0BC01
REQUEST = 0x0A0B0C0D
COUNTER = 0x12345
FORMS = [(version, tier) for version in (0, 1) for tier in (3, 4, 5)]


def sealer_at(counter: int = 0, aead: Aead = Aead.CHACHA20) -> Sealer:
    sealer = Sealer(aead, KEYS, KEY_ID)
    sealer.messages = counter
    return sealer


def opener_at(counter: int = 0, aead: Aead = Aead.CHACHA20) -> Opener:
    opener = Opener(aead, KEYS, KEY_ID, SESSION)
    opener.messages = counter
    return opener


def seal(sealer: Sealer, version: int = 1, tier: int = 3, payload: bytes = b"payload") -> bytes:
    return sealer.seal(version, tier, 0x0624, SESSION, REQUEST, NOW, payload)


# version, tier, C, S, header with which the payload is authenticated. At counter 0x12345 under R = a1b2c3d4:
# sequence 45, random = R XOR 0123 = a1b2c2f7, of which the header carries c2f7. Key ID 0x00030102: 0102.
VECTORS = [
    (0, 3, False, False, "19 0624 45 1234 65a0bc01 c2f7"),
    (1, 3, False, False, "59 0624 45 1234 65a0bc01 c2f7 0a0b0c0d"),
    (1, 3, True, False, "5d 0624 45 1234 65a0bc01 c2f7 0a0b0c0d"),
    (1, 3, False, True, "5b 0624 45 1234 65a0bc01 c2f7 0a0b0c0d"),
    (0, 4, False, False, "21 0624 45 1234 65a0bc01 c2f7 0102"),
    (1, 4, False, False, "61 0624 45 1234 65a0bc01 c2f7 0102 0a0b0c0d"),
    (1, 4, True, True, "67 0624 45 1234 65a0bc01 c2f7 0102 0a0b0c0d"),
    (0, 5, False, False, "29 0624 45 1234 65a0bc01 c2f7 0102"),
    (1, 5, False, False, "69 0624 45 1234 65a0bc01 c2f7 0102 0a0b0c0d"),
    (0, 5, True, True, "2f 0624 45 1234 65a0bc01 c2f7 0102"),
]


@pytest.mark.parametrize("aead", Aead)
@pytest.mark.parametrize(("version", "tier", "compressed", "push", "header"), VECTORS)
def test_sealed_bytes(version: int, tier: int, compressed: bool, push: bool, header: str, aead: Aead) -> None:
    authenticated = bytes.fromhex(header)
    cipher = ChaCha20Poly1305(KEYS.key) if aead is Aead.CHACHA20 else AESGCM(KEYS.key)
    sealed = cipher.encrypt(bytes.fromhex("65a0bc01 a1b2c2f7 00012345"), b"payload", authenticated)
    ciphertext, tag = sealed[:-16], sealed[-16:]
    if tier == 5:
        expected = authenticated[:14] + tag + authenticated[14:] + ciphertext
    else:
        expected = authenticated + ciphertext + tag
    message = sealer_at(COUNTER, aead).seal(
        version, tier, 0x0624, SESSION, REQUEST, NOW, b"payload", push, compressed
    )
    assert message == expected
    opened = opener_at(COUNTER, aead).open(message, NOW)
    request_id = REQUEST if version else 0
    assert opened == (version, tier, compressed, push, 0x0624, request_id, NOW, b"payload")
    assert (opened.opcode, opened.request_id, opened.push, opened.payload) == (
        0x0624,
        request_id,
        push,
        b"payload",
    )


def test_ciphertext_of_rfc_8439() -> None:
    """RFC 8439 section 2.8.2 has the nonce 07000000 40414243 44454647: timestamp, random and counter here.

    The random word has bits 8-23 of the counter (4546) mixed in, so R is 40414243 XOR 00004546.
    """
    keys = TrafficKeys(bytes(range(0x80, 0xA0)), 0x40410705)
    sealer = Sealer(Aead.CHACHA20, keys, 1)
    sealer.messages = 0x44454647
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    message = sealer.seal(1, 3, 0x0624, SESSION, 1, 0x07000000, text)
    assert message[16:-16].hex() == (
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116"
    )


@pytest.mark.parametrize("counter", [0, 1, 255, 256, 0x12345678, 0xFFFFFFFF])
def test_the_nonce_is_that_of_the_key_schedule(counter: int) -> None:
    message = seal(sealer_at(counter))
    expected = nonce(NOW, KEYS.random, counter)
    assert ChaCha20Poly1305(KEYS.key).decrypt(expected, message[16:], message[:16]) == b"payload"
    header, _ = decode(message)
    assert header.nonce == int.from_bytes(expected[6:8], "big")
    assert header.sequence == expected[11]


@given(
    st.sampled_from(FORMS),
    st.sampled_from(Aead),
    st.lists(
        st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.binary(max_size=100)), max_size=8
    ),
    st.booleans(),
    st.booleans(),
    st.integers(0, 0xFFFFFFF0),
)
def test_messages_survive_the_wire(
    form: tuple[int, int],
    aead: Aead,
    messages: list[tuple[int, int, bytes]],
    push: bool,
    compressed: bool,
    counter: int,
) -> None:
    version, tier = form
    sealer, opener = sealer_at(counter, aead), opener_at(counter, aead)
    for opcode, request_id, payload in messages:
        sealed = sealer.seal(version, tier, opcode, SESSION, request_id, NOW, payload, push, compressed)
        opened = opener.open(memoryview(sealed), NOW)
        expected_id = request_id if version else 0
        assert opened == (version, tier, compressed, push, opcode, expected_id, NOW, payload)
    assert sealer.messages == opener.messages == counter + len(messages)


@pytest.mark.parametrize(("version", "tier"), FORMS)
def test_tampered_messages_never_open_and_change_nothing(version: int, tier: int) -> None:
    message = seal(sealer_at(COUNTER), version, tier)
    opener = opener_at(COUNTER)
    for position in range(len(message)):
        for change in (0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF):
            damaged = bytearray(message)
            damaged[position] ^= change
            with pytest.raises(UnopenedMessage):
                opener.open(bytes(damaged), NOW)
    assert opener.messages == COUNTER
    assert opener.open(message, NOW).payload == b"payload"


@pytest.mark.parametrize(("version", "tier"), FORMS)
def test_messages_cut_short_or_lengthened_never_open(version: int, tier: int) -> None:
    message = seal(sealer_at(COUNTER), version, tier)
    opener = opener_at(COUNTER)
    for length in range(len(message)):
        with pytest.raises(UnopenedMessage):
            opener.open(message[:length], NOW)
        with pytest.raises(UnopenedMessage):
            opener.open(memoryview(message)[:length], NOW)
    with pytest.raises(UnopenedMessage):
        opener.open(message + b"\x00", NOW)
    assert opener.open(message, NOW).payload == b"payload"


@pytest.mark.parametrize(("version", "tier"), FORMS)
def test_messages_come_in_order_and_once(version: int, tier: int) -> None:
    sealer, opener = sealer_at(), opener_at()
    first, second, third = (seal(sealer, version, tier, bytes([number])) for number in range(3))
    assert opener.open(first, NOW).payload == b"\x00"
    for early_or_again in (third, first):
        with pytest.raises(UnopenedMessage):
            opener.open(early_or_again, NOW)
    assert opener.open(second, NOW).payload == b"\x01"
    assert opener.open(third, NOW).payload == b"\x02"
    assert opener.messages == 3


@pytest.mark.parametrize("header", ["59 0624 46 1234 65a0bc01 c2f7", "59 0624 45 1234 65a0bc01 c2f6"])
def test_sequence_and_nonce_must_be_the_counters_even_from_who_has_the_key(header: str) -> None:
    authenticated = bytes.fromhex(header) + REQUEST.to_bytes(4, "big")
    sealed = ChaCha20Poly1305(KEYS.key).encrypt(nonce(NOW, KEYS.random, COUNTER), b"payload", authenticated)
    with pytest.raises(UnopenedMessage):
        opener_at(COUNTER).open(authenticated + sealed, NOW)


def test_a_counter_that_agrees_in_its_low_24_bits_only_does_not_open() -> None:
    with pytest.raises(UnopenedMessage):
        opener_at(0).open(seal(sealer_at(1 << 24)), NOW)


def test_another_session_does_not_open() -> None:
    message = sealer_at().seal(1, 3, 0x0624, SESSION + 1, REQUEST, NOW, b"")
    with pytest.raises(UnopenedMessage):
        opener_at().open(message, NOW)


@pytest.mark.parametrize("tier", [4, 5])
def test_another_key_id_does_not_open(tier: int) -> None:
    message = seal(Sealer(Aead.CHACHA20, KEYS, KEY_ID + 1), 1, tier)
    with pytest.raises(UnopenedMessage):
        opener_at().open(message, NOW)


def test_key_ids_travel_as_their_low_16_bits() -> None:
    message = seal(Sealer(Aead.CHACHA20, KEYS, KEY_ID + 0x10000), 1, 4)
    assert opener_at().open(message, NOW).payload == b"payload"


@pytest.mark.parametrize("keys", [TrafficKeys(bytes(32), KEYS.random), TrafficKeys(KEYS.key, 0)])
def test_another_key_or_nonce_base_does_not_open(keys: TrafficKeys) -> None:
    message = seal(Sealer(Aead.CHACHA20, keys, KEY_ID))
    with pytest.raises(UnopenedMessage):
        opener_at().open(message, NOW)


def test_the_other_aead_does_not_open() -> None:
    with pytest.raises(UnopenedMessage):
        opener_at(aead=Aead.AES256GCM).open(seal(sealer_at(aead=Aead.CHACHA20)), NOW)


@pytest.mark.parametrize("peer", [NOW, 0, 299, 0xFFFFFFFF, 0x80000000])
def test_the_clock_may_be_300_seconds_off_modulo_its_wrap(peer: int) -> None:
    for departure in (-300, 0, 300):
        now = (peer + departure) & 0xFFFFFFFF
        opened = opener_at().open(sealer_at().seal(1, 3, 0x0624, SESSION, 1, peer, b"x"), now)
        assert opened.timestamp == peer
    for departure in (-301, 301, 0x7FFFFFFF, -0x80000000):
        opener = opener_at()
        message = sealer_at().seal(1, 3, 0x0624, SESSION, 1, peer, b"x")
        with pytest.raises(UnopenedMessage):
            opener.open(message, (peer + departure) & 0xFFFFFFFF)
        assert opener.messages == 0
        assert opener.open(message, peer).payload == b"x"


@pytest.mark.parametrize("tier", [0, 1, 2, 4])
def test_unsealed_messages_never_open(tier: int) -> None:
    message = encode_plain(Header(1, tier, opcode=0x0624, session_id=SESSION, timestamp=NOW), bytes(40))
    with pytest.raises(UnopenedMessage):
        opener_at().open(message, NOW)


@given(st.binary(max_size=80))
def test_any_other_bytes_never_open(data: bytes) -> None:
    opener = opener_at()
    with pytest.raises(UnopenedMessage):
        opener.open(data, NOW)
    assert opener.messages == 0


def test_a_key_seals_two_to_the_32_messages_and_no_more() -> None:
    sealer, opener = sealer_at(0xFFFFFFFF), opener_at(0xFFFFFFFF)
    message = seal(sealer)
    assert sealer.messages == 1 << 32
    assert opener.open(message, NOW).payload == b"payload"
    for _ in range(2):
        with pytest.raises(LocalError):
            seal(sealer)
    assert sealer.messages == 1 << 32
    with pytest.raises(UnopenedMessage):
        opener.open(seal(sealer_at(0)), NOW)


@pytest.mark.parametrize(
    ("version", "tier"),
    [(1, 0), (1, 1), (1, 2), (1, 6), (1, 11), (1, 13), (0, 11), (0, 13), (2, 3), (-1, 13), (1, -1), (3, 5)],
)
def test_no_other_tier_or_version_is_sealed(version: int, tier: int) -> None:
    sealer = sealer_at()
    with pytest.raises(LocalError):
        seal(sealer, version, tier)
    assert sealer.messages == 0


@pytest.mark.parametrize(
    ("opcode", "session_id", "request_id", "timestamp"),
    [(0x10000, 1, 1, 1), (1, 0x10000, 1, 1), (1, 1, 1 << 32, 1), (1, 1, 1, 1 << 32), (1, 1, 1, -1)],
)
def test_fields_out_of_range_use_up_no_counter(
    opcode: int, session_id: int, request_id: int, timestamp: int
) -> None:
    sealer = sealer_at()
    with pytest.raises(LocalError):
        sealer.seal(1, 4, opcode, session_id, request_id, timestamp, b"")
    assert sealer.messages == 0


def test_secrets_do_not_show_in_a_repr() -> None:
    for thing in (sealer_at(), opener_at()):
        assert KEYS.key.hex() not in repr(thing)
        assert repr(KEYS.key) not in repr(thing)
        assert not hasattr(thing, "__dict__")


@pytest.mark.parametrize("length", [4, 8])
def test_mac_trailers(length: int) -> None:
    """Draft Table 1's HMAC-32 and HMAC-64: HMAC-SHA256 over header ‖ payload, cut to 4 or 8 bytes.

    The key and message are those of RFC 4231 test case 2.
    """
    message = append_mac(b"what do ya want for nothing?", b"Jefe", length)
    assert message == b"what do ya want for nothing?" + bytes.fromhex("5bdcc146bf60754e")[:length]
    assert check_mac(message, b"Jefe", length) == b"what do ya want for nothing?"
    assert check_mac(memoryview(message), b"Jefe", length) == b"what do ya want for nothing?"


@pytest.mark.parametrize("length", [4, 8])
def test_any_damage_to_a_mac_trailer_is_noticed(length: int) -> None:
    message = append_mac(b"header and payload", b"key", length)
    for position in range(len(message)):
        damaged = bytearray(message)
        damaged[position] ^= 1
        with pytest.raises(UnopenedMessage):
            check_mac(bytes(damaged), b"key", length)
    for cut in range(len(message)):
        with pytest.raises(UnopenedMessage):
            check_mac(message[:cut], b"key", length)
    with pytest.raises(UnopenedMessage):
        check_mac(message, b"other key", length)


@pytest.mark.parametrize("length", [0, 5, 16, 32, -4])
def test_mac_trailers_have_no_other_length(length: int) -> None:
    whole = hmac.digest(b"key", b"message", "sha256")
    with pytest.raises(LocalError):
        append_mac(b"message", b"key", length)
    with pytest.raises(LocalError):
        check_mac(b"message" + whole[: max(length, 0)], b"key", length)


@pytest.mark.parametrize(("first", "second", "faster"), [(1.0, 2.0, True), (2.0, 1.0, False)])
def test_the_faster_cipher_is_told_by_the_clock(first: float, second: float, faster: bool) -> None:
    times = itertools.accumulate([step for took in (first, second) for _ in range(5) for step in (0.0, took)])
    assert aes_is_faster(times.__next__) is faster
