"""What a request is about, in one line, for errors and the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myclerk_drivers.base import Access, Resource

from .access import access_name

NAMES = ("client", "subject", "token", "session_id", "route", "resource", "pattern")
SETTINGS = ("access", "hub", "approve", "shared", "priority", "rules", "members", "devices", "resources")
"""Fields of the agent's own operations that say what is done to what; none of them is data."""


def about(resource: Resource | None, fields: Mapping[str, Any]) -> str:
    """A resource's name, or what an operation of the agent itself names: a device, a rule, a session, ..."""
    if resource is not None:
        return resource.name
    named = [str(fields[key]) for key in NAMES if fields.get(key) is not None]
    settings = [f"{key}={_shown(key, fields[key])}" for key in SETTINGS if fields.get(key) is not None]
    return " ".join((*named, *settings))


def _shown(key: str, value: Any) -> str:
    if key == "access":
        return access_name(Access(value))
    if isinstance(value, Mapping):
        return ":".join(_shown(*item) for item in value.items())
    return ",".join(_shown("", each) for each in value) if isinstance(value, list) else str(value)
