"""Uevents: the kernel, or udev behind it, announces that some device came, went or changed (netlink(7), udev(7))."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable

NETLINK_KOBJECT_UEVENT = 15  # linux/netlink.h
KERNEL, UDEV = 1, 2
"""Its multicast groups. udev repeats an event when its rules for it are done: links and permissions are there then."""
UDEV_RUNS = "/run/udev/control"
UDEV_BUSY = "/run/udev/queue"  # as `udevadm settle` has it


class Uevents:
    """Calls ``heard`` when udev, or the kernel where there is no udev, announced something. Raises OSError.

    What the messages say is not read.
    """

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._socket = _uevent_socket()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def settled(self) -> bool:
        """Whether udev, if it runs, has nothing left to do."""
        return not os.path.exists(UDEV_BUSY)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        try:
            while self._socket.recv(1):
                pass
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # more came than its buffer holds: a look finds what it was
                raise
        self._heard()


def _uevent_socket() -> socket.socket:
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT)
    try:
        found.bind((0, UDEV if os.path.exists(UDEV_RUNS) else KERNEL))
    except OSError:
        found.close()
        raise
    return found
