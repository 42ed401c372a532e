"""Routes: which device gets the stream of a resource when several want it (docs/streams.md)."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from myclerk_drivers.base import Resource
from myclerk_protocol.status import Conflict, NotFound, ServiceUnavailable, TooMany

from .feeds import Rank

log = logging.getLogger("myclerk.routes")

FILE = "routes.json"
MAX_ROUTES = 1024
UNROUTED: Rank = (-1, 0)


@dataclass(frozen=True, slots=True)
class Route:
    """Leads the stream of ``resource`` (any of its names) to ``client``; ``created_at`` is Unix time."""

    route: int
    resource: str
    client: str
    priority: int
    created_at: int

    def leads_from(self, resource: Resource) -> bool:
        """Whether it is about this resource."""
        return self.resource == resource.name or self.resource in resource.aliases


class Routes:
    """All routes, kept in a file of the state directory. ``on_change`` is called behind each change."""

    def __init__(self, directory: Path, wall: Callable[[], float]) -> None:
        self._path = directory / FILE
        self._wall = wall
        self._last, self._routes = _load(self._path)
        self.on_change: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[Route]:
        return iter(list(self._routes.values()))

    def rank(self, resource: Resource, device: str | None) -> Rank:
        """How far in front ``device`` is at ``resource``: by its best route, if it has one."""
        found = (r for r in self._routes.values() if r.client == device and r.leads_from(resource))
        return max(((r.priority, r.route) for r in found), default=UNROUTED)

    def get(self, number: int) -> Route:
        """The route of that number. Raises NotFound."""
        route = self._routes.get(number)
        if route is None:
            raise NotFound(
                f"there is no route {number}; `myclerk routes list` lists what there is", key="route"
            )
        return route

    def create(self, resource: str, client: str, priority: int) -> Route:
        """A new route. Raises Conflict when there is one between the two, TooMany."""
        if len(self._routes) >= MAX_ROUTES:
            raise TooMany(f"an agent has at most {MAX_ROUTES} routes; delete some")
        route = Route(self._last + 1, resource, client, priority, int(self._wall()))
        return self._put(route)  # numbers are not used again: the highest is the newest

    def modify(self, number: int, resource: str | None, client: str | None) -> Route:
        """Let a route lead from another resource, or to another client. Raises NotFound, Conflict."""
        route = self.get(number)
        return self._put(replace(route, resource=resource or route.resource, client=client or route.client))

    def set_priority(self, number: int, priority: int) -> Route:
        """Give a route another priority. Raises NotFound."""
        return self._put(replace(self.get(number), priority=priority))

    def delete(self, number: int) -> Route:
        """Forget a route. Raises NotFound."""
        route = self.get(number)
        self._save({n: r for n, r in self._routes.items() if n != number})
        return route

    def _put(self, route: Route) -> Route:
        for other in self:
            if other.route != route.route and (other.resource, other.client) == (
                route.resource,
                route.client,
            ):
                raise Conflict(f"route {other.route} leads from {route.resource} to that client already")
        self._save({**self._routes, route.route: route})
        return route

    def _save(self, routes: dict[int, Route]) -> None:
        """Write all routes, or leave everything as it was. Raises ServiceUnavailable."""
        last = max(self._last, *routes) if routes else self._last
        text = json.dumps({"last": last, "routes": [asdict(route) for route in routes.values()]}, indent=1)
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=f".{FILE}.", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(descriptor)
                os.replace(temporary, self._path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            raise ServiceUnavailable(f"the routes cannot be kept on the board: {error.strerror}") from error
        self._last, self._routes = last, routes
        self.on_change()


def _load(path: Path) -> tuple[int, dict[int, Route]]:
    """The last number given, and the routes in the file; none, and an error in the log, if it cannot be read."""
    try:
        kept = json.loads(path.read_bytes())
        return int(kept["last"]), {fields["route"]: Route(**fields) for fields in kept["routes"]}
    except FileNotFoundError:
        return 0, {}
    except (OSError, ValueError, TypeError, LookupError) as error:
        log.error("the routes in %s cannot be read and are not in force: %s", path, error)
        return 0, {}
