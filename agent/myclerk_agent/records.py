"""The rows of the agent's database.

Fingerprints and PIN identifiers are 28 characters without hyphens; times are Unix seconds unless said
otherwise; keys and PINs do not appear in a repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

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
    """
    ALTER TABLE devices ADD COLUMN hub INTEGER NOT NULL DEFAULT 0 CHECK (hub IN (0, 1));
    CREATE TABLE rules (
        subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 64),
        pattern TEXT NOT NULL CHECK (length(pattern) BETWEEN 1 AND 255),
        access INTEGER NOT NULL CHECK (access BETWEEN 0 AND 4),
        granted_by TEXT REFERENCES devices (fingerprint) ON DELETE CASCADE,
        granted_at REAL NOT NULL,
        PRIMARY KEY (subject, pattern)
    ) STRICT;
    CREATE TABLE members (
        group_name TEXT NOT NULL CHECK (substr(group_name, 1, 1) = '@'),
        fingerprint TEXT NOT NULL REFERENCES devices (fingerprint) ON DELETE CASCADE,
        PRIMARY KEY (group_name, fingerprint)
    ) STRICT;
    CREATE TABLE sharing (
        name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 255),
        shared INTEGER NOT NULL CHECK (shared IN (0, 1))
    ) STRICT;
    CREATE TABLE device_requests (
        token TEXT PRIMARY KEY CHECK (length(token) = 28),
        asked_by TEXT NOT NULL REFERENCES devices (fingerprint) ON DELETE CASCADE,
        client TEXT NOT NULL REFERENCES devices (fingerprint) ON DELETE CASCADE,
        reason TEXT NOT NULL,
        issued_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        expires_boot REAL NOT NULL,
        boot_id TEXT NOT NULL,
        state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),
        answer TEXT NOT NULL,
        decided_at REAL,
        CHECK ((state = 0) = (decided_at IS NULL))
    ) STRICT;
    CREATE TABLE requested_devices (
        token TEXT NOT NULL REFERENCES device_requests (token) ON DELETE CASCADE,
        name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
        access INTEGER NOT NULL CHECK (access BETWEEN 1 AND 4),
        approved INTEGER CHECK (approved IN (0, 1)),
        PRIMARY KEY (token, name)
    ) STRICT
    """,
    "ALTER TABLE requests ADD COLUMN acknowledgement BLOB",
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
    """An admitted device. ``access`` is the mode of its own rule ``*`` (draft section 6.3.4), 0 where it has none.

    ``last_seen`` is None before its first login; a device with ``revoked_at`` is refused. A ``hub`` hands on to
    others what it was given.
    """

    access: int
    administrator: bool
    enrolled_at: float
    last_seen: float | None = None
    revoked_at: float | None = None
    hub: bool = False


@dataclass(frozen=True, slots=True)
class Request(Applicant):
    """A request for admission that came without a PIN; undecided while ``rejected_at`` is None.

    ``acknowledgement`` is the AcknowledgeConnection envelope that answered it.
    """

    requested_at: float
    rejected_at: float | None = None
    acknowledgement: bytes | None = field(default=None, repr=False)


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
        """Whether it is over at that wall time, CLOCK_BOOTTIME and boot."""
        return expired(self, wall, boottime, boot_id)


class RequestState(IntEnum):
    """States of a device request (draft section 6.3.5)."""

    PENDING = 0
    APPROVED = 1
    PARTIALLY_APPROVED = 2
    REJECTED = 3
    EXPIRED = 4
    CANCELLED = 5


@dataclass(frozen=True, slots=True)
class RequestedDevice:
    """A resource that a device request is about: its name as given; ``approved`` is None until it is decided."""

    name: str
    access: int
    approved: bool | None = None


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """``asked_by`` asks that ``client`` get access to ``devices``.

    ``token`` is a UDF nonce of 128 bits, 28 characters; it expires as an invitation does. ``reason`` and ``answer``
    are what people wrote, "" for nothing.
    """

    token: str
    asked_by: str
    client: str
    reason: str
    issued_at: float
    expires_at: float
    expires_boot: float
    boot_id: str
    state: RequestState = RequestState.PENDING
    answer: str = ""
    decided_at: float | None = None
    devices: tuple[RequestedDevice, ...] = ()


def expired(record: Pin | DeviceRequest, wall: float, boottime: float, boot_id: str) -> bool:
    """Whether something is over at that wall time, CLOCK_BOOTTIME and boot.

    In another boot than that of its issue, a wall clock set before the issue proves nothing: expired.
    """
    if boot_id == record.boot_id:
        return boottime >= record.expires_boot
    return not record.issued_at <= wall < record.expires_at
