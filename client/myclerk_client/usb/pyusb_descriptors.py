"""Descriptors as pyusb wants them: objects with the field names of the USB specification (2.0, section 9.6)."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from myclerk_protocol.usb_descriptors import CONFIGURATION, ENDPOINT, INTERFACE, split

_DEVICE = struct.Struct("<BBHBBBBHHHBBBB")
_DEVICE_FIELDS = (
    "bLength", "bDescriptorType", "bcdUSB", "bDeviceClass", "bDeviceSubClass", "bDeviceProtocol", "bMaxPacketSize0",
    "idVendor", "idProduct", "bcdDevice", "iManufacturer", "iProduct", "iSerialNumber", "bNumConfigurations",
)  # fmt: skip
_FIELDS: Mapping[int, tuple[struct.Struct, tuple[str, ...]]] = {
    CONFIGURATION: (
        struct.Struct("<BBHBBBBB"),
        (
            "bLength", "bDescriptorType", "wTotalLength", "bNumInterfaces", "bConfigurationValue", "iConfiguration",
            "bmAttributes", "bMaxPower",
        ),
    ),
    INTERFACE: (
        struct.Struct("<9B"),
        (
            "bLength", "bDescriptorType", "bInterfaceNumber", "bAlternateSetting", "bNumEndpoints", "bInterfaceClass",
            "bInterfaceSubClass", "bInterfaceProtocol", "iInterface",
        ),
    ),
    ENDPOINT: (
        struct.Struct("<BBBBHB"),
        ("bLength", "bDescriptorType", "bEndpointAddress", "bmAttributes", "wMaxPacketSize", "bInterval"),
    ),
}  # fmt: skip
_SPEEDS = {1_500_000: 1, 12_000_000: 2, 480_000_000: 3, 5_000_000_000: 4}
"""libusb's numbers (enum libusb_speed); faster ones are "super plus"."""
_SUPER_PLUS = 5


class Descriptor(SimpleNamespace):
    """Fields of a descriptor. ``extra_descriptors`` holds, as bytes, those of classes that follow it."""

    extra_descriptors: array[int]


@dataclass(slots=True)
class Interface:
    """One setting of an interface, with its endpoints."""

    descriptor: Descriptor
    endpoints: list[Descriptor] = field(default_factory=list)


@dataclass(slots=True)
class Configuration:
    """A configuration; ``interfaces`` has a list of settings for each."""

    descriptor: Descriptor
    interfaces: list[list[Interface]] = field(default_factory=list)


def device_descriptor(data: bytes, info: Mapping[str, Any]) -> Descriptor:
    """The descriptor of the device that the board lists as ``info``, with where it is."""
    fields = dict(zip(_DEVICE_FIELDS, _DEVICE.unpack_from(data), strict=True))
    ports = tuple(int(number) for number in info["port"].partition("-")[2].split("."))
    return Descriptor(
        **fields,
        bus=info["bus"],
        address=info["device"],
        port_number=ports[-1],
        port_numbers=ports,
        speed=_SPEEDS.get(info["speed"], _SUPER_PLUS),
    )


def configuration(data: bytes) -> Configuration:
    """A configuration with everything in it. Raises ValueError when ``data`` is none."""
    found: Configuration | None = None
    settings: dict[int, list[Interface]] = {}
    last: Descriptor | None = None
    setting: Interface | None = None
    for kind, descriptor in split(data):
        layout = _FIELDS.get(kind)
        if layout is None or len(descriptor) < layout[0].size:
            if last is not None:
                last.extra_descriptors.extend(descriptor)
            continue
        form, names = layout
        last = Descriptor(
            **dict(zip(names, form.unpack_from(descriptor), strict=True)), extra_descriptors=array("B")
        )
        if kind == CONFIGURATION and found is None:
            found = Configuration(last)
        elif kind == INTERFACE:
            setting = Interface(last)
            settings.setdefault(last.bInterfaceNumber, []).append(setting)
        elif kind == ENDPOINT and setting is not None:
            last.bRefresh, last.bSynchAddress = descriptor[7:9] if len(descriptor) >= 9 else (0, 0)
            setting.endpoints.append(last)
    if found is None:
        raise ValueError("this is no USB configuration descriptor")
    found.interfaces = list(settings.values())
    return found
