"""A device is attached and detached a hundred times: nothing is left behind, at either end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .hand import Hand
from .usb_desktop import HOME, Desktop
from .virtual_board import NAME, VirtualBoard

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.backend("virtual board: usbhid on both sides"),
]

ROUNDS = 100
PROGRAM = """
import asyncio, gc, json, os, sys
from pathlib import Path
from myclerk_client import Board, KnownBoards
from myclerk_client.usb.attachment import plugged_in
from myclerk_client.usb.bridge import Tricks
from myclerk_client.usb.vhci import VirtualController

place, rounds, name, directory = sys.argv[1:]
controller = VirtualController()

def state():
    gc.collect()
    return {"files": len(os.listdir("/proc/self/fd")), "tasks": len(asyncio.all_tasks())}

def bound(port):
    found = [p.local for p in controller.ports() if p.number == port and p.local]
    return found and os.path.exists(f"/sys/bus/usb/devices/{found[0]}/{found[0]}:1.0/driver")

async def main():
    async with await Board.connect(name, boards=KnownBoards(Path(directory))) as board:
        for number in range(int(rounds) + 1):
            device = await board.usb.attach(place)
            async with plugged_in(device, Tricks(), controller=controller) as attachment, asyncio.timeout(60):
                while not bound(attachment.port):
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.02 * (number % 5))
            if not number:
                before = state()
        print(json.dumps({"before": before, "after": state(), "streams": len(board.link._streams)}))

asyncio.run(main())
"""


def agent_state(hand: Hand) -> dict[str, int]:
    """Files and threads of the agent."""
    script = "p=$(pgrep -f recording_agent.py); ls /proc/$p/fd | wc -l; ls /proc/$p/task | wc -l"
    files, threads = hand.check("sh", "-c", script).split()
    return {"files": int(files), "threads": int(threads)}


def driver(hand: Hand, place: str) -> str:
    """The board's driver of the keyboard."""
    link = f"/sys/bus/usb/devices/{place}/{place}:1.0/driver"
    return hand.check("readlink", link).strip().rpartition("/")[2]


def test_a_hundred_rounds_leave_nothing_behind(board: VirtualBoard, hand: Hand) -> None:
    desktop = Desktop(hand)
    desktop.pair(board)
    (place,) = [d["port"] for d in desktop.result("usb", "list") if d["product-id"] == 0x0107]

    def attached_and_detached(rounds: int) -> dict[str, Any]:
        words = [place, str(rounds), NAME, f"{HOME}/myclerk"]
        said: dict[str, Any] = json.loads(hand.python(PROGRAM, *words, env=desktop.env, timeout=800))
        return said

    attached_and_detached(3)
    before = agent_state(hand)
    result = attached_and_detached(ROUNDS)
    assert result["after"] == result["before"]
    assert result["streams"] == 0
    after = agent_state(hand)
    assert after["files"] <= before["files"]
    assert after["threads"] <= before["threads"] + 1
    assert driver(hand, place) == "usbhid"
    assert not [row for row in desktop.result("usb", "port") if row.get("resource")]
    assert not any(device["in-use"] for device in desktop.result("usb", "list"))
