"""STREAM_QUALITY: fewer pushes and fewer bytes a second, with nothing lost for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from myclerk_agent.streams import AgentStream
from myclerk_drivers.base import Stream
from myclerk_drivers.context import StreamSink
from myclerk_protocol.exchange import Mode
from myclerk_protocol.payloads import unpack
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.seal import Aead
from myclerk_protocol.status import Unsupported


class Source(Stream):
    """A stream that the test pushes into; it notes whether it may."""

    def __init__(self, *, is_bytes: bool) -> None:
        self.is_bytes = is_bytes
        self.running = True

    def start(self, sink: StreamSink) -> None:
        pass

    def resume(self) -> None:
        self.running = True

    def pause(self) -> None:
        self.running = False

    def close(self) -> None:
        self.running = False


class Line:
    """A client's end of the line: what was pushed there."""

    def __init__(self) -> None:
        self.pushes: list[dict[str, Any]] = []
        self.outbox = self

    def send(
        self, version: int, tier: int, opcode: int, request_id: int, payload: bytes, *rest: object
    ) -> None:
        self.pushes.append(unpack(payload))

    def events(self) -> list[Sequence[Mapping[str, Any]]]:
        return [push["events"] for push in self.pushes if "events" in push]


def opened(line: Line, *, is_bytes: bool, credit: int = 1000) -> tuple[AgentStream, Source]:
    record = SessionRecord(1, 1, Mode.HYBRID, Aead.CHACHA20, 5, frozenset(), b"", "Ann")
    record.session = line  # type: ignore[assignment]
    source = Source(is_bytes=is_bytes)
    stream = AgentStream(record, 2, 3, source, credit_to=credit)
    stream.start()
    return stream, source


def run(story: Callable[[Line], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await story(Line())

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def numbered(*numbers: int) -> list[dict[str, int]]:
    return [{"number": number} for number in numbers]


def test_between_pushes_bytes_wait_in_the_kernel() -> None:
    async def story(line: Line) -> None:
        stream, source = opened(line, is_bytes=True)
        assert stream.set_quality(0.02, None) == {"interval": 0.02, "rate": 0}
        stream.push_bytes(b"one")
        assert not source.running
        assert stream.credit == 0
        await until(lambda: source.running)
        assert stream.credit == 997
        stream.push_bytes(b"two")
        assert not source.running
        assert [push["data"] for push in line.pushes] == [b"one", b"two"]
        stream.set_quality(0, None)
        assert source.running, "at once, not when the time is over"
        stream.push_bytes(b"three")
        assert source.running

    run(story)


def test_a_rate_gives_small_pieces_and_pauses_for_them() -> None:
    async def story(line: Line) -> None:
        stream, source = opened(line, is_bytes=True, credit=1 << 20)
        assert stream.set_quality(None, 10_000) == {"interval": 0.0, "rate": 10_000}
        started = asyncio.get_running_loop().time()
        for _ in range(3):
            await until(lambda: source.running)
            assert stream.credit == 1000
            stream.push_bytes(bytes(stream.credit))
        await until(lambda: source.running)
        assert asyncio.get_running_loop().time() - started >= 0.29
        assert stream.set_quality(None, 0)["rate"] == 0
        assert stream.credit > 1000

    run(story)


def test_between_pushes_events_are_gathered_for_one() -> None:
    async def story(line: Line) -> None:
        stream, _ = opened(line, is_bytes=False)
        assert stream.set_quality(0.02, None) == {"interval": 0.02, "rate": None}
        for number in range(10):
            stream.push_events(numbered(number))
        assert line.events() == [numbered(0)]
        assert stream.credit == 990
        await until(lambda: len(line.pushes) == 2)
        assert line.events()[1] == numbered(*range(1, 10))
        assert line.pushes[1]["index"] == 1
        await asyncio.sleep(0.05)
        stream.push_events(numbered(10))
        assert line.events()[2] == numbered(10), "after a silence at once"

    run(story)


def test_events_beyond_the_credit_are_counted_while_they_are_gathered() -> None:
    async def story(line: Line) -> None:
        stream, _ = opened(line, is_bytes=False, credit=3)
        stream.set_quality(0.01, None)
        for number in range(6):
            stream.push_events(numbered(number))
        assert stream.credit == 0
        await until(lambda: len(line.pushes) == 2)
        assert line.events() == [numbered(0), numbered(1, 2)]
        stream.configure(3, 10)
        await asyncio.sleep(0.02)
        stream.push_events(numbered(6))
        assert sum(push.get("dropped", 0) for push in line.pushes) == 3
        assert line.pushes[-1]["index"] == 3

    run(story)


@pytest.mark.parametrize("what", ["end", "pause", "detach", "announce"])
def test_what_was_gathered_comes_before_what_stops_it(what: str) -> None:
    async def story(line: Line) -> None:
        stream, _ = opened(line, is_bytes=False)
        stream.set_quality(30.0, None)
        stream.push_events(numbered(0))
        stream.push_events(numbered(1))
        arguments = ({"active": False},) if what == "announce" else ()
        getattr(stream, what)(*arguments)
        assert line.events() == [numbered(0), numbered(1)]
        stream.close()

    run(story)


def test_events_have_no_rate() -> None:
    async def story(line: Line) -> None:
        stream, _ = opened(line, is_bytes=False)
        with pytest.raises(Unsupported) as refused:
            stream.set_quality(5.0, 100)
        assert refused.value.details["key"] == "rate"
        assert stream.set_quality(None, None)["interval"] == 0, "nothing was changed"

    run(story)


def test_a_stream_that_is_stopped_leaves_no_timer() -> None:
    async def story(line: Line) -> None:
        stream, source = opened(line, is_bytes=True)
        stream.set_quality(0.01, None)
        stream.push_bytes(b"one")
        stream.close()
        await asyncio.sleep(0.03)
        assert not source.running

    run(story)
