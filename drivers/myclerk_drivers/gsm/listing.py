"""Which modems there are: USB devices of known makers, and the ttys that the settings name."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..base import Resource, resource_part
from ..serial.listing import list_ports
from .dialects import INTERFACES


@dataclass(frozen=True, slots=True)
class Found:
    """A modem that is plugged in. ``key`` stays the same when it is plugged in again; ``ports`` has the best first."""

    key: str
    resource: Resource
    ports: tuple[str, ...]


def find_modems(
    named: Mapping[str, Sequence[str]], in_use: Collection[str], only_named: bool = False
) -> list[Found]:
    """All modems. ``named``: name -> paths of the ttys to try; ``in_use`` has keys of those whose tty is open."""
    found = [_named(name, paths, in_use) for name, paths in named.items() if any(map(os.path.exists, paths))]
    if only_named:
        return found
    taken = {os.path.realpath(path) for paths in named.values() for path in paths}
    groups: dict[str, list[Resource]] = {}
    for port in list_ports({}, (), ()):
        known = port.properties.get("vendor_id") in INTERFACES
        if known and port.parent is not None and os.path.realpath(port.properties["path"]) not in taken:
            groups.setdefault(port.parent, []).append(port)
    return [*found, *(_on_usb(parent, ports, in_use) for parent, ports in groups.items())]


def _named(name: str, paths: Sequence[str], in_use: Collection[str]) -> Found:
    key = f"port:{name}"
    first = next(path for path in paths if os.path.exists(path))
    properties = {"path": first, "paths": list(paths), "in_use": key in in_use}
    part = resource_part(os.path.basename(os.path.realpath(first)))
    is_terminal = part.startswith("tty")
    resource = Resource(
        f"gsm:{resource_part(name)}",
        f"modem {name} ({first})",
        parent=f"serial:{part}" if is_terminal else None,
        properties=properties,
    )
    return Found(key, resource, tuple(paths))


def _on_usb(parent: str, ports: list[Resource], in_use: Collection[str]) -> Found:
    """One USB device with its ttys: named by the one that takes commands."""
    order = INTERFACES[ports[0].properties["vendor_id"]]

    def rank(port: Resource) -> tuple[int, int]:
        number = _interface(port)
        return (order.index(number) if number in order else len(order), number)

    ports = sorted(ports, key=rank)
    best = ports[0]
    shown = {k: best.properties[k] for k in ("vendor_id", "product_id", "manufacturer", "product", "serial_number")
             if k in best.properties}  # fmt: skip
    paths = [port.properties["path"] for port in ports]
    properties: dict[str, Any] = {"path": paths[0], "paths": paths, "in_use": parent in in_use, **shown}
    name = best.name.partition(":")[2]
    aliases = tuple(f"gsm:{alias.partition(':')[2]}" for alias in best.aliases)
    description = f"{best.properties.get('product') or 'modem'} ({os.path.basename(paths[0])})"
    resource = Resource(f"gsm:{name}", description, aliases, best.name, properties)
    return Found(parent, resource, tuple(paths))


def _interface(port: Resource) -> int:
    """The USB interface that a tty belongs to: 2 in "1-1.4:1.2"."""
    tail = str(port.properties.get("location", "")).rpartition(".")[2]
    return int(tail) if tail.isdigit() and ":" in str(port.properties.get("location", "")) else 0
