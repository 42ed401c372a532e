"""The one boundary where exceptions become statuses: kernel errors keep their errno, surprises say nothing."""

from __future__ import annotations

import errno

from myclerk_protocol.status import DeviceGone, HardwareError, InternalError, OperationError

GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN})


def translate(error: BaseException, resource: str = "") -> OperationError:
    """The error that goes to the client for whatever a driver raised on ``resource`` ("" for none)."""
    if isinstance(error, OperationError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        name = errno.errorcode.get(error.errno, str(error.errno))
        where = resource or error.filename or "the device"
        kind = DeviceGone if error.errno in GONE else HardwareError
        return kind(f"{where}: {error.strerror or name}", errno=name)
    return InternalError("the agent met an unexpected error; its log says more")
