"""Which ports are listed, from trees like those of real boards; and that the driver fits the schema."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import pytest
from loop_context import LoopContext
from ptys import Pty, Run, driver_for, open_port

from myclerk_drivers.base import Access, served_by
from myclerk_drivers.serial import SerialDriver
from myclerk_drivers.serial.listing import list_ports
from myclerk_drivers.serial.port import SerialPort
from myclerk_protocol.schema import Schema

DRIVERS = """\
/dev/tty             /dev/tty        5       0 system:/dev/tty
unknown              /dev/tty        4 1-63 console
pty_slave            /dev/pts      136 0-1048575 pty:slave
usbserial            /dev/ttyUSB   188 0-511 serial
acm                  /dev/ttyACM   166 0-255 serial
ttyAMA               /dev/ttyAMA   204 64-77 serial
serial               /dev/ttyS       4 64-95 serial
g_serial             /dev/ttyGS    236 0-7 serial
"""
USB = "sys/devices/platform/soc/xhci/usb1/1-1/1-1.4"
DEVICES = {
    "ttyUSB0": f"{USB}/1-1.4:1.0/ttyUSB0",
    "ttyACM10": "sys/devices/platform/soc/xhci/usb1/1-1/1-1.2/1-1.2:1.2",
    "ttyACM2": "sys/devices/platform/soc/xhci/usb1/1-1/1-1.2/1-1.2:1.0",
    "ttyAMA0": "sys/devices/platform/soc/fe201000.serial/fe201000.serial:0/fe201000.serial:0.0",
    "ttyS0": "sys/devices/platform/serial8250/serial8250:0/serial8250:0.0",
    "ttyGS0": None,
    "tty1": None,
    "ptmx": None,
}


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A Raspberry Pi with an FTDI adapter, a composite ACM device and an 8250 slot without a UART."""
    put(tmp_path / "proc/tty/drivers", DRIVERS)
    for name, device in DEVICES.items():
        (tmp_path / "sys/class/tty" / name).mkdir(parents=True)
        put(tmp_path / "dev" / name, "")
        if device:
            (tmp_path / device).mkdir(parents=True, exist_ok=True)
            link(tmp_path / "sys/class/tty" / name / "device", tmp_path / device)
    put(tmp_path / "sys/class/tty/ttyS0/type", "0\n")
    put(tmp_path / "sys/class/tty/ttyAMA0/type", "32\n")
    texts = {"idVendor": "0403", "idProduct": "6001", "serial": "A5\x1b[2JXK3RJT", "bNumInterfaces": " 1"}
    for file, text in {**texts, "manufacturer": "FTDI", "product": "FT232R USB UART"}.items():
        put(tmp_path / USB / file, text + "\n")
    acm = tmp_path / "sys/devices/platform/soc/xhci/usb1/1-1/1-1.2"
    for file, text in {"idVendor": "1d50", "idProduct": "6018", "bNumInterfaces": " 6"}.items():
        put(acm / file, text + "\n")
    uart = tmp_path / "sys/devices/platform/soc/fe201000.serial"
    link(uart / "driver", tmp_path / "sys/bus/amba/drivers/uart-pl011")
    (tmp_path / "sys/bus/amba/drivers/uart-pl011").mkdir(parents=True)
    link(tmp_path / "dev/serial/by-id/usb-FTDI_FT232R USB-if00-port0", tmp_path / "dev/ttyUSB0")
    link(tmp_path / "dev/serial/by-path/platform-xhci-usb-0:1.4:1.0-port0", tmp_path / "dev/ttyUSB0")
    link(tmp_path / "dev/serial0", tmp_path / "dev/ttyAMA0")
    return tmp_path


def names(board: Path, **options: Any) -> list[str]:
    given = {"extra": {}, "hidden": (), "in_use": (), **options}
    return [port.name for port in list_ports(root=str(board), **given)]


def test_serial_drivers_with_hardware_are_listed(board: Path) -> None:
    assert names(board) == [
        "serial:ttyACM2",
        "serial:ttyACM10",
        "serial:ttyAMA0",
        "serial:ttyGS0",
        "serial:ttyUSB0",
    ]
    (board / "dev/ttyGS0").unlink()
    assert "serial:ttyGS0" not in names(board)


def test_a_usb_adapter_says_what_it_is(board: Path) -> None:
    port = next(p for p in list_ports({}, (), (), str(board)) if p.name == "serial:ttyUSB0")
    assert port.parent == "usb:1-1.4"
    assert port.aliases == (
        "serial:usb-FTDI_FT232R%20USB-if00-port0",
        "serial:platform-xhci-usb-0%3A1.4%3A1.0-port0",
    )
    assert port.properties == {
        "path": "/dev/ttyUSB0",
        "description": "FT232R USB UART (ttyUSB0)",
        "vendor_id": 0x0403,
        "product_id": 0x6001,
        "serial_number": "A5[2JXK3RJT",
        "manufacturer": "FTDI",
        "product": "FT232R USB UART",
        "location": "1-1.4",
        "by_id": "/dev/serial/by-id/usb-FTDI_FT232R USB-if00-port0",
        "by_path": "/dev/serial/by-path/platform-xhci-usb-0:1.4:1.0-port0",
        "in_use": False,
    }


def test_ports_of_one_device_differ_by_interface(board: Path) -> None:
    ports = {p.name: p for p in list_ports({}, (), (), str(board))}
    assert ports["serial:ttyACM2"].properties["location"] == "1-1.2:1.0"
    assert ports["serial:ttyACM10"].properties["location"] == "1-1.2:1.2"
    assert ports["serial:ttyACM10"].parent == "usb:1-1.2"


def test_a_uart_on_the_board_has_its_linked_name(board: Path) -> None:
    port = next(p for p in list_ports({}, (), (), str(board)) if p.name == "serial:ttyAMA0")
    assert port.aliases == ("serial:serial0",)
    assert port.parent is None
    assert port.description == "uart-pl011 fe201000.serial (ttyAMA0)"


def test_extra_ports_hidden_ports_and_aliases(board: Path) -> None:
    extra = {"gps one": str(board / "dev/ttyUSB0"), "sim": str(board / "dev/ptmx"), "gone": "/nonexistent"}
    ports = {p.name: p for p in list_ports(extra, (), (), str(board))}
    assert "serial:gps%20one" in ports["serial:ttyUSB0"].aliases
    assert ports["serial:sim"].properties["path"] == extra["sim"]
    assert "serial:gone" not in ports
    hidden = ("ttyACM2", "serial0", "sim", "gps one")
    assert names(board, extra=extra, hidden=hidden) == ["serial:ttyACM10", "serial:ttyGS0"]


def test_an_extra_port_takes_the_place_of_a_tty_of_its_name(board: Path) -> None:
    extra = {"ttyGS0": str(board / "dev/ptmx")}
    ports = [p for p in list_ports(extra, (), (), str(board)) if p.name == "serial:ttyGS0"]
    assert [p.properties["path"] for p in ports] == [extra["ttyGS0"]]


def test_a_machine_without_serial_ports_has_none(tmp_path: Path) -> None:
    assert names(tmp_path) == []
    put(tmp_path / "proc/tty/drivers", "pty_slave /dev/pts 136 0-1048575 pty:slave\nshort row\n")
    (tmp_path / "sys/class/tty/tty0").mkdir(parents=True)
    assert names(tmp_path) == []


def test_this_machine_lists_what_pyserial_finds_with_hardware() -> None:
    list_ports_module = pytest.importorskip("serial.tools.list_ports")
    with_hardware = {
        port.device
        for port in list_ports_module.comports()
        if not (Path("/sys/class/tty") / port.name / "type").is_file()
        or (Path("/sys/class/tty") / port.name / "type").read_text().strip() != "0"
    }
    assert with_hardware <= {port.properties["path"] for port in list_ports({}, (), ())}


def test_the_list_is_fresh_and_tells_of_use(run: Run, pty: Pty, tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "port").symlink_to(pty.path)
        driver = SerialDriver(LoopContext({"ports": {"demo": str(tmp_path / "port")}}))

        def demo() -> list[dict[str, Any]]:
            return [port for port in driver.list_ports()["ports"] if port["name"] == "serial:demo"]

        assert [port["in_use"] for port in demo()] == [False]
        handle = await open_port(driver)
        assert [port["in_use"] for port in demo()] == [True]
        handle.close()
        handle = await open_port(driver)
        handle.close()
        (tmp_path / "port").unlink()
        assert demo() == []

    run(main())


@pytest.mark.parametrize(
    "settings",
    [
        {"ports": {"demo": "relative/path"}},
        {"ports": {"demo": 5}},
        {"hide": [7]},
        {"modem_poll_interval": 0.0},
        {"modem_poll_interval": 61.0},
    ],
    ids=str,
)
def test_senseless_driver_settings_are_refused(run: Run, settings: dict[str, Any]) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="the serial driver's"):
            SerialDriver(LoopContext(settings))

    run(main())


def test_methods_take_the_fields_of_the_schema() -> None:
    schema = Schema.load()
    served = {**served_by(SerialDriver), **served_by(SerialPort)}
    assert len(served) == 9
    for operation, (name, serving) in served.items():
        request = schema.request(operation)
        assert request is not None
        owner = SerialDriver if hasattr(SerialDriver, name) else SerialPort
        parameters = inspect.signature(getattr(owner, name)).parameters
        fields = {field.name for field in request.fields}
        by_agent = {"handle", "credit_to", "compress"}
        if "settings" in parameters:
            assert {"baud", "rs485"} <= fields
        else:
            assert set(parameters) - {"self"} == fields - by_agent
        assert serving.access is not Access.EXCLUSIVE


def test_answers_can_be_encoded(run: Run, pty: Pty) -> None:
    async def main() -> None:
        schema = Schema.load()

        def round_trip(operation: str, answer: Any) -> None:
            response = schema.response(operation)
            assert response is not None
            assert response.decode(response.encode(answer)) == answer

        driver = driver_for(pty)
        round_trip("SERIAL_PORT_LIST", driver.list_ports())
        port = await open_port(driver)
        round_trip("SERIAL_PORT_OPEN", {"handle": 1, **port.describe()})
        round_trip("SERIAL_PORT_CONFIGURE", port.configure(baud=19200))
        round_trip("SERIAL_DATA_WRITE", port.write(b"x"))
        round_trip("SERIAL_DATA_READ", await port.read(timeout=0))
        port.close()

    run(main())
