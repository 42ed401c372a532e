"""What a request says of its lines, checked and made complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from myclerk_protocol.schema.names import wire_name
from myclerk_protocol.status import BadRequest

from .backend import LineSettings

MOST_DEBOUNCE = 4294.0
"""Seconds: the kernel has 32 bits of microseconds."""

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "direction": ("input", "output", "as-is"),
    "value": (False, True),
    "active_low": (False, True),
    "bias": ("as-is", "disabled", "pull-up", "pull-down"),
    "drive": ("push-pull", "open-drain", "open-source"),
    "event_clock": ("monotonic", "realtime", "hte"),
    "on_release": ("input", "hold", "low", "high"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a line is requested and how it is left: "input", "hold", "low", "high", None = let the kernel's driver."""

    settings: LineSettings
    on_release: str | None

    @property
    def left_as(self) -> LineSettings | None:
        """The settings with which the line is left; None when nothing is to be done."""
        settings = self.settings
        if self.on_release == "input":
            return replace(settings, direction="input", drive="push-pull", edges=None)
        if self.on_release in ("low", "high"):
            value = (self.on_release == "high") is not settings.active_low
            return LineSettings("output", value, settings.active_low, settings.bias, settings.drive)
        return None

    @property
    def keeps_level(self) -> bool:
        """Whether the line has to stay requested after the release, so that it keeps its level."""
        holds = self.on_release == "hold" and self.settings.direction != "input"
        return holds or self.on_release in ("low", "high")


def wanted(given: Mapping[str, Any]) -> Wanted:
    """A line's settings from a request. Raises BadRequest, its ``key`` naming the one that makes no sense."""
    for name, value in given.items():
        _check(name, value)
    direction = given.get("direction", "input")
    output = direction == "output"
    for name, needs in (("value", "output"), ("drive", "output"), ("debounce", "input")):
        if given.get(name) and given[name] != "push-pull" and direction != needs:
            key = wire_name(name)
            raise BadRequest(f"`{key}` needs direction {needs}", key=key)
    if direction == "as-is" and given.get("bias", "as-is") != "as-is":
        raise BadRequest("`bias` needs a direction, input or output", key="bias")
    settings = LineSettings(**{name: value for name, value in given.items() if name != "on_release"})
    return Wanted(settings, given.get("on_release", "input" if output else None))


def _check(name: str, value: Any) -> None:
    key = wire_name(name)
    if name == "debounce":
        if not 0 <= value <= MOST_DEBOUNCE:
            raise BadRequest(f"`debounce` must lie between 0 and {MOST_DEBOUNCE:g} seconds", key=key)
    elif name not in _CHOICES:
        raise BadRequest(f"`{key}` is no setting of a line", key=key)
    elif value not in _CHOICES[name]:
        raise BadRequest(f"`{key}` must be one of: {', '.join(map(str, _CHOICES[name]))}", key=key)
