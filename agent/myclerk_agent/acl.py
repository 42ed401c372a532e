"""The operations on rules of access (ACL_SET, ACL_GET, ACL_GRANT, ACL_REVOKE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from myclerk_drivers.base import Access, Resource, serves
from myclerk_protocol.status import Forbidden, NotFound

from .access import AccessRules, Rule, Target, access_name, check_pattern, common, concerns, is_name
from .inventory import Unseen, absent
from .resources import Holdings
from .rights import require_hub

if TYPE_CHECKING:
    from .service import Service


class AclOperations:
    """Who may do what. Administrators change everything, hubs what they made; anyone may ask about itself."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @serves("ACL_GET", access=Access.NONE)
    def acl_get(
        self, holdings: Holdings, subject: str | None = None, resource: str | None = None
    ) -> Mapping[str, Any]:
        """Rules and groups: all of them or those of one subject; with ``resource`` which rule decides there."""
        rights, asker = holdings.rights, holdings.rights.device
        privileged = rights.administrator or rights.hub
        if not privileged:
            if subject not in (None, asker):
                raise Forbidden("only administrators and hubs may see the rules of others")
            subject = asker
        rules = self._service.access_rules()
        found = None if resource is None else self._seen(holdings, resource)
        shown = list(rules) if subject is None else _about(rules, subject)
        answer: dict[str, Any] = {"groups": _groups(rules, subject, None if privileged else asker)}
        if found is not None:
            target = self._service.dispatcher.inventory.target(found)
            shown = [rule for rule in shown if concerns(rule, target)]
            if subject is None or not subject.startswith("@"):
                other = subject not in (None, asker)
                decision = rules.decide(str(subject), target) if other else rights.decide(found)
                answer["decision"] = {
                    "resource": found.name,
                    "access": int(decision.access),
                    "shared": decision.shared,
                    "rule": None if decision.rule is None else rule_fields(decision.rule),
                    "reason": decision.explain(),
                }
        if privileged:
            said = rules.sharing.said.items()
            answer["shared"] = list(rules.sharing.patterns)
            answer["exceptions"] = [{"resource": name, "shared": shared} for name, shared in said]
        return {"rules": [rule_fields(rule) for rule in shown], **answer}

    @serves("ACL_SET", access=Access.NONE, audit=True)
    def acl_set(
        self,
        holdings: Holdings,
        subject: str,
        rules: Sequence[Mapping[str, Any]] | None = None,
        members: Sequence[str] | None = None,
        hub: bool | None = None,
    ) -> None:
        """Replace the rules of a subject, the members of a group, the role of a device."""
        by = self._maker(holdings)
        entries = None if rules is None else [(entry["pattern"], Access(entry["access"])) for entry in rules]
        for pattern, access in entries or ():
            self._check_given(holdings, pattern, access)
        self._service.store.access.set(subject, rules=entries, members=members, hub=hub, by=by)
        self._service.rights_changed()

    @serves("ACL_GRANT", access=Access.NONE, audit=True)
    def acl_grant(self, holdings: Holdings, subject: str, pattern: str, access: int) -> None:
        """Make or replace one rule."""
        by = self._maker(holdings)
        self._check_given(holdings, pattern, Access(access))
        self._service.store.access.grant(subject, pattern, Access(access), by=by)
        self._service.rights_changed()

    @serves("ACL_REVOKE", access=Access.NONE, audit=True)
    def acl_revoke(self, holdings: Holdings, subject: str, pattern: str) -> None:
        """Delete one rule."""
        by = self._maker(holdings)
        self._service.store.access.revoke(subject, pattern, by=by)
        self._service.rights_changed()

    @serves("CLIENT_ASSIGN", access=Access.NONE, audit=True)
    def client_assign(
        self, holdings: Holdings, client: str, resource: str, access: int = Access.READ_WRITE
    ) -> None:
        """Give a device access to one resource by name, also to one that is not shared."""
        require_hub(holdings.rights)
        self._service.dispatcher.find(resource)
        self.acl_grant(holdings, client, resource, access)

    def unassign(self, holdings: Holdings, client: str, resource: str) -> None:
        """Take back what was assigned, by whatever name of the resource, which need not be there.

        Raises NotFound when nothing was assigned, Forbidden when another assigned it.
        """
        by = self._maker(holdings)
        given = [rule.pattern for rule in self._service.access_rules().of_subject(client)]
        names = [name for name in self._names(resource) if name in given]
        if not names:
            raise NotFound(f"{resource} was not assigned to {client}", key="resource")
        for name in names:
            self._service.store.access.revoke(client, name, by=by)
        self._service.rights_changed()

    def _names(self, name: str) -> tuple[str, ...]:
        """All names of a resource, or just this one of what is not there."""
        try:
            found = self._service.dispatcher.find(name)
        except NotFound:
            return (name,)
        return (found.name, *found.aliases)

    def _seen(self, holdings: Holdings, name: str) -> Resource:
        found = self._service.dispatcher.find(name)
        if not holdings.rights.sees(found):
            raise absent(name, Unseen)
        return found

    @staticmethod
    def _maker(holdings: Holdings) -> str | None:
        """Who makes a rule: None for administrators, whose rules have no limit."""
        require_hub(holdings.rights)
        return None if holdings.rights.administrator else holdings.rights.device

    def _check_given(self, holdings: Holdings, pattern: str, access: Access) -> None:
        """Raise Forbidden when a hub would give what it does not have; in use its rules are limited anyway."""
        rights = holdings.rights
        check_pattern(pattern)
        if rights.administrator:
            return
        target = Target((pattern,))
        if is_name(pattern):
            try:
                target = self._service.dispatcher.inventory.target(self._service.dispatcher.find(pattern))
            except NotFound:
                pass
        own = rights.rules.decide(rights.device, target).access
        if common(access, own) is not access:
            raise Forbidden(f"a hub gives no more than it has, here {access_name(own)} access to {pattern}")


def rule_fields(rule: Rule) -> dict[str, Any]:
    """A rule as the schema has it."""
    return {
        "subject": rule.subject,
        "pattern": rule.pattern,
        "access": int(rule.access),
        "granted_by": rule.granted_by,
    }


def _about(rules: AccessRules, subject: str) -> list[Rule]:
    return rules.of_subject(subject) if subject.startswith("@") else rules.of_device(subject)


def _groups(rules: AccessRules, subject: str | None, only: str | None) -> list[dict[str, Any]]:
    """The groups of a subject, or all; with ``only`` that one's own membership and nobody else's."""
    if subject is None:
        names = sorted(rules.members)
    else:
        names = [subject] if subject.startswith("@") else rules.groups_of(subject)
    members = {name: rules.members.get(name, ()) for name in names}
    return [
        {"name": name, "members": [m for m in found if only in (None, m)]} for name, found in members.items()
    ]
