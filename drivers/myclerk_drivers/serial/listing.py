"""Which serial ports there are, by what the kernel and udev say: any driver's, under any name."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..base import Resource, resource_part

USB_STRINGS = {"serial": "serial_number", "manufacturer": "manufacturer", "product": "product"}
PORT_UNKNOWN = "0"


def list_ports(
    extra: Mapping[str, str], hidden: Collection[str], in_use: Collection[int], root: str = "/"
) -> list[Resource]:
    """Every port: the kernel's serial ttys that have hardware, then ``extra`` (name -> path) that exist.

    An extra name for a tty that is listed anyway becomes an alias of it; where a tty has the same name, the
    extra port takes its place. ``hidden`` has names without "serial:"; ``in_use`` has device numbers of ports
    that are open. ``root`` is where /sys, /proc and /dev are.
    """
    links = _links(root)
    ports = {}
    for name, number in _serial_ttys(root):
        ports[name] = _kernel_port(root, name, links.get(name, []), number in in_use)
    for name, path in extra.items():
        target = os.path.realpath(path)
        listed = os.path.basename(target)
        if listed in ports and target == os.path.realpath(os.path.join(root, "dev", listed)):
            found = ports[listed]
            aliases = (*found.aliases, f"serial:{resource_part(name)}")
            ports[listed] = Resource(found.name, found.description, aliases, found.parent, found.properties)
            continue
        with suppress(OSError):  # it is not there
            ports[name] = _extra_port(name, path, in_use)
    return [port for port in ports.values() if not _names(port) & {resource_part(name) for name in hidden}]


def list_extra(extra: Mapping[str, str], in_use: Collection[int]) -> list[Resource]:
    """Only these ports (name -> path), whatever the machine has."""
    return [_extra_port(name, path, in_use) for name, path in extra.items()]


def _names(port: Resource) -> set[str]:
    return {name.partition(":")[2] for name in (port.name, *port.aliases)}


def _extra_port(name: str, path: str, in_use: Collection[int]) -> Resource:
    description = f"{name} ({path})"
    properties = {"path": path, "description": description, "in_use": os.stat(path).st_rdev in in_use}
    return Resource(f"serial:{resource_part(name)}", description, properties=properties)


def _serial_ttys(root: str) -> Iterator[tuple[str, int]]:
    """Name and device number of each tty of a serial driver that has hardware and a node in /dev."""
    pattern = _serial_names(root)
    base = os.path.join(root, "sys/class/tty")
    for name in sorted(os.listdir(base) if os.path.isdir(base) else [], key=_natural):
        # PORT_UNKNOWN is a slot of the 8250 driver without a UART
        if not pattern.fullmatch(name) or _text(base, name, "type") == PORT_UNKNOWN:
            continue
        with suppress(OSError):
            yield name, os.stat(os.path.join(root, "dev", name)).st_rdev


def _serial_names(root: str) -> re.Pattern[str]:
    """The names of ttys whose driver is of type "serial", by /proc/tty/drivers (proc_tty(5))."""
    prefixes = []
    with suppress(OSError), open(os.path.join(root, "proc/tty/drivers")) as drivers:
        for row in drivers:
            fields = row.split()
            if len(fields) >= 5 and fields[-1] == "serial":
                prefixes.append(re.escape(fields[-4].removeprefix("/dev/")))
    return re.compile(rf"(?:{'|'.join(prefixes)})\d+" if prefixes else "(?!)")


def _links(root: str) -> dict[str, list[tuple[str, str]]]:
    """tty name -> (kind of link, path): udev's by-id and by-path, then links in /dev (/dev/serial0)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for kind, directory in (("by_id", "dev/serial/by-id"), ("by_path", "dev/serial/by-path"), ("", "dev")):
        path = os.path.join(root, directory)
        if not os.path.isdir(path):
            continue
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if entry.is_symlink():
                target = os.path.basename(os.path.realpath(entry.path))
                found.setdefault(target, []).append((kind, "/" + os.path.relpath(entry.path, root)))
    return found


def _kernel_port(root: str, name: str, links: list[tuple[str, str]], in_use: bool) -> Resource:
    device = Path(os.path.realpath(os.path.join(root, "sys/class/tty", name, "device")))
    properties: dict[str, Any] = {"path": f"/dev/{name}", "in_use": in_use}
    usb = next((d for d in (device, *device.parents) if (d / "idVendor").is_file()), None)
    if usb is not None:
        properties.update(_usb_properties(usb, device))
    properties["description"] = _description(name, device, properties)
    for kind, path in reversed(links):
        if kind:
            properties[kind] = path
    aliases = dict.fromkeys(f"serial:{resource_part(os.path.basename(path))}" for _, path in links)
    return Resource(
        f"serial:{resource_part(name)}",
        properties["description"],
        tuple(aliases),
        f"usb:{resource_part(usb.name)}" if usb is not None else None,
        properties,
    )


def _usb_properties(usb: Path, device: Path) -> dict[str, Any]:
    """What the USB device says of itself; ``location`` names the interface where it has several."""
    properties: dict[str, Any] = {"location": usb.name}
    for key, file in (("vendor_id", "idVendor"), ("product_id", "idProduct")):
        try:
            properties[key] = int(_text(usb, file), 16)
        except ValueError:
            continue
    for file, key in USB_STRINGS.items():
        if text := _text(usb, file):
            properties[key] = text
    interface = next((d for d in (device, *device.parents) if d.parent == usb), None)
    if interface is not None and _text(usb, "bNumInterfaces") not in ("", "1"):
        properties["location"] = interface.name
    return properties


def _description(name: str, device: Path, properties: Mapping[str, Any]) -> str:
    if product := properties.get("product"):
        return f"{product} ({name})"
    for directory in (device, *device.parents):
        bus = os.path.basename(os.path.realpath(directory / "subsystem"))
        driver = directory / "driver"
        if driver.exists() and bus != "serial-base":  # the serial core's own devices say nothing
            return f"{os.path.basename(os.path.realpath(driver))} {directory.name} ({name})"
    return name


def _text(*path: str | Path) -> str:
    """The text of a small file without what cannot be printed (USB devices choose it), or ""."""
    try:
        with open(os.path.join(*path), encoding="utf-8", errors="replace") as file:
            return "".join(c for c in file.read() if c.isprintable()).strip()
    except OSError:
        return ""


def _natural(name: str) -> tuple[str, int, str]:
    """ttyS2 before ttyS10."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or -1), name
