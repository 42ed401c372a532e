"""Voice calls: placing, answering, ending, and what becomes of them (TS 27.007 sections 6, 7.18; V.250 section 6.3)."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from myclerk_protocol.status import BadRequest, Conflict, NotFound, OperationError, OperationTimeout

from ..base import Stream
from ..context import StreamSink
from .at import CALL_RESULTS, Unsolicited, fields, number
from .channel import AtChannel
from .faults import AtError, NoAnswer
from .modem import Modem
from .sim import Sim

STATES = ("active", "held", "dialing", "alerting", "incoming", "waiting")
"""<stat> of AT+CLCC."""
VOICE = 0
POLL = 0.5
"""Seconds between looks at calls that are up: not every modem tells when the other side answers."""
GRACE = 3.0
"""Seconds until a modem must list a call that it was told to place."""
HINTS = ("RING", "+CLIP:", "+CRING:", "VOICE CALL:", "MISSED_CALL:", "+CCWA:")
REASONS = {"BUSY": "busy", "NO ANSWER": "no-answer", "NO CARRIER": "remote", "NO DIALTONE": "no-network"}


@dataclass(slots=True)
class Call:
    """A call; ``slot`` is its number in the modem, 0 while that is not known."""

    identifier: int
    number: str
    outgoing: bool
    state: str
    slot: int = 0
    reason: str = ""
    since: float = field(default_factory=time.monotonic)


class Calls:
    """The calls of one modem. Their states are those of AT+CLCC, asked whenever the modem hints at a change."""

    def __init__(self, modem: Modem, sim: Sim) -> None:
        self.modem = modem
        self._sim = sim
        self._turn = asyncio.Lock()
        self._calls: dict[int, Call] = {}
        self._streams: list[CallStream] = []
        self._count = 0
        self._reason = ""
        self._task: asyncio.Task[None] | None = None
        self._hint = asyncio.Event()
        self._ended: deque[Call] = deque(maxlen=16)
        self._dropping: set[asyncio.Future[None]] = set()
        modem.listen(self._heard, lost=self._lost)

    def close(self) -> None:
        """Look no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.modem.let_go(self)

    # -- operations ----------------------------------------------------------------------------------------

    async def dial(self, to: str) -> CallStream:
        """Place a call; the stream of its states, which hangs up when it is closed."""
        if not re.fullmatch(r"\+?[0-9*#]{1,40}", to):
            raise BadRequest("`to` consists of digits, * and #, with + in front of the country", key="to")
        async with self._turn, self.modem.use("a call") as channel:
            await self._sim.require(channel)
            self._reason = ""
            try:
                await channel.run(f"ATD{to};", places_call=True, timeout=30)
            except AtError as error:
                if error.final not in CALL_RESULTS:
                    raise
                self._reason = REASONS.get(error.final, "remote")
            except NoAnswer:
                if not any(found[1] and found[2] == to for found in await self._ask(channel)):
                    raise OperationTimeout(
                        f"{self.modem.name} did not answer in time; no call was placed"
                    ) from None
            call = self._add(to, outgoing=True, state="dialing")
            self._tell(call)
            stream = CallStream(self, call.identifier)
        self._watch()
        self._hint.set()
        return stream

    async def answer(self) -> CallStream:
        """Take the call that rings; the stream of its states. Raises Conflict when none does."""
        async with self._turn, self.modem.use("answering a call") as channel:
            self._update(await self._ask(channel))
            call = next((c for c in self._calls.values() if c.state in ("incoming", "waiting")), None)
            if call is None:
                raise Conflict(f"no call rings on {self.modem.name}")
            try:
                await channel.run("ATA", places_call=True, timeout=30)
            except AtError as error:
                if error.final not in CALL_RESULTS:
                    raise
                raise Conflict(f"the call on {self.modem.name} ended before it was answered") from None
            except NoAnswer:
                pass
            stream = CallStream(self, call.identifier)
        self._watch()
        self._hint.set()
        return stream

    def watch(self) -> CallStream:
        """A stream of all calls. It holds the modem, or RING would not be heard."""
        return CallStream(self, None)

    async def hang_up(self, identifier: int | None = None) -> dict[str, int]:
        """End one call, or all: {``ended``}, how many there were. Raises NotFound for a call that is not up."""
        async with self._turn, self.modem.use("hanging up") as channel:
            self._update(await self._ask(channel))
            if identifier is not None and identifier not in self._calls:
                raise NotFound(f"there is no call {identifier} on {self.modem.name}", key="call")
            chosen = [c for c in self._calls.values() if identifier in (None, c.identifier)]
            slot = chosen[0].slot if identifier is not None and len(self._calls) > 1 else 0
            self._reason = "local"
            await self._end(channel, f"AT+CHLD=1{slot}" if slot else self.modem.dialect.hang_up)
            self._update(await self._ask(channel))
        return {"ended": len(chosen)}

    async def _end(self, channel: AtChannel, command: str) -> None:
        """Hang up until nothing is left of it; a modem without the command has ATH."""
        for attempt in range(3):
            try:
                await channel.run(command, timeout=20)
                return
            except AtError:
                if command == "ATH":
                    raise
                command = "ATH"
            except NoAnswer:
                if attempt == 2:
                    raise

    # -- states --------------------------------------------------------------------------------------------

    async def _ask(self, channel: AtChannel) -> list[tuple[int, bool, str, str]]:
        """Slot, whether outgoing, number and state of each voice call."""
        found = []
        for line in await channel.run("AT+CLCC", re.compile(r"\+CLCC: ?\d.*"), timeout=10):
            values = fields(line)
            numbers = [number(value) for value in values[:4]]
            if len(numbers) == 4 and None not in numbers and numbers[3] == VOICE:
                slot, direction, state = (value or 0 for value in numbers[:3])
                if state < len(STATES):
                    found.append((slot, direction == 0, values[5] if len(values) > 5 else "", STATES[state]))
        return found

    def _update(self, found: list[tuple[int, bool, str, str]]) -> None:
        """Compare with what was known, and tell what has changed."""
        left = dict(self._calls)
        for slot, outgoing, to, state in found:
            call = next(
                (c for c in left.values() if c.slot == slot or (not c.slot and c.outgoing is outgoing)), None
            )
            if call is None:
                call = self._add(to, outgoing, state)
                call.slot = slot
                self._tell(call)
                continue
            del left[call.identifier]
            call.slot, call.number = slot, call.number or to
            if call.state != state:
                call.state = state
                self._tell(call)
        for call in left.values():
            if not call.slot and not self._reason and time.monotonic() - call.since < GRACE:
                continue  # it was dialled a moment ago
            del self._calls[call.identifier]
            call.state, call.reason = "ended", self._reason or "remote"
            self._ended.append(call)
            self._tell(call)

    def _add(self, to: str, outgoing: bool, state: str) -> Call:
        self._count += 1
        call = self._calls[self._count] = Call(self._count, to, outgoing, state)
        return call

    def _tell(self, call: Call) -> None:
        event = describe(call)
        for stream in list(self._streams):
            stream.give(call, event)

    def add(self, stream: CallStream) -> None:
        """Serve a stream; it begins with the calls that are up."""
        self._streams.append(stream)
        self.modem.hold(stream, "calls are followed")
        for call in (*self._calls.values(), *self._ended):
            if call.state != "ended" or call.identifier == stream.identifier:
                stream.give(call, describe(call))
        self._watch()

    def remove(self, stream: CallStream, identifier: int | None) -> None:
        """No more; a call of its own is hung up."""
        if stream in self._streams:
            self._streams.remove(stream)
        self.modem.let_go(stream)
        if identifier in self._calls:
            task = asyncio.ensure_future(self._drop(identifier))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)

    async def _drop(self, identifier: int | None) -> None:
        try:
            await self.hang_up(identifier)
        except NotFound:
            return
        except OperationError as error:
            self.modem.context.log.warning("%s: a call could not be ended: %s", self.modem.name, error)

    # -- looking -------------------------------------------------------------------------------------------

    def _heard(self, code: Unsolicited) -> None:
        if code.line in REASONS:
            self._reason = REASONS[code.line]
        elif code.line.startswith("MISSED_CALL:"):
            self._reason = "missed"
        elif not code.line.startswith(HINTS):
            return
        self._hint.set()
        if self._streams or self._calls:
            self._watch()

    def _lost(self, _error: OperationError) -> None:
        self._reason = "modem-lost"
        self._update([])

    def _watch(self) -> None:
        if self._task is None and (self._calls or self._streams):
            self._task = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        """Follow the calls while there are any, and hints while somebody listens."""
        try:
            while self._calls or self._streams:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL if self._calls else None):
                        await self._hint.wait()
                self._hint.clear()
                try:
                    async with self._turn, self.modem.use("looking at calls") as channel:
                        self._update(await self._ask(channel))
                except OperationError as error:
                    self.modem.context.log.debug("%s: %s", self.modem.name, error)
                    await asyncio.sleep(POLL)
                if not self._calls:
                    self._reason = ""
        finally:
            self._task = None


def describe(call: Call) -> dict[str, Any]:
    """The event that tells of a call as it is now."""
    event = {
        "timestamp_ns": time.time_ns(),
        "call": call.identifier,
        "state": call.state,
        "direction": "outgoing" if call.outgoing else "incoming",
    }
    if call.reason:
        event["reason"] = call.reason
    return {**event, "party": call.number} if call.number else event


class CallStream(Stream):
    """States of one call, up to "ended", after which the stream ends; or of all calls. Closing ends the one call."""

    window = 256

    def __init__(self, calls: Calls, identifier: int | None) -> None:
        self._calls = calls
        self.identifier = identifier
        self._sink: StreamSink | None = None
        self._open = True

    def describe(self) -> dict[str, Any]:
        """{``call``} of a stream of one."""
        return {} if self.identifier is None else {"call": self.identifier}

    def start(self, sink: StreamSink) -> None:
        """Begin with the present state."""
        self._sink = sink
        self._calls.add(self)

    def close(self) -> None:
        """Stop, and hang up if it is the stream of one call. Idempotent."""
        self._sink = None
        if self._open:
            self._open = False
            self._calls.remove(self, self.identifier)

    def give(self, call: Call, event: dict[str, Any]) -> None:
        """A call has changed."""
        if self._sink is None or self.identifier not in (None, call.identifier):
            return
        self._sink.push_events([event])
        if call.state == "ended" and self.identifier is not None and self._sink is not None:
            self._sink.end()
