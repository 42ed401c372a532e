"""Small asynchronous classes with a bit of everything that the blocking API makes twins of."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable

SETTING: contextvars.ContextVar[str] = contextvars.ContextVar("SETTING", default="unset")


class Broken(Exception):
    """What the classes below raise."""


class Stream:
    """Serves ``async for`` by a generator, and notes that it ended."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.ended = threading.Event()

    async def read(self) -> int:
        return self.count

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                await asyncio.sleep(0)
                yield number
        finally:
            self.ended.set()


class Countdown:
    """Serves ``async for`` by itself."""

    def __init__(self, start: int) -> None:
        self.left = start

    def __aiter__(self) -> Countdown:
        return self

    async def __anext__(self) -> int:
        if self.left == 0:
            raise StopAsyncIteration
        self.left -= 1
        return self.left


class Device:
    """A bit of everything that an asynchronous API has."""

    def __init__(self, name: str, stream: Stream | None = None) -> None:
        self.name = name
        self.stream = stream or Stream(3)
        self.open = 0
        self._secret = "hidden"

    @classmethod
    async def connect(cls, name: str, *, delay: float = 0.0) -> Device:
        """Connect: ``async with await Device.connect("x")``."""
        await asyncio.sleep(delay)
        return cls(name)

    @staticmethod
    async def double(value: int) -> int:
        return 2 * value

    async def __aenter__(self) -> Device:
        self.open += 1
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> bool:
        await asyncio.sleep(0)
        self.open -= 1
        return kind is LookupError

    async def thread(self) -> str:
        return threading.current_thread().name

    def plain_thread(self) -> str:
        return threading.current_thread().name

    @property
    def property_thread(self) -> str:
        return threading.current_thread().name

    async def within(self, timeout: float) -> str:
        try:
            async with asyncio.timeout(timeout):
                await asyncio.sleep(10)
        except TimeoutError:
            return "over"
        return "slept"

    async def fail(self) -> None:
        await self._deeper()

    async def _deeper(self) -> None:
        raise Broken("deep down")

    def fail_plainly(self) -> None:
        raise Broken("plain")

    async def cancelled(self) -> None:
        raise asyncio.CancelledError

    async def setting(self) -> str:
        return SETTING.get()

    async def several(self) -> tuple[list[Stream], dict[str, Stream], list[int]]:
        return [Stream(1)], {"two": Stream(2)}, [1, 2]

    async def is_mine(self, stream: Stream, *, also: Stream) -> bool:
        return stream is self.stream and also is self.stream

    def later(self, value: int) -> Awaitable[int]:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, future.set_result, value)
        return future

    def later_broken(self) -> Awaitable[int]:
        return self.fail()  # type: ignore[return-value]

    async def events(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    @contextlib.asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Stream]:
        self.open += 1
        yield self.stream
        self.open -= 1

    def __getitem__(self, key: int) -> Stream:
        return Stream(key)


class SpecialDevice(Device):
    async def special(self) -> str:
        return "special"
