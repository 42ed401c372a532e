"""The kernel's evdev interface: ioctls of linux/input.h (Documentation/input/input.rst).

The library python-evdev would serve as well; its import takes as long as all other imports of the agent together,
and it has to be compiled where there is no package of it. This is what the driver needs of it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..base import Resource
from .events import ABS_MT_SLOT, EV_ABS, EV_KEY, EV_LED, EV_SND, EV_SW, MT_AXES, Change, State, pack
from .listing import list_devices

EV_REP = 0x14
EV_FF = 0x15
EV_PWR = 0x16
EV_FF_STATUS = 0x17
NOT_TOLD = frozenset({0, EV_REP, EV_FF, EV_PWR, EV_FF_STATUS})
"""Types without codes, and those whose codes nobody but the board can use."""
LARGEST_CODE = {EV_KEY: 0x2FF, EV_ABS: 0x3F}
"""Of the other types it is below 32."""
LARGEST_TYPE = 0x1F
TEXT = 256
STATES = {EV_KEY: 0x18, EV_LED: 0x19, EV_SND: 0x1A, EV_SW: 0x1B}

_IDENTITY = struct.Struct("@4H")  # bus type, vendor, product, version
_AXIS = struct.Struct("@6i")  # value, minimum, maximum, fuzz, flat, resolution
_READ, _WRITE = 2, 1


def ioctl_number(direction: int, group: str, number: int, size: int) -> int:
    """_IOC() of asm-generic/ioctl.h."""
    return direction << 30 | size << 16 | ord(group) << 8 | number


EVIOCGRAB = ioctl_number(_WRITE, "E", 0x90, 4)


class KernelInput:
    """The input devices of this machine; a :class:`.backend.HidBackend`."""

    def resources(self) -> Sequence[Resource]:
        """Those in /sys/class/input that have a node in /dev."""
        return list_devices()

    def open(self, path: str) -> KernelDevice:
        """Open one for reading, and for writing where that is allowed. Raises OSError."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except PermissionError:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        return KernelDevice(fd)

    def close(self) -> None:
        """Nothing: only open devices hold anything."""


class KernelDevice:
    """An open /dev/input/eventN; a :class:`.backend.InputDevice`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def describe(self) -> Mapping[str, Any]:
        """Names, identity, capabilities and ranges of axes."""
        bus, vendor, product, version = _IDENTITY.unpack(self._read(0x02, _IDENTITY.size))
        kinds = (kind for kind in _bits(self._read(0x20, LARGEST_TYPE // 8 + 1)) if kind not in NOT_TOLD)
        capabilities = {kind: list(self._codes(kind)) for kind in kinds}
        return {
            "name": self._text(0x06),
            "phys": self._text(0x07),
            "uniq": self._text(0x08),
            "bus_type": bus,
            "vendor_id": vendor,
            "product_id": product,
            "version": version,
            "properties": list(_bits(self._read(0x09, 4))),
            "capabilities": [{"type": kind, "codes": codes} for kind, codes in capabilities.items()],
            "axes": [self._axis(code) for code in capabilities.get(EV_ABS, ())],
        }

    def state(self) -> State:
        """What is down, on, and where. The kernel forgets events of this descriptor that led there."""
        state = State(keys=set(_bits(self._read(STATES[EV_KEY], LARGEST_CODE[EV_KEY] // 8 + 1))))
        for kind in (EV_SW, EV_LED, EV_SND):
            on = set(_bits(self._read(STATES[kind], 4)))
            state.levels.update({(kind, code): int(code in on) for code in self._codes(kind)})
        axes = list(self._codes(EV_ABS))
        for code in axes:
            if code != ABS_MT_SLOT and code not in MT_AXES:
                state.levels[EV_ABS, code] = self._axis(code)["value"]
        if ABS_MT_SLOT in axes:
            slots = self._axis(ABS_MT_SLOT)
            state.slot = slots["value"]
            state.contacts = {number: {} for number in range(slots["maximum"] + 1)}
            for code in axes:
                if code in MT_AXES:
                    for number, value in enumerate(self._slots(code, len(state.contacts))):
                        state.contacts[number][code] = value
        return state

    def grab(self, wanted: bool) -> None:
        """EVIOCGRAB. Raises OSError, EBUSY when another program has grabbed it."""
        fcntl.ioctl(self.fd, EVIOCGRAB, int(wanted))

    def write(self, changes: Sequence[Change]) -> None:
        """Set lights and sounds. Raises OSError."""
        os.write(self.fd, pack(changes))

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)

    def _read(self, number: int, size: int) -> bytes:
        buffer = bytearray(size)
        fcntl.ioctl(self.fd, ioctl_number(_READ, "E", number, size), buffer)
        return bytes(buffer)

    def _text(self, number: int) -> str | None:
        try:
            raw = self._read(number, TEXT)
        except OSError:  # ENOENT: it has none
            return None
        text = raw.partition(b"\0")[0].decode(errors="replace")
        return "".join(c for c in text if c.isprintable()) or None

    def _codes(self, kind: int) -> Iterator[int]:
        return _bits(self._read(0x20 + kind, LARGEST_CODE.get(kind, LARGEST_TYPE) // 8 + 1))

    def _axis(self, code: int) -> dict[str, int]:
        value, minimum, maximum, fuzz, flat, resolution = _AXIS.unpack(self._read(0x40 + code, _AXIS.size))
        return {
            "code": code, "value": value, "minimum": minimum, "maximum": maximum, "fuzz": fuzz, "flat": flat,
            "resolution": resolution,
        }  # fmt: skip

    def _slots(self, code: int, count: int) -> Sequence[int]:
        """EVIOCGMTSLOTS: the value of a contact's axis in each slot."""
        request = struct.Struct(f"@I{count}i")
        buffer = bytearray(request.pack(code, *[0] * count))
        fcntl.ioctl(self.fd, ioctl_number(_READ, "E", 0x0A, request.size), buffer)
        return [int(value) for value in request.unpack(buffer)[1:]]


def _bits(mask: bytes) -> Iterator[int]:
    """The numbers of the bits that are set; the machine is little-endian, as all that Linux boards have."""
    number = int.from_bytes(mask, "little")
    return (bit for bit in range(number.bit_length()) if number >> bit & 1)
