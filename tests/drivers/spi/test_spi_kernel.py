"""What sysfs says of devices, from a directory in its form."""

from __future__ import annotations

from pathlib import Path

import pytest

from myclerk_drivers.spi.backend import Device
from myclerk_drivers.spi.kernel import KernelSpi


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with a SoC's controller that a device tree describes, and a USB adapter."""
    platform = tmp_path / "sys/devices/platform/fe204000.spi"
    usb = tmp_path / "sys/devices/pci/usb1/1-1.4"
    (usb / "1-1.4:1.0").mkdir(parents=True)
    (usb / "idVendor").write_text("1a86\n")
    for bus, chip_select, parent in ((0, 1, platform), (0, 0, platform), (10, 0, usb / "1-1.4:1.0")):
        device = parent / f"spi_master/spi{bus}/spi{bus}.{chip_select}"
        device.mkdir(parents=True)
        (device / "modalias").write_text("spi:spidev\n")
        listed = tmp_path / f"sys/class/spidev/spidev{bus}.{chip_select}"
        listed.mkdir(parents=True)
        (listed / "device").symlink_to(device)
    of_node = platform / "spi_master/spi0/spi0.1/of_node"
    of_node.mkdir()
    (of_node / "spi-max-frequency").write_bytes((125_000_000).to_bytes(4, "big"))
    (tmp_path / "sys/bus/platform/drivers/spi-bcm2835").mkdir(parents=True)
    (platform / "driver").symlink_to(tmp_path / "sys/bus/platform/drivers/spi-bcm2835")
    (tmp_path / "sys/class/spi_master/spi0").mkdir(parents=True)
    (tmp_path / "sys/class/spi_master/spi0/device").symlink_to(platform)
    parameters = tmp_path / "sys/module/spidev/parameters"
    parameters.mkdir(parents=True)
    (parameters / "bufsiz").write_text("65536\n")
    return tmp_path


def test_devices_in_order_with_what_the_kernel_says(root: Path) -> None:
    backend = KernelSpi(str(root))
    soc = {"modalias": "spi:spidev", "controller": "spi-bcm2835"}
    assert backend.devices() == [
        Device(0, 0, str(root / "dev/spidev0.0"), **soc),
        Device(0, 1, str(root / "dev/spidev0.1"), maximum_speed_hz=125_000_000, **soc),
        Device(10, 0, str(root / "dev/spidev10.0"), modalias="spi:spidev", parent="usb:1-1.4"),
    ]
    assert backend.device("0.1") == backend.devices()[1]
    assert backend.device("0.2") is None
    assert backend.device("../0.1") is None
    assert backend.buffer_size == 65536


def test_a_machine_without_spi_has_no_devices(tmp_path: Path) -> None:
    backend = KernelSpi(str(tmp_path))
    assert backend.devices() == []
    assert backend.device("0.0") is None
    assert backend.buffer_size == 4096
