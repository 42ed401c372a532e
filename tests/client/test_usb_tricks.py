"""The tricks `early-out` and `polling`, what keeps early data, and the switches."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_usb_bridge import ECONNRESET, EPIPE, EPROTO, Story, submitted, told
from usb_fakes import KEYBOARD, FakeDevice, FakePoll
from usbip_host import Host

from myclerk_client.usb.bridge import Bridge, Switch, Tricks, early_out
from myclerk_client.usb.bridge import bridge as bridge_module
from myclerk_client.usb.bridge import polling as polling_module
from myclerk_client.usb.bridge.inbox import Inbox
from myclerk_protocol.status import DeviceGone, HardwareError, LocalError, Unsupported

EARLY = Tricks.parse(["off", "early-out=on"])
POLLED = Tricks.parse(["off", "polling=auto"])
PATIENCE = 5.0


@pytest.fixture(autouse=True)
def no_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stories that leave transfers under way need not wait for them."""
    monkeypatch.setattr(bridge_module, "DRAIN", 0.2)


async def until(condition: object) -> None:
    """Wait for something that becomes true in a moment."""
    assert callable(condition)
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


# -- switches ----------------------------------------------------------------------------------------------


def test_switches_are_words() -> None:
    tricks = Tricks.parse(["off", "early-out=on", "polling=auto"])
    assert tricks == Tricks(Switch.OFF, Switch.OFF, Switch.ON, Switch.AUTO)
    assert Tricks.parse([]) == Tricks()
    assert Tricks.parse(["storage=off"]).storage is Switch.OFF
    for wrong in ("early-out", "early-out=yes", "magic=on", "", "=on"):
        with pytest.raises(LocalError, match="early-out"):
            Tricks.parse([wrong])


def test_early_completion_is_never_on_by_itself() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x02, data=b"x")
        assert await host.silent()

    told(story, tricks=Tricks())


# -- the inbox ---------------------------------------------------------------------------------------------


def test_an_inbox_keeps_what_was_sent_and_where_it_ended() -> None:
    inbox = Inbox()
    assert inbox.take(1) is None
    inbox.put(b"abcdef", ended=False)
    inbox.put(b"", ended=False)
    assert inbox.take(7) is None
    first = inbox.take(4)
    assert first is not None
    assert (first.data, first.transferred, first.errno) == (b"abcd", 4, None)
    inbox.put(b"gh", ended=True, errno="EPIPE")
    second = inbox.take(100)
    assert second is not None
    assert (second.data, second.errno) == (b"efgh", "EPIPE")
    assert not inbox
    inbox.put(b"", ended=True)
    empty = inbox.take(100)
    assert empty is not None
    assert empty.data == b""


@given(st.lists(st.tuples(st.binary(max_size=9), st.booleans())), st.lists(st.integers(1, 12)))
def test_nothing_is_lost_in_an_inbox(sent: list[tuple[bytes, bool]], sizes: list[int]) -> None:
    inbox = Inbox()
    for data, ended in sent:
        inbox.put(data, ended=ended)
    taken = b""
    for size in sizes:
        before = inbox.size
        result = inbox.take(size)
        if result is not None:
            taken += result.data
            assert len(result.data) <= size
        assert inbox.size == before - (len(result.data) if result else 0)
    rest = inbox.take_some(10**6, "ECONNRESET") if inbox else None
    while rest is not None:
        taken += rest.data
        rest = inbox.take_some(10**6, "ECONNRESET") if inbox else None
    assert taken == b"".join(data for data, _ in sent)


# -- early-out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("endpoint", "kind"), [(0x02, "bulk"), (0x04, "interrupt")])
def test_what_was_sent_is_done_and_an_error_is_that_of_the_next(endpoint: int, kind: str) -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        for _ in range(3):
            host.submit(endpoint, data=b"data")
            answer = await host.answer()
            assert (answer.status, answer.transferred) == (0, 4)
        first, second, third = device.transfers
        assert [t.what for t in device.transfers] == [kind] * 3
        assert [t.fields.get("continued", False) for t in device.transfers] == [
            False,
            kind == "bulk",
            kind == "bulk",
        ]
        first.finish()
        second.finish(errno="EPROTO")
        third.finish(errno="ECONNRESET")
        host.submit(endpoint, data=b"lost")
        answer = await host.answer()
        assert (answer.status, answer.transferred) == (EPROTO, 0)
        assert len(device.transfers) == 3
        host.submit(endpoint, data=b"again")
        assert (await host.answer()).status == 0
        assert not device.transfers[3].fields.get("continued", False)

    told(story, tricks=EARLY)


def test_only_so_much_is_taken_for_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_out, "AHEAD", 10)

    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x02, data=bytes(8))
        assert (await host.answer()).transferred == 8
        waiting = host.submit(0x02, data=bytes(8))
        cancelled = host.submit(0x02, data=bytes(8))
        assert await host.silent()
        unlinking = host.unlink(cancelled)
        await submitted(device, 3)
        await until(lambda: device.transfers[2].cancelled)
        device.transfers[2].finish(errno="ECONNRESET")
        assert (await host.answer()).seqnum == unlinking
        device.transfers[0].finish(errno="EPIPE")
        device.transfers[1].finish(errno="ECONNRESET")
        answer = await host.answer()
        assert (answer.seqnum, answer.status) == (waiting, EPIPE)
        host.submit(0x02, data=bytes(8))
        assert (await host.answer()).status == 0

    told(story, tricks=EARLY)


def test_a_control_request_does_not_overtake_what_was_sent() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x02, data=b"data")
        await host.answer()
        host.request(0xC0, 1, size=1)
        assert await host.silent()
        (written,) = device.transfers
        written.finish()
        await submitted(device, 2)
        device.transfers[1].finish(b"x")
        assert (await host.answer()).data == b"x"

    told(story, tricks=EARLY)


def test_a_device_that_takes_nothing_can_still_be_told_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_out, "PATIENCE", 0.01)

    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x02, data=b"data")
        await host.answer()
        host.request(0x21, 1)
        await submitted(device, 2)
        device.transfers[1].finish()
        assert (await host.answer()).status == 0
        resetting = host.request(0x01, 11, 0, 0)
        await until(lambda: device.transfers[0].cancelled)
        device.transfers[0].finish(errno="ECONNRESET")
        assert (await host.answer()).seqnum == resetting

    told(story, tricks=EARLY)


def test_what_was_taken_for_sent_goes_out_before_the_end() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x02, data=b"data")
        await host.answer()
        host.close()
        assert await bridge.ended is None
        closing = asyncio.ensure_future(bridge.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        device.transfers[0].finish()
        await asyncio.wait_for(closing, PATIENCE)

    told(story, tricks=EARLY)


# -- polling -----------------------------------------------------------------------------------------------


def keyboard(story: Story) -> None:
    told(story, FakeDevice(KEYBOARD), POLLED)


async def polled(device: FakeDevice, count: int = 1) -> FakePoll:
    await until(lambda: len(device.polls) >= count)
    return device.polls[-1]


def test_what_the_board_polled_is_there_when_the_host_asks() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        first = host.submit(0x81, length=8)
        poll = await polled(device)
        assert poll.length == 8
        for number in range(3):
            poll.push(bytes([number]) * 8)
        assert (await host.answer()).seqnum == first
        for number in (1, 2):
            host.submit(0x81, length=8)
            assert (await host.answer()).data == bytes([number]) * 8
        assert len(device.polls) == 1
        assert device.transfers == []

    keyboard(story)


def test_a_cancelled_urb_ends_the_poll_and_loses_nothing() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        asking = host.submit(0x81, length=8)
        poll = await polled(device)
        poll.late = [b"late"]
        host.unlink(asking)
        answer = await host.answer()
        assert (answer.command, answer.status) == (4, ECONNRESET)
        await until(lambda: poll.stopped)
        host.submit(0x81, length=8)
        assert (await host.answer()).data == b"late"
        host.submit(0x81, length=8)
        again = await polled(device, 2)
        again.push(b"new")
        assert (await host.answer()).data == b"new"

    keyboard(story)


def test_the_board_stops_when_the_host_asks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling_module, "PATIENCE", 0.01)

    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=8)
        poll = await polled(device)
        poll.push(b"one")
        await host.answer()
        poll.push(b"two")
        await until(lambda: poll.stopped)
        host.submit(0x81, length=8)
        assert (await host.answer()).data == b"two"
        host.submit(0x81, length=8)
        await polled(device, 2)

    keyboard(story)


def test_a_stall_ends_the_poll_and_the_next_urb_begins_another() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=8)
        poll = await polled(device)
        poll.push(HardwareError("a bus error", errno="EPROTO", data=b"x"))
        answer = await host.answer()
        assert (answer.status, answer.data) == (EPROTO, b"x")
        assert not poll.stopped
        host.submit(0x81, length=8)
        poll.push(HardwareError("it stalled", errno="EPIPE"))
        assert (await host.answer()).status == EPIPE
        host.request(0x02, 1, 0, 0x81)
        assert (await host.answer()).status == 0
        host.submit(0x81, length=8)
        (await polled(device, 2)).push(b"back")
        assert (await host.answer()).data == b"back"

    keyboard(story)


def test_where_the_board_does_not_poll_it_is_asked() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        device.fails = Unsupported("no polling")
        host.submit(0x81, length=8)
        waiting = host.submit(0x81, length=8)
        await submitted(device, 2)
        device.transfers[0].finish(b"plain")
        assert (await host.answer()).data == b"plain"
        unlinking = host.unlink(waiting)
        await until(lambda: device.transfers[1].cancelled)
        device.transfers[1].finish(errno="ECONNRESET")
        assert (await host.answer()).seqnum == unlinking

    keyboard(story)


def test_a_device_that_goes_ends_all() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=8)
        (await polled(device)).push(DeviceGone("it was unplugged"))
        assert isinstance(await bridge.ended, DeviceGone)

    keyboard(story)


def test_the_end_ends_the_poll() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=8)
        poll = await polled(device)
        host.close()
        assert await bridge.ended is None
        await bridge.close()
        assert poll.stopped

    keyboard(story)


def test_a_vendors_endpoint_is_polled_only_if_asked_for() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x83, length=8)
        await submitted(device, 1)
        assert device.polls == []

    async def asked_for(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x83, length=8)
        await polled(device)

    told(story, tricks=Tricks())
    told(asked_for, tricks=Tricks(polling=Switch.ON))
