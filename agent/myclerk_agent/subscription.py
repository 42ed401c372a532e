"""What one session has of a stream that several sessions share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from myclerk_drivers.base import Handle, Stream

from .resources import Holdings
from .streams import AgentStream

if TYPE_CHECKING:
    from .feeds import Feed


class Seat(Handle):
    """What a session holds of a feed: it stays open as long as somebody sits there."""

    shared = True

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed.resource)
        self._feed = feed

    def close(self) -> None:
        """Leave. Idempotent."""
        self._feed.leave(self)


class Subscription(Stream):
    """The stream of one session at a feed."""

    def __init__(
        self, feed: Feed, seat: Seat, holdings: Holdings, number: int, options: Mapping[str, Any]
    ) -> None:
        self.seat = seat
        self.options = options
        self.is_bytes = feed.source.is_bytes
        self._feed = feed
        self._holdings = holdings
        self._number = number
        self._stream: AgentStream | None = None

    @property
    def device(self) -> str | None:
        """The fingerprint of the device whose session it is."""
        return self._holdings.record.device

    @property
    def holder(self) -> str:
        """How people call that device."""
        return self._holdings.rights.description

    @property
    def stream(self) -> AgentStream:
        """Where the session gets its data from."""
        assert self._stream is not None
        return self._stream

    def describe(self) -> Mapping[str, Any]:
        """The type of the stream, and what its driver says of it."""
        return self._feed.describe()

    def start(self, sink: Any) -> None:
        """Take part, from now on."""
        self._stream = sink
        self.stream.handle = self.seat  # whatever closes that ends this stream
        self._feed.enter(self)

    def resume(self) -> None:
        """There is credit again."""
        self._feed.steer(self)

    def pause(self) -> None:
        """No credit is left."""
        self._feed.steer(self)

    def close(self) -> None:
        """Leave, and let go of the resource if nobody else is there."""
        self._feed.exit(self)
        if self._stream is not None:
            self._stream.handle = None  # what is still to be told stays until the session stops the stream
        self._holdings.close_handle(self._number)

    def write(self, data: bytes | None, events: Sequence[Any] | None) -> Any:
        """Send the other way. Raises Conflict while the stream is another session's."""
        return self._feed.write(self, data, events)
