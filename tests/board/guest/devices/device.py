"""What every USB device does: standard requests (USB 2.0 specification, chapter 9.4) and halted endpoints."""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple, TypeVar

from .descriptors import IN, LANGUAGES, string_descriptor

ENDPOINT_HALT = 0

T = TypeVar("T")


class Stall(Exception):
    """The endpoint answers with a STALL handshake."""


class Speed(IntEnum):
    """As the kernel counts them (enum usb_device_speed)."""

    LOW, FULL, HIGH = 1, 2, 3


class Setup(NamedTuple):
    """The eight bytes that begin a control transfer."""

    request_type: int
    request: int
    value: int
    index: int  # type: ignore[assignment]  # the name of USB's field hides tuple.index
    length: int

    @property
    def is_standard(self) -> bool:
        """Whether it is one of the requests of chapter 9."""
        return self.request_type & 0x60 == 0


class Device:
    """A device without functions. A model sets the descriptors and overrides what it needs.

    Everything is called on one thread. A method that has to refuse raises Stall. What was sent by the device stays
    queued in the model until the host asks for it; :meth:`wake` says that there is something now.
    """

    speed = Speed.FULL
    device: bytes
    configuration: bytes
    strings: tuple[str, str, str]
    """Manufacturer, product, serial number."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        """Set by the server while the device is plugged in."""
        self._halted: set[int] = set()
        self._alternates: dict[int, int] = {}
        self._configured = 0

    def plugged_in(self) -> None:
        """Power is on: begin afresh. Call this of the base class, too."""
        self._halted.clear()
        self._alternates.clear()
        self._configured = 0

    def control(self, setup: Setup, data: bytes) -> bytes:
        """A class or vendor request; the data of an IN transfer is returned."""
        raise Stall

    def data_out(self, endpoint: int, data: bytes) -> None:
        """A bulk or interrupt transfer to the device."""
        raise Stall

    def data_in(self, endpoint: int, size: int) -> bytes | None:
        """At most ``size`` bytes for the host, fewer end its transfer; None while there is nothing (NAK)."""
        return None

    def isochronous_out(self, endpoint: int, data: bytes) -> None:
        """A packet to the device."""

    def isochronous_in(self, endpoint: int, size: int) -> bytes:
        """A packet of at most ``size`` bytes."""
        return b""

    def interface_set(self, number: int, alternate: int) -> None:
        """The host chose a setting of an interface."""

    def handle_control(self, setup: Setup, data: bytes) -> bytes:
        """A transfer on endpoint 0."""
        answer = self._standard(setup) if setup.is_standard else self.control(setup, data)
        return answer[: setup.length]

    def handle_out(self, endpoint: int, data: bytes) -> None:
        """A bulk or interrupt transfer to the device, unless the endpoint is halted."""
        self._guarded(endpoint, lambda: self.data_out(endpoint, data))

    def handle_in(self, endpoint: int, size: int) -> bytes | None:
        """A bulk or interrupt transfer to the host, unless the endpoint is halted."""
        return self._guarded(endpoint | IN, lambda: self.data_in(endpoint, size))

    def _guarded(self, address: int, transfer: Callable[[], T]) -> T:
        """A STALL lasts until the host clears it."""
        if address in self._halted:
            raise Stall
        try:
            return transfer()
        except Stall:
            self._halted.add(address)
            raise

    def _standard(self, setup: Setup) -> bytes:
        match setup.request:
            case 0:  # GET_STATUS
                halted = setup.request_type & 0x1F == 2 and setup.index in self._halted
                return struct.pack("<H", halted)
            case 1 | 3:  # CLEAR_FEATURE, SET_FEATURE
                self._feature(setup)
                return b""
            case 6:  # GET_DESCRIPTOR
                return self._descriptor(setup.value >> 8, setup.value & 0xFF)
            case 8:  # GET_CONFIGURATION
                return bytes([self._configured])
            case 9:  # SET_CONFIGURATION
                self._configured = setup.value
                self._halted.clear()
                self._alternates.clear()
                return b""
            case 10:  # GET_INTERFACE
                return bytes([self._alternates.get(setup.index, 0)])
            case 11:  # SET_INTERFACE
                self._alternates[setup.index] = setup.value
                self.interface_set(setup.index, setup.value)
                return b""
        raise Stall

    def _feature(self, setup: Setup) -> None:
        if setup.request_type & 0x1F != 2 or setup.value != ENDPOINT_HALT:
            return
        if setup.request == 1:
            self._halted.discard(setup.index)
        else:
            self._halted.add(setup.index)

    def _descriptor(self, kind: int, index: int) -> bytes:
        if kind == 1:
            return self.device
        if kind == 2 and index == 0:
            return self.configuration
        if kind == 3 and index == 0:
            return LANGUAGES
        if kind == 3 and index <= len(self.strings):
            return string_descriptor(self.strings[index - 1])
        raise Stall
