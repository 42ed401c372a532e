"""An open serial port and the operations on it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from myclerk_protocol.status import BadRequest, Conflict, OperationError

from ..base import Access, Resource, Stream, StreamHandle, serves
from . import kernel, lines
from .configuration import check, configure
from .faults import fault
from .intake import Wanted
from .reading import Reader
from .streams import ByteStream, LineStream
from .tty import OpenTty
from .writing import Writer

T = TypeVar("T")

MAX_BREAK = 10.0
"""Seconds."""


class SerialPort(StreamHandle):
    """One open port. Its methods serve the operations on a handle; ``settings`` are those in effect.

    What may want a transfer to a USB adapter (settings, modem lines) is slow and runs on the worker thread.
    After a hang-up everything raises DeviceGone, after :meth:`close` NotFound.
    """

    def __init__(
        self, resource: Resource, tty: OpenTty, settings: Mapping[str, Any], interval: float
    ) -> None:
        super().__init__(resource)
        self._tty = tty
        self._reader = Reader(tty)
        self._writer = Writer(tty)
        self._interval = interval
        self._adopt(settings)

    def describe(self) -> Mapping[str, Any]:
        """The effective settings, read back from the kernel."""
        return self.settings

    def open_stream(self) -> Stream:
        """All bytes that come, for STREAM_START."""
        return ByteStream(self._reader)

    def describe_stream(self) -> Mapping[str, Any]:
        """{``serial``}: the effective settings."""
        return {"serial": self.settings}

    def admit(self, options: Mapping[str, Any]) -> None:
        """Raise Conflict for settings other than those in force; DTR and RTS are only set at the opening."""
        for name, value in options.items():
            present = self.settings.get(name, value)
            fits = present.items() >= value.items() if isinstance(value, Mapping) else present == value
            if not fits:
                wire = name.replace("_", "-")
                raise Conflict(
                    f"{self.resource.name} is open with {wire} {present}, not {value}; ask for no settings",
                    key=f"serial.{wire}",
                )

    def write_data(self, data: bytes) -> Mapping[str, int] | Awaitable[Mapping[str, int]]:
        """As :meth:`write`."""
        return self._writer.write(data, False, None)

    def close(self) -> None:
        """Fail what is in flight, end a break, discard what was not sent; DTR drops if the port hangs up."""
        self._tty.close()

    @serves("SERIAL_PORT_CLOSE", access=Access.NONE, audit=True)
    def close_port(self) -> None:
        """Nothing to do beside what the agent does for every handle that is closed: :meth:`close`."""

    @serves("SERIAL_PORT_CONFIGURE", access=Access.WRITE, slow=True, audit=True)
    def configure(self, **settings: Any) -> Mapping[str, Any]:
        """Change the settings given (those of SERIAL_PORT_OPEN), all or none; the effective ones.

        Takes effect at once, for bytes that wait in the kernel, too. Raises BadRequest, Unsupported,
        HardwareError or DeviceGone, and then nothing has changed.
        """
        check(settings)
        self._adopt(self._borrow("these settings", lambda fd: configure(fd, self.resource.name, settings)))
        self._tty.exclusive = settings.get("exclusive", self._tty.exclusive)
        return self.settings

    @serves("SERIAL_DATA_WRITE", access=Access.WRITE)
    def write(
        self, data: bytes, drain: bool = False, timeout: float | None = None
    ) -> Mapping[str, int] | Awaitable[Mapping[str, int]]:
        """Send ``data`` behind all that was written before: {``written``} when the kernel has taken all.

        Answers at once when the kernel has room, else with an awaitable. With ``drain`` the last bit has left
        the transmitter (a pty's counts as empty always). ``timeout`` is in seconds, None = no limit. Raises
        BadRequest; OperationTimeout with ``written``, the rest is not sent then.
        """
        _check_timeout(timeout)
        return self._writer.write(data, drain, timeout)

    @serves("SERIAL_DATA_READ", access=Access.READ)
    async def read(
        self,
        size: int = 65536,
        timeout: float | None = None,
        terminator: bytes | None = None,
        minimum: int = 1,
        stream: bool = False,
    ) -> Mapping[str, Any] | Stream:
        """Read once: {``data``, ``complete``}; or with ``stream`` all that comes, as a byte stream.

        One read ends at the first ``terminator`` that ends at or behind byte ``minimum`` (what follows it is
        kept for the next read), without one as soon as ``minimum`` bytes are there, and at ``size`` bytes
        anyway. ``timeout`` is in seconds: None = no limit, 0 = what is there now; after it the answer is what
        there is, and only then ``complete`` is False. Raises BadRequest; Conflict while there is another
        reader.
        """
        if stream:
            return ByteStream(self._reader)
        _check_timeout(timeout)
        wanted = Wanted(size, minimum, terminator)
        wanted.check()
        return await self._reader.read(wanted, timeout)

    @serves("SERIAL_CONTROL_SET", access=Access.WRITE, slow=True)
    def set_control(
        self, dtr: bool | None = None, rts: bool | None = None, flush: str | None = None
    ) -> Mapping[str, Any] | None:
        """Discard what waits ("input", "output" or "both"), then set DTR and RTS, both in one ioctl.

        Writes that the kernel has not taken yet are not discarded. Raises BadRequest; Unsupported where there
        are no modem lines, and then nothing is discarded either; HardwareError, DeviceGone.
        """
        if flush is not None and flush not in kernel.FLUSH:
            raise BadRequest("`flush` must be input, output or both", key="flush")
        self._borrow("modem lines", partial(_set_control, dtr=dtr, rts=rts, flush=flush))
        if flush in ("input", "both"):
            self._reader.discard()
        return None

    @serves("SERIAL_CONTROL_GET", access=Access.READ, slow=True)
    def get_control(self, watch: bool = False) -> Mapping[str, Any] | Stream:
        """All six lines, the bytes waiting in both directions, and the driver's ``counters`` if it keeps any;
        or with ``watch`` an event stream of changes. Raises Unsupported without modem lines, as on a pty.
        """
        if watch:
            first = self._borrow("modem lines", lines.look)
            return LineStream(self._tty, first, self._interval, on_usb=self.resource.parent is not None)
        return self._borrow("modem lines", self._control)

    @serves("SERIAL_BREAK", access=Access.WRITE)
    async def send_break(self, duration: float) -> None:
        """Send a break of ``duration`` seconds (0-10) behind all that was written before; later writes wait.

        Closing the port or a cancellation ends it. A pty accepts it and does nothing. Raises BadRequest,
        Unsupported, HardwareError, DeviceGone.
        """
        if not 0 <= duration <= MAX_BREAK:
            raise BadRequest(f"`duration` must lie between 0 and {MAX_BREAK:g} seconds", key="duration")
        stop = threading.Event()
        forget = self._tty.on_end(lambda _: stop.set())
        turn = self._writer.barrier()
        try:
            await turn.future
            await self._tty.in_thread("a break", partial(_hold_break, duration, stop))
        finally:
            stop.set()
            forget()
            self._writer.lift(turn)

    def _adopt(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self._writer.baud = settings["baud"]

    def _control(self, fd: int) -> Mapping[str, Any]:
        values = lines.counts(fd)
        return {
            **lines.decode(lines.read(fd)),
            "input_waiting": kernel.input_waiting(fd) + len(self._reader.intake),
            "output_waiting": kernel.output_waiting(fd) + self._writer.waiting,
            **({"counters": lines.named_counters(values)} if values else {}),
        }

    def _borrow(self, doing: str, function: Callable[[int], T]) -> T:
        """``function(fd)`` on this (worker) thread, an OSError made a status."""
        self._tty.check()
        try:
            return self._tty.borrow(function)
        except OperationError:
            raise
        except OSError as error:
            raise fault(self._tty.fd, self.resource.name, doing, error) from None


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not 0 <= timeout < float("inf"):
        raise BadRequest("`timeout` must be 0 or more seconds", key="timeout")


def _set_control(fd: int, dtr: bool | None, rts: bool | None, flush: str | None) -> None:
    bits = lines.read(fd) if dtr is not None or rts is not None else None
    if flush is not None:
        kernel.flush(fd, flush)
    if bits is not None:
        lines.write(fd, lines.changed(bits, dtr, rts))


def _hold_break(duration: float, stop: threading.Event, fd: int) -> None:
    """On a thread, as TIOCSBRK first waits until all output is sent, which flow control may prevent."""
    kernel.wait_int(fd, kernel.TIOCSBRK, 0)
    try:
        stop.wait(duration)
    finally:
        kernel.wait_int(fd, kernel.TIOCCBRK, 0)
