"""The kernel's usbfs: ``/dev/bus/usb/BUS/DEVICE`` (linux/usbdevice_fs.h, drivers/usb/core/devio.c).

The calls are made by libc's ioctl(2): the kernel keeps the address of a URB until it is reaped, and Python's own
fcntl.ioctl would hand it the address of a copy.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Iterable
from enum import IntFlag
from typing import Any

MOST_PACKETS = 128
"""Packets of one isochronous URB."""
PIECE_WITHOUT_LISTS = 16384
"""Bytes of one URB where the host controller has no scatter-gather: the kernel allocates them in one piece."""
TYPES = {"isochronous": 0, "interrupt": 1, "control": 2, "bulk": 3}
_DRIVER_NAME = 256


class Capability(IntFlag):
    """What the host controller's driver can do (USBDEVFS_CAP_*)."""

    ZERO_PACKET = 0x01
    BULK_CONTINUATION = 0x02
    NO_PACKET_SIZE_LIMIT = 0x04
    SCATTER_GATHER = 0x08


class Flag:
    """Flags of a URB (USBDEVFS_URB_*); plain integers, as they are used for each one."""

    SHORT_NOT_OK = 0x01
    ISOCHRONOUS_ASAP = 0x02
    BULK_CONTINUATION = 0x04
    ZERO_PACKET = 0x40


class Packet(ctypes.Structure):
    """One packet of an isochronous URB (struct usbdevfs_iso_packet_desc)."""

    _fields_ = (("length", ctypes.c_uint), ("actual", ctypes.c_uint), ("status", ctypes.c_int))


class Urb(ctypes.Structure):
    """struct usbdevfs_urb. It must stay where it is until it was reaped or the file was closed."""

    _fields_ = (
        ("type", ctypes.c_ubyte),
        ("endpoint", ctypes.c_ubyte),
        ("status", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("buffer", ctypes.c_void_p),
        ("length", ctypes.c_int),
        ("actual", ctypes.c_int),
        ("start_frame", ctypes.c_int),
        ("packet_count", ctypes.c_int),
        ("error_count", ctypes.c_int),
        ("signal", ctypes.c_uint),
        ("context", ctypes.c_void_p),
    )


class IsochronousUrb(Urb):
    """A URB with packets behind it."""

    _fields_ = (("packets", Packet * MOST_PACKETS),)  # type: ignore[assignment]  # ctypes adds them to the base's


class _Control(ctypes.Structure):
    _fields_ = (
        ("request_type", ctypes.c_ubyte),
        ("request", ctypes.c_ubyte),
        ("value", ctypes.c_uint16),
        ("index", ctypes.c_uint16),
        ("length", ctypes.c_uint16),
        ("timeout", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
    )


class _SetInterface(ctypes.Structure):
    _fields_ = (("interface", ctypes.c_uint), ("alternate", ctypes.c_uint))


class _Ioctl(ctypes.Structure):
    _fields_ = (("interface", ctypes.c_int), ("code", ctypes.c_int), ("data", ctypes.c_void_p))


class _DisconnectClaim(ctypes.Structure):
    _fields_ = (
        ("interface", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("driver", ctypes.c_char * _DRIVER_NAME),
    )


EXCEPT_DRIVER = 0x02


def _code(direction: int, number: int, size: int = 0) -> int:
    return direction << 30 | size << 16 | ord("U") << 8 | number


_NONE, _WRITE, _READ = 0, 1, 2
_UINT = ctypes.sizeof(ctypes.c_uint)
CONTROL = _code(_READ | _WRITE, 0, ctypes.sizeof(_Control))
SET_INTERFACE = _code(_READ, 4, ctypes.sizeof(_SetInterface))
SET_CONFIGURATION = _code(_READ, 5, _UINT)
SUBMIT_URB = _code(_READ, 10, ctypes.sizeof(Urb))
DISCARD_URB = _code(_NONE, 11)
REAP_URB_NO_DELAY = _code(_WRITE, 13, ctypes.sizeof(ctypes.c_void_p))
RELEASE_INTERFACE = _code(_READ, 16, _UINT)
IOCTL = _code(_READ | _WRITE, 18, ctypes.sizeof(_Ioctl))
RESET = _code(_NONE, 20)
CLEAR_HALT = _code(_READ, 21, _UINT)
CONNECT = _code(_NONE, 23)
GET_CAPABILITIES = _code(_READ, 26, 4)
DISCONNECT_CLAIM = _code(_READ, 27, ctypes.sizeof(_DisconnectClaim))

_libc_ioctl = ctypes.CDLL(None, use_errno=True).ioctl
_libc_ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
_libc_ioctl.restype = ctypes.c_int


def _ioctl(fd: int, code: int, argument: Any = None) -> int:
    result: int = _libc_ioctl(fd, code, argument)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Usbfs:
    """An open device. All methods raise OSError, ENODEV when it was unplugged.

    The kernel does one call on a device at a time: while one of the slow ones (those from :meth:`claim` to
    :meth:`reset`) is under way on another thread, all others wait for it, :meth:`submit` and :meth:`reap` too.
    """

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._closing = threading.Lock()
        found = ctypes.c_uint32()
        try:
            _ioctl(self.fd, GET_CAPABILITIES, ctypes.byref(found))
        except OSError:
            self.close()
            raise
        self.capabilities = Capability(found.value)
        """What the host controller can do."""

    def close(self) -> None:
        """Close it; the kernel cancels its URBs and releases its interfaces. Idempotent. May block."""
        with self._closing:
            fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    # -- URBs: quick ---------------------------------------------------------------------------------------

    def submit(self, urb: Urb) -> None:
        """Queue a URB; data to the device is copied now, data from it when it is reaped."""
        _ioctl(self.fd, SUBMIT_URB, ctypes.byref(urb))

    def reap(self) -> int | None:
        """The address of a URB that is done, or None. ENODEV when the device is gone and all were reaped."""
        address = ctypes.c_void_p()
        if _libc_ioctl(self.fd, REAP_URB_NO_DELAY, ctypes.byref(address)) < 0:
            number = ctypes.get_errno()
            if number == errno.EAGAIN:
                return None
            raise OSError(number, os.strerror(number))
        return address.value

    # -- slow ones -----------------------------------------------------------------------------------------

    def discard(self, urbs: Iterable[Urb]) -> None:
        """Cancel URBs and wait until the host controller has let go of them; they are reaped as usual.

        Those that are done already are passed over. May be called beside :meth:`close`.
        """
        with self._closing:
            for urb in urbs:
                _libc_ioctl(self.fd, DISCARD_URB, ctypes.byref(urb))

    def control(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float
    ) -> bytes:
        """A control transfer from the device, done when this returns; ETIMEDOUT after ``timeout`` seconds."""
        buffer = ctypes.create_string_buffer(length)
        setup = _Control(
            request_type, request, value, index, length, round(timeout * 1000), ctypes.addressof(buffer)
        )
        received = _ioctl(self.fd, CONTROL, ctypes.byref(setup))
        return buffer.raw[:received]

    def claim(self, interface: int) -> None:
        """Take an interface from the kernel driver that has it. EBUSY when another program has it."""
        claim = _DisconnectClaim(interface, EXCEPT_DRIVER, b"usbfs")
        _ioctl(self.fd, DISCONNECT_CLAIM, ctypes.byref(claim))

    def release(self, interface: int) -> None:
        """Release an interface, set back to its first setting; its URBs are cancelled."""
        _ioctl(self.fd, RELEASE_INTERFACE, ctypes.byref(ctypes.c_uint(interface)))

    def connect(self, interface: int) -> None:
        """Let the kernel's drivers have an interface. EBUSY when one has it."""
        _ioctl(self.fd, IOCTL, ctypes.byref(_Ioctl(interface, CONNECT, None)))

    def set_configuration(self, value: int) -> None:
        """Choose a configuration; no interface may be claimed."""
        _ioctl(self.fd, SET_CONFIGURATION, ctypes.byref(ctypes.c_uint(value)))

    def set_interface(self, interface: int, alternate: int) -> None:
        """Choose a setting of a claimed interface; its URBs are cancelled."""
        _ioctl(self.fd, SET_INTERFACE, ctypes.byref(_SetInterface(interface, alternate)))

    def clear_halt(self, endpoint: int) -> None:
        """Clear an endpoint's halt and the data toggle at both ends."""
        _ioctl(self.fd, CLEAR_HALT, ctypes.byref(ctypes.c_uint(endpoint)))

    def reset(self) -> None:
        """Reset the device; no interface may be claimed. ENODEV when it has become another one."""
        _ioctl(self.fd, RESET)
