"""A DS2490 USB to 1-Wire adapter (its datasheet), as far as drivers/w1/masters/ds2490.c uses it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import reduce

from models import OneWireSlave
from models.onewire import ALARM_SEARCH, SEARCH_ROM, BitSearch

from .descriptors import IN, Transfer, configuration, device_descriptor, endpoint, interface
from .device import Device, Setup, Stall

CONTROL, COMMUNICATION, MODE = 0, 1, 2
"""Vendor requests."""
RESET_DEVICE, FLUSH_RECEIVE, FLUSH_TRANSMIT = 0x0, 0x8, 0x9
"""Control commands that matter here."""
BIT_IO, ONE_WIRE_RESET, BYTE_IO, BLOCK_IO, SEARCH = 0x20, 0x42, 0x52, 0x74, 0xF4
"""Communication commands, without the bits of their options."""
COMMAND_MASK = 0xF6
OPTION_D, OPTION_RST = 0x0008, 0x0100

IDLE, NOT_PRESENT = 0x20, 0x01
"""State of the adapter; result of a reset that no presence pulse followed."""
STATUS, DATA_OUT, DATA_IN = 1, 2, 3
BUFFER_SIZE = 128


class Ds2490(Device):
    """The adapter with ``slaves`` on its bus; change the list to connect and disconnect them."""

    device = device_descriptor(0x04FA, 0x2490, release=0x0002, max_packet=8)
    configuration = configuration(
        *(
            interface(0, 3, alternate=alternate)
            + endpoint(STATUS | IN, Transfer.INTERRUPT, 32, 10 if alternate in (0, 2) else 1)
            + endpoint(DATA_OUT, Transfer.BULK, size)
            + endpoint(DATA_IN | IN, Transfer.BULK, size)
            for alternate, size in enumerate((16, 64, 16, 64))
        )
    )
    strings = ("Board", "DS2490", "W1")

    def __init__(self, slaves: Sequence[OneWireSlave]) -> None:
        super().__init__()
        self.slaves = list(slaves)
        self._to_bus = bytearray()
        self._from_bus = bytearray()
        self._results = bytearray()
        self._last_command = 0
        self._after_reset = False
        self._search_bits: BitSearch | None = None
        self._slots: list[int] = []

    def plugged_in(self) -> None:
        super().plugged_in()
        self._clear()

    def control(self, setup: Setup, data: bytes) -> bytes:
        if setup.request == CONTROL:
            self._control_command(setup.value)
        elif setup.request == COMMUNICATION:
            self._last_command = setup.value
            self._communicate(setup.value, setup.index)
            self.wake()
        elif setup.request != MODE:
            raise Stall
        return b""

    def data_out(self, endpoint: int, data: bytes) -> None:
        if endpoint != DATA_OUT or len(self._to_bus) + len(data) > BUFFER_SIZE:
            raise Stall
        self._to_bus += data

    def data_in(self, endpoint: int, size: int) -> bytes | None:
        if endpoint == STATUS:
            return self._status()[:size]
        if endpoint != DATA_IN or not self._from_bus:
            return None
        data = bytes(self._from_bus[:size])
        del self._from_bus[:size]
        return data

    def _control_command(self, command: int) -> None:
        if command == RESET_DEVICE:
            self._clear()
        elif command == FLUSH_RECEIVE:
            self._from_bus.clear()
        elif command == FLUSH_TRANSMIT:
            self._to_bus.clear()

    def _communicate(self, value: int, index: int) -> None:
        command = value & COMMAND_MASK
        if command == SEARCH:
            self._search(index & 0xFF, index >> 8)
        elif command == ONE_WIRE_RESET:
            self._to_bus.clear()  # of a host that gave up before its command
            self._reset()
        elif command == BYTE_IO:
            self._from_bus.append(self._exchange(index & 0xFF))
        elif command == BLOCK_IO:
            if value & OPTION_RST:
                self._reset()
            block, self._to_bus = self._to_bus[:index], self._to_bus[index:]
            self._from_bus += bytes(map(self._exchange, block))
        elif command == BIT_IO:
            self._from_bus.append(self._bit(1 if value & OPTION_D else 0))
        # durations and pulses of the strong pull-up need nothing here

    def _search(self, command: int, limit: int) -> None:
        """Search from the ROM code in the buffer on, at most ``limit`` devices (0: all of them).

        A bit-wise search finds devices in the order of their codes read from the lowest bit up.
        """
        start, self._to_bus = self._to_bus[:8], self._to_bus[8:]
        self._reset()
        found = sorted(
            (slave.rom for slave in self.slaves if command != ALARM_SEARCH or slave.alarm), key=_bits
        )
        found = [rom for rom in found if _bits(rom) >= _bits(bytes(start))]
        for rom in found[: limit or None]:
            self._from_bus += rom

    def _bit(self, bit: int) -> int:
        """One slot. The models take bytes: copies of them say what they would answer, the eighth slot is the byte."""
        if self._search_bits is not None:
            return self._search_bits.slot(bit)
        answer = _wired_and(copy.deepcopy(self.slaves), 0xFF) >> len(self._slots) & 1
        self._slots.append(bit)
        if len(self._slots) == 8:
            self._exchange(sum(slot << number for number, slot in enumerate(self._slots)))
        return bit & answer

    def _exchange(self, byte: int) -> int:
        """Eight slots."""
        if self._after_reset and byte in (SEARCH_ROM, ALARM_SEARCH):
            self._search_bits = BitSearch(s.rom for s in self.slaves if byte == SEARCH_ROM or s.alarm)
        self._after_reset = False
        self._slots.clear()
        return _wired_and(self.slaves, byte)

    def _reset(self) -> None:
        """A transaction begins: what a host that gave up has not fetched of the last one is gone."""
        self._after_reset, self._search_bits = True, None
        self._slots.clear()
        self._from_bus.clear()
        for slave in self.slaves:
            slave.reset()
        self._results.append(0 if self.slaves else NOT_PRESENT)

    def _status(self) -> bytes:
        """Sixteen bytes of state, and a result byte for what went wrong since the last."""
        low, high = self._last_command & 0xFF, self._last_command >> 8
        filled = bytes([min(len(self._to_bus), 255), min(len(self._from_bus), 255)])
        state = bytes([0, 0, 0x20, 0x40, 5, 4, 4, 0, IDLE, low, high, 0]) + filled + b"\0\0"
        results = bytes(result for result in self._results if result)
        self._results.clear()
        return state + results

    def _clear(self) -> None:
        for slave in self.slaves:
            slave.reset()
        self._to_bus.clear()
        self._from_bus.clear()
        self._results.clear()


def _wired_and(slaves: Iterable[OneWireSlave], byte: int) -> int:
    """What is on the bus when the master writes ``byte``."""
    return reduce(lambda level, slave: level & slave.exchange(byte), slaves, byte)


def _bits(rom: bytes) -> str:
    """What a search orders devices by: at each branch it takes the 0 first."""
    return "".join(f"{byte:08b}"[::-1] for byte in rom)
