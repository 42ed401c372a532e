"""Frames through the driver: receiving, filtering, sending and its limits, errors on the bus. Simulated buses."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from interfaces import RATE, Bench, Listener, sent

from myclerk_drivers.can import sending
from myclerk_drivers.can.backend import ERROR, EXTENDED, FD_FRAME, LOCAL, OWN, REMOTE
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    HardwareError,
    NotFound,
    OperationTimeout,
    TooMany,
    Unsupported,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]
FRAME = (0x123, 0, b"\xde\xad")
FD_RATE = {**RATE, "fd": True, "data_bitrate": 2_000_000}


def numbered(count: int) -> list[tuple[int, int, bytes]]:
    return [(0x100, 0, number.to_bytes(4, "big")) for number in range(count)]


# -- both ways ---------------------------------------------------------------------------------------------


def test_frames_of_every_kind_arrive_as_they_were_sent(run: Run) -> None:
    frames = [
        FRAME,
        (0x7FF, 0, b""),
        (0x1ABCDEF0 | EXTENDED, 0, bytes(8)),
        (0x5 | REMOTE, 0, bytes(4)),
        (0x5 | REMOTE | EXTENDED, 0, b""),
        (0x6, FD_FRAME, bytes(range(64))),
        (0x7 | EXTENDED, FD_FRAME | 1, bytes(12)),
        (0x8, FD_FRAME | 2, b"x"),
    ]

    async def story() -> None:
        async with Bench() as bench:
            one, other = bench.open("can0", FD_RATE), bench.open("can1", FD_RATE)
            listener = Listener(other)
            assert await sent(one.send(frames)) == len(frames)
            assert await listener.until(len(frames)) == frames

    run(story())


def test_timestamps_are_nanoseconds_and_rise(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one, other = bench.pair()
            listener = Listener(other)
            await sent(one.send(numbered(20)))
            await listener.until(20)
            stamps = [frame[0] for frame in listener.received]
            assert stamps == sorted(stamps)
            assert stamps[0] > 1_600_000_000_000_000_000

    run(story())


def test_thousands_of_frames_arrive_in_order_and_in_batches(run: Run) -> None:
    frames = numbered(4000)

    async def story() -> None:
        async with Bench() as bench:
            one, other = bench.pair()
            await asyncio.gather(
                *(sent(one.send(frames[start : start + 1000])) for start in range(0, 4000, 1000))
            )
            listener = Listener(other)
            assert await listener.until(4000) == frames
            assert len(listener.sink.events) < 100
            assert max(len(event["frames"]) for event in listener.sink.events) == 64

    run(story())


def test_what_came_since_opening_is_not_lost(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one, other = bench.pair()
            await sent(one.send([FRAME]))
            assert await Listener(other).until(1) == [FRAME]

    run(story())


def test_own_frames_come_back_only_if_asked(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel, neighbour = bench.open("vcan0"), bench.open("vcan0")
            mine, theirs = Listener(channel), Listener(neighbour)
            await sent(channel.send([FRAME]))
            channel.set_filters(receive_own=True)
            await sent(channel.send([FRAME]))
            assert await mine.until(1) == [(0x123, LOCAL | OWN, FRAME[2])]
            assert await theirs.until(2) == [(0x123, LOCAL, FRAME[2])] * 2

    run(story())


# -- without credit ----------------------------------------------------------------------------------------


def test_without_credit_frames_wait(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one, other = bench.pair()
            listener = Listener(other, credit=0)
            await sent(one.send(numbered(200)))
            await asyncio.sleep(0)
            assert listener.frames == []
            assert bench.context.watched == (set(), set())
            listener.sink.grant(2)
            await listener.until(128)
            assert len(listener.frames) == 128
            listener.sink.grant(100)
            assert await listener.until(200) == numbered(200)
            assert listener.sink.dropped == 0

    run(story())


def test_frames_that_found_no_room_are_counted(run: Run) -> None:
    async def story() -> None:
        async with Bench(receive_buffer=1 << 15) as bench:
            one, other = bench.pair()
            await sent(one.send(numbered(1000)))
            listener, count = Listener(other), 1000
            await listener.until(1)
            while FRAME not in listener.frames:  # the first ones may find no room either
                count += await sent(one.send([FRAME]))
                await asyncio.sleep(0.001)
            lost = [event.get("dropped", 0) for event in listener.sink.events]
            assert sum(lost) > 0
            assert lost[0] == 0, "those that were dropped came later than the first"
            await listener.sink.until(lambda: _told(listener) == count)

    run(story())


def _told(listener: Listener) -> int:
    """How many frames a listener knows of."""
    return len(listener.frames) + sum(event.get("dropped", 0) for event in listener.sink.events)


def test_a_handle_has_one_stream_at_a_time(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("vcan0")
            listener = Listener(channel)
            with pytest.raises(Conflict):
                channel.receive()
            listener.stream.close()
            await sent(bench.open("vcan0").send([FRAME]))
            assert len(await Listener(channel).until(1)) == 1

    run(story())


# -- filters -----------------------------------------------------------------------------------------------


def only(can_id: int, mask: int, inverted: bool = False) -> dict[str, Any]:
    return {"can_id": can_id, "can_mask": mask, "inverted": inverted}


LONG = 0x100 | EXTENDED


@pytest.mark.parametrize(
    ("reception", "passes"),
    [
        ({"filters": [only(0x100, 0x7F0)]}, {0x100, 0x101, LONG}),
        ({"filters": [only(0x100, 0x7FF), only(0x200, 0x7FF)]}, {0x100, 0x200, LONG}),
        ({"filters": [only(0x100, 0x700, True)]}, {0x200}),
        ({"filters": [only(0x100, 0x7F0), only(0x101, 0x7FF, True)], "joined": True}, {0x100, LONG}),
        ({"filters": [only(LONG, 0x7FF | EXTENDED)]}, {LONG}),
        ({"filters": [only(0x100, 0x7FF | EXTENDED)]}, {0x100}),
        ({"filters": []}, set()),
        ({}, {0x100, 0x101, 0x200, LONG}),
    ],
)
def test_filters_let_pass_what_fits(run: Run, reception: dict[str, Any], passes: set[int]) -> None:
    ids = [0x100, 0x101, 0x200, LONG]

    async def story() -> None:
        async with Bench() as bench:
            one, other = bench.open("can0", RATE), bench.open("can1", RATE, **reception)
            listener = Listener(other)
            await sent(one.send([(can_id, 0, b"") for can_id in ids]))
            other.set_filters([only(0x7FF, 0x7FF)], joined=False)
            await sent(one.send([(0x7FF, 0, b"")]))
            await listener.sink.until(lambda: (0x7FF, 0, b"") in listener.frames)
            assert {can_id for can_id, _, _ in listener.frames} == passes | {0x7FF}

    run(story())


@pytest.mark.parametrize("wrong", [only(ERROR, 0x7FF), only(0, ERROR)])
def test_filters_for_error_frames_are_refused(run: Run, wrong: dict[str, Any]) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("vcan0", filters=[only(0x100, 0x7FF)])
            with pytest.raises(BadRequest) as refused:
                channel.set_filters([only(0, 0), wrong])
            assert refused.value.details["key"] == "filters[1]"
            with pytest.raises(BadRequest):
                bench.open("vcan0", filters=[wrong])
            listener = Listener(channel)
            neighbour = bench.open("vcan0")
            await sent(neighbour.send([FRAME, (0x100, 0, b"")]))
            assert await listener.until(1) == [(0x100, LOCAL, b"")], "the filters are still those before"

    run(story())


# -- sending and its limits --------------------------------------------------------------------------------


def test_a_queue_that_is_full_is_waited_for(run: Run) -> None:
    """Nobody acknowledges until the other controller comes up."""

    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            sending = asyncio.ensure_future(sent(one.send(numbered(500))))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(sending), 0.05)
            assert one.status()["state"] == "error-passive"
            listener = Listener(bench.open("can1", RATE))
            assert await sending == 500
            assert await listener.until(500) == numbered(500)

    run(story())


def test_a_timeout_says_how_many_frames_were_taken(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            with pytest.raises(OperationTimeout) as late:
                await sent(one.send(numbered(50), timeout=0.02))
            assert late.value.details["sent"] == 10, "as many as the queue holds"
            listener = Listener(bench.open("can1", RATE))
            await sent(one.send([FRAME]))
            assert await listener.until(11) == [*numbered(10), FRAME], "the rest was not sent"

    run(story())


def test_requests_are_sent_one_behind_the_other(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            first = asyncio.ensure_future(sent(one.send(numbered(30))))
            cancelled = asyncio.ensure_future(sent(one.send([(0x7, 0, b"")])))
            last = asyncio.ensure_future(sent(one.send([FRAME])))
            await asyncio.sleep(0)
            cancelled.cancel()
            listener = Listener(bench.open("can1", RATE))
            assert (await first, await last) == (30, 1)
            assert await listener.until(31) == [*numbered(30), FRAME]

    run(story())


def test_frames_that_came_too_late_are_forgotten(run: Run) -> None:
    """Though those before them still wait, for as long as nobody acknowledges."""

    class Frames(list[Any]):
        pass

    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            first = asyncio.ensure_future(sent(one.send(numbered(30))))
            late = Frames(numbered(5))
            gone = weakref.ref(late)
            with pytest.raises(OperationTimeout):
                await sent(one.send(late, timeout=0))
            del late
            await asyncio.sleep(0)
            gc.collect()
            assert gone() is None
            listener = Listener(bench.open("can1", RATE))
            await first
            await sent(one.send([FRAME]))
            assert await listener.until(31) == [*numbered(30), FRAME]

    run(story())


def test_what_is_cancelled_before_it_begins_to_wait_is_not_sent(run: Run) -> None:
    """As the agent does with a request too many."""

    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            first = asyncio.ensure_future(sent(one.send(numbered(30))))
            await asyncio.sleep(0)
            refused = one.send([(0x7, 0, b"")])
            assert not isinstance(refused, dict)
            asyncio.ensure_future(refused).cancel()
            last = asyncio.ensure_future(sent(one.send([FRAME])))
            await asyncio.sleep(0)
            listener = Listener(bench.open("can1", RATE))
            assert (await first, await last) == (30, 1)
            assert await listener.until(31) == [*numbered(30), FRAME]

    run(story())


def test_frames_that_wait_are_limited_in_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_WAITING", 100)

    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            first = asyncio.ensure_future(sent(one.send(numbered(60))))
            await asyncio.sleep(0)
            with pytest.raises(TooMany):
                one.send(numbered(41))
            second = asyncio.ensure_future(sent(one.send(numbered(40))))
            await asyncio.sleep(0)
            bench.open("can1", RATE)
            assert (await first, await second) == (60, 40)
            assert await sent(one.send(numbered(100))) == 100

    run(story())


def test_a_queue_that_stays_full_is_tried_less_and_less_often(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            pauses: list[float] = []
            call_later = bench.context.call_later

            def noted(seconds: float, callback: Callable[[], None]) -> Any:
                pauses.append(seconds)
                return call_later(0, callback)

            monkeypatch.setattr(bench.context, "call_later", noted)
            sending = asyncio.ensure_future(sent(one.send(numbered(50))))
            while len(pauses) < 30:
                await asyncio.sleep(0)
            assert pauses[0] == 0.001
            assert pauses[:20] == sorted(set(pauses[:20])), "longer each time"
            assert max(pauses) == 0.02
            bench.open("can1", RATE)
            assert await sending == 50

    run(story())


def test_closing_fails_what_waits_and_leaves_nothing(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            sending = asyncio.ensure_future(sent(one.send(numbered(50))))
            await asyncio.sleep(0)
            one.close()
            with pytest.raises(NotFound):
                await sending
            assert bench.context.watched == (set(), set())

    run(story())


@pytest.mark.parametrize("timeout", [-1.0, float("inf"), float("nan")])
def test_a_timeout_is_a_number_of_seconds(run: Run, timeout: float) -> None:
    async def story() -> None:
        async with Bench() as bench:
            with pytest.raises(BadRequest) as refused:
                bench.open("vcan0").send([FRAME], timeout=timeout)
            assert refused.value.details["key"] == "timeout"

    run(story())


def test_an_interface_that_is_down_says_so(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0")
            with pytest.raises(HardwareError, match="is down; configure it") as refused:
                await sent(channel.send([FRAME]))
            assert refused.value.details == {"errno": "ENETDOWN", "sent": 0}
            with pytest.raises(HardwareError, match="is down"):
                channel.receive()

    run(story())


def test_can_fd_frames_need_can_fd(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one, _ = bench.pair()
            with pytest.raises(Unsupported, match="not set up for CAN FD") as refused:
                await sent(one.send([FRAME, (1, FD_FRAME, bytes(12)), FRAME]))
            assert refused.value.details["sent"] == 1

    run(story())


def test_who_only_listens_sends_nothing(run: Run) -> None:
    """The kernel would drop it silently."""

    async def story() -> None:
        async with Bench() as bench:
            with pytest.raises(BadRequest, match="listen only"):
                bench.open("can0", {**RATE, "listen_only": True}).send([FRAME])

    run(story())


# -- when things change ------------------------------------------------------------------------------------


def test_a_stream_lives_through_a_new_configuration(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one, other = bench.pair()
            listener = Listener(other)
            await sent(one.send([FRAME]))
            await listener.until(1)
            await bench.context.run_blocking(lambda: other.configure(bitrate=250_000))
            one.configure(bitrate=250_000)
            await sent(one.send([FRAME]))
            assert await listener.until(2) == [FRAME, FRAME]
            assert not listener.sink.ended

    run(story())


def test_a_stream_ends_when_somebody_else_takes_the_interface_down(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", RATE)
            listener = Listener(channel)
            bench.simulation.set_up("can0", False)
            await listener.sink.until(lambda: listener.sink.ended)
            assert isinstance(listener.sink.error, HardwareError)
            assert listener.sink.error.details["errno"] == "ENETDOWN"
            bench.simulation.set_up("can0", True)
            sender = bench.open("can1", RATE)
            await sent(sender.send([FRAME]))
            assert await Listener(channel).until(1) == [FRAME], "the handle is as good as before"

    run(story())


def test_going_down_is_told_whoever_took_the_interface_down_before(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", RATE)
            channel.configure(up=False)
            bench.simulation.set_up("can0", True)  # by somebody on the board
            listener = Listener(channel)
            bench.simulation.set_up("can0", False)
            await listener.sink.until(lambda: listener.sink.ended)
            assert isinstance(listener.sink.error, HardwareError)

    run(story())


def test_a_stream_ends_when_the_adapter_is_pulled(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            listener = Listener(bench.open("can0", RATE))
            bench.simulation.unplug("can0")
            await listener.sink.until(lambda: listener.sink.ended)
            assert isinstance(listener.sink.error, DeviceGone)

    run(story())


# -- errors on the bus -------------------------------------------------------------------------------------

ALL_ERRORS = 0x1FFFFFFF


def classes(listener: Listener) -> int:
    found = 0
    for can_id, _, _ in listener.frames:
        found |= can_id
    return found


def test_another_bit_rate_on_the_bus_leads_to_bus_off(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", {**RATE, "berr_reporting": True}, error_mask=ALL_ERRORS)
            other = bench.open("can1", {**RATE, "bitrate": 250_000}, error_mask=ALL_ERRORS)
            mine, theirs = Listener(one), Listener(other)
            await sent(one.send([FRAME]))
            await mine.sink.until(lambda: bool(classes(mine) & 0x40))
            status = one.status()
            assert (status["state"], status["tx_errors"]) == ("bus-off", 256)
            assert status["statistics"]["bus_offs"] == 1
            assert classes(mine) == ERROR | 0x200 | 0x40 | 0x8 | 0x80 | 0x4
            assert other.status()["rx_errors"] == 32
            assert theirs.frames == []
            with pytest.raises(HardwareError, match="bus-off; restart it"):
                await sent(one.send([FRAME]))
            other.configure(bitrate=500_000)
            assert one.configure(restart=True)["state"] == "error-active"
            await sent(one.send([FRAME]))
            assert await theirs.until(1) == [FRAME]

    run(story())


def test_frames_wait_for_the_automatic_restart(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", {**RATE, "restart_ms": 1})
            other = bench.open("can1", {**RATE, "bitrate": 250_000})
            await sent(one.send([FRAME]))
            other.configure(bitrate=500_000)
            listener = Listener(other)
            assert await sent(one.send([(0x7, 0, b"")])) == 1
            assert await listener.until(1) == [(0x7, 0, b"")]
            assert one.status()["statistics"]["restarts"] == 1
            with pytest.raises(Conflict, match="not bus-off"):
                one.configure(restart=True)

    run(story())


def test_who_only_listens_acknowledges_nothing_and_disturbs_nobody(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", {**RATE, "one_shot": True})
            other = bench.open("can1", {**RATE, "listen_only": True})
            await sent(one.send([FRAME]))
            assert one.status()["statistics"]["tx_errors"] == 1
            other.configure(bitrate=250_000)
            for _ in range(40):
                await sent(one.send([FRAME]))
            assert one.status()["state"] == "error-passive", (
                "nobody destroys its frames, nobody confirms them"
            )
            assert other.status()["rx_errors"] > 0

    run(story())


def test_in_loopback_the_controller_answers_itself(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", {**RATE, "loopback": True}, receive_own=True)
            listener = Listener(one)
            await sent(one.send([FRAME]))
            assert await listener.until(1) == [(0x123, LOCAL | OWN, FRAME[2])]

    run(story())


def test_error_frames_come_only_if_asked(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            one = bench.open("can0", RATE)
            listener = Listener(one)
            await sent(one.send([FRAME]))
            one.set_filters(error_mask=0x4)
            other = bench.open("can1", RATE)
            await sent(other.send([FRAME] * 2))
            await listener.until(2)
            assert all(not can_id & ERROR or can_id & 0x4 for can_id, _, _ in listener.frames)
            assert FRAME in listener.frames

    run(story())
