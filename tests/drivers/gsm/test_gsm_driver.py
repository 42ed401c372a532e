"""The driver on the three simulated modems: every operation, and what happens when things go wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from loop_context import CollectingSink, LoopContext
from modem_bench import Bench, bench, given_back, texts

from myclerk_drivers.base import served_by
from myclerk_drivers.gsm import GsmDriver
from myclerk_drivers.models.modem_families import FAMILIES
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    HardwareError,
    NotFound,
    OperationError,
    OperationTimeout,
    ServiceUnavailable,
    Unsupported,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]
OWN = "+491701234567"


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each modem in turn."""
    return str(request.param)


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
        async with bench(family, **{"registration-time": 0.6}) as b:
            assert (await b.call("network"))["state"] == "searching"
            assert "rssi" not in await b.call("signal")
            with pytest.raises(ServiceUnavailable, match="no network"):
                await b.call("send", to=OWN, text="too early")
            await b.call("initialise", wait=10)
            assert (await b.call("network"))["state"] == "home"

    run(main())


def test_messages_there_and_back(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            inbox = await b.stream("receive")
            long = "Grüße aus dem Schacht [€] " * 12
            for text in ("short", long, "漢字 und 🚪", ""):
                answer = await b.call("send", to=OWN, text=text)
                assert len(answer["references"]) == answer["parts"]
            await inbox.until(lambda: len(texts(inbox)) == 4)
            assert sorted(texts(inbox)) == sorted(["short", long, "漢字 und 🚪", ""])
            message = inbox.events[0]["message"]
            assert message["sender"] == OWN
            assert message["complete"]
            listed = (await b.call("messages"))["messages"]
            assert {m["id"] for m in listed} == {e["message"]["id"] for e in inbox.events}
            assert (await b.call("delete", ids=[m["id"] for m in listed]))["deleted"] == 6
            assert (await b.call("messages"))["messages"] == []
            await b.call("send", to=OWN, data=b"\x00\xff", ports=[2948, 9200])
            await inbox.until(lambda: len(inbox.events) == 5)
            assert inbox.events[-1]["message"]["data"] == b"\x00\xff"
            assert inbox.events[-1]["message"]["ports"] == [2948, 9200]
            assert len(b.modem.messages.memory) == 1

    run(main())


def test_delivery_reports_and_flash_messages(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            inbox = await b.stream("receive")
            answer = await b.call("send", to="+4915112345", text="hi", report=True)
            await inbox.until(lambda: bool(inbox.events))
            report = inbox.events[0]["report"]
            assert (report["reference"], report["recipient"]) == (answer["references"][0], "+4915112345")
            assert report["outcome"] == "delivered"
            b.modem.messages.status = 0x46
            await b.call("send", to="+4915112345", text="hi", report=True)
            await inbox.until(lambda: len(inbox.events) == 2)
            assert inbox.events[1]["report"]["outcome"] == "failed"
            await b.call("send", to=OWN, text="fire!", flash=True)
            await inbox.until(lambda: len(inbox.events) == 3)
            flash = inbox.events[2]["message"]
            assert (flash["text"], flash["flash"]) == ("fire!", True)
            assert "indexes" not in flash

    run(main())


def test_parts_out_of_order_and_a_missing_one(run: Run) -> None:
    async def main() -> None:
        async with bench("ec25", {"patience": 0.3}) as b:
            b.modem.messages.indications = False
            await b.call("send", to=OWN, text="A" * 400)
            await b.call("initialise")
            while len(b.modem.messages.memory) < 3:
                await asyncio.sleep(0.01)
            parts = [message.pdu for _, message in sorted(b.modem.messages.memory.items())]
            b.modem.messages.memory.clear()
            inbox = await b.stream("receive")
            for part in (parts[2], parts[0]):
                b.modem.messages.deliver(part)
            await inbox.until(lambda: bool(inbox.events))
            message = inbox.events[0]["message"]
            assert (message["complete"], message["missing"]) == (False, [2])
            b.modem.messages.deliver(parts[0])  # the network repeats one
            b.modem.messages.deliver(parts[1])
            await inbox.until(lambda: len(inbox.events) == 2)
            assert texts(inbox)[1] == "A" * 400
            await b.call("delete", ids=[inbox.events[1]["message"]["id"]])
            assert not b.modem.messages.memory

    run(main())


def test_a_full_memory_is_told_and_nothing_is_lost(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            b.modem.messages.size = 4
            inbox = await b.stream("receive")
            for number in range(9):
                await b.call("send", to=OWN, text=f"n{number}")  # the memory being full, sent directly
            await inbox.until(lambda: any(e["kind"] == "storage-full" for e in inbox.events))
            while len(texts(inbox)) < 9:
                for message in (await b.call("messages"))["messages"]:
                    await b.call("delete", ids=[message["id"]])
                await asyncio.sleep(0.01)
            assert sorted(texts(inbox)) == [f"n{number}" for number in range(9)]

    run(main())


def test_without_credit_messages_stay_in_the_modem(run: Run) -> None:
    async def main() -> None:
        async with bench() as b:
            inbox = await b.stream("receive", credit=1)
            for number in range(3):
                await b.call("send", to=OWN, text=f"n{number}")
            await inbox.until(lambda: len(inbox.events) == 1)
            await asyncio.sleep(0.1)
            assert (len(inbox.events), inbox.dropped) == (1, 0)
            inbox.grant(5)
            await inbox.until(lambda: len(inbox.events) == 3)
            assert inbox.dropped == 0

    run(main())


def test_two_sessions_both_get_each_message(run: Run) -> None:
    async def main() -> None:
        async with bench() as b:
            one, other = await b.stream("receive"), await b.stream("receive", stored=False)
            await b.call("messages")
            await asyncio.sleep(0.05)
            await b.call("send", to=OWN, text="both")
            await one.until(lambda: texts(one) == ["both"])
            await other.until(lambda: texts(other) == ["both"])
            one.stream.close()
            late = await b.stream("receive")
            await late.until(lambda: texts(late) == ["both"])

    run(main())


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


def test_a_pin_is_tried_once_and_the_last_try_is_kept(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family, pin="1234") as b:
            status = await b.call("initialise")
            assert (status["sim"], status["pin_tries"]) == ("pin", 3)
            for operation, fields in (
                ("send", {"to": OWN, "text": "x"}),
                ("messages", {}),
                ("ussd", {"code": "*1#"}),
            ):
                with pytest.raises(Conflict, match="PIN"):
                    await b.call(operation, **fields)
            with pytest.raises(BadRequest, match="2 tries are left") as wrong:
                await b.call("initialise", pin="1111")
            assert wrong.value.details["key"] == "pin"
            with pytest.raises(Conflict, match="refused by this SIM before"):
                await b.call("initialise", pin="1111")
            assert b.modem.sim.pin_tries == 2
            with pytest.raises(BadRequest):
                await b.call("initialise", pin="2222")
            with pytest.raises(Conflict, match="last try"):
                await b.call("initialise", pin="1234")
            assert b.modem.sim.attempts == ["1111", "2222"]
            with pytest.raises(BadRequest):
                await b.call("initialise", pin="3333", last_try=True)
            assert (await b.call("status"))["sim"] == "puk"
            with pytest.raises(BadRequest, match="new-pin"):
                await b.call("initialise", puk="12345678")
            with pytest.raises(BadRequest, match="9 tries"):
                await b.call("initialise", puk="00000000", new_pin="9999")
            status = await b.call("initialise", puk="12345678", new_pin="9999", wait=5)
            assert status["sim"] == "ready"
            assert b.modem.sim.pin == "9999"
            await b.call("send", to="0151", text="unlocked")

    run(main())


def test_a_lost_answer_to_a_pin_does_not_cost_a_second_try(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family, pin="1234") as b:
            await b.call("initialise")
            run_command, modem = b.modem._run, b.modem

            def lose(line: str) -> None:
                if line.startswith("AT+CPIN="):
                    modem.faults.next = ["lose-all"]
                run_command(line)

            modem._run = lose  # type: ignore[method-assign]
            shorten(b, "AT+CPIN=")
            with pytest.raises(BadRequest):
                await b.call("initialise", pin="1111")
            assert (await b.call("initialise", pin="1234"))["sim"] == "ready"
            assert modem.sim.attempts == ["1111", "1234"]

    run(main())


def shorten(b: Bench, start: str, seconds: float = 0.2) -> None:
    """Give commands that begin so a short time limit."""
    channel = b.driver._services["port:m"].modem._channel
    assert channel is not None
    original = channel.run

    async def run_shortly(text: str, *given: Any, **options: Any) -> list[str]:
        if text.startswith(start):
            options["timeout"] = seconds
        return await original(text, *given, **options)

    channel.run = run_shortly  # type: ignore[method-assign]


def test_the_pin_of_the_settings_is_only_tried_while_no_try_is_lost(run: Run) -> None:
    async def main() -> None:
        async with bench("ec25", {"pin": "1234"}, pin="1234") as b:
            assert (await b.call("status"))["sim"] == "ready"
            assert b.modem.sim.attempts == ["1234"]
        for _ in range(2):
            async with bench("ec25", {"pin": "4711"}, pin="1234") as b:
                for _ in range(3):
                    assert (await b.call("status"))["sim"] == "pin"
                    b.modem.power_on()
                assert b.modem.sim.attempts == ["4711"]

    run(main())


def test_no_sim(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family, sim=False) as b:
            status = await b.call("status")
            assert status["sim"] == "absent"
            assert "imsi" not in status
            with pytest.raises(HardwareError, match="no SIM"):
                await b.call("send", to=OWN, text="x")

    run(main())


@pytest.mark.parametrize("kind", ["noise", "interrupt", "lose-final", "lose-all", "truncate"])
def test_a_command_that_goes_wrong_does_not_disturb_the_next(run: Run, family: str, kind: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            await b.call("status")
            shorten(b, "AT+CSQ")
            b.modem.faults.next = [kind]
            if kind in ("noise", "interrupt"):
                assert (await b.call("signal"))["rssi"] == -73.0
            else:
                with pytest.raises(OperationTimeout, match="no answer to AT"):
                    await b.call("signal")
            assert (await b.call("signal"))["rssi"] == -73.0
            assert (await b.call("status"))["imei"] == "867584030012345"

    run(main())


def test_a_late_answer_is_not_taken_for_another(run: Run) -> None:
    async def main() -> None:
        async with bench() as b:
            await b.call("status")
            shorten(b, "AT+CSQ", 0.05)
            modem = b.modem
            handlers = modem._handlers
            original = handlers["+CSQ"]

            def late(given: str) -> list[str]:
                modem.hang(0.2)
                modem.after(0.25, lambda: modem.say("+CSQ: 5,0", "OK"))
                handlers["+CSQ"] = original
                return []

            handlers["+CSQ"] = late
            with pytest.raises(OperationTimeout):
                await b.call("signal")
            assert (await b.call("signal"))["rssi"] == -73.0

    run(main())


def test_a_modem_that_starts_again_is_set_up_again(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            inbox = await b.stream("receive")
            await b.call("send", to=OWN, text="before")
            await inbox.until(lambda: texts(inbox) == ["before"])
            b.modem.power_on()
            async with asyncio.timeout(10):
                while b.modem.echo or not b.modem.messages._mode[0]:
                    await asyncio.sleep(0.01)
            await b.call("send", to=OWN, text="after")
            await inbox.until(lambda: texts(inbox) == ["before", "after"])

    run(main())


def test_a_restart_that_nobody_announced_is_noticed(run: Run) -> None:
    async def main() -> None:
        async with bench("sim800") as b:
            await b.call("status")
            b.modem.power_on(silent=True)
            assert (await b.call("signal"))["rssi"] == -73.0  # its echo tells
            await b.call("signal")
            assert not b.modem.echo

    run(main())


def test_reset(run: Run, family: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            await b.call("status")
            restarts = b.modem.restarts
            assert (await b.call("initialise", reset=True, wait=5))["sim"] == "ready"
            assert b.modem.restarts == restarts + 1

    run(main())


def test_a_modem_that_hangs_is_given_up_and_comes_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from myclerk_drivers.gsm import channel

    monkeypatch.setattr(channel, "SYNCHRONISE", channel.Command("AT+CGSN", None, True, timeout=0.05))

    async def main() -> None:
        async with bench() as b:
            await b.call("status")
            shorten(b, "AT+CSQ", 0.05)
            b.modem.hang(3600)
            with pytest.raises(OperationTimeout):
                await b.call("signal")
            with pytest.raises(OperationTimeout, match="does not answer any more"):
                await b.call("signal")
            b.modem.hang(0)
            assert (await b.call("signal"))["rssi"] == -73.0

    run(main())


def test_a_modem_that_is_pulled_out(run: Run) -> None:
    async def main() -> None:
        async with bench() as b:
            inbox = await b.stream("receive")
            await b.call("messages")
            simulation = b.driver.simulation
            assert simulation is not None
            simulation.close()
            await inbox.until(lambda: any(e["kind"] == "lost" for e in inbox.events))
            with pytest.raises((DeviceGone, NotFound)):
                await b.call("status")
            assert not inbox.ended

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


def test_a_session_that_vanishes_while_it_sends(run: Run) -> None:
    async def main() -> None:
        async with bench() as b:
            await b.call("status")
            task = asyncio.ensure_future(b.call("send", to="0151", text="x" * 1000))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await b.call("send", to="0151", text="next"))["parts"] == 1
            async with asyncio.timeout(10):
                while b.modem.messages.memory:
                    await asyncio.sleep(0.01)

    run(main())
