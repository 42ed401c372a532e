"""A walk through every operation of the registry, over the network, by devices that may not do it.

Requests are made up from the schema, so that an operation that is added is walked through, too. One device holds no
right, one may read, one had everything open when its rights were taken away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from lab import Lab, lab

from myclerk_agent.drivers import installed
from myclerk_agent.service import SYSTEM_OPERATIONS
from myclerk_client import Board, Forbidden, OperationError
from myclerk_client.calls import Call
from myclerk_drivers.base import Access, served_by
from myclerk_protocol.operations import OPERATIONS, Operation
from myclerk_protocol.schema import MapType, Schema
from myclerk_protocol.status import Status
from samples import request_of
from tracing import Trace

pytestmark = pytest.mark.backend("simulated board")

BY_THE_SESSION = frozenset({"session", "key"})
"""Families that belong to the session itself, whatever the rights; tests/session attacks those."""
WALKED = [op for op in OPERATIONS if op.family not in BY_THE_SESSION or op.name == "SESSION_REVOKE"]
OWN = frozenset(
    {"ACL_GET", "CLIENT_HEARTBEAT", "CLIENT_INFO", "CLIENT_STATUS", "DEVICE_UNSUBSCRIBE", "STREAM_CONFIGURE",
     "STREAM_PAUSE", "STREAM_QUALITY", "STREAM_RESUME", "STREAM_STOP"}
)  # fmt: skip
"""What is for everybody, as it is about oneself and one's own streams."""
RESOURCES = {"gpio": "gpio:gpiochip0/1", "i2c": "i2c:1/0x50", "onewire": "w1:28-0000075f4d2c"}
"""For which resource of a family operations are asked, where the first that is listed does not do."""
ENTRY = {"pattern": "serial:*", "access": 3}
SHAPES: dict[str, dict[str, Any]] = {
    "I2C_TRANSFER": {"messages": [{"address": 0x50, "write": b"\0"}]},
    "ONEWIRE_SEARCH": {"resource": "w1:w1_bus_master1"},
    "ONEWIRE_RESET": {"resource": "w1:w1_bus_master1"},
    "ONEWIRE_READ_ROM": {"resource": "w1:w1_bus_master1"},
    "ONEWIRE_SKIP_ROM": {"resource": "w1:w1_bus_master1"},
    "GPIO_PWM_CONFIGURE": {"resource": "gpio:pwmchip0/0"},
    "I2C_BUS_SCAN": {"resource": "i2c:1"},
}
"""Where the smallest request that fits the schema makes no sense to the driver."""


def needs() -> dict[str, Access]:
    """What each operation that is served declares to need."""
    owners: list[type] = list(SYSTEM_OPERATIONS)
    for point in installed().values():
        driver = point.load()
        owners += [driver, *driver.handles]
    return {name: serving.access for owner in owners for name, (_, serving) in served_by(owner).items()}


NEEDS = needs()


def fields_of(operation: Operation, rule: MapType, someone: str, there: Mapping[str, str]) -> dict[str, Any]:
    """A request for an operation that would make sense, from somebody who may; ``there``: kind -> a resource."""
    named = {
        "resource": RESOURCES.get(operation.family) or there.get(operation.family, "serial:console"),
        "client": someone,
        "subject": someone,
        "pattern": "serial:*",
        "rules": [ENTRY],
        "devices": [{"resource": "serial:console"}],
        "handle": 1,
        "stream": 1,
        "route": 1,
        "session_id": 1,
        "token": "N" + "A" * 27,
        "period_ns": 1_000_000,
    }
    return request_of(rule, {**named, **SHAPES.get(operation.name, {})})


async def ask(board: Board, operation: Operation, fields: dict[str, Any], *, legacy: bool = False) -> int:
    """The status of an operation asked by code, whether or not this client knows it."""
    schema = Schema.load()
    rule, response = schema.request(operation.name), schema.response(operation.name)
    payload = rule.encode(fields) if rule is not None else b""
    code = operation.legacy if legacy and operation.legacy is not None else operation.code
    future: asyncio.Future[dict[str, Any]] = board.link.new_future()
    call = Call(operation.name, code, 3, payload, response or schema.map("device-unlock-response"), future)
    call.deadline = board.link.loop.time() + 30
    board.link._submit(call)
    try:
        await future
    except OperationError as error:
        return int(error.status)
    return 0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("walk"), '[access]\nshared = ["*"]\n') as running:
        running.pair("victim")
        running.pair("nobody", "--access", "none")
        running.pair("reader", "--access", "read")
        running.pair("stripped", "--access", "read-write")
        yield running


async def one_of_each(root: Board) -> dict[str, str]:
    """A resource of each kind."""
    return {device["kind"]: device["name"] for device in reversed(await root.discover())}


async def state(root: Board) -> list[Any]:
    """All that an attacker might have changed, as an administrator sees it."""
    devices = [
        {key: d.get(key) for key in ("name", "shared", "held_by", "locked_by")} for d in await root.discover()
    ]
    lines = await root.request("GPIO_LINE_INFO", resource="gpio:gpiochip0")
    clients = [{**c, "last_seen": 0, "connected": None, "activity": None} for c in await root.clients.list()]
    return [
        devices,
        clients,
        await root.access.show(),
        await root.requests.list(),
        await root.request("ROUTE_LIST"),
        lines,
        (await root.request("I2C_READ_BLOCK", resource="i2c:1/0x50", register=0, size=16))["data"],
        (await root.request("ONEWIRE_READ", resource="w1:28-0000075f4d2c", settings=True))["settings"],
    ]


def test_who_holds_no_right_gets_nothing(bench: Lab) -> None:
    victim = bench.fingerprint("victim")

    async def story(root: Board, board: Board) -> None:
        served = set(await root.operations())
        before, there = await state(root), await one_of_each(root)
        for operation in WALKED:
            rule = Schema.load().request(operation.name)
            fields = {} if rule is None else fields_of(operation, rule, victim, there)
            for legacy in (False, True) if operation.legacy is not None else (False,):
                status = await ask(board, operation, fields, legacy=legacy)
                if operation.name not in served:
                    assert status in (Status.UNSUPPORTED, Status.BAD_REQUEST), operation.name
                elif operation.name in OWN:
                    assert status in (Status.OK, Status.NOT_FOUND, Status.FORBIDDEN), operation.name
                else:
                    refused = (Status.FORBIDDEN, Status.NOT_FOUND)
                    assert status in refused, f"{operation.name}: {Status(status).name}"
                if rule is not None and "resource" in fields and operation.name in served:
                    assert status == Status.FORBIDDEN, operation.name
        assert await state(root) == before
        for own in (await board.access.show(), await board.clients.info()):
            assert victim not in str(own)
        with pytest.raises(Forbidden):
            await board.access.show(victim)
        with pytest.raises(Forbidden):
            await board.clients.status(victim)

    bench.run(story, "root", "nobody")


def test_who_may_read_changes_nothing(bench: Lab) -> None:
    victim = bench.fingerprint("victim")

    async def story(root: Board, board: Board) -> None:
        served = set(await root.operations())
        channel = (await board.request("CAN_INTERFACE_OPEN", resource="can:can0"))["handle"]
        before, there = await state(root), await one_of_each(root)
        for operation in WALKED:
            rule = Schema.load().request(operation.name)
            if (
                operation.name not in served
                or rule is None
                or operation.name in ("STREAM_STOP", "CAN_INTERFACE_CLOSE")
            ):
                continue
            fields = fields_of(operation, rule, victim, there)
            if "handle" in fields:
                fields["handle"] = channel
            status = await ask(board, operation, fields)
            need, name = NEEDS[operation.name], f"{operation.name}: {Status(status).name}"
            if "handle" in fields and operation.family != "can":
                assert status in (Status.BAD_REQUEST, Status.FORBIDDEN), name
            elif operation.name in OWN:
                assert status != Status.UNAUTHORIZED, name
            elif (
                need is Access.READ and operation.name != "STREAM_START"
            ):  # which needs more for serial ports
                assert status != Status.FORBIDDEN, name
            elif operation.name != "STREAM_DATA":
                assert status == Status.FORBIDDEN, name
        await board.request("CAN_INTERFACE_CLOSE", handle=channel)
        for stream in list(board.link._streams):
            await board.request("STREAM_STOP", stream=stream)
        after = await state(root)
        assert after == before

    bench.run(story, "root", "reader")


def test_who_had_everything_open_keeps_nothing(bench: Lab) -> None:
    victim, stripped = bench.fingerprint("victim"), bench.fingerprint("stripped")

    async def story(root: Board, board: Board) -> None:
        before, there = await state(root), await one_of_each(root)
        handles: dict[str, list[int]] = {
            "serial": [(await board.request("SERIAL_PORT_OPEN", resource="serial:console"))["handle"]],
            "spi": [(await board.request("SPI_DEVICE_OPEN", resource="spi:0.1"))["handle"]],
            "can": [(await board.request("CAN_INTERFACE_OPEN", resource="can:can0"))["handle"]],
            "gpio": [
                (await board.request("GPIO_LINE_REQUEST", resource="gpio:gpiochip0/1"))["handle"],
                (await board.request("GPIO_PWM_CONFIGURE", resource="gpio:pwmchip0/0", period_ns=10**6))[
                    "handle"
                ],
            ],
        }
        await board.lock("w1:w1_bus_master1").acquire()
        await root.access.set(stripped, {})
        rules = await root.access.show(stripped)
        assert rules["rules"] == []
        for operation in WALKED:
            rule = Schema.load().request(operation.name)
            if rule is None or "handle" not in {field.name for field in rule.fields}:
                continue
            for number in handles.get(operation.family, ()):
                fields = {**fields_of(operation, rule, victim, there), "handle": number}
                assert await ask(board, operation, fields) == Status.FORBIDDEN, operation.name
        await root.access.set(stripped, {"*": "read-write"})
        assert await state(root) == before, "everything was given back"

    bench.run(story, "root", "stripped")


def test_refused_attempts_are_in_the_audit_log(bench: Lab) -> None:
    nobody = bench.fingerprint("nobody")
    refused = {record["action"] for record in bench.audit() if record["outcome"] == "forbidden"}
    assert {"SERIAL_PORT_OPEN", "ACL_GRANT", "CLIENT_REVOKE", "DEVICE_DISCOVER", "I2C_READ_BYTE"} <= refused
    assert any(record["actor"] == nobody for record in bench.audit())
