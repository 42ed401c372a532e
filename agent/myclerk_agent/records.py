"""The rows of the agent's database.

Fingerprints and PIN identifiers are 28 characters without hyphens; times are Unix seconds unless said
otherwise; keys and PINs do not appear in a repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MIGRATIONS = (
    """
    CREATE TABLE devices (
        fingerprint TEXT PRIMARY KEY CHECK (length(fingerprint) = 28),
        profile BLOB NOT NULL,
        public_key BLOB NOT NULL,
        pq_public BLOB,
        description TEXT NOT NULL,
        access INTEGER NOT NULL CHECK (access BETWEEN 0 AND 4),
        administrator INTEGER NOT NULL CHECK (administrator IN (0, 1)),
        enrolled_at REAL NOT NULL,
        last_seen REAL,
        revoked_at REAL
    ) STRICT;
    CREATE TABLE pins (
        pin_id TEXT PRIMARY KEY CHECK (length(pin_id) = 28),
        salted_pin BLOB NOT NULL CHECK (length(salted_pin) = 16),
        description TEXT NOT NULL,
        access INTEGER NOT NULL CHECK (access BETWEEN 0 AND 4),
        administrator INTEGER NOT NULL CHECK (administrator IN (0, 1)),
        issued_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        expires_boot REAL NOT NULL,
        boot_id TEXT NOT NULL,
        bound_to TEXT REFERENCES devices (fingerprint) ON DELETE CASCADE,
        spent_at REAL,
        CHECK ((bound_to IS NULL) = (spent_at IS NULL))
    ) STRICT;
    CREATE TABLE requests (
        fingerprint TEXT PRIMARY KEY CHECK (length(fingerprint) = 28),
        profile BLOB NOT NULL,
        public_key BLOB NOT NULL,
        pq_public BLOB,
        description TEXT NOT NULL,
        requested_at REAL NOT NULL,
        rejected_at REAL
    ) STRICT
    """,
)
"""Script n brings a database of ``user_version`` n to n + 1. One that was released never changes."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who wants to be admitted: the DARE envelope of its profile as received (empty where only a connection
    assertion was shown), its Ed448 public key (57 bytes), the ML-DSA-65 public key (1,952 bytes) to pin or
    None, and the name it goes by here.
    """

    fingerprint: str
    profile: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    pq_public: bytes | None = field(repr=False)
    description: str


@dataclass(frozen=True, slots=True)
class Device(Applicant):
    """An admitted device. ``access`` is its mode, 0 to 4 (draft section 6.3.4).

    ``last_seen`` is None before its first login; a device with ``revoked_at`` is refused.
    """

    access: int
    administrator: bool
    enrolled_at: float
    last_seen: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Request(Applicant):
    """A request for admission that came without a PIN; undecided while ``rejected_at`` is None."""

    requested_at: float
    rejected_at: float | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """An invitation. ``salted_pin`` is the 16 data bytes of saltedPIN and secret.

    ``expires_boot`` is its end in seconds of CLOCK_BOOTTIME, good for the boot ``boot_id`` in which it was
    issued; ``expires_at`` is its end in any other. ``bound_to`` is the fingerprint that spent it.
    """

    pin_id: str
    salted_pin: bytes = field(repr=False)
    description: str
    access: int
    administrator: bool
    issued_at: float
    expires_at: float
    expires_boot: float
    boot_id: str
    bound_to: str | None = None
    spent_at: float | None = None

    def expired(self, wall: float, boottime: float, boot_id: str) -> bool:
        """Whether it is over at that wall time, CLOCK_BOOTTIME and boot.

        In another boot than that of its issue, a wall clock set before the issue proves nothing: expired.
        """
        if boot_id == self.boot_id:
            return boottime >= self.expires_boot
        return not self.issued_at <= wall < self.expires_at
