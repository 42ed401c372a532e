"""Uevents: the kernel, or udev behind it, announces that some device came, went or changed (netlink(7), udev(7))."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from . import netlink

NETLINK_KOBJECT_UEVENT = 15  # linux/netlink.h
KERNEL, UDEV = 1, 2
"""Its multicast groups. udev repeats an event when its rules for it are done: links and permissions are there then."""
UDEV_RUNS = "/run/udev/control"
UDEV_BUSY = "/run/udev/queue"  # as `udevadm settle` has it


class Uevents(netlink.Listener):
    """Calls ``heard`` when udev, or the kernel where there is no udev, announced something. Raises OSError."""

    def __init__(self, heard: Callable[[], None]) -> None:
        super().__init__(_uevent_socket(), heard)

    @property
    def settled(self) -> bool:
        """Whether udev, if it runs, has nothing left to do."""
        return not os.path.exists(UDEV_BUSY)


def _uevent_socket() -> socket.socket:
    return netlink.member(NETLINK_KOBJECT_UEVENT, UDEV if os.path.exists(UDEV_RUNS) else KERNEL)
