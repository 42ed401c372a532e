"""Simulated serial ports: an echo, two joined ports, and descriptions that are refused."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from drivers.loop_context import LoopContext
from myclerk_drivers.serial import SerialDriver
from myclerk_drivers.serial.simulated import BACKLOG


def paths(driver: SerialDriver) -> dict[str, str]:
    return {resource.name: resource.properties["path"] for resource in driver.resources()}


async def received(fd: int, size: int) -> bytes:
    data = b""
    os.set_blocking(fd, False)
    while len(data) < size:
        try:
            data += os.read(fd, size - len(data))
        except BlockingIOError:
            await asyncio.sleep(0.001)
    return data


def test_an_echo_sends_back_what_it_gets() -> None:
    async def main() -> None:
        driver = SerialDriver.simulated(LoopContext(), {"console": {"device": "echo"}})
        try:
            fd = os.open(paths(driver)["serial:console"], os.O_RDWR | os.O_NOCTTY)
            os.write(fd, b"hello\r\n")
            assert await received(fd, 7) == b"hello\r\n"
            os.close(fd)
        finally:
            driver.close()

    asyncio.run(main())


def test_joined_ports_carry_each_others_bytes_and_hold_back_who_writes_too_much() -> None:
    async def main() -> None:
        context = LoopContext()
        driver = SerialDriver.simulated(context, {"left": {"joined": "right"}, "right": {"joined": "left"}})
        try:
            left, right = (
                os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) for path in paths(driver).values()
            )
            sent = 0
            idle = 0
            while idle < 1000:  # until the port takes no more: the far end does not read
                try:
                    sent += os.write(left, bytes([sent % 251]) * 4096)
                    idle = 0
                except BlockingIOError:
                    idle += 1
                    await asyncio.sleep(0.001)
            assert BACKLOG <= sent < 2 * BACKLOG
            assert len(await received(right, sent)) == sent
            os.write(right, b"back")
            assert await received(left, 4) == b"back"
            os.close(left)
            os.close(right)
        finally:
            driver.close()
        assert context.watched == (set(), set())

    asyncio.run(main())


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"a": {}}, "serial.a"),
        ({"a": {"device": "modem"}}, "serial.a.device"),
        ({"a": {"joined": "a"}}, "serial.a.joined"),
        ({"a": {"joined": "b"}}, "serial.a.joined"),
        ({"a": {"joined": "b"}, "b": {"device": "echo"}}, "serial.a.joined"),
        ({"a": {"joined": 1}}, "serial.a.joined"),
        ({"a": {"device": "echo", "baud": 9600}}, "serial.a"),
        ({"a": "echo"}, "serial.a"),
    ],
)
def test_a_wrong_description_is_refused_by_name(table: dict[str, Any], named: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=f"`{named}`"):
            SerialDriver.simulated(LoopContext(), table)

    asyncio.run(main())
