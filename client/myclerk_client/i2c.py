"""I2C and SMBus of a board (operations 0x0630-0x0637).

>>> from myclerk_client.i2c import read, write
>>> bus = board.i2c.bus(1)
>>> (identity,) = await bus.transfer(write(0x50, b"\\x00"), read(0x50, 4))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .link import Link
from .streams import EventStream


@dataclass(frozen=True, slots=True)
class I2cMessage:
    """One message of a transfer; :func:`write`, :func:`read` and :func:`read_block` make them.

    ``fields`` are those of `i2c-message` in the schema, by Python name.
    """

    fields: Mapping[str, Any]


def write(address: int, data: bytes | Iterable[int], **flags: bool) -> I2cMessage:
    """A message that writes ``data``, up to 8192 bytes.

    Flags, where the adapter can do them: ``ten_bit``, ``no_start``, ``ignore_nak``, ``reverse_direction``,
    ``no_read_ack``, ``stop``.
    """
    return I2cMessage({"address": address, "write": bytes(data), **flags})


def read(address: int, size: int, **flags: bool) -> I2cMessage:
    """A message that reads ``size`` bytes, up to 8192. Flags as in :func:`write`."""
    return I2cMessage({"address": address, "read": size, **flags})


def read_block(address: int, **flags: bool) -> I2cMessage:
    """A message that reads a block whose first byte says how many follow, 1 to 32. Flags as in :func:`write`."""
    return I2cMessage({"address": address, "read_block": True, **flags})


class I2cBus:
    """One bus of a board. Making it asks the board nothing.

    The SMBus methods are named as in smbus2; blocks are bytes. ``pec`` adds a checksum to each SMBus command that can
    have one. ``force`` talks to reserved addresses, and to those that a driver of the board's kernel has.

    All methods raise HardwareError when no device answers, with ``details["errno"]`` "ENXIO", "EREMOTEIO" or "ENODEV",
    as the adapter's driver has it; Conflict for an address that a kernel driver has; Unsupported for what the adapter
    cannot do.
    """

    def __init__(self, link: Link, resource: str, *, pec: bool = False, force: bool = False) -> None:
        self._link = link
        self.resource = resource
        self.pec: bool = pec
        self.force: bool = force

    async def scan(
        self, first: int | None = None, last: int | None = None, method: str = "auto"
    ) -> list[dict[str, Any]]:
        """The addresses where a device is: {address, state}, state "present" or "busy" with the kernel's driver.

        As i2cdetect does it, from 0x08 to 0x77: ``method`` "auto", "quick" (quick write) or "read" (receive byte).
        """
        answer = await self._request("I2C_BUS_SCAN", first=first, last=last, method=method)
        return [probe for probe in answer["probes"] if probe["state"] in ("present", "busy")]

    async def watch_scan(
        self, first: int | None = None, last: int | None = None, method: str = "auto"
    ) -> EventStream:
        """The same scan as a stream of all addresses as they are looked at.

        Events are {address, state, ? driver}, state "present", "absent", "busy" or "skipped" (the adapter lacks the
        method). Stopping the stream stops the scan.
        """
        stream = EventStream(self._link)
        fields = self._fields(first=first, last=last, method=method, watch=True)
        await stream.open("I2C_BUS_SCAN", fields)
        return stream

    async def transfer(self, *messages: I2cMessage) -> list[bytes]:
        """Send 1 to 42 messages as one transfer with repeated starts; what each one that reads gave, in order."""
        answer = await self._request("I2C_TRANSFER", messages=[message.fields for message in messages])
        return list(answer["received"])

    # -- bytes and blocks ----------------------------------------------------------------------------------

    async def read_byte(self, address: int) -> int:
        """SMBus "receive byte"."""
        return int((await self._request("I2C_READ_BYTE", address=address, pec=self.pec))["value"])

    async def write_byte(self, address: int, value: int) -> None:
        """SMBus "send byte"."""
        await self._request("I2C_WRITE_BYTE", address=address, value=value, pec=self.pec)

    async def read_byte_data(self, address: int, register: int) -> int:
        """One byte of a register."""
        fields = {"address": address, "register": register, "pec": self.pec}
        return int((await self._request("I2C_READ_BYTE", **fields))["value"])

    async def write_byte_data(self, address: int, register: int, value: int) -> None:
        """One byte into a register."""
        fields = {"address": address, "register": register, "value": value, "pec": self.pec}
        await self._request("I2C_WRITE_BYTE", **fields)

    async def read_i2c_block_data(self, address: int, register: int, size: int = 32) -> bytes:
        """``size`` bytes from a register on: up to 8192, with an adapter that has SMBus only up to 32."""
        fields = {"address": address, "register": register, "size": size}
        return bytes((await self._request("I2C_READ_BLOCK", **fields))["data"])

    async def write_i2c_block_data(self, address: int, register: int, data: bytes | Iterable[int]) -> None:
        """``data`` from a register on: up to 8191 bytes, with an adapter that has SMBus only up to 32."""
        await self._request("I2C_WRITE_BLOCK", address=address, register=register, data=bytes(data))

    # -- other SMBus commands ------------------------------------------------------------------------------

    async def write_quick(self, address: int) -> None:
        """Nothing but the address with the write bit."""
        await self._smbus("write-quick", address, pec=False)

    async def read_quick(self, address: int) -> None:
        """Nothing but the address with the read bit."""
        await self._smbus("read-quick", address, pec=False)

    async def read_word_data(self, address: int, register: int) -> int:
        """Two bytes of a register, the low one first on the bus."""
        return int((await self._smbus("read-word-data", address, register))["value"])

    async def write_word_data(self, address: int, register: int, value: int) -> None:
        """Two bytes into a register, the low one first on the bus."""
        await self._smbus("write-word-data", address, register, value=value)

    async def process_call(self, address: int, register: int, value: int) -> int:
        """Write a word, then read one."""
        return int((await self._smbus("process-call", address, register, value=value))["value"])

    async def read_block_data(self, address: int, register: int) -> bytes:
        """A block whose length the device says, up to 32 bytes."""
        return bytes((await self._smbus("read-block-data", address, register))["data"])

    async def write_block_data(self, address: int, register: int, data: bytes | Iterable[int]) -> None:
        """A block with its length in front, up to 32 bytes."""
        await self._smbus("write-block-data", address, register, data=bytes(data))

    async def block_process_call(self, address: int, register: int, data: bytes | Iterable[int]) -> bytes:
        """Write a block, then read one."""
        return bytes((await self._smbus("block-process-call", address, register, data=bytes(data)))["data"])

    async def _smbus(
        self,
        protocol: str,
        address: int,
        command: int | None = None,
        *,
        pec: bool | None = None,
        **operands: Any,
    ) -> dict[str, Any]:
        fields = {"address": address, "protocol": protocol, "command": command, **operands}
        return await self._request("I2C_SMBUS_COMMAND", pec=self.pec if pec is None else pec, **fields)

    async def _request(self, operation: str, **fields: Any) -> dict[str, Any]:
        return await self._link.request(operation, self._fields(**fields))

    def _fields(self, **fields: Any) -> dict[str, Any]:
        """The fields of a request, without flags that are not set."""
        given = {name: value for name, value in fields.items() if value is not None and value is not False}
        return {"resource": self.resource, **given, **({"force": True} if self.force else {})}


class I2cBuses:
    """The I2C buses of a board; ``board.i2c``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[dict[str, Any]]:
        """The buses: name, number, adapter, its functionality, and the devices that the board's kernel knows of."""
        return list((await self._link.request("I2C_BUS_LIST", {}))["buses"])

    def bus(self, bus: int | str, *, pec: bool = False, force: bool = False) -> I2cBus:
        """A bus by number (1) or resource name ("i2c:1"). Whether it exists, its first operation says."""
        name = str(bus)
        resource = name if name.startswith("i2c:") else f"i2c:{name}"
        return I2cBus(self._link, resource, pec=pec, force=force)
