"""Resume tickets: sealed by the agent under keys that exist in memory only (docs/protocol.md, Resume).

A ticket is ticket-nonce(8) ‖ AES-256-GCM ciphertext(56); its tag travels beside it. Whether a ticket was
spent or killed is known by who holds the sessions, by the ticket's identity.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Hashable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .environment import Environment
from .header import TAG_SIZE
from .status import InvalidSession, LocalError

TICKET_SIZE = 64
MAX_LIFETIME = 24 * 3600
"""Seconds that a ticket is valid at most."""

KEY_PERIOD = 12 * 3600
"""Seconds after which a new ticket key is made."""

INVALID = "the ticket is not valid (any more); start a session with SESSION_INIT"
"""The one message for every mismatch."""

_NONCE = struct.Struct(">Q")
_IV = struct.Struct(">IQ")
_CONTENT = struct.Struct(">32s16sII")
_SESSION_ID = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as sent. ``expires_at`` is Unix time modulo 2**32, for display; ``identity`` is not sent."""

    ticket: bytes = field(repr=False)
    tag: bytes = field(repr=False)
    expires_at: int
    identity: Hashable


@dataclass(frozen=True, slots=True)
class OpenedTicket:
    """What a valid ticket holds, and its identity.

    ``key`` has 32 bytes, ``device`` the 16 data bytes of a fingerprint; ``issued_at`` and ``expires_at`` are
    Unix time modulo 2**32, for display.
    """

    key: bytes = field(repr=False)
    device: bytes
    issued_at: int
    expires_at: int
    identity: Hashable


class _TicketKey:
    """One ticket key: the nonce of a ticket is its index in ``deadlines`` (monotonic seconds)."""

    __slots__ = ("cipher", "deadlines", "last_deadline", "made_at", "number")

    def __init__(self, number: int, key: bytes, now: float) -> None:
        self.number = number
        self.cipher = AESGCM(key)
        self.made_at = now
        self.deadlines = array("d")
        self.last_deadline = now


class TicketKeeper:
    """Issues and opens tickets. A new keeper, as after a restart, opens none of an earlier one's."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._keys = [self._new_key(0)]

    def issue(self, key: bytes, device: bytes, session_id: int, lifetime: float) -> Ticket:
        """A ticket for ``key`` (32 bytes) and ``device`` (16), bound to the session ID it is issued in.

        ``lifetime`` is 0 to 24 h in seconds from now, measured by the monotonic clock. Raises LocalError for
        values out of range.
        """
        if len(key) != 32 or len(device) != 16 or not 0 <= session_id <= 0xFFFF:
            raise LocalError("a ticket holds a key of 32 bytes, a device of 16 and a 16-bit session ID")
        if not 0 <= lifetime <= MAX_LIFETIME:
            raise LocalError(f"a ticket is valid for 0 to {MAX_LIFETIME} seconds, not {lifetime}")
        self.sweep()
        newest = self._keys[0]
        counter = len(newest.deadlines)
        wall = self._environment.wall()
        expires_at = int(wall + lifetime) & 0xFFFFFFFF
        content = _CONTENT.pack(key, device, int(wall) & 0xFFFFFFFF, expires_at)
        deadline = self._environment.monotonic() + lifetime
        newest.deadlines.append(deadline)
        newest.last_deadline = max(newest.last_deadline, deadline)
        sealed = newest.cipher.encrypt(_IV.pack(0, counter), content, _associated_data(session_id))
        return Ticket(
            ticket=_NONCE.pack(counter) + sealed[:-TAG_SIZE],
            tag=sealed[-TAG_SIZE:],
            expires_at=expires_at,
            identity=(newest.number, counter),
        )

    def open(self, ticket: bytes, tag: bytes, old_session_id: int) -> OpenedTicket:
        """What the ticket holds.

        Raises InvalidSession, always with the same message, for a ticket that is forged, damaged, expired,
        of another session ID or sealed under a key that is gone.
        """
        self.sweep()
        if len(ticket) != TICKET_SIZE or len(tag) != TAG_SIZE or not 0 <= old_session_id <= 0xFFFF:
            raise InvalidSession(INVALID)
        (counter,) = _NONCE.unpack_from(ticket)
        sealed = ticket[_NONCE.size :] + tag
        for key in self._keys:
            try:
                content = key.cipher.decrypt(_IV.pack(0, counter), sealed, _associated_data(old_session_id))
            except InvalidTag:
                continue
            if key.deadlines[counter] <= self._environment.monotonic():
                break
            secret, device, issued_at, expires_at = _CONTENT.unpack(content)
            return OpenedTicket(secret, device, issued_at, expires_at, (key.number, counter))
        raise InvalidSession(INVALID)

    def sweep(self) -> None:
        """Make a new key when it is time, and forget those whose last ticket has expired.

        Done by every :meth:`issue` and :meth:`open`; call it now and then when there are none.
        """
        now = self._environment.monotonic()
        newest = self._keys[0]
        if now - newest.made_at >= KEY_PERIOD:
            self._keys.insert(0, self._new_key(newest.number + 1))
        self._keys[1:] = [key for key in self._keys[1:] if key.last_deadline > now]

    def _new_key(self, number: int) -> _TicketKey:
        return _TicketKey(number, self._environment.random(32), self._environment.monotonic())


def _associated_data(session_id: int) -> bytes:
    return b"myclerk-ticket-v1" + _SESSION_ID.pack(session_id)
