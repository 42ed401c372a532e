"""Short messages as PDUs: published examples, the standard's own numbers, and what must hold for any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_drivers.gsm.alphabet import Alphabet
from myclerk_drivers.gsm.alphabet_tables import EXTENSION, LANGUAGES, LOCKING, UNDEFINED
from myclerk_drivers.gsm.pdu import Deliver, Outgoing, StatusReport, Submit, decode, encode, join
from myclerk_drivers.gsm.pdu_fields import (
    Coding,
    Octets,
    PduError,
    Time,
    alphanumeric_address,
    read_address,
    read_coding,
    read_time,
    time_stamp,
    validity_period,
)
from myclerk_drivers.gsm.septets import pack, pack_ussd, unpack, unpack_ussd

# L. Pettersson, "SMS and the PDU format" (dreamfabric.com/sms): the examples that every implementation is tried with.
DELIVER_HELLO = "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37"
SUBMIT_HELLO = "0011000B916407281553F80000AA0AE8329BFD4697D9EC37"

GSM_CHARACTERS = st.sampled_from(
    sorted({c for c in LOCKING[0] if c != UNDEFINED} | set(EXTENSION[0].values()))
)


def test_the_published_deliver_is_read() -> None:
    message = decode(DELIVER_HELLO)
    assert isinstance(message, Deliver)
    assert message.service_center == "+27381000015"
    assert message.sender == "27838890001"
    assert message.content.text == "hellohello"
    # 29 March 1999, 15:16:59, eight quarters of an hour east of Greenwich
    assert message.time == Time(922713419, 120)


def test_the_published_submit_is_written() -> None:
    (encoded,) = encode(Outgoing("+46708251358", "hellohello", validity=4 * 24 * 3600))
    assert (encoded.pdu, encoded.length) == (SUBMIT_HELLO, 23)


def test_septets_are_packed_as_in_the_standards_examples() -> None:
    # TS 23.038 section 6.1.2.1.1 in numbers; "hellohello" of the same page
    assert pack(Alphabet().encode("hellohello") or []).hex() == "e8329bfd4697d9ec37"
    assert unpack(bytes.fromhex("E8329BFD4697D9EC37"), 10) == [ord(c) for c in "hellohello"]


def test_spare_septets_of_ussd_are_carriage_returns() -> None:
    # TS 23.038 section 6.1.2.3.1: seven spare bits hold CR; 8 characters that end with CR get a second one
    assert pack_ussd([0x31] * 7)[-1] >> 1 == 0x0D
    assert unpack_ussd(pack_ussd([0x31] * 7)) == [0x31] * 7
    assert len(pack_ussd([0x31] * 7 + [0x0D])) == 8
    # "*100#" as many modems show it
    assert pack_ussd([ord(c) for c in "*100#"]).hex().upper() == "AA180C3602"


@pytest.mark.parametrize(
    ("scheme", "coding"),
    [
        (0x00, Coding("gsm7")), (0x04, Coding("8bit")), (0x08, Coding("ucs2")), (0x0C, Coding("gsm7")),
        (0x10, Coding("gsm7", 0)), (0x18, Coding("ucs2", 0)), (0x11, Coding("gsm7", 1)),
        (0x20, Coding("compressed")), (0x48, Coding("ucs2")), (0xC8, Coding("gsm7")), (0xD0, Coding("gsm7")),
        (0xE0, Coding("ucs2")), (0xF0, Coding("gsm7", 0)), (0xF5, Coding("8bit", 1)),
    ],
)  # fmt: skip
def test_coding_schemes_by_section_4_of_ts_23_038(scheme: int, coding: Coding) -> None:
    assert read_coding(scheme) == coding


@pytest.mark.parametrize(
    ("seconds", "value"),
    [(300, 0), (301, 1), (12 * 3600, 143), (12.5 * 3600, 144), (24 * 3600, 167), (2 * 86400, 168),
     (4 * 86400, 170), (30 * 86400, 196), (35 * 86400, 197), (63 * 7 * 86400, 255), (1e9, 255)],
)  # fmt: skip
def test_validity_periods_by_table_9_2_3_12_1(seconds: float, value: int) -> None:
    assert validity_period(seconds) == value


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_national_character_survives(language: int) -> None:
    for alphabet in (Alphabet(0, language), Alphabet(language, 0), Alphabet(language, language)):
        main, extension = LOCKING.get(alphabet.locking, LOCKING[0]), EXTENSION[alphabet.single]
        for character in {*main, *extension.values()} - {UNDEFINED}:
            septets = alphabet.encode(character)
            assert septets is not None
            assert alphabet.decode(septets) == character


def test_known_characters_of_national_tables() -> None:
    # TS 23.038 annex A: single shift tables A.2.1 to A.2.3, locking shift tables A.3.1, A.3.3, A.3.4
    assert Alphabet(0, 1).encode("ğŞı") == [0x1B, 0x67, 0x1B, 0x53, 0x1B, 0x69]
    assert Alphabet(0, 2).encode("Áú") == [0x1B, 0x41, 0x1B, 0x75]
    assert Alphabet(0, 3).encode("ãÕ") == [0x1B, 0x7B, 0x1B, 0x5C]
    assert Alphabet(1, 0).encode("€ğİ") == [0x04, 0x0C, 0x40]
    assert Alphabet(3, 0).encode("ãõ∞") == [0x7B, 0x7C, 0x15]
    assert Alphabet(4, 0).encode("\u0985") == [0x03]


def test_an_escape_without_meaning_shows_the_main_tables_character() -> None:
    assert Alphabet().decode([0x1B, 0x41, 0x1B, 0x1B, 0x41, 0x1B]) == "A A"


def test_a_language_saves_parts_and_is_announced() -> None:
    text = "ığdır şehri " * 11  # 132 characters: two parts of UCS-2
    assert len(encode(Outgoing("1", text))) == 2
    (encoded,) = encode(Outgoing("1", text, language="turkish"))
    message = decode(encoded.pdu, outgoing=True)
    assert isinstance(message, Submit)
    assert message.content.coding.encoding == "gsm7"
    assert message.content.header.alphabet.locking == 1
    assert message.content.text == text


def test_a_status_report_tells_what_became_of_it() -> None:
    # the example of python-gsmmodem's and others' tests: sent at 17:59:15, delivered at 17:59:17
    pdu = "0006D60B911326880736F4111011719551401110117195714000"
    report = decode(pdu)
    assert isinstance(report, StatusReport)
    assert (report.reference, report.recipient, report.outcome) == (214, "+31628870634", "delivered")
    assert report.time == Time(1294765155, 60)
    assert report.discharge == Time(1294765157, 60)
    assert decode(pdu[:-2] + "30").outcome == "pending"  # type: ignore[union-attr]
    assert decode(pdu[:-2] + "46").outcome == "failed"  # type: ignore[union-attr]


def test_names_as_senders() -> None:
    assert read_address(Octets(alphanumeric_address("MyClerk")), "sender") == "MyClerk"
    assert read_address(Octets(bytes.fromhex("0AD0") + pack([ord(c) for c in "Vodaf"])), "sender") == "Vodaf"


@pytest.mark.parametrize("stamp", ["99132951619580", "99309951619580", "00000000000000", "FFFFFFFFFFFFFF"])
def test_a_time_stamp_that_is_none_is_no_reason_to_lose_the_message(stamp: str) -> None:
    assert read_time(Octets(bytes.fromhex(stamp)), "time stamp") is None
    message = decode(DELIVER_HELLO.replace("99309251619580", stamp))
    assert isinstance(message, Deliver)
    assert message.content.text == "hellohello"


@pytest.mark.parametrize(
    "pdu",
    ["", "0", "zz", "07", "00", "0011", "0740", "FF" * 200, DELIVER_HELLO[:-2], DELIVER_HELLO[:40],
     "000415C8", "00640BC87238880900F1000099309251619580FF" + "00" * 200,
     "00440BC87238880900F1000099309251619580" + "05" + "FF00030101"],
)  # fmt: skip
def test_what_is_no_pdu_is_refused(pdu: str) -> None:
    with pytest.raises(PduError):
        decode(pdu)


@pytest.mark.parametrize(
    "message",
    [Outgoing("", "x"), Outgoing("12a4x", "x"), Outgoing("1" * 21, "x"), Outgoing("1", "ş", encoding="gsm7"),
     Outgoing("1", "x" * 153 * 256)],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused(message: Outgoing) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the sentences are for people)
        encode(message)


def sent_and_read(message: Outgoing, reference: int = 0) -> list[Submit]:
    """The parts as who receives them reads them."""
    parts = []
    for encoded in encode(message, reference):
        part = decode(encoded.pdu, outgoing=True)
        assert isinstance(part, Submit)
        assert encoded.length == len(encoded.pdu) // 2 - 1
        assert encoded.length <= 164 + 12
        parts.append(part)
    return parts


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), st.integers(0, 65535))
def test_any_text_arrives(text: str, reference: int) -> None:
    parts = sent_and_read(Outgoing("+491701234567", text, report=True), reference)
    assert join([part.content.text or "" for part in parts]) == text
    if len(parts) > 1:
        found = [part.content.header.part for part in parts]
        assert [p and (p.reference, p.total, p.number) for p in found] == [
            (reference, len(parts), number) for number in range(1, len(parts) + 1)
        ]


@given(st.text(GSM_CHARACTERS, min_size=1, max_size=700), st.integers(0, 255))
def test_text_of_the_gsm_alphabet_stays_in_it_and_fills_its_parts(text: str, reference: int) -> None:
    parts = sent_and_read(Outgoing("1", text, encoding="gsm7"), reference)
    assert join([part.content.text or "" for part in parts]) == text
    septets = len(Alphabet().encode(text) or [])
    assert len(parts) == 1 if septets <= 160 else len(parts) <= septets // 152 + 1


@given(st.binary(max_size=1000))
def test_any_bytes_arrive(data: bytes) -> None:
    parts = sent_and_read(Outgoing("1", data=data, ports=(2948, 9200)))
    assert b"".join(part.content.data or b"" for part in parts) == data
    assert all(part.content.header.ports == (2948, 9200) for part in parts)


@given(st.integers(631300000, 3700000000), st.integers(-48, 56))
def test_time_stamps_survive(seconds: int, quarters: int) -> None:
    time = Time(seconds, quarters * 15)
    assert read_time(Octets(time_stamp(time)), "time stamp") == time


@given(st.lists(st.integers(0, 127), max_size=200), st.integers(0, 6))
def test_septets_survive(septets: list[int], fill: int) -> None:
    packed = pack(septets, fill)
    assert unpack(packed, len(septets), fill) == septets
    assert len(packed) == (fill + 7 * len(septets) + 7) // 8


@given(st.binary(max_size=200), st.booleans())
def test_noise_is_a_message_or_refused_but_never_anything_else(data: bytes, outgoing: bool) -> None:
    try:
        decode(data.hex(), outgoing=outgoing)
    except PduError:
        pass


@given(st.integers(0, 70), st.integers(0, 255))
def test_a_damaged_deliver_is_read_or_refused(at: int, value: int) -> None:
    octets = bytearray(bytes.fromhex(DELIVER_HELLO))
    octets[at % len(octets)] = value
    try:
        decode(octets.hex())
    except PduError:
        pass
