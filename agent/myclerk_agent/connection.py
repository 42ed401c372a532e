"""The shell around one connection: feed bytes to the session, route its events, send what it has to say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from myclerk_protocol.agent_session import AgentSession
from myclerk_protocol.events import AgentEvent, Ended, Established, Registration, Request
from myclerk_protocol.framing import Deframer
from myclerk_protocol.local import LocalAgentSession
from myclerk_protocol.status import MalformedMessage

from .resources import Holdings

if TYPE_CHECKING:
    from .service import Service

log = logging.getLogger("myclerk.connection")

WRITE_HIGH = 1 << 20
"""Bytes waiting to be written above which a connection's requests are no longer read."""
WRITE_FULL = 32 << 20
"""Bytes waiting to be written above which a client that does not read is cut off; it may resume."""
LINGERING_CLOSE = 5.0
"""Seconds a peer has to take the last bytes of a connection that is being closed."""


class Connection(asyncio.Protocol):
    """One accepted stream connection. ``name`` says who is there, for the log."""

    def __init__(
        self,
        service: Service,
        make_session: Callable[[Connection], AgentSession | LocalAgentSession | None],
    ) -> None:
        self._service = service
        self._make_session = make_session
        self._deframer = Deframer()
        self._feeding = False
        self._flush_scheduled = False
        self._session: AgentSession | LocalAgentSession | None = None
        self.transport: asyncio.Transport | None = None
        self.holdings: Holdings | None = None
        self.on_authenticated: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.name = ""
        self._close_by: float | None = None

    @property
    def session(self) -> AgentSession | LocalAgentSession:
        """The protocol's session on this connection."""
        assert self._session is not None
        return self._session

    # -- asyncio.Protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._session = self._make_session(self)
        if self._session is None:
            self.transport.abort()
            return
        self._session.outbox.wakeup = self._wakeup
        self._service.connections.add(self)

    def data_received(self, data: bytes) -> None:
        session, transport = self._session, self.transport
        if session is None or transport is None:
            return
        deframer = self._deframer
        self._feeding = True
        try:
            deframer.feed(data)
            while not session.closed and (message := deframer.next(session.message_limit)) is not None:
                for event in session.receive(message):
                    self._route(event)
                if session.outbox.size > WRITE_HIGH:
                    self.flush()
                    if transport.get_write_buffer_size() > WRITE_FULL:
                        session.end("the client asks for more than it takes", linger=True)
        except MalformedMessage as error:
            session.end(f"malformed frame: {error}", linger=True)
        finally:
            self._feeding = False
        self.flush()

    def eof_received(self) -> bool:
        if self._session is not None:
            self._session.end("the client closed the connection", linger=True)
            self.flush()
        return False

    def pause_writing(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._session is None:
            return
        self._service.connections.discard(self)
        self._session.end(str(exc) if exc else "the client closed the connection", linger=True)
        for event in self._session.take_events():
            self._route(event)
        if self.on_lost is not None:
            self.on_lost()

    # -- events --------------------------------------------------------------------------------------------

    def _route(self, event: AgentEvent) -> None:
        if isinstance(event, Request):
            assert self.holdings is not None
            self._service.dispatcher.handle(self.holdings, event)
        elif isinstance(event, Registration):
            self._service.register(self, event)
        elif isinstance(event, Established):
            self._service.established(self, event)
        elif isinstance(event, Ended):
            self._service.ended(self, event)

    def serve(self, holdings: Holdings) -> None:
        """The connection is authenticated: from now on requests are served for ``holdings``."""
        self.holdings = holdings
        holdings.peer = self.name
        if isinstance(self._session, AgentSession):
            self._session.on_request = partial(self._service.dispatcher.handle, holdings)
        if self.on_authenticated is not None:
            self.on_authenticated()

    # -- sending -------------------------------------------------------------------------------------------

    def _wakeup(self) -> None:
        """Something waits to be sent; unless a feed sends it anyway, do so once this loop turn is over."""
        if not self._feeding and not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._scheduled_flush)

    def _scheduled_flush(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def flush(self) -> None:
        """Send everything in one write; close behind it when the session is over."""
        session, transport = self._session, self.transport
        if session is None or transport is None or transport.is_closing():
            return
        messages = session.outbox.take()
        if len(messages) == 1:
            message = messages[0]
            transport.write(len(message).to_bytes(4, "big") + message)
            session.sent()
        elif messages:
            parts = []
            for message in messages:
                parts.append(len(message).to_bytes(4, "big"))
                parts.append(message)
            transport.write(b"".join(parts))
            session.sent()
        if session.closed:
            for event in session.take_events():
                self._route(event)
            self._close_by = asyncio.get_running_loop().time() + LINGERING_CLOSE
            transport.close()

    def tick(self, now: float) -> None:
        """Let time pass for the session; abort a close that the peer does not let finish."""
        session = self._session
        if session is not None and session.closed and self._close_by is None:
            self._close_by = now + LINGERING_CLOSE  # whoever began to close: it does not last for ever
        if self._close_by is not None and now >= self._close_by and self.transport is not None:
            self.transport.abort()
        if session is not None and not session.closed:
            for event in session.tick():
                self._route(event)
            self.flush()
