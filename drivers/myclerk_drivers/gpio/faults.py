"""The one place where an errno of a GPIO or PWM chip becomes a status."""

from __future__ import annotations

import errno

from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    HardwareError,
    OperationError,
    Unsupported,
)

ENOTSUPP = 524
"""The kernel's own errno for what a driver cannot do; user space has no name for it."""

LACKING = frozenset({errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP})
GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESHUTDOWN})
REFUSED = frozenset({errno.EACCES, errno.EPERM})


def symbol(error: OSError) -> str | None:
    """The symbolic name of an errno ("EIO"), or None when it has none."""
    return errno.errorcode.get(error.errno or 0)


def fault(name: str, doing: str, error: OSError) -> OperationError:
    """The error to raise when ``doing`` something failed on resource ``name``."""
    number = symbol(error)
    if error.errno in GONE:
        return DeviceGone(f"{name} is gone", errno=number)
    if error.errno in LACKING:
        return Unsupported(f"{name} does not support {doing}", errno=number)
    return HardwareError(f"{doing} failed on {name}: {error.strerror}", errno=number)


def request_fault(name: str, consumers: str, error: OSError) -> OperationError:
    """The error to raise when lines could not be requested; ``consumers`` says who uses them."""
    if error.errno == errno.EBUSY:
        return Conflict(f"{name} is in use on the board by {consumers or 'another program'}", errno="EBUSY")
    if error.errno == errno.E2BIG:
        return BadRequest(f"too many different settings in one request on {name}; split it", errno="E2BIG")
    if error.errno in REFUSED:
        return HardwareError(
            f"the agent may not request {name}; is its user in the group gpio?", errno=symbol(error)
        )
    return fault(name, "these settings", error)


def watch_fault(name: str, error: OSError) -> OperationError:
    """The error to raise when edges cannot be detected. ENXIO: the chip has no interrupt for the line."""
    if error.errno == errno.ENXIO:
        return Unsupported(f"{name} cannot detect edges; read its value from time to time", errno="ENXIO")
    return fault(name, "the detection of edges", error)


def pwm_fault(name: str, error: OSError) -> OperationError:
    """The error to raise when a PWM channel could not be taken or did not take a waveform."""
    if error.errno == errno.EBUSY:
        return Conflict(f"{name} is in use on the board by another program", errno="EBUSY")
    if error.errno in REFUSED:
        return HardwareError(
            f"the agent may not use {name}; may its user write below /sys/class/pwm?", errno=symbol(error)
        )
    if error.errno in (errno.EINVAL, errno.ERANGE):
        return Unsupported(f"{name} cannot do this period, duty cycle or polarity", errno=symbol(error))
    return fault(name, "PWM", error)
