"""Descriptors on the event loop, and the user's terminal in raw mode."""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

CHUNK = 16 << 10


@contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """Every key at once and as it is, Ctrl-C included; what the terminal had before comes back."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


async def until_ready(fd: int, *, writing: bool = False) -> None:
    """Wait until ``fd`` can be read, or written. A regular file always can."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    watch, forget = (
        (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    )
    try:
        watch(fd, _settle, future)
    except PermissionError:  # epoll(7) takes no regular files
        return
    try:
        await future
    finally:
        forget(fd)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def chunks(fd: int) -> AsyncIterator[bytes]:
    """What comes from ``fd``, which may be blocking, until its end."""
    while True:
        await until_ready(fd)
        data = os.read(fd, CHUNK)
        if not data:
            return
        yield data
