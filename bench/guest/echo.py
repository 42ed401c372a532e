"""The plainest peer: what arrives on a TCP connection goes back. As a program it is the server, on uvloop."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from ..measure import run

SIZE = 64
"""Bytes of a message: a small request with its header, as all protocols of this kind have."""


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class EchoClient:
    """Blocking round trips, the least that a client can do."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._message = bytes(SIZE)

    def round_trip(self) -> None:
        """Send a message and wait until all of it is back."""
        self._socket.sendall(self._message)
        left = SIZE
        while left:
            received = len(self._socket.recv(left))
            if not received:
                raise ConnectionError("the echo has gone")
            left -= received

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


async def serve() -> None:
    """Serve on a free loopback port, which is printed first."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve())
