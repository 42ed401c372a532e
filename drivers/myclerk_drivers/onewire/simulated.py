"""Simulated 1-Wire buses, with the thermometers and iButtons that the table ``[onewire]`` of a board describes::

    [onewire.w1_bus_master1]
    "28-0000075f4d2c" = { temperature = 21.5 }                  # a DS18B20, degrees Celsius
    "28-0000075f4d2d" = { temperature = -4, parasite = true }   # fed by the data line
    "28-0000075f4d2e" = { crc-fault = true }                    # its scratchpad arrives damaged
    "01-00000a1b2c3d" = {}                                      # any other family: just a ROM code

A bus is named as the kernel does, a device by family and serial number. ``time-scale`` of a thermometer makes its
conversions take longer or, below 1, shorter than the real ones; 0 makes them take no time.
"""

from __future__ import annotations

import errno
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..description import check_keys, get
from ..models.ds18b20 import (
    CONVERSION_TIME,
    CONVERT,
    COPY_SCRATCHPAD,
    READ_POWER_SUPPLY,
    READ_SCRATCHPAD,
    WRITE_SCRATCHPAD,
    Ds18b20,
)
from ..models.interfaces import OneWireSlave
from ..models.onewire import MATCH_ROM, SEARCH_ROM, SKIP_ROM, BitSearch, crc8
from ..models.onewire import Slave as SlaveModel
from .backend import Bus, Slave
from .rom import code_of, rom_of
from .search import BITS

DS18B20 = 0x28
ATTEMPTS = 5
"""How often the kernel reads a scratchpad whose CRC is wrong."""

_MASTER = re.compile(r"w1_bus_master[1-9][0-9]{0,8}")


class SimulatedBus:
    """A master with its devices, by ROM code as Linux writes it."""

    def __init__(self) -> None:
        self.devices: dict[str, OneWireSlave] = {}
        self.thermometers: dict[str, SimulatedThermometer] = {}
        self._lock = threading.Lock()

    def exchange(self, write: bytes, read: int, *, reset: bool = True) -> bytes | None:
        """As :meth:`.backend.OneWireBackend.exchange`; the line is the AND of what all devices leave."""
        with self._lock:
            if reset:
                for device in self.devices.values():
                    device.reset()
            for byte in write:
                self._slots(byte)
            data = bytes(self._slots(0xFF) for _ in range(read))
            return data if self.devices or not reset else None

    def _slots(self, byte: int) -> int:
        line = byte
        for device in self.devices.values():
            line &= device.exchange(byte)
        return line

    def search_pass(self, command: int, path: int) -> tuple[int, int] | None:
        """As :meth:`.backend.OneWireBackend.search_pass`."""
        answering = (d.rom for d in self.devices.values() if command == SEARCH_ROM or d.alarm)
        line = BitSearch(answering)
        bits = complements = 0
        for at in range(BITS):
            bits |= line.slot(1) << at
            complements |= line.slot(1) << at
            line.slot(path >> at & 1)
        return (bits, complements) if self.devices else None

    def measure_together(self) -> None:
        """Let all thermometers measure at once; each gives that value when it is read next."""
        self.exchange(bytes([SKIP_ROM, CONVERT]), 0)
        thermometers = self.thermometers.values()
        time.sleep(max((thermometer.conversion_time for thermometer in thermometers), default=0))
        for thermometer in thermometers:
            thermometer.has_measured = True


class SimulatedThermometer:
    """A DS18B20 behind what the kernel's w1_therm driver makes of it."""

    def __init__(self, bus: SimulatedBus, model: Ds18b20, time_scale: float) -> None:
        self.has_measured = False
        self._bus = bus
        self._model = model
        self._time_scale = time_scale

    @property
    def conversion_time(self) -> float:
        """Seconds that a conversion takes now."""
        return CONVERSION_TIME[self._model.resolution] * self._time_scale

    def attribute(self, name: str) -> str:
        """The text of a sysfs attribute. Raises FileNotFoundError."""
        match name:
            case "w1_slave":
                return self._dump()
            case "resolution":
                return self._shown(lambda data: f"{9 + (data[4] >> 5 & 3)}")
            case "alarms":
                return self._shown(lambda data: f"{_signed(data[3])} {_signed(data[2])}")
            case "ext_power":
                return f"{self._command(READ_POWER_SUPPLY, read=1)[0] & 1}\n"
            case "conv_time":
                return f"{round(self.conversion_time * 1000)}\n"
        raise FileNotFoundError(errno.ENOENT, "no such attribute", name)

    def set_attribute(self, name: str, value: str) -> None:
        """Write to a sysfs attribute. Raises FileNotFoundError; OSError for a resolution that it does not have."""
        if name == "eeprom_cmd" and value.strip() == "save":
            self._command(COPY_SCRATCHPAD)
            return
        if name not in ("resolution", "alarms"):
            raise FileNotFoundError(errno.ENOENT, "no such attribute", name)
        if (data := self._scratchpad()) is None:
            raise OSError(errno.EIO, "Input/output error")
        registers = bytearray(data[2:5])
        if name == "alarms":
            low, high = sorted(map(int, value.split()))
            registers[:2] = high & 0xFF, low & 0xFF
        else:
            registers[2] = registers[2] & 0x1F | int(value) - 9 << 5
        self._command(WRITE_SCRATCHPAD, bytes(registers))
        if (after := self._scratchpad()) is None or (after[4] ^ registers[2]) & 0xE0:
            raise OSError(errno.EIO, "Input/output error")

    def _dump(self) -> str:
        """Measure, unless that is done; nothing when the CRC stays wrong."""
        if not self.has_measured:
            self._command(CONVERT)
            time.sleep(self.conversion_time)
        self.has_measured = False
        if (data := self._scratchpad()) is None:
            return ""
        millidegrees = int.from_bytes(data[:2], "little", signed=True) * 1000 // 16
        octets = data.hex(" ")
        return f"{octets} : crc={data[8]:02x} YES\n{octets} t={millidegrees}\n"

    def _shown(self, show: Callable[[bytes], str]) -> str:
        data = self._scratchpad()
        return f"{-errno.EIO if data is None else show(data)}\n"

    def _scratchpad(self) -> bytes | None:
        """Its nine bytes; None when they came damaged again and again."""
        for _ in range(ATTEMPTS):
            data = self._command(READ_SCRATCHPAD, read=9)
            if crc8(data) == 0:
                return data
        return None

    def _command(self, function: int, data: bytes = b"", read: int = 0) -> bytes:
        command = bytes([MATCH_ROM, *self._model.rom, function])
        return self._bus.exchange(command + data, read) or b""


class SimulatedOneWire:
    """The buses of a simulated board; a :class:`.backend.OneWireBackend`."""

    def __init__(self, buses: Mapping[str, SimulatedBus]) -> None:
        self._buses = dict(buses)

    @classmethod
    def from_description(cls, table: Mapping[str, Any]) -> SimulatedOneWire:
        """The buses that ``table`` tells of. Raises ValueError naming what is wrong."""
        buses: dict[str, SimulatedBus] = {}
        roms: set[str] = set()
        for name, devices in table.items():
            if not _MASTER.fullmatch(name):
                raise ValueError(f"`onewire.{name}` must be named as the kernel names buses: w1_bus_master1")
            if not isinstance(devices, dict):
                raise ValueError(f"`onewire.{name}` must be a table, with a table for each device")
            buses[name] = SimulatedBus()
            for rom, device in devices.items():
                path = f"onewire.{name}.{rom}"
                if rom in roms:
                    raise ValueError(f"`{path}` is on another bus already")
                roms.add(rom)
                _add_device(buses[name], rom, device, path)
        return cls(buses)

    def buses(self) -> Sequence[Bus]:
        """All of them; nothing comes or goes."""
        return [
            Bus(
                name,
                tuple(Slave(rom, device.rom, rom in bus.thermometers) for rom, device in bus.devices.items()),
            )
            for name, bus in self._buses.items()
        ]

    def check_raw(self, bus: str) -> None:
        """Bytes can always be exchanged."""

    def exchange(self, bus: str, write: bytes, read: int, *, reset: bool = True) -> bytes | None:
        """One access to the simulated line."""
        return self._buses[bus].exchange(write, read, reset=reset)

    def search_pass(self, bus: str, command: int, path: int) -> tuple[int, int] | None:
        """One pass on the simulated line."""
        return self._buses[bus].search_pass(command, path)

    def add(self, bus: str, code: bytes) -> None:
        """All devices are known."""

    def attribute(self, device: str, name: str) -> str:
        """As sysfs shows it. Raises OSError."""
        if device not in self._buses:
            return self._thermometer(device, name).attribute(name)
        bus = self._buses[device]
        show = {
            "w1_master_search": 0,
            "w1_master_attempts": 0,
            "w1_master_max_slave_count": 64,
            "w1_master_pullup": 1,
            "therm_bulk_read": int(any(t.has_measured for t in bus.thermometers.values())),
        }
        if name not in show:
            raise FileNotFoundError(errno.ENOENT, "no such attribute", name)
        return f"{show[name]}\n"

    def set_attribute(self, device: str, name: str, value: str) -> None:
        """As sysfs takes it. Raises OSError."""
        if device not in self._buses:
            self._thermometer(device, name).set_attribute(name, value)
        elif name == "therm_bulk_read" and value == "trigger\n":
            self._buses[device].measure_together()
        else:
            raise FileNotFoundError(errno.ENOENT, "no such attribute", name)

    def _thermometer(self, rom: str, attribute: str) -> SimulatedThermometer:
        for bus in self._buses.values():
            if rom in bus.thermometers:
                return bus.thermometers[rom]
        raise FileNotFoundError(errno.ENOENT, "no such attribute", attribute)


def _add_device(bus: SimulatedBus, rom: str, device: Any, path: str) -> None:
    try:
        code = code_of(rom)
    except ValueError as error:
        raise ValueError(f"`{path}`: {error}") from None
    if rom != rom_of(code):
        raise ValueError(f"`{path}` must be written in small letters: {rom_of(code)}")
    if not isinstance(device, dict):
        raise ValueError(f"`{path}` must be a table; {{}} if there is nothing to say")
    if code[0] != DS18B20:
        if device:
            raise ValueError(f"`{path}` must be {{}}: only family 28 is more than a ROM code here")
        bus.devices[rom] = SlaveModel(code)
        return
    check_keys(device, path, ("temperature", "parasite", "crc-fault", "time-scale"))
    time_scale = get(device, path, "time-scale", (int, float), 1.0)
    if not 0 <= time_scale <= 100:
        raise ValueError(f"`{path}.time-scale` must lie between 0 and 100")
    temperature = get(device, path, "temperature", (int, float), 20.0)
    parasite = get(device, path, "parasite", bool, False)
    try:
        serial = int.from_bytes(code[1:7], "little")
        model = Ds18b20(serial, temperature, parasite=parasite, time_scale=time_scale)
    except ValueError as error:
        raise ValueError(f"`{path}.temperature`: {error}") from None
    model.crc_fault = get(device, path, "crc-fault", bool, False)
    bus.devices[rom] = model
    bus.thermometers[rom] = SimulatedThermometer(bus, model, time_scale)


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte
