"""Streams that several sessions have open: who is there, who is kept out, and every way to leave."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from feeding import PORT, Bench, Exclusive, run

from myclerk_agent.resources import Rights
from myclerk_drivers.base import Access
from myclerk_protocol.status import BadRequest, Conflict, DeviceGone, Forbidden, Unsupported


def test_the_resource_is_open_as_long_as_somebody_is_there(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        await ann.join()
        await bob.join()
        assert len(bench.driver.opened) == 1
        ann.holdings.stop_stream(9)
        assert bench.port.closed == 0
        bench.port.tap.flow(b"for Bob")
        assert bob.hear() == b"for Bob"
        bob.holdings.release()
        assert (bench.port.closed, bench.port.tap.closed) == (1, 1)
        assert bench.table.holder("serial:tty0") is None
        await ann.join()
        assert len(bench.driver.opened) == 2

    run(tmp_path, story)


def test_what_nobody_has_credit_for_waits(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        await ann.join(credit=4)
        await bob.join(credit=0)
        bench.port.tap.flow(b"0123456789")
        assert (ann.hear(), bench.port.tap.waiting) == (b"0123", b"456789")
        assert not bench.port.tap.running
        ann.holdings.stop_stream(9)
        assert bob.active
        assert bench.port.tap.waiting == b"456789"
        assert not bench.port.tap.running
        assert bob.stream is not None
        bob.stream.configure(None, 100)
        assert bob.hear() == b"456789"
        bob.stream.pause()
        bench.port.tap.flow(b"later")
        assert bob.hear() == b""
        bob.stream.resume()
        assert bob.hear() == b"later"

    run(tmp_path, story)


def test_others_keep_out_and_are_kept_out(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        number = ann.holdings.add_handle(Exclusive(PORT))
        with pytest.raises(Conflict, match="open already in Ann"):
            await bob.join()
        assert bench.driver.opened == [], "nothing was opened for it"
        ann.holdings.close_handle(number)
        await bob.join()
        with pytest.raises(Conflict) as refused:
            ann.holdings.add_handle(Exclusive(PORT))
        assert refused.value.details["holder"] == "Bob"
        with pytest.raises(Conflict):
            await bench.table.lock(ann.holdings, PORT)
        await bench.table.lock(bob.holdings, PORT)
        with pytest.raises(Conflict, match="locked by Bob"):
            await ann.join()

    run(tmp_path, story)


def test_settings_are_those_of_the_first(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        assert (await ann.join(baud=4800)).describe() == {"type": 4, "serial": {"baud": 9600}}
        with pytest.raises(Conflict, match="another rate"):
            await bob.join(baud=4800)
        assert bob.holdings.handles == {}
        await bob.join(baud=9600)

    run(tmp_path, story)


def test_a_failed_opening_fails_all_who_wait_for_it(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.gate, bench.driver.fails = asyncio.Event(), DeviceGone("it is gone")
        clients = [bench.client("Ann"), bench.client("Bob")]
        joining = [asyncio.create_task(client.join()) for client in clients]
        await asyncio.sleep(0)
        bench.gate.set()
        for task in joining:
            with pytest.raises(DeviceGone):
                await task
        assert [client.holdings.handles for client in clients] == [{}, {}]
        bench.driver.fails = None
        await clients[0].join()

    run(tmp_path, story)


def test_what_is_opened_for_a_session_that_has_ended_is_closed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.gate = asyncio.Event()
        ann, bob = bench.client("Ann"), bench.client("Bob")
        joining = asyncio.create_task(ann.join())
        ann.holdings.add_task(joining, 0)
        await asyncio.sleep(0)
        ann.holdings.release()
        with pytest.raises(asyncio.CancelledError):
            await joining
        joining = asyncio.create_task(bob.join())
        bench.gate.set()
        await joining
        await asyncio.sleep(0)
        assert [port.closed for port in bench.driver.opened] == [1, 0]
        assert bob.active

    run(tmp_path, story)


def test_what_is_opened_for_one_whose_right_was_taken_away_is_closed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.gate = asyncio.Event()
        ann = bench.client("Ann")
        joining = asyncio.create_task(ann.join(access=Access.READ_WRITE))
        await asyncio.sleep(0)
        ann.holdings.change_rights(Rights("Ann", Access.READ))
        bench.gate.set()
        with pytest.raises(Conflict, match="was let go before it was open"):
            await joining
        assert [port.closed for port in bench.driver.opened] == [1]

    run(tmp_path, story)


def test_the_end_of_the_resource_is_told_to_all(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob, eve = (bench.client(name) for name in ("Ann", "Bob", "Eve"))
        for client in (ann, bob, eve):
            await client.join()
        bench.port.tap.flow(b"last words")
        eve.drop(lost=True)
        sink = bench.port.tap.sink
        assert sink is not None
        sink.end(DeviceGone("serial:tty0 is gone"))
        assert ann.hear() == b"last words"
        for client in (ann, bob):
            client.hear()
            assert client.end is not None
            assert client.end["message"] == "serial:tty0 is gone"
            assert len(client.news) == 1, "it went to nobody else before"
            client.holdings.stop_stream(9)
        eve.resume()
        eve.hear()
        assert eve.end is not None, "told when it is back"
        assert (bench.port.closed, bench.port.tap.closed) == (1, 1)
        assert not any(client.holdings.handles for client in (ann, bob, eve))

    run(tmp_path, story)


def test_a_right_that_is_taken_away_ends_the_stream_and_passes_it_on(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        await ann.join(access=Access.READ_WRITE)
        await bob.join()
        ann.holdings.change_rights(Rights("Ann", Access.READ))
        ann.hear()
        assert ann.end is not None
        assert ann.end["status"] == Forbidden.status
        assert bob.active
        ann.holdings.stop_stream(9)

    run(tmp_path, story)


def test_one_that_cannot_have_it_makes_way(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        await ann.join()
        await bob.join(grab=True)
        bench.port.refuses = Conflict("grabbed by another program", errno="EBUSY")
        bench.routes.create("serial:tty0", "Bob", 0)
        bob.hear()
        assert bob.end is not None
        assert (bob.end["status"], bob.end["errno"]) == (Conflict.status, "EBUSY")
        bench.port.tap.flow(b"goes on")
        assert ann.hear() == b"goes on"
        assert ann.active

    run(tmp_path, story)


def test_only_who_has_the_stream_writes(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        mine, other = await ann.join(), await bob.join()
        assert mine.write(b"hello", None) == {"written": 5}
        with pytest.raises(Conflict) as refused:
            other.write(b"no", None)
        assert refused.value.details["holder"] == "Ann"
        with pytest.raises(Unsupported):
            mine.write(None, [[17, 0, 1]])
        for wrong in ((None, None), (b"", [])):
            with pytest.raises(BadRequest):
                mine.write(*wrong)
        assert bench.port.written == b"hello"

    run(tmp_path, story)


def test_a_resumed_stream_knows_whose_it_is(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        await ann.join()
        await bob.join()
        bench.port.tap.flow(b"under way")
        ann.drop(lost=True)
        bench.port.tap.flow(b", waiting")
        bench.routes.create("serial:tty0", "Bob", 0)
        assert bob.hear() == b", waiting"
        ann.resume()
        assert ann.hear() == b"under way", "what was pushed to it stays its own"
        assert ann.news == [{"active": True, "at": 0}, {"active": False, "at": 9, "holder": "Bob"}]

    run(tmp_path, story)
