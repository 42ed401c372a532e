"""Calls from the host over a virtio-serial port: MessagePack, [id, method, parameters] and [id, error, result]."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgpack

PORTS = Path("/sys/class/virtio-ports")
CHUNK = 32768
"""What the kernel's driver takes and gives at once."""
LOOK_AGAIN = 0.02
"""Seconds between looks whether the host has opened its end."""

EXPECTED = (LookupError, ValueError, RuntimeError, OSError)
"""Errors of the caller or the board; others are the hand's own, and the console shows where they come from."""

Method = Callable[..., Awaitable[Any]]


def open_port(name: str = "hand") -> int:
    """Open the port that QEMU has given this name; its descriptor. Raises FileNotFoundError."""
    for port in PORTS.iterdir():
        if (port / "name").read_text().strip() == name:
            return os.open(f"/dev/{port.name}", os.O_RDWR | os.O_NONBLOCK)
    raise FileNotFoundError(f"QEMU has no virtio-serial port {name}")


class Channel:
    """Serves ``methods`` on a port. Each call is a task of its own, so that a long one holds up no other."""

    def __init__(self, fd: int, methods: Mapping[str, Method]) -> None:
        self._fd = fd
        self._methods = methods
        self._loop = asyncio.get_running_loop()
        self._unpacker = self._fresh()
        self._outgoing = bytearray()
        self._calls: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen from now on."""
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._host_is_gone()
            return
        self._unpacker.feed(data)
        for identifier, method, parameters in self._unpacker:
            call = self._loop.create_task(self._call(identifier, method, parameters))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    def _host_is_gone(self) -> None:
        """Nobody has the host's end open. The port says so all the time, so look again in a moment."""
        self._unpacker = self._fresh()
        self._outgoing.clear()
        self._loop.remove_writer(self._fd)
        self._loop.remove_reader(self._fd)
        self._loop.call_later(LOOK_AGAIN, self.start)

    async def _call(self, identifier: int, method: str, parameters: Mapping[str, Any]) -> None:
        try:
            if method not in self._methods:
                raise LookupError(f"the hand has no method {method}")
            answer = [identifier, None, await self._methods[method](**parameters)]
        except Exception as error:
            if not isinstance(error, EXPECTED):
                traceback.print_exc()
            answer = [identifier, f"{type(error).__name__}: {error}", None]
        self._outgoing += msgpack.packb(answer)
        self._write()

    def _write(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._fd, self._outgoing[:CHUNK])]
        except BlockingIOError:
            self._loop.add_writer(self._fd, self._write)
            return
        self._loop.remove_writer(self._fd)

    @staticmethod
    def _fresh() -> msgpack.Unpacker:
        return msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=1 << 30)
