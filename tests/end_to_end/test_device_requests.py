"""Device requests: a hub asks, administrators decide, and what they approved can be used (draft section 6.3.5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from lab import Lab, lab

import support
from myclerk_client import BadRequest, Board, Conflict, Forbidden, NotFound, Unsupported
from tracing import Trace

pytestmark = pytest.mark.backend("simulated board")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[Lab]:
    """A board of which only CAN is shared, with a hub, a client and an administrator."""
    with lab(tmp_path_factory.mktemp("requests"), '[access]\nshared = ["can:*"]\n') as running:
        running.pair("hub", "--access", "none")
        running.pair("ann", "--access", "none")
        running.pair("boss", "--administrator")
        running.agent.command("access", "hub", "hub")
        yield running


def test_what_is_approved_can_be_used_and_handed_on(bench: Lab) -> None:
    ann = bench.fingerprint("ann")

    async def story(hub: Board, boss: Board, board: Board) -> None:
        names = {device["name"] for device in await hub.discover()}
        assert {"serial:console", "i2c:1", "can:can0"} <= names
        assert await hub.requests.list() == []
        wanted = {"serial:console": "read-write", "i2c:1": "read", "gpio:LED": "write"}
        token = (await hub.requests.create(wanted, reason="for rack 3"))["token"]
        waiting = asyncio.create_task(hub.requests.details(token, wait=30))
        listed = (await boss.requests.list(pending=True))[0]
        assert (listed["token"], listed["state"], listed["reason"]) == (token, "pending", "for rack 3")
        assert listed["asked_by"] == listed["client"] == bench.fingerprint("hub")
        details = await boss.requests.details(token)
        assert {r["resource"]: r["access"] for r in details["resources"]} == wanted
        assert not any("approved" in resource for resource in details["resources"])
        assert not waiting.done()
        with pytest.raises(Forbidden):
            await hub.serial.open("console")

        answer = "the LED is needed here"
        state = await boss.requests.approve(token, ["serial:console", "i2c:1"], answer=answer)
        assert state == "partially approved"
        decided = await waiting
        assert (decided["state"], decided["answer"]) == (state, answer)
        outcome = {r["resource"]: r["approved"] for r in decided["resources"]}
        assert outcome == {"serial:console": True, "i2c:1": True, "gpio:LED": False}
        async with await hub.serial.open("console") as port:
            await port.write(b"x")
        with pytest.raises(Forbidden):
            await hub.gpio.request("LED")
        await hub.clients.assign(ann, "serial:console")
        async with await board.serial.open("console") as port:
            await port.write(b"x")
        await hub.clients.unassign(ann, "serial:console")
        for attempt in (
            boss.requests.approve(token),
            boss.requests.reject(token),
            hub.requests.cancel(token),
        ):
            with pytest.raises(Conflict, match="partially approved"):
                await attempt

    bench.run(story, "hub", "boss", "ann")


def test_all_six_states(bench: Lab) -> None:
    ann = bench.fingerprint("ann")

    async def story(hub: Board, boss: Board) -> None:
        create = hub.requests.create
        approved = (await create(["spi:0.0"], client=ann))["token"]
        rejected = (await create(["spi:0.0"]))["token"]
        cancelled = (await create(["spi:0.0", "spi:0.1"]))["token"]
        pending = (await create(["spi:0.1"]))["token"]
        assert await boss.requests.approve(approved) == "approved"
        assert await boss.requests.reject(rejected, answer="no") == "rejected"
        await hub.requests.cancel(cancelled)
        states = {r["token"]: r["state"] for r in await hub.requests.list()}
        assert [states[token] for token in (approved, rejected, cancelled, pending)] == [
            "approved",
            "rejected",
            "cancelled",
            "pending",
        ]
        assert [r["token"] for r in await hub.requests.list(pending=True)] == [pending]
        assert (await hub.requests.details(rejected))["answer"] == "no"
        assert (await boss.access.explain("spi:0.0", ann))["access"] == "read-write"
        await hub.requests.cancel(pending)

    bench.run(story, "hub", "boss")


def test_a_request_is_for_who_asked_and_administrators(bench: Lab) -> None:
    bench.pair("other hub", "--access", "none")
    bench.agent.command("access", "hub", "other hub")

    async def story(hub: Board, other: Board, board: Board, boss: Board, root: Board) -> None:
        token = (await hub.requests.create(["spi:0.0"]))["token"]
        requests = other.requests
        for attempt in (requests.details(token), requests.cancel(token), requests.details("N" + "A" * 27)):
            with pytest.raises(NotFound):
                await attempt
        assert await requests.list() == []
        for refused in (hub.requests.approve(token), requests.approve(token), board.requests.approve(token)):
            with pytest.raises(Forbidden):
                await refused
        for refused in (
            board.requests.create(["can:can0"]),
            board.requests.list(),
            board.requests.details(token),
            board.requests.cancel(token),
        ):
            with pytest.raises(Forbidden):
                await refused
        with pytest.raises(BadRequest, match="was not asked for"):
            await boss.requests.approve(token, ["spi:0.0", "spi:0.1"])
        with pytest.raises(BadRequest):
            await boss.request("DEVICE_REQUEST_RESPOND", token=token, approve=False, resources=["spi:0.0"])
        with pytest.raises(Unsupported):
            await root.requests.create(["spi:0.0"])
        assert (await hub.requests.details(token))["state"] == "pending", "nothing of that decided it"
        await boss.requests.cancel(token)

    bench.run(story, "hub", "other hub", "ann", "boss", "root")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"devices": []}, BadRequest),
        ({"devices": [{"resource": "spi:9.9"}]}, NotFound),
        ({"devices": [{"resource": "spi:*"}]}, NotFound),
        ({"devices": [{"resource": "spi:0.0"}, {"resource": "spi:0.0"}]}, BadRequest),
        ({"devices": [{"resource": "spi:0.0", "access": 0}]}, BadRequest),
        ({"devices": [{"resource": "spi:0.0"}], "lifetime": 59.0}, BadRequest),
        ({"devices": [{"resource": "spi:0.0"}], "client": "M" + "A" * 27}, NotFound),
    ],
)
def test_bad_requests_change_nothing(bench: Lab, fields: dict[str, object], error: type[Exception]) -> None:
    async def story(hub: Board, root: Board) -> None:
        before = await root.requests.list()
        with pytest.raises(error):
            await hub.request("DEVICE_REQUEST_CREATE", **fields)
        assert await root.requests.list() == before

    bench.run(story, "hub", "root")


def test_from_the_command_lines(bench: Lab) -> None:
    home = bench.boards["hub"].directory.parent
    created = support.run_cli(
        home, "requests", "create", "gpio:SENSOR", "gpio:RELAY", "--reason", "x", "--json"
    )
    token = json.loads(created.stdout)["token"]
    shown = bench.agent.command("requests", "list", "--pending")
    assert f"{token}  pending" in shown
    assert "hub: x" in shown
    assert "gpio:RELAY  read-write" in shown
    waiting = support.run_cli(home, "requests", "list", "--pending")
    assert token in waiting.stdout.decode()
    assert bench.agent.command("requests", "approve", token, "gpio:RELAY") == "partially approved\n"
    with pytest.raises(AssertionError, match="not pending any more, it is partially approved"):
        bench.agent.command("requests", "approve", token)
    details = support.run_cli(home, "requests", "show", token).stdout.decode().splitlines()
    assert details == [
        "partially approved",
        "  gpio:RELAY  read-write  approved",
        "  gpio:SENSOR  read-write  rejected",
    ]
    again = json.loads(support.run_cli(home, "requests", "create", "spi:0.1", "--json").stdout)["token"]
    assert bench.agent.command("requests", "reject", again, "--answer", "later") == "rejected\n"
    listed = json.loads(bench.agent.command("requests", "list", "--json"))
    assert [(r["state"], r["answer"]) for r in listed if r["token"] == again] == [("rejected", "later")]
    cancelled = json.loads(support.run_cli(home, "requests", "create", "spi:0.1", "--json").stdout)["token"]
    assert support.run_cli(home, "requests", "cancel", cancelled).returncode == 0
    assert support.run_cli(home, "requests", "cancel", cancelled).returncode == 6


def test_create_waits_for_the_decision(bench: Lab) -> None:
    async def story(boss: Board) -> None:
        home = bench.boards["hub"].directory.parent
        words = ("requests", "create", "gpio:BUTTON", "--wait")
        command = asyncio.create_task(asyncio.to_thread(support.run_cli, home, *words))
        while not (pending := await boss.requests.list(pending=True)):
            await asyncio.sleep(0.05)
        await boss.requests.approve(pending[0]["token"])
        ended = await command
        assert ended.stdout.decode().splitlines()[0] == "approved"

    bench.run(story, "boss")


def test_a_revoked_hub_has_nothing_pending(bench: Lab) -> None:
    bench.pair("leaving", "--access", "none")
    bench.agent.command("access", "hub", "leaving")

    async def ask(hub: Board) -> str:
        return str((await hub.requests.create(["spi:0.0"]))["token"])

    token = bench.run(ask, "leaving")
    bench.agent.command("devices", "--revoke", "leaving")

    async def story(boss: Board) -> None:
        assert (await boss.requests.details(token))["state"] == "cancelled"
        with pytest.raises(Conflict):
            await boss.requests.approve(token)

    bench.run(story, "boss")
