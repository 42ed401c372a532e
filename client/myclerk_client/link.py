"""The link to an agent: pipelined requests over one connection after another, one session as long as it lasts.

A lost connection is replaced and the session resumed; requests wait meanwhile and are answered exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from myclerk_protocol import payloads
from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.client_state import ClientState, PendingRequest
from myclerk_protocol.events import (
    ClientEvent,
    Ended,
    Established,
    Failure,
    Push,
    Registered,
)
from myclerk_protocol.local import LocalClientSession
from myclerk_protocol.status import (
    Forbidden,
    MyClerkError,
    OperationTimeout,
    ServiceUnavailable,
    TooMany,
    error_from_fields,
)

from .calls import Call, Operations, PushTarget
from .errors import ConnectionLost, SessionLost, fresh
from .wire import Session, Wire

log = logging.getLogger("myclerk.client")

IN_FLIGHT = 2000
"""Requests in flight at once; the agent's limit is 2,048. More wait in the link."""
FIRST_RETRY = 0.05
LAST_RETRY = 2.0
CLOSE_SECONDS = 2.0
"""How long the agent has to acknowledge the end of the session."""

Connector = Callable[[Callable[[], asyncio.Protocol]], Awaitable[Any]]


_open_links: weakref.WeakSet[Link] = weakref.WeakSet()


async def close_all() -> None:
    """Close every link that is open in this event loop."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(link.close() for link in list(_open_links) if link.loop is loop))


class Link:
    """One board's session. ``connect`` opens a transport; ``make_session`` a session for a state.

    ``generation`` counts sessions that were lost: a handle lives as long as it stays the same.

    ``reconnect`` is how many seconds a lost connection may be gone before everything waiting fails.
    """

    def __init__(
        self,
        connect: Connector,
        make_session: Callable[[ClientState], Session],
        *,
        reconnect: float = 30.0,
        operations: Operations | None = None,
        on_registered: Callable[[Mapping[str, Any]], None] = lambda fields: None,
    ) -> None:
        self.operations = operations or Operations()
        self.established: Established | None = None
        self._connect = connect
        self._make_session = make_session
        self._reconnect = reconnect
        self._on_registered = on_registered
        self._state = ClientState()
        self._wire: Wire | None = None
        self._opened: asyncio.Future[None] | None = None
        self._over: MyClerkError | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._down = asyncio.Event()
        self._room: asyncio.Future[None] | None = None
        self._streams: dict[int, PushTarget] = {}
        self.generation = 0
        self._loop = asyncio.get_running_loop()

    # -- opening and closing -------------------------------------------------------------------------------

    async def open(self, timeout: float = 15.0) -> None:
        """Connect and authenticate. Raises ConnectionLost, AgentNotTrusted or the agent's refusal."""
        try:
            async with asyncio.timeout(timeout):
                await self._attempt()
        except BaseException as error:
            await self._shut(ConnectionLost("the board was never reached"))
            if isinstance(error, TimeoutError):
                raise ConnectionLost(f"the board did not answer within {timeout:g} s") from None
            raise
        self._supervisor = self._loop.create_task(self._supervise())
        _open_links.add(self)

    async def close(self) -> None:
        """Release everything at the agent and disconnect. Idempotent."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        wire = self._wire
        open_now = self._opened is not None and self._opened.done() and not self._down.is_set()
        if wire is not None and self._over is None and open_now:
            wire.session.close()
            wire.flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._down.wait()
        await self._shut(ConnectionLost("the board was closed"))

    async def _shut(self, error: MyClerkError) -> None:
        self._finish(error)
        if self._wire is not None:
            await self._wire.cut()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that this link lives on."""
        return self._loop

    @property
    def closed(self) -> bool:
        """Whether the link is over for good."""
        return self._over is not None

    # -- requests ------------------------------------------------------------------------------------------

    def send(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        timeout: float | None = None,
        stream: PushTarget | None = None,
        compress: bool = False,
        future: asyncio.Future[dict[str, Any]] | None = None,
    ) -> tuple[asyncio.Future[dict[str, Any]], PendingRequest]:
        """Send a request at once (or as soon as the link is up again); its future gets the decoded answer.

        ``timeout`` in seconds from now. Raises ConnectionLost when the link is over.
        """
        if self._over is not None:
            raise ConnectionLost(str(self._over)) from self._over
        code, tier, request, response = self.operations.by_name(name)
        payload = request.encode(fields)
        assert self._wire is not None
        if future is None:
            future = self._loop.create_future()
        call = Call(name, code, tier, payload, response, future)
        if timeout is not None:
            call.deadline = self._loop.time() + timeout
        if stream is not None:
            call.stream, call.compress = stream, compress
        self._submit(call)
        return future, call

    async def request(
        self, name: str, fields: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any]:
        """Send a request and await its answer, by Python names. Raises the agent's error, typed."""
        while len(self._state.pending) >= IN_FLIGHT:
            await self._wait_for_room()
        return await self.send(name, fields, timeout=timeout)[0]

    def new_future(self) -> asyncio.Future[dict[str, Any]]:
        """A future for :meth:`send` to set."""
        return self._loop.create_future()

    def post(self, name: str, fields: Mapping[str, Any]) -> None:
        """Send without an answer; lost when the link is down."""
        code, tier, request, _ = self.operations.by_name(name)
        if self._wire is not None:
            self._wire.session.post(code, request.encode(fields), tier=tier)

    def rotate(self, *, fresh: bool) -> None:
        """Rotate the session's keys; nothing where there are none (the Unix socket) or the link is down."""
        wire = self._wire
        if wire is not None and isinstance(wire.session, ClientSession) and not self._down.is_set():
            wire.session.rotate(fresh=fresh)

    def forget_stream(self, request_id: int) -> None:
        """A stream's stop was answered: its Request ID may be used again."""
        self._streams.pop(request_id, None)
        self._state.streams.pop(request_id, None)

    def flush(self) -> None:
        """Send what waits now, not when this turn of the event loop is over."""
        if self._wire is not None:
            self._wire.flush()

    def drop_connection(self) -> None:
        """Cut the transport, as a network failure would; the session will be resumed."""
        if self._wire is not None:
            self._wire.abort()

    async def _wait_for_room(self) -> None:
        if self._room is None or self._room.done():
            self._room = self._loop.create_future()
        await asyncio.shield(self._room)

    # -- the connection ------------------------------------------------------------------------------------

    async def _attempt(self) -> None:
        """One connection: until requests may flow, or an error says why not."""
        self._opened = self._loop.create_future()
        self._down.clear()
        session = self._make_session(self._state)
        self._state = session.state
        wire = self._wire = Wire(session, lambda event: self._route(wire, event), self._answered)
        try:
            await self._connect(lambda: wire)
        except OSError as error:
            raise ConnectionLost(f"the board cannot be reached: {error.strerror or error}") from error
        if self._ticker is None:
            self._ticker = self._loop.call_later(1.0, self._tick)
        wire.start()
        await self._opened

    async def _supervise(self) -> None:
        """Replace lost connections until the link is over; one that keeps failing is replaced ever slower."""
        pause = FIRST_RETRY
        while self._over is None:
            up_since = self._loop.time()
            await self._down.wait()
            if self._over is not None:
                return
            if self._reconnect <= 0:
                self._finish(ConnectionLost("the connection was lost"))
                return
            deadline = self._loop.time() + self._reconnect
            if self._loop.time() - up_since >= LAST_RETRY:
                pause = FIRST_RETRY
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_RETRY)
            while (error := await self._replace(deadline)) is not None:
                if self._loop.time() + pause >= deadline:
                    self._finish(ConnectionLost(f"the connection was lost and did not return: {error}"))
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_RETRY)

    async def _replace(self, deadline: float) -> Exception | None:
        """One attempt to connect again; the error after which another may succeed, or None."""
        try:
            async with asyncio.timeout(max(min(deadline - self._loop.time(), 10.0), 0.1)):
                await self._attempt()
        except (ConnectionLost, TimeoutError, TooMany, ServiceUnavailable) as error:
            self._drop()
            return error
        except MyClerkError as error:
            self._drop()
            self._finish(error)
        except Exception as error:
            log.exception("connecting failed unexpectedly")
            self._drop()
            self._finish(ConnectionLost(f"connecting failed unexpectedly: {error}"))
        return None

    # -- events --------------------------------------------------------------------------------------------

    def _answered(self, call: PendingRequest, payload: bytes | memoryview) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if type(call) is not Call:
            return
        try:
            fields = payloads.unpack(payload)
            if fields.get("status", 0):
                raise error_from_fields(fields)
            result = call.response.decode_map(fields)
        except MyClerkError as error:
            if call.stream is not None:
                self.forget_stream(call.request_id)
            if isinstance(error, Forbidden) and self._raise_tier(call, error.details.get("required_tier")):
                return
            if not call.future.done():
                call.future.set_exception(error)
            return
        if not call.future.done():
            call.future.set_result(result)

    def _raise_tier(self, call: Call, tier: object) -> bool:
        """Send a request again at the tier that the agent's settings ask for, and remember it."""
        session = self.established
        if not isinstance(tier, int) or session is None or not call.tier < tier <= session.tier:
            return False
        self.operations.raise_tier(call.name, tier)
        call.tier = tier
        self._submit(call)
        return True

    def _submit(self, call: Call) -> None:
        assert self._wire is not None
        self._wire.session.submit(call)
        if call.stream is not None:
            self._streams[call.request_id] = call.stream
            self._state.streams[call.request_id] = call.compress

    def _route(self, wire: Wire, event: ClientEvent) -> None:
        if wire is not self._wire:  # a connection that was replaced meanwhile
            return
        if isinstance(event, Push):
            target = self._streams.get(event.request_id)
            if target is not None:
                target.pushed(self.operations.push(event.opcode).decode(event.payload))
        elif isinstance(event, Established):
            self._on_established(event)
        elif isinstance(event, Registered):
            self._registered(event.fields)
        elif isinstance(event, Failure):
            self._fail(event.requests, error_from_fields(event.fields))
        elif isinstance(event, Ended):
            self._ended(event)

    def _on_established(self, event: Established) -> None:
        self.established = event
        if event.classical and self._wire is not None and isinstance(self._wire.session, ClientSession):
            log.warning("the session is classical-only: not safe against a future quantum computer")
        if event.resumed and event.held:
            for request_id, target in list(self._streams.items()):
                self.post("STREAM_CONFIGURE", {"stream": request_id, **target.position()})
        else:
            self.generation += 1
            lost = SessionLost("the session could not be resumed; what it held is released")
            if event.resumed:
                self._lose_streams(lost)
            else:
                self._fail(event.lost, lost)
                self._rebuild_streams(lost)
        local = self._wire is not None and isinstance(self._wire.session, LocalClientSession)
        if local or event.resumed:
            self._ready()

    def _registered(self, fields: Mapping[str, Any]) -> None:
        try:
            self._on_registered(fields)
        except MyClerkError as error:
            self._finish(error)
            if self._opened is not None and not self._opened.done():
                self._opened.set_exception(error)
            return
        if "ticket" in fields:
            self._ready()

    def _ready(self) -> None:
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _rebuild_streams(self, error: MyClerkError) -> None:
        """After a restart only the streams of requests that were never sent live on, under new IDs."""
        waiting = {
            p.request_id: p.stream
            for p in self._state.pending.values()
            if isinstance(p, Call) and p.stream is not None
        }
        kept = set(map(id, waiting.values()))
        for target in self._streams.values():
            if id(target) not in kept:
                target.lost(error)
        self._streams = dict(waiting)
        for pending in self._state.pending.values():
            if isinstance(pending, Call) and pending.stream is not None:
                self._state.streams[pending.request_id] = pending.compress

    def _lose_streams(self, error: MyClerkError) -> None:
        streams, self._streams = self._streams, {}
        self._state.streams.clear()
        for target in streams.values():
            target.lost(error)

    def _ended(self, event: Ended) -> None:
        error = event.error or ConnectionLost(event.reason)
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(error)
        elif event.error is not None and not event.linger:
            self._finish(event.error)
        self._drop()

    # -- helpers -------------------------------------------------------------------------------------------

    def _drop(self) -> None:
        wire = self._wire
        if wire is not None:
            wire.abort()
        self._down.set()

    def _finish(self, error: MyClerkError) -> None:
        """The link is over: everything that waits fails with ``error``."""
        if self._over is not None:
            return
        self._over = error
        if self._ticker is not None:
            self._ticker.cancel()
        pending = tuple(self._state.pending.values())
        self._state.pending.clear()
        self._fail(pending, error)
        self._lose_streams(error)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._down.set()

    def _fail(self, requests: tuple[PendingRequest, ...], error: MyClerkError) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        for pending in requests:
            call = pending
            if isinstance(call, Call) and not call.future.done():
                call.future.set_exception(fresh(error))
                call.future.exception()  # a caller that went away is no "never retrieved" warning

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(1.0, self._tick) if self._over is None else None
        if self._wire is not None:
            self._wire.tick()
        now = self._loop.time()
        for pending in list(self._state.pending.values()):
            call = pending
            if isinstance(call, Call) and call.deadline is not None and now >= call.deadline:
                if not call.future.done():
                    call.future.set_exception(OperationTimeout(f"{call.name} was not answered in time"))
