"""USB descriptors (USB 2.0 specification, chapter 9.6) as bytes."""

from __future__ import annotations

import struct
from enum import IntEnum

IN = 0x80
"""Direction bit of an endpoint address."""

VENDOR_CLASS = 0xFF


class Transfer(IntEnum):
    """Kinds of endpoints."""

    CONTROL, ISOCHRONOUS, BULK, INTERRUPT = range(4)


def device_descriptor(
    vendor: int,
    product: int,
    *,
    release: int = 0x0100,
    device_class: int = 0,
    max_packet: int = 64,
    usb: int = 0x0200,
) -> bytes:
    """A device with one configuration and three strings: manufacturer, product, serial number."""
    return struct.pack(
        "<BBHBBBBHHHBBBB", 18, 1, usb, device_class, 0, 0, max_packet, vendor, product, release, 1, 2, 3, 1
    )


def configuration(*parts: bytes, milliamperes: int = 100) -> bytes:
    """The one configuration: interfaces, each followed by its endpoints."""
    body = b"".join(parts)
    interfaces = len({part[2] for part in parts if part[1] == 4})
    return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), interfaces, 1, 0, 0x80, milliamperes // 2) + body


def interface(
    number: int,
    endpoints: int,
    *,
    alternate: int = 0,
    interface_class: int = VENDOR_CLASS,
    subclass: int = 0,
    protocol: int = 0,
) -> bytes:
    """An interface, or another setting of it, with so many endpoints."""
    return bytes([9, 4, number, alternate, endpoints, interface_class, subclass, protocol, 0])


def endpoint(address: int, kind: Transfer, max_packet: int, interval: int = 1) -> bytes:
    """An endpoint; ``interval`` is in frames."""
    return struct.pack("<BBBBHB", 7, 5, address, kind, max_packet, interval)


def string_descriptor(text: str) -> bytes:
    """A string in UTF-16."""
    data = text.encode("utf-16-le")
    return bytes([2 + len(data), 3]) + data


LANGUAGES = bytes([4, 3, 0x09, 0x04])
"""String descriptor 0: US English."""
