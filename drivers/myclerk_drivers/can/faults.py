"""The one place where an errno of SocketCAN or rtnetlink becomes a status."""

from __future__ import annotations

import errno
from collections.abc import Callable

from myclerk_protocol.status import Conflict, DeviceGone, HardwareError, NotFound, OperationError, Unsupported

GONE = frozenset({errno.ENODEV, errno.ENXIO})
REFUSED = frozenset({errno.EINVAL, errno.EDOM, errno.ERANGE, errno.EOPNOTSUPP})
"""What the kernel answers to settings that a controller cannot have."""

_SENTENCES: dict[int, tuple[Callable[..., OperationError], str]] = {
    errno.ENETDOWN: (HardwareError, "{name} is down; configure it with a bit rate, or with `up`"),
    errno.EPERM: (HardwareError, "the agent may not configure {name}; its process needs CAP_NET_ADMIN"),
    errno.EACCES: (HardwareError, "the agent may not configure {name}; its process needs CAP_NET_ADMIN"),
    errno.EBUSY: (Conflict, "{name} is busy: {reason}"),
    errno.EAFNOSUPPORT: (
        Unsupported,
        "the kernel of this board has no CAN sockets; is the module can_raw loaded?",
    ),
    errno.ENODEV: (DeviceGone, "{name} is gone"),
    errno.ENXIO: (DeviceGone, "{name} is gone"),
}


def symbol(error: OSError) -> str | None:
    """The symbolic name of an errno ("ENETDOWN"), or None when the error bears none."""
    return errno.errorcode.get(error.errno or 0)


def fault(name: str, doing: str, error: OSError) -> OperationError:
    """The error to raise when the kernel refused something on interface ``name`` while ``doing`` it."""
    kind, sentence = _SENTENCES.get(error.errno or 0, (HardwareError, "{doing} failed on {name}: {reason}"))
    reason = error.strerror or str(error) or "unknown error"
    return kind(sentence.format(name=name, doing=doing, reason=reason), errno=symbol(error))


def opening_fault(name: str, error: OSError) -> OperationError:
    """The error to raise when an interface cannot be opened."""
    if error.errno in GONE:
        return NotFound(f"there is no CAN interface {name} any more", errno=symbol(error))
    return fault(name, "opening", error)


def configuring_fault(name: str, error: OSError) -> OperationError:
    """The error to raise when the kernel did not take settings; it may say why in its own words."""
    if error.errno in REFUSED:
        return Unsupported(f"{name} did not take these settings: {error.strerror}", errno=symbol(error))
    return fault(name, "configuring", error)
