"""USSD, GNSS and voice calls of the simulated modems."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from loop_context import CollectingSink
from modem_bench import bench

from myclerk_drivers.models.modem_families import FAMILIES
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    NotFound,
    OperationTimeout,
    ServiceUnavailable,
    Unsupported,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_ussd(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            b.modem.ussd.answers["*104#"] = "Grüße, 7 Zeichen: é"
            b.modem.ussd.answers["*105#"] = "漢字"
            assert await b.call("ussd", code="*100#") == {"state": "done", "text": "Balance: 12.34 EUR"}
            assert (await b.call("ussd", code="*104#"))["text"] == "Grüße, 7 Zeichen: é"
            assert (await b.call("ussd", code="*105#"))["text"] == "漢字"
            with pytest.raises(Conflict, match="no USSD dialogue"):
                await b.call("ussd_reply", text="1")
            menu = await b.call("ussd", code="*101#")
            assert menu == {"state": "waiting", "text": "1 Balance\n2 Data"}
            assert (await b.call("ussd_reply", text="2"))["state"] == "waiting"
            assert await b.call("ussd_reply", text="1") == {"state": "done", "text": "Done"}
            await b.call("ussd", code="*101#")
            assert await b.call("ussd_reply", text="é~") == {"state": "terminated"}
            assert b.modem.character_set == "IRA"
            await b.call("ussd", code="*101#")
            await b.call("ussd_reply", cancel=True)
            with pytest.raises(ServiceUnavailable):
                await b.call("ussd", code="*999#")
            b.modem.ussd.delay = 3600
            with pytest.raises(OperationTimeout):
                await b.call("ussd", code="*100#", timeout=0.2)

    run(main())


def test_gnss(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(
            family, **{"time-to-fix": 0.3, "latitude": -33.856784, "longitude": 151.215297}
        ) as b:
            if not FAMILIES[family].gnss:
                with pytest.raises(Unsupported, match="SIM800L"):
                    await b.call("gnss", enabled=True)
                return
            b.modem.gnss.moment = 1700000000
            with pytest.raises(Conflict, match="off"):
                await b.call("position")
            for _ in range(2):
                assert await b.call("gnss", enabled=True) == {"enabled": True}
            assert await b.call("position") == {}
            with pytest.raises(OperationTimeout):
                await b.call("position", timeout=0.01)
            found = (await b.call("position", timeout=20))["position"]
            assert found["latitude"] == pytest.approx(-33.856784, abs=1e-5)
            assert found["longitude"] == pytest.approx(151.215297, abs=1e-5)
            assert (found["timestamp"], found["altitude"]) == (1700000000, 34.5)
            assert found["speed"] == pytest.approx(1.0, abs=0.05)
            assert (found["hdop"], found["pdop"], found["vdop"]) == (0.9, 1.5, 1.2)
            assert found["satellites"] >= 9
            await b.call("gnss", enabled=False)
            assert not b.modem.gnss.is_on

    run(main())


def test_constellations(run: Run) -> None:
    async def main() -> None:
        async with bench("sim7600") as b:
            wanted = ["gps", "beidou", "qzss"]
            assert (await b.call("configure_gnss", constellations=wanted))["constellations"] == wanted
            with pytest.raises(BadRequest):
                await b.call("configure_gnss", constellations=["glonass"])
        async with bench("ec25") as b:
            wanted = ["gps", "galileo"]
            assert (await b.call("configure_gnss", constellations=wanted))["constellations"] == wanted
            with pytest.raises(Unsupported, match="gps glonass"):
                await b.call("configure_gnss", constellations=["gps", "qzss"])
        async with bench("sim868") as b:
            with pytest.raises(Unsupported):
                await b.call("configure_gnss", constellations=["gps"])

    run(main())


def test_positions_are_recorded_also_over_a_restart(run: Run) -> None:
    async def main() -> None:
        async with bench("ec25") as b:
            await b.call("configure_gnss", record_interval=0.02, record_limit=3)
            for step in range(6):
                b.modem.gnss.latitude = 10.0 + step
                while not any(
                    p["latitude"] == 10.0 + step for p in (await b.call("position", history=True))["history"]
                ):
                    await asyncio.sleep(0.01)
                if step == 2:
                    b.modem.power_on()
                    assert not b.modem.gnss.is_on
            found = await b.call("position", history=True)
            assert [p["latitude"] for p in found["history"]] == [13.0, 14.0, 15.0]
            assert found["next"] == 6
            assert (await b.call("position", history=True, since=5))["history"] == found["history"][2:]
            assert (await b.call("position", history=True, since=3, limit=1))["next"] == 4
            await b.call("configure_gnss", record_interval=0)
            b.modem.gnss.latitude = 20.0
            await asyncio.sleep(0.1)
            assert (await b.call("position", history=True))["next"] == 6

    run(main())


def states(events: list[Any]) -> list[str]:
    return [event["state"] for event in events]


def test_a_call_that_is_answered_and_ended_by_the_other_side(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            call = await b.stream("dial", to="+4915112345")
            await call.until(lambda: "active" in states(call.events))
            b.modem.calls.far_end_hangs_up()
            await call.until(lambda: call.ended)
            assert call.events[-1]["state"] == "ended"
            assert call.events[-1]["reason"] == "remote"
            assert call.error is None
            assert call.events[0]["party"] == "+4915112345"

    run(main())


@pytest.mark.parametrize(
    ("answer", "reason"), [("busy", "busy"), ("no-answer", "no-answer"), ("no-carrier", "remote")]
)
def test_a_call_that_fails(run: Run, family: str, answer: str, reason: str) -> None:
    async def main() -> None:
        async with bench(family, calls={"123": answer}) as b:
            call = await b.stream("dial", to="123")
            await call.until(lambda: call.ended)
            assert states(call.events)[-1] == "ended"
            assert call.events[-1]["reason"] == reason
            assert "active" not in states(call.events)

    run(main())


def test_a_call_that_is_over_before_its_stream_begins(run: Run) -> None:
    async def main() -> None:
        async with bench(calls={"123": "busy"}) as b:
            watch = await b.stream("answer", watch=True)
            stream = await b.call("dial", to="123")
            await watch.until(lambda: "ended" in states(watch.events))
            call = CollectingSink(stream, 10).start()
            assert (call.ended, call.events[0]["reason"]) == (True, "busy")

    run(main())


def test_a_call_ends_with_its_stream(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            call = await b.stream("dial", to="123")
            await call.until(lambda: "active" in states(call.events))
            call.stream.close()
            async with asyncio.timeout(10):
                while b.modem.calls.current is not None:
                    await asyncio.sleep(0.01)

    run(main())


def test_a_call_that_comes_in(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            with pytest.raises(Conflict, match="no call rings"):
                await b.call("answer")
            watch = await b.stream("answer", watch=True)
            await b.call("status")
            b.modem.calls.ring("+4915112345")
            await watch.until(lambda: bool(watch.events))
            assert (watch.events[0]["state"], watch.events[0]["party"]) == ("incoming", "+4915112345")
            assert watch.events[0]["direction"] == "incoming"
            call = await b.stream("answer")
            await call.until(lambda: "active" in states(call.events))
            assert (await b.call("hang_up", call=call.events[0]["call"]))["ended"] == 1
            await call.until(lambda: call.ended)
            assert call.events[-1]["reason"] == "local"
            await watch.until(lambda: "ended" in states(watch.events))
            with pytest.raises(NotFound):
                await b.call("hang_up", call=1)
            assert (await b.call("hang_up"))["ended"] == 0
            b.modem.calls.ring("0151")
            await watch.until(lambda: watch.events[-1]["state"] == "incoming")
            b.modem.calls.far_end_hangs_up()
            await watch.until(lambda: watch.events[-1]["state"] == "ended")

    run(main())
