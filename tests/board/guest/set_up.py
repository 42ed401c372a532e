"""What is set up once, before the machine is saved: modules, devices, names. The console shows how long each took."""

from __future__ import annotations

import asyncio
import glob
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.programs import appear

if TYPE_CHECKING:
    from hand import Hand

FILE_SYSTEMS = {"configfs": "/sys/kernel/config", "debugfs": "/sys/kernel/debug"}
MODULES = (
    "gpio-sim", "simpwm", "i2c-dev", "i2c-tiny-usb", "simspi", "spidev",
    "can-raw", "can-bcm", "can-isotp", "can-gw", "vcan", "gs_usb",
    "ds2490", "w1_therm", "cdc_acm", "ftdi_sio", "vhci-hcd", "usbip-host", "libcomposite",
    "usb_f_acm", "usb_f_hid", "usb_f_mass_storage", "usb_f_ss_lb",
    "xhci-pci", "usb-storage", "uas", "sd_mod", "sg", "usbhid", "hid-generic", "snd-usb-audio", "usbmon",
    "uinput", "evdev", "vfat", "nls_cp437", "nls_ascii", "virtio_net", "virtio_rng",
)  # fmt: skip
PARAMETERS = {
    "wire": ("timeout=2", "slave_ttl=2"),  # 1-Wire searches each 2 s; who misses two of them is gone
    "dummy_hcd": ("num=4",),
}
"""Modules with parameters; they are loaded first, before another one brings them in."""
AMD64_MODULES = ("kvaser_pci", "i2c-i801")
AMD64_PARAMETERS = {"i2c-stub": ("chip_addr=0x1d,0x68",)}
"""Debian's kernel for arm64 has no i2c-stub."""
PYTHON = "gpiod, smbus2, spidev, can, serial, usb.core, evdev, asyncio, ssl, uvloop, msgpack, cryptography, click, rich"

EXPECTED = (
    "/sys/class/net/can0", "/sys/class/net/can1", "/sys/class/net/vcan1",
    "/dev/gpiochip0", "/dev/gpiochip1", "/sys/class/pwm/pwmchip*", "/dev/spidev0.0", "/dev/spidev0.1",
    "/dev/i2c-*", "/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyGS0", "/dev/hidg0", "/dev/sda",
    "/sys/bus/w1/devices/w1_bus_master1", "/sys/bus/w1/devices/28-*",
)  # fmt: skip


class SetUpError(Exception):
    """A part of the board did not come up; the message says which."""


async def set_up(hand: Hand) -> None:
    """Set everything up. Raises SetUpError."""
    steps: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("file systems", _mount),
        ("modules", _load),
        ("network", _network),
        ("gpio", hand.gpio.set_up),
        ("spi", hand.spi.set_up),
        ("keyboard", hand.keyboard.set_up),
        ("can names", _name_kvaser),
        ("gadgets", lambda: _gadgets(hand)),
        ("usb models", lambda: _models(hand)),
        ("devices", _devices),
        ("sensors", lambda: _sensors(hand)),
        ("python", _warm),
    )
    for name, step in steps:
        started = time.monotonic()
        try:
            result = step()
            if asyncio.iscoroutine(result):
                await result
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace")
            raise SetUpError(f"{name}: {type(error).__name__}: {error} {said}".strip()) from error
        print(f"board: {name} {time.monotonic() - started:.2f} s", flush=True)


def _command(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def _mount() -> None:
    for kind, path in FILE_SYSTEMS.items():
        if not os.path.ismount(path):
            if kind == "configfs":
                _command("modprobe", "configfs")
            _command("mount", "-t", kind, kind, path)


def _load() -> None:
    """Missing ones are all named at once."""
    is_amd64 = platform.machine() == "x86_64"
    on_amd64 = AMD64_MODULES if is_amd64 else ()
    for module, parameters in (PARAMETERS | (AMD64_PARAMETERS if is_amd64 else {})).items():
        _command("modprobe", module, *parameters)
    _command("modprobe", "--all", *MODULES, *on_amd64)


def _network() -> None:
    """eth1 stays down: what it sends is stuck in QEMU while no other machine is on its segment."""
    commands = """\
link set lo up
link set eth0 up
address replace 10.0.2.15/24 dev eth0
address replace 10.0.3.1/24 dev eth1
link add vcan0 type vcan
link add vcan1 type vcan
link set vcan0 mtu 72 up
link set vcan1 mtu 72 up
"""
    subprocess.run(["ip", "-batch", "-"], input=commands.encode(), check=True, capture_output=True)


def _name_kvaser() -> None:
    """can2 and can3, in the order of the PCI bus; can0 and can1 are for the USB adapter."""
    cards = sorted(
        (os.path.realpath(f"{path}/device"), Path(path).name)
        for path in glob.glob("/sys/class/net/can*")
        if os.path.realpath(f"{path}/device/driver").endswith("/kvaser_pci")
    )
    for number, (_, name) in reversed(list(enumerate(cards, 2))):
        if name != f"can{number}":
            _command("ip", "link", "set", name, "name", f"can{number}")


async def _gadgets(hand: Hand) -> None:
    for gadget in hand.gadgets.values():
        gadget.set_up()
        await gadget.plug()


async def _models(hand: Hand) -> None:
    for name in hand.models:
        await hand.usb.usb_plug(name)


async def _devices() -> None:
    missing = [pattern for pattern in EXPECTED if not await _came(pattern)]
    if missing:
        raise SetUpError(f"these did not appear: {', '.join(missing)}")


async def _came(pattern: str) -> bool:
    try:
        return bool(await appear(pattern, timeout=30))
    except TimeoutError:
        return False


async def _sensors(hand: Hand) -> None:
    """The kernel has found all 1-Wire sensors."""
    for sensor in await hand.one_wire.w1_sensors():
        if not await _came(f"/sys/bus/w1/devices/{sensor['name']}"):
            raise SetUpError(f"1-Wire sensor {sensor['name']} was not found")


async def _warm() -> None:
    """Have the Python modules that agents and tests import in the page cache.

    Not under systemd: that board is also booted within a test, where this would only take time.
    """
    if "NOTIFY_SOCKET" in os.environ:
        return
    process = await asyncio.create_subprocess_exec("python3", "-c", f"import {PYTHON}")
    if await process.wait() != 0:
        raise SetUpError(f"one of these Python modules is missing: {PYTHON}")
