"""A usbfs in memory: it takes URBs and ends them when told to, as no device on the virtual board does on demand."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from myclerk_drivers.context import Timer
from myclerk_drivers.usb.usbfs import Capability, Urb

T = TypeVar("T")
ALL = Capability(0x1FF)


class FakeUsbfs:
    """What :class:`myclerk_drivers.usb.usbfs.Usbfs` does, with the device played by the test.

    ``pending`` are the URBs that the device has not answered, ``data`` what went out with each; ``refusals`` are the
    errnos that the next submissions meet (0: none). ``calls`` are the slow calls made, in order; while ``gate`` is
    cleared they wait.
    """

    fd = -1

    def __init__(self, capabilities: Capability = ALL) -> None:
        self.capabilities = capabilities
        self._done: deque[Urb] = deque()
        self._loop = asyncio.get_running_loop()
        self.pending: list[Urb] = []
        self.data: list[bytes] = []
        self.flags: list[int] = []
        self.refusals: deque[int] = deque()
        self.connected = True
        self.calls: list[tuple[Any, ...]] = []
        self.failures: dict[str, int] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.writable: Callable[[], None] | None = None

    def submit(self, urb: Urb) -> None:
        self._check()
        if self.refusals and (number := self.refusals.popleft()):
            raise OSError(number, "refused")
        self.pending.append(urb)
        self.flags.append(urb.flags)
        self.data.append(ctypes.string_at(urb.buffer, urb.length) if urb.length else b"")

    def reap(self) -> int | None:
        if self._done:
            return ctypes.addressof(self._done.popleft())
        self._check()
        return None

    def discard(self, urbs: Iterable[Urb]) -> None:
        urbs = list(urbs)
        self._loop.call_soon_threadsafe(lambda: [self._kill(urb) for urb in urbs])

    def answer(
        self, data: bytes = b"", *, actual: int | None = None, status: int = 0, index: int = 0
    ) -> None:
        """End a URB that is pending."""
        urb = self.pending.pop(index)
        if data:
            ctypes.memmove(urb.buffer, data, len(data))
        urb.actual = len(data) if actual is None else actual
        urb.status = -status
        self._done.append(urb)
        self.tell()

    def unplug(self) -> None:
        """The device is pulled out."""
        self.connected = False
        self.tell()

    def tell(self) -> None:
        """Call who watches the file, as the event loop would."""
        if self.writable is not None:
            self.writable()

    def _kill(self, urb: Urb) -> None:
        if urb in self.pending:
            self.answer(status=errno.ENOENT, index=self.pending.index(urb))

    def _check(self) -> None:
        if not self.connected:
            raise OSError(errno.ENODEV, "gone")

    # -- slow calls ----------------------------------------------------------------------------------------

    def claim(self, interface: int) -> None:
        self._call("claim", interface)

    def release(self, interface: int) -> None:
        self._call("release", interface)

    def connect(self, interface: int) -> None:
        self._call("connect", interface)

    def set_configuration(self, value: int) -> None:
        self._call("set_configuration", value)

    def set_interface(self, interface: int, alternate: int) -> None:
        self._call("set_interface", interface, alternate)

    def clear_halt(self, endpoint: int) -> None:
        self._call("clear_halt", endpoint)

    def reset(self) -> None:
        self._call("reset")

    def close(self) -> None:
        self._call("close")

    def _call(self, name: str, *arguments: int) -> None:
        self.gate.wait(20)
        self.calls.append((name, *arguments))
        if number := self.failures.get(name):
            raise OSError(number, "failed")


class FakeContext:
    """The agent as a driver sees it, with one file: that of ``usbfs``."""

    def __init__(self, usbfs: FakeUsbfs) -> None:
        self.settings: Mapping[str, Any] = {}
        self.log = logging.getLogger("tests.drivers")
        self._usbfs = usbfs
        self._loop = asyncio.get_running_loop()

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        raise AssertionError("usbfs is never read")

    remove_reader = add_reader  # type: ignore[assignment]

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        self._usbfs.writable = callback

    def remove_writer(self, fd: int) -> None:
        self._usbfs.writable = None

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self._loop.call_later(seconds, callback)

    def run_blocking(self, function: Callable[[], T]) -> Awaitable[T]:
        return self._loop.run_in_executor(None, function)
