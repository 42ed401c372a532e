"""SocketCAN of the running kernel: sockets opened by python-can, links by rtnetlink, the rest from /sys."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from contextlib import closing
from typing import TYPE_CHECKING

from ..base import resource_part
from . import frames, netlink
from .backend import Configuration, Device, InterfaceState, Received, Reception

if TYPE_CHECKING:
    from can.interfaces.socketcan import SocketcanBus

SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
SOL_CAN_RAW = 101
CAN_RAW_FILTER, CAN_RAW_ERR_FILTER, CAN_RAW_RECV_OWN_MSGS, CAN_RAW_JOIN_FILTERS = 1, 2, 4, 6
SO_RCVBUFFORCE, SO_TIMESTAMPNS, SO_RXQ_OVFL = 33, 35, 40
SIOCGIFFLAGS = 0x8913
IFF_UP, IFF_RUNNING = 0x1, 0x40

NETWORK = "/sys/class/net"
LARGEST_ANSWER = 1 << 16
"""Bytes of one read from netlink; the kernel's dumps come in pieces of at most 32 KiB."""
NETLINK_TIMEOUT = 30.0
"""Seconds; the kernel answers when the change is made, and a USB adapter may take its time."""

_TIMESPEC = struct.Struct("@ll")
_COUNT = struct.Struct("=I")
_FILTER = struct.Struct("=II")
_FLAGS_REQUEST = struct.Struct("@16sh22x")
ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_COUNT.size)


class KernelCan:
    """The CAN interfaces of this machine; a :class:`.backend.CanBackend`."""

    def devices(self) -> list[Device]:
        """All CAN interfaces there are, by name; none whose name no terminal could show."""
        names = os.listdir(NETWORK) if os.path.isdir(NETWORK) else []
        return [_device(name) for name in sorted(names, key=_natural) if name.isprintable() and _is_can(name)]

    def interfaces(self) -> list[InterfaceState]:
        """A look at each of them, in the kernel's order."""
        return _ask(netlink.get_links())

    def interface(self, name: str) -> InterfaceState:
        """A look at one of them. Raises OSError ENODEV."""
        for state in _ask(netlink.get_link(name)):
            return state
        raise OSError(errno.ENODEV, f"{name} is no CAN interface")

    def open(self, name: str, reception: Reception, receive_buffer: int) -> KernelSocket:
        """A raw socket bound to it."""
        return KernelSocket(name, reception, receive_buffer)

    def configure(self, name: str, current: Configuration, wanted: Configuration) -> None:
        """Set bit timing, modes and restart delay in one step. Raises OSError with the kernel's words."""
        _ask(netlink.configure(name, current, wanted))

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set the MTU."""
        _ask(netlink.set_mtu(name, mtu))

    def set_up(self, name: str, up: bool) -> None:
        """Take it up or down."""
        _ask(netlink.set_up(name, up))

    def restart(self, name: str) -> None:
        """Leave bus-off. Raises OSError EBUSY when the controller is not in it."""
        _ask(netlink.restart(name))


class KernelSocket:
    """A raw CAN socket; a :class:`.backend.CanSocket`.

    python-can makes and binds it. Frames are read and written here, without its messages: their timestamps
    are floats that have lost the nanoseconds, and they know nothing of frames that were dropped.
    """

    def __init__(self, name: str, reception: Reception, receive_buffer: int) -> None:
        from can.interfaces.socketcan import (
            SocketcanBus,
        )  # a tenth of a second that an agent's start is spared

        self._bus: SocketcanBus | None = SocketcanBus(name, fd=True, ignore_rx_error_frames=True)
        self._socket: socket.socket = self._bus.socket
        self._lost = 0
        try:
            self._flags_request = _FLAGS_REQUEST.pack(name.encode(), 0)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
            self._set_receive_buffer(receive_buffer)
            self.receive_only(reception)
            self._discard()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def receive(self, limit: int) -> Received:
        """At most ``limit`` frames, in the order they came."""
        received = Received()
        take, append = self._socket.recvmsg, received.frames.append
        try:
            for _ in range(limit):
                data, ancillary, flags, _ = take(frames.FD_SIZE, ANCILLARY)
                timestamp = 0
                for _, kind, value in ancillary:
                    if kind == SO_TIMESTAMPNS:
                        seconds, nanoseconds = _TIMESPEC.unpack(value)
                        timestamp = seconds * 1_000_000_000 + nanoseconds
                    elif kind == SO_RXQ_OVFL:
                        lost = _COUNT.unpack(value)[0]
                        received.dropped += (lost - self._lost) & 0xFFFFFFFF
                        self._lost = lost
                append(frames.unpack(data, timestamp, flags))
        except BlockingIOError:
            pass
        except OSError as error:
            received.error = error
        return received

    def send(self, can_id: int, flags: int, data: bytes) -> None:
        """Queue one frame. Raises OSError."""
        self._socket.send(frames.pack(can_id, flags, data))

    def is_up(self) -> bool:
        """Whether the interface is up."""
        return bool(self._interface_flags() & IFF_UP)

    def is_running(self) -> bool:
        """Whether it is up and its controller is not in bus-off."""
        return bool(self._interface_flags() & IFF_RUNNING)

    def receive_only(self, reception: Reception) -> None:
        """Let in only what ``reception`` says."""
        filters = b"".join(_FILTER.pack(*pair) for pair in reception.filters)
        self._set(CAN_RAW_JOIN_FILTERS, reception.joined)
        self._socket.setsockopt(SOL_CAN_RAW, CAN_RAW_FILTER, filters)
        self._set(CAN_RAW_ERR_FILTER, reception.error_mask)
        self._set(CAN_RAW_RECV_OWN_MSGS, reception.receive_own)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.shutdown()

    def _set(self, option: int, value: int) -> None:
        self._socket.setsockopt(SOL_CAN_RAW, option, _COUNT.pack(value))

    def _set_receive_buffer(self, size: int) -> None:
        """As much as asked with CAP_NET_ADMIN, else up to net.core.rmem_max. The kernel doubles the number."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size // 2)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size // 2)

    def _discard(self) -> None:
        """Forget what came between binding and filtering, and that the interface is down if it is."""
        while True:
            try:
                self._socket.recv(frames.FD_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENETDOWN:
                    raise

    def _interface_flags(self) -> int:
        answer = fcntl.ioctl(self._socket, SIOCGIFFLAGS, self._flags_request)
        return int(_FLAGS_REQUEST.unpack(answer)[1])


def _ask(request: bytes) -> list[InterfaceState]:
    """Send a request to rtnetlink; the CAN interfaces in its answer. Raises OSError for a refusal."""
    found: list[InterfaceState] = []
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)) as sock:
        sock.settimeout(NETLINK_TIMEOUT)
        sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        sock.sendto(request, (0, 0))
        is_dump = request == netlink.get_links()
        while True:
            for message in netlink.messages(sock.recv(LARGEST_ANSWER)):
                if message.kind == netlink.NLMSG_ERROR:
                    netlink.check(message)
                    return found
                if message.kind == netlink.NLMSG_DONE:
                    return found
                if message.kind == netlink.RTM_NEWLINK and (state := netlink.parse_link(message.body)):
                    found.append(state)
            if not is_dump:
                return found


def _is_can(name: str) -> bool:
    """Whether an interface is one, by its hardware type."""
    try:
        with open(f"{NETWORK}/{name}/type") as file:
            return file.read().strip() == str(netlink.ARPHRD_CAN)
    except OSError:
        return False


def _device(name: str) -> Device:
    """What /sys says of the hardware behind an interface."""
    link = f"{NETWORK}/{name}/device"
    if not os.path.isdir(link):
        return Device(name)
    path = os.path.realpath(link)
    driver = os.path.realpath(f"{link}/driver")
    usb = path
    while len(usb) > 1 and not os.path.isfile(f"{usb}/idVendor"):
        usb = os.path.dirname(usb)
    return Device(
        name,
        os.path.basename(driver) if os.path.isdir(driver) else None,
        os.path.basename(path),
        f"usb:{resource_part(os.path.basename(usb))}" if len(usb) > 1 else None,
    )


def _natural(name: str) -> tuple[str, int]:
    """can2 before can10."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or -1)
