"""Calls on a device that may block, in their place among its transfers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from myclerk_protocol.status import OperationError

from ..bus_thread import BusThread
from .transfer import Transfer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call, and who awaits it."""

    function: Callable[[], Any]
    future: asyncio.Future[Any]


class SlowCalls:
    """Runs one call at a time, on a thread. What comes meanwhile waits here, in its order: transfers and calls.

    ``hold`` is called when a call begins, ``go_on`` when it has ended; False from that lets nothing follow it.
    ``admit`` gets the transfers whose turn has come.
    """

    def __init__(
        self,
        name: str,
        hold: Callable[[], None],
        go_on: Callable[[], bool],
        admit: Callable[[Transfer], None],
    ) -> None:
        self._hold = hold
        self._go_on = go_on
        self._admit = admit
        self._thread = BusThread(f"myclerk {name}")
        self._later: deque[Transfer | _Call] = deque()
        self.running = False

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Run a call behind everything that came before it."""
        call = _Call(function, asyncio.get_running_loop().create_future())
        if self.running:
            self._later.append(call)
        else:
            self._begin(call)
        return call.future

    def wait(self, transfer: Transfer) -> None:
        """Admit a transfer behind the calls that came before it."""
        self._later.append(transfer)

    def refuse(self, error: OperationError) -> None:
        """What waits is never done: calls fail with ``error``."""
        later, self._later = self._later, deque()
        for entry in later:
            if isinstance(entry, _Call) and not entry.future.done():
                entry.future.set_exception(error)

    def close(self, last: Callable[[], None]) -> asyncio.Future[None]:
        """Run ``last`` behind the call that is running; then the thread ends."""
        ended = self._thread.submit(last, limited=False)
        self._thread.close()
        return ended

    def _begin(self, call: _Call) -> None:
        self.running = True
        self._hold()
        self._thread.submit(call.function, limited=False).add_done_callback(partial(self._ended, call))

    def _ended(self, call: _Call, ended: asyncio.Future[Any]) -> None:
        self.running = False
        error = ended.exception()
        if not call.future.done():
            if error is not None:
                call.future.set_exception(error)
            else:
                call.future.set_result(ended.result())
        if not self._go_on():
            return
        while self._later and not self.running:
            entry = self._later.popleft()
            if isinstance(entry, Transfer):
                self._admit(entry)
            elif not entry.future.done():
                self._begin(entry)
