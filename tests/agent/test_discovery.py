"""Announcing an agent by DNS-SD and finding it, over the multicast of this machine."""

from __future__ import annotations

import asyncio
import socket
import sys

import ifaddr
import pytest

from myclerk_agent.discovery import Announcement
from myclerk_client.discovery import FoundBoard, _usefulness, discover
from myclerk_protocol.status import LocalError

FINGERPRINT = "MBVPKODE4E6YTGL4LZ6ZJGUQ6YY2"
PORT = 5999


async def until(found: bool) -> list[FoundBoard]:
    """Search until the agent is there, or is gone."""
    async with asyncio.timeout(60):
        while True:
            boards = [board for board in await discover(0.5) if board.fingerprint == FINGERPRINT]
            if bool(boards) is found:
                return boards


def test_an_agent_is_found_as_long_as_it_is_announced() -> None:
    async def main() -> None:
        announcement = Announcement([("0.0.0.0", PORT)], FINGERPRINT)
        announcement.start()
        (board,) = await until(found=True)
        assert board.port == PORT
        assert board.host.endswith(".local")
        assert board.name.startswith(socket.gethostname()[:20])
        assert "127.0.0.1" not in board.addresses
        await announcement.close()
        await announcement.close()
        assert await until(found=False) == []

    asyncio.run(main())


def test_an_agent_for_this_machine_alone_is_not_announced() -> None:
    async def main() -> None:
        announcement = Announcement([("127.0.0.1", PORT), ("::1", PORT)], FINGERPRINT)
        announcement.start()
        assert not [board for board in await discover(1.0) if board.fingerprint == FINGERPRINT]
        await announcement.close()

    asyncio.run(main())


def test_one_that_stops_at_once_leaves_nothing_behind() -> None:
    async def main() -> None:
        announcement = Announcement([("0.0.0.0", PORT)], FINGERPRINT)
        announcement.start()
        await announcement.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_without_the_library_the_agent_serves_and_the_client_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)

    async def main() -> None:
        announcement = Announcement([("0.0.0.0", PORT)], FINGERPRINT)
        announcement.start()
        await asyncio.sleep(0.1)
        await announcement.close()
        with pytest.raises(LocalError, match="python3-zeroconf"):
            await discover(0.1)

    asyncio.run(main())


def test_the_address_to_use_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of a network for containers, which has the same addresses on many machines."""
    own = [
        ifaddr.Adapter(
            "eth0", "eth0", [ifaddr.IP("192.168.1.5", 24, "eth0"), ifaddr.IP(("fe80::5", 0, 2), 64, "eth0")]
        ),
        ifaddr.Adapter("docker0", "docker0", [ifaddr.IP("172.17.0.1", 16, "docker0")]),
    ]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: own)
    found = ["172.17.0.1", "10.8.0.3", "fe80::20%2", "2001:db8::20", "192.168.1.20"]
    assert sorted(found, key=_usefulness) == [
        "192.168.1.20",
        "10.8.0.3",
        "172.17.0.1",
        "2001:db8::20",
        "fe80::20%2",
    ]
