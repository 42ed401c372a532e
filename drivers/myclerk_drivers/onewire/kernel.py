"""The kernel's 1-Wire: sysfs for what it knows and measures, netlink for bytes on a bus.

The netlink connector answers whoever asked, so no capability is needed; it is there in the machine's own network
namespace only, hence in few containers. The w1thermsensor library is not used
here: it reads the same sysfs files, and importing it loads modules.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from myclerk_protocol.status import DeviceGone, HardwareError, OperationError, OperationTimeout, Unsupported

from . import netlink
from .backend import Bus, Slave
from .netlink import Code, Command, Conversation
from .rom import code_of
from .search import BITS

PACKET = 32 << 10
"""Bytes of the largest packet; the connector's limit is half of it."""

PROBE_SECONDS = 0.5
"""For an answer that the kernel gives while it takes the question, if it gives one."""

_MASTER = re.compile(r"w1_bus_master(\d+)")
_SEQUENCES = itertools.count(1)


class KernelOneWire:
    """The bus masters of this machine. ``timeout`` is for one access to a bus, in seconds."""

    def __init__(self, timeout: float, root: str = "/sys") -> None:
        self._timeout = timeout
        self._devices = os.path.join(root, "bus/w1/devices")

    def buses(self) -> Sequence[Bus]:
        """The buses by number, with their devices. Reads nothing that waits for a search to end."""
        slaves: dict[str, list[Slave]] = {}
        for name in self._names():
            if _MASTER.fullmatch(name):
                slaves.setdefault(name, [])
            elif (slave := self._slave(name)) is not None:
                slaves.setdefault(self._bus_of(name), []).append(slave)
        masters = sorted((name for name in slaves if _MASTER.fullmatch(name)), key=_number)
        return [Bus(name, tuple(sorted(slaves[name], key=lambda slave: slave.rom))) for name in masters]

    def _names(self) -> list[str]:
        with suppress(OSError):
            return os.listdir(self._devices)
        return []

    def _slave(self, name: str) -> Slave | None:
        try:
            code = code_of(name)
        except ValueError:
            return None
        with suppress(OSError), open(os.path.join(self._devices, name, "id"), "rb") as file:
            code = file.read(8)  # of a DS28E04, whose CRC does not follow from its name
        thermometer = os.path.exists(os.path.join(self._devices, name, "w1_slave"))
        return Slave(name, code, thermometer) if len(code) == 8 else None

    def _bus_of(self, name: str) -> str:
        return os.path.basename(os.path.dirname(os.path.realpath(os.path.join(self._devices, name))))

    def attribute(self, device: str, name: str) -> str:
        """The text of the attribute's file. Raises OSError."""
        with open(os.path.join(self._devices, device, name), encoding="ascii", errors="replace") as file:
            return file.read()

    def set_attribute(self, device: str, name: str, value: str) -> None:
        """Write to the attribute's file. Raises OSError."""
        fd = os.open(os.path.join(self._devices, device, name), os.O_WRONLY)  # sysfs refuses O_CREAT
        try:
            os.write(fd, value.encode("ascii"))
        finally:
            os.close(fd)

    def check_raw(self, bus: str) -> None:
        """Raises Unsupported, HardwareError or DeviceGone when no bytes can go to ``bus``."""
        with _connector() as connector:
            self._check_master(connector, bus)

    def exchange(self, bus: str, write: bytes, read: int, *, reset: bool = True) -> bytes | None:
        """One netlink message, during which the kernel holds the bus; it says 255 where no presence pulse was."""
        commands = netlink.transaction(write, read, reset=reset)
        self._run(bus, commands)
        if commands and commands[0].code is Code.RESET and commands.pop(0).status:
            return None
        for command in commands:
            if command.status:
                raise _refused(bus, command.status)
        return b"".join(command.answer for command in commands)

    def search_pass(self, bus: str, command: int, path: int) -> tuple[int, int] | None:
        """One netlink message with three slots for each bit: two to read it and its complement, then the direction."""
        slots = sum((3 | (path >> at & 1) << 2) << 3 * at for at in range(BITS))
        touch = Command(Code.TOUCH, slots.to_bytes(3 * BITS // 8, "little"))
        commands = [Command(Code.RESET), Command(Code.WRITE, bytes([command])), touch]
        self._run(bus, commands)
        if commands[0].status:
            return None
        answer = int.from_bytes(touch.answer, "little")
        bits = sum((answer >> 3 * at & 1) << at for at in range(BITS))
        complements = sum((answer >> 3 * at + 1 & 1) << at for at in range(BITS))
        return bits, complements

    def add(self, bus: str, code: bytes) -> None:
        """Let the kernel make a device of a ROM code; one that it has already stays."""
        number = int.from_bytes(code, "little").to_bytes(8, sys.byteorder)
        self._run(bus, [Command(Code.SLAVE_ADD, number)])

    def _run(self, bus: str, commands: Sequence[Command]) -> None:
        """Let the kernel run ``commands`` on ``bus``; they have their answers then."""
        deadline = time.monotonic() + self._timeout
        with _connector() as connector:
            self._check_master(connector, bus)
            conversation = Conversation(next(_SEQUENCES), commands)
            _send(connector, netlink.request(conversation.sequence, _number(bus), commands))
            while not conversation.finished:
                packet = _receive(connector, deadline - time.monotonic())
                if packet is None:
                    raise OperationTimeout(
                        f"the kernel did not finish within {self._timeout:g} s on {bus}; it may still do it"
                    )
                conversation.feed(packet)
        if conversation.failure:
            raise _refused(bus, conversation.failure)

    def _check_master(self, connector: socket.socket, bus: str) -> None:
        """Raise when the kernel has no 1-Wire behind the connector, or no such bus."""
        sequence = next(_SEQUENCES)
        deadline = time.monotonic() + PROBE_SECONDS
        _send(connector, netlink.list_masters(sequence))
        while (packet := _receive(connector, deadline - time.monotonic())) is not None:
            if (masters := netlink.masters(packet, sequence)) is None:
                continue
            if _number(bus) not in masters:
                raise DeviceGone(f"{bus} is gone", errno="ENODEV")
            return
        raise Unsupported(
            "the kernel's 1-Wire has no netlink interface (CONFIG_W1_CON); thermometers can be read nevertheless"
        )


def _number(bus: str) -> int:
    match = _MASTER.fullmatch(bus)
    assert match is not None
    return int(match[1])


def _connector() -> socket.socket:
    try:
        connector = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, netlink.NETLINK_CONNECTOR)
    except OSError as error:
        raise _unreachable(error) from None
    try:
        connector.connect((0, 0))  # nobody but the kernel can answer then
    except OSError as error:
        connector.close()
        raise _unreachable(error) from None
    return connector


def _send(connector: socket.socket, packet: bytes) -> None:
    try:
        connector.send(packet)
    except OSError as error:
        raise _unreachable(error) from None


def _receive(connector: socket.socket, seconds: float) -> bytes | None:
    """The next packet of the kernel, None when there is none within ``seconds``."""
    connector.settimeout(max(seconds, 0.001))
    try:
        return connector.recv(PACKET)
    except TimeoutError:
        return None
    except OSError as error:
        raise _unreachable(error) from None


def _unreachable(error: OSError) -> OperationError:
    name = errno.errorcode.get(error.errno or 0)
    match error.errno:
        case errno.EPERM | errno.EACCES:
            return HardwareError(
                "the agent may not use the kernel's 1-Wire (netlink connector); give it CAP_NET_ADMIN",
                errno=name,
            )
        case errno.ECONNREFUSED | errno.EPROTONOSUPPORT | errno.EAFNOSUPPORT:
            return Unsupported(
                "the kernel's 1-Wire (netlink connector) cannot be reached from here, as in most containers; "
                "thermometers can be read nevertheless",
                errno=name,
            )
    return HardwareError(f"the kernel's 1-Wire (netlink connector) failed: {error.strerror}", errno=name)


def _refused(bus: str, status: int) -> OperationError:
    name = errno.errorcode.get(status)
    if status == errno.ENODEV:
        return DeviceGone(f"{bus} is gone", errno=name)
    return HardwareError(f"the kernel refused an access to {bus}: {os.strerror(status)}", errno=name)
