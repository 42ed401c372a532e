"""Netlink sockets (netlink(7)) that only say when to look: what their messages say is not read."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable


class Listener:
    """Calls ``heard`` when something came in at ``netlink``, a socket of :func:`member`, which it takes over."""

    def __init__(self, netlink: socket.socket, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._socket = netlink
        self._loop.add_reader(netlink.fileno(), self._readable)

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


def member(protocol: int, groups: int) -> socket.socket:
    """A socket in multicast ``groups`` (bits) of a netlink ``protocol``. Raises OSError."""
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    try:
        found.bind((0, groups))
    except OSError:
        found.close()
        raise
    return found
