"""What there is on the board: the resources of all drivers, by any of their names, and how they belong together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from myclerk_drivers.base import Driver, Resource
from myclerk_protocol.status import BadRequest, NotFound, OperationError

from .access import Target

MAX_DEPTH = 16
"""Steps up the kernel's tree that are looked at."""


class Inventory:
    """The resources of ``drivers`` (kind -> driver). Nothing is kept: each call asks the drivers."""

    def __init__(self) -> None:
        self.drivers: dict[str, Driver] = {}

    def __iter__(self) -> Iterator[Resource]:
        """Everything that all drivers offer now."""
        for driver in self.drivers.values():
            yield from driver.resources()

    def find(self, name: str, driver: Driver | None = None) -> Resource:
        """The resource of that name (any of its names). Raises NotFound, BadRequest for another kind."""
        owner = self.drivers.get(name.partition(":")[0])
        if driver is not None and owner is not driver:
            raise BadRequest(f"`resource` must name a {driver.kind}: resource, not {name!r}", key="resource")
        found = owner.find(name) if owner is not None else None
        if found is None:
            raise absent(name)
        return found

    def named(self, names: Iterable[str]) -> list[Resource]:
        """The resources that have one of these names now."""
        found = []
        for name in names:
            owner = self.drivers.get(name.partition(":")[0])
            try:
                resource = owner.find(name) if owner is not None else None
            except OperationError:  # several have it
                continue
            if resource is not None:
                found.append(resource)
        return found

    def parent_of(self, name: str) -> str | None:
        """The name of what a resource hangs on in the kernel's tree."""
        driver = self.drivers.get(name.partition(":")[0])
        resource = driver.find(name) if driver is not None else None
        return resource.parent if resource is not None else None

    def below(self, resource: Resource) -> Iterator[Resource]:
        """Everything that hangs on a resource in the kernel's tree, at whatever depth."""
        children: dict[str, list[Resource]] = {}
        for other in self:
            if other.parent is not None:
                children.setdefault(other.parent, []).append(other)
        level = children.pop(resource.name, [])
        while level:
            yield from level
            level = [child for each in level for child in children.pop(each.name, [])]

    # -- as rules see it (:class:`.rights.Places`) ---------------------------------------------------------

    def target(self, resource: Resource) -> Target:
        """All names of a resource, and of what it is a part of."""
        driver = self.drivers.get(resource.kind)
        name = driver.whole_of(resource) if driver is not None else None
        if driver is None or name is None:
            return Target((resource.name, *resource.aliases))
        whole = driver.find(name)
        wholes = (name,) if whole is None else (whole.name, *whole.aliases)
        return Target((resource.name, *resource.aliases), wholes)

    def parts(self, resource: Resource) -> Iterator[Target]:
        """The parts of a resource."""
        driver = self.drivers.get(resource.kind)
        for part in driver.parts(resource) if driver is not None else ():
            yield Target((part.name, *part.aliases), (resource.name, *resource.aliases))


class Unseen(NotFound):
    """A resource is there, but the asker must not know: to it this looks as if there were none."""


def absent(name: str, kind: type[NotFound] = NotFound) -> NotFound:
    """The error for a name that nothing has, or nothing that the asker may know of."""
    return kind(f"there is no {name} here; `myclerk devices` lists what there is", key="resource")
