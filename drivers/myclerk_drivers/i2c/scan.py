"""Looking for devices on a bus, by the methods of i2cdetect."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from myclerk_protocol.status import BadRequest, Unsupported

from ..base import Stream
from ..context import StreamSink
from . import smbus
from .backend import Bus
from .faults import NO_ANSWER
from .functionality import Functionality, names
from .target import FIRST, LAST, Target

Probe = Mapping[str, Any]
Report = Callable[[Probe], object]

FRAGILE = (range(0x30, 0x38), range(0x50, 0x60))
"""Where "auto" reads: a quick write is known to corrupt AT24RF08 EEPROMs, and to write-protect others."""

ABSENT = NO_ANSWER | {errno.EIO, errno.EAGAIN, errno.EPROTO, errno.ETIMEDOUT}
"""What adapters report when nobody acknowledges an address."""

_QUICK = smbus.command("write-quick")
_READ = smbus.command("read-byte")


@dataclass(frozen=True, slots=True)
class Scan:
    """Which addresses to look at, and how. ``stopped`` ends it early, from any thread."""

    addresses: range
    method: str
    stopped: threading.Event

    @classmethod
    def of(cls, target: Target, first: int | None, last: int | None, method: str, force: bool) -> Scan:
        """The scan that a request asks for. Raises BadRequest."""
        default = (FIRST, LAST) if target.address is None else (target.address, target.address)
        first, last = default[0] if first is None else first, default[1] if last is None else last
        if first > last:
            raise BadRequest("`first` must not be above `last`", key="first")
        target.check(first, force=force, key="first")
        target.check(last, force=force, key="last")
        if method not in ("auto", "quick", "read"):
            raise BadRequest("`method` must be auto, quick or read", key="method")
        return cls(range(first, last + 1), method, threading.Event())

    def run(self, bus: Bus, report: Report) -> None:
        """Look at each address and ``report`` it. Blocks, a millisecond or so each.

        Raises Unsupported when the adapter has none of the methods; OSError when the bus does not work at all, and
        with ETIMEDOUT when that is all that came of every address.
        """
        usable = bus.functionality & (Functionality.SMBUS_QUICK | Functionality.SMBUS_READ_BYTE)
        wanted = {smbus_command.protocol.needs for smbus_command in map(self._command, self.addresses)}
        if not any(need in usable for need in wanted):
            raise Unsupported(
                f"this adapter has nothing to look for devices with by method {self.method};"
                f" it can do: {', '.join(names(bus.functionality)) or 'nothing'}"
            )
        codes = set()
        for address in self.addresses:
            if self.stopped.is_set():
                return
            state, code = self._probe(bus, address)
            codes.add(code)
            report({"address": address, "state": state})
        if codes == {errno.ETIMEDOUT}:
            raise OSError(errno.ETIMEDOUT, "Connection timed out")

    def _command(self, address: int) -> smbus.Command:
        read = (
            any(address in fragile for fragile in FRAGILE) if self.method == "auto" else self.method == "read"
        )
        return _READ if read else _QUICK

    def _probe(self, bus: Bus, address: int) -> tuple[str, int]:
        """The state of one address, and the errno that told it."""
        command = self._command(address)
        if command.protocol.needs not in bus.functionality:
            return "skipped", 0
        try:
            bus.select(address)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return "busy", 0
        try:
            bus.smbus(command)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            return "absent", error.errno
        return "present", 0


class ScanStream(Stream):
    """The probes of a scan as they are made. ``begin`` starts it with a report for any thread, and gives its future."""

    def __init__(self, scan: Scan, begin: Callable[[Report], asyncio.Future[None]]) -> None:
        self._scan = scan
        self._begin = begin
        self._probes: list[Probe] = []
        self._future: asyncio.Future[None] | None = None

    def start(self, sink: StreamSink) -> None:
        """Begin to scan as soon as the bus is free."""
        loop = asyncio.get_running_loop()

        def flush() -> None:
            probes, self._probes = self._probes, []
            if probes and not self._scan.stopped.is_set():
                sink.push_events(probes)

        def report(probe: Probe) -> None:
            self._probes.append(probe)
            with suppress(RuntimeError):  # the agent has stopped
                loop.call_soon_threadsafe(flush)

        def finished(future: asyncio.Future[None]) -> None:
            if not future.cancelled():
                error = future.exception()
                flush()
                if not self._scan.stopped.is_set():
                    sink.end(error if isinstance(error, Exception) else None)

        self._future = self._begin(report)
        self._future.add_done_callback(finished)

    def close(self) -> None:
        """Stop at the next address."""
        self._scan.stopped.set()
        if self._future is not None:
            self._future.cancel()
