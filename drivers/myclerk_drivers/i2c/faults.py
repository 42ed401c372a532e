"""The one place where an errno of i2c-dev becomes a status (Documentation/i2c/fault-codes of the kernel)."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from myclerk_protocol.status import (
    Conflict,
    DeviceGone,
    HardwareError,
    NotFound,
    OperationError,
    Unsupported,
)

NO_ANSWER = frozenset({errno.ENXIO, errno.EREMOTEIO, errno.ENODEV})
"""The address, or a byte behind it, was not acknowledged."""

OPENING: dict[int, tuple[type[OperationError], str]] = {
    errno.ENOENT: (NotFound, "there is no {path}; is the module i2c-dev loaded, and the bus enabled?"),
    errno.ENODEV: (DeviceGone, "{path} has no adapter behind it"),
    errno.ENXIO: (DeviceGone, "{path} has no adapter behind it"),
    errno.EACCES: (HardwareError, "the agent may not open {path}; is its user in the group i2c?"),
    errno.EPERM: (HardwareError, "the agent may not open {path}; is its user in the group i2c?"),
}

SENTENCES = {
    errno.ETIMEDOUT: "{bus} did not get done in time{with_whom}; something may hold SDA or SCL low",
    errno.EAGAIN: "another master was faster on {bus}; try again",
    errno.EBUSY: "{bus} is busy and did not become free",
    errno.EBADMSG: "the checksum (PEC) of the answer{from_whom} on {bus} is wrong",
    errno.EPROTO: "the answer{from_whom} on {bus} has no possible length for a block",
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


def taken(bus: str, address: int, driver: str | None) -> Conflict:
    """The error to raise when a kernel driver has ``address``."""
    who = f"the kernel driver {driver}" if driver else "a kernel driver"
    return Conflict(
        f"0x{address:02x} on {bus} belongs to {who}; `force` talks to it nevertheless, which may confuse both",
        errno="EBUSY",
        holder=who,
    )


def gone(bus: str, error: OSError | None = None) -> DeviceGone:
    """The error to raise when the adapter of ``bus`` was unplugged."""
    return DeviceGone(f"the adapter of {bus} is gone", errno="ENODEV" if error is None else symbol(error))


def fault(bus: str, addresses: Iterable[int], error: OSError) -> OperationError:
    """The error to raise when a transfer with ``addresses`` on ``bus``, which is still there, failed."""
    devices = " or ".join(f"0x{address:02x}" for address in dict.fromkeys(addresses))
    code = error.errno or 0
    if code in NO_ANSWER:
        return HardwareError(f"no device answered at {devices} on {bus}", errno=symbol(error))
    if code == errno.ESHUTDOWN:
        return gone(bus, error)
    if code == errno.EOPNOTSUPP:
        return Unsupported(f"the adapter of {bus} cannot do this transfer", errno=symbol(error))
    sentence = SENTENCES.get(
        code, "a transfer{with_whom} on {bus} failed: " + (error.strerror or "unknown error")
    )
    text = sentence.format(bus=bus, with_whom=f" with {devices}", from_whom=f" of {devices}")
    return HardwareError(text, errno=symbol(error))
