"""An I2C adapter like Till Harbaum's i2c-tiny-usb: plain I2C messages (drivers/i2c/busses/i2c-tiny-usb.c)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from models import I2cTarget, Nack

from .descriptors import configuration, device_descriptor, interface
from .device import Device, Setup, Speed, Stall

GET_FUNCTIONALITY, SET_DELAY, GET_STATUS, TRANSFER = 1, 2, 3, 4
FUNCTIONALITY = 0x0EFF0001 | 0x8
"""I2C_FUNC_I2C, SMBUS_EMUL and SMBUS_PEC."""
ACKNOWLEDGED, NOT_ACKNOWLEDGED = 1, 2
READ_FLAG = 1

FAULTS = ("absent", "nack", "stall")
"""What can be wrong with a target."""


class I2cTinyUsb(Device):
    """The adapter with ``targets`` by address.

    ``faults`` by address: "absent" acknowledges nothing, "nack" its address but no byte that is written, "stall" makes
    the adapter itself fail.
    """

    speed = Speed.LOW
    device = device_descriptor(0x0403, 0xC631, release=0x0205, max_packet=8, usb=0x0110)
    configuration = configuration(interface(0, 0))
    strings = ("Board", "i2c-tiny-usb", "I2C1")

    def __init__(self, targets: Mapping[int, I2cTarget]) -> None:
        super().__init__()
        self.targets = targets
        self.faults: dict[int, str] = {}
        self._status = 0

    def control(self, setup: Setup, data: bytes) -> bytes:
        if setup.request == GET_FUNCTIONALITY:
            return struct.pack("<I", FUNCTIONALITY)
        if setup.request == GET_STATUS:
            return bytes([self._status])
        if setup.request & ~3 == TRANSFER:  # the low bits say where START and STOP are
            return self._transfer(setup, data)
        if setup.request in (0, SET_DELAY):
            return data[: setup.length]
        raise Stall

    def _transfer(self, setup: Setup, data: bytes) -> bytes:
        """One message: ``index`` is the address, ``value`` its flags."""
        try:
            answer = self._message(setup.index, bool(setup.value & READ_FLAG), setup.length, data)
            self._status = ACKNOWLEDGED
            return answer
        except Nack:
            self._status = NOT_ACKNOWLEDGED
            return b"\xff" * setup.length if setup.value & READ_FLAG else b""

    def _message(self, address: int, reading: bool, size: int, data: bytes) -> bytes:
        target, fault = self.targets.get(address), self.faults.get(address)
        if fault == "stall":
            raise Stall
        if target is None or fault == "absent" or (fault == "nack" and data):
            raise Nack
        if reading:
            return target.read(size)
        target.write(data)
        return b""
