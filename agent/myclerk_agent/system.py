"""The agent's own operations: devices and locks, streams, clients, sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from myclerk_drivers.base import Access, Resource, serves
from myclerk_protocol.status import BadRequest, Forbidden, NotFound

from .resources import Holdings

if TYPE_CHECKING:
    from .service import Service


class SystemOperations:
    """Operations that no driver serves. Each method gets the asking session's holdings first."""

    def __init__(self, service: Service) -> None:
        self._service = service

    # -- devices -------------------------------------------------------------------------------------------

    @serves("DEVICE_LIST", access=Access.READ)
    def device_list(self, holdings: Holdings, kind: str | None = None) -> Mapping[str, Any]:
        """Everything that is shared and readable by the asker."""
        resources = self._service.dispatcher.resources()
        return {"devices": [self._entry(holdings, r) for r in resources if kind in (None, r.kind)]}

    @serves("DEVICE_DISCOVER", access=Access.READ)
    def device_discover(self, holdings: Holdings) -> Mapping[str, Any]:
        """Everything that is connected; administrators only."""
        _require_administrator(holdings)
        return self.device_list(holdings)

    @serves("DEVICE_INFO", access=Access.READ)
    def device_info(self, holdings: Holdings, resource: str) -> Mapping[str, Any]:
        """One resource, by any of its names."""
        return {"device": self._entry(holdings, self._service.dispatcher.find(resource))}

    @serves("DEVICE_CAPABILITIES", access=Access.READ)
    def device_capabilities(self, holdings: Holdings, resource: str | None = None) -> Mapping[str, Any]:
        """The operations that this agent serves, or those that fit one resource."""
        dispatcher = self._service.dispatcher
        driver = dispatcher.drivers.get(dispatcher.find(resource).kind) if resource else None
        served = dispatcher.served.values()
        return {
            "operations": sorted(b.operation.name for b in served if driver is None or b.driver is driver)
        }

    @serves("DEVICE_LOCK", access=Access.WRITE, audit=True)
    async def device_lock(
        self, holdings: Holdings, resource: str, wait: float | None = None, ttl: float | None = None
    ) -> None:
        """Keep other sessions off a resource, for ``ttl`` seconds, waiting up to ``wait`` for it."""
        dispatcher = self._service.dispatcher
        await dispatcher.table.lock(holdings, dispatcher.find(resource), wait, ttl)

    @serves("DEVICE_UNLOCK", access=Access.WRITE, audit=True)
    def device_unlock(self, holdings: Holdings, resource: str) -> None:
        """Release a lock of this session."""
        dispatcher = self._service.dispatcher
        dispatcher.table.unlock(holdings, dispatcher.find(resource))

    def _entry(self, holdings: Holdings, resource: Resource) -> dict[str, Any]:
        table = self._service.dispatcher.table
        locked, held = table.lock_holder(resource.name), table.holder(resource.name)
        return {
            "name": resource.name,
            "kind": resource.kind,
            "description": resource.description,
            "aliases": list(resource.aliases),
            "parent": resource.parent,
            "access": int(holdings.rights.access),
            "locked_by": locked.rights.description if locked else None,
            "held_by": held.rights.description if held else None,
            "simulated": True if self._service.config.simulation is not None else None,
            "properties": {k.replace("_", "-"): v for k, v in resource.properties.items() if v is not None},
        }

    # -- streams -------------------------------------------------------------------------------------------

    @serves("STREAM_STOP", access=Access.READ)
    def stream_stop(self, holdings: Holdings, stream: int) -> None:
        """Close a stream; its Request ID is free again."""
        holdings.stop_stream(stream)

    @serves("STREAM_CONFIGURE", access=Access.READ)
    def stream_configure(
        self,
        holdings: Holdings,
        stream: int,
        consumed: int | None = None,
        credit_to: int | None = None,
    ) -> None:
        """Say what was consumed and grant credit; after a resume this continues the stream."""
        holdings.stream(stream).configure(consumed, credit_to)

    @serves("STREAM_PAUSE", access=Access.READ)
    def stream_pause(self, holdings: Holdings, stream: int) -> None:
        """Push nothing until STREAM_RESUME."""
        holdings.stream(stream).pause()

    @serves("STREAM_RESUME", access=Access.READ)
    def stream_resume(self, holdings: Holdings, stream: int) -> None:
        """Go on pushing within the credit."""
        holdings.stream(stream).resume()

    # -- clients and sessions ------------------------------------------------------------------------------

    @serves("CLIENT_LIST", access=Access.NONE)
    def client_list(self, holdings: Holdings) -> Mapping[str, Any]:
        """The enrolled devices; administrators only."""
        _require_administrator(holdings)
        return {"clients": self._service.clients()}

    @serves("CLIENT_REVOKE", access=Access.NONE, audit=True)
    def client_revoke(self, holdings: Holdings, client: str) -> None:
        """Revoke a device and end its sessions at once; administrators, or a device itself."""
        if client != holdings.record.device:
            _require_administrator(holdings)
        self._service.revoke(client)

    @serves("SESSION_REVOKE", access=Access.NONE, audit=True)
    def session_revoke(self, holdings: Holdings, session_id: int) -> None:
        """End a session without linger: one of the asking device's own, or any for an administrator."""
        record = self._service.sessions.get(session_id)
        mine = record is not None and record.device == holdings.record.device
        if not mine:
            _require_administrator(holdings)
        if record is None:
            raise NotFound(f"there is no session {session_id}", key="session-id")
        if record is holdings.record:
            raise BadRequest("end your own session with SESSION_CLOSE", key="session-id")
        self._service.end_session(record, "revoked")


def _require_administrator(holdings: Holdings) -> None:
    if not holdings.rights.administrator:
        raise Forbidden("this is for administrators of the agent only")
