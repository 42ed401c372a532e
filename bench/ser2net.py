"""The peer for serial ports: ser2net 4, raw TCP on a loopback port."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .board import free_port
from .machine import child

START_SECONDS = 10.0
HOW_TO_GET_IT = "ser2net is not installed: its rows are missing. Get it with `apt-get install ser2net`."


def program() -> str | None:
    """Where ser2net is, or None."""
    return shutil.which("ser2net", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")


@contextmanager
def running(
    directory: Path, core: int, device: str, options: Mapping[str, str]
) -> Iterator[tuple[int, socket.socket]]:
    """A connection to a ser2net on ``core`` that serves ``device`` with ``options``; its process ID first."""
    path = program()
    if path is None:
        raise RuntimeError(HOW_TO_GET_IT)
    port = free_port()
    config = directory / f"ser2net-{port}.yaml"
    lines = [
        "connection: &bench",
        f"  accepter: tcp,127.0.0.1,{port}",
        f"  connector: serialdev,{device},local",
    ]
    if options:
        lines += ["  options:", *(f"    {name}: {value}" for name, value in options.items())]
    config.write_text("\n".join([*lines, ""]))
    log = directory / f"ser2net-{port}.log"
    with (
        child([path, "-n", "-u", "-c", str(config)], core, log=log) as process,
        _connect(port, log) as connection,
    ):
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield process.pid, connection


def _connect(port: int, log: Path) -> socket.socket:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), START_SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"ser2net did not start:\n{log.read_text()}") from None
            time.sleep(0.02)
