"""``myclerk-agent access``, ``groups`` and ``share``: who may do what with which resource (docs/access.md)."""

from __future__ import annotations

import json
from typing import Any

import click

from myclerk_drivers.base import Access

from .. import local
from ..access import AccessRules, Rule, Target, access_name, check_group
from ..acl import rule_fields
from ..store import Store
from .changing import ask, change
from .context import ACCESS, Context, find_device, sentence_errors

MODE = click.Choice(list(ACCESS))


@click.group()
def access() -> None:
    """Show and change who may do what with which resource.

    A SUBJECT is a device (its name, fingerprint or the start of that) or a group: @lab. A PATTERN is the name of a
    resource, in which * stands for any characters.
    """


@access.command()
@click.argument("subject", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
@sentence_errors
def show(context: Context, subject: str | None, as_json: bool) -> None:
    """List all rules, groups and what is shared, or the rules of a SUBJECT.

    Example: myclerk-agent access show
    """
    with context.store() as store:
        rules = store.access.load(context.config.access.shared)
        found = list(rules)
        if subject is not None:
            name = _subject(store, subject)
            found = rules.of_subject(name) if name.startswith("@") else rules.of_device(name)
        names = _names(store)
    if as_json:
        shown = [_hyphens(rule_fields(rule)) for rule in found]
        said = [{"resource": name, "shared": shared} for name, shared in rules.sharing.said.items()]
        shared = {"patterns": list(rules.sharing.patterns), "exceptions": said}
        click.echo(json.dumps({"rules": shown, "groups": dict(rules.members), "shared": shared}))
        return
    for rule in found:
        maker = "" if rule.granted_by is None else f"  (by {names.get(rule.granted_by, rule.granted_by)})"
        who = names.get(rule.subject, rule.subject)
        click.echo(f"{who}  {rule.pattern}  {access_name(rule.access)}{maker}")
    if subject is None:
        for line in _context_of(rules, names):
            click.echo(line)


@access.command()
@click.argument("device")
@click.argument("resource")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
@sentence_errors
def explain(context: Context, device: str, resource: str, as_json: bool) -> None:
    """Say what a DEVICE may do with a RESOURCE, and which rule decided that.

    Example: myclerk-agent access explain "Ann's laptop" serial:ttyUSB0
    """
    with context.store() as store:
        fingerprint = find_device(store.devices(), device).fingerprint
        try:
            decision = ask(context, "ACL_GET", {"subject": fingerprint, "resource": resource})["decision"]
        except local.NotRunning:
            click.echo("myclerk-agent: no agent runs here; this is by the given name alone", err=True)
            decision = _by_name(store.access.load(context.config.access.shared), fingerprint, resource)
        names = _names(store)
    if as_json:
        click.echo(json.dumps(_hyphens(decision)))
        return
    reason = decision["reason"]
    for key, name in names.items():
        reason = reason.replace(key, name)
    click.echo(f"{decision['resource']}: {access_name(Access(decision['access']))}; {reason}")


@access.command()
@click.argument("subject")
@click.argument("pattern")
@click.argument("mode", type=MODE, default="read-write")
@click.pass_obj
@sentence_errors
def grant(context: Context, subject: str, pattern: str, mode: str) -> None:
    """Make a rule, or change it: a SUBJECT has access to what a PATTERN matches. MODE is read-write if not given.

    Example: myclerk-agent access grant @lab 'serial:*' read
    """
    with context.store() as store:
        name = _subject(store, subject)
    change(
        context, "ACL_GRANT", {"subject": name, "pattern": pattern, "access": int(ACCESS[mode])},
        lambda store: store.access.grant(name, pattern, ACCESS[mode]), f"{name} {pattern} {mode}",
    )  # fmt: skip


@access.command()
@click.argument("subject")
@click.argument("pattern")
@click.pass_obj
@sentence_errors
def revoke(context: Context, subject: str, pattern: str) -> None:
    """Delete the rule of a SUBJECT for a PATTERN; what it has open by that is closed at once.

    Example: myclerk-agent access revoke @lab 'serial:*'
    """
    with context.store() as store:
        name = _subject(store, subject)
    change(
        context, "ACL_REVOKE", {"subject": name, "pattern": pattern},
        lambda store: store.access.revoke(name, pattern), f"{name} {pattern}",
    )  # fmt: skip


@access.command()
@click.argument("device")
@click.option("--off", is_flag=True, help="It is a hub no longer.")
@click.pass_obj
@sentence_errors
def hub(context: Context, device: str, off: bool) -> None:
    """Let a DEVICE hand on to others what it was given.

    Example: myclerk-agent access hub rack-3
    """
    with context.store() as store:
        name = find_device(store.devices(), device).fingerprint
    change(
        context, "ACL_SET", {"subject": name, "hub": not off},
        lambda store: store.access.set(name, hub=not off), f"{name} hub {'off' if off else 'on'}",
    )  # fmt: skip


@click.group()
def groups() -> None:
    """Show and change which devices are in which group."""


@groups.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
@sentence_errors
def list_groups(context: Context, as_json: bool) -> None:
    """List the groups.

    Example: myclerk-agent groups list
    """
    with context.store() as store:
        found, names = store.access.groups(), _names(store)
    if as_json:
        click.echo(json.dumps(found))
        return
    for group, members in found.items():
        click.echo(f"{group}: {', '.join(names.get(member, member) for member in members)}")


@groups.command()
@click.argument("group")
@click.argument("devices", nargs=-1, required=True)
@click.pass_obj
@sentence_errors
def add(context: Context, group: str, devices: tuple[str, ...]) -> None:
    """Put DEVICES into a GROUP, which begins to exist with the first.

    Example: myclerk-agent groups add @lab "Ann's laptop" rack-3
    """
    _change_group(context, check_group(group), devices, set.union)


@groups.command()
@click.argument("group")
@click.argument("devices", nargs=-1, required=True)
@click.pass_obj
@sentence_errors
def remove(context: Context, group: str, devices: tuple[str, ...]) -> None:
    """Take DEVICES out of a GROUP.

    Example: myclerk-agent groups remove @lab rack-3
    """
    _change_group(context, check_group(group), devices, set.difference)


@click.command()
@click.argument("resource")
@click.option("--no", "setting", flag_value="no", help="Do not share it.")
@click.option("--default", "setting", flag_value="default", help="As [access] shared in the settings has it.")
@click.pass_obj
@sentence_errors
def share(context: Context, resource: str, setting: str | None) -> None:
    """Share a RESOURCE. What is not shared is for administrators, and for devices that a rule names it to.

    Example: myclerk-agent share serial:ttyUSB0 --no
    """
    shared = None if setting == "default" else setting is None
    change(
        context, "DEVICE_CONFIGURE", {"resource": resource, "shared": "default" if shared is None else shared},
        lambda store: store.access.share((resource,), shared),
        f"{resource} {setting or 'yes'}",
    )  # fmt: skip


def _change_group(context: Context, group: str, devices: tuple[str, ...], how: Any) -> None:
    with context.store() as store:
        named = {find_device(store.devices(), device).fingerprint for device in devices}
        members = sorted(how(set(store.access.groups().get(group, ())), named))
    change(
        context, "ACL_SET", {"subject": group, "members": members},
        lambda store: store.access.set(group, members=members), f"{group} {' '.join(members)}",
    )  # fmt: skip


def _subject(store: Store, text: str) -> str:
    return check_group(text) if text.startswith("@") else find_device(store.devices(), text).fingerprint


def _names(store: Store) -> dict[str, str]:
    return {device.fingerprint: device.description or device.fingerprint for device in store.devices()}


def _context_of(rules: AccessRules, names: dict[str, str]) -> list[str]:
    """Groups, hubs and sharing, one line each."""
    lines = [f"{g}: {', '.join(names.get(m, m) for m in members)}" for g, members in rules.members.items()]
    hubs = [names.get(name, name) for name, standing in rules.devices.items() if standing.hub]
    lines += [f"hubs: {', '.join(hubs)}"] if hubs else []
    lines.append(f"shared: {', '.join(rules.sharing.patterns) or 'nothing'}")
    return lines + [f"{name} is {'' if yes else 'not '}shared" for name, yes in rules.sharing.said.items()]


def _by_name(rules: AccessRules, device: str, resource: str) -> dict[str, Any]:
    whole = resource.rpartition("/")[0]
    decision = rules.decide(device, Target((resource,), (whole,) if whole else ()))
    rule: Rule | None = decision.rule
    return {
        "resource": resource,
        "access": int(decision.access),
        "shared": decision.shared,
        "rule": None if rule is None else rule_fields(rule),
        "reason": decision.explain(),
    }


def _hyphens(value: Any) -> Any:
    """Fields by their names on the wire, modes of access by their words."""
    if isinstance(value, dict):
        present = {key: item for key, item in value.items() if item is not None}
        return {
            key.replace("_", "-"): access_name(Access(item)) if key == "access" else _hyphens(item)
            for key, item in present.items()
        }
    return value
