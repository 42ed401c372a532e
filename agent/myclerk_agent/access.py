"""Who may do what with which resource: rules, which of them decides, and what is shared at all.

Pure: neither a database nor a clock nor drivers. An :class:`AccessRules` never changes; a change makes a new one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from myclerk_drivers.base import Access
from myclerk_protocol.status import BadRequest

LONGEST_PATTERN = 255
ANYTHING = "*"

_GROUP = re.compile(r"@[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_PATTERN = re.compile(r"[A-Za-z0-9._:/%*-]+", re.ASCII)
_BITS = {access: sum(1 << need for need in Access if access.allows(need)) for access in Access}
_ACCESS = {bits: access for access, bits in _BITS.items()}


def granted(access: Access) -> int:
    """What a mode allows: one bit for each need, ``1 << need``."""
    return _BITS[access]


def common(one: Access, other: Access) -> Access:
    """The mode that allows what both allow: write and read have nothing in common."""
    shared = _BITS[one] & _BITS[other]
    return _ACCESS.get(shared, Access.NONE)


def check_group(name: str, key: str = "subject") -> str:
    """``name`` if it is a group's: ``@`` and up to 63 of ``A-Za-z0-9._-``. Raises BadRequest."""
    if not _GROUP.fullmatch(name):
        raise BadRequest(f"{name!r} is no group: write @ and letters, digits, dots, hyphens", key=key)
    return name


def check_pattern(pattern: str, key: str = "pattern") -> str:
    """``pattern`` if resources can have such names. Raises BadRequest."""
    if not _PATTERN.fullmatch(pattern) or len(pattern) > LONGEST_PATTERN:
        raise BadRequest(
            f"{pattern!r} is no name of a resource; `*` stands for any characters, %XX for unusual ones",
            key=key,
        )
    if ":" not in pattern and ANYTHING not in pattern:
        raise BadRequest(f"{pattern!r} lacks its kind: write it as in serial:ttyUSB0", key=key)
    return pattern


def is_name(pattern: str) -> bool:
    """Whether it is the name of one resource and no pattern for many."""
    return ANYTHING not in pattern


@lru_cache(4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split(ANYTHING))), re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    """Whether ``name`` is what ``pattern`` says, each ``*`` in it standing for any run of characters."""
    return pattern == name or (ANYTHING in pattern and _compiled(pattern).fullmatch(name) is not None)


@dataclass(frozen=True, slots=True)
class Rule:
    """``subject`` (a device's fingerprint, or a group ``@name``) has ``access`` to what ``pattern`` matches.

    ``granted_by`` is the hub that made the rule, None for an administrator: of what a hub gave, its subject has
    no more than the hub itself has at the moment.
    """

    subject: str
    pattern: str
    access: Access
    granted_by: str | None = None

    @property
    def is_group(self) -> bool:
        """Whether its subject is a group."""
        return self.subject.startswith("@")


@dataclass(frozen=True, slots=True)
class Target:
    """A resource as rules see it: by all its ``names``, and those of the ``wholes`` that it is a part of."""

    names: tuple[str, ...]
    wholes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a device is here, beside its rules."""

    administrator: bool = False
    hub: bool = False


@dataclass(frozen=True, slots=True)
class Sharing:
    """What is shared: names that match one of ``patterns``, unless ``said`` of a name says otherwise."""

    patterns: tuple[str, ...] = (ANYTHING,)
    said: Mapping[str, bool] = field(default_factory=dict)

    def shares(self, target: Target) -> bool:
        """What is said of its own names counts before what is said of its whole; of several the stricter."""
        for names in (target.names, target.wholes):
            said = [self.said[name] for name in names if name in self.said]
            if said:
                return all(said)
        return any(
            matches(pattern, name) for pattern in self.patterns for name in (*target.names, *target.wholes)
        )

    def shares_all(self, kind: str) -> bool:
        """Whether every resource of a kind is shared, by whatever name."""
        withheld = any(not shared and name.startswith(f"{kind}:") for name, shared in self.said.items())
        return not withheld and any(_all_of(kind, pattern) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a device may do with a resource, and why.

    ``rule`` decided, if one did. Access to what is not ``shared`` is none unless a rule names it (``assigned``).
    ``administrator`` may read and write whatever the rules say.
    """

    access: Access
    shared: bool
    rule: Rule | None = None
    assigned: bool = False
    administrator: bool = False
    known: bool = True

    @property
    def visible(self) -> bool:
        """Whether the device may know that the resource is there."""
        return self.shared or self.access is not Access.NONE

    def explain(self) -> str:
        """One sentence for people: why the access is what it is."""
        if not self.known:
            return "this device is not paired, or was revoked"
        if self.administrator:
            return "administrators may read and write everything"
        if not self.shared and not self.assigned:
            return "it is not shared, and no rule names it"
        if self.rule is None:
            return "no rule matches"
        rule, mode = self.rule, access_name(self.rule.access)
        text = f"the rule {rule.subject} {rule.pattern} {mode} decided"
        if rule.granted_by is not None and self.access is not rule.access:
            text += f"; who made it, {rule.granted_by}, has no more than {access_name(self.access)} itself"
        return text


def concerns(rule: Rule, target: Target) -> bool:
    """Whether a rule is about a resource: it matches one of its names, or one of what it is a part of."""
    return any(matches(rule.pattern, name) for name in (*target.names, *target.wholes))


def access_name(access: Access) -> str:
    """A mode as people write it: ``read-write``."""
    return access.name.lower().replace("_", "-")


class AccessRules:
    """All rules of an agent at one moment.

    ``devices`` are those admitted, ``members`` the fingerprints in each group. Of the rules that match, the one
    decides that names the resource exactly; then the one with more literal characters; then that of the device
    before those of its groups; then the lower mode. Rules for a whole match its parts as patterns do.
    """

    def __init__(
        self,
        rules: Iterable[Rule] = (),
        devices: Mapping[str, Standing] | None = None,
        members: Mapping[str, Collection[str]] | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self.devices: Mapping[str, Standing] = devices or {}
        self.members: Mapping[str, Collection[str]] = members or {}
        self.sharing = sharing or Sharing()
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.subject, []).append(rule)

    def __iter__(self) -> Iterator[Rule]:
        for rules in self._rules.values():
            yield from rules

    def groups_of(self, device: str) -> list[str]:
        """The groups that a device is in, sorted."""
        return sorted(group for group, members in self.members.items() if device in members)

    def of_subject(self, subject: str) -> list[Rule]:
        """The rules that name this device or group itself."""
        return list(self._rules.get(subject, ()))

    def of_device(self, device: str) -> list[Rule]:
        """The rules of a device and of its groups; none of one that is not admitted."""
        if device not in self.devices:
            return []
        return [
            rule for subject in (device, *self.groups_of(device)) for rule in self._rules.get(subject, ())
        ]

    def decide(self, device: str, target: Target) -> Decision:
        """What a device may do with a resource."""
        return self._decide(device, target, frozenset())

    def _decide(self, device: str, target: Target, asking: frozenset[str]) -> Decision:
        shared = self.sharing.shares(target)
        standing = self.devices.get(device)
        if standing is None:
            return Decision(Access.NONE, shared, known=False)
        best: tuple[tuple[bool, int, bool, int], Rule, Access] | None = None
        assigned = False
        for rule in self.of_device(device):
            if not concerns(rule, target):
                continue
            access = self._limited(rule, target, asking | {device})
            if access is None:
                continue
            assigned = assigned or (is_name(rule.pattern) and access is not Access.NONE)
            literals = len(rule.pattern) - rule.pattern.count(ANYTHING)
            exact = rule.pattern in target.names and is_name(rule.pattern)
            weight = (exact, literals, not rule.is_group, -access)
            if best is None or weight > best[0]:
                best = weight, rule, access
        rule_access = Access.NONE if best is None else best[2]
        decided = None if best is None else best[1]
        if standing.administrator:
            access = max(rule_access, Access.READ_WRITE)
            return Decision(access, shared, decided, assigned, administrator=True)
        access = rule_access if shared or assigned else Access.NONE
        return Decision(access, shared, decided, assigned)

    def _limited(self, rule: Rule, target: Target, asking: frozenset[str]) -> Access | None:
        """The access that a rule gives; None where the hub that made it has nothing to give."""
        if rule.granted_by is None or rule.access is Access.NONE:
            return rule.access
        if rule.granted_by in asking:
            return None
        own = self._decide(rule.granted_by, target, asking).access
        return common(rule.access, own) or None

    def might(self, device: str, need: Access, kind: str | None = None) -> bool:
        """Whether some rule allows ``need`` on some resource (of ``kind``): then it is worth listing them."""
        standing = self.devices.get(device)
        if standing is not None and standing.administrator:
            return True
        return any(
            rule.access.allows(need) and (kind is None or _some_of(kind, rule.pattern))
            for rule in self.of_device(device)
        )

    def of_kind(self, device: str, kind: str) -> Access | None:
        """The access to every resource of a kind where that is one and the same, whatever is plugged in.

        None where rules or sharing tell resources of this kind apart.
        """
        rules = [rule for rule in self.of_device(device) if _some_of(kind, rule.pattern)]
        if any(rule.granted_by is not None or not _all_of(kind, rule.pattern) for rule in rules):
            return None
        if not self.sharing.shares_all(kind) and not self.devices.get(device, Standing()).administrator:
            return None
        return self.decide(device, Target((f"{kind}:",))).access


def _some_of(kind: str, pattern: str) -> bool:
    """Whether a pattern can match a name of this kind."""
    start = pattern.partition(ANYTHING)[0]
    prefix = f"{kind}:"
    return start.startswith(prefix) or (prefix.startswith(start) and start != pattern)


def _all_of(kind: str, pattern: str) -> bool:
    """Whether a pattern matches every name of this kind."""
    start, star, rest = pattern.partition(ANYTHING)
    return bool(star) and not rest.strip(ANYTHING) and f"{kind}:".startswith(start)
