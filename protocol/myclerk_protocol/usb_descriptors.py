"""USB descriptors (Universal Serial Bus Specification 2.0, section 9.6; 3.2, section 9.6): bytes in, structure out.

What a device sends is taken as it comes: a descriptor that is cut off, or says it is shorter than its kind must be, is
passed over, as the kernel does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

DEVICE, CONFIGURATION, STRING, INTERFACE, ENDPOINT = 1, 2, 3, 4, 5
"""Types of descriptors."""
HUB_CLASS = 9
IN = 0x80
"""The bit of an endpoint's address, and of a request type, that says: to the host."""
TRANSFER_TYPES = ("control", "isochronous", "bulk", "interrupt")

_DEVICE = struct.Struct("<2xH4B3H4B")
_CONFIGURATION = struct.Struct("<2xH5B")
_INTERFACE = struct.Struct("<2x7B")
_ENDPOINT = struct.Struct("<2x2BHB")
_SUPER_SPEED = 0x0300
"""From this version of USB on a configuration's bMaxPower counts 8 mA, not 2."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as one setting of an interface has it; ``packet_field`` is wMaxPacketSize."""

    address: int
    attributes: int
    packet_field: int
    interval: int

    @property
    def is_in(self) -> bool:
        """Whether it sends to the host."""
        return bool(self.address & IN)

    @property
    def type(self) -> str:
        """One of :data:`TRANSFER_TYPES`."""
        return TRANSFER_TYPES[self.attributes & 3]

    @property
    def max_packet_size(self) -> int:
        """Bytes of one packet; a high-speed endpoint may have up to three of them in a microframe."""
        return self.packet_field & 0x7FF


@dataclass(frozen=True, slots=True)
class Interface:
    """One setting of an interface. ``kind`` is bInterfaceClass, ``label`` the index of its string or 0."""

    number: int
    alternate: int
    kind: int
    subclass: int
    protocol: int
    label: int
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration with all settings of all its interfaces, in the device's order. ``power`` is bMaxPower."""

    value: int
    attributes: int
    power: int
    settings: tuple[Interface, ...] = ()

    def setting(self, number: int, alternate: int = 0) -> Interface | None:
        """A setting of an interface, or None."""
        return next((s for s in self.settings if (s.number, s.alternate) == (number, alternate)), None)

    @property
    def interfaces(self) -> tuple[int, ...]:
        """The numbers of its interfaces."""
        return tuple(dict.fromkeys(setting.number for setting in self.settings))


@dataclass(frozen=True, slots=True)
class Device:
    """A device's own descriptor, and its configurations. ``kind`` is bDeviceClass."""

    usb_version: int
    kind: int
    subclass: int
    protocol: int
    vendor_id: int
    product_id: int
    release: int
    configurations_count: int
    configurations: tuple[Configuration, ...] = field(default=())

    def configuration(self, value: int) -> Configuration | None:
        """The configuration of that bConfigurationValue, or None."""
        return next((c for c in self.configurations if c.value == value), None)

    def max_power(self, configuration: Configuration) -> int:
        """What the device draws at most in this configuration, mA."""
        return configuration.power * (8 if self.usb_version >= _SUPER_SPEED else 2)


def parse(data: bytes) -> Device:
    """A device descriptor with all configurations behind it, as sysfs ``descriptors`` and USB_DEVICE_ATTACH have them.

    Raises ValueError when there is no device descriptor.
    """
    if len(data) < 18 or data[0] < 18 or data[1] != DEVICE:
        raise ValueError("this is no USB device descriptor")
    version, kind, subclass, protocol, _, vendor, product, release, *_, count = _DEVICE.unpack_from(data)
    configurations = tuple(parse_configurations(data[data[0] :]))
    return Device(version, kind, subclass, protocol, vendor, product, release, count, configurations)


def parse_configurations(data: bytes) -> Iterator[Configuration]:
    """Configurations that stand one behind the other, each with the descriptors that belong to it."""
    position = 0
    while position + 9 <= len(data) and data[position + 1] == CONFIGURATION:
        total, _, value, _, attributes, power = _CONFIGURATION.unpack_from(data, position)
        whole = data[position : position + max(total, 9)]
        yield Configuration(value, attributes, power, tuple(_settings(whole)))
        position += len(whole)


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, descriptor) of each descriptor in a row, until one is cut off."""
    position = 0
    while position + 2 <= len(data):
        length = data[position]
        if length < 2 or position + length > len(data):
            return
        yield data[position + 1], data[position : position + length]
        position += length


def string_text(descriptor: bytes) -> str:
    """What a string descriptor says."""
    return descriptor[2 : descriptor[0] & ~1 if descriptor else 0].decode("utf-16-le", "replace")


def _settings(data: bytes) -> Iterator[Interface]:
    head: tuple[int, ...] | None = None
    endpoints: list[Endpoint] = []
    for kind, descriptor in split(data):
        if kind == INTERFACE and len(descriptor) >= 9:
            if head is not None:
                yield _interface(head, endpoints)
            head, endpoints = _INTERFACE.unpack_from(descriptor), []
        elif kind == ENDPOINT and len(descriptor) >= 7 and head is not None:
            endpoints.append(Endpoint(*_ENDPOINT.unpack_from(descriptor)))
    if head is not None:
        yield _interface(head, endpoints)


def _interface(head: tuple[int, ...], endpoints: list[Endpoint]) -> Interface:
    number, alternate, _, kind, subclass, protocol, label = head
    return Interface(number, alternate, kind, subclass, protocol, label, tuple(endpoints))
