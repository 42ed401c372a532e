"""Locks: a fair queue along the kernel's tree, lives and deaths of locks, guests, and storms of all that."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from myclerk_agent.resources import Holdings, Rights
from myclerk_agent.table import ResourceTable
from myclerk_drivers.base import Access, Handle, Resource
from myclerk_protocol.exchange import Mode
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.seal import Aead
from myclerk_protocol.status import Conflict, NotFound

PARENTS = {"serial:tty0": "usb:1-1", "serial:tty1": "usb:1-1", "usb:1-1": "usb:1", "hid:event0": "usb:1-2"}
DEVICE, PORT, OTHER_PORT, KEYBOARD = (
    Resource(name, parent=PARENTS[name]) for name in ("usb:1-1", "serial:tty0", "serial:tty1", "hid:event0")
)


class Opened(Handle):
    def close(self) -> None:
        pass


class SharedOpened(Opened):
    shared = True


class Bench:
    def __init__(self) -> None:
        self.table = ResourceTable(PARENTS.get)

    def session(self, name: str) -> Holdings:
        record = SessionRecord(1, 1, Mode.HYBRID, Aead.CHACHA20, 5, frozenset(), b"", name)
        return Holdings(record, Rights(name, Access.READ_WRITE), self.table)

    def waiting(
        self, holdings: Holdings, resource: Resource, wait: float = 60.0, ttl: float | None = None
    ) -> asyncio.Task[bytes]:
        return asyncio.create_task(self.table.lock(holdings, resource, wait, ttl))


def run(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await story(Bench())

    asyncio.run(main())


async def settled() -> None:
    """Let everything run that can run."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_those_who_wait_get_it_in_the_order_of_asking() -> None:
    async def story(bench: Bench) -> None:
        table, holder = bench.table, bench.session("holder")
        await table.lock(holder, PORT)
        order: list[str] = []
        sessions = [bench.session(f"number {n}") for n in range(8)]

        async def take(session: Holdings) -> None:
            await table.lock(session, PORT, 60.0)
            order.append(session.rights.description)
            table.unlock(session, PORT)

        tasks = [asyncio.create_task(take(session)) for session in sessions]
        await settled()
        table.unlock(holder, PORT)
        await asyncio.gather(*tasks)
        assert order == [f"number {n}" for n in range(8)]
        assert not table.locked

    run(story)


def test_nobody_gets_in_front_of_those_who_wait() -> None:
    async def story(bench: Bench) -> None:
        table, ann, bob, eve = bench.table, *(bench.session(name) for name in ("Ann", "Bob", "Eve"))
        await table.lock(ann, OTHER_PORT)
        bob_waits = bench.waiting(bob, DEVICE)
        await settled()
        with pytest.raises(Conflict, match="waited for by Bob") as refused:
            await table.lock(eve, PORT)
        assert refused.value.details["holder"] == "Bob"
        await table.lock(eve, KEYBOARD)  # has nothing to do with it
        eve_waits = bench.waiting(eve, PORT)
        await settled()
        table.unlock(ann, OTHER_PORT)
        await bob_waits
        assert not eve_waits.done()
        table.unlock(bob, DEVICE)
        await eve_waits

    run(story)


def test_a_waiter_that_gives_up_lets_those_behind_it_go_on() -> None:
    async def story(bench: Bench) -> None:
        table, ann, bob, eve = bench.table, *(bench.session(name) for name in ("Ann", "Bob", "Eve"))
        await table.lock(ann, OTHER_PORT)
        bob_waits = bench.waiting(bob, DEVICE, wait=0.02)
        await settled()
        eve_waits = bench.waiting(eve, PORT)
        with pytest.raises(Conflict, match="serial:tty1 is locked by Ann") as refused:
            await bob_waits
        assert refused.value.details["holder"] == "Ann"
        await eve_waits
        assert table.lock_holder(PORT.name) is eve

    run(story)


def test_a_waiter_whose_session_ends_leaves_the_queue() -> None:
    async def story(bench: Bench) -> None:
        table, ann, bob, eve = bench.table, *(bench.session(name) for name in ("Ann", "Bob", "Eve"))
        await table.lock(ann, PORT)
        bob_waits, eve_waits = bench.waiting(bob, PORT), None
        await settled()
        eve_waits = bench.waiting(eve, PORT)
        await settled()
        bob.release()
        ann.release()
        await eve_waits
        assert table.lock_holder(PORT.name) is eve
        with pytest.raises(asyncio.CancelledError):
            await bob_waits

    run(story)


def test_a_session_that_ends_as_it_gets_the_lock_does_not_keep_it() -> None:
    async def story(bench: Bench) -> None:
        table, ann, bob, eve = bench.table, *(bench.session(name) for name in ("Ann", "Bob", "Eve"))
        await table.lock(ann, PORT)
        bob_waits = bench.waiting(bob, PORT)
        await settled()
        table.unlock(ann, PORT)  # granted, but Bob's task has not run yet
        bob_waits.cancel()
        await settled()
        await table.lock(eve, PORT)

    run(story)


def test_a_lock_falls_by_itself_and_its_time_can_begin_anew() -> None:
    async def story(bench: Bench) -> None:
        table, ann, bob = bench.table, bench.session("Ann"), bench.session("Bob")
        key = await table.lock(ann, PORT, ttl=0.01)
        assert await table.lock(ann, PORT, ttl=3600.0) == key
        await asyncio.sleep(0.05)
        assert table.lock_holder(PORT.name) is ann
        await table.lock(ann, PORT, ttl=0.01)
        await table.lock(bob, PORT, 60.0)
        with pytest.raises(NotFound):
            table.unlock(ann, PORT)
        assert table.lock_holder(PORT.name) is bob

    run(story)


def test_handles_are_waited_for_and_kept_out() -> None:
    async def story(bench: Bench) -> None:
        table, ann, bob = bench.table, bench.session("Ann"), bench.session("Bob")
        number = ann.add_handle(Opened(PORT))
        with pytest.raises(Conflict, match="in use by Ann"):
            await table.lock(bob, DEVICE)
        waiting = bench.waiting(bob, DEVICE)
        await settled()
        ann.close_handle(number)
        with pytest.raises(Conflict, match="usb:1-1 is locked by Bob"):
            ann.add_handle(Opened(PORT))  # in the same turn: it was Bob's already
        await waiting

    run(story)


def test_a_key_lets_others_in_until_the_lock_falls() -> None:
    async def story(bench: Bench) -> None:
        table, ann, guest, bob = bench.table, *(bench.session(name) for name in ("Ann", "guest", "Bob"))
        key = await table.lock(ann, DEVICE)
        for wrong in (bytes(16), key[:-1]):
            with pytest.raises(Conflict) as refused:
                table.join(guest, DEVICE, wrong)
            assert refused.value.details["holder"] == "Ann"
        table.join(guest, DEVICE, key)
        assert await table.lock(guest, DEVICE, ttl=0.0) == key, "and does not end it"
        number = guest.add_handle(Opened(PORT))
        with pytest.raises(Conflict):
            bob.add_handle(Opened(OTHER_PORT))
        guest.close_handle(number)
        table.unlock(guest, DEVICE)
        with pytest.raises(Conflict, match="locked by Ann"):
            guest.add_handle(Opened(PORT))
        table.join(guest, DEVICE, key)
        table.unlock(ann, DEVICE)
        with pytest.raises(Conflict, match="has fallen"):
            table.join(guest, DEVICE, key)
        bob.add_handle(Opened(PORT))
        assert key.hex() not in repr(table._locks)

    run(story)


def test_a_broken_lock_goes_to_who_waits() -> None:
    async def story(bench: Bench) -> None:
        table, ann, bob = bench.table, bench.session("Ann"), bench.session("Bob")
        with pytest.raises(NotFound):
            table.break_lock(PORT)
        await table.lock(ann, PORT)
        waiting = bench.waiting(bob, PORT)
        await settled()
        assert table.break_lock(PORT) is ann
        await waiting
        assert table.lock_holder(PORT.name) is bob

    run(story)


def test_of_shared_handles_the_one_in_use_is_the_holder() -> None:
    async def story(bench: Bench) -> None:
        table, ann, bob = bench.table, bench.session("Ann"), bench.session("Bob")
        one, other = SharedOpened(PORT), SharedOpened(PORT)
        ann.add_handle(one)
        bob.add_handle(other)
        assert table.holder(PORT.name) is ann
        table.put_first(other)
        assert table.holder(PORT.name) is bob
        with pytest.raises(Conflict) as refused:
            bench.session("Eve").add_handle(Opened(PORT))
        assert refused.value.details["holder"] == "Bob"

    run(story)


class Watch:
    """Notes who is inside, and fails the test when two are that must not be."""

    def __init__(self) -> None:
        self.inside: list[tuple[Resource, str]] = []
        self.entered = 0

    def enter(self, resource: Resource, name: str) -> None:
        for other, who in self.inside:
            related = other == resource or other.parent == resource.name or resource.parent == other.name
            assert not related, f"{name} got {resource.name} while {who} had {other.name}"
        self.inside.append((resource, name))
        self.entered += 1

    def leave(self, resource: Resource, name: str) -> None:
        self.inside.remove((resource, name))


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_locks_with_sessions_killed_at_random(seed: int) -> None:
    """Never two at once along the tree, nobody is forgotten, nothing is left."""
    chance = random.Random(seed)

    async def story(bench: Bench) -> None:
        watch, table = Watch(), bench.table

        async def client(number: int) -> None:
            for turn in range(12):
                session = bench.session(f"client {number}.{turn}")
                resource = chance.choice([DEVICE, PORT, OTHER_PORT, KEYBOARD])
                ttl = None if chance.random() < 0.9 else 30.0
                wait = 60.0 if chance.random() < 0.8 else chance.random() / 200
                asking = bench.waiting(session, resource, wait, ttl)
                session.add_task(asking, 0)
                asking.add_done_callback(lambda done, s=session: s.end_task(done, 0))
                if chance.random() < 0.2:  # killed while it waits, or holds
                    await asyncio.sleep(chance.random() / 500)
                    session.release()
                    await asyncio.gather(asking, return_exceptions=True)
                    continue
                try:
                    await asking
                except Conflict:
                    assert wait < 60.0, "nobody waits for ever"
                    continue
                watch.enter(resource, session.rights.description)
                await asyncio.sleep(chance.random() / 1000)
                watch.leave(resource, session.rights.description)
                if chance.random() < 0.5:
                    table.unlock(session, resource)
                session.release()

        await asyncio.gather(*(client(number) for number in range(25)))
        assert watch.entered > 100
        assert not table.locked
        assert not table._waiters

    run(story)


def test_in_a_storm_the_order_is_that_of_asking() -> None:
    async def story(bench: Bench) -> None:
        asked: list[int] = []
        got: list[int] = []

        async def client(number: int) -> None:
            session = bench.session(f"client {number}")
            await asyncio.sleep(random.random() / 100)
            asked.append(number)
            await bench.table.lock(session, PORT, 60.0)
            got.append(number)
            await asyncio.sleep(0)
            session.release()

        await asyncio.gather(*(client(number) for number in range(200)))
        assert got == asked

    run(story)
