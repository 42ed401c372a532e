"""The shell around one connection of a client: bytes to the session, its events to the link, its output out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.client_state import PendingRequest
from myclerk_protocol.events import ClientEvent
from myclerk_protocol.framing import Deframer
from myclerk_protocol.local import LocalClientSession
from myclerk_protocol.status import ProtocolError

Session = ClientSession | LocalClientSession


class Wire(asyncio.Protocol):
    """One connection, from connect to loss. Events go to ``route``, answers to the faster ``answered``."""

    def __init__(
        self,
        session: Session,
        route: Callable[[ClientEvent], None],
        answered: Callable[[PendingRequest, bytes | memoryview], None],
    ) -> None:
        self.session = session
        self._route = route
        session.on_answer = answered
        self._transport: asyncio.Transport | None = None
        self._deframer = Deframer()
        self._feeding = False
        self._flush_scheduled = False
        self._loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()
        session.outbox.wakeup = self._wakeup

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def start(self) -> None:
        """Send the session's first message, and report what is so from the start."""
        self.session.start()
        self.flush()
        self._take_events()

    def data_received(self, data: bytes) -> None:
        session, deframer = self.session, self._deframer
        self._feeding = True
        try:
            deframer.feed(data)
            while (message := deframer.next(session.message_limit)) is not None:
                for event in session.receive(message):
                    self._route(event)
        except ProtocolError as error:
            session.end(f"the agent broke the protocol: {error}", linger=True)
            self._take_events()
        finally:
            self._feeding = False
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost.set()
        self.session.end(str(exc) if exc else "the agent closed the connection", linger=True)
        self._take_events()

    def flush(self) -> None:
        """Send everything that waits in one write."""
        transport = self._transport
        if transport is None:
            return
        messages = self.session.outbox.take()
        if len(messages) == 1:
            message = messages[0]
            transport.write(len(message).to_bytes(4, "big") + message)
        elif messages:
            parts = []
            for message in messages:
                parts.append(len(message).to_bytes(4, "big"))
                parts.append(message)
            transport.write(b"".join(parts))
        else:
            return
        self.session.sent()

    def tick(self) -> None:
        """Let time pass for the session."""
        if self._transport is not None:
            for event in self.session.tick():
                self._route(event)
            self.flush()

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def cut(self) -> None:
        """Cut the connection and wait until nothing of it is left."""
        if self._transport is not None:
            self._transport.abort()
            await self._lost.wait()

    def _take_events(self) -> None:
        for event in self.session.take_events():
            self._route(event)

    def _wakeup(self) -> None:
        if not self._feeding and not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._scheduled_flush)

    def _scheduled_flush(self) -> None:
        self._flush_scheduled = False
        self.flush()
