"""`myclerk serial link`: a remote port as a local pty that any program can open."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    InvalidSession,
    LocalError,
    NotFound,
    ServiceUnavailable,
    TooMany,
    Unsupported,
)

from ..board import Board
from ..errors import ConnectionLost
from ..serial import SerialPort
from .app import App, until_first, with_board
from .local_pty import LOOK, Heard, LocalPty
from .options import Command
from .ports import port_argument, settings_options, summary

log = logging.getLogger("myclerk.cli")

FIRST_RETRY, LAST_RETRY = 0.5, 5.0
"""Seconds between attempts to get a lost board back."""
LOST = (ConnectionLost, InvalidSession)
NOT_YET = (Conflict, NotFound, TooMany, ServiceUnavailable)
"""What another attempt may overcome: the last session that lingers, a board that is still starting."""


@click.command(cls=Command)
@port_argument
@settings_options
@click.option("--to", type=click.Path(path_type=Path), metavar="PATH", help="Make PATH a link to the pty.")
@with_board(limited=False)
async def link(app: App, board: Board, port: str, settings: dict[str, Any], to: Path | None) -> None:
    """Make a serial port a local pty that any program can open, until Ctrl-C; prints its path.

    Programs set rate, parity, stop bits and flow control as on a real port. Linux ptys keep neither even
    parity nor the number of data bits: give those here. They have no modem lines and no break either.

    Example: myclerk serial link ttyUSB0 --to /tmp/ttyBench & picocom -b 115200 /tmp/ttyBench
    """
    remote = await board.serial.open(port, **settings)
    pty = LocalPty(remote.settings)
    try:
        copier = SerialLink(app, pty, settings)
        with _symlink(to, pty.path):
            path = str(to or pty.path)
            app.output.document({"path": path, "pty": pty.path, "settings": remote.settings}, path)
            app.output.note(f"{remote.resource} at {summary(remote.settings)} is {path} until Ctrl-C")
            await copier.run(board, remote)
    finally:
        pty.close()


@contextmanager
def _symlink(path: Path | None, target: str) -> Iterator[None]:
    """``path`` leads to ``target``; a link to an earlier pty is replaced, anything else is left alone."""
    if path is None:
        yield
        return
    if path.is_symlink() and os.readlink(path).startswith("/dev/pts/"):
        path.unlink()
    try:
        path.symlink_to(target)
    except FileExistsError:
        raise LocalError(f"{path} exists; remove it or choose another path") from None
    try:
        yield
    finally:
        if path.is_symlink() and os.readlink(path) == target:
            path.unlink()


class SerialLink:
    """Copies both ways between a pty and a remote port, follows the pty's settings, outlives connections.

    Settings are followed from the moment this is made; ``settings`` are those asked for on the command line.
    """

    def __init__(self, app: App, pty: LocalPty, settings: Mapping[str, Any]) -> None:
        self._app = app
        self._pty = pty
        self._settings = dict(settings)
        self._seen = pty.settings()

    async def run(self, board: Board, remote: SerialPort) -> None:
        """Until it is cancelled, or an error that another attempt would meet again."""
        try:
            while True:
                try:
                    await until_first(self._to_board(remote), self._to_program(remote))
                except LOST as error:
                    self._app.output.note(f"{error}; connecting again")
                await board.close()
                board, remote = await self._again(remote.resource)
                self._app.output.note(f"{remote.resource} is back at {summary(remote.settings)}")
        finally:
            await board.close()

    async def _again(self, resource: str) -> tuple[Board, SerialPort]:
        """The board and its port, as soon as both are to be had."""
        pause = FIRST_RETRY
        while True:
            try:
                board = await self._app.connect()
                try:
                    return board, await board.serial.open(resource, **self._settings)
                except BaseException:
                    await board.close()
                    raise
            except (*LOST, *NOT_YET) as error:
                log.info("not yet: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_RETRY)

    async def _to_program(self, remote: SerialPort) -> None:
        while data := await remote.read():
            await self._pty.write(data)
        raise DeviceGone(f"{remote.resource} hung up")

    async def _to_board(self, remote: SerialPort) -> None:
        while True:
            heard = await self._pty.hear()
            await self._obey(remote, heard)
            if heard.data:
                await self._write(remote, heard.data)

    async def _write(self, remote: SerialPort, data: bytes) -> None:
        """Send; while flow control holds it back, go on following what the program asks for."""
        sending = asyncio.ensure_future(remote.write(data))
        try:
            while not (await asyncio.wait({sending}, timeout=LOOK))[0]:
                await self._obey(remote, self._pty.glance())
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _obey(self, remote: SerialPort, heard: Heard) -> None:
        """Settings and flushes, before the bytes that came with them."""
        seen = self._pty.settings()
        if seen != self._seen:
            changed = {key: value for key, value in seen.items() if value != self._seen.get(key)}
            self._seen = seen
            await self._configure(remote, changed)
        if heard.flushed_input or heard.flushed_output:
            both = heard.flushed_input and heard.flushed_output
            await remote.flush("both" if both else "input" if heard.flushed_input else "output")

    async def _configure(self, remote: SerialPort, changed: dict[str, Any]) -> None:
        """Set what the port takes; what it does not take is said, as tcsetattr(3) would not fail either."""
        while changed:
            try:
                await remote.configure(**changed)
            except (Unsupported, BadRequest) as error:
                self._app.output.note(error.message)
                refused = str(error.details.get("key")).replace("-", "_")
                if changed.pop(refused, None) is None:
                    return
            else:
                self._settings.update(changed)
                log.info("%s now at %s", remote.resource, summary(remote.settings))
                return
