"""Simulated keyboards that type the same keys again and again, behind real descriptors.

The table ``[hid]`` of a board's description has one table for each device::

    [hid.event0]
    name = "Simulated keyboard"   # the default
    keys = [35, 23]               # KEY_H, KEY_I of linux/input-event-codes.h: pressed and released in turn
    every = 0.5                   # seconds between two presses; default 1.0
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any

from ..base import Resource, resource_part
from ..context import DriverContext, Timer
from ..description import check_keys, get
from .events import EV_KEY, EV_LED, Change, State, pack
from .listing import kinds

LARGEST_KEY = 0x2FF
LIGHTS = (0, 1, 2)  # LED_NUML, LED_CAPSL, LED_SCROLLL
KEYS = range(1, 128)


class SimulatedHid:
    """Keyboards in memory; a :class:`.backend.HidBackend`."""

    def __init__(self, keyboards: Mapping[str, Keyboard]) -> None:
        self._keyboards = dict(keyboards)

    @classmethod
    def from_description(cls, table: Mapping[str, Any], context: DriverContext) -> SimulatedHid:
        """What the table ``[hid]`` describes. Raises ValueError, naming the key at fault."""
        keyboards = {}
        for name, device in table.items():
            where = f"hid.{name}"
            if not isinstance(device, dict):
                raise ValueError(f"`{where}` must be a table")
            check_keys(device, where, ("name", "keys", "every"))
            keys = get(device, where, "keys", list, [])
            if not all(type(key) is int and 1 <= key <= LARGEST_KEY for key in keys):
                raise ValueError(f"`{where}.keys` must be a list of key codes, 1 to {LARGEST_KEY}")
            every = get(device, where, "every", (int, float), 1.0)
            if not 0.001 <= every <= 3600:
                raise ValueError(f"`{where}.every` must lie between 0.001 and 3600 seconds")
            title = get(device, where, "name", str, "Simulated keyboard")
            keyboards[name] = Keyboard(name, title, keys, every, context)
        return cls(keyboards)

    def resources(self) -> Sequence[Resource]:
        """The devices of the description."""
        return [keyboard.resource for keyboard in self._keyboards.values()]

    def open(self, path: str) -> SimulatedDevice:
        """Open one, on any thread."""
        return SimulatedDevice(self._keyboards[os.path.basename(path)])

    def close(self) -> None:
        """Stop typing. Idempotent."""
        for keyboard in self._keyboards.values():
            keyboard.stop()


class Keyboard:
    """A device that is described: it types from its making to :meth:`stop`, whoever reads it."""

    def __init__(
        self, name: str, title: str, keys: Sequence[int], every: float, context: DriverContext
    ) -> None:
        self.title = title
        self.codes = sorted({*KEYS, *keys})
        self.state = State(levels={(EV_LED, code): 0 for code in LIGHTS})
        self.readers: set[SimulatedDevice] = set()
        description = f"{title} ({name})"
        properties = {
            "path": f"/dev/input/{name}",
            "description": description,
            "kinds": kinds({"key": self.codes}, ()),
            "bus": "virtual",
        }
        self.resource = Resource(f"hid:{resource_part(name)}", description, properties=properties)
        self._strokes = cycle([(EV_KEY, key, value) for key in keys for value in (1, 0)])
        self._context = context
        self._pause = every / 2
        self._timer: Timer | None = context.call_later(self._pause, self._type) if keys else None

    def stop(self) -> None:
        """Type no more."""
        if self._timer is not None:
            self._timer.cancel()

    def report(self, changes: Sequence[Change]) -> None:
        """Tell everybody who has the device open."""
        self.state.apply(changes)
        for reader in tuple(self.readers):
            reader.deliver(pack(changes, time.time_ns()))

    def _type(self) -> None:
        self.report([next(self._strokes)])
        self._timer = self._context.call_later(self._pause, self._type)


class SimulatedDevice:
    """An open keyboard; a :class:`.backend.InputDevice`. Events come through a pipe, in the kernel's form."""

    def __init__(self, keyboard: Keyboard) -> None:
        self.fd, self._far_end = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._far_end, False)
        self._keyboard = keyboard
        keyboard.readers.add(self)

    def describe(self) -> Mapping[str, Any]:
        """What it would say of itself."""
        return {
            "name": self._keyboard.title,
            "bus_type": 0x06,
            "vendor_id": 0,
            "product_id": 0,
            "version": 1,
            "properties": [],
            "capabilities": [
                {"type": EV_KEY, "codes": self._keyboard.codes},
                {"type": EV_LED, "codes": list(LIGHTS)},
            ],
            "axes": [],
        }

    def state(self) -> State:
        """What is down and on."""
        return self._keyboard.state.copy()

    def grab(self, wanted: bool) -> None:
        """Nothing: nobody else is there."""

    def write(self, changes: Sequence[Change]) -> None:
        """Set lights; as at a real device, everybody who reads is told of changes."""
        levels = self._keyboard.state.levels
        changed = [(kind, code, int(bool(value))) for kind, code, value in changes]
        changed = [change for change in changed if levels.get(change[:2]) != change[2]]
        if changed:
            self._keyboard.report(changed)

    def close(self) -> None:
        """Close the pipe."""
        self._keyboard.readers.discard(self)
        os.close(self.fd)
        os.close(self._far_end)

    def deliver(self, data: bytes) -> None:
        """Put events into the pipe, as far as there is room."""
        with suppress(BlockingIOError):
            os.write(self._far_end, data)
