"""Rules in force: who may do what, on a simulated board, from several paired devices at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab, lab

from myclerk_client import Board, Conflict, DeviceGone, Forbidden, NotFound, OperationError, SessionLost, i2c
from tracing import Trace

pytestmark = pytest.mark.backend("simulated board")

SETTINGS = '[access]\nshared = ["*"]\n'


@pytest.fixture
def bench(tmp_path: Path, trace: Trace) -> Iterator[Lab]:
    with lab(tmp_path, SETTINGS) as running:
        yield running


def refused(answer: pytest.ExceptionInfo[OperationError]) -> str:
    return answer.value.message


def test_a_rule_for_one_resource_is_for_that_alone(bench: Lab) -> None:
    ann = bench.pair("ann", "--access", "none")

    async def story(root: Board, board: Board) -> None:
        with pytest.raises(Forbidden):
            await board.devices()
        await root.access.grant(ann, "serial:console")
        assert [device["name"] for device in await board.devices()] == ["serial:console"]
        assert [port["name"] for port in await board.serial.list()] == ["serial:console"]
        async with await board.serial.open("console") as port:
            await port.write(b"echo")
            assert await port.read_exactly(4, timeout=10) == b"echo"
        for attempt in (board.can.list(), board.spi.open("0.1"), board.gpio.request("LED")):
            with pytest.raises(Forbidden):
                await attempt
        await root.access.revoke(ann, "serial:console")
        with pytest.raises(Forbidden):
            await board.serial.open("console")

    bench.run(story, "root", "ann")


def test_what_is_taken_away_is_closed_at_once(bench: Lab) -> None:
    ann = bench.pair("ann")

    async def story(root: Board, board: Board) -> None:
        port = await board.serial.open("console")
        bus = await board.can.open("can0")
        async with board.lock("i2c:1"):
            reading = asyncio.create_task(port.read(timeout=30))
            await port.write(b"")
            await asyncio.sleep(0)
            await root.access.grant(ann, "serial:*", "none")
            await root.access.grant(ann, "i2c:1", "read")
            with pytest.raises(Forbidden, match="taken away"):
                await reading
            with pytest.raises(Forbidden, match="taken away"):
                await port.write(b"more")
            async with await root.serial.open("console") as again:
                await again.write(b"now mine")
            async with root.lock("i2c:1"):
                pass
            assert (await bus.status())["state"]
            with pytest.raises(NotFound):
                await board.request("DEVICE_UNLOCK", resource="can:can0")
            await root.access.grant(ann, "i2c:1")
            await board.lock("i2c:1").acquire()
        await root.access.revoke(ann, "serial:*")
        async with await board.serial.open("console") as port:
            await port.write(b"x")

    bench.run(story, "root", "ann")


def test_lines_and_addresses_have_rules_of_their_own(bench: Lab) -> None:
    ann, bob = bench.pair("ann"), bench.pair("bob", "--access", "none")

    async def story(root: Board, one: Board, other: Board) -> None:
        await root.access.grant(ann, "gpio:RELAY", "none")
        await root.access.grant(ann, "i2c:1/0x50", "read")
        await root.access.grant(bob, "gpio:gpiochip0/3")
        await root.access.grant(bob, "i2c:1/0x48")

        async with await one.gpio.request({"LED": True}) as led:
            await led.set({"LED": False})
        for lines in ("RELAY", {"LED": True, "RELAY": True}):
            with pytest.raises(Forbidden, match="gpiochip0/3"):
                await one.gpio.request(lines, chip="gpiochip0")
        with pytest.raises(Forbidden, match="gpiochip0/3"):
            await one.request("GPIO_LINE_INFO", resource="gpio:gpiochip0")
        assert (
            len((await one.request("GPIO_LINE_INFO", resource="gpio:gpiochip0", lines=[1, 2]))["lines"]) == 2
        )

        async with await other.gpio.request("RELAY", chip="gpiochip0") as relay:
            assert await relay.value() is False
        with pytest.raises(Forbidden):
            await other.gpio.request("LED")
        assert {d["name"] for d in await other.devices()} == {"gpio:gpiochip0/3", "i2c:1/0x48"}
        assert await other.gpio.list() == []

        assert len(await other.i2c.bus(1).transfer(i2c.read(0x48, 2))) == 1
        for messages in ((i2c.read(0x50, 1),), (i2c.read(0x48, 1), i2c.read(0x50, 1))):
            for board in (one, other):
                with pytest.raises(Forbidden, match="0x50"):
                    await board.i2c.bus(1).transfer(*messages)
        assert await one.i2c.bus(1).transfer(i2c.read(0x48, 2))
        with pytest.raises(Forbidden, match="0x50"):
            await one.request("I2C_BUS_SCAN", resource="i2c:1")

    bench.run(story, "root", "ann", "bob")


def test_a_device_on_a_bus_of_1_wire_may_be_withheld(bench: Lab) -> None:
    ann = bench.pair("ann")

    async def story(root: Board, board: Board) -> None:
        await root.access.grant(ann, "w1:28-0000075f4d2c", "none")
        rom = "28-0000075f4d2c"
        assert await board.onewire.temperature("28-0000075f4d2d") == -4
        asked = {"resource": "w1:w1_bus_master1", "rom": rom, "data": b"\xbe", "read": 9}
        for operation, fields in (
            ("ONEWIRE_WRITE", asked),
            ("ONEWIRE_WRITE", {**asked, "rom": rom.upper()}),
            ("ONEWIRE_MATCH_ROM", {"resource": "w1:w1_bus_master1", "rom": rom}),
            ("ONEWIRE_SKIP_ROM", {"resource": "w1:w1_bus_master1"}),
            ("ONEWIRE_READ", {"resource": "w1:w1_bus_master1", "temperature": True}),
        ):
            with pytest.raises(Forbidden, match=rom):
                await board.request(operation, **fields)
        listed = (await board.onewire.list())[0]
        assert [slave["rom"] for slave in listed["slaves"]] == ["28-0000075f4d2d"]

    bench.run(story, "root", "ann")


def test_what_is_not_shared_does_not_seem_to_be_there(bench: Lab) -> None:
    ann = bench.pair("ann", "--access", "exclusive")
    hub = bench.pair("hub")
    bench.pair("boss", "--administrator", "--access", "none")
    bench.agent.command("access", "hub", "hub")

    async def story(root: Board, board: Board, helper: Board, boss: Board) -> None:
        assert await root.access.share("serial:console", False) is False
        assert await root.access.share("gpio:gpiochip0", False) is False
        listed = {device["name"] for device in await board.devices()}
        assert {"i2c:1", "gpio:pwmchip0"} <= listed, "these are still shared"
        assert not {"serial:console", "gpio:gpiochip0"} & listed
        assert await board.serial.list() == []
        names = {
            "serial:console": "serial:nothing",
            "gpio:LED": "gpio:NOTHING",
            "gpio:gpiochip0/1": "gpio:gpiochip7/1",
        }
        for hidden, absent in names.items():
            for operation, fields in (
                ("DEVICE_INFO", {}),
                ("DEVICE_LOCK", {}),
                ("DEVICE_CAPABILITIES", {}),
                ("ACL_GET", {}),
                ("SERIAL_PORT_OPEN" if "serial" in hidden else "GPIO_LINE_REQUEST", {}),
            ):
                messages = []
                for name in (hidden, absent):
                    with pytest.raises(NotFound) as error:
                        await board.request(operation, resource=name, **fields)
                    messages.append(refused(error).replace(name, "it"))
                assert messages[0] == messages[1], "nothing tells the two apart"
        with pytest.raises(NotFound):
            await board.request("GPIO_LINE_REQUEST", resource="gpio:gpiochip0", lines=[{"line": 77}])
        with pytest.raises(Forbidden):
            await board.discover()

        everything = {device["name"]: device["shared"] for device in await helper.discover()}
        assert (everything["serial:console"], everything["can:can0"]) == (False, True)
        with pytest.raises(Forbidden):
            await helper.serial.open("console")
        async with await boss.serial.open("console") as port:
            await port.write(b"administrators may")

        await root.clients.assign(ann, "serial:console", "read-write")
        assert "serial:console" in {device["name"] for device in await board.devices()}
        async with await board.serial.open("console") as port:
            await port.write(b"assigned")
        await root.clients.unassign(ann, "serial:console")
        with pytest.raises(NotFound):
            await board.serial.open("console")
        assert await root.access.share("serial:console", None) is True
        async with await board.serial.open("console") as port:
            await port.write(b"shared")
        assert await boss.clients.find("hub") == hub

    bench.run(story, "root", "ann", "hub", "boss")


def test_exclusive_access_keeps_readers_out(bench: Lab) -> None:
    ann, _ = bench.pair("ann", "--access", "none"), bench.pair("bob")

    async def story(root: Board, one: Board, other: Board) -> None:
        await root.access.grant(ann, "can:can0", "exclusive")
        await root.access.grant(ann, "can:can1", "read-write")
        await root.access.grant(ann, "i2c:1", "exclusive")
        async with await one.can.open("can1"), await other.can.open("can1"):
            pass
        async with await one.can.open("can0"):
            with pytest.raises(Conflict, match="ann"):
                await other.can.open("can0")
            async with await one.can.open("can0"):
                pass
        async with await other.can.open("can0"):
            with pytest.raises(Conflict, match="bob"):
                await one.can.open("can0")
        await root.access.grant(bench.fingerprint("bob"), "i2c:1", "read-write")
        async with one.lock("i2c:1"):
            with pytest.raises(Conflict, match="locked by ann"):
                await other.i2c.bus(1).transfer(i2c.read(0x48, 2))

    bench.run(story, "root", "ann", "bob")


def test_groups(bench: Lab) -> None:
    ann, bob = bench.pair("ann", "--access", "none"), bench.pair("bob", "--access", "none")

    async def story(root: Board, one: Board, other: Board) -> None:
        await root.access.set("@lab", {"can:*": "read-write", "serial:*": "read"}, members=[ann, bob])
        async with await one.can.open("can0"), await other.can.open("can0"):
            pass
        await root.access.grant(bob, "can:*", "none")
        with pytest.raises(Forbidden):
            await other.can.open("can0")
        await root.access.set("@lab", members=[bob])
        with pytest.raises(Forbidden):
            await one.can.open("can0")
        assert await one.access.show() == {"rules": [], "groups": []}
        shown = await other.access.show()
        assert shown["groups"] == [{"name": "@lab", "members": [bob]}]
        assert {rule["pattern"] for rule in shown["rules"]} == {"can:*", "serial:*"}
        explained = await other.access.explain("can:can0")
        assert (explained["access"], explained["rule"]["subject"]) == ("none", bob)
        with pytest.raises(Forbidden):
            await other.access.show(ann)

    bench.run(story, "root", "ann", "bob")


def test_a_hub_hands_on_what_it_has_and_no_more(bench: Lab) -> None:
    ann = bench.pair("ann", "--access", "none")
    hub, boss = bench.pair("hub", "--access", "none"), bench.pair("boss", "--administrator")
    bench.agent.command("access", "hub", "hub")
    bench.agent.command("access", "grant", "hub", "serial:*", "read-write")
    bench.agent.command("access", "grant", "ann", "can:can1", "read")
    bench.agent.command("share", "serial:console", "--no")
    bench.agent.command("access", "grant", "hub", "spi:*", "read")

    async def story(root: Board, helper: Board, board: Board) -> None:
        for subject, pattern, mode in (
            (ann, "serial:console", "read-write"),  # not shared, not assigned to it
            (ann, "can:can0", "read"),
            (ann, "*", "read"),
            (ann, "spi:0.1", "read-write"),
            (hub, "can:can0", "read-write"),
            (boss, "serial:*", "none"),
            (ann, "can:can1", "none"),  # an administrator's rule
        ):
            with pytest.raises(Forbidden):
                await helper.access.grant(subject, pattern, mode)
        for attempt in (
            helper.access.set("@lab", members=[hub]),
            helper.access.set(hub, hub=True),
            helper.access.revoke(ann, "can:can1"),
            helper.clients.revoke(ann),
            helper.access.share("serial:console", True),
        ):
            with pytest.raises(Forbidden):
                await attempt
        await helper.clients.assign(ann, "spi:0.1", "read")
        assert [device["name"] for device in await board.devices("spi")] == ["spi:0.1"]
        await root.clients.assign(hub, "serial:console")
        await helper.clients.assign(ann, "serial:console")
        port = await board.serial.open("console")
        await root.access.revoke(hub, "serial:console")
        with pytest.raises(Forbidden, match="taken away"):
            await port.write(b"what the hub lost, it does not give")
        await helper.clients.unassign(ann, "serial:console")
        with pytest.raises(NotFound):
            await helper.clients.unassign(ann, "serial:console")

    bench.run(story, "root", "hub", "ann")


def test_a_command_changes_rights_at_once(bench: Lab) -> None:
    bench.pair("ann", "--access", "none")
    command = bench.agent.command

    async def story(board: Board) -> None:
        for words, allowed in (
            (("access", "grant", "ann", "serial:*"), True),
            (("access", "revoke", "ann", "serial:*"), False),
            (("groups", "add", "@lab", "ann"), False),
            (("access", "grant", "@lab", "serial:*"), True),
            (("groups", "remove", "@lab", "ann"), False),
        ):
            await asyncio.to_thread(command, *words)
            try:
                await (await board.serial.open("console")).close()
                assert allowed, words
            except Forbidden:
                assert not allowed, words

    bench.run(story, "ann")
    command("access", "grant", "ann", "serial:*", "read")
    assert "read; the rule ann serial:* read decided" in command("access", "explain", "ann", "serial:console")
    explained = json.loads(command("access", "explain", "ann", "serial:console", "--json"))
    assert (explained["access"], explained["rule"]["pattern"]) == ("read", "serial:*")
    assert "@lab  serial:*  read-write" in command("access", "show")
    shown = json.loads(command("access", "show", "ann", "--json"))
    assert [rule["pattern"] for rule in shown["rules"]] == ["serial:*"]
    records = [r for r in bench.audit() if r["action"] == "ACL_GRANT"]
    assert {record["outcome"] for record in records} == {"ok"}
    assert any("serial:*" in record["resource"] for record in records)


def test_commands_work_without_a_running_agent_too(bench: Lab) -> None:
    bench.pair("ann", "--access", "none")
    bench.agent.stop()
    bench.agent.command("access", "grant", "ann", "serial:*", "read-write")
    bench.agent.command("groups", "add", "@lab", "ann")
    bench.agent.command("share", "can:can0", "--no")
    assert "can:can0 is not shared" in bench.agent.command("access", "show")
    assert "serial:console: read-write" in bench.agent.command("access", "explain", "ann", "serial:console")
    bench.agent.start()

    async def story(board: Board) -> None:
        async with await board.serial.open("console") as port:
            await port.write(b"x")

    bench.run(story, "ann")


def test_a_session_that_lingers_loses_what_was_taken_away(bench: Lab) -> None:
    ann = bench.pair("ann")

    async def story(root: Board, board: Board) -> None:
        port = await board.serial.open("console")
        board.link.drop_connection()
        await root.access.grant(ann, "serial:*", "none")
        with pytest.raises((Forbidden, SessionLost, DeviceGone)):
            await port.write(b"x")

    bench.run(story, "root", "ann")
