"""What an adapter can do (Documentation/i2c/functionality of the kernel)."""

from __future__ import annotations

from enum import IntFlag


class Functionality(IntFlag):
    """The flags of I2C_FUNCS, named as the kernel's I2C_FUNC_*."""

    I2C = 0x00000001
    TEN_BIT_ADDR = 0x00000002
    PROTOCOL_MANGLING = 0x00000004
    SMBUS_PEC = 0x00000008
    NOSTART = 0x00000010
    SLAVE = 0x00000020
    SMBUS_BLOCK_PROC_CALL = 0x00008000
    SMBUS_QUICK = 0x00010000
    SMBUS_READ_BYTE = 0x00020000
    SMBUS_WRITE_BYTE = 0x00040000
    SMBUS_READ_BYTE_DATA = 0x00080000
    SMBUS_WRITE_BYTE_DATA = 0x00100000
    SMBUS_READ_WORD_DATA = 0x00200000
    SMBUS_WRITE_WORD_DATA = 0x00400000
    SMBUS_PROC_CALL = 0x00800000
    SMBUS_READ_BLOCK_DATA = 0x01000000
    SMBUS_WRITE_BLOCK_DATA = 0x02000000
    SMBUS_READ_I2C_BLOCK = 0x04000000
    SMBUS_WRITE_I2C_BLOCK = 0x08000000
    SMBUS_HOST_NOTIFY = 0x10000000


SMBUS_EMULATED = (
    Functionality.SMBUS_QUICK
    | Functionality.SMBUS_READ_BYTE
    | Functionality.SMBUS_WRITE_BYTE
    | Functionality.SMBUS_READ_BYTE_DATA
    | Functionality.SMBUS_WRITE_BYTE_DATA
    | Functionality.SMBUS_READ_WORD_DATA
    | Functionality.SMBUS_WRITE_WORD_DATA
    | Functionality.SMBUS_PROC_CALL
    | Functionality.SMBUS_WRITE_BLOCK_DATA
    | Functionality.SMBUS_READ_I2C_BLOCK
    | Functionality.SMBUS_WRITE_I2C_BLOCK
    | Functionality.SMBUS_PEC
)
"""What the kernel makes of plain I2C for any adapter (I2C_FUNC_SMBUS_EMUL)."""

WIRE_NAMES = {
    flag: "10bit-addr" if flag is Functionality.TEN_BIT_ADDR else str(flag.name).lower().replace("_", "-")
    for flag in Functionality
}
"""How each flag is called in payloads."""


def names(functionality: Functionality) -> list[str]:
    """The flags that are set, by their names in payloads, in the order of their bits."""
    return [name for flag, name in WIRE_NAMES.items() if flag in functionality]


def from_names(wanted: list[str]) -> Functionality:
    """The flags of these names. Raises ValueError naming one that does not exist."""
    flags = {name: flag for flag, name in WIRE_NAMES.items()}
    found = Functionality(0)
    for name in wanted:
        if name not in flags:
            raise ValueError(f"{name!r} is no functionality; there are: {', '.join(flags)}")
        found |= flags[name]
    return found
