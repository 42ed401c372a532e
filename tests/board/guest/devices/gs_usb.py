"""A CAN FD adapter with two channels on one bus, as drivers/net/can/usb/gs_usb.c speaks to it (candleLight)."""

from __future__ import annotations

import struct
from collections import deque
from enum import IntEnum
from functools import partial

from .can_bus import Channel, Frame
from .descriptors import IN, Transfer, configuration, device_descriptor, endpoint, interface
from .device import Device, Setup, Stall


class Request(IntEnum):
    """Vendor requests (enum gs_usb_breq)."""

    HOST_FORMAT, BIT_TIMING, MODE, BUS_ERRORS, LIMITS, DEVICE_CONFIG = range(6)
    IDENTIFY, DATA_BIT_TIMING, EXTENDED_LIMITS, STATE = 7, 10, 11, 14


FEATURES = 0x0001 | 0x0002 | 0x0008 | 0x0020 | 0x0100 | 0x0400 | 0x1000 | 0x2000
"""Listen only, loopback, one shot, identify, FD, both bit timings, bus error reporting, state."""
LISTEN_ONLY, LOOPBACK, ONE_SHOT, FD_MODE, BERR_REPORTING = 0x1, 0x2, 0x8, 0x100, 0x1000
CLOCK = 80_000_000
NOMINAL_LIMITS = (1, 256, 1, 128, 128, 1, 1024, 1)
DATA_LIMITS = (1, 32, 1, 16, 16, 1, 32, 1)
"""Smallest and greatest time segments 1 and 2, jump width, smallest, greatest and step of the prescaler."""

HOST_FRAME = struct.Struct("<IIBBBB")
RECEIVED = 0xFFFFFFFF
"""The echo number of a frame that is not an echo."""
EXTENDED, REMOTE, ERROR = 0x80000000, 0x40000000, 0x20000000
FD, BRS = 2, 4
LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)
"""Bytes of a frame by its data length code."""
FRAME_IN, FRAME_OUT = 1, 2


class GsUsb(Device):
    """The adapter; ``channels`` are its controllers."""

    device = device_descriptor(0x1D50, 0x606F)
    configuration = configuration(
        interface(0, 2),
        endpoint(FRAME_IN | IN, Transfer.BULK, 64),
        endpoint(FRAME_OUT, Transfer.BULK, 64),
    )
    strings = ("Board", "CAN adapter", "CAN1")

    def __init__(self, channels: tuple[Channel, ...]) -> None:
        super().__init__()
        self.channels = channels
        self._queue: deque[bytes] = deque()
        for number, channel in enumerate(channels):
            channel.receive = partial(self._queued, number, RECEIVED)
            channel.sent = partial(self._queued, number)

    def plugged_in(self) -> None:
        super().plugged_in()
        self._queue.clear()
        for channel in self.channels:
            channel.stop()

    def control(self, setup: Setup, data: bytes) -> bytes:
        if setup.request_type & IN:
            return self._asked(setup)
        channel = self._channel(setup.value)
        match setup.request:
            case Request.HOST_FORMAT | Request.BUS_ERRORS | Request.IDENTIFY:
                pass
            case Request.BIT_TIMING:
                channel.bitrate = _bitrate(data)
            case Request.DATA_BIT_TIMING:
                channel.data_bitrate = _bitrate(data)
            case Request.MODE:
                self._mode(channel, data)
            case _:
                raise Stall
        return b""

    def data_out(self, endpoint: int, data: bytes) -> None:
        if len(data) < HOST_FRAME.size:
            raise Stall
        echo, identifier, code, number, flags, _ = HOST_FRAME.unpack_from(data)
        size = LENGTHS[code & 15] if flags & FD else min(code & 15, 8)
        frame = Frame(
            identifier & (0x1FFFFFFF if identifier & EXTENDED else 0x7FF),
            data[HOST_FRAME.size : HOST_FRAME.size + size] if not identifier & REMOTE else b"",
            extended=bool(identifier & EXTENDED),
            remote=bool(identifier & REMOTE),
            fd=bool(flags & FD),
            bitrate_switch=bool(flags & BRS),
            length=size,
        )
        self._channel(number).transmit(frame, echo)

    def data_in(self, endpoint: int, size: int) -> bytes | None:
        return self._queue.popleft() if self._queue else None

    def _asked(self, setup: Setup) -> bytes:
        limits = struct.pack("<2I8I", FEATURES, CLOCK, *NOMINAL_LIMITS)
        match setup.request:
            case Request.DEVICE_CONFIG:  # three reserved bytes, channels less one, versions
                return struct.pack("<4B2I", 0, 0, 0, len(self.channels) - 1, 2, 1)
            case Request.LIMITS:
                return limits
            case Request.EXTENDED_LIMITS:
                return limits + struct.pack("<8I", *DATA_LIMITS)
            case Request.STATE:
                channel = self._channel(setup.value)
                return struct.pack("<3I", channel.state, channel.receive_errors, channel.transmit_errors)
        raise Stall

    def _mode(self, channel: Channel, data: bytes) -> None:
        start, flags = struct.unpack("<II", data[:8])
        if not start:
            channel.stop()
            return
        channel.listen_only = bool(flags & LISTEN_ONLY)
        channel.loopback = bool(flags & LOOPBACK)
        channel.one_shot = bool(flags & ONE_SHOT)
        channel.fd = bool(flags & FD_MODE)
        channel.reports_errors = bool(flags & BERR_REPORTING)
        channel.start()

    def _channel(self, number: int) -> Channel:
        if number >= len(self.channels):
            raise Stall
        return self.channels[number]

    def _queued(self, number: int, echo: int, frame: Frame) -> None:
        identifier = frame.identifier
        identifier |= EXTENDED * frame.extended | REMOTE * frame.remote | ERROR * frame.error
        flags = FD * frame.fd | BRS * frame.bitrate_switch
        code = next(code for code, size in enumerate(LENGTHS) if size >= frame.length)
        body = frame.data.ljust(64 if frame.fd else 8, b"\0")
        self._queue.append(HOST_FRAME.pack(echo, identifier, code, number, flags, 0) + body)
        self.wake()


def _bitrate(data: bytes) -> int:
    """Bits per second of a struct gs_device_bittiming."""
    if len(data) < 20:
        raise Stall
    propagation, phase_1, phase_2, _, prescaler = struct.unpack_from("<5I", data)
    bits: int = CLOCK // (max(prescaler, 1) * (1 + propagation + phase_1 + phase_2))
    return bits
