"""The one place where a tty's errno becomes a status."""

from __future__ import annotations

import errno
from collections.abc import Callable

from myclerk_protocol.status import (
    DeviceGone,
    HardwareError,
    NotFound,
    OperationError,
    Unsupported,
)

from . import kernel

LACKING = frozenset({errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})
"""What drivers answer to an ioctl that they do not have."""

GONE = frozenset({errno.ENODEV, errno.ENXIO})

OPENING: dict[int, tuple[Callable[..., OperationError], str]] = {
    errno.ENOENT: (NotFound, "there is no {path}; is the device plugged in?"),
    errno.ENODEV: (DeviceGone, "{path} has no device behind it"),
    errno.ENXIO: (DeviceGone, "{path} has no device behind it"),
    errno.EACCES: (HardwareError, "the agent may not open {path}; is its user in the group dialout?"),
    errno.EPERM: (HardwareError, "the agent may not open {path}; is its user in the group dialout?"),
}


def symbol(error: OSError) -> str | None:
    """The symbolic name of an errno ("EIO"), or None when the error bears none."""
    return errno.errorcode.get(error.errno or 0)


def opening_fault(path: str, error: OSError) -> OperationError:
    """The error to raise when ``path`` cannot be opened."""
    kind, sentence = OPENING.get(
        error.errno or 0, (HardwareError, "{path} cannot be opened: " + (error.strerror or "unknown error"))
    )
    return kind(sentence.format(path=path), errno=symbol(error))


def has_left(fd: int, error: OSError) -> bool:
    """Whether an error says that the device is gone; EIO alone may also be a failed USB transfer."""
    return error.errno in GONE or (error.errno == errno.EIO and kernel.is_hung_up(fd))


def fault(fd: int, name: str, doing: str, error: OSError) -> OperationError:
    """The error to raise when an ioctl, read or write on an open tty failed while ``doing`` something."""
    if has_left(fd, error):
        return DeviceGone(f"{name} is gone", errno=symbol(error))
    if error.errno in LACKING:
        return Unsupported(f"the driver of {name} does not support {doing}", errno=symbol(error))
    return HardwareError(f"{doing} failed on {name}: {error.strerror}", errno=symbol(error))
