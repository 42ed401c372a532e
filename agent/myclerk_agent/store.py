"""What the agent remembers: devices, invitations (PINs) and requests for admission; beside them the rules of access
(:mod:`.access_store`) and the requests for devices (:mod:`.device_requests`).

The running agent and the commands beside it (``myclerk-agent invite``) use the file at the same time. What a
method has returned from is on the disk; one that raises has changed nothing. All methods raise StoreError
when the database fails, StoreBusy among them when another process kept it too long.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from myclerk_protocol.environment import Environment
from myclerk_protocol.status import Conflict, Forbidden, NotFound, TooMany

from .access_store import AccessStore, forget_rules
from .database import PATIENCE, Database, StoreBusy, StoreError
from .device_requests import DeviceRequests, cancel_requests
from .records import MIGRATIONS, Applicant, Device, Pin, Request

__all__ = ["Applicant", "Device", "Pin", "Request", "Store", "StoreBusy", "StoreError", "boot_id"]

PINS_LIMIT = 64
"""Invitations that are neither spent nor expired; one more is refused."""
REQUESTS_LIMIT = 16
"""Undecided requests for admission (docs/protocol.md)."""
REQUEST_LIFETIME = 24 * 3600
"""Seconds for which a request for admission, or its rejection, is remembered."""
SEEN_RESOLUTION = 60
"""Seconds by which a device's ``last_seen`` may lag, so that a login rarely costs a write."""

Row = TypeVar("Row", Device, Pin, Request)


def boot_id() -> str:
    """The kernel's name of this boot (/proc/sys/kernel/random/boot_id, random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Store:
    """The database at ``path``, made with mode 0600 where there is none. For one thread.

    ``patience`` is how many seconds a method waits for another process that is writing; then StoreBusy.
    """

    def __init__(
        self,
        path: Path,
        environment: Environment,
        boot: str | None = None,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._environment = environment
        self._boot = boot or boot_id()
        self._database = Database(path, MIGRATIONS, patience)
        self._version = self._database.data_version()
        self.access = AccessStore(self._database, environment)
        self.device_requests = DeviceRequests(self._database, environment, self._boot)

    def close(self) -> None:
        """Close the database. Idempotent."""
        self._database.close()

    def changed_elsewhere(self) -> bool:
        """Whether another process has changed the database since this was last asked. Reads no table."""
        before, self._version = self._version, self._database.data_version()
        return before != self._version

    def backup(self, path: Path) -> None:
        """Copy everything as it is now to a new file at ``path``, but for the invitations."""
        self._database.backup(path)
        copy = Database(path, MIGRATIONS)
        try:
            with copy.transaction() as connection:
                connection.execute("DELETE FROM pins")
        finally:
            copy.close()

    def restore(self, path: Path) -> None:
        """Put what :meth:`backup` has copied in the place of everything there is."""
        self._database.restore(path)

    # Devices

    def device(self, fingerprint: str) -> Device | None:
        """The device of that fingerprint, a revoked one included."""
        return _one(Device, self._database.rows("SELECT * FROM devices WHERE fingerprint = ?", fingerprint))

    def devices(self) -> list[Device]:
        """All devices in the order of their enrolment, revoked ones included."""
        rows = self._database.rows("SELECT * FROM devices ORDER BY enrolled_at, fingerprint")
        return [_record(Device, row) for row in rows]

    def admit(self, applicant: Applicant, *, access: int, administrator: bool) -> Device:
        """Admit ``applicant``, or enrol it anew with other keys and rights. Raises Forbidden if revoked."""
        with self._database.transaction() as connection:
            self._admit(connection, applicant, access, administrator, None)
            return _admitted(connection, applicant.fingerprint)

    def grant(self, fingerprint: str, *, access: int, administrator: bool) -> Device:
        """Give an admitted device another rule ``*`` and role. Raises NotFound, and Forbidden when it is revoked."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE devices SET access = ?, administrator = ? WHERE fingerprint = ?",
                (access, administrator, fingerprint),
            )
            if access:
                connection.execute("DELETE FROM rules WHERE subject = ? AND pattern = '*'", (fingerprint,))
            return _admitted(connection, fingerprint)

    def revoke(self, fingerprint: str) -> Device:
        """Refuse the device from now on; harmless when it is refused already. Raises NotFound.

        The rules that are about it or were made by it go, as do its memberships; its requests are cancelled.
        """
        with self._database.transaction() as connection:
            forget_rules(connection, fingerprint)
            cancel_requests(connection, fingerprint, self._environment.wall())
            connection.execute(
                "UPDATE devices SET revoked_at = ? WHERE fingerprint = ? AND revoked_at IS NULL",
                (self._environment.wall(), fingerprint),
            )
            connection.execute("DELETE FROM pins WHERE bound_to = ?", (fingerprint,))
            return _device(connection, fingerprint)

    def touch(self, fingerprint: str) -> None:
        """Note that the device has logged in by its key: what invited it has served (docs/protocol.md)."""
        now = self._environment.wall()
        stale = self._database.rows(
            "SELECT 1 FROM devices WHERE fingerprint = ?1 AND (last_seen IS NULL OR abs(?2 - last_seen) >= ?3"
            " OR EXISTS (SELECT 1 FROM pins WHERE bound_to = ?1))",
            fingerprint,
            now,
            SEEN_RESOLUTION,
        )
        if not stale:
            return
        with self._database.transaction() as connection:
            connection.execute("UPDATE devices SET last_seen = ? WHERE fingerprint = ?", (now, fingerprint))
            connection.execute("DELETE FROM pins WHERE bound_to = ?", (fingerprint,))

    # Invitations

    def add_pin(
        self,
        pin_id: str,
        salted_pin: bytes,
        *,
        access: int,
        administrator: bool,
        description: str,
        lifetime: float,
    ) -> Pin:
        """Remember an invitation for ``lifetime`` seconds, infinity for ever.

        Raises TooMany when PINS_LIMIT are open.
        """
        wall = self._environment.wall()
        pin = Pin(
            pin_id=pin_id,
            salted_pin=salted_pin,
            description=description,
            access=access,
            administrator=administrator,
            issued_at=0.0 if lifetime == math.inf else wall,  # for ever: whatever a board's clock says
            expires_at=wall + lifetime,
            expires_boot=self._environment.monotonic() + lifetime,
            boot_id=self._boot,
        )
        with self._database.transaction() as connection:
            self._purge_pins(connection)
            unspent = connection.execute("SELECT count(*) FROM pins WHERE bound_to IS NULL").fetchone()[0]
            if unspent >= PINS_LIMIT:
                raise TooMany(f"{PINS_LIMIT} invitations are open; wait until one is used or expires")
            _insert(connection, "pins", pin)
        return pin

    def find_pin(self, pin_id: str) -> Pin | None:
        """The invitation of that PinId, spent or not; None when there is none or it has expired."""
        pin = _one(Pin, self._database.rows("SELECT * FROM pins WHERE pin_id = ?", pin_id))
        return None if pin is None or self._expired(pin) else pin

    def withdraw_pin(self, pin_id: str) -> None:
        """Forget an invitation that nobody has used; harmless where there is none."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM pins WHERE pin_id = ? AND bound_to IS NULL", (pin_id,))

    def spend_pin(self, pin_id: str, applicant: Applicant) -> Device:
        """Admit ``applicant`` with what the invitation grants, and bind the invitation to its key.

        A repeat by the same key changes nothing and gives the stored device. Raises NotFound for an unknown
        or expired PIN, Conflict when another key has spent it, Forbidden for a revoked device.
        """
        with self._database.transaction() as connection:
            pin = self.find_pin(pin_id)
            if pin is None:
                raise NotFound("The invitation has expired")
            if pin.bound_to not in (None, applicant.fingerprint):
                raise Conflict("The invitation was used by another device")
            if pin.bound_to is None:
                self._admit(connection, applicant, pin.access, pin.administrator, pin.description)
                connection.execute(
                    "UPDATE pins SET bound_to = ?, spent_at = ? WHERE pin_id = ?",
                    (applicant.fingerprint, self._environment.wall(), pin_id),
                )
            return _admitted(connection, applicant.fingerprint)

    def purge(self) -> None:
        """Delete invitations that have expired and requests that are too old."""
        with self._database.transaction() as connection:
            self._purge_pins(connection)
            self._purge_requests(connection)
        self.device_requests.purge()

    # Requests without a PIN

    def request(self, applicant: Applicant, acknowledgement: bytes | None = None) -> Request:
        """Remember a request for admission until it is decided; a repeat gives the first one as it stands.

        ``acknowledgement`` is the envelope that answers it. Raises TooMany when REQUESTS_LIMIT of them are
        undecided.
        """
        now = self._environment.wall()
        request = Request(**asdict(applicant), requested_at=now, acknowledgement=acknowledgement)
        with self._database.transaction() as connection:
            self._purge_requests(connection)
            known = self.find_request(applicant.fingerprint)
            if known is not None:
                return known
            waiting = connection.execute("SELECT count(*) FROM requests WHERE rejected_at IS NULL")
            if waiting.fetchone()[0] >= REQUESTS_LIMIT:
                raise TooMany("Too many devices wait for admission; try again later")
            _insert(connection, "requests", request)
        return request

    def find_request(self, fingerprint: str) -> Request | None:
        """The request of that device while it is remembered, decided or not."""
        oldest = self._environment.wall() - REQUEST_LIFETIME
        query = "SELECT * FROM requests WHERE fingerprint = ? AND coalesce(rejected_at, requested_at) >= ?"
        return _one(Request, self._database.rows(query, fingerprint, oldest))

    def requests(self) -> list[Request]:
        """The undecided requests, oldest first."""
        oldest = self._environment.wall() - REQUEST_LIFETIME
        query = "SELECT * FROM requests WHERE rejected_at IS NULL AND requested_at >= ? ORDER BY requested_at"
        return [_record(Request, row) for row in self._database.rows(query, oldest)]

    def accept(
        self, fingerprint: str, *, access: int, administrator: bool, description: str | None = None
    ) -> Device:
        """Admit who requested it, also one that was rejected before. Raises NotFound without a request."""
        with self._database.transaction() as connection:
            self._admit(connection, self._request(fingerprint), access, administrator, description)
            return _admitted(connection, fingerprint)

    def reject(self, fingerprint: str) -> None:
        """Refuse a request; repeats within REQUEST_LIFETIME are told so. Raises NotFound without one."""
        with self._database.transaction() as connection:
            self._request(fingerprint)
            connection.execute(
                "UPDATE requests SET rejected_at = ? WHERE fingerprint = ?",
                (self._environment.wall(), fingerprint),
            )

    # Within a transaction

    def _admit(
        self,
        connection: sqlite3.Connection,
        applicant: Applicant,
        access: int,
        administrator: bool,
        description: str | None,
    ) -> None:
        """Insert the device, or enrol it anew: keys, name and rights are replaced, its history is kept."""
        connection.execute(
            "INSERT INTO devices (fingerprint, profile, public_key, pq_public, description, access,"
            " administrator, enrolled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (fingerprint) DO UPDATE SET profile = excluded.profile,"
            " public_key = excluded.public_key, pq_public = excluded.pq_public,"
            " description = excluded.description, access = excluded.access,"
            " administrator = excluded.administrator, hub = 0",
            (
                applicant.fingerprint,
                applicant.profile,
                applicant.public_key,
                applicant.pq_public,
                description or applicant.description,
                access,
                administrator,
                self._environment.wall(),
            ),
        )
        connection.execute("DELETE FROM requests WHERE fingerprint = ?", (applicant.fingerprint,))
        connection.execute(  # what it may do is said anew
            "DELETE FROM rules WHERE subject = ? AND pattern = '*'", (applicant.fingerprint,)
        )

    def _request(self, fingerprint: str) -> Request:
        """The request of that fingerprint, decided or not. Raises NotFound."""
        request = self.find_request(fingerprint)
        if request is None:
            raise NotFound(f"No device with the fingerprint {fingerprint} has asked for admission")
        return request

    def _expired(self, pin: Pin) -> bool:
        return pin.expired(self._environment.wall(), self._environment.monotonic(), self._boot)

    def _purge_pins(self, connection: sqlite3.Connection) -> None:
        for row in connection.execute("SELECT * FROM pins").fetchall():
            if self._expired(_record(Pin, row)):
                connection.execute("DELETE FROM pins WHERE pin_id = ?", (row["pin_id"],))

    def _purge_requests(self, connection: sqlite3.Connection) -> None:
        oldest = self._environment.wall() - REQUEST_LIFETIME
        connection.execute("DELETE FROM requests WHERE coalesce(rejected_at, requested_at) < ?", (oldest,))


def _device(connection: sqlite3.Connection, fingerprint: str) -> Device:
    """The device of that fingerprint. Raises NotFound."""
    row = connection.execute("SELECT * FROM devices WHERE fingerprint = ?", (fingerprint,)).fetchone()
    if row is None:
        raise NotFound(f"No device has the fingerprint {fingerprint}")
    return _record(Device, row)


def _admitted(connection: sqlite3.Connection, fingerprint: str) -> Device:
    """The device of that fingerprint. Raises NotFound, and Forbidden when it is revoked."""
    device = _device(connection, fingerprint)
    if device.revoked_at is not None:
        raise Forbidden("The device was revoked")
    return device


def _insert(connection: sqlite3.Connection, table: str, record: Pin | Request) -> None:
    values = asdict(record)
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608


def _record(kind: type[Row], row: sqlite3.Row) -> Row:
    """The record that a row stands for; its columns are the record's fields."""
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 (a Row iterates over its values)
    for role in ("administrator", "hub"):
        if role in values:
            values[role] = bool(values[role])
    return kind(**values)


def _one(kind: type[Row], rows: list[sqlite3.Row]) -> Row | None:
    return _record(kind, rows[0]) if rows else None
