"""SMBus commands made of plain I2C messages, as the kernel makes them (i2c_smbus_xfer_emulated)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence

from . import smbus
from .messages import NO_FLAGS, Flag, Message
from .smbus import Command, Reply

Transfer = Callable[[Sequence[Message]], list[bytes]]


def execute(command: Command, address: int, transfer: Transfer) -> Reply:
    """Do ``command`` by one ``transfer``. Raises what that raises, and OSError EBADMSG for a wrong checksum."""
    messages = _with_pec(_messages(command, address)) if command.pec else _messages(command, address)
    received = b"".join(transfer(messages))
    if command.pec and command.protocol.answers:
        received, checksum = received[:-1], received[-1]
        if checksum != pec([*(_on_the_wire(m) for m in messages[:-1]), _header(messages[-1]), received]):
            raise OSError(errno.EBADMSG, "Bad message")
    return _reply(command, received)


def _messages(command: Command, address: int) -> list[Message]:
    protocol = command.protocol
    written = _written(command)
    messages = [] if written is None else [Message(address, written)]
    if protocol.reads or protocol.kind in smbus.CALLS:
        block = protocol.kind in (smbus.BLOCK_DATA, smbus.BLOCK_PROC_CALL)
        messages.append(Message(address, None, _size(command), Flag.READ_BLOCK if block else NO_FLAGS))
    return messages


def _written(command: Command) -> bytes | None:
    """What the first message writes, or None if it reads."""
    protocol = command.protocol
    code = bytes([command.command])
    if protocol.kind == smbus.QUICK:
        return None if protocol.reads else b""
    if protocol.kind == smbus.BYTE:
        return None if protocol.reads else bytes([command.value])
    if protocol.reads:
        return code
    if protocol.kind == smbus.BYTE_DATA:
        return code + bytes([command.value])
    if protocol.kind in (smbus.WORD_DATA, smbus.PROC_CALL):
        return code + command.value.to_bytes(2, "little")
    length = b"" if protocol.kind == smbus.I2C_BLOCK_DATA else bytes([len(command.data)])
    return code + length + command.data


def _size(command: Command) -> int:
    """How many bytes the last message reads, beside those of a block that says so itself."""
    sizes = {smbus.BYTE: 1, smbus.BYTE_DATA: 1, smbus.WORD_DATA: 2, smbus.PROC_CALL: 2}
    return (
        command.size if command.protocol.kind == smbus.I2C_BLOCK_DATA else sizes.get(command.protocol.kind, 0)
    )


def _reply(command: Command, received: bytes) -> Reply:
    protocol = command.protocol
    if not protocol.answers:
        return Reply()
    if protocol.kind == smbus.I2C_BLOCK_DATA:
        return Reply(data=received)
    if protocol.kind in smbus.BLOCKS:
        return Reply(data=received[1:])
    return Reply(value=int.from_bytes(received, "little"))


# -- the checksum ------------------------------------------------------------------------------------------


def _with_pec(messages: list[Message]) -> list[Message]:
    """The checksum behind what is written, or one more byte to read."""
    last = messages[-1]
    if last.data is None:
        return [*messages[:-1], Message(last.address, None, last.size + 1, last.flags)]
    return [*messages[:-1], Message(last.address, last.data + bytes([pec([_on_the_wire(last)])]))]


def _header(message: Message) -> bytes:
    return bytes([message.address << 1 | message.is_read])


def _on_the_wire(message: Message) -> bytes:
    return _header(message) + (message.data or b"")


def pec(parts: Iterable[bytes]) -> int:
    """The packet error code: CRC-8, polynomial x^8 + x^2 + x + 1 (SMBus specification 3.0, section 6.4)."""
    crc = 0
    for byte in b"".join(parts):
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x107 if crc & 0x80 else 0)) & 0xFF
    return crc
