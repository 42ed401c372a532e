"""The agent's own operations on devices and locks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from myclerk_drivers.base import Access, Resource, Stream, serves

from .resources import Holdings
from .rights import require_administrator, require_hub

if TYPE_CHECKING:
    from .service import Service


class SystemOperations:
    """Operations that no driver serves. Each method gets the asking session's holdings first."""

    def __init__(self, service: Service) -> None:
        self._service = service

    # -- devices -------------------------------------------------------------------------------------------

    @serves("DEVICE_LIST", access=Access.READ)
    def device_list(self, holdings: Holdings, kind: str | None = None) -> Mapping[str, Any]:
        """Everything that is shared and readable by the asker, and what was assigned to it."""
        rights, inventory = holdings.rights, self._service.dispatcher.inventory
        found = {r.name: r for r in (*inventory, *inventory.named(rights.names())) if kind in (None, r.kind)}
        readable = [r for r in found.values() if rights.access(r).allows(Access.READ)]
        return {"devices": [self._entry(holdings, resource) for resource in readable]}

    @serves("DEVICE_DISCOVER", access=Access.NONE)
    def device_discover(self, holdings: Holdings) -> Mapping[str, Any]:
        """Everything that is connected, shared or not; administrators and hubs only."""
        require_hub(holdings.rights)
        return {"devices": [self._entry(holdings, r) for r in self._service.dispatcher.resources()]}

    @serves("DEVICE_INFO", access=Access.READ)
    def device_info(self, holdings: Holdings, resource: str) -> Mapping[str, Any]:
        """One resource, by any of its names."""
        found = self._service.dispatcher.permitted(holdings, resource, Access.READ, "DEVICE_INFO")
        return {"device": self._entry(holdings, found)}

    @serves("DEVICE_CONFIGURE", access=Access.NONE, audit=True)
    def device_configure(
        self, holdings: Holdings, resource: str, shared: bool | str | None = None
    ) -> Mapping[str, Any]:
        """Say whether a resource is shared; it need not be there. Administrators only."""
        require_administrator(holdings.rights)
        dispatcher, store = self._service.dispatcher, self._service.store.access
        found = next(iter(dispatcher.inventory.named((resource,))), Resource(resource))
        if shared is not None:
            others = (name for name in (found.name, *found.aliases) if name != resource)
            store.share((resource, *others), shared if isinstance(shared, bool) else None)
            self._service.rights_changed()
        target = dispatcher.inventory.target(found)
        return {"shared": self._service.access_rules().sharing.shares(target)}

    @serves("DEVICE_SUBSCRIBE", access=Access.READ)
    def device_subscribe(
        self, holdings: Holdings, kinds: list[str] | None = None, resource: str | None = None
    ) -> Stream:
        """Show what there is, then push what comes, goes and changes."""
        return self._service.hot_plug.subscribe(partial(self._entry, holdings), kinds, resource)

    @serves("DEVICE_UNSUBSCRIBE", access=Access.NONE)
    def device_unsubscribe(self, holdings: Holdings, stream: int) -> None:
        """Close a subscription; its Request ID is free again."""
        holdings.stop_stream(stream)

    @serves("DEVICE_CAPABILITIES", access=Access.READ)
    def device_capabilities(self, holdings: Holdings, resource: str | None = None) -> Mapping[str, Any]:
        """The operations that this agent serves, or those that fit one resource."""
        dispatcher, driver = self._service.dispatcher, None
        if resource is not None:
            found = dispatcher.permitted(holdings, resource, Access.READ, "DEVICE_CAPABILITIES")
            driver = dispatcher.drivers[found.kind]
        served = dispatcher.served.values()
        return {
            "operations": sorted(b.operation.name for b in served if driver is None or b.driver is driver)
        }

    @serves("DEVICE_LOCK", access=Access.WRITE, audit=True)
    async def device_lock(
        self,
        holdings: Holdings,
        resource: str,
        wait: float | None = None,
        ttl: float | None = None,
        key: bytes | None = None,
    ) -> Mapping[str, Any]:
        """Keep other sessions off a resource, for ``ttl`` seconds, waiting up to ``wait`` for it in a fair queue.

        With ``key`` share the lock of the session that was given it.
        """
        table, found = self._service.dispatcher.table, self._lockable(holdings, resource, "DEVICE_LOCK")
        if key is None:
            return {"key": await table.lock(holdings, found, wait, ttl)}
        table.join(holdings, found, key)
        return {"key": key}

    @serves("DEVICE_UNLOCK", access=Access.WRITE, audit=True)
    def device_unlock(self, holdings: Holdings, resource: str, force: bool = False) -> None:
        """Release a lock of this session; with ``force`` break whosever it is, administrators only."""
        table, found = self._service.dispatcher.table, self._lockable(holdings, resource, "DEVICE_UNLOCK")
        if force:
            require_administrator(holdings.rights)
            table.break_lock(found)
        else:
            table.unlock(holdings, found)

    def _lockable(self, holdings: Holdings, name: str, what: str) -> Resource:
        """The resource of that name, if the session may write to it and to everything below it."""
        dispatcher = self._service.dispatcher
        found = dispatcher.find(name)
        dispatcher.require(holdings, (found,), Access.WRITE, what, name, below=True)
        return found

    def _entry(self, holdings: Holdings, resource: Resource) -> dict[str, Any]:
        decision = holdings.rights.decide(resource)
        table = self._service.dispatcher.table
        locked, held = table.lock_holder(resource.name), table.holder(resource.name)
        return {
            "name": resource.name,
            "kind": resource.kind,
            "description": resource.description,
            "aliases": list(resource.aliases),
            "parent": self._parent(holdings, resource),
            "access": int(decision.access),
            "shared": decision.shared,
            "locked_by": locked.rights.description if locked else None,
            "waiting": table.waiting(resource.name) or None,
            "held_by": held.rights.description if held else None,
            "simulated": True if self._service.config.simulation is not None else None,
            "properties": {k.replace("_", "-"): v for k, v in resource.properties.items() if v is not None},
        }

    def _parent(self, holdings: Holdings, resource: Resource) -> str | None:
        """What a resource hangs on, unless the asker must not know of that."""
        if resource.parent is None:
            return None
        found = self._service.dispatcher.inventory.named((resource.parent,))
        return resource.parent if all(holdings.rights.sees(parent) for parent in found) else None
