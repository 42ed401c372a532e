"""myclerk:// links: round trips, and one test for each way to be wrong."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from myclerk_protocol.mesh import link, udf
from myclerk_protocol.mesh.link import Link
from myclerk_protocol.status import BadRequest

FINGERPRINT = "MC44IZC3IWZTVCVZL2AGHI4ELOV2"
PIN = "AAJP-KPYV-NSB4-GIYL-AM"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (f"myclerk://board.local/{FINGERPRINT}#{PIN}", "board.local", 5657),
        (f"myclerk://192.0.2.7:7000/{FINGERPRINT}#{PIN}", "192.0.2.7", 7000),
        (f"myclerk://[2001:db8::7]/{FINGERPRINT}#{PIN}", "2001:db8::7", 5657),
        (f"myclerk://[fe80::1%25eth0]:65535/{FINGERPRINT}#{PIN}", "fe80::1%eth0", 65535),
        (f"myclerk://raspberry_pi-4:1/{FINGERPRINT}#{PIN}", "raspberry_pi-4", 1),
    ],
)
def test_parse_and_format(text: str, host: str, port: int) -> None:
    parsed = link.parse(text)
    assert parsed == Link(host=host, port=port, fingerprint=FINGERPRINT, pin=PIN)
    assert parsed.format() == text


def test_without_pin_and_without_fingerprint() -> None:
    asking = link.parse(f"myclerk://board.local/{FINGERPRINT}")
    assert asking == Link("board.local", FINGERPRINT, None)
    assert asking.format() == f"myclerk://board.local/{FINGERPRINT}"
    typed = link.parse(f"myclerk://board.local:7000#{PIN}")
    assert typed == Link("board.local", None, PIN, 7000)
    assert typed.format() == f"myclerk://board.local:7000#{PIN}"


def test_typed_by_hand() -> None:
    typed = f"MyClerk://Board:5657/{udf.grouped(FINGERPRINT).lower()}#{PIN.replace('-', '').lower()}"
    assert link.parse(typed).format() == f"myclerk://Board/{FINGERPRINT}#{PIN}"


def test_repr_shows_no_pin() -> None:
    parsed = link.parse(f"myclerk://board/{FINGERPRINT}#{PIN}")
    assert "AAJP" not in repr(parsed)
    assert "AAJP" not in str(parsed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begins with"),
        (f"http://board/{FINGERPRINT}#{PIN}", "begins with"),
        (f"myclerk:board/{FINGERPRINT}#{PIN}", "begins with"),
        ("myclerk://board", "fingerprint, a PIN or both"),
        ("myclerk://board/", "form"),
        ("myclerk://board#", "form"),
        (f"myclerk://board/{FINGERPRINT}#", "form"),
        (f"myclerk://board/#{PIN}", "form"),
        (f"myclerk:///{FINGERPRINT}#{PIN}", "host name"),
        (f"myclerk://user@board/{FINGERPRINT}#{PIN}", "host name"),
        (f"myclerk://-board/{FINGERPRINT}#{PIN}", "host name"),
        (f"myclerk://board./{FINGERPRINT}#{PIN}", "host name"),
        (f"myclerk://{'b' * 64}/{FINGERPRINT}#{PIN}", "host name"),
        (f"myclerk://{'b.' * 127}b/{FINGERPRINT}#{PIN}", "host name"),
        (f"myclerk://2001:db8::7/{FINGERPRINT}#{PIN}", "brackets"),
        (f"myclerk://[2001:db8::7/{FINGERPRINT}#{PIN}", "cannot be read"),
        (f"myclerk://[board]/{FINGERPRINT}#{PIN}", "IPv6"),
        (f"myclerk://[2001:db8::7::1]/{FINGERPRINT}#{PIN}", "valid IP address"),
        (f"myclerk://[fe80::1%eth0]/{FINGERPRINT}#{PIN}", "IPv6"),
        (f"myclerk://[fe80::1%25]/{FINGERPRINT}#{PIN}", "zone"),
        (f"myclerk://192.0.2.256/{FINGERPRINT}#{PIN}", "valid IP address"),
        (f"myclerk://board:0/{FINGERPRINT}#{PIN}", "port"),
        (f"myclerk://board:65536/{FINGERPRINT}#{PIN}", "port"),
        (f"myclerk://board:/{FINGERPRINT}#{PIN}", "cannot be read"),
        (f"myclerk://board:٣/{FINGERPRINT}#{PIN}", "ASCII"),
        (f"myclerk://board/{FINGERPRINT[:-1]}#{PIN}", "incomplete|28 characters"),
        (f"myclerk://board/{FINGERPRINT[:24]}#{PIN}", "28 characters"),
        (f"myclerk://board/{'A' * 28}#{PIN}", "fingerprint of a key"),
        (f"myclerk://board/x/{FINGERPRINT}#{PIN}", "fingerprint or PIN"),
        (f"myclerk://board/{FINGERPRINT}#{FINGERPRINT}", "not a PIN"),
        (f"myclerk://board/{FINGERPRINT}#{PIN}#{PIN}", "fingerprint or PIN"),
        (f"myclerk://board/{FINGERPRINT}#{PIN} ", "without spaces"),
        (f"myclerk://board\n/{FINGERPRINT}#{PIN}", "printable"),
        (f"myclerk://{'b' * 600}/{FINGERPRINT}#{PIN}", "at most 512"),
    ],
)
def test_wrong_links_say_why_and_keep_the_pin_quiet(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason) as caught:
        link.parse(text)
    assert "KPYV" not in str(caught.value)


NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z][a-z0-9]{0,5}){0,3}", fullmatch=True)


DIGESTS = st.binary(min_size=17, max_size=64).map(lambda data: udf.present(udf.Kind.SHA2_512, data))
PINS = st.binary(min_size=15, max_size=16).map(lambda data: udf.present(udf.Kind.AUTHENTICATOR, data))


@given(
    host=NAMES | st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    fingerprint=st.none() | DIGESTS.map(udf.compact),
    pin=st.none() | PINS,
)
def test_link_round_trip(host: str, port: int, fingerprint: str | None, pin: str | None) -> None:
    assume(fingerprint is not None or pin is not None)
    made = Link(host=host, port=port, fingerprint=fingerprint, pin=pin)
    assert link.parse(made.format()) == made


@given(st.text(max_size=80).map(lambda text: "myclerk://" + text))
def test_any_text_is_a_link_or_bad_request(text: str) -> None:
    try:
        link.parse(text)
    except BadRequest:
        return
    pytest.fail("a link was made of noise")
