"""What sysfs says of buses and devices, from a directory in its form."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from myclerk_drivers.i2c.backend import Adapter, Client
from myclerk_drivers.i2c.kernel import KernelI2c


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with a SoC's adapter, a multiplexer's channel behind it, and a USB adapter."""
    platform = tmp_path / "sys/devices/platform/fe804000.i2c/i2c-1"
    channel = platform / "i2c-10"
    usb = tmp_path / "sys/devices/pci/usb1/1-1.4"
    adapter = usb / "1-1.4:1.0/i2c-3"
    for number, directory, name in (
        (1, platform, "bcm2835"),
        (10, channel, "mux"),
        (3, adapter, "tiny\x1busb"),
    ):
        directory.mkdir(parents=True, exist_ok=True)
        listed = tmp_path / f"sys/class/i2c-dev/i2c-{number}"
        listed.mkdir(parents=True)
        (listed / "name").write_text(f"{name}\n")
        _link(tmp_path / f"sys/bus/i2c/devices/i2c-{number}", directory)
    (usb / "idVendor").write_text("0403\n")
    for entry, name, driver in (
        ("1-0048", "lm75", "lm75"),
        ("1-a148", "odd", None),
        ("10-0050", "24c02", "at24"),
    ):
        client = platform / entry
        client.mkdir()
        (client / "name").write_text(f"{name}\n")
        if driver is not None:
            (tmp_path / f"sys/bus/i2c/drivers/{driver}").mkdir(parents=True)
            (client / "driver").symlink_to(tmp_path / f"sys/bus/i2c/drivers/{driver}")
        _link(tmp_path / f"sys/bus/i2c/devices/{entry}", client)
    return tmp_path


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def test_adapters_in_order_with_what_they_hang_on(root: Path) -> None:
    assert KernelI2c(str(root)).adapters() == [
        Adapter(1, "bcm2835", str(root / "dev/i2c-1"), None),
        Adapter(3, "tinyusb", str(root / "dev/i2c-3"), "usb:1-1.4"),
        Adapter(10, "mux", str(root / "dev/i2c-10"), "i2c:1"),
    ]


def test_clients_of_one_bus(root: Path) -> None:
    backend = KernelI2c(str(root))
    assert backend.clients(1) == [Client(0x48, "lm75", "lm75"), Client(0xA148, "odd", None)]
    assert backend.clients(10) == [Client(0x50, "24c02", "at24")]
    assert backend.clients(3) == []


def test_a_new_adapter_under_an_old_number_is_looked_at_anew(root: Path) -> None:
    backend = KernelI2c(str(root))
    assert backend.adapter(3) == Adapter(3, "tinyusb", str(root / "dev/i2c-3"), "usb:1-1.4")
    old = root / "sys/class/i2c-dev/i2c-3"
    new = old.with_name("new")
    new.mkdir()
    (new / "name").write_text("another\n")
    os.rename(old, old.with_name("unplugged"))
    assert backend.adapter(3) is None
    os.rename(new, old)
    found = backend.adapter(3)
    assert found is not None
    assert found.name == "another"


def test_a_machine_without_i2c_has_no_buses(tmp_path: Path) -> None:
    backend = KernelI2c(str(tmp_path))
    assert backend.adapters() == []
    assert backend.adapter(1) is None
    assert backend.clients(1) == []
    with pytest.raises(FileNotFoundError):
        backend.open(1)
