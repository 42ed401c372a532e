"""Who has a modem's tty: our modem driver, our serial driver, ModemManager."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from myclerk_client import Board, Conflict, GsmModem, OperationTimeout

from .hand import Hand
from .virtual_board import VirtualBoard

pytestmark = pytest.mark.backend("virtual board: cdc_acm, simulated modem")

MODEM_MANAGER = """\
import fcntl, os, signal, sys, termios
with open("/proc/self/comm", "w") as comm:
    comm.write("ModemManager")
if sys.argv[1:]:  # as its mm-port-serial.c does it
    fd = os.open(sys.argv[1], os.O_RDWR | os.O_EXCL | os.O_NONBLOCK | os.O_NOCTTY)
    fcntl.ioctl(fd, termios.TIOCEXCL)
open("/run/board/modem-manager", "w").close()
signal.pause()
"""


@pytest.fixture(scope="module", autouse=True)
def tty(board: VirtualBoard, hand: Hand) -> Iterator[str]:
    """The modem's tty, known to the agent as "gate"."""
    name = str(hand.serial_port())
    board.restart_agent(f'[drivers.gsm]\nports = {{gate = "/dev/{name}"}}\n')
    hand.gsm_attach(family="sim7600")
    yield name
    hand.gsm_attach(family=None)


def start_modem_manager(hand: Hand, *ports: str) -> int:
    """A process of that name, which has these ports; its number."""
    hand.check("rm", "-f", "/run/board/modem-manager")
    number = hand.start(name="modem-manager", argv=["python3", "-c", MODEM_MANAGER, *ports])
    hand.wait_for(glob="/run/board/modem-manager")
    return int(number)


def test_the_serial_port_and_the_modem_exclude_each_other(board: VirtualBoard, tty: str) -> None:
    async def main() -> None:
        async with await board.connect() as client, asyncio.timeout(60):
            modem = client.gsm.modem("gate")
            await modem.status()
            with pytest.raises(
                Conflict, match=f"/dev/{tty} is held by this agent's modem driver .gsm.; "
            ) as held:
                await client.serial.open(tty)
            assert "`myclerk modem release` gives it back" in held.value.message
            assert held.value.details["holder"] == "this agent's modem driver (gsm)"
            await modem.release()  # as the error says
            async with await client.serial.open(tty):
                with pytest.raises(
                    Conflict, match=r"held by this agent's serial driver; .* close it there"
                ) as held:
                    await modem.status()
                assert held.value.details["holder"] == "this agent's serial driver"
            assert (await modem.status())["sim"] == "ready"
            await modem.release()

    asyncio.run(main())


def test_modem_manager_is_named_while_it_has_the_tty(board: VirtualBoard, hand: Hand, tty: str) -> None:
    async def main() -> None:
        async with await board.connect() as client, asyncio.timeout(60):
            modem = client.gsm.modem("gate")
            for refused in (modem.status, lambda: client.serial.open(tty)):
                with pytest.raises(
                    Conflict, match=r"systemctl stop ModemManager.*ID_MM_DEVICE_IGNORE"
                ) as held:
                    await refused()
                assert held.value.details["holder"] == f"ModemManager (pid {number})"
            hand.stop(name="modem-manager")
            assert (await modem.status())["sim"] == "ready"
            await modem.release()

    number = start_modem_manager(hand, f"/dev/{tty}")
    asyncio.run(main())


def test_modem_manager_is_named_where_it_may_be_what_disturbs(
    board: VirtualBoard, hand: Hand, tty: str
) -> None:
    async def main() -> None:
        async with await board.connect() as client, asyncio.timeout(60):
            modem = client.gsm.modem("gate")
            assert (await modem.status())["sim"] == "ready"
            await modem.release()
            assert (
                f"ModemManager (pid {number}) runs on the board and may use /dev/{tty} too"
                in board.agent_log()
            )
            assert str(number) in await silence(client, modem)
            hand.write_file(path=udev_data, data=b"E:ID_MM_DEVICE_IGNORE=1\n")
            assert "ModemManager" not in await silence(client, modem)

    async def silence(client: Board, modem: GsmModem) -> str:
        hand.gsm_hang(seconds=3600)
        with pytest.raises(OperationTimeout, match="no modem answers at") as silent:
            await modem.status()
        hand.gsm_hang(seconds=0)
        return silent.value.message

    number = start_modem_manager(hand)
    device = hand.python(
        "import os, sys; n = os.stat(sys.argv[1]).st_rdev; print(f'{os.major(n)}:{os.minor(n)}')",
        f"/dev/{tty}",
    )
    udev_data = f"/run/udev/data/c{device.strip()}"
    asyncio.run(main())
    hand.check("rm", udev_data)
    hand.stop(name="modem-manager")
