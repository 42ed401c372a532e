"""Keeping a device plugged in: whenever it comes back, and whenever the board does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    InvalidSession,
    NotFound,
    ServiceUnavailable,
    TooMany,
)

from ..board import Board
from ..errors import ConnectionLost
from .device import UsbDevice

log = logging.getLogger("myclerk.usb")

FIRST_RETRY, LAST_RETRY = 0.5, 5.0
"""Seconds between attempts to get a board, or a device that is there but not to be had."""
LOST = (ConnectionLost, InvalidSession)
NOT_YET = (Conflict, DeviceGone, NotFound, ServiceUnavailable, TooMany)
"""What another attempt may overcome: somebody who still has it, a device that is just starting."""

Use = Callable[[Board, UsbDevice], Awaitable[BaseException | None]]
"""Uses a device until it is gone (the error) or not wanted any more (None)."""


class Keeper:
    """Attaches the device that ``rule`` names whenever it can be had, and uses it.

    ``rule`` is any name of a resource: a place ("1-1.4"), which holds for whatever is plugged in there, or an ID with
    or without serial number, which holds wherever it is plugged in. ``say`` gets a sentence for each change.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Board]], rule: str, use: Use, say: Callable[[str], None]
    ) -> None:
        self._connect = connect
        self._resource = rule if rule.startswith("usb:") else f"usb:{rule}"
        self._use = use
        self._say = say
        self._pause = FIRST_RETRY
        self._said = ""

    async def run(self, board: Board) -> None:
        """Until the device is not wanted any more. Raises what another attempt cannot overcome, as Forbidden."""
        while True:
            async with board:
                try:
                    if await self._on(board):
                        return
                except LOST as error:
                    self._say(f"{error}; connecting again")
            board = await self._again()

    async def _on(self, board: Board) -> bool:
        """Whether it was not wanted any more. Raises when the board is lost."""
        while True:
            try:
                device = await board.usb.attach(await self._await(board))
            except NOT_YET as error:
                log.info("not yet: %s", error)
                await self._rest()
                continue
            except BadRequest as error:  # several devices have that ID; there may be one of them left soon
                self._say_once(str(error))
                await self._rest()
                continue
            self._said = ""
            began = time.monotonic()
            ended = await self._use(board, device)
            if ended is None:
                return True
            if isinstance(ended, ConnectionLost) and board.link.closed:
                raise ended
            self._say(str(ended))
            if time.monotonic() - began > LAST_RETRY:
                self._pause = FIRST_RETRY
            await self._rest()

    async def _await(self, board: Board) -> str:
        """The name of the device, as soon as it is there."""
        try:
            return str((await board.device(self._resource))["name"])
        except NotFound:
            self._say_once(f"waiting for {self._resource}")
        return str((await board.wait_for(self._resource))["name"])

    async def _again(self) -> Board:
        """The board, as soon as it can be reached."""
        while True:
            try:
                board = await self._connect()
            except (*LOST, *NOT_YET) as error:
                log.info("not yet: %s", error)
                await self._rest()
            else:
                self._pause = FIRST_RETRY
                return board

    def _say_once(self, sentence: str) -> None:
        """Say why there is no device, unless that was said last."""
        if sentence != self._said:
            self._said = sentence
            self._say(sentence)

    async def _rest(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LAST_RETRY)
