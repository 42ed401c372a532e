"""Reading a port: one reader at a time, and no received byte lost between readers."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from myclerk_protocol.status import Conflict

from .intake import Intake, Wanted
from .tty import OpenTty, settle


class Reader:
    """One-shot reads of a tty, and the intake that they share with streams.

    For the event loop's thread, except :meth:`discard` and ``len(reader.intake)``.
    """

    def __init__(self, tty: OpenTty) -> None:
        self.tty = tty
        self.intake = Intake()
        self._user: object | None = None

    def reserve(self, user: object) -> None:
        """Become the one reader. Raises Conflict while there is another, NotFound or DeviceGone."""
        self.tty.check()
        if self._user is not None:
            raise Conflict(f"{self.tty.name} is being read already, by a read or a stream of this handle")
        self._user = user

    def release(self, user: object) -> None:
        """Stop being the reader; harmless for others."""
        if self._user is user:
            self._user = None

    def discard(self) -> None:
        """Forget what was received. A new intake, not an emptied one: this may run on a worker thread."""
        self.intake = Intake()

    async def read(self, wanted: Wanted, seconds: float | None) -> dict[str, Any]:
        """One read: {``data``, ``complete``}. ``seconds`` until it is cut short; 0: at once, None: never.

        Then the answer is what is there, possibly nothing, and not complete. Received bytes leave the intake
        only when the read returns, so a cancelled one loses none.
        """
        self.reserve(wanted)
        try:
            self.intake.begin()
            deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
            while (taken := self._attempt(wanted)) is None:
                if not await self._readable(deadline):
                    return {"data": self.intake.take_any(wanted.size), "complete": False}
            return {"data": taken, "complete": True}
        finally:
            self.release(wanted)

    def _attempt(self, wanted: Wanted) -> bytes | None:
        """Take from the intake, and from the kernel unless a terminator is there already."""
        if wanted.terminator is not None and (taken := self.intake.take(wanted)) is not None:
            return taken
        if (room := wanted.size - len(self.intake)) > 0:
            self.intake.feed(self.tty.read(room))
        return self.intake.take(wanted)

    async def _readable(self, deadline: float | None) -> bool:
        """Wait until something arrives; False at the deadline."""
        left = None if deadline is None else deadline - asyncio.get_running_loop().time()
        if left is not None and left <= 0:
            return False
        future = self.tty.waiter()
        self.tty.watch_input(partial(settle, future))
        try:
            return await self.tty.within(future, left)
        finally:
            self.tty.unwatch_input()
