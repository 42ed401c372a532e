"""Streams of an endpoint: the board asks the device again and again, as far as the client's credit goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from myclerk_protocol.status import HardwareError, MyClerkError, OperationError

from ..base import Stream
from ..context import DriverContext, StreamSink, Timer
from .engine import Engine
from .transfer import CANCELLED, Transfer

MOST_ERRORS = 20
"""Failures in a row after which a poll gives up."""
FIRST_PAUSE = 0.01
LAST_PAUSE = 1.0
"""Seconds between failures: a device that is being unplugged fails as fast as it is asked."""


class Poll(Stream):
    """Events {``data``, ? ``errno``} of an IN endpoint.

    ``depth`` transfers, made by ``make``, are kept queued in the kernel, so that the device never waits for the agent;
    never more than there is credit for: without it the device holds its data. A stall ends the stream.
    """

    window: ClassVar[int] = 256
    depth: ClassVar[int] = 4

    def __init__(
        self, context: DriverContext, engine: Engine, name: str, make: Callable[[], Transfer]
    ) -> None:
        self._context = context
        self._engine = engine
        self._name = name
        self._make = make
        self._sink: StreamSink | None = None
        self._queued: set[Transfer] = set()
        self._kept: deque[Mapping[str, Any]] = deque()
        self._errors = 0
        self._pause: Timer | None = None

    def start(self, sink: StreamSink) -> None:
        """Begin to ask. Raises DeviceGone."""
        self._engine.check()
        self._sink = sink
        self.resume()

    def resume(self) -> None:
        """Push what came when there was no credit for it any more, and go on asking."""
        while self._kept and self._sink is not None and self._sink.credit > 0:
            self._sink.push_events([self._kept.popleft()])
        self._ask()

    def close(self) -> None:
        """Stop asking. Idempotent."""
        self._sink = None
        if self._pause is not None:
            self._pause.cancel()
        self._engine.stop(self._queued.copy(), CANCELLED)

    def event(self, transfer: Transfer) -> Mapping[str, Any]:
        """What a transfer brought."""
        result = transfer.result()
        del result["transferred"]
        return result

    def _ask(self) -> None:
        self._pause = None
        while self._sink is not None and not self._kept:
            if len(self._queued) >= min(self.depth, self._sink.credit):
                return
            transfer = self._make()
            self._queued.add(transfer)
            try:
                self._engine.submit(transfer, self._answered)
            except OperationError as error:
                self._queued.discard(transfer)
                self._end(error)

    def _answered(self, transfer: Transfer) -> None:
        self._queued.discard(transfer)
        if self._sink is None or transfer.errno == CANCELLED:
            return
        if transfer.error is not None:
            self._end(transfer.error)
        elif transfer.errno == "EPIPE":
            self._end(HardwareError(f"{self._name}: the endpoint stalled; clear its halt", errno="EPIPE"))
        else:
            self._push(self.event(transfer))
            self._go_on(transfer.errno)

    def _push(self, event: Mapping[str, Any]) -> None:
        if self._sink is not None:
            if self._sink.credit > 0 and not self._kept:
                self._sink.push_events([event])
            else:  # what was under way when the connection was lost
                self._kept.append(event)

    def _go_on(self, errno: str | None) -> None:
        self._errors = self._errors + 1 if errno else 0
        if self._errors >= MOST_ERRORS:
            self._end(
                HardwareError(f"{self._name}: the device does not answer any more: {errno}", errno=errno)
            )
        elif not self._errors:
            self._ask()
        elif self._pause is None:
            pause = min(FIRST_PAUSE * 2 ** (self._errors - 1), LAST_PAUSE)
            self._pause = self._context.call_later(pause, self._ask)

    def _end(self, error: MyClerkError) -> None:
        sink = self._sink
        self.close()
        if sink is not None:
            sink.end(error)


class IsochronousPoll(Poll):
    """Events as the answers of USB_ISOCHRONOUS_TRANSFER have it. Packets that failed are part of them, no error."""

    window: ClassVar[int] = 32
    depth: ClassVar[int] = 4

    def event(self, transfer: Transfer) -> Mapping[str, Any]:
        return transfer.result()
