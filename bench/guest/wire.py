"""Bytes on the wire: what TCP carries for an operation, both directions together, as the kernel counts it."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

from ..measure import Metrics

BYTES, SEGMENTS = "bytes-per-operation", "segments-per-operation"
SYS_PIDFD_GETFD = 438
RECEIVED, SEGMENTS_BOTH_WAYS, SENT = (
    struct.Struct("=128xQ"),
    struct.Struct("=152xII"),
    struct.Struct("=200xQ"),
)
"""Where tcp_info (linux/tcp.h) has tcpi_bytes_received, tcpi_data_segs_in and _out, tcpi_bytes_sent."""


async def weighed(pid: int, port: int, operations: int, work: Callable[[], Awaitable[object]]) -> Metrics:
    """What each of the ``operations`` of ``work`` costs on the connections of process ``pid`` to ``port``."""
    before = _carried(pid, port)
    await work()
    after = _carried(pid, port)
    return {
        BYTES: (after[0] - before[0]) / operations,
        SEGMENTS: (after[1] - before[1]) / operations,
    }


def _carried(pid: int, port: int) -> tuple[int, int]:
    """Payload and segments with payload so far."""
    size = segments = 0
    for connection in _connections(pid, port):
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SENT.size)
        size += RECEIVED.unpack_from(info)[0] + SENT.unpack_from(info)[0]
        segments += sum(SEGMENTS_BOTH_WAYS.unpack_from(info))
    return size, segments


def _connections(pid: int, port: int) -> Iterator[socket.socket]:
    """Duplicates of the process's TCP sockets that are connected to ``port``."""
    process = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            descriptor = ctypes.CDLL(None).syscall(SYS_PIDFD_GETFD, process, int(name), 0)
            if descriptor < 0:
                continue
            try:
                copy = socket.socket(fileno=descriptor)
            except OSError:  # no socket
                os.close(descriptor)
                continue
            with copy:
                if _peer_port(copy) == port:
                    yield copy
    finally:
        os.close(process)


def _peer_port(connection: socket.socket) -> int | None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
        return None
    try:
        return int(connection.getpeername()[1])
    except OSError:  # it listens
        return None
