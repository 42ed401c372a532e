"""The driver on the simulated modems: who they are, where they are, and what it refuses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from loop_context import LoopContext
from modem_bench import OWN, bench, given_back

from myclerk_drivers.base import served_by
from myclerk_drivers.gsm import GsmDriver
from myclerk_drivers.models.modem_families import FAMILIES
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    OperationError,
    ServiceUnavailable,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_all_sixteen_operations_are_served() -> None:
    assert set(served_by(GsmDriver)) == {op.name for op in REGISTRY if 0x0670 <= op.code <= 0x067F}


def test_who_it_is_and_where(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            status = await b.call("initialise", wait=5)
            known = FAMILIES[family]
            assert (status["manufacturer"], status["model"]) == (known.manufacturer, known.model)
            assert status["family"] == {"sim868": "sim800"}.get(family, family)
            assert not status["firmware"].startswith(("+CGMR", "Revision"))
            assert (status["imei"], status["imsi"]) == ("867584030012345", "262011234567890")
            assert (status["iccid"], status["msisdn"]) == ("89490200001234567890", OWN)
            assert (status["sim"], status["pin_tries"], status["puk_tries"]) == ("ready", 3, 10)
            assert (status["messages"], status["message_room"]) == (0, known.size)
            network = await b.call("network")
            assert (network["state"], network["operator"], network["operator_code"]) == (
                "home", "Simulated Network", "26201",
            )  # fmt: skip
            assert (network["area"], network["cell"]) == (0x1A2B, 0x01C3D4E5)
            assert network["access"] == ("lte" if known.access == 7 else "gsm")
            assert set(network["domains"]) == {"circuit", "packet"} | (
                {"eps"} if known.access == 7 else set()
            )
            signal = await b.call("signal")
            assert (signal["rssi"], signal["bit_error_rate"]) == (-73.0, 0.14)
            lte = {"rsrp": -85.0, "rsrq": -9.0, "sinr": 10.0} if known.access == 7 else {}
            assert lte.items() <= signal.items()
            assert ("rsrp" in signal) is bool(lte)

    run(main())


def test_slow_registration_is_waited_for(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family, **{"registration-time": 3600}) as b:
            assert (await b.call("network"))["state"] == "searching"
            assert "rssi" not in await b.call("signal")
            with pytest.raises(ServiceUnavailable, match="no network"):
                await b.call("send", to=OWN, text="too early")
            b.modem.network.registration_time = 0.6
            b.modem.network.search(b.modem.clock())
            await b.call("initialise", wait=60)
            assert (await b.call("network"))["state"] == "home"

    run(main())


def test_the_right_one_of_several_ttys(run: Run) -> None:
    async def main() -> None:
        silent, slave = os.openpty()
        try:
            async with bench() as b:
                ports = ["/dev/does-not-exist", os.ttyname(slave), b.resource.properties["path"]]
                driver = GsmDriver(LoopContext({"ports": {"gate": ports}, "idle": 0.05}))
                modem = driver.find("gsm:gate")
                assert modem is not None
                assert (await driver.status(modem))["port"] == ports[2]
                driver.close()
                await asyncio.sleep(0.1)
        finally:
            os.close(silent)
            os.close(slave)

    run(main())


def test_a_tty_that_another_has_and_one_that_is_given_back(run: Run) -> None:
    async def main() -> None:
        from myclerk_drivers.serial import SerialDriver

        async with bench(settings={"idle": 3600.0}) as b:
            path = b.resource.properties["path"]
            number = os.stat(path).st_rdev
            serial = SerialDriver(LoopContext({"ports": {"gate": path}}))
            port = serial.find("serial:gate")
            assert port is not None
            loop = asyncio.get_running_loop()
            opened = await loop.run_in_executor(None, serial.open_port, port)
            with pytest.raises(
                Conflict, match=r"held by this agent's serial driver; .* close it there"
            ) as held:
                await b.call("status")
            assert held.value.details["holder"] == "this agent's serial driver"
            opened.close()
            await b.call("status")  # waits until the other has closed it
            with pytest.raises(Conflict, match=r"modem driver \(gsm\); `myclerk modem release`") as held:
                await loop.run_in_executor(None, serial.open_port, port)
            assert held.value.details["holder"] == "this agent's modem driver (gsm)"
            assert serial.find("serial:gate").properties["in_use"]  # type: ignore[union-attr]
            inbox = await b.stream("receive")
            with pytest.raises(Conflict, match="in use: messages are received"):
                await b.call("initialise", release=True)
            inbox.stream.close()
            await asyncio.sleep(0.05)
            assert await b.call("initialise", release=True) == {}
            opened = await loop.run_in_executor(None, serial.open_port, port)
            opened.close()
            await given_back(number)

    run(main())


def test_an_idle_modem_gives_its_tty_back(run: Run) -> None:
    async def main() -> None:
        async with bench() as b:
            await b.call("status")
            async with asyncio.timeout(10):
                while b.driver._services["port:m"].modem.port is not None:
                    await asyncio.sleep(0.01)
            await b.call("status")

    run(main())


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("send", {"to": "12;AT", "text": "x"}),
        ("send", {"to": "1", "text": "x", "data": b"x"}),
        ("send", {"to": "1"}),
        ("send", {"to": "1", "text": "x", "language": "klingon"}),
        ("send", {"to": "1", "text": "ş", "encoding": "gsm7"}),
        ("send", {"to": "+", "text": "x"}),
        ("send", {"to": "1", "text": "x" * 65535}),
        ("delete", {"statuses": ["old"]}),
        ("delete", {}),
        ("delete", {"ids": ["x" * 16], "statuses": ["read"]}),
        ("ussd", {"code": '*1#"'}),
        ("ussd", {"code": "*100#\r"}),
        ("ussd_reply", {}),
        ("ussd_reply", {"text": "x" * 183}),
        ("dial", {"to": "12;34"}),
        ("dial", {"to": "1\r"}),
        ("initialise", {"pin": "12a4"}),
        ("initialise", {"pin": "1234\n"}),
        ("initialise", {"puk": "1234"}),
        ("configure_gnss", {"constellations": ["gps", "loran"]}),
    ],
)
def test_bad_input_changes_nothing(run: Run, method: str, fields: dict[str, Any]) -> None:
    async def main() -> None:
        async with bench(pin="1234") as b:
            b.modem.sim.unlocked = True
            with pytest.raises(BadRequest):
                await b.call(method, **fields)
            assert not b.modem.messages.sent
            assert not b.modem.calls.dialed
            assert not b.modem.sim.attempts

    run(main())


@pytest.mark.parametrize(
    "settings",
    [
        {"ports": {"a": "ttyS0"}},
        {"ports": {"a": []}},
        {"baud": 1},
        {"idle": -1.0},
        {"pin": "12x4"},
        {"message-interval": 0.0},
    ],
)
def test_settings_that_make_no_sense(run: Run, settings: dict[str, Any]) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="gsm driver"):
            GsmDriver(LoopContext(settings))

    run(main())


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"m": 3}, "gsm.m"), ({"m": {"family": "nokia"}}, "gsm.m.family"), ({"m": {"speed": 3}}, "speed"),
        ({"m": {"pin": "12"}}, "gsm.m.pin"), ({"m": {"number": "abc"}}, "gsm.m.number"),
        ({"m": {"latitude": 91}}, "latitude"), ({"m": {"registration-time": -1}}, "registration-time"),
        ({"m": {"ussd": {"*1#": 3}}}, "ussd"), ({"m": {"calls": {"1": "maybe"}}}, "calls"),
        ({"m": {"faults": {"noise": 2}}}, "faults.noise"), ({"m": {"faults": {"magic": 0.1}}}, "magic"),
    ],
)  # fmt: skip
def test_a_description_that_is_wrong_is_refused_by_its_key(run: Run, table: dict[str, Any], key: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=key.replace(".", r"\.")):
            GsmDriver.simulated(LoopContext(), table)

    run(main())


def test_requests_of_many_at_once(run: Run) -> None:
    async def main() -> None:
        async with bench() as b:
            results = await asyncio.gather(
                *(
                    b.call(method)
                    for _ in range(10)
                    for method in ("status", "network", "signal", "messages")
                ),
                *(b.call("send", to="0151", text=f"{number}") for number in range(10)),
                return_exceptions=True,
            )
            assert not [r for r in results if isinstance(r, OperationError | Exception)]
            assert len(b.modem.messages.sent) == 10

    run(main())
