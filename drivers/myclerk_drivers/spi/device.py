"""An open SPI device and the operations on it."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from myclerk_protocol.status import NotFound

from ..base import Access, Handle, Resource, serves
from ..bus_thread import BusThread
from .backend import OpenDevice
from .faults import fault
from .segments import Segment, messages, parse, too_large
from .settings import DELAYS, apply, check

Answer = Mapping[str, Any]
Fields = Sequence[Mapping[str, Any]]

INLINE_SECONDS = 0.0002
"""What may take longer goes to the bus's thread: by its bits and what the last transfer took beside them, and by the
best rate so far, as a controller does not always reach the clock rate that a request names."""


class SpiDevice(Handle):
    """One open device. Everything runs in the order asked, also with other devices on the same bus.

    ``settings`` are those in force. ``release`` lets go of ``device``, on the bus's thread.
    """

    def __init__(
        self,
        resource: Resource,
        device: OpenDevice,
        thread: BusThread,
        buffer_size: int,
        settings: Mapping[str, Any],
        release: Callable[[OpenDevice], object],
    ) -> None:
        super().__init__(resource)
        self.settings = settings
        self._device = device
        self._thread = thread
        self._buffer_size = buffer_size
        self._release = release
        self._overhead = INLINE_SECONDS
        self._rate = 1.0  # bytes a second
        self._closed = False

    def describe(self) -> Answer:
        """The settings in force, and how much one transfer takes."""
        return {**self.settings, "buffer_size": self._buffer_size}

    def close(self) -> None:
        """Restore the kernel's settings and let go, behind what was asked before. Idempotent."""
        if not self._closed:
            self._closed = True
            self._thread.submit(partial(self._release, self._device), limited=False)

    @serves("SPI_DEVICE_CLOSE", access=Access.NONE, audit=True)
    def close_device(self) -> None:
        """Nothing to do beside what the agent does for every handle that is closed: :meth:`close`."""

    @serves("SPI_CONFIGURE", access=Access.WRITE, audit=True)
    def configure(self, **settings: Any) -> asyncio.Future[Answer]:
        """Change the settings given (those of SPI_DEVICE_OPEN), all or none; those in force.

        Raises BadRequest, Unsupported, HardwareError or DeviceGone, and then nothing has changed.
        """
        check(settings)
        self._check_open()
        return self._thread.submit(partial(self._configure, settings))

    def _configure(self, settings: Mapping[str, Any]) -> Answer:
        kernel = apply(self._device, self.resource.name, settings)
        delays = {name: settings.get(name, self.settings[name]) for name in DELAYS}
        self.settings = {**kernel, **delays}
        return self.settings

    @serves("SPI_TRANSFER", access=Access.READ_WRITE)
    def transfer(self, segments: Fields) -> Answer | asyncio.Future[Answer]:
        """Send ``segments`` in one message, sending and receiving at once: {``received``}, in their order.

        Raises BadRequest; TooLarge for more than the kernel's buffer, unless chip select is not in use; Unsupported
        for what the controller cannot do; HardwareError, DeviceGone.
        """
        return self._run(segments, lambda received: {"received": received})

    @serves("SPI_WRITE", access=Access.WRITE)
    def write(self, data: bytes) -> Answer | asyncio.Future[Answer]:
        """Send ``data``: {``written``}; what comes meanwhile is dropped. Raises as :meth:`transfer`."""
        return self._run([{"data": data, "receive": False}], lambda _: {"written": len(data)})

    @serves("SPI_READ", access=Access.READ)
    def read(self, size: int) -> Answer | asyncio.Future[Answer]:
        """Receive ``size`` bytes while zeros are sent: {``data``}. Raises as :meth:`transfer`."""
        return self._run([{"size": size}], lambda received: {"data": received[0]})

    def _run(
        self, fields: Fields, answer: Callable[[list[bytes]], Answer]
    ) -> Answer | asyncio.Future[Answer]:
        """Send segments right here if nothing else waits and it is quick, else on the bus's thread."""
        self._check_open()
        if not self._thread.idle:  # it may be the settings that change before their turn comes
            return self._thread.submit(lambda: answer(self._send(parse(fields, self.settings))))
        segments = parse(fields, self.settings)
        seconds = max(_seconds(segments) + self._overhead, _size(segments) / self._rate)
        if seconds < INLINE_SECONDS:
            return answer(self._send(segments))
        return self._thread.submit(lambda: answer(self._send(segments)))

    def _send(self, segments: Sequence[Segment]) -> list[bytes]:
        """What was received, for each segment that receives."""
        name = self.resource.name
        wanted = messages(segments, self._buffer_size, name, no_cs=self.settings["no_cs"])
        start = time.perf_counter()
        try:
            received = [data for message in wanted for data in self._device.message(message)]
        except OSError as error:
            if (
                error.errno == errno.EMSGSIZE
            ):  # the kernel rounds each segment up to the processor's cache lines
                raise too_large(self._buffer_size, name) from None
            raise fault(name, error) from None
        seconds = time.perf_counter() - start
        self._overhead = max(seconds - _seconds(segments), 0.0)
        self._rate = max(self._rate, _size(segments) / seconds)
        return received if len(wanted) == 1 else _joined(segments, received)

    def _check_open(self) -> None:
        if self._closed:
            raise NotFound(f"{self.resource.name} was closed")


def _seconds(segments: Sequence[Segment]) -> float:
    return sum(segment.seconds for segment in segments)


def _size(segments: Sequence[Segment]) -> int:
    return sum(segment.size for segment in segments)


def _joined(segments: Sequence[Segment], received: list[bytes]) -> list[bytes]:
    """What was received, for each segment, where segments were cut."""
    everything, joined, start = b"".join(received), [], 0
    for size in (segment.size for segment in segments if segment.receive):
        joined.append(everything[start : start + size])
        start += size
    return joined
