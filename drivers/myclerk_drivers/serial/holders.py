"""Who has a tty: another driver of this agent, or another program on its machine."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from myclerk_protocol.status import Conflict, Unsupported

from . import kernel
from .faults import opening_fault
from .tty import OpenTty

CLOSING_LIMIT = 35.0
"""Seconds to wait for an earlier close of the same tty; the kernel gives its last output up to 30."""

MODEM_MANAGER = "ModemManager"
AVOID_MODEM_MANAGER = (
    "stop it (systemctl stop ModemManager), or have udev set ID_MM_DEVICE_IGNORE for this device"
)


class Program(NamedTuple):
    """A running program."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


class Use(NamedTuple):
    """What a driver has a tty for, in words for who wants it too."""

    holder: str
    remedy: str


class Place:
    """A tty that is being opened, or is open then: ``tty``."""

    def __init__(self, use: Use) -> None:
        self.use = use
        self.tty: OpenTty | None = None


class OpenTtys:
    """The ttys that this process has open, by device number, whichever driver opened them. For any thread."""

    def __init__(self) -> None:
        self._places: dict[int, Place] = {}
        self._lock = threading.Lock()

    def numbers(self) -> set[int]:
        """Device numbers of those that are in use."""
        with self._lock:
            return {number for number, place in self._places.items() if not _is_free(place)}

    @contextmanager
    def reserve(self, path: str, use: Use) -> Iterator[Place]:
        """The place of the tty at ``path``, for who sets its ``tty`` within; nobody else opens it meanwhile.

        Waits for an earlier close, so that DTR has dropped in between. Raises Conflict with what has it, NotFound.
        """
        try:
            number = os.stat(path).st_rdev
        except OSError as error:
            raise opening_fault(path, error) from None
        place = Place(use)
        while (earlier := self._take(number, place)) is not place:
            if earlier.tty is None or not earlier.tty.is_closing:
                holder, remedy = earlier.use
                raise Conflict(f"{path} is held by {holder}; {remedy}", errno="EBUSY", holder=holder)
            if not earlier.tty.closed.wait(CLOSING_LIMIT):
                raise Conflict(f"{path} is still being closed; its last output does not leave", errno="EBUSY")
        try:
            yield place
        finally:
            if place.tty is None:
                with self._lock:
                    del self._places[number]

    def _take(self, number: int, place: Place) -> Place:
        """``place``, if the tty is free; else who has it."""
        with self._lock:
            earlier = self._places.get(number)
            if earlier is None or _is_free(earlier):
                self._places[number] = earlier = place
            return earlier


def _is_free(place: Place) -> bool:
    return place.tty is not None and place.tty.closed.is_set()


OPEN_TTYS = OpenTtys()
"""Those of this process: a tty is there once, however many drivers and agents a process has."""


def open_descriptor(path: str) -> int:
    """A non-blocking descriptor of a tty that nobody else has; it does not become the controlling terminal.

    Raises NotFound, DeviceGone, HardwareError, Unsupported for what is no tty; Conflict with the holder.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise (in_use(path) if error.errno == errno.EBUSY else opening_fault(path, error)) from None
    try:
        if not os.isatty(fd):
            raise Unsupported(f"{path} is no serial port", errno="ENOTTY")
        if kernel.is_exclusive(fd):  # root's open is never refused
            raise in_use(path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def in_use(path: str) -> Conflict:
    """The error for a tty that another program holds exclusively, with its name as far as the kernel tells."""
    program = next(holders(path), None)
    manager = running(MODEM_MANAGER)
    if manager is not None and program in (None, manager):  # other users' descriptors are root's to see
        return Conflict(
            f"{path} is held by {manager} on the board; {AVOID_MODEM_MANAGER}",
            errno="EBUSY",
            holder=str(manager),
        )
    if program is not None:
        return Conflict(
            f"{path} is held by {program} on the board; stop that first", errno="EBUSY", holder=str(program)
        )
    return Conflict(f"{path} is held exclusively by another program on the board", errno="EBUSY")


def holders(path: str) -> Iterator[Program]:
    """Who has the tty open, this process left out; of other users' processes only root sees it."""
    with suppress(OSError):
        device = os.stat(path).st_rdev
        for program in _programs():
            if program.pid != os.getpid() and _has_open(program.pid, device):
                yield program


def running(name: str) -> Program | None:
    """The program of this name, if it runs."""
    return next((program for program in _programs() if program.name == name), None)


def _has_open(pid: int, device: int) -> bool:
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with suppress(OSError):
                if descriptor.stat().st_rdev == device:
                    return True
    return False


def _programs() -> Iterator[Program]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError), open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                yield Program(int(entry), file.read().strip())
