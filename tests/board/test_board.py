"""The virtual board itself: clean each time, apart from each other, gone with the test run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import BoardFactory
from .hand import Hand, HandError
from .virtual_board import ROOT, VirtualBoard


def test_a_paired_client_reaches_the_agent(board: VirtualBoard) -> None:
    async def main() -> None:
        async with await board.connect() as client:
            assert await client.ping() > 0
            assert client.session["post_quantum"]
            assert any(device["kind"] == "serial" for device in await client.devices())

    asyncio.run(main())


def test_the_agent_runs_on_what_debian_ships(hand: Hand) -> None:
    assert "trixie" in hand.check("cat", "/etc/os-release")
    loaded = hand.python(
        "from myclerk_protocol import kem; print(kem.default().name)", env={"PYTHONPATH": "/opt/myclerk"}
    )
    assert loaded.strip() == "libcrypto"


def test_the_hand_reports_what_it_cannot_do(hand: Hand) -> None:
    with pytest.raises(HandError, match="no_such_thing"):
        hand.no_such_thing()
    with pytest.raises(HandError, match="ended with 3"):
        hand.check("sh", "-c", "exit 3")
    assert hand.check("cat", input=b"still there") == "still there"


def test_every_board_is_clean_and_draws_its_own_random_numbers(board_factory: BoardFactory) -> None:
    secret = "import secrets; print(secrets.token_hex(32))"
    first, second = board_factory(), board_factory()
    try:
        first.hand.write_file(path="/root/left-behind", data=b"x")
        first.hand.gpio_pull(line="BUTTON", pull="up")
        with pytest.raises(HandError):
            second.hand.read_file(path="/root/left-behind")
        assert second.hand.check("gpioget", "--numeric", "BUTTON").strip() == "0"
        assert first.hand.check("gpioget", "--numeric", "BUTTON").strip() == "1"
        assert first.hand.python(secret) != second.hand.python(secret)
    finally:
        first.close()
        second.close()


def test_the_clock_is_right_after_a_restore(hand: Hand) -> None:
    assert abs(float(hand.check("date", "+%s")) - time.time()) < 600


def test_two_boards_on_one_segment_hear_each_other(board_factory: BoardFactory, ethernet: Path) -> None:
    pi, desktop = board_factory(link=ethernet), board_factory(link=ethernet)
    try:
        assert "1 received" in desktop.hand.check("ping", "-c", "1", "-w", "20", "10.0.3.1")
    finally:
        pi.close()
        desktop.close()


def test_a_pulled_cable_stalls_a_request_until_it_is_back(board: VirtualBoard, hand: Hand) -> None:
    async def main() -> None:
        async with await board.connect(reconnect=60) as client:
            await client.ping()
            hand.pull_cable()
            try:
                request = asyncio.create_task(client.ping())
                done, _ = await asyncio.wait([request], timeout=1.0)
                assert not done
            finally:
                hand.plug_cable()
            assert await asyncio.wait_for(request, 60) >= 1.0

    asyncio.run(main())


def test_cut_power_ends_it_at_once(board_factory: BoardFactory) -> None:
    board = board_factory()
    board.hand.cut_power()
    assert not board.machine.running
    board.close()
    assert not board.machine.directory.exists()


def test_a_killed_test_run_leaves_no_machine(board: VirtualBoard) -> None:
    program = (
        "import sys, time; from board.virtual_board import restored\n"
        "board = restored(arch=sys.argv[1]); print('pid', board.machine.pid, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program, board.machine.images.arch],
        cwd=ROOT / "tests",
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    with run.stdout:
        pid = next(int(line.split()[1]) for line in run.stdout if line.startswith("pid "))
        os.kill(pid, 0)
        run.send_signal(signal.SIGKILL)
        run.wait()
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("QEMU outlived the test run")
