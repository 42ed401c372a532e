"""Messages through a modem that does everything wrong: none is lost, none comes twice, none is sent twice.

``MYCLERK_MESSAGES=10000 MYCLERK_FAULTS=0.002`` makes it a long run.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from modem_bench import OWN, Bench, bench

from myclerk_drivers.gsm.pdu import Submit, decode
from myclerk_drivers.models.modem_parts import KINDS
from myclerk_protocol.status import OperationError

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MESSAGES = int(os.environ.get("MYCLERK_MESSAGES", "40"))
RATE = float(os.environ.get("MYCLERK_FAULTS", "0.01"))
WINDOW = 4
"""Messages under way, of two parts at most: the memory never is full, as messages are sent from there."""


def text_of(number: int) -> str:
    """A message that there is once; every seventh has two parts."""
    return f"message {number} é" + (" and so on" * 16 + f" {number}" if number % 7 == 3 else "")


async def send(b: Bench, text: str) -> None:
    """Until the network has it; an error that leaves it in doubt whether it has fails the test."""
    while True:
        try:
            await b.call("send", to=OWN, text=text)
            return
        except OperationError as error:
            if "may have been" in error.message or error.details.get("sent"):
                pytest.fail(f"in doubt: {error.message}")


async def delete(b: Bench, identifier: str) -> None:
    while True:
        try:
            await b.call("delete", ids=[identifier])
            return
        except OperationError:
            continue


@pytest.mark.timeout(60 + MESSAGES)
@pytest.mark.parametrize("family", ["sim7600", "sim800", "ec25"])
def test_none_lost_none_twice(run: Run, family: str) -> None:
    async def main() -> None:
        started = time.monotonic()
        async with bench(family, scale=0.02) as b:
            faults = b.modem.faults
            faults.hang_time = 0.02
            faults.random.seed(family)
            received: Counter[str] = Counter()
            inbox = await b.stream("receive", credit=10**9)
            await b.call("messages")
            faults.rates = dict.fromkeys(KINDS, RATE)
            under_way = asyncio.Semaphore(WINDOW)

            async def consume() -> None:
                while received.total() < MESSAGES:
                    await inbox.until(lambda: bool(inbox.events), 3600)
                    events, inbox.events = inbox.events, []
                    for event in events:
                        if event["kind"] == "message":
                            await delete(b, event["message"]["id"])
                            received[event["message"]["text"]] += 1
                            under_way.release()

            consumer = asyncio.ensure_future(consume())
            for number in range(MESSAGES):
                await under_way.acquire()
                await send(b, text_of(number))
            await consumer
            faults.rates = {}
            await b.call("messages")
            assert received == Counter(text_of(number) for number in range(MESSAGES))
            parts = [decode(pdu, outgoing=True) for pdu in b.modem.messages.sent]
            assert all(isinstance(part, Submit) for part in parts)
            assert len(parts) == MESSAGES + sum(number % 7 == 3 for number in range(MESSAGES))
            assert set(Counter(b.modem.messages.sent).values()) == {1}
            assert not (await b.call("messages"))["messages"]
            assert inbox.dropped == 0
            assert sum(faults.done.values()) > MESSAGES * RATE
            seconds = time.monotonic() - started
            print(
                f"{family}: {MESSAGES} messages in {seconds:.0f} s; {sum(faults.done.values())} faults: {faults.done}"
            )

    run(main())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_by_itself_at_each_step(run: Run, kind: str) -> None:
    async def main() -> None:
        async with bench("ec25", scale=0.02) as b:
            b.modem.faults.hang_time = 0.02
            inbox = await b.stream("receive")
            await b.call("messages")
            expected = []
            for step in range(6):
                b.modem.faults.next = ["noise"] * step + [kind]
                text = f"step {step}"
                expected.append(text)
                await send(b, text)
            await inbox.until(lambda: len(inbox.events) >= 6, 60)
            await asyncio.sleep(0.3)
            found = [e["message"]["text"] for e in inbox.events if e["kind"] == "message"]
            assert sorted(found) == expected
            assert len(b.modem.messages.sent) == 6

    run(main())


def test_a_message_that_was_begun_is_not_given_up_at_a_refusal(run: Run) -> None:
    async def main() -> None:
        async with bench("sim7600") as b:
            modem, send_stored = b.modem, b.modem._handlers["+CMSS"]

            def refuse_the_second(given: str) -> Any:
                if len(modem.messages.sent) == 1 and not refused:
                    refused.append(given)
                    raise modem.refuse(42, "CMS")
                return send_stored(given)

            refused: list[str] = []
            modem._handlers["+CMSS"] = refuse_the_second
            assert (await b.call("send", to="0151", text="x" * 400))["parts"] == 3
            assert refused
            assert len(modem.messages.sent) == 3

            def refuse_all_but_one(given: str) -> Any:
                if len(modem.messages.sent) > 3:
                    raise modem.refuse(42, "CMS")
                return send_stored(given)

            modem._handlers["+CMSS"] = refuse_all_but_one
            with pytest.raises(OperationError, match="congestion; 1 of 2 parts were sent") as error:
                await b.call("send", to="0151", text="y" * 200)
            assert error.value.details["sent"] == 1
            with pytest.raises(OperationError, match=r"congestion$") as error:
                await b.call("send", to="0151", text="one part")
            assert error.value.details["sent"] == 0
            assert not modem.messages.memory

    run(main())
