"""The SMBus protocols, as one table (SMBus specification 3.0, Documentation/i2c/smbus-protocol of the kernel)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from myclerk_protocol.status import BadRequest, Unsupported

from .functionality import Functionality, names

QUICK, BYTE, BYTE_DATA, WORD_DATA, PROC_CALL, BLOCK_DATA = 0, 1, 2, 3, 4, 5
BLOCK_PROC_CALL, I2C_BLOCK_DATA = 7, 8
"""The kernel's transaction types (I2C_SMBUS_*)."""

BLOCKS = frozenset({BLOCK_DATA, BLOCK_PROC_CALL, I2C_BLOCK_DATA})
CALLS = frozenset({PROC_CALL, BLOCK_PROC_CALL})
"""Those that write and then read."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol: its transaction type, direction, what an adapter must have, which fields it takes."""

    name: str
    kind: int
    reads: bool
    needs: Functionality
    fields: frozenset[str] = frozenset()
    largest: int = 0xFF

    @property
    def has_pec(self) -> bool:
        """Whether a checksum can be behind it."""
        return self.kind not in (QUICK, I2C_BLOCK_DATA)

    @property
    def answers(self) -> bool:
        """Whether the device sends something back."""
        return self.kind != QUICK and (self.reads or self.kind in CALLS)


def _protocol(
    name: str, kind: int, needs: Functionality, *fields: str, reads: bool = False, largest: int = 0xFF
) -> Protocol:
    return Protocol(name, kind, reads, needs, frozenset(fields), largest)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        _protocol("write-quick", QUICK, Functionality.SMBUS_QUICK),
        _protocol("read-quick", QUICK, Functionality.SMBUS_QUICK, reads=True),
        _protocol("write-byte", BYTE, Functionality.SMBUS_WRITE_BYTE, "value"),
        _protocol("read-byte", BYTE, Functionality.SMBUS_READ_BYTE, reads=True),
        _protocol("write-byte-data", BYTE_DATA, Functionality.SMBUS_WRITE_BYTE_DATA, "command", "value"),
        _protocol("read-byte-data", BYTE_DATA, Functionality.SMBUS_READ_BYTE_DATA, "command", reads=True),
        _protocol(
            "write-word-data",
            WORD_DATA,
            Functionality.SMBUS_WRITE_WORD_DATA,
            "command",
            "value",
            largest=0xFFFF,
        ),
        _protocol("read-word-data", WORD_DATA, Functionality.SMBUS_READ_WORD_DATA, "command", reads=True),
        _protocol(
            "process-call", PROC_CALL, Functionality.SMBUS_PROC_CALL, "command", "value", largest=0xFFFF
        ),
        _protocol("write-block-data", BLOCK_DATA, Functionality.SMBUS_WRITE_BLOCK_DATA, "command", "data"),
        _protocol("read-block-data", BLOCK_DATA, Functionality.SMBUS_READ_BLOCK_DATA, "command", reads=True),
        _protocol(
            "block-process-call", BLOCK_PROC_CALL, Functionality.SMBUS_BLOCK_PROC_CALL, "command", "data"
        ),
        _protocol(
            "write-i2c-block-data", I2C_BLOCK_DATA, Functionality.SMBUS_WRITE_I2C_BLOCK, "command", "data"
        ),
        _protocol(
            "read-i2c-block-data",
            I2C_BLOCK_DATA,
            Functionality.SMBUS_READ_I2C_BLOCK,
            "command",
            "size",
            reads=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Command:
    """One SMBus command: a protocol with its operands. ``size`` is how many bytes an I2C block read wants."""

    protocol: Protocol
    command: int = 0
    value: int = 0
    data: bytes = b""
    size: int = 0
    pec: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command gave: the ``value`` of a byte or word, the ``data`` of a block."""

    value: int | None = None
    data: bytes | None = None

    def fields(self) -> dict[str, Any]:
        """The response's fields."""
        return {name: got for name, got in (("value", self.value), ("data", self.data)) if got is not None}


def command(name: str, *, pec: bool = False, **given: Any) -> Command:
    """The command for protocol ``name`` with the fields that are not None.

    Raises BadRequest for a protocol that does not exist and a field that is missing, not taken or too large.
    """
    protocol = PROTOCOLS.get(name)
    if protocol is None:
        raise BadRequest(f"`protocol` must be one of {', '.join(PROTOCOLS)}", key="protocol")
    operands: Mapping[str, Any] = {key: value for key, value in given.items() if value is not None}
    for key in sorted(protocol.fields ^ operands.keys()):
        verb = "needs" if key in protocol.fields else "takes no"
        raise BadRequest(f"{name} {verb} `{key}`", key=key)
    if operands.get("value", 0) > protocol.largest:
        raise BadRequest(f"`value` of {name} must be at most {protocol.largest}", key="value")
    if pec and not protocol.has_pec:
        raise BadRequest(f"{name} has no checksum, so `pec` cannot be asked for", key="pec")
    return Command(protocol, pec=pec, **operands)


def check(wanted: Command, functionality: Functionality, bus: str) -> None:
    """Raise Unsupported if an adapter with this functionality cannot do ``wanted`` on ``bus``."""
    protocol = wanted.protocol
    if protocol.needs not in functionality:
        can = ", ".join(names(functionality))
        raise Unsupported(f"the adapter of {bus} cannot do {protocol.name}; it can do: {can or 'nothing'}")
    if wanted.pec and Functionality.SMBUS_PEC not in functionality:
        raise Unsupported(f"the adapter of {bus} has no smbus-pec, which `pec` needs")
