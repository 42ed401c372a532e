"""The one place where an errno of usbfs becomes a status."""

from __future__ import annotations

import errno
import os

from myclerk_protocol.status import BadRequest, Conflict, DeviceGone, HardwareError, OperationError

GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESHUTDOWN, errno.ENXIO})


def symbol(error: OSError) -> str:
    """The symbolic name of an errno, "EPIPE"."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def opening_fault(name: str, path: str, error: OSError) -> OperationError:
    """The error to raise when the node of a device cannot be opened."""
    if error.errno in GONE:
        return DeviceGone(f"{name} is gone; is it plugged in?", errno=symbol(error))
    if error.errno in (errno.EACCES, errno.EPERM):
        return HardwareError(
            f"the agent may not open {path}; let a udev rule give it to the agent's user", errno=symbol(error)
        )
    return HardwareError(f"{path} cannot be opened: {error.strerror}", errno=symbol(error))


def fault(name: str, doing: str, error: OSError) -> OperationError:
    """The error to raise when ``doing`` something to an open device failed."""
    number = error.errno or 0
    if number in (errno.ENODEV, errno.ESHUTDOWN):
        return DeviceGone(f"{name} was unplugged, or is another device now", errno=symbol(error))
    if number == errno.EBUSY:
        return Conflict(f"{doing} failed: another program on the board uses {name}", errno="EBUSY")
    if number in (errno.EINVAL, errno.ENOENT):
        return BadRequest(f"{doing} failed: {name} has no such thing", errno=symbol(error))
    if number == errno.EPIPE:
        return HardwareError(f"{doing} failed: {name} refuses it (stall)", errno="EPIPE")
    return HardwareError(f"{doing} failed on {name}: {os.strerror(number)}", errno=symbol(error))


def refusal(name: str, endpoint: int, error: OSError) -> OperationError:
    """The error of a transfer that the kernel did not take."""
    number = error.errno or 0
    if number == errno.ENOMEM:
        return HardwareError(
            f"{name}: the board's kernel has no memory for this transfer; other programs use it for USB, or the limit "
            "usbcore.usbfs_memory_mb is low",
            errno="ENOMEM",
        )
    if number in (errno.ENOENT, errno.EINVAL):
        return BadRequest(
            f"the kernel takes no such transfer on endpoint 0x{endpoint:02x} of {name}",
            key="endpoint",
            errno=symbol(error),
        )
    return HardwareError(
        f"{name}: the kernel did not take a transfer: {os.strerror(number)}", errno=symbol(error)
    )
