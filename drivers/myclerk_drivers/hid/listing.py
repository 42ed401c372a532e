"""Which input devices there are, by what the kernel and udev say. Nothing is opened for it."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..base import Resource, resource_part

BUSES = {
    0x01: "pci", 0x03: "usb", 0x05: "bluetooth", 0x06: "virtual", 0x10: "isa", 0x11: "i8042", 0x18: "i2c",
    0x19: "host", 0x1C: "spi", 0x1D: "rmi", 0x1E: "cec",
}  # fmt: skip
"""Bus types of linux/input.h."""
WORD = struct.calcsize("@l") * 8

ESCAPE_TO_S = frozenset(range(1, 32))  # the keys by which udev, too, knows a keyboard
MOUSE, TOUCH, FINGER = 0x110, 0x14A, 0x145  # BTN_LEFT, BTN_TOUCH, BTN_TOOL_FINGER
JOYSTICK = range(0x120, 0x140)
X_AND_Y = frozenset({0, 1})
DIRECT = 1


def list_devices(root: str = "/") -> list[Resource]:
    """Every event device with a node in /dev. ``root`` is where /sys and /dev are."""
    base = os.path.join(root, "sys/class/input")
    names = [name for name in os.listdir(base) if name.startswith("event")] if os.path.isdir(base) else []
    links = _links(root)
    return [
        _device(root, name, links.get(name, []))
        for name in sorted(names, key=lambda name: (len(name), name))
        if os.path.exists(os.path.join(root, "dev/input", name))
    ]


def kinds(capabilities: Mapping[str, Collection[int]], properties: Collection[int]) -> list[str]:
    """What a device is, by what it can report: keyboard, mouse, touchscreen, touchpad, joystick, keys, switches.

    ``capabilities`` has codes by the names of the kernel: key, rel, abs, sw.
    """
    keys, axes = set(capabilities.get("key", ())), set(capabilities.get("abs", ()))
    touch = axes >= X_AND_Y and bool(keys & {TOUCH, FINGER})
    is_kind = {
        "keyboard": keys >= ESCAPE_TO_S,
        "mouse": MOUSE in keys and set(capabilities.get("rel", ())) >= X_AND_Y,
        "touchscreen": touch and DIRECT in properties,
        "touchpad": touch and DIRECT not in properties and FINGER in keys,
        "joystick": bool(keys.intersection(JOYSTICK)) and axes >= X_AND_Y,
        "switches": bool(capabilities.get("sw")),
    }
    return [kind for kind, fits in is_kind.items() if fits] or (["keys"] if keys else [])


def _device(root: str, name: str, links: list[tuple[str, str]]) -> Resource:
    device = Path(os.path.realpath(os.path.join(root, "sys/class/input", name, "device")))
    bus, vendor, product, version = (
        _number(device / "id" / part) for part in ("bustype", "vendor", "product", "version")
    )
    capabilities = {
        kind: _bits(_text(device / "capabilities" / kind)) for kind in ("key", "rel", "abs", "sw")
    }
    title = _text(device / "name") or name
    properties: dict[str, Any] = {
        "path": f"/dev/input/{name}",
        "description": f"{title} ({name})",
        "kinds": kinds(capabilities, _bits(_text(device / "properties"))),
        "bus": BUSES.get(bus, f"0x{bus:02x}"),
        "vendor_id": vendor,
        "product_id": product,
        "version": version,
        "phys": _text(device / "phys") or None,
        "serial_number": _text(device / "uniq") or None,
    }
    for kind, path in reversed(links):
        properties[kind] = path
    usb = next((d for d in (device, *device.parents) if (d / "idVendor").is_file()), None)
    return Resource(
        f"hid:{resource_part(name)}",
        f"{title} ({name})",
        tuple(dict.fromkeys(f"hid:{resource_part(os.path.basename(path))}" for _, path in links)),
        f"usb:{resource_part(usb.name)}" if usb is not None else None,
        properties,
    )


def _links(root: str) -> dict[str, list[tuple[str, str]]]:
    """Name of an event device -> (kind of link, path): udev's by-id and by-path."""
    found: dict[str, list[tuple[str, str]]] = {}
    for kind, directory in (("by_id", "dev/input/by-id"), ("by_path", "dev/input/by-path")):
        path = os.path.join(root, directory)
        if os.path.isdir(path):
            for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
                target = os.path.basename(os.path.realpath(entry.path))
                found.setdefault(target, []).append((kind, "/" + os.path.relpath(entry.path, root)))
    return found


def _bits(text: str) -> set[int]:
    """The numbers in a bit mask of /sys: hexadecimal words of a native long each, the highest first."""
    number = 0
    for word in text.split():
        try:
            number = number << WORD | int(word, 16)
        except ValueError:
            return set()
    return {bit for bit in range(number.bit_length()) if number >> bit & 1}


def _number(path: Path) -> int:
    try:
        return int(_text(path), 16)
    except ValueError:
        return 0


def _text(path: Path) -> str:
    """The text of a small file without what cannot be printed (devices choose it), or ""."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "".join(c for c in text if c.isprintable()).strip()
