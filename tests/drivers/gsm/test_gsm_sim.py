"""The SIM of the simulated modems: no code is wasted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from modem_bench import OWN, bench, shorten

from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    HardwareError,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


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
