"""The one place where an errno of an input device becomes a status."""

from __future__ import annotations

import errno
from collections.abc import Callable

from myclerk_protocol.status import Conflict, DeviceGone, HardwareError, NotFound, OperationError

_SENTENCES: dict[int, tuple[Callable[..., OperationError], str]] = {
    errno.ENOENT: (NotFound, "there is no {name} any more; is the device plugged in?"),
    errno.ENODEV: (DeviceGone, "{name} is gone"),
    errno.ENXIO: (DeviceGone, "{name} is gone"),
    errno.EBUSY: (Conflict, "another program on the board has grabbed {name}"),
    errno.EBADF: (HardwareError, "the agent may only read {name}; is its user in the group input?"),
    errno.EACCES: (HardwareError, "the agent may not open {name}; is its user in the group input?"),
    errno.EPERM: (HardwareError, "the agent may not open {name}; is its user in the group input?"),
}


def fault(name: str, doing: str, error: OSError) -> OperationError:
    """The error to raise when ``doing`` something with the input device ``name`` failed."""
    kind, sentence = _SENTENCES.get(error.errno or 0, (HardwareError, "{doing} failed on {name}: {reason}"))
    text = sentence.format(name=name, doing=doing, reason=error.strerror or "unknown error")
    return kind(text, errno=errno.errorcode.get(error.errno or 0))
