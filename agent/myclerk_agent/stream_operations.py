"""The operations of streams and routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from myclerk_drivers.base import Access, Stream, serves
from myclerk_protocol.status import BadRequest, NotFound, Unsupported

from .resources import Holdings
from .rights import require_hub
from .routes import Route
from .subscription import Subscription

if TYPE_CHECKING:
    from .service import Service


class StreamOperations:
    """Operations on streams, whoever opened them, and STREAM_START, which opens those that can be routed."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @serves("STREAM_START", access=Access.READ, audit=True)
    async def stream_start(
        self,
        holdings: Holdings,
        resource: str,
        type: int | None = None,
        serial: Mapping[str, Any] | None = None,
        hid: Mapping[str, Any] | None = None,
    ) -> Stream:
        """Open the stream of a resource, which several sessions may have open: one of them gets it.

        Raises NotFound; Unsupported for what has no stream of that type; Conflict when another session has the
        resource for itself, or other settings are in force; Forbidden when they need more than read access.
        """
        dispatcher = self._service.dispatcher
        found = dispatcher.permitted(holdings, resource, Access.READ, "STREAM_START")
        driver = dispatcher.drivers[found.kind]
        if driver.stream_type is None or type not in (None, driver.stream_type):
            raise Unsupported(f"{found.name} has no stream of this type", key="type")
        given = {"serial": serial, "hid": hid}
        options = given.pop(found.kind, None) or {}
        if wrong := [key for key, value in given.items() if value is not None]:
            raise BadRequest(f"{found.name} takes no `{wrong[0]}` options", key=wrong[0])
        need = driver.stream_access(options)
        dispatcher.require(holdings, (found,), need, "STREAM_START", resource)
        return await self._service.feeds.subscribe(holdings, driver, found, options, need)

    @serves("STREAM_STOP", access=Access.NONE)
    def stream_stop(self, holdings: Holdings, stream: int) -> None:
        """Close a stream; its Request ID is free again."""
        holdings.stop_stream(stream)

    @serves("STREAM_DATA", access=Access.WRITE)
    def stream_data(
        self,
        holdings: Holdings,
        stream: int,
        data: bytes | None = None,
        events: Sequence[Sequence[int]] | None = None,
    ) -> Any:
        """Send the other way on a stream that STREAM_START opened: {``written``} for bytes.

        Raises Conflict with the holder while the stream is another session's, Unsupported for what cannot be sent.
        """
        opened = holdings.stream(stream)
        if not isinstance(opened.source, Subscription):
            raise Unsupported(
                "only streams that STREAM_START opened can be sent to; use the operations of the bus"
            )
        found = opened.source.seat.resource
        self._service.dispatcher.require(holdings, (found,), Access.WRITE, "STREAM_DATA", found.name)
        return opened.source.write(data, events)

    @serves("STREAM_CONFIGURE", access=Access.NONE)
    def stream_configure(
        self,
        holdings: Holdings,
        stream: int,
        consumed: int | None = None,
        credit_to: int | None = None,
    ) -> None:
        """Say what was consumed and grant credit; after a resume this continues the stream."""
        holdings.stream(stream).configure(consumed, credit_to)

    @serves("STREAM_QUALITY", access=Access.NONE)
    def stream_quality(
        self,
        holdings: Holdings,
        stream: int,
        interval: float | None = None,
        rate: int | None = None,
    ) -> Mapping[str, Any]:
        """Ask for fewer pushes or fewer bytes a second: what is in force then. Raises Unsupported."""
        return holdings.stream(stream).set_quality(interval, rate)

    @serves("STREAM_PAUSE", access=Access.NONE)
    def stream_pause(self, holdings: Holdings, stream: int) -> None:
        """Push nothing until STREAM_RESUME."""
        holdings.stream(stream).pause()

    @serves("STREAM_RESUME", access=Access.NONE)
    def stream_resume(self, holdings: Holdings, stream: int) -> None:
        """Go on pushing within the credit."""
        holdings.stream(stream).resume()


class RouteOperations:
    """Who gets the streams that several want; for administrators and hubs."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @serves("ROUTE_CREATE", access=Access.NONE, audit=True)
    def route_create(
        self, holdings: Holdings, resource: str, client: str, priority: int = 0
    ) -> Mapping[str, Any]:
        """Lead the stream of a resource to a device; it goes there at once if the device has it open."""
        self._check(holdings, resource, client)
        return {"route": self._service.routes.create(resource, client, priority).route}

    @serves("ROUTE_DELETE", access=Access.NONE, audit=True)
    def route_delete(self, holdings: Holdings, route: int) -> None:
        """Forget a route; the stream goes to whoever is first without it."""
        self._check(holdings)
        self._service.routes.delete(route)

    @serves("ROUTE_LIST", access=Access.NONE)
    def route_list(self, holdings: Holdings, resource: str | None = None) -> Mapping[str, Any]:
        """All routes, or those of one resource, the first one first."""
        self._check(holdings)
        found = None if resource is None else self._service.dispatcher.find(resource)
        routes = [route for route in self._service.routes if found is None or route.leads_from(found)]
        routes.sort(key=lambda route: (-route.priority, -route.route))
        return {"routes": [self._entry(route) for route in routes]}

    @serves("ROUTE_MODIFY", access=Access.NONE, audit=True)
    def route_modify(
        self, holdings: Holdings, route: int, resource: str | None = None, client: str | None = None
    ) -> None:
        """Let a route lead from another resource, or to another device."""
        self._check(holdings, resource, client)
        self._service.routes.modify(route, resource, client)

    @serves("ROUTE_PRIORITY", access=Access.NONE, audit=True)
    def route_priority(self, holdings: Holdings, route: int, priority: int) -> None:
        """Give a route another priority."""
        self._check(holdings)
        self._service.routes.set_priority(route, priority)

    def _check(self, holdings: Holdings, resource: str | None = None, client: str | None = None) -> None:
        """Raise Forbidden unless the asker may route; NotFound for a resource or device that is not there."""
        require_hub(holdings.rights)
        if resource is not None:
            found = self._service.dispatcher.find(resource)
            if self._service.dispatcher.drivers[found.kind].stream_type is None:
                raise Unsupported(f"{found.name} has no stream that could be routed", key="resource")
        if client is not None and not self._service.is_admitted(client):
            raise NotFound(f"no device with the fingerprint {client} is admitted here", key="client")

    def _entry(self, route: Route) -> Mapping[str, Any]:
        states = (
            state for found, state in self._service.feeds.states(route.client) if route.leads_from(found)
        )
        return {
            "route": route.route,
            "resource": route.resource,
            "client": route.client,
            "priority": route.priority,
            "state": next(states, "idle"),
            "created_at": route.created_at,
        }
