"""Whether a session may do what it asks, and what of an answer it may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from myclerk_drivers.base import Access, Driver, Resource
from myclerk_protocol.status import Forbidden

from .access import access_name
from .inventory import Inventory, Unseen, absent
from .rights import Rights


def require(
    inventory: Inventory,
    rights: Rights,
    parts: Sequence[Resource],
    need: Access,
    what: str,
    name: str,
    *,
    below: bool = False,
) -> None:
    """Raise Forbidden unless ``rights`` allow ``what`` on all ``parts``, which needs ``need``.

    With ``below`` it needs write access to everything below them in the kernel's tree, too. Raises NotFound where
    the asker must not know that what it named ``name`` is there.
    """
    if not rights.granted(*parts) & 1 << need:
        if not any(rights.sees(part) for part in parts):
            raise absent(name, Unseen)
        where = rights.lacking(parts, need)
        raise Forbidden(f"{what} needs {access_name(need)} access to {where}")
    if not below or all(1 << Access.WRITE & (rights.of_kind(kind) or 0) for kind in inventory.drivers):
        return
    for part in parts:
        for under in inventory.below(part):
            if not rights.allows(under, Access.WRITE):
                shown = under.name if rights.sees(under) else "everything"
                raise Forbidden(f"{what} needs write access to {shown} below {part.name}, too")


def readable(rights: Rights, driver: Driver, result: Any) -> Any:
    """``result`` without list items that are, or are about, resources of ``driver`` that may not be read."""
    if rights.of_kind(driver.kind) is not None:
        return result
    prefix = f"{driver.kind}:"
    known = {resource.name: resource for resource in driver.resources()}

    def shown(item: Any) -> bool:
        name = item.get("name") if isinstance(item, Mapping) else item
        if not isinstance(name, str) or not name.startswith(prefix):
            return True
        resource = known.get(name) or driver.find(name)
        return resource is not None and rights.access(resource).allows(Access.READ)

    def pruned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: pruned(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [pruned(item) for item in value if shown(item)]
        return value

    return pruned(result)
