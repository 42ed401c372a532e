"""An input device of the test's own: it reports through a pipe what the test says, in the kernel's form."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any

from myclerk_drivers.base import Resource
from myclerk_drivers.hid.events import EV_ABS, EV_KEY, EV_LED, EV_SW, Change, State, pack

RESOURCE = Resource("hid:event0", "Keys", properties={"path": "/dev/input/event0"})
DROPPED = (0, 3, 0)


class PipeInput:
    """Both the :class:`HidBackend` and its only device."""

    def __init__(self) -> None:
        self.fd, self._far_end = os.pipe()
        os.set_blocking(self.fd, False)
        self.present = State(levels={(EV_ABS, 0): 5, (EV_SW, 0): 1, (EV_LED, 1): 0})
        self.grabbed: list[bool] = []
        self.grabbed_elsewhere = False
        self.written: list[Sequence[Change]] = []
        self.closed = 0

    # what the driver calls

    def resources(self) -> Sequence[Resource]:
        return [RESOURCE]

    def open(self, path: str) -> PipeInput:
        assert path == "/dev/input/event0"
        return self

    def describe(self) -> Mapping[str, Any]:
        capabilities = [{"type": EV_KEY, "codes": [30, 31]}, {"type": EV_LED, "codes": [1]}]
        identity = {"bus_type": 3, "vendor_id": 1, "product_id": 2, "version": 3}
        return {"name": "Keys", **identity, "properties": [], "capabilities": capabilities, "axes": []}

    def state(self) -> State:
        return self.present.copy()

    def grab(self, wanted: bool) -> None:
        if self.grabbed_elsewhere:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.grabbed.append(wanted)

    def write(self, changes: Sequence[Change]) -> None:
        self.written.append(changes)

    def close(self) -> None:
        self.closed += 1
        if self.closed == 1 and self.fd >= 0:
            for fd in (self.fd, self._far_end):
                os.close(fd)

    # what the test calls

    def report(self, *changes: Change, at: int = 1000) -> None:
        """One report, as the device makes it."""
        self.present.apply(changes)
        os.write(self._far_end, pack(changes, at))

    def overrun(self, *changes: Change) -> None:
        """What the kernel had no room for, and its sign of that."""
        self.present.apply(changes)
        os.write(self._far_end, pack([DROPPED], 1000))
