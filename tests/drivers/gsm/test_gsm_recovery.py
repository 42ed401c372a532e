"""Modems that lose answers, hang, start again or are pulled out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from modem_bench import OWN, bench, shorten, texts

from myclerk_protocol.status import (
    DeviceGone,
    NotFound,
    OperationTimeout,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.mark.parametrize("kind", ["noise", "interrupt", "lose-final", "lose-all", "truncate"])
def test_a_command_that_goes_wrong_does_not_disturb_the_next(run: Run, family: str, kind: str) -> None:
    async def main() -> None:
        async with bench(family) as b:
            await b.call("status")
            b.modem.faults.next = [kind]
            if kind in ("noise", "interrupt"):
                assert (await b.call("signal"))["rssi"] == -73.0
            else:
                shorten(b, "AT+CSQ")
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
