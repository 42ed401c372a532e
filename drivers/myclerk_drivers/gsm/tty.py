"""Opening a modem's tty, and who else may use it.

ModemManager opens the ttys of the modems that it knows with TIOCEXCL (its mm-port-serial.c), so that we are refused.
Our own TIOCEXCL does not keep it out, as it runs as root. What does is ID_MM_DEVICE_IGNORE in udev's data; other
ttys than those on USB are left alone unless udev says so ("Modem filter" in ModemManager's reference manual).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from myclerk_protocol.status import OperationError

from ..context import DriverContext
from ..serial import configuration, kernel
from ..serial.faults import opening_fault
from ..serial.holders import AVOID_MODEM_MANAGER, MODEM_MANAGER, OPEN_TTYS, Use, open_descriptor, running
from ..serial.tty import OpenTty

USE = Use("this agent's modem driver (gsm)", "`myclerk modem release` gives it back")

IGNORED = {"E:ID_MM_DEVICE_IGNORE=1", "E:ID_MM_PORT_IGNORE=1"}


def open_tty(path: str, baud: int, context: DriverContext) -> OpenTty:
    """A modem's tty: raw, 8N1, held exclusively; its DTR stays up when it is closed, so that calls and GNSS go on.

    May block: for a thread. Raises NotFound, DeviceGone, HardwareError, Unsupported; Conflict with who has it.
    """
    with OPEN_TTYS.reserve(path, USE) as place:
        fd = open_descriptor(path)
        try:
            wanted = {**configuration.OPENING_DEFAULTS, "baud": baud, "hang_up_on_close": False}
            configuration.configure(fd, path, wanted)
            kernel.flush(fd, "both")
        except OSError as error:
            os.close(fd)
            raise (error if isinstance(error, OperationError) else opening_fault(path, error)) from None
        except BaseException:
            os.close(fd)
            raise
        place.tty = tty = OpenTty(fd, path, context)
        tty.exclusive = True
    return tty


def disturber(path: str) -> str:
    """A sentence about ModemManager, if it runs and may take this tty; else ""."""
    manager = running(MODEM_MANAGER)
    if manager is None or not _is_candidate(path):
        return ""
    return f"{manager} runs on the board and may use {path} too; {AVOID_MODEM_MANAGER}"


def _is_candidate(path: str) -> bool:
    """Whether a tty is one on USB, and udev's data of it or of what it hangs on have no ID_MM_..._IGNORE."""
    with suppress(OSError):
        number = os.stat(path).st_rdev
        node = Path(f"/sys/dev/char/{os.major(number)}:{os.minor(number)}").resolve()
        return "/usb" in str(node) and not any(map(_is_ignored, (node, *node.parents)))
    return False


def _is_ignored(device: Path) -> bool:
    with suppress(OSError):
        data = Path(f"/run/udev/data/c{(device / 'dev').read_text().strip()}").read_text()
        return bool(IGNORED & set(data.splitlines()))
    return False
