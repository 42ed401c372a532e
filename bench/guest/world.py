"""The outside world: edges on a GPIO line and frames on a CAN bus, at even times, by a process of its own.

As a program it takes one JSON object per line, does what it says, and answers with another.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

CAN_FRAME = struct.Struct("=IB3x8s")
PR_SET_TIMERSLACK = 29
SOL_CAN_RAW, CAN_RAW_FILTER, SO_TIMESTAMPNS = 101, 1, 35
OTHER_ID, LAST_ID = 0x200, 0x7FF
"""Identifiers of the frames that nobody answers, and of the last of many."""


@contextmanager
def timestamping() -> Iterator[None]:
    """Keep the kernel's timestamping of packets switched on.

    With the first socket that wants it and after the last one the kernel rewrites its own code, which panics now
    and then when processors are emulated by several threads; CAN sockets come and go by the hundred here.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        yield


class World:
    """The process, seen from the one that measures."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def edges(self, pull: str, count: int, per_second: float) -> Awaitable[float]:
        """Begin to write ``count`` edges to the pull attribute of a gpio-sim line; the seconds it took."""
        return self._ask({"pull": pull, "count": count, "per_second": per_second})

    def frames(self, interface: str, count: int, per_second: float) -> Awaitable[float]:
        """Begin to send ``count`` frames, the last with LAST_ID; 0 ``per_second``: as fast as it goes."""
        return self._ask({"interface": interface, "count": count, "per_second": per_second})

    def _ask(self, wanted: dict[str, object]) -> Awaitable[float]:
        """It begins at once, also when this process then blocks."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        return asyncio.to_thread(self._answer)

    def _answer(self) -> float:
        assert self._process.stdout is not None
        return float(json.loads(self._process.stdout.readline()))


@contextmanager
def world() -> Iterator[World]:
    """Start it."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield World(process)
        finally:
            process.kill()


def can_socket(interface: str, only: int | None = None) -> socket.socket:
    """A raw CAN socket that receives nothing, or ``only`` frames with that identifier."""
    raw = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    filters = b"" if only is None else struct.pack("=II", only, 0x7FF)
    raw.setsockopt(SOL_CAN_RAW, CAN_RAW_FILTER, filters)
    raw.bind((interface,))
    return raw


def _evenly(do: Callable[[int], object], count: int, per_second: float) -> float:
    """Do it ``count`` times at even times, as fast as it goes if it is late; the seconds it took."""
    period = 1 / per_second if per_second else 0.0
    start = time.monotonic()
    for number in range(count):
        do(number)
        wait = start + (number + 1) * period - time.monotonic()
        if wait > 0:
            time.sleep(wait)
    return time.monotonic() - start


def _edges(pull: str, count: int, per_second: float) -> float:
    descriptor = os.open(pull, os.O_WRONLY)
    try:
        return _evenly(
            lambda n: os.pwrite(descriptor, b"pull-down" if n & 1 else b"pull-up", 0), count, per_second
        )
    finally:
        os.close(descriptor)


def _frames(interface: str, count: int, per_second: float) -> float:
    with can_socket(interface) as raw:

        def send(number: int) -> None:
            identifier = LAST_ID if number == count - 1 else OTHER_ID
            frame = CAN_FRAME.pack(identifier, 8, number.to_bytes(8, "big"))
            while True:
                try:
                    raw.send(frame)
                    return
                except OSError:  # ENOBUFS: the interface's queue is full
                    time.sleep(0.001)

        return _evenly(send, count, per_second)


def main() -> None:
    """Do what each line says, on any core."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)  # else each pause is 50 us longer
    for line in sys.stdin:
        wanted = json.loads(line)
        print((_edges if "pull" in wanted else _frames)(**wanted), flush=True)


if __name__ == "__main__":
    main()
