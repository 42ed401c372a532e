"""The trick `storage`: with it a host and a device see what they see without, only sooner."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_usb_bridge import Story, told
from usb_disk_model import ECONNRESET, EPIPE, IN, OUT, PACKET, Command, ModelDisk, StorageDriver, pattern
from usb_fakes import STORAGE, FakeDevice
from usbip_host import SHORT_NOT_OK, Host, control

from myclerk_client.usb.bridge import Bridge, Switch, Tricks
from myclerk_client.usb.bridge import mass_storage as module
from myclerk_protocol.status import DeviceGone

STORAGE_ONLY = Tricks(Switch.OFF, Switch.AUTO, Switch.OFF, Switch.OFF)


def disk(story: Story) -> None:
    told(story, FakeDevice(STORAGE), STORAGE_ONLY)


def cbw(length: int, *, is_in: bool, tag: int = 1) -> bytes:
    return struct.pack("<4sIIBBB16x", b"USBC", tag, length, 0x80 if is_in else 0, 0, 10)


CSW = struct.pack("<4sIIB", b"USBS", 1, 0, 0)


def test_a_read_is_one_round_trip() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(4096, is_in=True))
        assert (await host.answer()).transferred == 31
        command, data, status = device.transfers
        assert (command.endpoint, data.endpoint, data.size, status.size) == (OUT, IN, 4096, 13)
        host.submit(IN, length=4096)
        assert await host.silent()
        command.finish()
        data.finish(bytes(4096))
        status.finish(CSW)
        assert (await host.answer()).data == bytes(4096)
        host.submit(IN, length=13)
        assert (await host.answer()).data == CSW
        assert len(device.transfers) == 3

    disk(story)


def test_a_write_is_one_round_trip() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(1024, is_in=False))
        await host.answer()
        for part in (b"a" * 512, b"b" * 512):
            host.submit(OUT, data=part)
            assert (await host.answer()).transferred == 512
        command, first, second, status = device.transfers
        assert [t.fields.get("continued") for t in (command, first, second)] == [False, True, True]
        host.submit(IN, length=13)
        assert await host.silent()
        for transfer in (command, first, second):
            transfer.finish()
        status.finish(CSW)
        assert (await host.answer()).data == CSW

    disk(story)


def test_a_command_without_data() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(0, is_in=False))
        await host.answer()
        assert [t.endpoint for t in device.transfers] == [OUT, IN]

    disk(story)


def test_data_is_handed_out_however_the_host_cuts_it() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(1500, is_in=True))
        await host.answer()
        device.transfers[1].finish(pattern(0, 1500))
        for start, size in ((0, 512), (512, 512), (1024, 512)):
            host.submit(IN, length=size)
            assert (await host.answer()).data == pattern(start, min(size, 1500 - start))

    disk(story)


def test_a_short_list_of_transfers_ends_there() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(1536, is_in=True))
        await host.answer()
        urbs = [host.submit(IN, length=512, flags=SHORT_NOT_OK) for _ in range(3)]
        assert await host.silent()
        device.transfers[1].finish(bytes(600))
        device.transfers[2].finish(CSW)
        answers = await host.answers(3)
        assert [(answers[n].status, answers[n].transferred) for n in urbs] == [
            (0, 512),
            (-121, 88),
            (ECONNRESET, 0),
        ]
        host.submit(IN, length=13)
        assert (await host.answer()).data == CSW

    disk(story)


def test_a_command_that_does_not_reach_the_device_fails_the_transfer_behind_it() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(512, is_in=True))
        await host.answer()
        command, data, status = device.transfers
        waiting = host.submit(IN, length=512)
        assert await host.silent()
        command.finish(errno="EPROTO")
        answer = await host.answer()
        assert (answer.seqnum, answer.status) == (waiting, -71)
        assert data.cancelled
        assert status.cancelled

        for transfer in (data, status):
            transfer.finish(errno="ECONNRESET")
        host.submit(OUT, data=cbw(512, is_in=False, tag=2))
        await host.answer()
        host.submit(OUT, data=bytes(512))
        await host.answer()
        _, _, _, command, written, status = device.transfers
        command.finish(errno="EPROTO")
        written.finish(errno="ECONNRESET")
        status.finish(errno="ECONNRESET")
        host.submit(OUT, data=cbw(0, is_in=False, tag=3))  # the host gave up waiting, and hears of it now
        assert (await host.answer()).status == -71
        host.submit(OUT, data=cbw(0, is_in=False, tag=4))
        assert (await host.answer()).status == 0

    disk(story)


def test_the_status_waits_at_the_board_until_the_data_is_there() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(512, is_in=True))
        await host.answer()
        command, data, status = device.transfers
        assert not data.fields.get("after")
        assert status.fields["after"]
        waiting = host.submit(IN, length=512)
        assert await host.silent()
        command.finish()
        data.finish(errno="EPIPE")
        status.finish(errno="ECONNRESET")  # so the board does behind what failed
        answer = await host.answer()
        assert (answer.seqnum, answer.status) == (waiting, EPIPE)
        host.submit(IN, length=13)
        assert await host.silent()
        device.transfers[-1].finish(CSW)
        assert (await host.answer()).data == CSW

    disk(story)


def test_a_stall_while_writing_is_cleared_here_and_told_by_the_status() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(1024, is_in=False))
        await host.answer()
        for _ in range(2):
            host.submit(OUT, data=bytes(512))
            await host.answer()
        command, first, second, status = device.transfers
        command.finish()
        first.finish(errno="EPIPE")
        second.finish(errno="ECONNRESET")
        failed = struct.pack("<4sIIB", b"USBS", 1, 1024, 1)
        status.finish(failed)
        host.submit(IN, length=13)
        assert (await host.answer()).data == failed
        host.submit(OUT, data=cbw(0, is_in=False, tag=2))
        assert (await host.answer()).status == 0
        assert device.operations == [("clear_halt", OUT)]

    disk(story)


def test_a_transfer_that_is_cancelled_takes_what_was_begun_ahead_with_it() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(512, is_in=True))
        await host.answer()
        waiting = host.submit(IN, length=512)
        assert await host.silent()
        unlinking = host.unlink(waiting)
        command, data, status = device.transfers
        assert await host.silent()
        command.finish()
        assert data.cancelled
        assert status.cancelled
        data.finish(errno="ECONNRESET")
        status.finish(errno="ECONNRESET")
        answer = await host.answer()
        assert (answer.command, answer.seqnum, answer.status) == (4, unlinking, ECONNRESET)
        assert len(device.transfers) == 3

    disk(story)


def test_bytes_that_came_in_spite_of_it_are_not_lost() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(1024, is_in=True))
        await host.answer()
        waiting = host.submit(IN, length=1024)
        assert await host.silent()
        host.unlink(waiting)
        _, data, status = device.transfers
        assert await host.silent()
        data.finish(bytes(512), errno="ECONNRESET")
        answer = await host.answer()
        assert (answer.command, answer.status, answer.data) == (3, ECONNRESET, bytes(512))
        assert (await host.answer()).command == 4
        status.finish(CSW)  # the device had it ready
        host.submit(IN, length=13)
        assert (await host.answer()).data == CSW

    disk(story)


def test_the_next_command_waits_until_the_last_one_is_out_of_its_way() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(512, is_in=True))
        await host.answer()
        _, data, status = device.transfers
        data.finish(bytes(512))  # the host never asks for it
        following = host.submit(OUT, data=cbw(0, is_in=False, tag=2))
        third = host.submit(OUT, data=b"x")
        cancelled = host.unlink(third)
        assert (await host.answer()).seqnum == cancelled
        assert status.cancelled
        assert len(device.transfers) == 3
        status.finish(CSW)  # of a command that nobody cares about any more
        assert (await host.answer()).seqnum == following
        host.submit(IN, length=13)
        assert await host.silent()
        device.transfers[4].finish(struct.pack("<4sIIB", b"USBS", 2, 0, 0))
        assert (await host.answer()).data[4] == 2

    disk(story)


def test_what_is_no_command_goes_through_as_it_is() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        for data in (b"USBC", bytes(31), cbw(0, is_in=True)[:-1], b"USBC" + b"\xff" * 27):
            sent = host.submit(OUT, data=data)
            assert await host.silent()
            device.transfers[-1].finish(errno="EPIPE", transferred=2)
            answer = await host.answer()
            assert (answer.seqnum, answer.status, answer.transferred) == (sent, EPIPE, 2)
        waiting = host.submit(OUT, data=b"vendor")
        assert await host.silent()
        host.unlink(waiting)
        assert await host.silent()
        assert device.transfers[-1].cancelled
        host.submit(IN, length=64)
        host.submit(IN, length=64)
        assert await host.silent()
        device.transfers[-1].finish(b"answer")
        assert (await host.answer()).data == b"answer"
        assert device.transfers[-1].size == 64

    disk(story)


def test_very_long_data_is_not_taken_for_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD", 1023)

    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(1024, is_in=False))
        await host.answer()
        urbs = [host.submit(OUT, data=bytes(512)) for _ in range(2)]
        assert await host.silent()
        command, first, second, _ = device.transfers
        command.finish(errno="EPROTO")
        first.finish(errno="ECONNRESET")
        second.finish(errno="ECONNRESET")
        answers = await host.answers(2)
        assert sorted(answers[n].status for n in urbs) == [ECONNRESET, -71]

    disk(story)


def test_a_device_that_is_gone_in_the_middle() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(512, is_in=True))
        await host.answer()
        host.submit(IN, length=512)
        for transfer in device.transfers:
            transfer.fail(DeviceGone("it was unplugged"))
        assert isinstance(await bridge.ended, DeviceGone)
        assert await host.hung_up()

    disk(story)


def test_a_reset_throws_away_what_was_begun_ahead() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(OUT, data=cbw(512, is_in=True))
        await host.answer()
        command, data, status = device.transfers
        data.finish(bytes(512))
        resetting = host.submit(0x00, data=b"", setup=control(0x21, 0xFF))
        assert await host.silent()
        assert status.cancelled
        command.finish()
        status.finish(CSW)
        assert await host.silent()
        device.transfers[3].finish()
        assert (await host.answer()).seqnum == resetting
        host.submit(OUT, data=cbw(8, is_in=True, tag=2))
        await host.answer()
        host.submit(IN, length=8)
        assert await host.silent()
        device.transfers[5].finish(b"new data")
        assert (await host.answer()).data == b"new data"

    disk(story)


sizes = st.integers(0, 6 * PACKET)


@st.composite
def scripts(draw: st.DrawFn) -> list[Command]:
    commands = []
    for _ in range(draw(st.integers(1, 6))):
        wanted = draw(st.sampled_from([0, 8, 13, 512, 1024, 1536]) | sizes)
        has = draw(st.just(wanted) | st.integers(0, wanted))
        is_in = draw(st.booleans())
        stalls = has < wanted and draw(st.booleans())
        if is_in and not stalls and has < wanted and has % PACKET == 0:
            has = max(has - 1, 0)  # a device must end such data with a short packet
        status = draw(st.sampled_from([0, 0, 1]))
        reject = draw(st.integers(0, 9)) == 0
        commands.append(Command(wanted, is_in, has, stalls, status, draw(st.integers(1, 3)), reject))
    return commands


def played(script: list[Command], delays: list[int], tricks: Tricks) -> tuple[Any, ...]:
    """What host and device saw."""

    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        driver = StorageDriver(host)
        for command in script:
            await driver.execute(command)
        assert isinstance(device, ModelDisk)
        outcome.extend([driver.seen, b"".join(device.received), device.resets, len(device.script)])

    outcome: list[Any] = []
    told(story, ModelDisk(script, delays), tricks)
    return tuple(outcome)


@given(scripts(), st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_host_and_device_see_the_same_with_the_trick_and_without(
    script: list[Command], delays: list[int]
) -> None:
    plainly = played(script, delays, Tricks.parse(["off"]))
    assert played(script, delays, STORAGE_ONLY) == plainly
    for command, seen in zip(script, plainly[0], strict=True):
        if seen[0] == "done" and command.is_in:
            assert seen[1] == pattern(0, command.has)


def test_the_model_itself() -> None:
    script = [
        Command(1024, True, 1024),
        Command(1024, True, 100),
        Command(2048, True, 512, stalls=True, status=1),
        Command(1024, False, 1024),
        Command(1024, False, 512, stalls=True, status=1, urbs=2),
        Command(0, False, 0),
        Command(512, True, 512, reject=True),
        Command(512, True, 512),
    ]
    seen, received, resets, left = played(script, [0], Tricks.parse(["off"]))
    assert [entry[0] for entry in seen] == ["done"] * 6 + ["recovered", "done"]
    assert [len(entry[1]) for entry in seen if entry[0] == "done"] == [1024, 100, 512, 0, 0, 0, 512]
    assert [entry[3] for entry in seen if entry[0] == "done"] == [0, 0, 1, 0, 1, 0, 0]
    assert (len(received), resets, left) == (1536, 1, 0)
