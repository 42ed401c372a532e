"""The peer for requests: MessagePack maps over plain TCP, nothing else. As a program it is the server.

What it shares with the subject: 4-byte lengths, a request ID and a future per request, one write for all
that is ready in a turn of the event loop. What it lacks: encryption, schema, rights, exactly-once.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from msgpack import packb, unpackb

from .measure import run

LENGTH = 4


class Framed(asyncio.Protocol):
    """One end of a connection: maps in and out."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._waiting: list[bytes] = []
        self._scheduled = False
        self._feeding = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        self._feeding = True
        position, end = 0, len(data)
        while position + LENGTH <= end:
            start = position + LENGTH
            stop = start + int.from_bytes(data[position:start], "big")
            if stop > end:
                break
            self.received(unpackb(data[start:stop]))
            position = stop
        self._rest = data[position:]
        self._feeding = False
        self._flush()

    def received(self, message: dict[str, Any]) -> None:
        """One map has arrived."""

    def send(self, message: dict[str, Any]) -> None:
        """Send a map, together with all others of this turn."""
        packed = packb(message)
        self._waiting.append(len(packed).to_bytes(LENGTH, "big") + packed)
        if not self._feeding and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        self._scheduled = False
        if self._waiting and self._transport is not None:
            waiting, self._waiting = self._waiting, []
            self._transport.write(waiting[0] if len(waiting) == 1 else b"".join(waiting))


class EchoServer(Framed):
    """Gives each value back under its request ID."""

    def received(self, message: dict[str, Any]) -> None:
        self.send({"id": message["id"], "value": message["value"]})


class EchoClient(Framed):
    """Asks, with any number of requests in flight."""

    def __init__(self) -> None:
        super().__init__()
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0

    async def request(self, value: int) -> dict[str, Any]:
        """Send a value and await what comes back."""
        self._last_id += 1
        future: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._pending[self._last_id] = future
        self.send({"id": self._last_id, "handle": 1, "value": value})
        return await future

    def received(self, message: dict[str, Any]) -> None:
        self._pending.pop(message["id"]).set_result(message)


async def connect(port: int) -> EchoClient:
    """A client of the server on that loopback port."""
    _, client = await asyncio.get_running_loop().create_connection(EchoClient, "127.0.0.1", port)
    return client


async def serve() -> None:
    """Serve on a free loopback port, which is printed first."""
    server = await asyncio.get_running_loop().create_server(EchoServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve())
