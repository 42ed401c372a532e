"""Invitations: what is stored, what the link says, what the terminal shows."""

import socket

import pytest

from myclerk_agent import invite as invite_module
from myclerk_agent.config import Address
from myclerk_agent.invite import invite, link_address, render
from myclerk_protocol.mesh import link, pin, udf
from myclerk_protocol.status import BadRequest, TooMany

AGENT = "MC44IZC3IWZTVCVZL2AGHI4ELOV2"
HERE = Address("board.lan", 5657)


def test_the_link_holds_the_pin_and_the_store_only_what_verifies_it(store, world, tmp_path):
    made = invite(
        store, world.environment, AGENT, HERE, access=3, administrator=True, description="laptop", lifetime=60
    )
    parsed = link.parse(made.link)
    assert (parsed.host, parsed.port, parsed.fingerprint) == ("board.lan", 5657, AGENT)
    assert made.expires_at == world.wall_time + 60
    salted = pin.salted_pin(parsed.pin)
    stored = store.find_pin(udf.compact(pin.pin_id(salted, udf.grouped(AGENT))))
    assert (stored.access, stored.administrator, stored.description) == (3, True, "laptop")
    assert stored.salted_pin == udf.parse(salted)[1]
    store.close()
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert udf.parse(parsed.pin)[1] not in on_disk
    assert parsed.pin.encode() not in on_disk
    assert parsed.pin not in repr(made)


@pytest.mark.parametrize(("port", "shown"), [(4711, 4711), (5657, 5657), (0, 5657)])
def test_the_port_of_the_link(store, world, port, shown):
    made = invite(store, world.environment, AGENT, Address("board.lan", port), access=1)
    assert link.parse(made.link).port == shown


def test_each_invitation_has_a_pin_of_its_own(store, world):
    links = {invite(store, world.environment, AGENT, HERE, access=1).link for _ in range(10)}
    assert len(links) == 10


@pytest.mark.parametrize("lifetime", [0, 59.9, 7 * 86400 + 1, float("nan")])
def test_a_lifetime_out_of_range_is_refused(store, world, lifetime):
    with pytest.raises(BadRequest, match="60 to 604800 seconds"):
        invite(store, world.environment, AGENT, HERE, access=1, lifetime=lifetime)


def test_a_host_that_fits_no_link_stores_nothing(store, world):
    with pytest.raises(BadRequest):
        invite(store, world.environment, AGENT, Address("bad host", 5657), access=1)
    for _ in range(64):
        invite(store, world.environment, AGENT, HERE, access=1)
    with pytest.raises(TooMany):
        invite(store, world.environment, AGENT, HERE, access=1)


TEXT = f"myclerk://board.lan/{AGENT}#{udf.present(0, bytes(16))}"


def test_without_a_terminal_there_is_the_link_alone():
    assert render(TEXT, terminal=False) == TEXT + "\n"


def test_a_terminal_shows_the_code_and_the_link():
    *lines, blank, text, end = render(TEXT, terminal=True).split("\n")
    assert (blank, text, end) == ("", TEXT, "")
    shown = []
    for line in lines:
        assert line.startswith("\x1b[97;40m")
        assert line.endswith("\x1b[0m")
        shown.append(line[len("\x1b[97;40m") : -len("\x1b[0m")])
    rows = []  # of modules, light is True: each character holds two
    for line in shown:
        rows.append([character in "█▀" for character in line])
        rows.append([character in "█▄" for character in line])
    size = len(rows[0])
    assert size <= 80
    assert {len(row) for row in rows} == {size}
    assert all(all(row) for row in rows[:4])
    assert all(all(row[:4]) and all(row[-4:]) for row in rows[: size - 4])
    finder = [
        "       ",
        " █████ ",
        " █   █ ",
        " █   █ ",
        " █   █ ",
        " █████ ",
        "       ",
    ]
    corner = ["".join("█" if light else " " for light in row[4:11]) for row in rows[4:11]]
    assert corner == finder


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("board.lan", Address("board.lan", 4711)),
        ("board.lan:99", Address("board.lan", 99)),
        ("192.0.2.7", Address("192.0.2.7", 4711)),
        ("2001:db8::7", Address("2001:db8::7", 4711)),
        ("[2001:db8::7]", Address("2001:db8::7", 4711)),
        ("[2001:db8::7]:99", Address("2001:db8::7", 99)),
        ("fe80::1%eth0", Address("fe80::1%eth0", 4711)),
    ],
)
def test_the_host_as_given(host, expected):
    assert link_address([Address("0.0.0.0", 4711)], host) == expected


@pytest.mark.parametrize("host", ["", "a b", "board.lan:x", "[::1", "a:99999"])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(BadRequest):
        link_address([], host)


@pytest.fixture
def own(monkeypatch):
    """This machine's addresses, by family."""
    addresses = {socket.AF_INET: ["192.0.2.10"], socket.AF_INET6: ["2001:db8::10"]}
    monkeypatch.setattr(invite_module, "_own_addresses", lambda family: iter(addresses[family]))
    return addresses


ANY4, ANY6, LOOP = Address("0.0.0.0", 1), Address("::", 2), Address("127.0.0.1", 3)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ([ANY4, ANY6], Address("192.0.2.10", 1)),
        ([ANY6, ANY4], Address("2001:db8::10", 2)),
        ([LOOP, ANY6], Address("2001:db8::10", 2)),
        ([LOOP, ANY4, Address("10.0.0.1", 4)], Address("10.0.0.1", 4)),
        ([Address("board.lan", 5)], Address("board.lan", 5)),
        ([LOOP], LOOP),
        ([Address("localhost", 6), LOOP], Address("localhost", 6)),
    ],
)
def test_the_address_is_one_that_is_listened_on(own, listen, expected):
    assert link_address(listen) == expected


def test_the_name_where_there_is_no_address(own):
    own[socket.AF_INET] = own[socket.AF_INET6] = []
    assert link_address([ANY4, ANY6]) == Address(socket.gethostname(), 1)
    assert link_address([]) == Address(socket.gethostname(), 5657)


def test_real_addresses_are_reachable_ones():
    found = list(invite_module._own_addresses(socket.AF_INET))
    assert all(not address.startswith(("127.", "0.", "169.254.")) for address in found)
