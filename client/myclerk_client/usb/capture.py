"""URBs as a capture file that Wireshark and tshark read: pcapng with LINKTYPE_USB_LINUX_MMAPPED.

The blocks are those of the pcapng specification (draft-ietf-opsawg-pcapng), the packets' header that of usbmon
(Documentation/usb/usbmon.rst, struct usbmon_packet of 64 bytes); all in little-endian order.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from typing import BinaryIO

from myclerk_protocol import __version__

from .bridge.pipes import packet_results
from .device import UsbDevice
from .transfers import IsochronousResult, UrbResult
from .usbip.urbs import LINUX_ERRNO, Submit, status_of

LINKTYPE_USB_LINUX_MMAPPED = 220
LARGEST = 256 << 10
"""Bytes of one packet that Wireshark takes; longer data is cut off, its length is still told."""
FLUSH = 0.2
"""Seconds after which what was written can be read."""

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_END, _HARDWARE, _OS, _APPLICATION = 0, 2, 3, 4
"""Options of a section."""
_NAME, _RESOLUTION = 2, 9
"""Options of an interface."""
_NANOSECONDS = bytes([9])

_BLOCK = struct.Struct("<II")
_EVENT = struct.Struct("<QBBBBHccqiiII8siiII")
_PACKET_DESCRIPTOR = struct.Struct("<iIIxxxx")
_ISOCHRONOUS = struct.Struct("<II")
_TYPES = {"isochronous": 0, "interrupt": 1, "control": 2, "bulk": 3}
_EINPROGRESS = 115


class Capture:
    """A capture file, written to as URBs come and go. Several devices may share one.

    ``file`` is binary and stays open for whoever opened it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._devices = 0
        self._flushing: asyncio.TimerHandle | None = None
        section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
        application = f"myclerk {__version__}".encode()
        self._block(_SECTION, section + _option(_APPLICATION, application) + _option(_END))
        interface = struct.pack("<HHI", LINKTYPE_USB_LINUX_MMAPPED, 0, LARGEST)
        options = _option(_NAME, b"myclerk") + _option(_RESOLUTION, _NANOSECONDS) + _option(_END)
        self._block(_INTERFACE, interface + options)
        file.flush()

    def device(self, device: UsbDevice) -> DeviceMonitor:
        """What sees a device's URBs."""
        self._devices += 1
        return DeviceMonitor(self, device, self._devices)

    def event(self, data: bytes, now: int) -> None:
        """Write a packet; ``now`` is in nanoseconds since 1970."""
        size = len(data)
        head = struct.pack("<IIIII", 0, now >> 32, now & 0xFFFFFFFF, size, size)
        self._block(_PACKET, head + data + bytes(-size % 4))
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(FLUSH, self.flush)

    def flush(self) -> None:
        """Let others read what was written."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._file.flush()

    def _block(self, kind: int, body: bytes) -> None:
        size = len(body) + 12
        self._file.write(_BLOCK.pack(kind, size) + body + size.to_bytes(4, "little"))


class DeviceMonitor:
    """Writes the submission and the completion of each URB of one device, as the host here sees them."""

    def __init__(self, capture: Capture, device: UsbDevice, number: int) -> None:
        self._capture = capture
        self._device = device
        self._number = number
        self._bus = device.info["bus"]
        self._address = device.info["device"] & 0x7F

    def submitted(self, urb: Submit) -> None:
        """The host sent it."""
        lengths = [packet.length for packet in urb.packets]
        described = self._described(urb, lengths, [-LINUX_ERRNO["EXDEV"]] * len(lengths))
        self._write("S", urb, -_EINPROGRESS, urb.length, None if urb.is_in else urb.data, described, 0)

    def completed(self, urb: Submit, result: UrbResult) -> None:
        """It was given back."""
        statuses: list[int] = []
        lengths: Sequence[int] = ()
        if urb.packets:
            lengths, errors = packet_results(result, len(urb.packets))
            statuses = [status_of(errors.get(number)) for number in range(len(lengths))]
        described = self._described(urb, lengths, statuses)
        start = result.start_frame if isinstance(result, IsochronousResult) else 0
        data = result.data if urb.is_in else None
        self._write("C", urb, status_of(result.errno), result.transferred, data, described, start)

    def _described(self, urb: Submit, lengths: Sequence[int], statuses: Sequence[int]) -> bytes:
        """Isochronous packets; what came in stands one behind the other here, too."""
        parts = []
        offset = 0
        for place, length, status in zip(urb.packets, lengths, statuses, strict=True):
            parts.append(_PACKET_DESCRIPTOR.pack(status, offset if urb.is_in else place.offset, length))
            offset += length
        return b"".join(parts)

    def _write(
        self,
        kind: str,
        urb: Submit,
        status: int,
        length: int,
        data: bytes | None,
        described: bytes,
        start: int,
    ) -> None:
        now = time.time_ns()
        endpoint = self._device.endpoint(urb.address)
        is_control = not urb.address & 0x0F
        has_setup = is_control and kind == "S"
        data_flag = b"\0" if data is not None else b"<" if urb.is_in else b">"
        captured = described + (data or b"")[: LARGEST - _EVENT.size - len(described)]
        extra = urb.setup
        if urb.packets:
            failed = (
                sum(status != 0 for (status,) in struct.iter_unpack("<i12x", described)) if kind == "C" else 0
            )
            extra = _ISOCHRONOUS.pack(failed, len(urb.packets))
        event = _EVENT.pack(
            self._number << 32 | urb.seqnum, ord(kind),
            _TYPES["control" if is_control or endpoint is None else endpoint.type],
            urb.address, self._address, self._bus,
            b"\0" if has_setup else b"-", data_flag,
            now // 10**9, now % 10**9 // 1000, status, length, len(captured), extra,
            urb.interval, start or urb.start_frame, urb.flags, len(urb.packets),
        )  # fmt: skip
        self._capture.event(event + captured, now)


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
