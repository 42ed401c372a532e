"""Messages that come in, pushed to every stream that wants them.

A modem stores a message and then says so. What it says may be lost, so the memory is looked through whenever it says
something, at every set-up and now and then. Nothing is deleted here: a message stays in the memory until a client says
that it has it, so that none is lost on the way; and each stream notes what it has pushed, so that none comes twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from myclerk_protocol.status import OperationError

from ..base import Stream
from ..context import StreamSink
from .assembly import Assembled, assemble, message_event, report_event
from .at import Unsolicited
from .memory import READ, UNREAD, Memory, Stored
from .modem import Modem
from .pdu import StatusReport, decode
from .pdu_fields import PduError

UNHEARD = 64
"""Reports and flash messages, which no modem keeps, that wait for the next stream."""
ANNOUNCING = ("+CMTI:", "+CDSI:", "+SMS FULL", '+QIND: "smsfull"', "+CMT:", "+CDS:")


class Inbox:
    """The streams of one modem. ``interval``: seconds between looks into the memory while there are streams;
    ``patience``: seconds after which a message with parts missing is pushed as it is."""

    def __init__(self, modem: Modem, memory: Memory, interval: float, patience: float) -> None:
        self.modem = modem
        self.patience = patience
        self._memory = memory
        self._interval = interval
        self._streams: list[MessageStream] = []
        self._unheard: deque[Mapping[str, Any]] = deque(maxlen=UNHEARD)
        self._since: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        modem.listen(self._heard, self.look, self._lost)

    def add(self, stream: MessageStream) -> None:
        """Serve a stream from now on."""
        self._streams.append(stream)
        self.modem.hold(stream, "messages are received")
        waiting, self._unheard = list(self._unheard), deque(maxlen=UNHEARD)
        stream.direct.extend(waiting)
        stream.flush()
        self.look()
        if self._task is None:
            self._task = asyncio.ensure_future(self._watch())

    def remove(self, stream: MessageStream) -> None:
        """No more. Harmless if it was not there."""
        if stream in self._streams:
            self._streams.remove(stream)
        self.modem.let_go(stream)
        if not self._streams and self._task is not None:
            self._task.cancel()
            self._task = None

    def look(self) -> None:
        """There may be something."""
        self._look.set()

    def _lost(self, _error: OperationError) -> None:
        for stream in list(self._streams):
            stream.give({"kind": "lost"})

    def _heard(self, code: Unsolicited) -> None:
        if not code.line.startswith(ANNOUNCING):
            return
        if code.pdu:
            self._direct(code)
        self.look()

    def _direct(self, code: Unsolicited) -> None:
        """What is not stored: a status report, a flash message."""
        try:
            message = decode(code.pdu)
        except PduError as error:
            self.modem.context.log.warning("%s: a message came damaged: %s", self.modem.name, error)
            return
        if isinstance(message, StatusReport):
            event: dict[str, Any] = {"kind": "report", "report": report_event(message)}
        else:
            assembled = Assembled(message, 1, {1: message}, {1: Stored(0, 0, code.pdu).digest})
            event = {"kind": "message", "message": message_event(assembled)}
        if not self._streams:
            self._unheard.append(event)
        for stream in list(self._streams):
            stream.give(event)

    async def _watch(self) -> None:
        while True:
            self._look.clear()
            try:
                await self._sweep()
            except OperationError as error:
                self.modem.context.log.debug("%s: looking for messages: %s", self.modem.name, error)
                await asyncio.sleep(0.5)
                self.look() if self.modem.port is not None else None
            try:
                async with asyncio.timeout(self._interval):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _sweep(self) -> None:
        async with self._memory.turn, self.modem.use("looking for messages") as channel:
            await self._memory.prepare(channel)
            stored = await self._memory.listing(channel)
            received = assemble(message for message in stored if message.status in (UNREAD, READ))
            self._offer(received)
            full = bool(self._memory.size) and len(stored) >= self._memory.size
        for stream in list(self._streams):
            stream.storage(full)

    def _offer(self, received: list[Assembled]) -> None:
        now = asyncio.get_running_loop().time()
        keys = {message.key for message in received}
        self._since = {key: since for key, since in self._since.items() if key in keys}
        ripe = []
        for message in received:
            since = self._since.setdefault(message.key, now)
            if message.complete or now - since >= self.patience:
                ripe.append(message)
        for stream in list(self._streams):
            stream.offer(ripe, keys, self._memory.name)


class MessageStream(Stream):
    """Events {``kind``, ...}: "message", "report", "storage-full", "lost" (the modem left; it is being looked for).

    Without credit messages stay in the modem. ``stored``: begin with those that are there already.
    """

    window = 256

    def __init__(self, inbox: Inbox, stored: bool) -> None:
        self.direct: deque[Mapping[str, Any]] = deque(maxlen=UNHEARD)
        self._inbox = inbox
        self._first = not stored
        self._sink: StreamSink | None = None
        self._seen: set[str] = set()
        self._missed: set[str] = set()
        self._is_full = False

    def start(self, sink: StreamSink) -> None:
        """Begin."""
        self._sink = sink
        self._inbox.add(self)

    def resume(self) -> None:
        """Credit: give what waited."""
        self.flush()
        self._inbox.look()

    def close(self) -> None:
        """Stop. Idempotent."""
        self._sink = None
        self._inbox.remove(self)

    def give(self, event: Mapping[str, Any]) -> None:
        """Push what the modem does not keep, as soon as there is credit."""
        self.direct.append(event)
        self.flush()

    def flush(self) -> None:
        """Push what waits for credit."""
        while self.direct and self._sink is not None and self._sink.credit > 0:
            self._sink.push_events([self.direct.popleft()])

    def offer(self, messages: list[Assembled], keys: set[str], memory: str) -> None:
        """Push those that were not pushed yet, as far as credit goes; forget those that were gone twice: one
        look may have lost a line."""
        gone = self._seen - keys
        self._seen -= gone & self._missed
        self._missed = gone
        if self._first:
            self._first = False
            self._seen |= {message.key for message in messages}
            return
        for message in messages:
            if message.key in self._seen:
                continue
            if self._sink is None or self._sink.credit <= 0:
                return
            self._seen.add(message.key)
            self._sink.push_events([{"kind": "message", "message": message_event(message, memory)}])

    def storage(self, full: bool) -> None:
        """Tell once when the memory has become full: nothing more can come until something is deleted."""
        if full and not self._is_full:
            self.give({"kind": "storage-full"})
        self._is_full = full
