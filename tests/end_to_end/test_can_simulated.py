"""The user stories of CAN, on an agent that simulates its buses: the library, the blocking library, the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from programs import Run, program

import myclerk.blocking as blocking
import support
from myclerk_client import (
    BadRequest,
    Board,
    CanBus,
    CanFilter,
    Conflict,
    Frame,
    HardwareError,
    KnownBoards,
    NotFound,
    OperationTimeout,
    Unsupported,
)
from tracing import Trace

pytestmark = pytest.mark.backend("simulated CAN buses")
T = TypeVar("T")

DESCRIPTION = """\
[can.can0]
bus = "vehicle"
[can.can1]
bus = "vehicle"
[can.can2]
bus = "lonely"
bitrate = 500_000
up = true
[can.vcan0]
kind = "vcan"
"""


@pytest.fixture(scope="module")
def running_agent(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[support.AgentProcess]:
    """An agent that serves simulated CAN buses and nothing else."""
    directory = tmp_path_factory.mktemp("agent")
    (directory / "board.toml").write_text(DESCRIPTION)
    with support.agent(directory, options=("--simulate", str(directory / "board.toml"))) as running:
        yield running


def on_board(boards: KnownBoards, story: Callable[[Board], Awaitable[T]]) -> T:
    async def run() -> T:
        async with asyncio.timeout(60), await Board.connect("bench", boards=boards) as board:
            return await story(board)

    return asyncio.run(run())


async def joined(board: Board, **settings: object) -> tuple[CanBus, CanBus]:
    return (
        await board.can.open("can0", bitrate=500_000, **settings),
        await board.can.open("can:can1", bitrate=500_000, **settings),
    )


# -- the library -------------------------------------------------------------------------------------------


def test_frames_go_both_ways(boards: KnownBoards) -> None:
    frames = [
        Frame(0x123, b"\xde\xad\xbe\xef"),
        Frame(0x18DAF110, b"", is_extended_id=True),
        Frame(0x7, bytes(3), is_remote_frame=True),
        Frame(0x8, bytes(48), is_fd=True, bitrate_switch=True),
        Frame(0x9, b"", is_fd=True, error_state_indicator=True),
    ]

    async def story(board: Board) -> None:
        one, other = await joined(board, fd=True, data_bitrate=2_000_000)
        async with one, other:
            assert (one.settings["up"], one.settings["data_bitrate"]) == (True, 2_000_000)
            assert await one.send_many(frames) == len(frames)
            received = await other.receive_many(timeout=10)
            while len(received) < len(frames):
                received += await other.receive_many(timeout=10)
            assert [str(frame) for frame in received] == [str(frame) for frame in frames]
            assert all(frame.timestamp_ns > 1.6e18 and frame.is_rx for frame in received)
            await other.send(frames[0])
            answer = await one.receive(timeout=10)
            assert answer is not None
            assert (answer.arbitration_id, answer.data, answer.dlc) == (0x123, b"\xde\xad\xbe\xef", 4)
            assert await one.receive(timeout=0.01) is None

    on_board(boards, story)


def test_frames_are_not_lost_to_readers_that_did_not_wait(boards: KnownBoards) -> None:
    """Not even while the stream of frames is only being opened."""

    async def story(board: Board) -> None:
        one, other = await joined(board)
        async with one, other:
            await one.send_many(Frame(number) for number in range(10))
            received: list[Frame] = []
            async with asyncio.timeout(20):
                while len(received) < 10:
                    received += await other.receive_many(timeout=0)
                    await asyncio.sleep(0)
            assert [frame.arbitration_id for frame in received] == list(range(10))
            assert await other.receive_many(timeout=0) == []

    on_board(boards, story)


def test_twenty_thousand_frames_arrive_in_order(boards: KnownBoards) -> None:
    count = 20_000

    async def story(board: Board) -> None:
        one, other = await joined(board)
        async with one, other:
            sending = asyncio.create_task(
                one.send_many(Frame(0x100, number.to_bytes(4, "big")) for number in range(count))
            )
            number = 0
            async for frame in other:
                assert frame.data == number.to_bytes(4, "big")
                number += 1
                if number == count:
                    break
            assert await sending == count
            assert other.dropped == 0

    on_board(boards, story)


def test_a_dropped_connection_loses_no_frame(boards: KnownBoards) -> None:
    count = 3000

    async def story(board: Board) -> None:
        one, other = await joined(board)
        async with one, other:
            sending = asyncio.create_task(
                one.send_many(Frame(0x100, number.to_bytes(4, "big")) for number in range(count))
            )
            received: list[int] = []
            while len(received) < count:
                frames = await other.receive_many(500, timeout=20)
                received += [int.from_bytes(frame.data, "big") for frame in frames]
                if len(received) % 7 == 0:
                    board.link.drop_connection()
            assert await sending == count
            assert received == list(range(count))

    on_board(boards, story)


def test_filters_own_frames_and_errors(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        only = CanFilter(0x100, 0x7FF, extended=False)
        async with await board.can.open("vcan0", filters=[only], receive_own=True) as bus:
            await bus.send_many([Frame(0x101), Frame(0x100, is_extended_id=True), Frame(0x100, b"1")])
            own = await bus.receive(timeout=10)
            assert own is not None
            assert (own.data, own.is_own, own.is_rx) == (b"1", True, False)
            await bus.set_filters([CanFilter(0x100, inverted=True)], receive_own=False)
            async with await board.can.open("vcan0") as other:
                await other.send_many([Frame(0x100), Frame(0x101, b"2")])
                frame = await bus.receive(timeout=10)
                assert frame is not None
                assert (frame.data, frame.is_own, frame.is_rx) == (b"2", False, False)
        async with await board.can.open("can2", errors=True) as alone:
            await alone.send(Frame(0x1))
            errors = []
            while "tx-error-passive" not in str(errors[-1:]):
                frame = await alone.receive(timeout=10)
                assert frame is not None
                assert frame.error is not None
                errors.append(frame.error)
            assert errors[-1].controller == ("tx-error-passive",)
            assert (errors[-1].tx_errors, errors[-1].rx_errors) == (128, 0)
            assert (await alone.status())["state"] == "error-passive"

    on_board(boards, story)


def test_a_send_that_takes_too_long_says_how_far_it_came(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.can.open("can2", bitrate=500_000) as alone:
            await alone.configure(up=False)
            with pytest.raises(HardwareError, match="is down"):
                await alone.send(Frame(0x1))
            with pytest.raises(HardwareError, match="is down"):
                await alone.receive(timeout=10)
            await alone.configure(up=True)
            with pytest.raises(OperationTimeout) as late:
                await alone.send_many([Frame(0x1)] * 1500, timeout=0.2)
            assert late.value.details["sent"] == 10
            assert await alone.receive(timeout=0.01) is None, "the stream opens once it is up"

    on_board(boards, story)


def test_settings_are_shared_and_restored(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        async with await board.can.open("can0", bitrate=125_000, fd=False):
            pass
        async with await board.can.open("can0", bitrate=250_000, restore=True) as bus:
            async with await Board.connect("bench", boards=boards) as elsewhere:
                async with await elsewhere.can.open("can0", bitrate=250_000) as shared:
                    with pytest.raises(Conflict, match="another handle"):
                        await bus.configure(bitrate=1_000_000)
                    assert shared.settings["bitrate"] == 250_000
                with pytest.raises(Conflict):
                    await elsewhere.can.open("can0", bitrate=1_000_000)
            assert (await bus.configure(sample_point=0.75))["sample_point"] == 0.75
        async with await board.can.open("can0") as again:
            assert again.settings["bitrate"] == 125_000

    on_board(boards, story)


def test_what_is_wrong_is_a_clear_error(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        with pytest.raises(NotFound, match="can9"):
            await board.can.open("can9")
        with pytest.raises(Unsupported, match="virtual") as virtual:
            await board.can.open("vcan0", bitrate=500_000)
        assert virtual.value.details["key"] == "bitrate"
        async with await board.can.open("vcan0") as bus:
            for frame, place in (
                (Frame(1, bytes(9)), "frames[1]"),
                (Frame(1, bytes(9), is_fd=True), "frames[1]"),
            ):
                with pytest.raises(BadRequest) as refused:
                    await bus.send_many([Frame(1), frame])
                assert refused.value.details["key"] == place
            with pytest.raises(ValueError, match="is_extended_id"):
                await bus.send(Frame(0x800))
            with pytest.raises(BadRequest) as many:
                await bus.set_filters([CanFilter(1)] * 513)
            assert many.value.details["key"] == "filters"
            with pytest.raises(BadRequest) as unknown:
                await board.request("CAN_FRAME_SEND", handle=1, frames=[[1, 0]])
            assert unknown.value.details["key"].startswith("frames")
        with pytest.raises(Conflict, match="closed here"):
            await bus.send(Frame(1))
        listed = {row["interface"]: row for row in await board.can.list()}
        assert not any(row["in_use"] for row in listed.values()), "nothing is left open"

    on_board(boards, story)


# -- the blocking library ----------------------------------------------------------------------------------


def test_without_await(paired_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(paired_home))
    with blocking.Board.connect("bench") as board:
        with board.can.open("vcan0") as one, board.can.open("vcan0") as other:
            assert one.send_many([blocking.Frame(0x10, b"a"), blocking.Frame(0x11, b"b")]) == 2
            for frame in other:
                if frame.data == b"b":
                    break
            assert other.receive(timeout=0.01) is None
            assert one.status()["kind" if "kind" in one.settings else "mtu"] == 72


# -- the commands ------------------------------------------------------------------------------------------


def test_list_up_configure_status_and_down(run: Run) -> None:
    assert run("can", "up", "can1", "--bitrate", "250000", "--no-fd", "--restart-ms", "100")[1].startswith(
        b"can:can1: error-active, 250000 bit/s at 87.5% restart after 100 ms"
    )
    changed = json.loads(run("--json", "can", "configure", "can1", "--fd", "--data-bitrate", "1000000")[1])
    assert (changed["fd"], changed["data-bitrate"], changed["up"]) == (True, 1_000_000, True)
    assert json.loads(run("--json", "can", "status", "can1")[1])["state"] == "error-active"
    listed = run("can", "list")[1].decode()
    assert "can:vcan0" in listed
    assert "250000 bit/s at 87.5% data 1000000 bit/s fd restart after 100 ms" in listed
    assert run("can", "down", "can1")[1].startswith(b"can:can1: down")
    code, _, error = run("can", "configure", "can1")
    assert (code, "--restart" in error) == (2, True)
    code, _, error = run("can", "configure", "can1", "--restart")
    assert (code, "nothing to restart" in error) == (6, True)


def test_send_and_dump_speak_as_can_utils_do(
    run: Run, paired_home: Path, boards: KnownBoards, tmp_path: Path
) -> None:
    with program(paired_home, "can", "dump", "vcan0,100:700,#FFFFFFFF", "-n", "4", "-x") as dump:
        until_open(boards, "vcan0")
        texts = ["7FF#00", "123#DEADBEEF", "10000100#", "124#R2", "125##1.11.22.33.44.55.66.77.88.99"]
        assert run("can", "send", "vcan0", *texts)[0] == 0
        assert (
            run(
                "can",
                "send",
                "vcan0",
                "123#0",
            )[0]
            == 2
        )
        out, _ = dump.process.communicate(timeout=30)
    assert out.decode() == (
        "  vcan0  TX  123   [4]  DE AD BE EF\n"
        "  vcan0  TX  10000100   [0] \n"
        "  vcan0  TX       124   [2]  remote request\n"
        "  vcan0  TX       125  [12]  11 22 33 44 55 66 77 88 99 00 00 00\n"
    )


def test_a_log_is_played_back(run: Run, paired_home: Path, boards: KnownBoards, tmp_path: Path) -> None:
    lines = [
        "(1436509052.249713) can7 044#2A366C2BBA",
        "(1436509052.249847) can7 0F6#7ADFE07BD2",
        "(1436509052.269999) can7 20000004#0004000000000000",
        "(1436509052.270000) can7 1234ABCD##0AA",
    ]
    log = tmp_path / "drive.log"
    log.write_text("\n".join(lines))
    with program(paired_home, "can", "dump", "vcan0", "-n", "3", "-f", str(tmp_path / "again.log")) as dump:
        until_open(boards, "vcan0")
        code, out, _ = run("--json", "can", "play", str(log), "vcan0=can7")
        assert (code, json.loads(out)) == (0, {"sent": 3, "skipped": 1})
        assert dump.process.wait(30) == 0
    written = [line.split() for line in (tmp_path / "again.log").read_text().splitlines()]
    assert [(name, text) for _, name, text in written] == [
        ("vcan0", "044#2A366C2BBA"), ("vcan0", "0F6#7ADFE07BD2"), ("vcan0", "1234ABCD##0AA"),
    ]  # fmt: skip
    log.write_bytes(b"gr\xfc\xdfe\n(1.0) vcan0 123#\n")
    assert run("--json", "can", "play", str(log))[0] == 0, "canplayer skips it, too"
    log.write_text("(1) what is this\n")
    code, _, error = run("can", "play", str(log))
    assert (code, "drive.log:1" in error) == (2, True)


def test_dump_shows_errors_in_words(run: Run, paired_home: Path, boards: KnownBoards) -> None:
    async def fresh(board: Board) -> None:
        async with await board.can.open("can2") as bus:
            await bus.configure(up=False)
            await bus.configure(bitrate=500_000, berr_reporting=True, up=True)

    on_board(boards, fresh)
    with program(paired_home, "--json", "can", "dump", "can2", "-e", "-n", "3") as dump:
        until_open(boards, "can2")
        assert run("can", "send", "can2", "123#")[0] == 0
        out, _ = dump.process.communicate(timeout=30)
        assert dump.process.returncode == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert all(record["is-error-frame"] and record["interface"] == "can2" for record in records)
    assert records[0]["error"] == "no-acknowledgement-on-tx,bus-error,error-counter-tx-rx{{8}{0}}"


def test_dump_ends_when_nothing_comes_or_its_words_are_wrong(run: Run) -> None:
    assert run("can", "dump", "vcan0", "-T", "50") == (0, b"", "")
    code, _, error = run("can", "dump", "vcan0,nonsense")
    assert (code, "'nonsense' is no filter" in error) == (2, True)


def until_open(boards: KnownBoards, name: str) -> None:
    """Wait until somebody has an interface open."""

    async def is_open(board: Board) -> bool:
        return any(row["in_use"] for row in await board.can.list() if row["interface"] == name)

    while not on_board(boards, is_open):
        pass
