"""An input device of this machine made with uinput, as a twin of one at a board (linux/uinput.h)."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from myclerk_protocol.status import HardwareError, NotFound, Unsupported

from .input_codes import EV_ABS, EV_KEY, EV_LED, EV_SND

PATH = "/dev/uinput"
LONGEST_NAME = 79
EV_SYN: Final = 0
REPEAT: Final = 2
ABS_MT_SLOT: Final = 0x2F
ABS_MT_TRACKING_ID: Final = 0x39

_EVENT = struct.Struct("@llHHi")  # seconds, microseconds, type, code, value
_SETUP = struct.Struct("@4H80sI")  # bus type, vendor, product, version, name, effects
_AXIS = struct.Struct("@H2x6i")  # code, value, minimum, maximum, fuzz, flat, resolution
_DEVICE_CREATE: Final = 0x5501
_SET_TYPE, _SET_PROPERTY = 100, 110
_SET_CODE = {0x01: 101, 0x02: 102, EV_ABS: 103, 0x04: 104, EV_LED: 105, EV_SND: 106, 0x05: 109}

Change = Sequence[int]
"""Type, code and value of an event."""


def _write_number(number: int, size: int) -> int:
    """_IOW('U', number, ...) of asm-generic/ioctl.h."""
    return 1 << 30 | size << 16 | ord("U") << 8 | number


class VirtualInput:
    """A device that reports what it is given, as long as it is open; when it is closed, or this program dies, the
    kernel takes it away and releases its keys.

    ``description`` is a :attr:`HidDevice.description`. It does not repeat keys itself. Raises NotFound without
    uinput, HardwareError when it may not be used, Unsupported for a description that the kernel does not take.
    """

    def __init__(self, description: Mapping[str, Any], name: str | None = None) -> None:
        self.name: str = (
            (name or description.get("name") or "myclerk input")
            .encode()[:LONGEST_NAME]
            .decode(errors="ignore")
        )
        self.held: set[int] = set()
        self._contacts: set[int] = set()
        self._slot = 0
        self._codes = {row["type"]: frozenset(row["codes"]) for row in description["capabilities"]}
        self.fd = _open()
        try:
            self._set_up(description)
        except OSError as error:
            os.close(self.fd)
            raise Unsupported(f"the kernel here does not make such a device: {error.strerror}") from None

    def __enter__(self) -> VirtualInput:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the device away. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def report(self, changes: Iterable[Change]) -> None:
        """Report events at once. Lights, and repeats of keys that are up here, are left out."""
        events = [event for event in changes if self._passes(*event)]
        for event in events:
            self._follow(*event)
        self._write(events)

    def release(self) -> None:
        """Let go of all keys and contacts that are down."""
        events: list[Change] = [(EV_KEY, code, 0) for code in sorted(self.held)]
        for slot in sorted(self._contacts):
            events += [(EV_ABS, ABS_MT_SLOT, slot), (EV_ABS, ABS_MT_TRACKING_ID, -1)]
        self.report(events)

    def requests(self) -> list[tuple[int, int, int]]:
        """Lights and sounds that programs here have set, when ``fd`` is readable."""
        try:
            data = os.read(self.fd, 64 * _EVENT.size)
        except BlockingIOError:
            return []
        return [
            (kind, code, value) for *_, kind, code, value in _EVENT.iter_unpack(data) if self._has(kind, code)
        ]

    def _has(self, kind: int, code: int) -> bool:
        return kind in (EV_LED, EV_SND) and code in self._codes.get(kind, ())

    def _passes(self, kind: int, code: int, value: int) -> bool:
        if kind in (EV_SYN, EV_LED, EV_SND) or code not in self._codes.get(kind, ()):
            return False
        return kind != EV_KEY or value != REPEAT or code in self.held

    def _follow(self, kind: int, code: int, value: int) -> None:
        if kind == EV_KEY:
            (self.held.add if value else self.held.discard)(code)
        elif kind == EV_ABS and code == ABS_MT_SLOT:
            self._slot = value
        elif kind == EV_ABS and code == ABS_MT_TRACKING_ID:
            (self._contacts.add if value >= 0 else self._contacts.discard)(self._slot)

    def _write(self, events: Sequence[Change]) -> None:
        if events:
            os.write(self.fd, b"".join(_EVENT.pack(0, 0, *event) for event in (*events, (EV_SYN, 0, 0))))

    def _set_up(self, description: Mapping[str, Any]) -> None:
        for kind, codes in self._codes.items():
            if kind in _SET_CODE:
                self._set(_SET_TYPE, kind)
                for code in codes:
                    self._set(_SET_CODE[kind], code)
        for number in description["properties"]:
            self._set(_SET_PROPERTY, number)
        for axis in description["axes"]:
            values = (axis[part] for part in ("value", "minimum", "maximum", "fuzz", "flat", "resolution"))
            fcntl.ioctl(self.fd, _write_number(4, _AXIS.size), _AXIS.pack(axis["code"], *values))
        identity = (description[part] for part in ("bus_type", "vendor_id", "product_id", "version"))
        fcntl.ioctl(self.fd, _write_number(3, _SETUP.size), _SETUP.pack(*identity, self.name.encode(), 0))
        fcntl.ioctl(self.fd, _DEVICE_CREATE)

    def _set(self, number: int, value: int) -> None:
        fcntl.ioctl(self.fd, _write_number(number, 4), value)


def _open() -> int:
    try:
        return os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"there is no {PATH} here: Linux has it with `sudo modprobe uinput`") from None
    except OSError as error:
        raise HardwareError(
            f"{PATH} cannot be opened ({error.strerror}); run this as root, or give your user write access to it"
        ) from None
