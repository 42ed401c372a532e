"""Rules where requests are served: parts, trees, lists, exclusive access, and rights that are taken away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_dispatch import Bench as LampBench
from test_dispatch import LampDriver, Session

from myclerk_agent.access import AccessRules, Rule, Sharing, Standing
from myclerk_agent.drivers import AgentContext
from myclerk_agent.inventory import Inventory
from myclerk_agent.rights import Rights
from myclerk_drivers.base import Access, Driver, Resource
from myclerk_protocol.status import Conflict, Forbidden, Status

NONE, READ, WRITE, READ_WRITE, EXCLUSIVE = Access
REFUSED = Status.FORBIDDEN


class StringDriver(LampDriver):
    """Lamps of which one, ``lamp:string``, has bulbs as parts; requests may name bulbs by `tag`."""

    names = ("lamp:a", "lamp:b", "lamp:rail")

    def resources(self) -> Iterable[Resource]:
        yield from super().resources()
        yield Resource("lamp:string", aliases=("lamp:garland",))

    def find(self, name: str) -> Resource | None:
        if name.startswith("lamp:string/"):
            return Resource(name, aliases=(name.replace("string/", "bulb-"),), parent="lamp:string")
        return super().find(name)

    def parts(self, resource: Resource) -> Iterable[Resource]:
        return [self._bulb(n) for n in range(3)] if resource.name == "lamp:string" else []

    def parts_of(self, resource: Resource, fields: Mapping[str, Any]) -> Sequence[Resource]:
        numbers = [int(tag) for tag in str(fields.get("tag", "")).split("+") if tag.isdigit()]
        return [self._bulb(n) for n in numbers] if resource.name == "lamp:string" else (resource,)

    @staticmethod
    def _bulb(number: int) -> Resource:
        return Resource(f"lamp:string/{number}", aliases=(f"lamp:bulb-{number}",), parent="lamp:string")


class CableDriver(Driver):
    """What lamps hang on: ``cable:main``, and the lamp rail on that."""

    kind = "cable"

    def resources(self) -> Iterable[Resource]:
        return [Resource("cable:main")]


class Bench(LampBench):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.dispatcher.drivers.clear()
        self.dispatcher._bindings.clear()
        self.driver = StringDriver(AgentContext("lamp", {}, asyncio.get_running_loop()))
        self.dispatcher.bind_driver(self.driver)

    def rights(self, *rules: tuple[str, Access], sharing: Sharing | None = None, name: str = "Ann") -> Rights:
        known = AccessRules([Rule(name, *rule) for rule in rules], {name: Standing()}, sharing=sharing)
        return Rights.of(name, name, known, self.dispatcher.inventory)

    def someone(
        self, *rules: tuple[str, Access], sharing: Sharing | None = None, name: str = "Ann"
    ) -> Session:
        return Session(self, self.rights(*rules, sharing=sharing, name=name))


Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Story], None]:
    def run(story: Story) -> None:
        async def told() -> None:
            bench = Bench(tmp_path)
            try:
                await story(bench)
            finally:
                bench.driver.gate.set()
                bench.dispatcher.close()

        asyncio.run(told())

    return run


def status(answer: Mapping[str, Any]) -> int:
    return int(answer.get("status", 0))


# -- parts -------------------------------------------------------------------------------------------------


def test_a_request_is_judged_by_the_parts_that_it_uses(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.someone(("lamp:string", READ_WRITE), ("lamp:bulb-1", NONE))
        for tag, expected in (("0+now", 0), ("1", REFUSED), ("0+1", REFUSED), ("2", 0)):
            bench.driver.later = None
            request = session.ask("LAMP_LATER", resource="lamp:garland", tag=tag)
            await asyncio.sleep(0)
            if bench.driver.later is not None:
                bench.driver.later.set_result(None)
            assert status(await session.later(request)) == expected, tag
        only = bench.someone(("lamp:string/2", WRITE))
        assert status(only.now("LAMP_LATER", resource="lamp:string", tag="1")) == REFUSED
        assert status(only.now("LAMP_LATER", resource="lamp:string/1", tag="now")) == REFUSED
        assert status(only.now("LAMP_LATER", resource="lamp:string/2", tag="now")) == 0

    run(story)


def test_using_the_whole_needs_the_right_to_each_part(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.someone(("lamp:string", READ_WRITE), ("lamp:string/2", READ))
        refused = session.now("LAMP_LATER", resource="lamp:string", tag="now")
        assert status(refused) == REFUSED
        assert "lamp:string/2" in refused["message"]
        assert status(session.now("LAMP_FAIL", resource="lamp:string", how="typed")) == Status.NOT_FOUND, (
            "served"
        )
        all_of_it = bench.someone(("lamp:string", READ_WRITE), ("lamp:string/2", EXCLUSIVE))
        assert status(all_of_it.now("LAMP_LATER", resource="lamp:string", tag="now")) == 0

    run(story)


# -- the tree ----------------------------------------------------------------------------------------------


def test_taking_a_resource_needs_write_access_to_all_that_hangs_on_it(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        for rule, expected in (
            (("lamp:b", READ_WRITE), REFUSED),
            (("lamp:a", READ), REFUSED),
            (("lamp:a", WRITE), 0),
        ):
            session = bench.someone(("lamp:rail", READ_WRITE), rule)
            assert status(session.now("LAMP_OPEN", resource="lamp:rail")) == expected, rule
            session.holdings.release()
        hidden = Sharing(("*",), {"lamp:a": False})
        refused = bench.someone(("*", READ_WRITE), sharing=hidden).now("LAMP_OPEN", resource="lamp:rail")
        assert status(refused) == REFUSED
        assert "lamp:a" not in refused["message"], "what is not shared is not told"

    run(story)


def test_below_means_at_any_depth_and_of_any_kind(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        inventory = bench.dispatcher.inventory
        inventory.drivers["cable"] = CableDriver(AgentContext("cable", {}, asyncio.get_running_loop()))
        bench.driver.resources = lambda: [  # type: ignore[method-assign]
            Resource("lamp:rail", parent="cable:main"),
            Resource("lamp:a", parent="lamp:rail"),
            Resource("lamp:loop", parent="lamp:loop"),
        ]
        main = inventory.find("cable:main")
        assert [resource.name for resource in inventory.below(main)] == ["lamp:rail", "lamp:a"]
        assert [resource.name for resource in inventory.below(Resource("lamp:loop"))] == ["lamp:loop"]

    run(story)


# -- lists -------------------------------------------------------------------------------------------------


def test_lists_show_what_may_be_read(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        shown = {
            (("lamp:a", READ), ("lamp:garland", READ_WRITE)): ["lamp:a", "lamp:string"],
            (("*", READ), ("lamp:a", WRITE)): ["lamp:b", "lamp:rail", "lamp:string"],
            (("*", READ),): ["lamp:a", "lamp:b", "lamp:rail", "lamp:string"],
        }
        for rules, names in shown.items():
            assert bench.someone(*rules).now("LAMP_LIST") == {"lamps": names}
        hidden = Sharing(("*",), {"lamp:a": False, "lamp:b": False})
        seen = bench.someone(("*", READ), ("lamp:b", READ), sharing=hidden).now("LAMP_LIST")
        assert seen == {"lamps": ["lamp:b", "lamp:rail", "lamp:string"]}
        for rules in ((("lamp:a", WRITE),), (("other:*", READ),), (("*", READ), ("lamp:*", NONE))):
            assert status(bench.someone(*rules).now("LAMP_LIST")) == REFUSED

    run(story)


# -- rights that change ------------------------------------------------------------------------------------


def test_what_may_not_be_had_any_more_is_closed(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.someone(("*", READ_WRITE))
        session.now("LAMP_OPEN", resource="lamp:a")
        session.now("LAMP_OPEN", resource="lamp:b")
        watch = session.ask("LAMP_WATCH", handle=1, credit_to=5)
        session.holdings.change_rights(bench.rights(("*", READ_WRITE), ("lamp:a", READ)))
        assert bench.driver.log[-1] == "close lamp:a"
        ended = session.pushes()
        assert [(push["end"], push["status"]) for push in ended] == [(True, REFUSED)]
        assert watch not in session.holdings.streams
        for operation, fields in (("LAMP_SET", {"level": 1}), ("LAMP_CLOSE", {})):
            refused = session.now(operation, handle=1, **fields)
            assert (status(refused), refused["key"]) == (REFUSED, "handle")
            assert "taken away" in refused["message"]
        assert session.now("LAMP_SET", handle=2, level=3) == {"level": 3}
        assert "handle" in bench.someone(("*", READ_WRITE), name="Bob").now("LAMP_OPEN", resource="lamp:a")

    run(story)


def test_a_handle_that_stays_open_does_what_is_still_granted(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.someone(("*", READ_WRITE))
        handle = bench.driver.open_lamp(bench.dispatcher.find("lamp:a"))
        number = session.holdings.add_handle(handle, READ)
        session.holdings.change_rights(bench.rights(("*", READ)))
        assert status(session.now("LAMP_SET", handle=number, level=1)) == REFUSED
        assert status(session.now("LAMP_WATCH", handle=number, credit_to=1)) == 0
        session.holdings.change_rights(bench.rights(("*", READ_WRITE)))
        assert session.now("LAMP_SET", handle=number, level=1) == {"level": 1}

    run(story)


def test_what_waits_for_its_turn_is_judged_by_the_rules_of_that_time(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.someone(("*", READ_WRITE))
        session.now("LAMP_OPEN", resource="lamp:b")
        session.ask("LAMP_SLOW", resource="lamp:b", tag="stuck")
        waiting = [
            session.ask("LAMP_SET", handle=1, level=9),
            session.ask("LAMP_LATER", resource="lamp:b", tag="now"),
        ]
        session.holdings.rights = bench.rights(("*", READ))
        bench.driver.gate.set()
        for request in waiting:
            assert status(await session.later(request)) == REFUSED
        assert "set 9" not in bench.driver.log

    run(story)


def test_what_was_opened_while_its_right_was_taken_away_is_closed_again(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.someone(("*", READ_WRITE))
        lamp = bench.driver.open_lamp(bench.dispatcher.find("lamp:a"))
        session.holdings.change_rights(bench.rights(("*", READ)))
        with pytest.raises(Forbidden, match="taken away"):
            session.holdings.add_handle(lamp, READ_WRITE)
        assert bench.driver.log[-1] == "close lamp:a"
        assert session.holdings.handles == session.holdings.granted == {}

    run(story)


def test_a_stream_that_was_opened_while_its_handle_was_taken_away_is_closed_again(
    run: Callable[[Story], None],
) -> None:
    async def story(bench: Bench) -> None:
        session = bench.someone(("*", READ_WRITE))
        session.now("LAMP_OPEN", resource="lamp:a")
        (lamp,) = bench.driver.lamps
        watched = lamp.watch()

        async def opened_later() -> Any:
            return watched

        lamp.watch = opened_later  # type: ignore[method-assign,assignment]
        watch = session.ask("LAMP_WATCH", handle=1, credit_to=5)
        session.holdings.change_rights(bench.rights(("*", READ_WRITE), ("lamp:a", NONE)))
        refused = await session.later(watch)
        assert status(refused) == REFUSED
        assert "taken away" in refused["message"]
        assert session.holdings.streams == {}
        assert watched.calls == ["close"]  # type: ignore[attr-defined]

    run(story)


def test_locks_fall_and_waiting_ends_where_the_right_is_gone(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.someone(("*", READ_WRITE)), bench.someone(("*", READ_WRITE), name="Bob")
        table, find = bench.dispatcher.table, bench.dispatcher.find
        await table.lock(ann.holdings, find("lamp:a"))
        await table.lock(ann.holdings, find("lamp:b"))
        waiting = asyncio.create_task(table.lock(bob.holdings, find("lamp:b"), 30))
        joined = asyncio.create_task(table.lock(bob.holdings, find("lamp:a"), 30))
        await asyncio.sleep(0)
        bob.holdings.change_rights(bench.rights(("*", READ_WRITE), ("lamp:b", READ), name="Bob"))
        with pytest.raises(Forbidden):
            await waiting
        ann.holdings.change_rights(bench.rights(("lamp:b", WRITE)))
        await joined
        assert table.locks_of(ann.holdings) == ["lamp:b"]
        assert table.locks_of(bob.holdings) == ["lamp:a"]

    run(story)


def test_another_device_under_the_same_name_is_judged_by_its_own_names(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        session = bench.someone(("*", READ_WRITE), ("lamp:fragile", NONE))
        lamps = [Resource("lamp:a", aliases=("lamp:sturdy",))]
        bench.driver.resources = lambda: lamps  # type: ignore[method-assign]
        assert status(session.now("LAMP_LATER", resource="lamp:a", tag="now")) == 0
        lamps[0] = replace(lamps[0], aliases=("lamp:fragile",))
        assert status(session.now("LAMP_LATER", resource="lamp:a", tag="now")) == REFUSED

    run(story)


# -- exclusive access --------------------------------------------------------------------------------------


def test_exclusive_access_excludes_where_others_share(
    run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(bench: Bench) -> None:
        monkeypatch.setattr(bench.driver.handles[0], "shared", True)
        ann, again = (bench.someone(("*", EXCLUSIVE)) for _ in range(2))
        bob, eve = (bench.someone(("*", READ_WRITE), name=name) for name in ("Bob", "Eve"))
        assert (
            status(bob.now("LAMP_OPEN", resource="lamp:a"))
            == status(eve.now("LAMP_OPEN", resource="lamp:a"))
            == 0
        )
        refused = ann.now("LAMP_OPEN", resource="lamp:rail")
        assert (status(refused), refused["holder"]) == (Status.CONFLICT, "Bob")
        bob.holdings.release()
        eve.holdings.release()
        assert status(ann.now("LAMP_OPEN", resource="lamp:a")) == 0
        assert status(again.now("LAMP_OPEN", resource="lamp:a")) == 0, "the same device may have it twice"
        bob = bench.someone(("*", READ_WRITE), name="Bob")
        refused = bob.now("LAMP_OPEN", resource="lamp:rail")
        assert (status(refused), refused["holder"]) == (Status.CONFLICT, "Ann")
        with pytest.raises(Conflict):
            bench.dispatcher.table.check_claims(bob.holdings, bench.dispatcher.find("lamp:a"), shared=True)

    run(story)


def test_an_exclusive_lock_keeps_readers_out(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bob = bench.someone(("*", READ_WRITE), name="Bob")
        for mode, expected in ((READ_WRITE, Status.NOT_FOUND), (EXCLUSIVE, Status.CONFLICT)):
            ann = bench.someone(("*", mode))
            await bench.dispatcher.table.lock(ann.holdings, bench.dispatcher.find("lamp:a"))
            assert status(bob.now("LAMP_FAIL", resource="lamp:a", how="typed")) == expected
            assert status(ann.now("LAMP_FAIL", resource="lamp:a", how="typed")) == Status.NOT_FOUND
            assert status(bob.now("LAMP_FAIL", resource="lamp:b", how="typed")) == Status.NOT_FOUND
            ann.holdings.release()

    run(story)


# -- what nobody said anything of --------------------------------------------------------------------------


def test_a_resource_may_be_asked_of_an_inventory_without_its_driver() -> None:
    target = Inventory().target(Resource("lamp:a/b", aliases=("lamp:c",)))
    assert (target.names, target.wholes) == (("lamp:a/b", "lamp:c"), ())
    assert list(Inventory().parts(Resource("lamp:a"))) == []


def test_a_conflict_names_nothing_that_the_asker_may_not_know_of(run: Callable[[Story], None]) -> None:
    async def story(bench: Bench) -> None:
        bob = bench.someone(("*", READ_WRITE), name="Bob")
        assert status(bob.now("LAMP_OPEN", resource="lamp:rail")) == 0
        for sharing, named in ((Sharing(), True), (Sharing(("lamp:a",)), False)):
            ann = bench.someone(("lamp:a", READ_WRITE), sharing=sharing)
            refused = ann.now("LAMP_OPEN", resource="lamp:a")
            assert status(refused) == Status.CONFLICT
            assert ("lamp:rail" in refused["message"]) is named

    run(story)
