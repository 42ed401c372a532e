"""The one place where an errno of spidev becomes a status."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from myclerk_protocol.status import Conflict, DeviceGone, HardwareError, NotFound, OperationError, Unsupported

GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN})
LACKING = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY})
"""What controllers answer to a mode, a word length or a segment that they cannot do."""

OPENING: dict[int, tuple[type[OperationError], str]] = {
    errno.ENOENT: (NotFound, "there is no {path}; is SPI enabled on the board?"),
    errno.ENODEV: (DeviceGone, "{path} has no device behind it"),
    errno.ENXIO: (DeviceGone, "{path} has no device behind it"),
    errno.EBUSY: (Conflict, "{path} is held by another program on the agent's machine"),
    errno.EACCES: (HardwareError, "the agent may not open {path}; is its user in the group spi?"),
    errno.EPERM: (HardwareError, "the agent may not open {path}; is its user in the group spi?"),
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


def setting_fault(name: str, settings: Mapping[str, Any], error: OSError) -> OperationError:
    """The error to raise when the kernel did not take ``settings``."""
    if error.errno in LACKING:
        asked = [f"`{setting.replace('_', '-')}` {value}" for setting, value in settings.items()]
        what = asked[0] if len(asked) == 1 else f"one of {', '.join(asked)}"
        return Unsupported(f"the controller of {name} cannot do {what}", errno=symbol(error))
    return fault(name, error)


def fault(name: str, error: OSError) -> OperationError:
    """The error to raise when a transfer with an open device failed."""
    if error.errno in GONE:
        return DeviceGone(f"{name} is gone", errno=symbol(error))
    if error.errno in LACKING:
        return Unsupported(f"the controller of {name} cannot do this transfer", errno=symbol(error))
    return HardwareError(f"a transfer with {name} failed: {error.strerror}", errno=symbol(error))
