"""Messages of the simulated modems: alphabets, parts, reports, a full memory, several who listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from modem_bench import OWN, bench, texts

Run = Callable[[Coroutine[Any, Any, Any]], Any]


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
