"""The bridge: a host's URBs at a device, in order, cancelled, refused; what it must know of standard requests."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from unittest.mock import Mock

import pytest
from usb_fakes import STORAGE, VENDOR, FakeDevice
from usbip_host import SHORT_NOT_OK, ZERO_PACKET, Host, control, submit

from myclerk_client.usb.bridge import Bridge, Switch, Tricks
from myclerk_protocol.status import BadRequest, DeviceGone, HardwareError, MalformedMessage, TooMany

PLAIN = Tricks.parse(["off"])
ECONNRESET, EPIPE, EREMOTEIO, EINVAL, ENOENT, EPROTO, ESHUTDOWN = -104, -32, -121, -22, -2, -71, -108

Story = Callable[[Host, FakeDevice, Bridge], Awaitable[None]]


def told(story: Story, device: FakeDevice | None = None, tricks: Tricks = PLAIN) -> None:
    """Run a test with a bridge between a host and a device."""

    async def main() -> None:
        bridge = Bridge(made, tricks)  # type: ignore[arg-type]
        host = await Host.on(bridge)
        try:
            await asyncio.wait_for(story(host, made, bridge), 20)
        finally:
            host.close()
            await bridge.close()

    made = device or FakeDevice()
    asyncio.run(main())


async def submitted(device: FakeDevice, count: int) -> None:
    """Until the device has had that many transfers."""
    while len(device.transfers) < count:
        await asyncio.sleep(0)


def test_transfers_go_out_in_order_and_come_back_as_they_end() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        reading = host.submit(0x81, length=100, flags=SHORT_NOT_OK)
        writing = host.submit(0x02, data=b"hello", flags=ZERO_PACKET)
        told = host.submit(0x83, length=16)
        await submitted(device, 3)
        read, write, interrupt = device.transfers
        assert [t.what for t in device.transfers] == ["bulk", "bulk", "interrupt"]
        assert (read.size, read.fields["short_not_ok"], read.fields["zero_packet"]) == (100, True, False)
        assert (write.data, write.fields["zero_packet"], write.fields["short_not_ok"]) == (
            b"hello",
            True,
            False,
        )
        interrupt.finish(b"\x01\x02")
        write.finish()
        read.finish(b"abc", "EREMOTEIO")
        first, second, third = [await host.answer() for _ in range(3)]
        assert (first.seqnum, first.status, first.data) == (told, 0, b"\x01\x02")
        assert (second.seqnum, second.status, second.transferred) == (writing, 0, 5)
        assert (third.seqnum, third.status, third.data) == (reading, EREMOTEIO, b"abc")

    told(story)


def test_what_was_read_at_once_goes_to_the_device_at_once() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        for number in range(50):
            host.submit(0x02, data=bytes([number]))
        await submitted(device, 1)
        assert [t.data[0] for t in device.transfers] == list(range(50))

    told(story)


@pytest.mark.parametrize(
    ("data", "errno", "status", "answers"),
    [
        (b"", "ECONNRESET", ECONNRESET, 1),
        (b"abc", "ECONNRESET", ECONNRESET, 2),
        (b"abc", None, 0, 2),
        (b"", None, 0, 2),
        (b"", "EPIPE", EPIPE, 2),
    ],
)
def test_an_unlinked_urb_is_answered_once_and_loses_nothing(
    data: bytes, errno: str | None, status: int, answers: int
) -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        reading = host.submit(0x81, length=100)
        await submitted(device, 1)
        (transfer,) = device.transfers
        unlinking = host.unlink(reading)
        assert await host.silent()  # only the board knows what was transferred
        assert transfer.cancelled
        transfer.finish(data, errno)
        if answers == 2:
            returned = await host.answer()
            assert (returned.command, returned.seqnum) == (3, reading)
            assert (returned.status, returned.data) == (status, data)
        unlinked = await host.answer()
        assert (unlinked.command, unlinked.seqnum) == (4, unlinking)
        assert unlinked.status == (ECONNRESET if answers == 1 else 0)
        assert await host.silent()

    told(story)


def test_an_urb_that_was_answered_cannot_be_unlinked() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        reading = host.submit(0x81, length=4)
        await submitted(device, 1)
        device.transfers[0].finish(b"done")
        assert (await host.answer()).data == b"done"
        for victim in (reading, 4711):
            host.unlink(victim)
            answer = await host.answer()
            assert (answer.command, answer.status) == (4, 0)

    told(story)


def test_a_control_request_is_a_transfer() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        asking = host.submit(0x80, length=64, setup=control(0xC0, 1, 2, 3, 8))
        telling = host.submit(0x00, data=b"12345", setup=control(0x21, 0x20, 0, 1, 5))
        await submitted(device, 2)
        asked, told = device.transfers
        assert asked.fields == {"length": 8, "request_type": 0xC0, "request": 1, "value": 2, "index": 3}
        assert told.fields == {
            "data": b"12345",
            "request_type": 0x21,
            "request": 0x20,
            "value": 0,
            "index": 1,
        }
        asked.finish(b"12345678")
        told.finish(errno="EPIPE")
        answers = await host.answers(2)
        assert (answers[asking].status, answers[asking].data) == (0, b"12345678")
        assert (answers[telling].status, answers[telling].transferred) == (EPIPE, 0)
        host.submit(0x00, data=b"", setup=control(0x80, 6, 0x300, 0, 255))
        assert (await host.answer()).status == EINVAL

    told(story)


@pytest.mark.parametrize(
    ("request_type", "request_number", "value", "index", "operation"),
    [
        (0x00, 9, 2, 0, ("set_configuration", 2)),
        (0x01, 11, 1, 1, ("set_interface", 1, 1)),
        (0x02, 1, 0, 0x81, ("clear_halt", 0x81)),
        (0x23, 3, 4, 0, ("reset",)),
    ],
)
def test_requests_that_the_boards_kernel_must_know_of_are_operations(
    request_type: int, request_number: int, value: int, index: int, operation: tuple[object, ...]
) -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        for failure, status in (
            (None, 0),
            (HardwareError("no", errno="EPROTO"), EPROTO),
            (BadRequest("no"), EPIPE),
        ):
            device.fails = failure
            sent = host.request(request_type, request_number, value, index)
            answer = await host.answer()
            assert (answer.seqnum, answer.status) == (sent, status)
        assert device.operations == [operation] * 3
        assert device.transfers == []

    told(story)


def test_a_request_waits_for_the_operation_before_it() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        choosing = host.request(0x00, 9, 1)
        asking = host.request(0x80, 8, size=1)
        cancelled = host.request(0x80, 8, size=1)
        unlinking = host.unlink(cancelled)
        await submitted(device, 1)
        assert device.operations == [("set_configuration", 1)]
        device.transfers[0].finish(b"\x01")
        answers = await host.answers(3)
        assert answers[choosing].status == 0
        assert answers[asking].data == b"\x01"
        assert answers[unlinking].status == ECONNRESET

    told(story)


def test_a_host_need_not_wait_for_an_operation_that_it_gives_up() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        device.may_go_on.clear()
        choosing = host.request(0x00, 9, 1)
        while not device.operations:
            await asyncio.sleep(0)
        unlinking = host.unlink(choosing)
        answer = await host.answer()
        assert (answer.command, answer.seqnum, answer.status) == (4, unlinking, ECONNRESET)
        asking = host.request(0x80, 8, size=1)
        assert await host.silent()
        assert device.transfers == []  # it waits for what goes on at the board
        device.may_go_on.set()
        await submitted(device, 1)
        device.transfers[0].finish(b"\x01")
        answer = await host.answer()
        assert (answer.seqnum, answer.data) == (asking, b"\x01")
        assert await host.silent()

    told(story)


def test_the_address_is_the_boards_business() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.request(0x00, 5, 17)
        assert (await host.answer()).status == 0
        assert device.operations == device.transfers == []

    told(story)


def test_descriptors_that_are_known_are_answered_here() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        first = VENDOR[18 : 18 + struct.unpack_from("<H", VENDOR, 20)[0]]
        wanted = {
            (0x100, 64): VENDOR[:18],
            (0x100, 8): VENDOR[:8],
            (0x200, 9): first[:9],
            (0x200, 512): first,
        }
        for (value, size), descriptor in wanted.items():
            host.request(0x80, 6, value, size=size)
            assert (await host.answer()).data == descriptor
        host.request(0x80, 6, 0x201, size=255)
        assert (await host.answer()).data == VENDOR[18 + len(first) :]
        assert device.transfers == []
        host.request(0x80, 6, 0x202, size=255)
        host.request(0x80, 6, 0x300, size=255)
        await submitted(device, 2)

    told(story, tricks=Tricks())


def test_with_the_trick_off_the_device_describes_itself() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.request(0x80, 6, 0x100, size=18)
        await submitted(device, 1)

    told(story)


def test_another_setting_has_other_endpoints() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        places = [(0, 192), (192, 192)]
        host.submit(0x85, length=384, packets=places)
        answer = await host.answer()
        assert (answer.status, answer.transferred) == (ENOENT, 0)
        host.request(0x01, 11, 1, 1)
        assert (await host.answer()).status == 0
        host.submit(0x85, length=384, packets=places)
        await submitted(device, 1)
        host.request(0x00, 9, 2)
        assert (await host.answer()).status == 0
        host.submit(0x01, data=b"x")
        host.submit(0x02, data=b"x")
        assert (await host.answer()).status == ENOENT
        assert device.transfers[-1].endpoint == 0x01

    told(story)


def test_isochronous_packets_come_back_with_what_they_brought() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        places = [(0, 192), (192, 192), (384, 100)]
        reading = host.submit(0x85, length=484, packets=places)
        writing = host.submit(0x06, data=bytes(range(10)), packets=[(0, 4), (6, 4)])
        await submitted(device, 2)
        read, write = device.transfers
        assert read.fields == {"packets": [192, 192, 100], "data": None}
        assert write.fields == {"packets": [4, 4], "data": bytes([0, 1, 2, 3, 6, 7, 8, 9])}
        read.finish(b"a" * 192 + b"c" * 7, lengths=[192, 0, 7], errors={1: "EPROTO"}, start_frame=77)
        write.finish(b"", transferred=8, lengths=[4, 4])
        answers = await host.answers(2)
        assert answers[reading].packets == [(0, 192, 192, 0), (192, 192, 0, EPROTO), (384, 100, 7, 0)]
        assert (answers[reading].data, answers[reading].start_frame) == (b"a" * 192 + b"c" * 7, 77)
        assert answers[reading].errors == 1
        assert answers[writing].packets == [(0, 4, 4, 0), (6, 4, 4, 0)]

    told(story, FakeDevice(settings={1: 1}))


def test_very_many_isochronous_packets_are_several_transfers() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        places = [(n * 10, 10) for n in range(300)]
        host.submit(0x85, length=3000, packets=places)
        await submitted(device, 3)
        assert [len(t.fields["packets"]) for t in device.transfers] == [128, 128, 44]
        for number, transfer in enumerate(device.transfers):
            count = len(transfer.fields["packets"])
            if number == 1:
                transfer.finish(errno="ECONNRESET")
            else:
                transfer.finish(
                    bytes(count), lengths=[1] * count, errors={3: "EPROTO"}, start_frame=number + 5
                )
        answer = await host.answer()
        assert (answer.status, answer.transferred, answer.start_frame) == (ECONNRESET, 172, 5)
        statuses = [status for _, _, _, status in answer.packets]
        assert statuses[:5] == [0, 0, 0, EPROTO, 0]
        assert statuses[128:256] == [ECONNRESET] * 128
        assert statuses[256:261] == [0, 0, 0, EPROTO, 0]

    told(story, FakeDevice(settings={1: 1}))


def test_an_unlinked_isochronous_urb() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        reading = host.submit(0x85, length=20, packets=[(0, 10), (10, 10)])
        await submitted(device, 1)
        host.unlink(reading)
        assert await host.silent()
        device.transfers[0].finish(errno="ECONNRESET")
        answer = await host.answer()
        assert (answer.command, answer.status) == (4, ECONNRESET)

    told(story, FakeDevice(settings={1: 1}))


def test_packets_belong_to_isochronous_endpoints_alone() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=20, packets=[(0, 20)])
        host.submit(0x85, length=20)
        assert [(await host.answer()).status for _ in range(2)] == [EINVAL, EINVAL]
        assert device.transfers == []

    told(story, FakeDevice(settings={1: 1}))


def test_what_the_board_refuses_is_an_error_of_that_urb() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        for error, status in ((BadRequest("no"), EINVAL), (TooMany("no"), -12), (HardwareError("no"), -5)):
            host.submit(0x81, length=20)
            await submitted(device, len(device.transfers) + 1)
            device.transfers[-1].fail(error)
            assert (await host.answer()).status == status

    told(story)


def test_an_answer_that_makes_no_sense_is_not_passed_on() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=4)
        await submitted(device, 1)
        device.transfers[0].finish(b"too much")
        answer = await host.answer()
        assert (answer.status, answer.data) == (EPROTO, b"")
        host.submit(0x85, length=4, packets=[(0, 4)])
        await submitted(device, 2)
        device.transfers[1].finish(bytes(9), lengths=[9])
        assert (await host.answer()).packets == [(0, 4, 0, EPROTO)]

    told(story, FakeDevice(settings={1: 1}))


def test_a_device_that_is_gone_is_pulled_out_here() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=4)
        host.submit(0x83, length=4)
        await submitted(device, 2)
        for transfer in device.transfers:
            transfer.fail(DeviceGone("it was unplugged"))
        assert isinstance(await bridge.ended, DeviceGone)
        ended = {(await host.answer()).status, (await host.answer()).status}
        assert ended == {ESHUTDOWN}
        assert await host.hung_up()

    told(story)


def test_a_device_that_is_given_up_leaves_no_urb_without_an_answer() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        waiting = host.submit(0x81, length=4)
        await submitted(device, 1)
        bridge.give_up()
        answer = await host.answer()
        assert (answer.seqnum, answer.status) == (waiting, ESHUTDOWN)
        late = host.submit(0x83, length=4)
        answer = await host.answer()
        assert (answer.seqnum, answer.status) == (late, ESHUTDOWN)
        device.transfers[0].finish(b"late")
        assert len(device.transfers) == 1

    told(story)


def test_a_host_that_takes_no_answers_is_hung_up_on_all_the_same() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=16 << 20)
        await submitted(device, 1)
        transport = bridge._transport
        assert transport is not None
        transport.set_write_buffer_limits(high=64 << 20)
        device.transfers[0].finish(bytes(16 << 20))
        assert transport.get_write_buffer_size()
        bridge.lost(DeviceGone("it was unplugged"))
        await bridge.close()
        await asyncio.sleep(0.05)
        assert bridge._transport is None

    told(story)


def test_a_host_that_hangs_up_ends_the_bridge() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=4)
        await submitted(device, 1)
        host.close()
        assert await bridge.ended is None
        device.transfers[0].finish(b"late")

    told(story)


def test_an_answer_behind_the_end_is_not_written() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.submit(0x81, length=4)
        await submitted(device, 1)
        transport = bridge._transport
        assert transport is not None
        bridge._transport = watched = Mock(wraps=transport)
        transport.abort()
        device.transfers[0].finish(b"late")
        assert await bridge.ended is None
        watched.writelines.assert_not_called()  # on Python 3.12 and newer its number would be watched

    told(story)


def test_a_host_that_breaks_the_protocol_is_hung_up_on() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        bridge.data_received(bytes(48))
        assert isinstance(await bridge.ended, MalformedMessage)
        assert await host.hung_up()

    told(story)


def test_a_sequence_number_in_use_breaks_the_protocol() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        bridge.data_received(submit(9, 0x81, length=4) + submit(9, 0x81, length=4))
        assert isinstance(await bridge.ended, MalformedMessage)

    told(story)


def test_a_reset_of_mass_storage_is_a_request_like_others_elsewhere() -> None:
    async def story(host: Host, device: FakeDevice, bridge: Bridge) -> None:
        host.request(0x21, 0xFF)
        await submitted(device, 1)
        assert device.transfers[0].what == "control"

    told(story)
    told(story, FakeDevice(STORAGE), Tricks(polling=Switch.OFF))
