"""A modem or terminal at a CDC-ACM port (USB class definition for PSTN devices, revision 1.2)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from .descriptors import IN, Transfer, configuration, device_descriptor, endpoint, interface
from .device import Device, Setup, Stall

SET_LINE_CODING, GET_LINE_CODING, SET_CONTROL_LINE_STATE, SEND_BREAK = 0x20, 0x21, 0x22, 0x23
SERIAL_STATE = bytes([0xA1, 0x20, 0, 0, 0, 0, 2, 0])
DCD, DSR, BREAK, RING, FRAMING, PARITY, OVERRUN = (1 << bit for bit in range(7))
"""Bits of a SERIAL_STATE notification; from BREAK on, except RING, they report an event, not a level."""
EVENTS = {"break": BREAK, "framing": FRAMING, "parity": PARITY, "overrun": OVERRUN}
PARITIES = ("none", "odd", "even", "mark", "space")
STOP_BITS = (1, 1.5, 2)
BREAK_UNTIL_TOLD = 0xFFFF

DATA_IN, DATA_OUT, NOTIFICATION = 1, 2, 3


class Modem(Device):
    """The far end of a serial port: it hears everything and says what the bench tells it to."""

    device = device_descriptor(0x1D6B, 0x5AC1, device_class=2)
    configuration = configuration(
        interface(0, 1, interface_class=2, subclass=2, protocol=1),
        bytes([5, 36, 0, 0x10, 1]),  # CDC 1.1
        bytes([5, 36, 1, 0, 1]),  # no call management
        bytes([4, 36, 2, 6]),  # line coding, control lines and breaks
        bytes([5, 36, 6, 0, 1]),  # interface 1 carries the data
        endpoint(NOTIFICATION | IN, Transfer.INTERRUPT, 16, 8),
        interface(1, 2, interface_class=10),
        endpoint(DATA_IN | IN, Transfer.BULK, 64),
        endpoint(DATA_OUT, Transfer.BULK, 64),
    )
    strings = ("Board", "modem", "MODEM1")

    def __init__(self) -> None:
        super().__init__()
        self.received = bytearray()
        self.listener: Callable[[bytes], None] | None = None
        """Takes what is sent here, in place of ``received``."""
        self.dtr = self.rts = False
        self.breaks = 0
        self._coding = struct.pack("<IBBB", 9600, 0, 0, 8)
        self._levels = 0
        self._notifications: list[bytes] = []
        self._sending = bytearray()

    def plugged_in(self) -> None:
        super().plugged_in()
        self.dtr = self.rts = False
        self._notifications.clear()
        self._sending.clear()
        self._notify(0)

    @property
    def coding(self) -> dict[str, Any]:
        """How the host set the port: ``baud``, ``data_bits``, ``parity``, ``stop_bits``."""
        baud, stop, parity, data = struct.unpack("<IBBB", self._coding)
        return {
            "baud": baud,
            "data_bits": data,
            "parity": PARITIES[parity],
            "stop_bits": STOP_BITS[stop],
        }

    def send(self, data: bytes) -> None:
        """Say something."""
        self._sending += data
        self.wake()

    def set_levels(self, *, dsr: bool | None = None, dcd: bool | None = None, ri: bool | None = None) -> None:
        """Change modem lines; None leaves one as it is. The host hears of it once."""
        for bit, level in ((DSR, dsr), (DCD, dcd), (RING, ri)):
            if level is not None:
                self._levels = self._levels | bit if level else self._levels & ~bit
        self._notify(0)

    def report(self, event: str) -> None:
        """Something came over the line: "break", "framing", "parity" or "overrun". Raises KeyError."""
        self._notify(EVENTS[event])

    def control(self, setup: Setup, data: bytes) -> bytes:
        if setup.request == SET_LINE_CODING:
            self._set_coding(data)
        elif setup.request == GET_LINE_CODING:
            return self._coding
        elif setup.request == SET_CONTROL_LINE_STATE:
            self.dtr, self.rts = bool(setup.value & 1), bool(setup.value & 2)
        elif setup.request == SEND_BREAK:
            self.breaks += setup.value != 0
        else:
            raise Stall
        return b""

    def data_out(self, endpoint: int, data: bytes) -> None:
        if self.listener is not None:
            self.listener(data)
        else:
            self.received += data

    def data_in(self, endpoint: int, size: int) -> bytes | None:
        if endpoint == NOTIFICATION:
            return self._notifications.pop(0) if self._notifications else None
        if not self._sending:
            return None
        data = bytes(self._sending[:size])
        del self._sending[:size]
        return data

    def _set_coding(self, data: bytes) -> None:
        if len(data) != 7 or data[4] >= len(STOP_BITS) or data[5] >= len(PARITIES):
            raise Stall
        self._coding = data

    def _notify(self, events: int) -> None:
        self._notifications.append(SERIAL_STATE + struct.pack("<H", self._levels | events))
        self.wake()
