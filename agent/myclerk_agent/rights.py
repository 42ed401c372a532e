"""What one session may do: the rules as they bear on its device, with answers kept that are asked for again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from myclerk_drivers.base import Access, Resource
from myclerk_protocol.status import Forbidden

from .access import ANYTHING, AccessRules, Decision, Rule, Sharing, Standing, Target, granted, is_name

EVERYTHING, NOTHING = granted(Access.EXCLUSIVE), granted(Access.NONE)
KEPT = 4096
"""Decisions that are kept at once."""


class Places(Protocol):
    """How resources belong together, as rules see them."""

    def target(self, resource: Resource) -> Target:
        """All names of a resource, and of what it is a part of."""

    def parts(self, resource: Resource) -> Iterable[Target]:
        """The parts of a resource."""


class Nowhere:
    """:class:`Places` where nothing is known but what a resource says of itself."""

    def target(self, resource: Resource) -> Target:
        """Its names."""
        return Target((resource.name, *resource.aliases))

    def parts(self, resource: Resource) -> Iterable[Target]:
        """None."""
        return ()


class Rights:
    """What a device may do as the rules are now; a change of rules makes new rights.

    ``description`` names the device to others (the ``holder`` of a conflict). Made like this it has ``access`` to
    all that is shared, as a local user; :meth:`of` is for paired devices. What is granted is told in bits:
    ``1 << need`` for each :class:`Access` that an operation may need.
    """

    def __init__(
        self,
        description: str,
        access: Access = Access.NONE,
        administrator: bool = False,
        *,
        sharing: Sharing | None = None,
        places: Places | None = None,
    ) -> None:
        rule = Rule(description, ANYTHING, access)
        standing = Standing(administrator)
        self._set(
            description, description, AccessRules([rule], {description: standing}, sharing=sharing), places
        )

    @classmethod
    def of(cls, device: str, description: str, rules: AccessRules, places: Places) -> Rights:
        """The rights of the device with that fingerprint; none if it is not admitted."""
        rights = cls.__new__(cls)
        rights._set(device, description, rules, places)
        return rights

    def _set(self, device: str, description: str, rules: AccessRules, places: Places | None) -> None:
        self.device = device
        self.description = description
        self.rules = rules
        standing = rules.devices.get(device, Standing())
        self.administrator = standing.administrator
        self.hub = standing.hub
        self._places = places or Nowhere()
        self._kinds: dict[str, int | None] = {}
        self._decided: dict[Target, Decision] = {}

    # -- resources -----------------------------------------------------------------------------------------

    def decide(self, resource: Resource) -> Decision:
        """What the device may do with a resource, and why."""
        return self._decide(self._places.target(resource))

    def access(self, resource: Resource) -> Access:
        """Its mode of access to a resource."""
        return self.decide(resource).access

    def allows(self, resource: Resource, need: Access) -> bool:
        """Whether it may do with a resource, itself and all parts of it, what needs ``need``."""
        return bool(1 << need & self.granted(resource))

    def sees(self, resource: Resource) -> bool:
        """Whether it may know that the resource is there."""
        return self.administrator or self.hub or self.decide(resource).visible

    def granted(self, *resources: Resource) -> int:
        """What is granted on all of these at once, with all their parts."""
        bits = EVERYTHING
        for resource in resources:
            same = self.of_kind(resource.kind)
            if same is not None:
                bits &= same
                continue
            bits &= granted(self.access(resource))
            for part in self._places.parts(resource) if bits > NOTHING else ():
                bits &= granted(self._decide(part).access)
        return bits

    def lacking(self, resources: Sequence[Resource], need: Access) -> str:
        """The name of what is in the way of ``need``: one of ``resources``, or a part of one."""
        for resource in resources:
            parts = self._places.parts(resource)
            for target in (self._places.target(resource), *parts):
                if not self._decide(target).access.allows(need):
                    return target.names[0]
        return resources[0].name

    def of_kind(self, kind: str) -> int | None:
        """What is granted on every resource of a kind; None where that differs between them."""
        try:
            return self._kinds[kind]
        except KeyError:
            access = self.rules.of_kind(self.device, kind)
            same = self._kinds[kind] = None if access is None else granted(access)
            return same

    def at_large(self, need: Access, kind: str | None = None) -> bool:
        """Whether it may do what needs ``need`` and names no resource; ``kind`` is what it is about, None for all.

        Looking needs the right to some resource, as what is shown is only what may be read. Changing something
        that has no name needs the right to the whole kind.
        """
        if need is Access.NONE:
            return True
        same = None if kind is None else self.of_kind(kind)
        if same is not None:
            return bool(same & 1 << need)
        if need is Access.READ or kind is None:
            return self.rules.might(self.device, need, kind)
        return self._decide(Target((f"{kind}:",))).access.allows(need)

    def names(self) -> list[str]:
        """The resources that its rules name."""
        rules = self.rules.of_device(self.device)
        return [rule.pattern for rule in rules if is_name(rule.pattern) and rule.access]

    def exclusive(self, resource: Resource) -> bool:
        """Whether nobody else may have the resource while this device has it."""
        same = self.of_kind(resource.kind)
        if same is not None:
            return bool(same & 1 << Access.EXCLUSIVE)
        return self.access(resource) is Access.EXCLUSIVE

    def _decide(self, target: Target) -> Decision:
        decision = self._decided.get(target)
        if decision is None:
            if len(self._decided) >= KEPT:
                self._decided.clear()
            decision = self._decided[target] = self.rules.decide(self.device, target)
        return decision


def require_administrator(rights: Rights) -> None:
    """Raise Forbidden unless the asker is an administrator."""
    if not rights.administrator:
        raise Forbidden("this is for administrators of the agent only")


def require_hub(rights: Rights) -> None:
    """Raise Forbidden unless the asker is a hub or an administrator."""
    if not rights.hub and not rights.administrator:
        raise Forbidden("this is for administrators and hubs of the agent only")
