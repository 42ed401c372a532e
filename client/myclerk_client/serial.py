"""Serial ports of a board (operations 0x0610-0x0618)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from myclerk_protocol.status import MyClerkError, OperationTimeout

from .held import Held, opened
from .link import Link
from .streams import ByteStream, EventStream

WRITE_CHUNK = 64 << 10
"""Bytes of one SERIAL_DATA_WRITE; a longer write is split, each part behind the answer to the one before."""


class SerialPort(Held):
    """An open serial port. Reading is from a stream that the agent pushes, so a byte costs no round trip.

    ``settings`` are the effective ones, as the kernel reports them.
    """

    closing = "SERIAL_PORT_CLOSE"

    def __init__(self, link: Link, resource: str, opened: Mapping[str, Any]) -> None:
        super().__init__(link, resource, opened["handle"])
        self.settings: dict[str, Any] = {k: v for k, v in opened.items() if k != "handle"}
        self._stream: asyncio.Task[ByteStream] | None = None

    async def close(self) -> None:
        """Close the port at the agent. Idempotent."""
        await super().close()
        if self._stream is not None:
            with suppress(MyClerkError):
                await (await self._stream).stop()

    async def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings, all or none; the effective ones. Names as in :meth:`SerialPorts.open`."""
        self.settings = await self._request("SERIAL_PORT_CONFIGURE", settings)
        return self.settings

    async def write(self, data: bytes, *, drain: bool = False, timeout: float | None = None) -> int:
        """Write all of ``data``; returns when the board's kernel took it, with ``drain`` when it was sent.

        Raises OperationTimeout after ``timeout`` seconds; ``details["written"]`` counts what was taken.
        """
        if len(data) <= WRITE_CHUNK:
            answer = await self._request("SERIAL_DATA_WRITE", _write(bytes(data), drain, timeout))
            return int(answer["written"])
        written = 0
        view = memoryview(data)
        for start in range(0, len(data), WRITE_CHUNK):
            chunk = bytes(view[start : start + WRITE_CHUNK])
            last = start + WRITE_CHUNK >= len(data)
            try:
                answer = await self._request("SERIAL_DATA_WRITE", _write(chunk, drain and last, timeout))
            except OperationTimeout as error:
                done = written + int(error.details.get("written", 0))
                raise OperationTimeout(error.message, written=done) from None
            written += int(answer["written"])
        return written

    async def read(self, limit: int = 1 << 20, *, timeout: float | None = None) -> bytes:
        """What has arrived, at least one byte and at most ``limit``; empty after ``timeout`` seconds.

        Raises DeviceGone when the port was unplugged, SessionLost when the session is over.
        """
        return await (await self._reader()).read(limit, timeout)

    async def read_exactly(self, size: int, *, timeout: float | None = None) -> bytes:
        """Exactly ``size`` bytes, or fewer when ``timeout`` seconds are over or the port hung up."""
        return await self._collect(lambda data: size if len(data) >= size else 0, timeout, size)

    async def read_until(
        self, terminator: bytes = b"\n", *, limit: int = 1 << 20, timeout: float | None = None
    ) -> bytes:
        """Up to and with ``terminator``, or what there is after ``timeout`` seconds or ``limit`` bytes."""

        def found(data: bytearray) -> int:
            at = data.find(terminator)
            return at + len(terminator) if at >= 0 else 0

        return await self._collect(found, timeout, limit)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def in_waiting(self) -> int:
        """Bytes that can be read at once: those here and those in the board's kernel."""
        stream = await self._reader()
        return stream.buffered

    async def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Set DTR and RTS, both in one atomic change."""
        await self._request("SERIAL_CONTROL_SET", {"dtr": dtr, "rts": rts})

    async def flush(self, which: str = "both") -> None:
        """Discard what waits in the kernel: "input" (and what has arrived here), "output" or "both"."""
        await self._request("SERIAL_CONTROL_SET", {"flush": which})
        if which != "output" and self._stream is not None:
            (await self._reader()).discard()

    async def lines(self) -> dict[str, Any]:
        """DTR, RTS, CTS, DSR, RI and DCD, bytes waiting, and the kernel's error counters where it has them."""
        return await self._request("SERIAL_CONTROL_GET", {})

    async def watch_lines(self) -> EventStream:
        """Changes of CTS, DSR, RI and DCD as events {timestamp_ns, line, value}; stop the stream when done."""
        stream = EventStream(self._link)
        await stream.open("SERIAL_CONTROL_GET", {"handle": self._handle, "watch": True})
        return stream

    async def send_break(self, duration: float = 0.25) -> None:
        """Hold the line in the break condition for ``duration`` seconds, 0 to 10."""
        await self._request("SERIAL_BREAK", {"duration": duration})

    async def _reader(self) -> ByteStream:
        if self._stream is None:  # a task: a reader that gives up while it opens leaves it to the next one
            self._check()
            self._stream = asyncio.ensure_future(self._open())
        stream = self._stream
        try:
            return await asyncio.shield(stream)
        except MyClerkError:  # the next read may try again
            if self._stream is stream:
                self._stream = None
            raise

    async def _open(self) -> ByteStream:
        stream = ByteStream(self._link)
        await stream.open("SERIAL_DATA_READ", {"handle": self._handle, "stream": True})
        return stream

    async def _collect(self, enough: Any, timeout: float | None, limit: int) -> bytes:
        stream = await self._reader()
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        data = bytearray()
        try:
            while True:
                cut = enough(data) or (limit if len(data) >= limit else 0)
                if cut:
                    stream.unread(bytes(data[cut:]))
                    return bytes(data[:cut])
                left = None if deadline is None else max(deadline - loop.time(), 0.0)
                chunk = await stream.read(1 << 20, left)
                if not chunk:
                    return bytes(data)
                data += chunk
        except asyncio.CancelledError:
            stream.unread(bytes(data))
            raise


class SerialPorts:
    """The serial ports of a board; ``board.serial``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[dict[str, Any]]:
        """The ports, each with name, path, description and what USB says of it."""
        return list((await self._link.request("SERIAL_PORT_LIST", {}))["ports"])

    async def open(self, port: str, **settings: Any) -> SerialPort:
        """Open a port by resource name ("serial:ttyUSB0") or short name ("ttyUSB0"), raw, default 9600 8N1.

        Settings: ``baud`` (any rate), ``data_bits`` 5-8, ``parity`` none/even/odd/mark/space, ``stop_bits``
        1/2, ``rts_cts``, ``xon_xoff``, ``exclusive``, ``hang_up_on_close``, ``dtr`` and ``rts`` (initial
        states), ``rs485`` (a mapping). Raises NotFound, Conflict with the holder, Unsupported for a setting
        that the port's driver does not take.
        """
        resource = port if port.startswith("serial:") else f"serial:{port}"
        fields = {"resource": resource, **settings}
        return SerialPort(
            self._link, resource, await opened(self._link, "SERIAL_PORT_OPEN", fields, SerialPort.closing)
        )


def _write(data: bytes, drain: bool, timeout: float | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"data": data}
    if drain:
        fields["drain"] = True
    if timeout is not None:
        fields["timeout"] = timeout
    return fields
