"""Simulated I2C buses with well-known chips on them (:mod:`myclerk_drivers.models`).

The table ``[i2c]`` of a board's description has one table for each bus, by number::

    [i2c.1]
    adapter = "simulated"          # the adapter's name; this is the default
    functionality = "i2c"          # the default; "smbus" has no plain I2C; or a list: ["i2c", "smbus-quick"]

    [i2c.1.devices.0x48]           # 0x08 to 0x77
    model = "lm75"
    celsius = 21.5                 # -55 to 125, default 25
    bits = 11                      # 9 (default) or 11
    driver = "lm75"                # a kernel driver has it: "busy" in a scan

    [i2c.1.devices.0x50]
    model = "24c02"                # 24c01, 24c02, 24c32, 24c64, 24c128, 24c256, 24c512
    contents = "48656c6c6f"        # hexadecimal, from address 0; the rest is erased
    write-cycle = 0.005            # seconds; the default

    [i2c.1.devices.0x76]
    model = "registers"            # 256 registers, zero but for these
    registers = {0xD0 = 0x60, 0xF7 = "8000008000"}

All models take ``driver``. SMBus commands are made of I2C messages as the kernel makes them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..description import check_keys, get, load, number
from ..models.eeprom import PARTS, WRITE_CYCLE, Eeprom
from ..models.interfaces import I2cTarget, Nack
from ..models.lm75 import Lm75
from ..models.registers import Registers
from . import emulation
from .backend import Adapter, Client
from .functionality import SMBUS_EMULATED, Functionality, from_names
from .messages import MAX_BLOCK, Flag, Message
from .smbus import Command, Reply
from .target import FIRST, LAST

SMBUS = SMBUS_EMULATED | Functionality.SMBUS_READ_BLOCK_DATA | Functionality.SMBUS_BLOCK_PROC_CALL
KINDS = {"i2c": Functionality.I2C | Functionality.NOSTART | SMBUS, "smbus": SMBUS}
"""What ``functionality`` may be, beside a list."""


@dataclass(frozen=True, slots=True)
class Device:
    """A chip on a bus, and the kernel driver that has it, if any."""

    target: I2cTarget
    model: str = ""
    driver: str | None = None


class SimulatedBus:
    """One bus (:class:`.backend.Bus`). ``devices`` may change at any time: address -> device."""

    def __init__(
        self,
        devices: Mapping[int, Device],
        functionality: Functionality = KINDS["i2c"],
        adapter: str = "simulated",
    ) -> None:
        self.devices = dict(devices)
        self.functionality = functionality
        self.adapter = adapter
        self._address = 0

    def select(self, address: int, *, force: bool = False, ten_bit: bool = False) -> None:
        """Address the next SMBus command. Raises OSError EBUSY."""
        device = None if ten_bit else self.devices.get(address)
        if device is not None and device.driver is not None and not force:
            raise OSError(errno.EBUSY, "Device or resource busy")
        self._address = address

    def transfer(self, messages: Sequence[Message]) -> list[bytes]:
        """All messages in order, those without a start as one with what is before them. Raises OSError ENXIO."""
        received = []
        for message in _joined(messages):
            try:
                data = self._send(message)
            except Nack:
                if Flag.IGNORE_NAK not in message.flags:
                    raise OSError(errno.ENXIO, "No such device or address") from None
                data = b"\xff" * message.size  # nobody pulls the line down
            if message.is_read:
                received.append(data)
        return received

    def _send(self, message: Message) -> bytes:
        device = None if Flag.TEN_BIT in message.flags else self.devices.get(message.address)
        if device is None:
            raise Nack
        if message.data is not None:
            device.target.write(message.data)
            return b""
        if Flag.READ_BLOCK not in message.flags:
            return device.target.read(message.size)
        data = device.target.read(1 + MAX_BLOCK + message.size)
        if not 1 <= data[0] <= MAX_BLOCK:
            raise OSError(errno.EPROTO, "Protocol error")
        return data[: 1 + data[0] + message.size]

    def smbus(self, command: Command) -> Reply:
        """One command to the selected address. Raises OSError."""
        return emulation.execute(command, self._address, self.transfer)

    def close(self) -> None:
        """Nothing was opened."""


def _joined(messages: Sequence[Message]) -> list[Message]:
    joined: list[Message] = []
    for message in messages:
        before = joined[-1] if joined else None
        if Flag.NO_START in message.flags and before and before.is_read is message.is_read:
            data = None if message.data is None else (before.data or b"") + message.data
            joined[-1] = Message(before.address, data, before.size + message.size, before.flags)
        else:
            joined.append(message)
    return joined


class SimulatedI2c:
    """The buses of a simulated board (:class:`.backend.Backend`), by number."""

    def __init__(self, buses: Mapping[int, SimulatedBus]) -> None:
        self.buses = dict(buses)

    @classmethod
    def from_description(cls, table: Mapping[str, Any]) -> SimulatedI2c:
        """The buses that ``table`` tells of. Raises ValueError naming the key that is wrong."""
        buses = {}
        for key, bus in table.items():
            if not key.isdecimal() or not isinstance(bus, dict):
                raise ValueError(f"`i2c.{key}` must be a table of a bus, named by its number: [i2c.1]")
            buses[int(key)] = _bus(bus, f"i2c.{key}")
        return cls(buses)

    def adapters(self) -> Sequence[Adapter]:
        """All buses, by number."""
        return [self._adapter(bus) for bus in sorted(self.buses)]

    def adapter(self, number: int) -> Adapter | None:
        """The bus of that number, or None."""
        return self._adapter(number) if number in self.buses else None

    def _adapter(self, number: int) -> Adapter:
        return Adapter(number, self.buses[number].adapter, f"/dev/i2c-{number}")

    def clients(self, number: int) -> Sequence[Client]:
        """The devices that a kernel driver has."""
        bus = self.buses.get(number)
        devices = sorted(bus.devices.items()) if bus else []
        return [Client(address, d.model, d.driver) for address, d in devices if d.driver is not None]

    def open(self, number: int) -> SimulatedBus:
        """A bus. Raises OSError ENOENT."""
        if number not in self.buses:
            raise OSError(errno.ENOENT, "No such file or directory")
        return self.buses[number]


# -- the description ---------------------------------------------------------------------------------------


def _bus(table: Mapping[str, Any], key: str) -> SimulatedBus:
    check_keys(table, key, ("adapter", "functionality", "devices"))
    devices = {}
    for name, device in get(table, key, "devices", dict, {}).items():
        address = number(name, LAST)
        if address is None or address < FIRST or not isinstance(device, dict):
            raise ValueError(f"`{key}.devices.{name}` must be a table named by an address from 0x08 to 0x77")
        devices[address] = _device(device, f"{key}.devices.{name}")
    functionality = table.get("functionality", "i2c")
    if isinstance(functionality, str) and functionality in KINDS:
        flags = KINDS[functionality]
    elif isinstance(functionality, list) and all(isinstance(name, str) for name in functionality):
        try:
            flags = from_names(functionality)
        except ValueError as error:
            raise ValueError(f"`{key}.functionality`: {error}") from None
    else:
        raise ValueError(f'`{key}.functionality` must be "i2c", "smbus" or a list of names')
    return SimulatedBus(devices, flags, get(table, key, "adapter", str, "simulated"))


def _device(table: Mapping[str, Any], key: str) -> Device:
    model = get(table, key, "model", str, "")
    if model not in MODELS:
        raise ValueError(f"`{key}.model` must be one of {', '.join(MODELS)}")
    try:
        target = MODELS[model](table, key)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith("`") else f"`{key}`: {text}") from None
    return Device(target, model, get(table, key, "driver", str, None))


def _lm75(table: Mapping[str, Any], key: str) -> I2cTarget:
    check_keys(table, key, ("model", "driver", "celsius", "bits"))
    celsius = get(table, key, "celsius", (int, float), 25.0)
    return Lm75(celsius, bits=get(table, key, "bits", int, 9))


def _eeprom(table: Mapping[str, Any], key: str) -> I2cTarget:
    check_keys(table, key, ("model", "driver", "contents", "write-cycle"))
    write_cycle = get(table, key, "write-cycle", (int, float), WRITE_CYCLE)
    eeprom = Eeprom(table["model"], write_cycle=write_cycle)
    load(eeprom.memory, 0, get(table, key, "contents", str, ""), f"{key}.contents")
    return eeprom


def _registers(table: Mapping[str, Any], key: str) -> I2cTarget:
    check_keys(table, key, ("model", "driver", "registers"))
    chip = Registers()
    for name, value in get(table, key, "registers", dict, {}).items():
        path = f"{key}.registers.{name}"
        register = number(name, 0xFF)
        if register is None:
            raise ValueError(f"`{path}` must be named by a register from 0x00 to 0xFF")
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0xFF:
            chip.memory[register] = value
        elif isinstance(value, str):
            load(chip.memory, register, value, path)
        else:
            raise ValueError(f"`{path}` must be a byte, or several as a hexadecimal string")
    return chip


MODELS: Mapping[str, Callable[[Mapping[str, Any], str], I2cTarget]] = {
    "lm75": _lm75,
    **dict.fromkeys(PARTS, _eeprom),
    "registers": _registers,
}
"""What can be on a simulated bus."""
