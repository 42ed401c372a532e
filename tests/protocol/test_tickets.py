"""Resume tickets (docs/protocol.md, Resume)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from myclerk_protocol.environment import Environment
from myclerk_protocol.status import InvalidSession, LocalError
from myclerk_protocol.tickets import OpenedTicket, Ticket, TicketKeeper

HOUR = 3600.0
KEY = bytes(range(32))
DEVICE = b"sixteen byte dev"
SESSION = 0x1234
WALL = 1_800_000_000


class World:
    """Time and randomness by hand: the n-th ticket key is 32 times the byte n, from 1."""

    def __init__(self) -> None:
        self.wall = float(WALL)
        self.monotonic = 5000.0
        self.drawn = 0

    def random(self, size: int) -> bytes:
        self.drawn += 1
        return bytes([self.drawn]) * size

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def keeper(world: World) -> TicketKeeper:
    return TicketKeeper(Environment(world.random, lambda: world.wall, lambda: world.monotonic))


def reopen(keeper: TicketKeeper, ticket: Ticket, session_id: int = SESSION) -> OpenedTicket:
    return keeper.open(ticket.ticket, ticket.tag, session_id)


def refused(keeper: TicketKeeper, ticket: bytes, tag: bytes, session_id: int = SESSION) -> str:
    with pytest.raises(InvalidSession) as error:
        keeper.open(ticket, tag, session_id)
    assert error.value.details == {}
    return error.value.message


def test_ticket_bytes(keeper: TicketKeeper) -> None:
    """Nonce counter, then AES-256-GCM of key ‖ device ‖ issued-at ‖ expires-at, the tag beside it."""
    keeper.issue(KEY, DEVICE, 1, HOUR)
    ticket = keeper.issue(KEY, DEVICE, SESSION, HOUR)
    content = KEY + DEVICE + WALL.to_bytes(4, "big") + (WALL + 3600).to_bytes(4, "big")
    iv = bytes.fromhex("00000000 0000000000000001")
    sealed = AESGCM(bytes([1]) * 32).encrypt(iv, content, b"myclerk-ticket-v1\x12\x34")
    assert ticket.ticket == bytes.fromhex("0000000000000001") + sealed[:-16]
    assert ticket.tag == sealed[-16:]
    assert (len(ticket.ticket), len(ticket.tag)) == (64, 16)
    assert ticket.expires_at == WALL + 3600


def test_a_ticket_opens_with_what_it_was_issued_for(keeper: TicketKeeper) -> None:
    ticket = keeper.issue(KEY, DEVICE, SESSION, HOUR)
    opened = reopen(keeper, ticket)
    assert (opened.key, opened.device) == (KEY, DEVICE)
    assert (opened.issued_at, opened.expires_at) == (WALL, WALL + 3600)
    assert opened.identity == ticket.identity
    assert reopen(keeper, ticket) == opened


def test_each_ticket_has_an_identity_of_its_own(keeper: TicketKeeper, world: World) -> None:
    tickets = []
    for _ in range(3):
        tickets += [keeper.issue(KEY, DEVICE, SESSION, 24 * HOUR) for _ in range(3)]
        world.advance(6 * HOUR)
    assert len({ticket.identity for ticket in tickets}) == 9
    assert [reopen(keeper, ticket).identity for ticket in tickets[3:]] == [t.identity for t in tickets[3:]]


def test_every_mismatch_has_the_one_message(keeper: TicketKeeper, world: World) -> None:
    ticket = keeper.issue(KEY, DEVICE, SESSION, HOUR)
    whole = ticket.ticket + ticket.tag
    messages = set()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        messages.add(refused(keeper, bytes(damaged[:64]), bytes(damaged[64:])))
    for other_session in (SESSION + 1, 0, 0xFFFF, -1, 0x10000, SESSION + 0x10000, 1 << 70):
        messages.add(refused(keeper, ticket.ticket, ticket.tag, other_session))
    for wrong in (b"", ticket.ticket[:-1], ticket.ticket + b"\x00"):
        messages.add(refused(keeper, wrong, ticket.tag))
    for wrong in (b"", ticket.tag[:-1], ticket.tag + b"\x00"):
        messages.add(refused(keeper, ticket.ticket, wrong))
    assert reopen(keeper, ticket).key == KEY
    world.advance(HOUR)
    messages.add(refused(keeper, ticket.ticket, ticket.tag))
    assert len(messages) == 1


def test_a_restarted_agent_opens_no_earlier_ticket(keeper: TicketKeeper, world: World) -> None:
    ticket = keeper.issue(KEY, DEVICE, SESSION, HOUR)
    restarted = TicketKeeper(Environment(world.random, lambda: world.wall, lambda: world.monotonic))
    refused(restarted, ticket.ticket, ticket.tag)


def test_a_ticket_expires_by_the_monotonic_clock(keeper: TicketKeeper, world: World) -> None:
    ticket = keeper.issue(KEY, DEVICE, SESSION, HOUR)
    world.wall += 100 * HOUR
    assert reopen(keeper, ticket).key == KEY
    world.wall -= 300 * HOUR
    world.monotonic += HOUR - 0.5
    assert reopen(keeper, ticket).key == KEY
    world.monotonic += 0.5
    refused(keeper, ticket.ticket, ticket.tag)


def test_a_ticket_without_lifetime_never_opens(keeper: TicketKeeper) -> None:
    ticket = keeper.issue(KEY, DEVICE, SESSION, 0)
    refused(keeper, ticket.ticket, ticket.tag)


def test_times_are_shown_modulo_two_to_the_32(keeper: TicketKeeper, world: World) -> None:
    world.wall = float((1 << 32) - 10)
    ticket = keeper.issue(KEY, DEVICE, SESSION, 30)
    assert ticket.expires_at == 20
    opened = reopen(keeper, ticket)
    assert (opened.issued_at, opened.expires_at) == ((1 << 32) - 10, 20)


def test_a_new_key_every_12_hours_starts_its_nonces_at_0(keeper: TicketKeeper, world: World) -> None:
    old = keeper.issue(KEY, DEVICE, SESSION, 24 * HOUR)
    world.advance(12 * HOUR - 1)
    same = keeper.issue(KEY, DEVICE, SESSION, 24 * HOUR)
    world.advance(1)
    new = keeper.issue(DEVICE * 2, DEVICE, SESSION, 24 * HOUR)
    assert world.drawn == 2
    assert [ticket.ticket[:8] for ticket in (old, same, new)] == [bytes(8), bytes(7) + b"\x01", bytes(8)]
    sealed = new.ticket[8:] + new.tag
    content = AESGCM(bytes([2]) * 32).decrypt(bytes(12), sealed, b"myclerk-ticket-v1\x12\x34")
    assert content[:32] == DEVICE * 2
    # Two live keys with the same nonce counter: each ticket opens under its own.
    assert reopen(keeper, old).key == KEY
    assert reopen(keeper, new).key == DEVICE * 2


def test_a_key_is_forgotten_when_its_last_ticket_has_expired(keeper: TicketKeeper, world: World) -> None:
    keeper.issue(KEY, DEVICE, SESSION, 24 * HOUR)
    world.advance(11 * HOUR)
    last = keeper.issue(KEY, DEVICE, SESSION, 24 * HOUR)
    world.advance(HOUR)
    keeper.sweep()
    assert len(keeper._keys) == 2
    world.advance(23 * HOUR - 1)
    assert reopen(keeper, last).key == KEY
    assert len(keeper._keys) == 2
    world.advance(1)
    keeper.sweep()
    assert len(keeper._keys) == 1


@pytest.mark.parametrize(
    ("key", "device", "session_id", "lifetime"),
    [
        (KEY[:-1], DEVICE, SESSION, HOUR),
        (KEY + b"\x00", DEVICE, SESSION, HOUR),
        (KEY, DEVICE[:-1], SESSION, HOUR),
        (KEY, DEVICE + b"\x00", SESSION, HOUR),
        (KEY, DEVICE, -1, HOUR),
        (KEY, DEVICE, 0x10000, HOUR),
        (KEY, DEVICE, SESSION, -1),
        (KEY, DEVICE, SESSION, 24 * HOUR + 1),
        (KEY, DEVICE, SESSION, float("nan")),
    ],
)
def test_what_cannot_be_issued(
    keeper: TicketKeeper, key: bytes, device: bytes, session_id: int, lifetime: float
) -> None:
    with pytest.raises(LocalError):
        keeper.issue(key, device, session_id, lifetime)
    assert keeper.issue(KEY, DEVICE, SESSION, 24 * HOUR).ticket[:8] == bytes(8)


def test_secrets_do_not_show_in_a_repr(keeper: TicketKeeper) -> None:
    ticket = keeper.issue(KEY, DEVICE, SESSION, HOUR)
    opened = reopen(keeper, ticket)
    assert "key=" not in repr(opened)
    assert "ticket=" not in repr(ticket)
    assert repr(KEY)[2:-1] not in repr(opened) + repr(keeper)
