"""The operations on clients (the paired devices) and their sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from myclerk_drivers.base import Access, serves
from myclerk_protocol.exchange import Mode
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.status import BadRequest, Forbidden, NotFound, Unsupported

from .acl import AclOperations, rule_fields
from .log import clean
from .resources import Holdings
from .rights import require_administrator, require_hub
from .store import Device

if TYPE_CHECKING:
    from .service import Service

LONGEST_ACTIVITY = 128
FINGERPRINT = 28


class ClientOperations:
    """Who is paired, connected, and doing what. Others than oneself are for administrators and hubs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._acl = AclOperations(service)
        self._activities: dict[str, str] = {}

    @serves("CLIENT_HEARTBEAT", access=Access.NONE)
    def client_heartbeat(self, holdings: Holdings, activity: str | None = None) -> Mapping[str, Any]:
        """Note that somebody is there, and what it says that it does."""
        device = holdings.rights.device
        if activity:
            self._activities[device] = clean(activity, LONGEST_ACTIVITY)
        elif activity is not None:
            self._activities.pop(device, None)
        self._service.store.touch(device)
        return {"now": int(self._service.environment.wall())}

    @serves("CLIENT_LIST", access=Access.NONE)
    def client_list(self, holdings: Holdings) -> Mapping[str, Any]:
        """The paired devices; administrators and hubs only."""
        require_hub(holdings.rights)
        return {"clients": [self._entry(device) for device in self._service.store.devices()]}

    @serves("CLIENT_INFO", access=Access.NONE)
    def client_info(self, holdings: Holdings, client: str | None = None) -> Mapping[str, Any]:
        """One device with its groups and rules."""
        device = self._device(holdings, client)
        rules = self._service.access_rules()
        return {
            "client": self._entry(device),
            "groups": rules.groups_of(device.fingerprint),
            "rules": [rule_fields(rule) for rule in rules.of_device(device.fingerprint)],
        }

    @serves("CLIENT_STATUS", access=Access.NONE)
    def client_status(self, holdings: Holdings, client: str | None = None) -> Mapping[str, Any]:
        """The sessions of one device, and what they hold."""
        device = self._device(holdings, client).fingerprint
        sessions = [
            self._session(record, own=record is holdings.record)
            for record in self._service.sessions.of_device(device)
        ]
        return {
            "connected": any(session["connected"] for session in sessions),
            "activity": self._activities.get(device),
            "sessions": sessions,
        }

    @serves("CLIENT_REVOKE", access=Access.NONE, audit=True)
    def client_revoke(self, holdings: Holdings, client: str, resource: str | None = None) -> None:
        """Take back an assignment, or revoke a device and end its sessions at once."""
        if resource is not None:
            self._acl.unassign(holdings, client, resource)
            return
        if client != holdings.rights.device:
            require_administrator(holdings.rights)
        self._service.revoke(client)

    @serves("SESSION_REVOKE", access=Access.NONE, audit=True)
    def session_revoke(self, holdings: Holdings, session_id: int) -> None:
        """End a session without linger: one of the asking device's own, or any for an administrator."""
        record = self._service.sessions.get(session_id)
        mine = record is not None and record.device == holdings.record.device
        if not mine:
            require_administrator(holdings.rights)
        if record is None:
            raise NotFound(f"there is no session {session_id}", key="session-id")
        if record is holdings.record:
            raise BadRequest("end your own session with SESSION_CLOSE", key="session-id")
        self._service.end_session(record, "revoked")

    def _device(self, holdings: Holdings, client: str | None) -> Device:
        """The device that is meant: the asker's own, or for administrators and hubs any."""
        own = holdings.rights.device
        if client is None:
            if len(own) != FINGERPRINT:
                raise Unsupported("this is no session of a paired device; say which `client`", key="client")
            client = own
        if client != own and not (holdings.rights.administrator or holdings.rights.hub):
            raise Forbidden("only administrators and hubs may see other clients")
        device = self._service.store.device(client)
        if device is None:
            raise NotFound(f"no device has the fingerprint {client}", key="client")
        return device

    def _entry(self, device: Device) -> dict[str, Any]:
        sessions = self._service.sessions.of_device(device.fingerprint)
        return {
            "fingerprint": device.fingerprint,
            "description": device.description,
            "access": device.access,
            "administrator": device.administrator,
            "hub": device.hub,
            "enrolled_at": int(device.enrolled_at),
            "last_seen": None if device.last_seen is None else int(device.last_seen),
            "revoked": device.revoked_at is not None,
            "connected": any(record.session for record in sessions),
            "activity": self._activities.get(device.fingerprint),
        }

    def _session(self, record: SessionRecord, *, own: bool) -> dict[str, Any]:
        holdings: Holdings | None = record.holdings
        held = {part.name for h in holdings.handles.values() for part in h.parts} if holdings else set()
        return {
            "session_id": record.id,
            "connected": record.session is not None,
            "session_tier": record.tier,
            "post_quantum": record.mode is not Mode.CLASSICAL,
            "own": own,
            "holds": sorted(held),
            "locks": self._service.dispatcher.table.locks_of(holdings) if holdings else [],
            "streams": len(holdings.streams) if holdings else 0,
        }
