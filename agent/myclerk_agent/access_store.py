"""The rules of access in the agent's database: who made them, groups, hubs, and what is shared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from myclerk_drivers.base import Access
from myclerk_protocol.environment import Environment
from myclerk_protocol.status import BadRequest, Forbidden, NotFound, TooMany

from .access import ANYTHING, AccessRules, Rule, Sharing, Standing, check_group, check_pattern
from .database import Database

RULES_LIMIT = 4096
MEMBERS_LIMIT = 4096
SHARING_LIMIT = 4096


class AccessStore:
    """Rules, groups and sharing. For one thread; what a method has returned from is on the disk.

    A device's own rule ``*`` with any access is the column ``devices.access``, which its invitation set; all
    others are rows. ``by`` is the fingerprint of the hub that asks, None for an administrator: hubs change only
    rules that they made themselves, of devices that are neither administrators nor hubs.
    """

    def __init__(self, database: Database, environment: Environment) -> None:
        self._database = database
        self._environment = environment

    def load(self, shared: Sequence[str] = (ANYTHING,)) -> AccessRules:
        """All rules as they are now; ``shared`` are the patterns of the settings."""
        rows = self._database.rows(
            "SELECT fingerprint, access, administrator, hub FROM devices WHERE revoked_at IS NULL"
        )
        devices = {row["fingerprint"]: Standing(bool(row["administrator"]), bool(row["hub"])) for row in rows}
        rules = [Rule(row["fingerprint"], ANYTHING, Access(row["access"])) for row in rows if row["access"]]
        for row in self._database.rows("SELECT * FROM rules ORDER BY subject, pattern"):
            rules.append(Rule(row["subject"], row["pattern"], Access(row["access"]), row["granted_by"]))
        return AccessRules(rules, devices, self.groups(), Sharing(tuple(shared), self.sharing()))

    # -- rules ---------------------------------------------------------------------------------------------

    def grant(self, subject: str, pattern: str, access: Access, *, by: str | None = None) -> None:
        """Make or replace the rule of ``subject`` for ``pattern``.

        Raises BadRequest, NotFound for a device that is not admitted, Forbidden, TooMany.
        """
        with self._database.transaction() as connection:
            self._check_subject(connection, subject, by)
            self._put(connection, Rule(subject, check_pattern(pattern), access, by))

    def revoke(self, subject: str, pattern: str, *, by: str | None = None) -> None:
        """Delete a rule. Raises NotFound when there is none, Forbidden."""
        with self._database.transaction() as connection:
            rule = _rule(connection, subject, pattern)
            if rule is None:
                raise NotFound(f"there is no rule of {subject} for {pattern}", key="pattern")
            self._check_subject(connection, subject, by)
            _check_maker(rule, by)
            _delete(connection, subject, pattern)

    def set(
        self,
        subject: str,
        *,
        rules: Iterable[tuple[str, Access]] | None = None,
        members: Iterable[str] | None = None,
        hub: bool | None = None,
        by: str | None = None,
    ) -> None:
        """Replace the rules of ``subject`` (for a hub: those that it made), a group's members, a device's role.

        All or nothing. Raises as :meth:`grant`, BadRequest for members of a device or the role of a group.
        """
        if by is not None and (members is not None or hub is not None):
            raise Forbidden("who is in a group, and who is a hub, is for administrators to say")
        is_group = subject.startswith("@")
        if members is not None and not is_group:
            raise BadRequest("a device has no members, only groups have", key="members")
        if hub is not None and is_group:
            raise BadRequest("a group cannot be a hub, only its devices can", key="hub")
        with self._database.transaction() as connection:
            self._check_subject(connection, subject, by)
            if rules is not None:
                self._replace_rules(connection, subject, rules, by)
            if members is not None:
                connection.execute("DELETE FROM members WHERE group_name = ?", (subject,))
                self._add_members(connection, subject, members)
            if hub is not None:
                connection.execute("UPDATE devices SET hub = ? WHERE fingerprint = ?", (int(hub), subject))

    def _replace_rules(
        self,
        connection: sqlite3.Connection,
        subject: str,
        rules: Iterable[tuple[str, Access]],
        by: str | None,
    ) -> None:
        if by is None:
            connection.execute("DELETE FROM rules WHERE subject = ?", (subject,))
            connection.execute("UPDATE devices SET access = 0 WHERE fingerprint = ?", (subject,))
        else:
            connection.execute("DELETE FROM rules WHERE subject = ? AND granted_by = ?", (subject, by))
        for pattern, access in rules:
            self._put(connection, Rule(subject, check_pattern(pattern), access, by))

    def _put(self, connection: sqlite3.Connection, rule: Rule) -> None:
        known = _rule(connection, rule.subject, rule.pattern)
        if known is not None:
            _check_maker(known, rule.granted_by)
            _delete(connection, rule.subject, rule.pattern)
        if rule.pattern == ANYTHING and rule.access and rule.granted_by is None and not rule.is_group:
            connection.execute(
                "UPDATE devices SET access = ? WHERE fingerprint = ?", (int(rule.access), rule.subject)
            )
            return
        _check_room(connection, "rules", RULES_LIMIT)
        connection.execute(
            "INSERT INTO rules (subject, pattern, access, granted_by, granted_at) VALUES (?, ?, ?, ?, ?)",
            (rule.subject, rule.pattern, int(rule.access), rule.granted_by, self._environment.wall()),
        )

    def _check_subject(self, connection: sqlite3.Connection, subject: str, by: str | None) -> None:
        if subject.startswith("@"):
            check_group(subject)
            return
        row = _device(connection, subject)
        if by is not None and (row["administrator"] or row["hub"]):
            raise Forbidden(
                "a hub gives nothing to administrators and hubs, itself included; an administrator does"
            )

    # -- groups ----------------------------------------------------------------------------------

    def groups(self) -> dict[str, list[str]]:
        """The fingerprints in each group."""
        found: dict[str, list[str]] = {}
        for row in self._database.rows("SELECT * FROM members ORDER BY group_name, fingerprint"):
            found.setdefault(row["group_name"], []).append(row["fingerprint"])
        return found

    def add_members(self, group: str, devices: Iterable[str]) -> None:
        """Put devices into a group, which begins to exist with the first. Raises BadRequest, NotFound, TooMany."""
        with self._database.transaction() as connection:
            self._add_members(connection, group, devices)

    def remove_member(self, group: str, device: str) -> None:
        """Take a device out of a group. Raises NotFound when it is not in it."""
        with self._database.transaction() as connection:
            found = connection.execute(
                "DELETE FROM members WHERE group_name = ? AND fingerprint = ?", (group, device)
            )
            if found.rowcount == 0:
                raise NotFound(f"{device} is not in {group}", key="members")

    def _add_members(self, connection: sqlite3.Connection, group: str, devices: Iterable[str]) -> None:
        check_group(group)
        for device in devices:
            _device(connection, device, "members")
            _check_room(connection, "members", MEMBERS_LIMIT)
            connection.execute("INSERT OR IGNORE INTO members VALUES (?, ?)", (group, device))

    # -- sharing -------------------------------------------------------------------------------------------

    def sharing(self) -> dict[str, bool]:
        """What was said of single names, against the settings."""
        return {row["name"]: bool(row["shared"]) for row in self._database.rows("SELECT * FROM sharing")}

    def share(self, names: Sequence[str], shared: bool | None) -> None:
        """Say of the first of ``names`` (all of one resource) whether it is shared; None: as the settings have it.

        Raises BadRequest, TooMany.
        """
        with self._database.transaction() as connection:
            for name in names:
                connection.execute("DELETE FROM sharing WHERE name = ?", (check_pattern(name, "resource"),))
            if shared is not None:
                _check_room(connection, "sharing", SHARING_LIMIT)
                connection.execute("INSERT INTO sharing VALUES (?, ?)", (names[0], int(shared)))


def forget_rules(connection: sqlite3.Connection, device: str) -> None:
    """Delete what is about a device, and what it gave to others."""
    connection.execute("DELETE FROM rules WHERE subject = ?1 OR granted_by = ?1", (device,))
    connection.execute("DELETE FROM members WHERE fingerprint = ?", (device,))
    connection.execute("UPDATE devices SET hub = 0 WHERE fingerprint = ?", (device,))


def assign(connection: sqlite3.Connection, subject: str, names: Mapping[str, int], now: float) -> None:
    """Give a device access to resources by name, as an administrator would, within a transaction."""
    for name, access in names.items():
        connection.execute(
            "INSERT OR REPLACE INTO rules (subject, pattern, access, granted_by, granted_at)"
            " VALUES (?, ?, ?, NULL, ?)",
            (subject, name, access, now),
        )


def _rule(connection: sqlite3.Connection, subject: str, pattern: str) -> Rule | None:
    row = connection.execute(
        "SELECT * FROM rules WHERE subject = ? AND pattern = ?", (subject, pattern)
    ).fetchone()
    if row is not None:
        return Rule(subject, pattern, Access(row["access"]), row["granted_by"])
    if pattern == ANYTHING:
        row = connection.execute(
            "SELECT access FROM devices WHERE fingerprint = ? AND access > 0", (subject,)
        ).fetchone()
    return None if row is None else Rule(subject, pattern, Access(row["access"]))


def _delete(connection: sqlite3.Connection, subject: str, pattern: str) -> None:
    connection.execute("DELETE FROM rules WHERE subject = ? AND pattern = ?", (subject, pattern))
    if pattern == ANYTHING:
        connection.execute("UPDATE devices SET access = 0 WHERE fingerprint = ?", (subject,))


def _device(connection: sqlite3.Connection, fingerprint: str, key: str = "subject") -> sqlite3.Row:
    """The row of an admitted device. Raises NotFound."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM devices WHERE fingerprint = ? AND revoked_at IS NULL", (fingerprint,)
    ).fetchone()
    if row is None:
        raise NotFound(f"no admitted device has the fingerprint {fingerprint}", key=key)
    return row


def _check_maker(rule: Rule, by: str | None) -> None:
    if by is not None and rule.granted_by != by:
        raise Forbidden(
            f"the rule of {rule.subject} for {rule.pattern} is another's; an administrator can change it"
        )


def _check_room(connection: sqlite3.Connection, table: str, limit: int) -> None:
    if connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= limit:  # noqa: S608 (a name of ours)
        raise TooMany(f"the agent keeps at most {limit} entries of this kind; delete some")
