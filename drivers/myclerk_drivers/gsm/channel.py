"""Commands to a modem over its tty: one at a time, each with its time limit, and back in step after a failure."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from contextlib import suppress

from myclerk_protocol.status import DeviceGone, OperationError, OperationTimeout

from ..serial.tty import OpenTty, settle
from ..serial.writing import Writer
from .at import Command, Dialogue, Done, Event, Prompt, Unsolicited
from .faults import AtError, NoAnswer

SYNCHRONISE = Command(
    "AT+CGSN", re.compile(r"(?:\+CGSN: ?)?\"?[0-9A-F]{14,17}\"?"), required=True, timeout=3.0
)
"""Answered by what no other command is: what comes before its information belongs to an earlier one."""
ATTEMPTS = 6
QUIET = 0.1
"""Seconds without a byte after which a late response is taken to be over."""
SHORTEST_QUIET = 0.02
READ = 65536


class AtChannel:
    """A modem's tty while it is open. For the event loop's thread.

    ``unsolicited`` is called with each result code that no command asked for. After a time limit the modem is out of
    step: before the next command, what may still come of the old one is awaited and thrown away. A modem that cannot
    be brought back has hung: the tty is ended with OperationTimeout, and everybody who waits gets that. ``scale`` is a
    factor for all time limits.
    """

    def __init__(self, tty: OpenTty, unsolicited: Callable[[Unsolicited], None], scale: float = 1.0) -> None:
        self.tty = tty
        self.echo_is_off = False
        self.restarted = False
        self._dialogue = Dialogue()
        self._writer = Writer(tty)
        self._unsolicited = unsolicited
        self._turn = asyncio.Lock()
        self._done: asyncio.Future[Done] | None = None
        self._in_step = True
        self._scale = scale
        self._heard = 0
        self._tasks: set[asyncio.Future[list[str]]] = set()
        tty.watch_input(self._readable)

    async def run(
        self,
        text: str,
        information: re.Pattern[str] | str | None = None,
        *,
        payload: bytes | None = None,
        places_call: bool = False,
        required: bool = False,
        timeout: float = 5.0,
    ) -> list[str]:
        """The lines of information that answer a command; see :class:`.at.Command`.

        A str as ``information`` is the prefix of such lines. A caller that is cancelled while its command is under
        way does not disturb the next one. Raises AtError; NoAnswer after ``timeout`` seconds; DeviceGone, NotFound or
        OperationTimeout when the tty has ended.
        """
        if isinstance(information, str):
            information = re.compile(re.escape(information) + ".*")
        command = Command(text, information, required, payload, places_call, timeout)
        wanted = [True]
        task = asyncio.ensure_future(self._in_turn(command, wanted))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            wanted[0] = False
            raise

    async def probe(self, attempts: int, timeout: float) -> bool:
        """Whether a modem answers AT. It need not be in step for that, and is brought there afterwards."""
        for _ in range(attempts):
            async with self._turn:
                with suppress(NoAnswer, AtError):
                    await self._execute(Command("AT", timeout=timeout))
                    return True
        return False

    async def has_value(self, text: str, information: str) -> str | None:
        """The first line that answers a query, without its prefix; None if the modem refuses or gives none."""
        try:
            lines = await self.run(text, information)
        except AtError:
            return None
        return lines[0].removeprefix(information).strip() if lines else None

    def close(self) -> None:
        """Close the tty. Idempotent."""
        self.tty.close()

    def _forget(self, task: asyncio.Future[list[str]]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def _in_turn(self, command: Command, wanted: list[bool]) -> list[str]:
        async with self._turn:
            if not wanted[0]:
                return []
            if not self._in_step:
                await self._synchronise()
            return await self._execute(command)

    async def _execute(self, command: Command) -> list[str]:
        echoes = self._dialogue.echoes
        waiter: asyncio.Future[Done] = self.tty.waiter()
        self._done = waiter
        self._send(self._dialogue.start(command))
        if not await self.tty.within(waiter, command.timeout * self._scale):
            self._done = None
            self._in_step = False
            if leave := self._dialogue.abandon():
                self._send(leave)
            raise NoAnswer(command.text)
        self._done = None
        done = waiter.result()
        if self.echo_is_off and self._dialogue.echoes > echoes:
            self.restarted = True
        if not done.succeeded:
            raise AtError(command.text, done.final)
        return done.lines

    async def _synchronise(self) -> None:
        """Get back in step. Raises OperationTimeout when the modem has hung; the tty is ended then."""
        in_a_row = 0
        for attempt in range(ATTEMPTS):
            await self._silence()
            try:
                await self._execute(SYNCHRONISE)
            except (NoAnswer, AtError):
                in_a_row = 0
                continue
            in_a_row += 1
            if attempt == 0 or in_a_row == 2:  # else this may have been the answer to an attempt before it
                self._in_step = True
                return
        self.tty.end(OperationTimeout(f"the modem at {self.tty.name} does not answer any more; reset it"))
        raise self.tty.end_error()

    async def _silence(self) -> None:
        """Wait until nothing has come for a moment, but not for ever: some modems never are quiet."""
        for _ in range(10):
            heard = self._heard
            await self.tty.pause(max(QUIET * self._scale, SHORTEST_QUIET))
            if heard == self._heard:
                return

    def _send(self, data: bytes) -> None:
        written = self._writer.write(data, False, None)
        if inspect.isawaitable(written):
            asyncio.ensure_future(written).add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )

    def _readable(self) -> None:
        try:
            data = self.tty.read(READ)
        except OperationError as error:
            if not isinstance(error, DeviceGone):  # that one has ended the tty already
                self.tty.end(error)
            return
        self._heard += len(data)
        for event in self._dialogue.receive(data):
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Unsolicited):
            self._unsolicited(event)
        elif isinstance(event, Prompt):
            self._send(self._dialogue.payload())
        elif self._done is not None:
            settle(self._done, event)
