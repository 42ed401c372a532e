"""Messages of the kernel's 1-Wire netlink interface (Documentation/w1/w1-netlink.rst, drivers/w1/w1_netlink.h).

A request is one connector message with one ``w1_netlink_msg`` for one bus master, which holds commands. The
kernel runs them in their order while it holds the bus. For each command come its data, if it has any, and then
its status; data have ``ack`` = ``seq`` + 1, a status has the request's ``ack``, which is 0 here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

NETLINK_CONNECTOR = 11
CN_W1 = (3, 1)
"""CN_W1_IDX, CN_W1_VAL: the address of the w1 subsystem behind the connector (linux/connector.h)."""

NLMSG_DONE = 3
MASTER_CMD, LIST_MASTERS = 4, 6

CHUNK = 64
"""Bytes of one command: the packet of a USB adapter, half its FIFO."""

_NETLINK = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_CONNECTOR = struct.Struct("=IIIIHH")  # cn_msg: idx, val, seq, ack, length, flags
_MESSAGE = struct.Struct("=BBHII")  # w1_netlink_msg: type, status, length, master, reserved
_COMMAND = struct.Struct("=BBH")  # w1_netlink_cmd: command, reserved, length


class Code(IntEnum):
    """enum w1_commands."""

    READ = 0
    WRITE = 1
    TOUCH = 4
    RESET = 5
    SLAVE_ADD = 6


@dataclass(slots=True)
class Command:
    """One command with what came of it; ``status`` is an errno, 0 for success, None before it is known."""

    code: Code
    data: bytes = b""
    answer: bytes = b""
    status: int | None = None


def transaction(write: bytes, read: int, *, reset: bool) -> list[Command]:
    """The commands that reset, write and read, in portions that every adapter takes."""
    commands = [Command(Code.RESET)] if reset else []
    commands += [Command(Code.WRITE, write[at : at + CHUNK]) for at in range(0, len(write), CHUNK)]
    commands += [Command(Code.READ, bytes(min(CHUNK, read - at))) for at in range(0, read, CHUNK)]
    return commands


def list_masters(sequence: int) -> bytes:
    """The request that the kernel answers with the numbers of its bus masters, before send(2) returns."""
    return _packet(sequence, _MESSAGE.pack(LIST_MASTERS, 0, 0, 0, 0))


def request(sequence: int, master: int, commands: Sequence[Command]) -> bytes:
    """The request to run ``commands`` on the bus of ``master`` (1 for w1_bus_master1)."""
    body = b"".join(_COMMAND.pack(c.code, 0, len(c.data)) + c.data for c in commands)
    return _packet(sequence, _MESSAGE.pack(MASTER_CMD, 0, len(body), master, 0) + body)


def _packet(sequence: int, body: bytes) -> bytes:
    message = _CONNECTOR.pack(*CN_W1, sequence, 0, len(body), 0) + body
    return _NETLINK.pack(_NETLINK.size + len(message), NLMSG_DONE, 0, sequence, 0) + message


def masters(packet: bytes, sequence: int) -> list[int] | None:
    """The bus masters that an answer to :func:`list_masters` names; None if ``packet`` is no such answer."""
    for _, kind, _, body in _messages(packet, sequence):
        if kind == LIST_MASTERS:
            return [number for (number,) in struct.iter_unpack("=I", body[: len(body) & ~3])]
    return None


@dataclass(slots=True)
class Conversation:
    """The commands of one request, completed by what the kernel answers.

    ``failure`` is the errno with which it refused the request as a whole, 0 if it did not.
    """

    sequence: int
    commands: Sequence[Command]
    failure: int = 0
    _done: int = field(default=0, init=False)

    @property
    def finished(self) -> bool:
        """Whether no more answers come."""
        return self.failure != 0 or self._done == len(self.commands)

    def feed(self, packet: bytes) -> None:
        """Take one packet. What is no answer to this request is ignored."""
        for ack, kind, status, body in _messages(packet, self.sequence):
            if kind != MASTER_CMD or self.finished:
                continue
            if len(body) < _COMMAND.size:
                self.failure = status
                continue
            command = self.commands[self._done]
            if ack == 0:
                command.status = status
                self._done += 1
            else:
                command.answer += body[_COMMAND.size :]


def _messages(packet: bytes, sequence: int) -> Iterator[tuple[int, int, int, bytes]]:
    """(ack, type, status, body) of each w1_netlink_msg in ``packet`` that answers the request ``sequence``.

    A packet has one or several connector messages. The kernel also sends empty ones with nothing in their header.
    """
    at = _NETLINK.size
    while at + _CONNECTOR.size <= len(packet):
        idx, val, seq, ack, length, _ = _CONNECTOR.unpack_from(packet, at)
        at += _CONNECTOR.size
        if (idx, val) == CN_W1 and seq == sequence and length >= _MESSAGE.size and at + length <= len(packet):
            kind, status, size, _, _ = _MESSAGE.unpack_from(packet, at)
            yield ack, kind, status, packet[at + _MESSAGE.size : at + min(_MESSAGE.size + size, length)]
        at += length
