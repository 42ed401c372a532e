"""What becomes of our Debian packages and of who uses them: upgrade, crash, power failure, removal."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from myclerk_agent.records import MIGRATIONS
from myclerk_client import ConnectionLost, SessionLost

from .hand import Hand, HandError
from .packages import built, later
from .test_package import main_pid
from .virtual_board import NAME, VirtualBoard

pytestmark = [
    pytest.mark.backend("virtual board: Debian package"),
    pytest.mark.timeout(900),
    pytest.mark.long,
]

PATIENCE = 300.0
"""Seconds for what takes a Pi two or three."""
DATABASE = "/var/lib/myclerk/agent.db"
SETTINGS = "/etc/myclerk/agent.toml"
DROP_IN = "/etc/systemd/system/myclerk-agent.service.d/test.conf"


def fingerprint(board: VirtualBoard) -> str:
    return board.hand.check("myclerk-agent", "fingerprint").strip()


def restart_with(hand: Hand, settings: bytes) -> None:
    """Start the service anew with further settings of its unit."""
    hand.write_file(path=DROP_IN, data=settings)
    hand.check("systemctl", "daemon-reload")
    hand.check("systemctl", "restart", "myclerk-agent", timeout=120)


async def interrupted(board: VirtualBoard, interrupt: Callable[[], Any]) -> None:
    """A client holds a line and reads a port while ``interrupt`` happens: it learns what it lost, and goes on."""
    hand = board.hand
    async with await board.connect(timeout=60, reconnect=PATIENCE) as client:
        generation = client.link.generation
        lines = await client.gpio.request({"LED": True})
        port = await client.serial.open(hand.serial_port())
        hand.serial_send(data=b"before")
        assert await port.read_exactly(6, timeout=60) == b"before"
        reading = asyncio.ensure_future(port.read(timeout=PATIENCE))
        await client.ping()  # the request before it is at the agent
        await asyncio.to_thread(interrupt)
        with pytest.raises(SessionLost, match="what it held is released"):
            await reading
        with pytest.raises(SessionLost, match="open it again"):
            await lines.set({"LED": False})
        assert hand.gpio_value(line="LED") == 0, "a released line is an input"
        assert client.link.generation == generation + 1, "one reconnect"
        async with await client.gpio.request({"LED": True}), await client.serial.open(hand.serial_port()):
            assert hand.gpio_value(line="LED") == 1


def test_an_upgrade_keeps_keys_devices_and_settings_and_costs_one_reconnect(
    packaged_board: VirtualBoard, tmp_path: Path
) -> None:
    board, hand = packaged_board, packaged_board.hand
    identity = fingerprint(board)
    edited = hand.check("cat", SETTINGS).replace("#linger = 30", "linger = 31")
    hand.write_file(path=SETTINGS, data=edited.encode())
    newer = [later(package, tmp_path / name, "0.1.0+upgrade1") for name, package in built().items()]
    asyncio.run(interrupted(board, lambda: board.install(*newer)))
    assert "upgrade1" in hand.check("dpkg-query", "--show", "myclerk-agent")
    assert hand.check("cat", SETTINGS) == edited
    assert fingerprint(board) == identity
    assert hand.check("systemctl", "is-active", "myclerk-agent").strip() == "active"


def test_new_default_settings_come_with_an_upgrade_where_nobody_changed_them(
    packaged_board: VirtualBoard, tmp_path: Path
) -> None:
    settings = packaged_board.hand.check("cat", SETTINGS) + "# New in this version.\n"
    newer = later(built()["myclerk-agent"], tmp_path, "0.1.0", settings)
    packaged_board.hand.check("systemctl", "stop", "myclerk-agent")
    packaged_board.hand.write_file(path=f"/tmp/{newer.name}", data=newer.read_bytes())
    packaged_board.hand.check("dpkg", "--install", f"/tmp/{newer.name}", timeout=300)
    assert packaged_board.hand.check("cat", SETTINGS) == settings
    assert packaged_board.hand.check("systemctl", "is-active", "myclerk-agent").strip() == "active"


def test_a_database_of_the_first_release_is_brought_up_to_date(
    packaged_board: VirtualBoard, tmp_path: Path
) -> None:
    board, hand = packaged_board, packaged_board.hand
    hand.check("systemctl", "stop", "myclerk-agent")
    hand.write_file(path=DATABASE, data=_first_schema(hand, tmp_path))
    hand.check(
        "sh", "-c", f"rm -f {DATABASE}-wal {DATABASE}-shm; chown myclerk: {DATABASE}; chmod 600 {DATABASE}"
    )
    newer = later(built()["myclerk-agent"], tmp_path, "0.1.0")
    hand.write_file(path=f"/tmp/{newer.name}", data=newer.read_bytes())
    hand.check("dpkg", "--install", f"/tmp/{newer.name}", timeout=300)
    version = hand.python(
        f"import sqlite3; print(sqlite3.connect('{DATABASE}').execute('PRAGMA user_version').fetchone()[0])"
    )
    assert int(version) == len(MIGRATIONS)

    async def main() -> None:
        async with await board.connect(timeout=60) as client:  # it was enrolled by the first release
            async with await client.gpio.request({"LED": True}):
                assert hand.gpio_value(line="LED") == 1

    asyncio.run(main())


def test_a_crash_in_mid_transfer_costs_one_reconnect(packaged_board: VirtualBoard) -> None:
    hand = packaged_board.hand
    before = main_pid(hand)
    asyncio.run(
        interrupted(packaged_board, lambda: hand.check("systemctl", "kill", "--signal=KILL", "myclerk-agent"))
    )
    assert main_pid(hand) not in (0, before)
    assert hand.check("systemctl", "is-active", "myclerk-agent").strip() == "active"


def test_an_agent_that_hangs_is_started_again_by_the_watchdog(packaged_board: VirtualBoard) -> None:
    hand = packaged_board.hand
    restart_with(hand, b"[Service]\nWatchdogSec=15\n")
    before = main_pid(hand)
    asyncio.run(interrupted(packaged_board, lambda: hand.check("kill", "-STOP", str(before))))
    assert "watchdog" in hand.check("journalctl", "--unit=myclerk-agent", "--no-pager").lower()
    assert main_pid(hand) not in (0, before)


def test_a_stopping_agent_gives_requests_the_time_that_its_settings_say(packaged_board: VirtualBoard) -> None:
    """Also where that is longer than what the unit says of stopping and of the watchdog."""
    hand = packaged_board.hand
    hand.write_file(path=SETTINGS, data=b"[server]\nshutdown-timeout = 300\n")
    restart_with(hand, b"[Service]\nTimeoutStopSec=5\nWatchdogSec=10\n")

    name = f"serial:{hand.serial_port()}"

    async def main() -> None:
        async with (
            await packaged_board.connect(timeout=60, reconnect=0) as holder,
            await packaged_board.connect(timeout=60, reconnect=0) as other,
        ):
            async with holder.lock(name):
                waiting = asyncio.ensure_future(other.lock(name, wait=PATIENCE).acquire())
                await other.ping()
                await asyncio.to_thread(hand.check, "systemctl", "stop", "--no-block", "myclerk-agent")
                await asyncio.to_thread(hand.check, "sleep", "20")  # the board's: both limits are over
                state = hand.check("systemctl", "show", "--property=ActiveState", "myclerk-agent")
                assert state == "ActiveState=deactivating\n"
                assert not waiting.done()
            await waiting

    asyncio.run(main())
    hand.check("systemctl", "stop", "myclerk-agent", timeout=120)
    shown = hand.check("systemctl", "show", "--property=Result,ExecMainStatus", "myclerk-agent")
    assert shown.split() == ["Result=success", "ExecMainStatus=0"]


def test_a_power_failure_loses_neither_keys_nor_devices(packaged_board: VirtualBoard) -> None:
    board = packaged_board
    identity = fingerprint(board)

    async def cut() -> None:
        async with await board.connect(timeout=60, reconnect=0) as client:
            port = await client.serial.open(board.hand.serial_port())
            writing = asyncio.ensure_future(port.write(bytes(1 << 20)))
            await asyncio.sleep(0)
            board.hand.cut_power()
            with pytest.raises(ConnectionLost):
                await writing

    asyncio.run(cut())
    board.power_cycle()
    board.boards.update(NAME, host="127.0.0.1", port=board.port)
    assert board.hand.check("systemctl", "is-system-running", "--wait", timeout=300).strip() == "running"
    assert fingerprint(board) == identity

    async def again() -> None:
        async with await board.connect(timeout=60) as client:
            async with asyncio.timeout(PATIENCE):
                await client.wait_for("gpio:LED")  # the bench is plugged in by a service of its own
            async with await client.gpio.request({"LED": True}):
                assert board.hand.gpio_value(line="LED") == 1

    asyncio.run(again())


def test_remove_keeps_the_state_and_purge_leaves_nothing(packaged_board: VirtualBoard) -> None:
    board, hand = packaged_board, packaged_board.hand
    identity = fingerprint(board)
    hand.check("apt-get", "remove", "-y", "myclerk-agent", timeout=300)
    assert hand.check("ls", "/var/lib/myclerk").split() != []
    with pytest.raises(HandError):
        hand.check("systemctl", "is-active", "myclerk-agent")
    assert "myclerk" not in hand.check(
        "getfacl", "--recursive", "--absolute-names", "/dev/gpiochip0", "/dev/bus/usb"
    )
    board.install(built()["myclerk-agent"])
    assert fingerprint(board) == identity

    async def main() -> None:
        async with await board.connect(timeout=60) as client:
            assert await client.devices()

    asyncio.run(main())
    hand.check("apt-get", "purge", "-y", "myclerk-agent", "myclerk", "python3-myclerk", timeout=300)
    for path in (
        "/var/lib/myclerk",
        "/etc/myclerk",
        "/run/myclerk",
        "/etc/systemd/system/multi-user.target.wants/myclerk-agent.service",
    ):
        assert hand.call("run", argv=["test", "-e", path])["code"] == 1, path
    assert hand.call("run", argv=["getent", "passwd", "myclerk"])["code"] == 2
    assert hand.call("run", argv=["getent", "group", "myclerk"])["code"] == 2
    assert "myclerk" not in hand.check(
        "sh", "-c", "dpkg --list | cat; ls /usr/lib/python3/dist-packages /usr/lib/udev/rules.d"
    )


def _first_schema(hand: Hand, directory: Path) -> bytes:
    """The board's database as the first release would have written it."""
    hand.python(
        f"import sqlite3; c = sqlite3.connect('{DATABASE}'); c.execute('PRAGMA wal_checkpoint(TRUNCATE)')"
    )
    (directory / "now.db").write_bytes(hand.read_file(path=DATABASE))
    first = sqlite3.connect(directory / "first.db", isolation_level=None)
    first.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1")
    columns = ", ".join(row[1] for row in first.execute("PRAGMA table_info(devices)"))
    first.execute("ATTACH ? AS now", (str(directory / "now.db"),))
    first.execute(f"INSERT INTO main.devices ({columns}) SELECT {columns} FROM now.devices")
    assert first.execute("SELECT count(*) FROM main.devices").fetchone() == (1,)
    first.close()
    return (directory / "first.db").read_bytes()
