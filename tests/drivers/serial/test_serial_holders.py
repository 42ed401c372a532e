"""A tty that somebody has already: who that is, in the error."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ptys import Pty, driver_for, open_port

from myclerk_drivers.gsm import tty as gsm_tty
from myclerk_drivers.serial.holders import OpenTtys, Use, holders, running
from myclerk_protocol.status import Conflict, NotFound

Run = Callable[[Coroutine[Any, Any, Any]], Any]
USE = Use("somebody", "ask them")
HOLDER = """\
import fcntl, os, sys, termios
with open("/proc/self/comm", "w") as comm:
    comm.write(sys.argv[1])
for path in sys.argv[2:]:
    fcntl.ioctl(os.open(path, os.O_RDWR | os.O_EXCL | os.O_NONBLOCK | os.O_NOCTTY), termios.TIOCEXCL)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def program(name: str, *paths: str) -> Iterator[int]:
    """Another process, which holds these ttys exclusively; its number."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, name, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid


@pytest.mark.parametrize(
    ("name", "advice"), [("minicom", "stop that first"), ("ModemManager", "ID_MM_DEVICE_IGNORE")]
)
def test_another_program_is_named(run: Run, pty: Pty, name: str, advice: str) -> None:
    async def main() -> None:
        with program(name, pty.path) as number:
            with pytest.raises(Conflict, match=advice) as refused:
                await open_port(driver_for(pty))
            assert refused.value.message.startswith(
                f"{pty.path} is held by {name} (pid {number}) on the board; "
            )
            assert refused.value.details == {"errno": "EBUSY", "holder": f"{name} (pid {number})"}
            assert [holder.pid for holder in holders(pty.path)] == [number]

    run(main())


def test_one_that_hides_its_descriptors_may_be_modem_manager(
    run: Run, pty: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users' descriptors are root's to see: then ModemManager is named if it runs."""
    monkeypatch.setattr("myclerk_drivers.serial.holders._has_open", lambda *_: False)

    async def main() -> None:
        with program("getty", pty.path):
            with pytest.raises(Conflict, match="held exclusively by another program"):
                await open_port(driver_for(pty))
            with program("ModemManager") as number:
                with pytest.raises(Conflict, match=rf"held by ModemManager \(pid {number}\)"):
                    await open_port(driver_for(pty))

    run(main())


def test_who_is_not_root_is_refused_by_the_kernel(
    run: Run, pty: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, _flags: int) -> int:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)

    async def main() -> None:
        with program("minicom", pty.path) as number, monkeypatch.context() as patch:
            patch.setattr("myclerk_drivers.serial.holders.os.open", refuse)
            with pytest.raises(Conflict, match=rf"{pty.path} is held by minicom \(pid {number}\)"):
                await open_port(driver_for(pty))

    run(main())


def test_modem_manager_is_mentioned_where_it_may_take_the_tty(
    pty: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program("ModemManager") as number:
        assert running("ModemManager") == (number, "ModemManager")
        assert gsm_tty.disturber(pty.path) == ""  # not on USB
        monkeypatch.setattr(gsm_tty, "_is_candidate", lambda _: True)
        assert f"ModemManager (pid {number}) runs on the board" in gsm_tty.disturber(pty.path)
    assert gsm_tty.disturber(pty.path) == ""


def test_a_tty_is_reserved_while_it_is_being_opened(pty: Pty) -> None:
    """Whoever is second is told at once, and an opening that fails leaves nothing behind."""
    ttys = OpenTtys()
    with ttys.reserve(pty.path, USE):
        assert len(ttys.numbers()) == 1
        second = ttys.reserve(pty.path, USE)
        with pytest.raises(Conflict, match=f"{pty.path} is held by somebody; ask them"):
            second.__enter__()
    assert not ttys.numbers()
    absent = ttys.reserve("/dev/not-there", USE)
    with pytest.raises(NotFound):
        absent.__enter__()


def test_of_many_who_want_a_tty_one_has_it(run: Run, pty: Pty) -> None:
    async def main() -> None:
        driver = driver_for(pty)
        results = await asyncio.gather(*(open_port(driver) for _ in range(8)), return_exceptions=True)
        ports = [port for port in results if not isinstance(port, BaseException)]
        assert len(ports) == 1
        assert all(isinstance(result, Conflict) for result in results if result not in ports)
        closed: threading.Event = ports[0]._tty.closed
        ports[0].close()
        await asyncio.to_thread(closed.wait, 10)

    run(main())
