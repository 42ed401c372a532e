"""CAN on real kernel drivers: vcan, a gs_usb adapter with CAN FD, and two sja1000 controllers of kvaser_pci."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from myclerk_client import (
    Board,
    CanBus,
    CanFilter,
    Conflict,
    DeviceGone,
    Frame,
    HardwareError,
    NotFound,
    OperationTimeout,
    Unsupported,
)

from .hand import Hand
from .virtual_board import VirtualBoard

T = TypeVar("T")
VCAN = pytest.mark.backend("virtual board: vcan")
GS_USB = pytest.mark.backend("virtual board: gs_usb")
KVASER = pytest.mark.backend("virtual board: kvaser_pci")

FD_RATE = {"bitrate": 500_000, "data_bitrate": 2_000_000, "fd": True}


def on(board: VirtualBoard, story: Callable[[Board], Awaitable[T]]) -> T:
    async def run() -> T:
        async with asyncio.timeout(100), await board.connect() as client:
            return await story(client)

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _all_down_again(hand: Hand) -> Iterator[None]:
    yield
    hand.can_analyser(present=True)
    hand.can_sent()
    for number in range(4):
        hand.call("run", argv=["ip", "link", "set", f"can{number}", "down"])


async def some(bus: CanBus, count: int) -> list[Frame]:
    """That many frames."""
    received: list[Frame] = []
    while len(received) < count:
        frames = await bus.receive_many(count - len(received), timeout=30)
        assert frames, f"only {len(received)} of {count} frames came"
        received += frames
    return received


async def until(bus: CanBus, wanted: Callable[[Frame], Any]) -> Frame:
    """The first frame that is wanted."""
    while True:
        (frame,) = await some(bus, 1)
        if wanted(frame):
            return frame


def texts(frames: list[Frame]) -> list[str]:
    return [str(frame) for frame in frames]


# -- vcan --------------------------------------------------------------------------------------------------


@VCAN
def test_frames_of_every_kind_cross_the_kernel(board: VirtualBoard) -> None:
    wanted = ["123#DEADBEEF", "1ABCDEF0#", "005#R4", "00000005#R", "006##0" + "AB" * 64, "12345678##301"]

    async def story(client: Board) -> None:
        async with await client.can.open("vcan0") as one, await client.can.open("vcan0") as other:
            assert one.settings["fd"] is True
            await one.send_many(Frame.parse(text) for text in wanted)
            received = await some(other, len(wanted))
            assert texts(received) == wanted
            stamps = [frame.timestamp_ns for frame in received]
            assert stamps == sorted(stamps)
            assert not any(frame.is_rx or frame.is_own for frame in received), "they were sent on the board"
            assert await one.receive(timeout=0.1) is None, "own frames were not asked for"

    on(board, story)


@VCAN
def test_candump_and_cansend_on_the_board_agree(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.can.open("vcan0") as bus:
            for text in ("5A1#11.22.33", "1F334455#1122334455667788", "123#R8", "213##3112233"):
                hand.check("cansend", "vcan0", text)
            received = texts(await some(bus, 4))
            assert received == ["5A1#112233", "1F334455#1122334455667788", "123#R8", "213##3112233"]

    on(board, story)


@VCAN
def test_thousands_of_frames_arrive_in_order(board: VirtualBoard) -> None:
    count = 5000

    async def story(client: Board) -> None:
        async with await client.can.open("vcan0") as one, await client.can.open("vcan0") as other:
            frames = [Frame(0x100, number.to_bytes(4, "big")) for number in range(count)]
            received, sent = await asyncio.gather(some(other, count), one.send_many(frames))
            assert sent == count
            assert [frame.data for frame in received] == [frame.data for frame in frames]
            assert other.dropped == 0

    on(board, story)


@VCAN
def test_frames_that_found_no_room_are_counted(board_factory: Any) -> None:
    board = board_factory()
    board.restart_agent("[drivers.can]\nreceive-buffer = 65536\n")

    async def story(client: Board) -> None:
        async with await client.can.open("vcan0") as one, await client.can.open("vcan0") as other:
            await one.send_many([Frame(0x100)] * 500)
            received = await other.receive_many(timeout=30)
            sent = 500
            while received[-1].arbitration_id != 0x7FF:
                await one.send(Frame(0x7FF))
                sent += 1
                received += await other.receive_many(timeout=1)
            while len(received) + other.dropped < sent:
                received += await some(other, 1)
            assert 0 < other.dropped < 500
            assert len(received) + other.dropped == sent

    on(board, story)


@VCAN
def test_the_kernel_filters(board: VirtualBoard) -> None:
    ids = [0x100, 0x101, 0x200]

    async def passed(client: Board, **reception: Any) -> set[int]:
        async with (
            await client.can.open("vcan1", **reception) as bus,
            await client.can.open("vcan1") as sender,
        ):
            await sender.send_many([*(Frame(number) for number in ids), Frame(0x100, is_extended_id=True)])
            await bus.set_filters([CanFilter(0x7FF, 0x7FF)], joined=False)
            await sender.send(Frame(0x7FF))
            found: set[int] = set()
            while 0x7FF not in found:
                frame = (await some(bus, 1))[0]
                found.add(frame.arbitration_id | frame.is_extended_id << 31)
            return found - {0x7FF}

    async def story(client: Board) -> None:
        extended = 0x100 | 1 << 31
        assert await passed(client) == {*ids, extended}
        assert await passed(client, filters=[]) == set()
        assert await passed(client, filters=[CanFilter(0x100, 0x7FF)]) == {0x100, extended}
        assert await passed(client, filters=[CanFilter(0x100, 0x7FF, extended=False)]) == {0x100}
        assert await passed(client, filters=[CanFilter(0x100, 0x700, inverted=True)]) == {0x200}
        both = [CanFilter(0x100, 0x700), CanFilter(0x101, 0x7FF, inverted=True)]
        assert await passed(client, filters=both, joined=True) == {0x100, extended}
        assert await passed(client, filters=[CanFilter(number, 0x7FF) for number in range(0x100, 0x300)]) == {
            *ids,
            extended,
        }

    on(board, story)


@VCAN
def test_own_frames_come_back_when_asked(board: VirtualBoard) -> None:
    async def story(client: Board) -> None:
        async with await client.can.open("vcan1", receive_own=True) as bus:
            await bus.send(Frame(0x123, b"x"))
            (frame,) = await some(bus, 1)
            assert (frame.is_own, frame.is_rx, frame.data) == (True, False, b"x")

    on(board, story)


@VCAN
def test_a_virtual_interface_has_no_bit_rate_but_goes_up_and_down(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        with pytest.raises(Unsupported, match="virtual") as refused:
            await client.can.open("vcan1", bitrate=500_000)
        assert refused.value.details["key"] == "bitrate"
        async with await client.can.open("vcan1") as bus:
            assert (await bus.configure(fd=False))["mtu"] == 16
            with pytest.raises(Unsupported, match="CAN FD") as classic:
                await bus.send_many([Frame(1), Frame(2, is_fd=True)])
            assert classic.value.details["sent"] == 1
            assert (await bus.configure(up=False))["up"] is False
            with pytest.raises(HardwareError, match="is down"):
                await bus.send(Frame(1))
            assert "mtu 72" in hand.check("ip", "link", "show", "vcan0")
            state = await bus.configure(fd=True, up=True)
            assert (state["mtu"], state["up"]) == (72, True)
            await bus.send(Frame(2, is_fd=True))

    on(board, story)


@VCAN
def test_a_stream_ends_when_the_board_takes_the_interface_down_or_away(
    board: VirtualBoard, hand: Hand
) -> None:
    async def story(client: Board) -> None:
        hand.check("ip", "link", "add", "spare0", "type", "vcan")
        hand.check("ip", "link", "set", "spare0", "up")
        async with await client.can.open("spare0") as bus:
            waiting = asyncio.create_task(bus.receive())
            await client.ping()
            hand.check("ip", "link", "set", "spare0", "down")
            with pytest.raises(HardwareError) as down:
                await waiting
            assert down.value.details["errno"] == "ENETDOWN"
            hand.check("ip", "link", "set", "spare0", "up")
            hand.check("cansend", "spare0", "123#")
            assert (await some(bus, 1))[0].arbitration_id == 0x123
            waiting = asyncio.create_task(bus.receive())
            await client.ping()
            hand.check("ip", "link", "delete", "spare0")
            with pytest.raises(DeviceGone):
                await waiting
            with pytest.raises(DeviceGone):
                await bus.send(Frame(1))
            with pytest.raises(NotFound):
                await client.can.open("spare0")

    on(board, story)


# -- gs_usb ------------------------------------------------------------------------------------------------


@GS_USB
def test_the_list_says_what_is_there(board: VirtualBoard) -> None:
    async def story(client: Board) -> None:
        found = {row["interface"]: row for row in await client.can.list()}
        assert {"can0", "can1", "vcan0", "vcan1"} <= found.keys()
        assert (found["can0"]["driver"], found["can0"]["kind"], found["can0"]["up"]) == (
            "gs_usb",
            "can",
            False,
        )
        assert found["can0"]["clock"] == 80_000_000
        assert {"fd", "listen-only", "loopback", "one-shot", "berr-reporting"} <= set(found["can0"]["modes"])
        assert found["vcan0"]["kind"] == "vcan"
        assert "state" not in found["vcan0"]
        device = await client.device("can:can0")
        assert device["parent"].startswith("usb:")

    on(board, story)


@GS_USB
def test_configuring_reaches_the_controller(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.can.open("can0", **FD_RATE, sample_point=0.8, restore=True) as bus:
            settings = bus.settings
            assert (settings["bitrate"], settings["data_bitrate"], settings["mtu"]) == (
                500_000,
                2_000_000,
                72,
            )
            assert settings["sample_point"] == pytest.approx(0.8, abs=0.01)
            assert settings["state"] == "error-active"
            timing = settings["bit_timing"]
            quanta = 1 + timing["prop_seg"] + timing["phase_seg1"] + timing["phase_seg2"]
            assert settings["clock"] / timing["brp"] / quanta == pytest.approx(500_000)
            node = hand.can_state()[0]
            assert (node["running"], node["bitrate"], node["data_bitrate"], node["fd"]) == (
                True, 500_000, 2_000_000, True,
            )  # fmt: skip
            settings = await bus.configure(fd=False, bitrate=250_000, one_shot=True)
            assert (settings["fd"], settings["mtu"], settings["one_shot"], settings["up"]) == (
                False,
                16,
                True,
                True,
            )
            assert "data_bitrate" not in settings
            node = hand.can_state()[0]
            assert (node["bitrate"], node["fd"], node["one_shot"]) == (250_000, False, True)
        async with await client.can.open("can0") as again:
            assert again.settings["up"] is False, "restored"
            assert again.settings["one_shot"] is False

    on(board, story)


@GS_USB
def test_the_earlier_settings_are_restored_exactly(board: VirtualBoard, hand: Hand) -> None:
    hand.check("sh", "-c", "ip link set can0 type can bitrate 125000 sample-point 0.75 one-shot on fd off")
    hand.check("ip", "link", "set", "can0", "up")
    before = hand.check("ip", "-details", "link", "show", "can0")

    async def story(client: Board) -> None:
        async with await client.can.open("can0", **FD_RATE, one_shot=False, listen_only=True, restore=True):
            assert hand.check("ip", "-details", "link", "show", "can0") != before
        async with await client.can.open("can0"):
            pass

    on(board, story)
    assert hand.check("ip", "-details", "link", "show", "can0") == before


@GS_USB
def test_what_the_kernel_refuses_changes_nothing(board: VirtualBoard, hand: Hand) -> None:
    hand.check("sh", "-c", "ip link set can0 type can bitrate 125000 fd off")
    hand.check("ip", "link", "set", "can0", "up")
    before = hand.check("ip", "-details", "link", "show", "can0")

    async def story(client: Board) -> None:
        async with await client.can.open("can0") as bus:
            for wrong in (
                {"bitrate": 70_000_000},
                {"triple_sampling": True},
                {"bitrate": 3, "listen_only": True},
            ):
                with pytest.raises(Unsupported) as refused:
                    await bus.configure(**wrong)
                assert "can0" in refused.value.message
            async with await client.can.open("can0") as other:
                with pytest.raises(Conflict, match="another handle"):
                    await other.configure(bitrate=500_000)
                assert (await other.configure(bitrate=125_000, up=True))["bitrate"] == 125_000

    on(board, story)
    assert hand.check("ip", "-details", "link", "show", "can0") == before


@GS_USB
def test_two_controllers_talk_and_the_bench_hears(board: VirtualBoard, hand: Hand) -> None:
    wanted = ["123#DEADBEEF", "1ABCDEF0#01", "005#R4", "006##0" + "AB" * 48, "12345678##10102"]

    async def story(client: Board) -> None:
        async with (
            await client.can.open("can0", **FD_RATE) as one,
            await client.can.open("can1", **FD_RATE) as other,
        ):
            await one.send_many(Frame.parse(text) for text in wanted)
            received = await some(other, len(wanted))
            assert texts(received) == wanted
            assert all(frame.is_rx for frame in received)
            heard = [sent for sent in hand.can_sent() if sent["channel"] == 0]
            assert [sent["id"] for sent in heard] == [0x123, 0x1ABCDEF0, 5, 6, 0x12345678]
            assert heard[3]["data"] == b"\xab" * 48
            hand.can_inject(id=0x321, data=b"bench", channel=1)
            assert str((await some(other, 1))[0]) == "321#62656E6368"
            status = await other.status()
            assert status["statistics"]["rx_packets"] == len(wanted) + 1

    on(board, story)


@GS_USB
def test_a_full_queue_is_waited_for_and_a_timeout_counts(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.can.open("can0", bitrate=500_000, fd=False, one_shot=False) as one:
            count = one.settings["tx_queue_length"] + 200
            numbered = [Frame(0x100, number.to_bytes(2, "big")) for number in range(count)]
            hand.can_analyser(present=False)
            with pytest.raises(OperationTimeout) as late:
                await one.send_many(numbered, timeout=1)
            taken = late.value.details["sent"]
            assert 0 < taken < count
            assert (await one.status())["state"] == "error-passive"
            sending = asyncio.create_task(one.send_many(numbered))
            await asyncio.sleep(0.3)
            assert not sending.done()
            hand.can_analyser(present=True)
            assert await sending == count
            heard: list[bytes] = []
            while len(heard) < taken + count:
                heard += [bytes(sent["data"]) for sent in hand.can_sent()]
                await asyncio.sleep(0.05)
            assert heard == [frame.data for frame in [*numbered[:taken], *numbered]]

    on(board, story)


@GS_USB
def test_error_frames_say_what_happens_on_the_bus(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        async with await client.can.open(
            "can0", bitrate=500_000, fd=False, berr_reporting=True, errors=True
        ) as bus:
            before = (await bus.status())["statistics"]["error_passives"]
            hand.can_error(channel=0, kind="stuff")
            error = (await until(bus, lambda frame: frame.is_error_frame)).error
            assert error is not None
            assert "protocol-violation" in error.classes
            assert error.violations == ("bit-stuffing-error",)
            hand.can_error(channel=0, kind="passive")
            error = (await until(bus, lambda frame: frame.error and frame.error.controller)).error
            assert error is not None
            assert error.controller == ("tx-error-passive",)
            assert error.tx_errors == 128
            status = await bus.status()
            assert (status["state"], status["tx_errors"]) == ("error-passive", 128)
            assert status["statistics"]["error_passives"] == before + 1
            await bus.set_filters(errors=False)
            hand.can_error(channel=0, kind="stuff")
            hand.can_inject(id=0x77, channel=0)
            assert (await until(bus, lambda frame: not frame.is_error_frame)).arbitration_id == 0x77

    on(board, story)


@GS_USB
def test_bus_off_is_told_and_left(board: VirtualBoard, hand: Hand) -> None:
    """This driver keeps bus-off from the network layer, and cannot restart by itself."""

    async def story(client: Board) -> None:
        async with await client.can.open("can0", bitrate=500_000, fd=False, errors=True) as bus:
            with pytest.raises(Conflict, match="nothing to restart"):
                await bus.restart()
            hand.can_bus_off(channel=0)
            await until(bus, lambda frame: frame.error and "bus-off" in frame.error.classes)
            assert (await bus.status())["state"] == "bus-off"
            count = bus.settings["tx_queue_length"] + 200
            with pytest.raises(HardwareError, match="bus-off; restart it") as refused:
                await bus.send_many([Frame(1)] * count)
            assert refused.value.details["sent"] < count
            with pytest.raises(Unsupported, match="take it down and up again"):
                await bus.restart()
            await bus.configure(up=False)
            assert (await bus.configure(up=True))["state"] == "error-active"
            hand.can_sent()
            await bus.send(Frame(2), timeout=10)
            heard = []
            while not heard:
                heard = hand.can_sent()
            assert heard[0]["id"] == 2

    on(board, story)


@GS_USB
def test_the_adapter_can_be_pulled(board_factory: Any) -> None:
    board = board_factory()

    async def story(client: Board) -> None:
        async with await client.can.open("can0", bitrate=500_000, restore=True) as bus:
            waiting = asyncio.create_task(bus.receive())
            await client.ping()
            board.hand.usb_unplug(name="can")
            with pytest.raises(DeviceGone):
                await waiting
            with pytest.raises(DeviceGone):
                await bus.send(Frame(1))
        assert "can0" not in {row["interface"] for row in await client.can.list()}

    on(board, story)


# -- kvaser_pci --------------------------------------------------------------------------------------------


@KVASER
@pytest.mark.amd64_only("kvaser_pci")
def test_classic_controllers_talk(board: VirtualBoard, hand: Hand) -> None:
    async def story(client: Board) -> None:
        found = {row["interface"]: row for row in await client.can.list()}
        assert found["can2"]["driver"] == "kvaser_pci"
        assert "fd" not in found["can2"]["modes"]
        async with (
            await client.can.open("can2", bitrate=500_000, restart_ms=100) as one,
            await client.can.open("can3", bitrate=500_000) as other,
        ):
            assert one.settings["restart_ms"] == 100
            assert "bit_timing" in one.settings
            for number in range(100):  # one by one: QEMU's bus knows no time, and the FIFO behind it is short
                frame = Frame(0x123 + number, number.to_bytes(2, "big"))
                await one.send(frame)
                assert texts(await some(other, 1)) == [str(frame)]
                await other.send(frame)
                assert texts(await some(one, 1)) == [str(frame)]
            with pytest.raises(Unsupported) as refused:
                await one.configure(fd=True, data_bitrate=1_000_000)
            assert refused.value.details["key"] == "fd"
            assert "bitrate 500000" in hand.check("ip", "-details", "link", "show", "can2")
            changed = await one.configure(
                bitrate=1_000_000, sample_point=0.75, triple_sampling=True, restart_ms=0
            )
            assert (changed["bitrate"], changed["triple_sampling"], changed["restart_ms"]) == (
                1_000_000,
                True,
                0,
            )

    on(board, story)


@KVASER
@pytest.mark.amd64_only("kvaser_pci")
def test_who_only_listens_hears_and_does_not_send(board: VirtualBoard) -> None:
    async def story(client: Board) -> None:
        async with (
            await client.can.open("can2", bitrate=500_000, listen_only=True, restore=True) as one,
            await client.can.open("can3", bitrate=500_000) as other,
        ):
            await other.send(Frame(0x55))
            assert (await some(one, 1))[0].arbitration_id == 0x55
            with pytest.raises(ValueError, match="listen only"):
                await one.send(Frame(1))

    on(board, story)


@VCAN
def test_nothing_is_left_when_a_client_vanishes(board: VirtualBoard, hand: Hand) -> None:
    def sockets() -> int:
        return len(hand.check("cat", "/proc/net/can/rcvlist_all").split("vcan1")) - 1

    before = sockets()

    async def story(client: Board) -> None:
        for _ in range(5):
            await client.can.open("vcan1")

    on(board, story)
    assert sockets() == before
