"""What every command shares: the values of the global options, and running with the board connected."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from ..board import Board
from ..environment import new_event_loop
from .outcomes import Interrupted
from .output import Output

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_TIMEOUT = 15.0
STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class App:
    """The global options of this run; ``timeout`` is in seconds."""

    board: str | None = None
    as_json: bool = False
    verbose: bool = False
    timeout: float | None = None
    on_signal: Callable[[int], object] | None = None
    """Takes the signals that ask this program to end, in place of ending it."""

    @property
    def output(self) -> Output:
        """Where results go."""
        return Output(self.as_json)

    @property
    def board_name(self) -> str | None:
        """The board asked for, None for the only one there is."""
        return self.board or os.environ.get("MYCLERK_BOARD") or None

    async def connect(self) -> Board:
        """The board, connected. Raises as :meth:`Board.connect`."""
        return await Board.connect(self.board_name, timeout=self.timeout or CONNECT_TIMEOUT)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end. A signal cancels, and raises Interrupted then."""
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(self._interruptible(coroutine))

    async def _interruptible(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await ``coroutine`` in a task of its own, which a signal cancels."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(coroutine)
        received: list[int] = []

        def stop(number: int) -> None:
            if self.on_signal is not None:
                self.on_signal(number)
                return
            received.append(number)
            task.cancel()

        for number in STOPPING_SIGNALS:
            loop.add_signal_handler(number, stop, number)
        try:
            return await task
        except asyncio.CancelledError:
            if received:
                raise Interrupted(received[0]) from None
            raise
        finally:
            for number in STOPPING_SIGNALS:
                loop.remove_signal_handler(number)


def with_board(
    *, limited: bool = True
) -> Callable[[Callable[Concatenate[App, Board, P], Awaitable[None]]], Callable[P, None]]:
    """Make a command of an ``async def command(app, board, ...)``: the board is connected before, left after.

    Leaving it closes everything that was opened there, so commands need not. ``limited`` commands must be
    done within --timeout; the others run until they end or are stopped.
    """

    def decorate(command: Callable[Concatenate[App, Board, P], Awaitable[None]]) -> Callable[P, None]:
        @click.pass_obj
        def run(app: App, /, *args: P.args, **kwargs: P.kwargs) -> None:
            async def connected() -> None:
                async with await app.connect() as board:
                    await _within(app.timeout if limited else None, command(app, board, *args, **kwargs))

            app.run(connected())

        return functools.update_wrapper(run, command)

    return decorate


async def _within(seconds: float | None, work: Awaitable[None]) -> None:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await work
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"this was not done within {seconds:g} s (--timeout)") from None
        raise


async def until_first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all of them until one returns or fails; the others are cancelled. Raises what that one raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
