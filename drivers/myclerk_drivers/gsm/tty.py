"""Opening a modem's tty, and saying who has it when that fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from myclerk_protocol.status import Conflict, OperationError, Unsupported

from ..context import DriverContext
from ..serial import configuration, kernel
from ..serial.faults import opening_fault
from ..serial.tty import OpenTty

MODEM_MANAGER = "ModemManager"


def open_tty(path: str, baud: int, context: DriverContext) -> OpenTty:
    """A modem's tty: raw, 8N1, held exclusively; its DTR stays up when it is closed, so that calls and GNSS go on.

    May block: for a thread. Raises NotFound, DeviceGone, HardwareError, Unsupported; Conflict with the holder when
    another program has it.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        failure = opening_fault(path, error)
        raise (in_use(path) if isinstance(failure, Conflict) else failure) from None
    try:
        if not os.isatty(fd):
            raise Unsupported(f"{path} is no serial port", errno="ENOTTY")
        if kernel.is_exclusive(fd):  # root's open is never refused
            raise in_use(path)
        wanted = {**configuration.OPENING_DEFAULTS, "baud": baud, "hang_up_on_close": False}
        configuration.configure(fd, path, wanted)
        kernel.flush(fd, "both")
    except OSError as error:
        os.close(fd)
        raise (error if isinstance(error, OperationError) else opening_fault(path, error)) from None
    except BaseException:
        os.close(fd)
        raise
    tty = OpenTty(fd, path, context)
    tty.exclusive = True
    return tty


def in_use(path: str) -> Conflict:
    """The error for a tty that is held exclusively, with its holder as far as the kernel lets us see."""
    pid, program = next(_holders(path), (0, ""))
    if pid == os.getpid():
        return Conflict(f"{path} is open as a serial port of this agent; close it there first", errno="EBUSY")
    manager = next((found for found, name in _programs() if name == MODEM_MANAGER), None)
    if program == MODEM_MANAGER or (not program and manager is not None):
        who = f"{MODEM_MANAGER} (pid {pid or manager})"
        return Conflict(
            f"{path} is held by {who} on the board; stop it (systemctl stop ModemManager), "
            "or have udev set ID_MM_DEVICE_IGNORE for this modem",
            errno="EBUSY",
            holder=who,
        )
    if program:
        who = f"{program} (pid {pid})"
        return Conflict(f"{path} is held by {who} on the board; stop that first", errno="EBUSY", holder=who)
    return Conflict(f"{path} is held exclusively by another program on the board", errno="EBUSY")


def _holders(path: str) -> Iterator[tuple[int, str]]:
    """Process numbers and names of who has the tty open; of other users' processes only root sees it."""
    with suppress(OSError):
        device = os.stat(path).st_rdev
        for pid, name in _programs():
            with suppress(OSError):
                for descriptor in os.listdir(f"/proc/{pid}/fd"):
                    with suppress(OSError):
                        if os.stat(f"/proc/{pid}/fd/{descriptor}").st_rdev == device:
                            yield pid, name
                            break


def _programs() -> Iterator[tuple[int, str]]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError), open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                yield int(entry), file.read().strip()
