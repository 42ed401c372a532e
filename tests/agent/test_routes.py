"""Routes and their priorities: whose a stream is, and that each byte goes to exactly one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from feeding import Bench, run

from myclerk_agent.routes import FILE, Routes
from myclerk_protocol.status import Conflict, NotFound, TooMany


def test_a_route_moves_the_stream_at_the_next_byte_and_back(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        await ann.join()
        await bob.join()
        assert (ann.active, bob.active) == (True, False)
        assert bob.news == [{"active": False, "at": 0, "holder": "Ann"}]
        bench.port.tap.flow(b"for Ann, ")
        route = bench.routes.create("serial:tty0", "Bob", 0).route
        bench.port.tap.flow(b"for Bob, ")
        assert (ann.hear(), bob.hear()) == (b"for Ann, ", b"for Bob, ")
        assert ann.news[-1] == {"active": False, "at": 9, "holder": "Bob"}
        assert bob.news[-1] == {"active": True, "at": 9}
        assert bench.table.holder("serial:tty0") is bob.holdings
        bench.routes.delete(route)
        bench.port.tap.flow(b"for Ann again")
        assert (ann.hear(), bob.hear()) == (b"for Ann again", b"")
        assert ann.news[-1] == {"active": True, "at": 18}

    run(tmp_path, story)


def test_of_routes_the_highest_priority_counts_then_the_newest(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        clients = {name: bench.client(name) for name in ("first", "second", "low", "high", "newer")}
        low = bench.routes.create("serial:tty0", "low", 1)
        bench.routes.create("serial:by-id-0", "high", 5)  # by another of its names
        bench.routes.create("serial:tty0", "newer", 5)
        bench.routes.create("serial:tty1", "second", 9)  # about another resource
        for client in clients.values():
            await client.join()

        def holder() -> list[str]:
            return [name for name, client in clients.items() if client.active]

        order = []
        while holder():
            (name,) = holder()
            order.append(name)
            clients.pop(name).holdings.release()
        assert order == ["newer", "high", "low", "first", "second"]
        assert bench.routes.get(low.route) == low

    run(tmp_path, story)


def test_a_change_of_priority_or_destination_takes_effect_at_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob, eve = (bench.client(name) for name in ("Ann", "Bob", "Eve"))
        for client in (ann, bob, eve):
            await client.join()
        one = bench.routes.create("serial:tty0", "Ann", 3).route
        other = bench.routes.create("serial:tty0", "Bob", 2).route
        assert ann.active
        bench.routes.set_priority(other, 4)
        assert bob.active
        bench.routes.modify(other, None, "Eve")
        assert eve.active
        bench.routes.modify(other, "serial:tty7", None)
        assert ann.active
        bench.routes.delete(one)
        assert ann.active
        assert [client.active for client in (ann, bob, eve)] == [True, False, False]

    run(tmp_path, story)


def test_routes_are_kept(tmp_path: Path) -> None:
    routes = Routes(tmp_path, lambda: 5.9)
    made = [routes.create(f"serial:tty{n}", "Ann", n) for n in range(3)]
    assert [route.route for route in made] == [1, 2, 3]
    assert made[0].created_at == 5
    routes.delete(3)
    routes.set_priority(1, 9)
    again = Routes(tmp_path, lambda: 6.0)
    assert list(again) == list(routes)
    assert again.create("serial:tty3", "Ann", 0).route == 4, "a number is not given twice"
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_routes_that_cannot_be_read_are_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_text('{"last": 1, "routes": [{"route": 1}]}')
    assert list(Routes(tmp_path, lambda: 0.0)) == []
    assert "cannot be read" in caplog.text


def test_wrong_changes_change_nothing(tmp_path: Path) -> None:
    routes = Routes(tmp_path, lambda: 0.0)
    route = routes.create("serial:tty0", "Ann", 0)
    other = routes.create("serial:tty0", "Bob", 0)
    before = list(routes)
    for wrong in (
        lambda: routes.create("serial:tty0", "Ann", 5),
        lambda: routes.modify(other.route, None, "Ann"),
    ):
        with pytest.raises(Conflict, match=f"route {route.route} "):
            wrong()
    for wrong in (
        lambda: routes.delete(9),
        lambda: routes.set_priority(9, 0),
        lambda: routes.modify(9, "a:b", None),
    ):
        with pytest.raises(NotFound):
            wrong()
    assert list(routes) == before
    routes.modify(route.route, None, "Ann")  # as it is


def test_there_are_not_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myclerk_agent.routes.MAX_ROUTES", 1)
    routes = Routes(tmp_path, lambda: 0.0)
    routes.create("serial:tty0", "Ann", 0)
    with pytest.raises(TooMany):
        routes.create("serial:tty0", "Bob", 0)


def test_of_many_changes_without_data_the_last_is_kept(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ann, bob = bench.client("Ann"), bench.client("Bob")
        await ann.join()
        await bob.join()
        ann.drop(lost=True)
        for _ in range(100):
            bench.routes.delete(bench.routes.create("serial:tty0", "Bob", 0).route)
        bench.routes.create("serial:tty0", "Bob", 0)
        ann.resume()
        assert len(ann.carrier.outbox.pushes) == 1
        ann.hear()
        assert ann.news == [{"active": False, "at": 0, "holder": "Bob"}]

    run(tmp_path, story)


@pytest.mark.parametrize("seed", range(8))
def test_every_byte_comes_once_whatever_routes_and_connections_do(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sent = chance.randbytes(20_000)

    async def story(bench: Bench) -> None:
        clients = [bench.client(name) for name in ("Ann", "Bob", "Eve", "Zoe")]
        for client in clients:
            await client.join(credit=0)
        routes = [bench.routes.create("serial:tty0", client.name, 0).route for client in clients]
        away: set[str] = set()
        left = sent
        while left or bench.port.tap.waiting:
            client = chance.choice(clients)
            act = chance.randrange(6)
            if act == 0:
                size = chance.randrange(200)
                bench.port.tap.flow(left[:size])
                left = left[size:]
            elif act == 1:
                bench.routes.set_priority(chance.choice(routes), chance.randrange(4))
            elif act == 2 and client.name not in away:
                client.hear()
                client.granted += chance.randrange(300)
                assert client.stream is not None
                client.stream.configure(client.received, client.granted)
            elif act == 3 and client.name not in away:
                client.drop(lost=chance.random() < 0.5)
                away.add(client.name)
            elif client.name in away:
                client.resume()
                away.discard(client.name)
        for client in clients:
            if client.name in away:
                client.resume()
            client.hear()
        parts = sorted(part for client in clients for part in client.parts)
        assert b"".join(data for _, data in parts) == sent
        assert [at for at, _ in parts] == [sum(len(d) for _, d in parts[:n]) for n in range(len(parts))]
        assert all(client.parts for client in clients), "each had its share"

    run(tmp_path, story)
