"""What USB descriptors say, in words: the names of device classes (usb.org, Defined Class Codes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myclerk_protocol.usb_descriptors import (
    HUB_CLASS,
    IN,
    TRANSFER_TYPES,
    Configuration,
    Device,
    Endpoint,
    Interface,
    parse,
    split,
    string_text,
)

CLASSES = {
    0x01: "audio",
    0x02: "communication",
    0x03: "HID",
    0x05: "physical",
    0x06: "image",
    0x07: "printer",
    0x08: "storage",
    0x09: "hub",
    0x0A: "data",
    0x0B: "smart card",
    0x0D: "content security",
    0x0E: "video",
    0x0F: "health care",
    0x10: "audio/video",
    0x11: "billboard",
    0xDC: "diagnostic",
    0xE0: "wireless",
    0xEF: "miscellaneous",
    0xFE: "application",
    0xFF: "vendor",
}


def class_name(number: int) -> str:
    """The name of a class code, or the code itself: "0x42"."""
    return CLASSES.get(number, f"0x{number:02x}")


def classes_of(device: Mapping[str, Any]) -> list[str]:
    """What a device of USB_DEVICE_LIST is, each class once: those of its interfaces, else its own."""
    numbers = [interface["class"] for interface in device["interfaces"]] or [device["class"]]
    return list(dict.fromkeys(map(class_name, numbers)))


__all__ = [
    "HUB_CLASS",
    "IN",
    "TRANSFER_TYPES",
    "Configuration",
    "Device",
    "Endpoint",
    "Interface",
    "class_name",
    "classes_of",
    "parse",
    "split",
    "string_text",
]
