"""Boards with our packages on one network: they announce themselves, and one finds another and pairs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import BoardFactory
from .hand import Hand
from .usb_bench import eventually
from .virtual_board import VirtualBoard

pytestmark = [pytest.mark.backend("virtual board: Debian package"), pytest.mark.timeout(900)]

LISTEN = "10"
"""Seconds of listening on an emulated board; 3 are enough on a real one."""


def fingerprint(hand: Hand) -> str:
    return hand.check("myclerk-agent", "fingerprint").strip()


def discovered(hand: Hand) -> dict[str, Any]:
    """What `myclerk discover` finds from there, by fingerprint."""
    found = json.loads(hand.check("myclerk", "discover", "--json", "--timeout", LISTEN, timeout=60))
    return {board["fingerprint"]: board for board in found}


@pytest.fixture
def first(board_factory: BoardFactory, ethernet: Path) -> VirtualBoard:
    """A board whose second network, 10.0.3.1, comes when its agent runs already."""
    return board_factory(flavour="systemd", state="packaged", link=ethernet)


@pytest.fixture
def second(first: VirtualBoard, board_factory: BoardFactory, ethernet: Path) -> VirtualBoard:
    """Another one, 10.0.3.2, of the same name, as boards are that were set up alike; its keys are its own."""
    board = board_factory(flavour="systemd", state="packaged", link=ethernet)
    board.hand.check("systemctl", "stop", "myclerk-agent", timeout=120)
    board.hand.check("sh", "-c", "rm -r /var/lib/myclerk/*")
    board.hand.check("systemctl", "start", "myclerk-agent", timeout=120)
    return board


def test_boards_find_each_other_and_pair(first: VirtualBoard, second: VirtualBoard) -> None:
    one, other = fingerprint(first.hand), fingerprint(second.hand)
    assert one != other
    eventually(lambda: discovered(second.hand).keys() == {one, other}, seconds=300)
    eventually(lambda: discovered(first.hand).keys() == {one, other}, seconds=300)
    found = discovered(second.hand)
    assert found[one]["addresses"][0] == "10.0.3.1", "what both can reach, before what each has of its own"
    assert {"10.0.3.1"} == {a for a in found[one]["addresses"] if a.startswith("10.0.3.")}
    assert {"10.0.3.2"} == {a for a in found[other]["addresses"] if a.startswith("10.0.3.")}
    assert found[one]["name"] != found[other]["name"]
    assert {board["port"] for board in found.values()} == {5657}

    invite = ("myclerk-agent", "invite", "--json", "--host", "10.0.3.1")
    link = json.loads(first.hand.check(*invite))["link"]
    second.hand.check("myclerk", "pair", link, "--name", "neighbour", timeout=120)
    assert "gpio:" in second.hand.check("myclerk", "devices", "--board", "neighbour", timeout=120)
    assert discovered(second.hand)[one]["paired-as"] == "neighbour"

    first.hand.check("systemctl", "stop", "myclerk-agent", timeout=120)
    eventually(lambda: discovered(second.hand).keys() == {other}, seconds=300)
