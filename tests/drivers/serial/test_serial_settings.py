"""Settings: every combination against stty's reading of the same tty, and all that must be refused whole."""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import termios
from pathlib import Path
from typing import Any

import pytest
from loop_context import LoopContext
from ptys import Pty, Run, Uart, driver_for, open_port, opened, slow

from myclerk_drivers.serial import SerialDriver, rs485, termios_settings
from myclerk_drivers.serial.configuration import configure
from myclerk_drivers.serial.termios_settings import BOTHER, TCGETS2
from myclerk_protocol.status import BadRequest, Conflict, HardwareError, NotFound, Unsupported

BAUDS = (50, 9600, 115200, 4000000)
COMBINATIONS = list(
    itertools.product(
        BAUDS,
        (5, 6, 7, 8),
        ("none", "even", "odd", "mark", "space"),
        (1, 2),
        (False, True),
        (False, True),
        (False, True),
    )
)
NAMES = ("baud", "data_bits", "parity", "stop_bits", "rts_cts", "xon_xoff", "hang_up_on_close")


def stty_words(settings: dict[str, Any]) -> set[str]:
    """What stty prints of these settings (stty(1))."""
    flags = {
        "cstopb": settings["stop_bits"] == 2,
        "crtscts": settings["rts_cts"],
        "ixon": settings["xon_xoff"],
        "ixoff": settings["xon_xoff"],
        "hupcl": settings["hang_up_on_close"],
        "parenb": settings["parity"] != "none",
        **dict.fromkeys(("icanon", "isig", "iexten", "echo", "opost", "icrnl", "istrip", "ixany"), False),
        **dict.fromkeys(("clocal", "cread"), True),
    }
    words = {name if on else f"-{name}" for name, on in flags.items()}
    return words | {f"cs{settings['data_bits']}", f"speed {settings['baud']} baud"}


def missing(pty: Pty, settings: dict[str, Any]) -> set[str]:
    output = pty.stty("-a")
    return stty_words(settings) - set(output.replace(";", "").split()) - {output.partition(";")[0]}


def test_every_combination_is_what_stty_reads_or_is_refused(pty: Pty) -> None:
    """A pty has 8 data bits and no parity, whatever it is told: all else there is refused and undone."""
    fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
    try:
        last: dict[str, Any] = configure(fd, "serial:demo", dict(termios_settings.DEFAULTS))
        for values in COMBINATIONS:
            wanted = dict(zip(NAMES, values, strict=True))
            if wanted["data_bits"] == 8 and wanted["parity"] == "none":
                last = configure(fd, "serial:demo", wanted)
                assert last == wanted
                assert not missing(pty, wanted)
                continue
            before = termios_settings.read(fd)
            with pytest.raises(Unsupported) as refusal:
                configure(fd, "serial:demo", wanted)
            expected = "data-bits" if wanted["data_bits"] != 8 else "parity"
            assert refusal.value.details["key"] == expected
            assert termios_settings.read(fd) == before
        assert not missing(pty, last)
    finally:
        os.close(fd)


@pytest.mark.parametrize("values", COMBINATIONS[::7], ids=str)
def test_encoding_has_an_inverse(values: tuple[Any, ...]) -> None:
    """Hardware has the framings that a pty lacks, so these are checked in the structure itself."""
    settings = dict(zip(NAMES, values, strict=True))
    cooked = termios_settings.Termios(0xFFFF, 0xFFFF, 0x7FFFFFFF, 0xFFFF, 0, bytes(19), 0, 0)
    encoded = termios_settings.encode(settings, cooked)
    assert termios_settings.decode(encoded) == settings
    assert encoded.oflag == encoded.lflag == 0
    assert (encoded.cc[termios.VMIN], encoded.cc[termios.VTIME]) == (1, 0)


@pytest.mark.parametrize(
    ("parity", "bits"),
    [("none", 0), ("even", 0x100), ("odd", 0x300), ("mark", 0x40000300), ("space", 0x40000100)],
)
def test_parity_bits_are_those_of_termbits_h(parity: str, bits: int) -> None:
    base = termios_settings.Termios(0, 0, 0, 0, 0, bytes(19), 0, 0)
    settings = {**termios_settings.DEFAULTS, "parity": parity}
    assert termios_settings.encode(settings, base).cflag & 0x40000300 == bits


@pytest.mark.parametrize(
    ("baud", "code"),
    [(50, 0o1), (9600, 0o15), (38400, 0o17), (57600, 0o10001), (115200, 0o10002), (4000000, 0o10017)],
)
def test_rate_codes_are_those_of_termbits_h(baud: int, code: int) -> None:
    base = termios_settings.Termios(0, 0, 0, 0, 0, bytes(19), 0, 0)
    encoded = termios_settings.encode({**termios_settings.DEFAULTS, "baud": baud}, base)
    assert (encoded.cflag & termios.CBAUD, encoded.ospeed) == (code, baud)


@pytest.mark.parametrize("baud", [1, 31250, 250000, 12345678, 0xFFFFFFFF])
def test_any_rate_is_set_by_bother(run: Run, pty: Pty, baud: int) -> None:
    async def main() -> None:
        async with opened(pty, baud=baud) as port:
            assert port.describe()["baud"] == baud
            fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
            state = termios_settings.read(fd)
            os.close(fd)
            assert (state.ispeed, state.ospeed, state.cflag & termios.CBAUD) == (baud, baud, BOTHER)

    run(main())


def test_default_is_9600_8n1_exclusive(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty) as port:
            assert port.describe() == dict(termios_settings.DEFAULTS)
            assert "-crtscts" in pty.stty("-a")  # root passes TIOCEXCL; others could not even run this

    run(main())


def test_configure_changes_only_what_is_given(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty, baud=19200, stop_bits=2) as port:
            assert await slow(port.configure, rts_cts=True) == port.describe()
            assert port.describe() == {
                **termios_settings.DEFAULTS,
                "baud": 19200,
                "stop_bits": 2,
                "rts_cts": True,
            }
            assert not missing(pty, dict(port.describe()))

    run(main())


def test_configure_refuses_as_a_whole(run: Run, pty: Pty) -> None:
    async def main() -> None:
        async with opened(pty, baud=19200) as port:
            before = pty.stty("-a")
            with pytest.raises(Unsupported, match=r"parity even: the kernel has none"):
                await slow(port.configure, baud=57600, stop_bits=2, parity="even")
            assert pty.stty("-a") == before
            assert port.describe()["baud"] == 19200

    run(main())


def test_a_refused_open_leaves_the_tty_as_it_was(run: Run, pty: Pty) -> None:
    async def main() -> None:
        pty.stty("2400", "cstopb", "echo")
        before = pty.stty("-a")
        with pytest.raises(Unsupported):
            await open_port(driver_for(pty), baud=9600, data_bits=7)
        assert pty.stty("-a") == before
        async with opened(pty):  # nor is it held exclusively
            pass

    run(main())


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"baud": 0}, "baud"),
        ({"baud": -9600}, "baud"),
        ({"baud": 1 << 32}, "baud"),
        ({"baud": 9600.5}, "baud"),
        ({"data_bits": 4}, "data-bits"),
        ({"data_bits": 9}, "data-bits"),
        ({"parity": "EVEN"}, "parity"),
        ({"parity": ""}, "parity"),
        ({"stop_bits": 0}, "stop-bits"),
        ({"stop_bits": 1.5}, "stop-bits"),
        ({"rts_cts": "yes"}, "rts-cts"),
        ({"xon_xoff": None}, "xon-xoff"),
        ({"exclusive": 2}, "exclusive"),
        ({"hang_up_on_close": "no"}, "hang-up-on-close"),
        ({"dtr": 5}, "dtr"),
        ({"rts": "on"}, "rts"),
        ({"flow": True}, "flow"),
        ({"rs485": {}}, "rs485"),
        ({"rs485": {"enabled": True, "termination": True}}, "rs485"),
        ({"rs485": {"enabled": True, "delay_before_send": -0.001}}, "rs485.delay-before-send"),
        ({"rs485": {"enabled": True, "delay_after_send": 5e6}}, "rs485.delay-after-send"),
        ({"rs485": {"enabled": True, "delay_after_send": float("nan")}}, "rs485.delay-after-send"),
    ],
    ids=str,
)
def test_senseless_settings_are_refused(run: Run, pty: Pty, settings: dict[str, Any], key: str) -> None:
    async def main() -> None:
        before = pty.stty("-a")
        with pytest.raises(BadRequest) as refusal:
            await open_port(driver_for(pty), **settings)
        assert refusal.value.details["key"] == key
        assert pty.stty("-a") == before
        async with opened(pty) as port:
            before = pty.stty("-a")
            with pytest.raises(BadRequest):
                await slow(port.configure, **settings)
            assert pty.stty("-a") == before

    run(main())


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"dtr": False}, "dtr"), ({"rts": True}, "rts"), ({"rs485": {"enabled": True}}, "rs485")],
)
def test_a_pty_has_neither_modem_lines_nor_rs485(
    run: Run, pty: Pty, settings: dict[str, Any], key: str
) -> None:
    async def main() -> None:
        with pytest.raises(Unsupported) as refusal:
            await open_port(driver_for(pty), **settings)
        assert refusal.value.details["key"] == key
        async with opened(pty, rs485={"enabled": False}) as port:
            assert "rs485" not in port.describe()

    run(main())


def test_lines_are_set_together_and_restored_together(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        at_first = uart.lines
        async with opened(pty, dtr=False, rts=False) as port:
            assert uart.line_writes == [0]
            with pytest.raises(BadRequest):
                await slow(port.configure, dtr=True, baud=0)
            assert uart.line_writes == [0]
        uart.lines, uart.stuck_bits = at_first, termios.TIOCM_RTS
        with pytest.raises(Unsupported, match="did not take rts False"):
            await open_port(driver_for(pty), dtr=False, rts=False, baud=4800)
        assert uart.lines == at_first
        assert "speed 9600 baud" in pty.stty()

    run(main())


def test_rs485_is_read_back(run: Run, pty: Pty, uart: Uart) -> None:
    async def main() -> None:
        uart.rs485 = bytes(32)
        wanted = {"enabled": True, "delay_before_send": 0.002, "receive_during_send": True}
        async with opened(pty, rs485=wanted) as port:
            assert uart.rs485 == struct.pack("8I", 1 | 2 | 16, 2, 0, *bytes(5))
            assert port.describe()["rs485"] == {**rs485.DEFAULTS, **wanted}
            before = uart.rs485
            with pytest.raises(
                Unsupported, match=r"rs485.delay-after-send 0.2: the kernel has 0.1"
            ) as refusal:
                await slow(port.configure, baud=4800, rs485={"enabled": True, "delay_after_send": 0.2})
            assert refusal.value.details["key"] == "rs485.delay-after-send"
            assert uart.rs485 == before
            assert "speed 9600 baud" in pty.stty()
            settings = await slow(port.configure, rs485={"enabled": False})
            assert settings["rs485"]["enabled"] is False

    run(main())


def test_ports_that_cannot_be_opened(run: Run, pty: Pty, tmp_path: Path) -> None:
    async def main() -> None:
        link = tmp_path / "port"
        link.symlink_to(pty.path)
        driver = SerialDriver(LoopContext({"ports": {"demo": str(link)}}))
        resource = driver.find("serial:demo")
        assert resource is not None
        link.unlink()
        assert driver.find("serial:demo") is None
        with pytest.raises(NotFound) as missing_port:
            await slow(driver.open_port, resource)
        assert missing_port.value.details["errno"] == "ENOENT"
        for path in (Path("/dev/null"), tmp_path / "file"):
            (tmp_path / "file").touch()
            link.symlink_to(path)
            with pytest.raises(Unsupported, match="is no serial port"):
                await open_port(driver)
            link.unlink()
        link.symlink_to(tmp_path)
        with pytest.raises(HardwareError, match="cannot be opened") as refused:
            await open_port(driver)
        assert refused.value.details["errno"] == "EISDIR"

    run(main())


def test_a_port_in_use_is_a_conflict(run: Run, pty: Pty) -> None:
    async def main() -> None:
        driver = driver_for(pty)
        fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(fd, termios.TIOCEXCL)
            with pytest.raises(Conflict, match="held exclusively") as refusal:
                await open_port(driver)
            assert refusal.value.details["errno"] == "EBUSY"
        finally:
            fcntl.ioctl(fd, termios.TIOCNXCL)
            os.close(fd)
        port = await open_port(driver, exclusive=False)
        with pytest.raises(Conflict, match="this agent's serial driver"):
            await open_port(driver, baud=300)
        assert "speed 9600 baud" in pty.stty()
        port.close()
        (await open_port(driver)).close()  # waits until the kernel has closed the first one

    run(main())


def test_opening_takes_other_users_out(run: Run, pty: Pty) -> None:
    async def main() -> None:
        fd = os.open(pty.path, os.O_RDWR | os.O_NOCTTY)
        try:
            async with opened(pty):
                assert struct.unpack("i", fcntl.ioctl(fd, 0x80045440, bytes(4))) == (1,)
            async with opened(pty, exclusive=False) as port:
                assert struct.unpack("i", fcntl.ioctl(fd, 0x80045440, bytes(4))) == (0,)
                await slow(port.configure, exclusive=True)
                assert struct.unpack("i", fcntl.ioctl(fd, 0x80045440, bytes(4))) == (1,)
        finally:
            os.close(fd)

    run(main())


def test_a_structure_of_the_kernel_has_its_size() -> None:
    """The size is a part of the request's number (asm-generic/ioctl.h)."""
    assert termios_settings._LAYOUT.size == TCGETS2 >> 16 & 0x3FFF == 44
    assert len(rs485.encode({"enabled": True})) == 32
