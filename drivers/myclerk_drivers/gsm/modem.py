"""A modem: which of its ttys answers, how it is set up, and how it comes back after it was gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from myclerk_protocol.status import Conflict, NotFound, OperationError, OperationTimeout

from ..context import DriverContext, Timer
from ..serial.tty import OpenTty
from .at import FIRMWARE, FREE, Unsolicited
from .channel import AtChannel
from .dialects import GENERIC, Dialect, dialect_of
from .faults import AtError, NoAnswer, status_of
from .tty import disturber, open_tty

PROBES = 3
"""Modems that find the baud rate by themselves need the first AT for that."""
POLL = 0.05
"""Seconds between looks whether the tty can be given back."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts to get a modem back that somebody waits for."""
SET_UP = ('AT+CSCS="IRA"', "AT+CREG=2", "AT+CGREG=2", "AT+CEREG=2", "AT+CLIP=1")
RESTARTED = frozenset({"RDY", "START", "NORMAL POWER DOWN", "POWERED DOWN"})


@dataclass(frozen=True, slots=True)
class Identity:
    """What it says of itself."""

    manufacturer: str = ""
    model: str = ""
    firmware: str = ""


@dataclass(frozen=True, slots=True)
class Tuning:
    """``baud`` of a UART; ``idle`` seconds until a tty that nobody uses is closed; ``probe`` seconds for one AT.

    ``scale`` is a factor for the time limits of all commands.
    """

    baud: int = 115200
    idle: float = 30.0
    probe: float = 1.0
    scale: float = 1.0


class Modem:
    """One modem for all sessions. Its tty is open while it is used and for ``idle`` seconds after, and for as long as
    somebody holds it (:meth:`hold`): then it is opened again whenever it was lost.

    ``find_ports`` gives the paths of its ttys that may take commands, the best first; they may change when it is
    plugged in again. For the event loop's thread.
    """

    def __init__(
        self, context: DriverContext, name: str, find_ports: Callable[[], Sequence[str]], tuning: Tuning
    ) -> None:
        self.context = context
        self.name = name
        self.identity = Identity()
        self.dialect: Dialect = GENERIC
        self.generation = 0
        """Counts set-ups: what was told to the modem before does not hold any more."""
        self._find_ports = find_ports
        self._tuning = tuning
        self._channel: AtChannel | None = None
        self._opening: asyncio.Task[AtChannel] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[Unsolicited], None]] = []
        self._on_ready: list[Callable[[], None]] = []
        self._on_lost: list[Callable[[OperationError], None]] = []
        self._holders: dict[object, str] = {}
        self._users = 0
        self._timer: Timer | None = None
        self._good_port = self._warned = ""
        self._closed = False

    # -- for those who use it ------------------------------------------------------------------------------

    @property
    def port(self) -> str | None:
        """The path of the tty that is open."""
        return self._channel.tty.name if self._channel is not None else None

    @asynccontextmanager
    async def use(self, doing: str) -> AsyncIterator[AtChannel]:
        """The channel, ready; what fails within becomes an OperationError that says what was being done.

        Raises Conflict when another program has the tty, OperationTimeout when no modem answers, DeviceGone.
        """
        self._users += 1
        try:
            yield await self.ready()
        except AtError as error:
            raise status_of(error, self.name, doing) from None
        except NoAnswer as error:
            raise OperationTimeout(
                f"{doing} on {self.name}: no answer to {error} in time; whether it was done is not known"
            ) from None
        finally:
            self._users -= 1
            self._rest()

    def listen(
        self,
        unsolicited: Callable[[Unsolicited], None] | None = None,
        ready: Callable[[], None] | None = None,
        lost: Callable[[OperationError], None] | None = None,
    ) -> None:
        """Call back for each unsolicited result code, after each set-up, and when the tty is lost."""
        if unsolicited is not None:
            self._listeners.append(unsolicited)
        if ready is not None:
            self._on_ready.append(ready)
        if lost is not None:
            self._on_lost.append(lost)

    def hold(self, holder: object, purpose: str) -> None:
        """Keep the tty open, and open it again when it was lost, until :meth:`let_go`; ``purpose`` in words."""
        self._holders[holder] = purpose
        self._keep()

    def let_go(self, holder: object) -> None:
        """The reverse. Harmless if it was not held."""
        self._holders.pop(holder, None)
        self._rest()

    async def release(self) -> None:
        """Close the tty as soon as no request is under way. Raises Conflict with what holds it."""
        while True:
            if self._holders:
                raise Conflict(f"{self.name} is in use: {'; '.join(sorted(set(self._holders.values())))}")
            if not self._users:
                return self._shut(NotFound(f"{self.name} was released"))
            await asyncio.sleep(POLL)

    def close(self) -> None:
        """Close for good. Idempotent."""
        self._closed = True
        self._holders.clear()
        for task in (self._opening, self._keeping):
            if task is not None:
                task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._shut(NotFound(f"{self.name} was closed"))

    async def reset(self) -> None:
        """Let the modem start again; returns when it answers again. Raises as :meth:`use`."""
        async with self.use("a reset") as channel:
            with suppress(NoAnswer):
                await channel.run(self.dialect.reset, timeout=10)
            channel.restarted = True
            await channel.tty.pause(self._tuning.probe)
        async with self.use("starting again"):
            return

    # -- opening -------------------------------------------------------------------------------------------

    async def ready(self) -> AtChannel:
        """The channel, with everything told to the modem that it has to know."""
        channel = self._channel
        if channel is not None and not channel.restarted:
            return channel
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._make_ready())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    def _opened(self, task: asyncio.Task[AtChannel]) -> None:
        self._opening = None
        if task.cancelled() or task.exception() is not None:
            return
        self.generation += 1
        for callback in self._on_ready:
            callback()

    async def _make_ready(self) -> AtChannel:
        for attempt in range(PROBES):
            channel = self._channel or await self._open()
            channel.restarted = False
            try:
                await self._set_up(channel)
            except (NoAnswer, AtError) as error:
                if attempt + 1 < PROBES and self._channel is channel:
                    continue
                self._shut(NotFound(f"{self.name} was closed"))
                raise OperationTimeout(f"{self.name} does not take its set-up: {error}") from None
            if not channel.restarted:
                return channel
        raise OperationTimeout(f"{self.name} starts again and again; is its supply strong enough?")

    async def _open(self) -> AtChannel:
        """The first tty on which a modem answers. Raises what went wrong with the best one."""
        ports = sorted(self._find_ports(), key=lambda path: path != self._good_port)
        if not ports:
            raise NotFound(f"{self.name} is not plugged in")
        first: OperationError | None = None
        for path in ports:
            try:
                channel = await self._try(path)
            except OperationError as error:
                first = first or error
                continue
            self._good_port = path
            self._channel = channel
            channel.tty.on_end(partial(self._lost, channel))
            await self._warn(path)
            return channel
        assert first is not None
        raise first

    async def _try(self, path: str) -> AtChannel:
        channel = AtChannel(await self._open_tty(path), self._heard, self._tuning.scale)
        try:
            if await channel.probe(PROBES, self._tuning.probe):
                return channel
        except BaseException:
            channel.close()
            raise
        channel.close()
        message = f"no modem answers at {path}; is it switched on, is the baud rate right?"
        if found := await self.context.run_blocking(partial(disturber, path)):
            message = f"no modem answers at {path}: {found}"
        raise OperationTimeout(message)

    async def _warn(self, path: str) -> None:
        found = await self.context.run_blocking(partial(disturber, path))
        if found and found != self._warned:
            self.context.log.warning("%s: %s", self.name, found)
        self._warned = found

    async def _open_tty(self, path: str) -> OpenTty:
        """On a thread, which is not stopped by a cancellation: what it opens then is closed again."""
        opening = asyncio.ensure_future(
            self.context.run_blocking(partial(open_tty, path, self._tuning.baud, self.context))
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise

    async def _set_up(self, channel: AtChannel) -> None:
        channel.echo_is_off = False
        await channel.run("ATE0")
        channel.echo_is_off = True
        await channel.run("AT+CMEE=1")
        values = [
            await channel.run(command, FREE if command != "AT+CGMR" else FIRMWARE, required=True)
            for command in ("AT+CGMI", "AT+CGMM", "AT+CGMR")
        ]
        manufacturer, model, firmware = (lines[0] for lines in values)
        firmware = firmware.removeprefix("+CGMR:").removeprefix("Revision:").strip()
        self.identity = Identity(manufacturer, model, firmware)
        self.dialect = dialect_of(model)
        for command in (*self.dialect.set_up, *SET_UP):
            with suppress(AtError):  # not every model has all of them, or not before the SIM is unlocked
                await channel.run(command)
        for saved in self.dialect.saved:
            with suppress(AtError):
                lines = await channel.run(saved.ask, saved.ask.removeprefix("AT").partition("=")[0] + ":")
                if not any(saved.has in line for line in lines):
                    for command in saved.commands:
                        with suppress(AtError):
                            await channel.run(command)

    # -- losing --------------------------------------------------------------------------------------------

    def _heard(self, code: Unsolicited) -> None:
        if code.line in RESTARTED and self._channel is not None:
            self._channel.restarted = True
            self._keep()
        for listener in self._listeners:
            listener(code)

    def _lost(self, channel: AtChannel, error: OperationError) -> None:
        if self._channel is not channel:
            return
        self._channel = None
        channel.close()
        for callback in self._on_lost:
            callback(error)
        self._keep()

    def _shut(self, error: OperationError) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.tty.end(error)
            channel.close()

    def _keep(self) -> None:
        """Get it back for those who hold it."""
        if self._holders and self._keeping is None and not self._closed:
            self._keeping = asyncio.ensure_future(self._get_back())

    async def _get_back(self) -> None:
        pause = FIRST_PAUSE
        try:
            while self._holders and (self._channel is None or self._channel.restarted):
                try:
                    await self.ready()
                except OperationError as error:
                    self.context.log.debug("%s is not back yet: %s", self.name, error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            self._keeping = None

    def _rest(self) -> None:
        """Start to wait for nobody to come back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._users and not self._holders and self._channel is not None and not self._closed:
            self._timer = self.context.call_later(self._tuning.idle, self._fall_asleep)

    def _fall_asleep(self) -> None:
        self._timer = None
        if not self._users and not self._holders:
            self._shut(NotFound(f"{self.name} was closed"))


def _close(opening: asyncio.Future[OpenTty]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
