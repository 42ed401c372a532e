"""Who may do what on a board (operations 0x0244-0x0247 and DEVICE_CONFIGURE; docs/access.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .link import Link
from .modes import in_words, mode_number, subject_of


class Access:
    """The rules of a board, ``board.access``: for its administrators and hubs; anyone may ask about itself.

    A subject is a device's fingerprint or a group, "@lab". A pattern is the name of a resource, in which ``*``
    stands for any characters. Access is "none", "read", "write", "read-write" or "exclusive".

    >>> await board.access.grant("@lab", "serial:*", "read-write")
    >>> await board.access.explain("serial:ttyUSB0", "MD25-4F6L-...")
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def show(self, subject: str | None = None, resource: str | None = None) -> dict[str, Any]:
        """{``rules``, ``groups``} of one subject or all, or those that concern one resource.

        Administrators and hubs also get ``shared``, the patterns of the agent's settings, and ``exceptions`` from
        them. Others get what is about themselves. Raises NotFound for a resource, Forbidden.
        """
        fields = {"subject": None if subject is None else subject_of(subject), "resource": resource}
        answer = await self._link.request("ACL_GET", fields)
        return {**answer, "rules": [in_words(rule) for rule in answer["rules"]]}

    async def explain(self, resource: str, device: str | None = None) -> dict[str, Any]:
        """What a device (None: this one) may do with a resource, and why.

        {``resource``, ``access``, ``shared``, ``reason``, and ``rule`` if one decided}. Raises NotFound, Forbidden.
        """
        subject = None if device is None else subject_of(device)
        answer = await self._link.request("ACL_GET", {"subject": subject, "resource": resource})
        decision = in_words(answer["decision"])
        if "rule" in decision:
            decision["rule"] = in_words(decision["rule"])
        return decision

    async def grant(self, subject: str, pattern: str, access: str | int = "read-write") -> None:
        """Make a rule, or change the access of the one that is there. It holds at once, also for what is open.

        Raises NotFound for a device that is not paired, BadRequest, Forbidden for what a hub does not have itself.
        """
        fields = {"subject": subject_of(subject), "pattern": pattern, "access": mode_number(access)}
        await self._link.request("ACL_GRANT", fields)

    async def revoke(self, subject: str, pattern: str) -> None:
        """Delete a rule. Raises NotFound when there is none, Forbidden when it is not this hub's."""
        await self._link.request("ACL_REVOKE", {"subject": subject_of(subject), "pattern": pattern})

    async def set(
        self,
        subject: str,
        rules: Mapping[str, str | int] | None = None,
        *,
        members: Iterable[str] | None = None,
        hub: bool | None = None,
    ) -> None:
        """Replace, all or nothing: the rules of a subject (pattern -> access), a group's members, whether it is a hub.

        A hub replaces the rules that it made itself; members and hubs are for administrators. Raises as :meth:`grant`.
        """
        entries = None
        if rules is not None:
            entries = [{"pattern": name, "access": mode_number(mode)} for name, mode in rules.items()]
        devices = None if members is None else [subject_of(member) for member in members]
        fields = {"subject": subject_of(subject), "rules": entries, "members": devices, "hub": hub}
        await self._link.request("ACL_SET", fields)

    async def share(self, resource: str, shared: bool | None) -> bool:
        """Share a resource or not, None: as the agent's settings have it; whether it is shared then.

        It need not be there: what is said is said of this name. For administrators. Raises Forbidden, BadRequest.
        """
        setting: bool | str = "default" if shared is None else shared
        answer = await self._link.request("DEVICE_CONFIGURE", {"resource": resource, "shared": setting})
        return bool(answer["shared"])
