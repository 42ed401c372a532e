"""A device with isochronous endpoints: a counter to the host, a byte count of what came back."""

from __future__ import annotations

import struct

from .descriptors import IN, Transfer, configuration, device_descriptor, endpoint, interface
from .device import Device, Setup, Stall

RECEIVED, MISSING = 1, 2
"""Vendor requests: bytes received so far; how many packets to leave empty, every ``value``-th one."""
SOURCE, SINK = 1, 2
PACKET = 192


class Isochronous(Device):
    """Alternate setting 1 has an IN endpoint 0x81 and an OUT endpoint 0x02 of 192 bytes a frame.

    Each IN packet is filled with the lowest byte of its number since the setting was chosen.
    """

    device = device_descriptor(0x1D6B, 0x1501)
    configuration = configuration(
        interface(0, 0),
        interface(0, 2, alternate=1),
        endpoint(SOURCE | IN, Transfer.ISOCHRONOUS, PACKET),
        endpoint(SINK, Transfer.ISOCHRONOUS, PACKET),
    )
    strings = ("Board", "isochronous", "ISO1")

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.received = 0
        self._missing = 0

    def plugged_in(self) -> None:
        super().plugged_in()
        self.sent = self.received = self._missing = 0

    def interface_set(self, number: int, alternate: int) -> None:
        self.sent = self.received = 0

    def isochronous_in(self, endpoint: int, size: int) -> bytes:
        packet = self.sent
        self.sent += 1
        if self._missing and packet % self._missing == self._missing - 1:
            return b""
        return bytes([packet & 0xFF]) * size

    def isochronous_out(self, endpoint: int, data: bytes) -> None:
        self.received += len(data)

    def control(self, setup: Setup, data: bytes) -> bytes:
        if setup.request == RECEIVED and setup.request_type & IN:
            return struct.pack("<I", self.received)
        if setup.request == MISSING:
            self._missing = setup.value
            return b""
        raise Stall
