"""Requests for devices in the agent's database: asked by hubs, decided by administrators (draft section 6.3.5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import replace

from myclerk_protocol.environment import Environment
from myclerk_protocol.mesh import udf
from myclerk_protocol.status import BadRequest, Conflict, NotFound, TooMany

from .access import check_pattern, is_name
from .access_store import assign
from .database import Database
from .records import DeviceRequest, RequestedDevice, RequestState, expired

PENDING_LIMIT = 64
"""Requests that wait for a decision, those of one device."""
KEPT = 7 * 86400.0
"""Seconds for which the outcome of a request is remembered."""
LIFETIME = 86400.0
LIFETIME_RANGE = (60.0, 30 * 86400.0)


class DeviceRequests:
    """All requests for devices. For one thread; a request whose time is over reads as expired at once."""

    def __init__(self, database: Database, environment: Environment, boot: str) -> None:
        self._database = database
        self._environment = environment
        self._boot = boot

    def create(
        self,
        asked_by: str,
        client: str,
        devices: Mapping[str, int],
        *,
        reason: str = "",
        lifetime: float = LIFETIME,
    ) -> DeviceRequest:
        """Ask that ``client`` get access to ``devices`` (name -> mode), for ``lifetime`` seconds.

        Raises BadRequest, NotFound for a device that is not admitted, TooMany.
        """
        shortest, longest = LIFETIME_RANGE
        if not shortest <= lifetime <= longest:
            raise BadRequest(f"a request is good for {shortest:g} to {longest:g} seconds", key="lifetime")
        for name in devices:
            if not is_name(check_pattern(name, "devices")):
                raise BadRequest(f"{name} is a pattern; name each resource", key="devices")
        wall = self._environment.wall()
        request = DeviceRequest(
            udf.compact(udf.present(udf.Kind.NONCE, self._environment.random(16))),
            asked_by,
            client,
            reason,
            wall,
            wall + lifetime,
            self._environment.monotonic() + lifetime,
            self._boot,
            devices=tuple(RequestedDevice(name, access) for name, access in sorted(devices.items())),
        )
        with self._database.transaction() as connection:
            for device in {asked_by, client}:
                _check_admitted(connection, device)
            waiting = [r for r in self.all() if r.asked_by == asked_by and not r.state]
            if len(waiting) >= PENDING_LIMIT:
                raise TooMany(f"{PENDING_LIMIT} requests of this device wait already; cancel some")
            _insert(connection, request)
        return request

    def all(self) -> list[DeviceRequest]:
        """Every request that is remembered, oldest first."""
        rows = self._database.rows("SELECT * FROM device_requests ORDER BY issued_at, token")
        return [self._read(row) for row in rows]

    def find(self, token: str) -> DeviceRequest:
        """The request of that token. Raises NotFound."""
        rows = self._database.rows("SELECT * FROM device_requests WHERE token = ?", token)
        if not rows:
            raise NotFound("there is no such request, or it was forgotten", key="token")
        return self._read(rows[0])

    def respond(self, token: str, approved: Collection[str], answer: str = "") -> DeviceRequest:
        """Decide: give access to what is ``approved``, by name; the rest is rejected.

        Raises NotFound, BadRequest for a name that was not asked for, Conflict when it is not pending any more.
        """
        with self._database.transaction() as connection:
            request = self.find(token)
            asked = {device.name: device.access for device in request.devices}
            if wrong := sorted(set(approved) - set(asked)):
                raise BadRequest(f"{wrong[0]} was not asked for", key="devices")
            _check_pending(request)
            state = RequestState.REJECTED
            if approved:
                everything = set(approved) == set(asked)
                state = RequestState.APPROVED if everything else RequestState.PARTIALLY_APPROVED
            now = self._environment.wall()
            _decide(connection, token, state, now, answer)
            for name in asked:
                connection.execute(
                    "UPDATE requested_devices SET approved = ? WHERE token = ? AND name = ?",
                    (int(name in approved), token, name),
                )
            assign(connection, request.client, {name: asked[name] for name in approved}, now)
            return self.find(token)

    def cancel(self, token: str) -> DeviceRequest:
        """Withdraw a request. Raises NotFound, Conflict when it is not pending any more."""
        with self._database.transaction() as connection:
            _check_pending(self.find(token))
            _decide(connection, token, RequestState.CANCELLED, self._environment.wall(), "")
            return self.find(token)

    def time_left(self, request: DeviceRequest) -> float:
        """Seconds for which a pending request may still be decided."""
        if request.boot_id == self._boot:
            return max(request.expires_boot - self._environment.monotonic(), 0.0)
        return max(request.expires_at - self._environment.wall(), 0.0)

    def purge(self) -> None:
        """Forget what was decided or expired long ago."""
        now = self._environment.wall()
        with self._database.transaction() as connection:
            for request in self.all():
                over = request.expires_at if request.decided_at is None else request.decided_at
                if request.state and over + KEPT < now:
                    connection.execute("DELETE FROM device_requests WHERE token = ?", (request.token,))

    def _read(self, row: sqlite3.Row) -> DeviceRequest:
        devices = tuple(
            RequestedDevice(name, access, None if approved is None else bool(approved))
            for name, access, approved in self._database.rows(
                "SELECT name, access, approved FROM requested_devices WHERE token = ? ORDER BY name",
                row["token"],
            )
        )
        values = {name: row[name] for name in row.keys()}  # noqa: SIM118 (a Row iterates over its values)
        request = DeviceRequest(**{**values, "state": RequestState(row["state"]), "devices": devices})
        over = expired(request, self._environment.wall(), self._environment.monotonic(), self._boot)
        if request.state is RequestState.PENDING and over:
            return replace(request, state=RequestState.EXPIRED)
        return request


def cancel_requests(connection: sqlite3.Connection, device: str, now: float) -> None:
    """Cancel what a device asked for, and what was asked for it, within a transaction."""
    connection.execute(
        "UPDATE device_requests SET state = ?1, decided_at = ?2 WHERE state = 0 AND ?3 IN (asked_by, client)",
        (int(RequestState.CANCELLED), now, device),
    )


def _check_pending(request: DeviceRequest) -> None:
    if request.state is not RequestState.PENDING:
        state = request.state.name.lower().replace("_", " ")
        raise Conflict(f"this request is not pending any more, it is {state}")


def _check_admitted(connection: sqlite3.Connection, device: str) -> None:
    query = "SELECT 1 FROM devices WHERE fingerprint = ? AND revoked_at IS NULL"
    if connection.execute(query, (device,)).fetchone() is None:
        raise NotFound(f"no admitted device has the fingerprint {device}", key="client")


def _decide(connection: sqlite3.Connection, token: str, state: RequestState, now: float, answer: str) -> None:
    connection.execute(
        "UPDATE device_requests SET state = ?, decided_at = ?, answer = ? WHERE token = ?",
        (int(state), now, answer, token),
    )


def _insert(connection: sqlite3.Connection, request: DeviceRequest) -> None:
    connection.execute(
        "INSERT INTO device_requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        (
            request.token,
            request.asked_by,
            request.client,
            request.reason,
            request.issued_at,
            request.expires_at,
            request.expires_boot,
            request.boot_id,
            int(request.state),
            request.answer,
        ),
    )
    connection.executemany(
        "INSERT INTO requested_devices VALUES (?, ?, ?, NULL)",
        [(request.token, device.name, device.access) for device in request.devices],
    )
