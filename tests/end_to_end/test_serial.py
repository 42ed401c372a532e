"""The user story of a serial port: opened from a desktop, through the real agent, on a real tty."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

import support
from myclerk_client import (
    BadRequest,
    Board,
    Conflict,
    DeviceGone,
    KnownBoards,
    NotFound,
    OperationTimeout,
    Unsupported,
)

T = TypeVar("T")


def on_board(boards: KnownBoards, story: Callable[[Board], Awaitable[T]]) -> T:
    async def run() -> T:
        async with await Board.connect("bench", boards=boards) as board:
            return await story(board)

    return asyncio.run(run())


def test_what_is_written_comes_back(boards: KnownBoards, echo_port: str) -> None:
    async def story(board: Board) -> None:
        async with await board.serial.open(echo_port, baud=115200) as port:
            assert port.settings["baud"] == 115200
            assert await port.write(b"hello\n", drain=True) == 6
            assert await port.read_until(b"\n", timeout=5) == b"hello\n"

    on_board(boards, story)


def test_a_megabyte_both_ways_arrives_whole(boards: KnownBoards, echo_port: str) -> None:
    data = os.urandom(1 << 20)

    async def story(board: Board) -> None:
        async with await board.serial.open(echo_port) as port:
            writing = asyncio.create_task(port.write(data))
            received = await port.read_exactly(len(data), timeout=60)
            assert await writing == len(data)
            assert received == data

    on_board(boards, story)


def test_a_reader_that_gives_up_while_it_opens_loses_nothing(boards: KnownBoards, echo_port: str) -> None:
    async def story(board: Board) -> None:
        for given_up_after in range(8):  # turns of the event loop: before, while and after the stream opens
            async with await board.serial.open(echo_port) as port:
                reading = asyncio.create_task(port.read())
                for _ in range(given_up_after):
                    await asyncio.sleep(0)
                reading.cancel()
                await port.write(b"not lost")
                assert await port.read_exactly(8, timeout=10) == b"not lost"

    on_board(boards, story)


def test_a_dropped_connection_costs_nothing_but_time(boards: KnownBoards, echo_port: str) -> None:
    data = os.urandom(256 << 10)

    async def story(board: Board) -> None:
        async with await board.serial.open(echo_port) as port:
            writing = asyncio.create_task(port.write(data))
            received = b""
            while len(received) < len(data):
                received += await port.read(10_000, timeout=20)
                if len(received) % 3 == 0:
                    board.link.drop_connection()
            assert await writing == len(data)
            assert received == data
            assert board.session["resumed"]

    on_board(boards, story)


def test_the_port_is_listed(boards: KnownBoards, echo_port: str, echo_device: support.EchoDevice) -> None:
    async def story(board: Board) -> None:
        ports = {port["name"]: port for port in await board.serial.list()}
        assert ports[echo_port]["path"] == echo_device.path
        assert echo_port in {device["name"] for device in await board.devices("serial")}
        assert (await board.device(echo_port))["kind"] == "serial"

    on_board(boards, story)


def test_a_second_session_gets_a_conflict_that_names_the_holder(boards: KnownBoards, echo_port: str) -> None:
    async def story(board: Board) -> None:
        async with await board.serial.open(echo_port):
            async with await Board.connect("bench", boards=boards) as other:
                with pytest.raises(Conflict) as conflict:
                    await other.serial.open(echo_port)
        assert conflict.value.details["holder"]

    on_board(boards, story)


def test_nothing_stays_open_when_the_session_ends(boards: KnownBoards, echo_port: str) -> None:
    async def leave_open(board: Board) -> None:
        await board.serial.open(echo_port)

    async def open_again(board: Board) -> None:
        await (await board.serial.open(echo_port)).close()

    for _ in range(5):
        on_board(boards, leave_open)
    on_board(boards, open_again)


def test_settings_change_all_or_none(boards: KnownBoards, echo_port: str) -> None:
    async def story(board: Board) -> None:
        async with await board.serial.open(echo_port, baud=9600) as port:
            assert (await port.configure(baud=250_000, stop_bits=2))["baud"] == 250_000
            with pytest.raises(BadRequest) as refused:
                await port.configure(baud=1200, data_bits=9)
            assert refused.value.details["key"] == "data-bits"
            assert (await port.configure())["baud"] == 250_000

    on_board(boards, story)


def test_a_tty_without_modem_lines_says_so(boards: KnownBoards, echo_port: str) -> None:
    async def story(board: Board) -> None:
        async with await board.serial.open(echo_port) as port:
            with pytest.raises(Unsupported):
                await port.lines()
            with pytest.raises(Unsupported):
                await port.watch_lines()
            with pytest.raises(Unsupported):
                await port.set_lines(dtr=True, rts=False)
            await port.flush()
            await port.send_break(0.01)

    on_board(boards, story)


def test_unknown_ports_and_wrong_kinds_are_clear_errors(boards: KnownBoards) -> None:
    async def story(board: Board) -> None:
        with pytest.raises(NotFound, match="ttyNOWHERE"):
            await board.serial.open("ttyNOWHERE")
        with pytest.raises(BadRequest, match="serial"):
            await board.request("SERIAL_PORT_OPEN", resource="gpio:gpiochip0")
        with pytest.raises(NotFound, match="handle"):
            await board.request("SERIAL_DATA_WRITE", handle=99, data=b"x")
        with pytest.raises(BadRequest) as missing:
            await board.request("SERIAL_DATA_WRITE", handle=1)
        assert missing.value.details["key"] == "data"

    on_board(boards, story)


def test_one_shot_reads(boards: KnownBoards, echo_port: str) -> None:
    async def story(board: Board) -> None:
        handle = (await board.request("SERIAL_PORT_OPEN", resource=echo_port))["handle"]
        await board.request("SERIAL_DATA_WRITE", handle=handle, data=b"one\ntwo\n")
        first = await board.request("SERIAL_DATA_READ", handle=handle, terminator=b"\n", timeout=5.0)
        assert first == {"data": b"one\n", "complete": True}
        second = await board.request("SERIAL_DATA_READ", handle=handle, size=4, minimum=4, timeout=5.0)
        assert second == {"data": b"two\n", "complete": True}
        nothing = await board.request("SERIAL_DATA_READ", handle=handle, size=4, timeout=0.05)
        assert nothing == {"data": b"", "complete": False}
        await board.request("SERIAL_PORT_CLOSE", handle=handle)
        with pytest.raises(NotFound):
            await board.request("SERIAL_DATA_READ", handle=handle, timeout=0)

    on_board(boards, story)


def test_a_port_that_hangs_up_ends_everything_on_it(
    tmp_path: object, running_agent: support.AgentProcess
) -> None:
    device = support.EchoDevice()
    from pathlib import Path

    with support.agent(
        Path(str(tmp_path)), f'[drivers.serial]\nports = {{gone = "{device.path}"}}\n'
    ) as running:
        home = KnownBoards(Path(str(tmp_path)) / "client")

        async def story() -> None:
            from myclerk_client import pair

            await pair(running.link(), name="bench", boards=home)
            async with await Board.connect("bench", boards=home) as board:
                async with await board.serial.open("gone") as port:
                    reading = asyncio.create_task(port.read())
                    await asyncio.sleep(0.2)
                    device.close()
                    with pytest.raises(DeviceGone):
                        await reading

        asyncio.run(story())


def test_a_request_timeout_is_an_operation_timeout(boards: KnownBoards, echo_port: str) -> None:
    async def story(board: Board) -> None:
        handle = (await board.request("SERIAL_PORT_OPEN", resource=echo_port))["handle"]
        with pytest.raises(OperationTimeout):
            await board.request("SERIAL_DATA_READ", within=0.5, handle=handle, size=1)

    on_board(boards, story)
