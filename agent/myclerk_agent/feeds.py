"""Streams that several sessions have open: one of them gets the data, the others stand by (docs/streams.md).

A feed is one open resource. It is the sink of the driver's stream, and hands each byte or event to the session that
is first at that moment; so each goes to exactly one, and the next session goes on where the one before it stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from myclerk_drivers.base import Access, Driver, Resource, Stream, StreamHandle, StreamType
from myclerk_protocol.status import BadRequest, Conflict, OperationError, Unsupported

from .resources import Holdings
from .subscription import Seat, Subscription

Rank = tuple[int, int]
"""Priority and number of a route: the higher comes first."""
Ranking = Callable[[Resource, str | None], Rank]
"""The rank of a device (None: one without a fingerprint) at a resource."""


class Feed:
    """An open resource and those who want its stream; the :class:`StreamSink` of that stream.

    ``open_handle`` opens it, with ``options``. ``on_active`` is told whose seat has the stream, ``on_end`` is called
    once, when the feed is over.
    """

    def __init__(
        self,
        resource: Resource,
        type: StreamType,
        options: Mapping[str, Any],
        open_handle: Callable[[], asyncio.Future[StreamHandle]],
        ranking: Ranking,
        on_active: Callable[[Seat], None],
        on_end: Callable[[], object],
    ) -> None:
        self.resource = resource
        self._type = type
        self._options = options
        self._open_handle = open_handle
        self._ranking = ranking
        self._on_active = on_active
        self._on_end = on_end
        self._opening: asyncio.Future[StreamHandle] | None = None
        self._handle: StreamHandle | None = None
        self._source: Stream | None = None
        self._started = False
        self._ended = False
        self._seats: set[Seat] = set()
        self._subscriptions: list[Subscription] = []
        self._active: Subscription | None = None
        self._position = 0

    @property
    def source(self) -> Stream:
        """The driver's stream."""
        assert self._source is not None
        return self._source

    @property
    def handle(self) -> StreamHandle:
        """The driver's handle."""
        assert self._handle is not None
        return self._handle

    def describe(self) -> Mapping[str, Any]:
        """The answer to STREAM_START."""
        return {"type": self._type, **self.handle.describe_stream()}

    # -- who is there --------------------------------------------------------------------------------------

    def take_seat(self) -> Seat:
        """Keep the resource open until the seat is closed."""
        seat = Seat(self)
        self._seats.add(seat)
        return seat

    async def join(
        self, seat: Seat, holdings: Holdings, number: int, options: Mapping[str, Any]
    ) -> Subscription:
        """A stream for the session that has ``seat`` as its handle ``number``, when the resource is open.

        Raises what opening it raised; Conflict if ``options`` are not what is in force.
        """
        if self._opening is None:
            self._opening = self._open_handle()
        handle = await asyncio.shield(self._opening)
        if self._ended:  # this seat was taken away meanwhile
            raise Conflict(f"{self.resource.name} was let go before it was open")
        if self._handle is None:
            self._handle, self._source = handle, handle.open_stream()
        if options is not self._options:
            handle.admit(options)
        return Subscription(self, seat, holdings, number, options)

    def enter(self, subscription: Subscription) -> None:
        """A subscription is ready to get data."""
        self._subscriptions.append(subscription)
        self.choose(newcomer=subscription)

    def exit(self, subscription: Subscription) -> None:
        """A subscription wants no more data. Idempotent."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self.choose()

    def leave(self, seat: Seat) -> None:
        """A seat is free again; behind the last one the resource is closed."""
        self._seats.discard(seat)
        if not self._seats:
            self._end()

    def choose(self, newcomer: Subscription | None = None) -> None:
        """Let the first one have the stream, and tell everybody whom that concerns."""
        if self._ended:
            return
        best = max(self._subscriptions, key=self._rank, default=None)
        if best is self._active:
            if newcomer is not None and best is not None:
                self._tell(newcomer, best)
            return
        self._active = best
        if best is None:
            self.source.pause()
            return
        try:
            self.handle.pass_to(best.options)
        except OperationError as error:  # as it may have been at the start of its stream
            best.stream.end(error)
            return
        self._on_active(best.seat)
        for subscription in self._subscriptions:
            self._tell(subscription, best)
        if self._started:
            self.steer(best)
        else:
            self._start()

    def state(self, device: str) -> str:
        """What ``device`` gets here: "active", "waiting" or, if it does not take part, "idle"."""
        if self._active is not None and self._active.device == device:
            return "active"
        return "waiting" if any(s.device == device for s in self._subscriptions) else "idle"

    def write(self, subscription: Subscription, data: bytes | None, events: Sequence[Any] | None) -> Any:
        """Send the other way for the session that has the stream; Conflict for others."""
        if subscription is not self._active:
            holder = self._active.holder if self._active is not None else None
            raise Conflict(f"the stream of {self.resource.name} is routed to {holder}", holder=holder)
        if events is None and data is not None:
            return self.handle.write_data(data)
        if events is not None and data is None:
            return self.handle.write_events(events)
        raise BadRequest("either `data` or `events` is sent", key="data")

    def _rank(self, subscription: Subscription) -> tuple[int, int, int]:
        return *self._ranking(self.resource, subscription.device), -self._subscriptions.index(subscription)

    def _tell(self, subscription: Subscription, active: Subscription) -> None:
        mine = subscription is active
        news = {"active": mine, "at": self._position, "holder": None if mine else active.holder}
        subscription.stream.announce(news)

    # -- the sink of the driver's stream -------------------------------------------------------------------

    @property
    def credit(self) -> int:
        """What may be pushed to the one that has the stream."""
        return self._active.stream.credit if self._active is not None else 0

    def push_bytes(self, data: bytes) -> None:
        """Bytes for the one that has the stream."""
        if self._active is not None:
            self._position += len(data)
            self._active.stream.push_bytes(data)

    def push_events(self, events: Sequence[Mapping[str, Any]], dropped: int = 0) -> None:
        """Events for the one that has the stream."""
        if self._active is not None:
            self._position += len(events)
            self._active.stream.push_events(events, dropped)

    def end(self, error: Exception | None = None) -> None:
        """The resource gives nothing more: everybody is told."""
        self._end()
        for subscription in list(self._subscriptions):
            subscription.stream.end(error)

    def steer(self, subscription: Subscription) -> None:
        """Credit came or went; it counts if the stream is there."""
        if subscription is self._active and self._started and not self._ended:
            if self.credit > 0:
                self.source.resume()
            else:
                self.source.pause()

    def _start(self) -> None:
        self._started = True
        try:
            self.source.start(self)
        except Exception as error:
            self.end(error)

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._on_end()
        if self._handle is not None:
            self.source.close()
            self._handle.close()
        elif self._opening is not None:
            self._opening.add_done_callback(_close)


def _close(opening: asyncio.Future[StreamHandle]) -> None:
    """Nobody wants any more what was being opened."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class Feeds:
    """The feeds of the agent, by canonical resource name.

    ``in_turn`` runs a call that may block on the worker thread of a resource.
    """

    def __init__(
        self,
        ranking: Ranking,
        in_turn: Callable[[str, Callable[[], StreamHandle]], asyncio.Future[StreamHandle]],
        on_active: Callable[[Seat], None],
    ) -> None:
        self._ranking = ranking
        self._in_turn = in_turn
        self._on_active = on_active
        self._feeds: dict[str, Feed] = {}

    async def subscribe(
        self,
        holdings: Holdings,
        driver: Driver,
        resource: Resource,
        options: Mapping[str, Any],
        access: Access,
    ) -> Subscription:
        """The stream of a resource for one session; it is opened with ``options`` unless it is open.

        It ends when ``access`` is taken away from the session. Raises Conflict when another session has or locked
        the resource, or if ``options`` are not what is in force; Unsupported when it has no stream; and what
        opening it raises.
        """
        name = resource.name
        feed = self._feeds.get(name)
        if feed is None:
            if driver.stream_type is None:
                raise Unsupported(f"{name} has no stream")
            open_handle = partial(self._in_turn, name, partial(driver.open_stream_handle, resource, options))
            feed = self._feeds[name] = Feed(
                resource,
                driver.stream_type,
                options,
                open_handle,
                self._ranking,
                self._on_active,
                partial(self._feeds.pop, name),
            )
        seat = feed.take_seat()
        number = holdings.add_handle(seat, access)  # closes it if that is refused
        try:
            return await feed.join(seat, holdings, number, options)
        except BaseException:
            holdings.close_handle(number)
            raise

    def choose(self) -> None:
        """Routes have changed: streams go to whoever is first now."""
        for feed in list(self._feeds.values()):
            feed.choose()

    def states(self, device: str) -> Iterator[tuple[Resource, str]]:
        """What a device gets of each stream that is open: "active", "waiting" or "idle"."""
        return ((feed.resource, feed.state(device)) for feed in self._feeds.values())
