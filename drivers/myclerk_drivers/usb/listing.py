"""Which USB devices there are, and what they are, by sysfs (Documentation/ABI/testing/sysfs-bus-usb).

Nothing here waits for a device. Only the attributes with its strings take the kernel's lock on it, which a driver may
hold for seconds while it binds: these are read once, on a thread.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from myclerk_protocol.usb_descriptors import HUB_CLASS, Configuration, Device, Interface, parse

from ..base import Resource, resource_part

DEVICES = "sys/bus/usb/devices"
NAME = re.compile(r"\d+-\d+(?:\.\d+)*")
"""A device by its place: bus, then ports. Root hubs are called otherwise."""
STRINGS = ("manufacturer", "product", "serial")
PATIENCE = 0.05
"""Seconds to wait for a device's strings; they are listed when they are there."""


@dataclass(slots=True)
class UsbDevice:
    """What does not change while a device is plugged in. ``path`` is in sysfs, ``speed`` in bits per second."""

    name: str
    path: str
    bus: int
    number: int
    speed: int
    raw: bytes
    descriptors: Device
    strings: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def resource_name(self) -> str:
        """``usb:1-1.4``."""
        return f"usb:{self.name}"

    @property
    def node(self) -> str:
        """Where usbfs has it, ``/dev/bus/usb/001/004``."""
        return f"/dev/bus/usb/{self.bus:03}/{self.number:03}"

    @property
    def is_hub(self) -> bool:
        """Whether it is a hub."""
        return self.descriptors.kind == HUB_CLASS

    @property
    def identity(self) -> str:
        """``0403:6001``."""
        return f"{self.descriptors.vendor_id:04x}:{self.descriptors.product_id:04x}"

    @property
    def parent(self) -> str | None:
        """The resource of the hub that it is plugged into, if that is no root hub."""
        hub = self.name.rpartition(".")[0]
        return f"usb:{hub}" if hub else None

    @property
    def description(self) -> str:
        """By its strings, or its ID."""
        named = " ".join(self.strings[key] for key in ("manufacturer", "product") if key in self.strings)
        return named or self.identity


@dataclass(frozen=True, slots=True)
class State:
    """What may change: the configuration in force (None: none is), the settings and drivers of its interfaces."""

    configuration: int | None
    alternates: Mapping[int, int]
    drivers: Mapping[int, str]


class Listing:
    """The devices below ``root``. Thread-safe."""

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._known: dict[str, tuple[int, UsbDevice]] = {}

    def devices(self) -> list[UsbDevice]:
        """All devices but root hubs, in the order of their places."""
        try:
            names = [name for name in os.listdir(self._path()) if NAME.fullmatch(name)]
        except FileNotFoundError:
            names = []
        for gone in self._known.keys() - set(names):
            self._known.pop(gone, None)
        found = (self.device(name) for name in sorted(names, key=_natural))
        return [device for device in found if device is not None]

    def device(self, name: str) -> UsbDevice | None:
        """The device at that place, or None."""
        if not NAME.fullmatch(name):
            return None
        try:
            inode = os.stat(self._path(name)).st_ino  # another one whenever something was plugged in
            known = self._known.get(name)
            if known is None or known[0] != inode:
                known = self._known[name] = inode, self._read(name)
            return known[1]
        except (OSError, ValueError):  # it left, or is only just coming
            self._known.pop(name, None)
            return None

    def state(self, device: UsbDevice) -> State:
        """How a device stands now."""
        configuration, alternates, drivers = None, {}, {}
        for number, directory in self._interfaces(device):
            configuration = int(directory.rpartition(":")[2].partition(".")[0])
            alternates[number] = int(_text(directory, "bAlternateSetting") or "0")
            try:
                drivers[number] = os.path.basename(os.readlink(os.path.join(directory, "driver")))
            except OSError:
                continue
        return State(configuration, alternates, drivers)

    def describe(self, device: UsbDevice) -> dict[str, Any]:
        """The fields of ``usb-device`` as far as sysfs knows them."""
        descriptors, state = device.descriptors, self.state(device)
        fields: dict[str, Any] = {
            "bus": device.bus,
            "device": device.number,
            "port": device.name,
            "vendor_id": descriptors.vendor_id,
            "product_id": descriptors.product_id,
            "device_release": descriptors.release,
            "usb_version": descriptors.usb_version,
            "class": descriptors.kind,
            "subclass": descriptors.subclass,
            "protocol": descriptors.protocol,
            "speed": device.speed,
            **device.strings,
            "configurations": descriptors.configurations_count,
            "interfaces": [],
        }
        if state.configuration is not None:
            fields["configuration"] = state.configuration
            configuration = descriptors.configuration(state.configuration)
            if configuration is not None:
                fields["max_power"] = descriptors.max_power(configuration)
                fields["interfaces"] = list(self._describe_interfaces(device, configuration, state))
        return fields

    def resources(self) -> list[Resource]:
        """All devices, each with its place as name and its IDs as further ones."""
        devices = self.devices()
        identities = Counter(device.identity for device in devices)
        return [self._resource(device, identities[device.identity] == 1) for device in devices]

    def called(self, name: str) -> list[UsbDevice]:
        """The devices that have a name which is not their place: ID, or ID and serial number."""
        return [device for device in self.devices() if name in _aliases(device, unique=True)]

    def resource(self, device: UsbDevice) -> Resource:
        """One of them."""
        same = [other for other in self.devices() if other.identity == device.identity]
        return self._resource(device, len(same) == 1)

    def _resource(self, device: UsbDevice, unique: bool) -> Resource:
        aliases = tuple(_aliases(device, unique))
        properties = self.describe(device)
        return Resource(device.resource_name, device.description, aliases, device.parent, properties)

    def _describe_interfaces(
        self, device: UsbDevice, configuration: Configuration, state: State
    ) -> Iterator[dict[str, Any]]:
        for number, alternate in sorted(state.alternates.items()):
            setting = configuration.setting(number, alternate)
            if setting is None:
                continue
            fields: dict[str, Any] = {
                "number": number,
                "alternate": alternate,
                "class": setting.kind,
                "subclass": setting.subclass,
                "protocol": setting.protocol,
                "endpoints": [
                    {
                        "address": endpoint.address,
                        "type": endpoint.type,
                        "max_packet_size": endpoint.max_packet_size,
                        "interval": endpoint.interval,
                    }
                    for endpoint in setting.endpoints
                ],
            }
            if number in state.drivers:
                fields["driver"] = state.drivers[number]
            if label := self._label(device, configuration.value, setting):
                fields["description"] = label
            yield fields

    @staticmethod
    def _label(device: UsbDevice, configuration: int, setting: Interface) -> str:
        """The string that a device has for a setting, read once."""
        if not setting.label:
            return ""
        key = f"{configuration}.{setting.number}.{setting.alternate}"
        if key not in device.labels:
            directory = f"{device.name}:{configuration}.{setting.number}"
            device.labels[key] = _text(device.path, directory, "interface")
        return device.labels[key]

    def _read(self, name: str) -> UsbDevice:
        directory = os.path.realpath(self._path(name))
        with open(os.path.join(directory, "descriptors"), "rb") as file:
            raw = file.read()
        device = UsbDevice(
            name,
            directory,
            int(_text(directory, "busnum")),
            int(_text(directory, "devnum")),
            round(float(_text(directory, "speed")) * 1_000_000),
            raw,
            parse(raw),
        )
        self._read_strings(device)
        return device

    def _read_strings(self, device: UsbDevice) -> None:
        def read() -> None:
            for name in STRINGS:
                if text := _text(device.path, name):
                    device.strings[name] = text

        reader = threading.Thread(target=read, name="myclerk usb strings", daemon=True)
        reader.start()
        reader.join(PATIENCE)

    def _interfaces(self, device: UsbDevice) -> Iterator[tuple[int, str]]:
        """Number and directory of each interface of the configuration in force."""
        try:
            entries = os.listdir(device.path)
        except OSError:
            return
        for entry in entries:
            if entry.startswith(f"{device.name}:"):
                yield int(entry.rpartition(".")[2]), os.path.join(device.path, entry)

    def _path(self, *parts: str) -> str:
        return os.path.join(self._root, DEVICES, *parts)


def _aliases(device: UsbDevice, unique: bool) -> Iterator[str]:
    if serial := device.strings.get("serial"):
        yield f"usb:{device.identity}:{resource_part(serial)}"
    if unique:
        yield f"usb:{device.identity}"


def _text(*path: str) -> str:
    """The text of an attribute without what cannot be printed (devices choose it), or ""."""
    try:
        with open(os.path.join(*path), encoding="utf-8", errors="replace") as file:
            return "".join(c for c in file.read() if c.isprintable()).strip()
    except OSError:
        return ""


def _natural(name: str) -> list[int]:
    """1-1.2 before 1-1.10."""
    return [int(part) for part in re.split(r"[-.]", name)]
