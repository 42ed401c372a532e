"""What the kernel's thermometer driver shows, and what it means: good readings, damaged ones, none."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from myclerk_drivers.models.onewire import crc8, rom_code
from myclerk_drivers.onewire.backend import Bus, Slave
from myclerk_drivers.onewire.line import Line
from myclerk_drivers.onewire.thermometer import Thermometer
from myclerk_protocol.status import BadRequest, DeviceGone, HardwareError, OperationError, Unsupported

BUS, ROM = "w1_bus_master1", "28-0000075f4d2c"
CODE = rom_code(0x28, 0x75F4D2C)
GOOD = "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n"
"""As a DS18B20 was seen on a Raspberry Pi."""

Text = str | OSError


class Sysfs:
    """A backend that shows what it is told: (device, attribute) -> text, or texts to give one after the other."""

    def __init__(
        self, attributes: Mapping[str, Text | list[Text]], raw: bytes | OperationError | None = None
    ) -> None:
        self.attributes = dict(attributes)
        self.raw = raw
        self.written: list[tuple[str, str]] = []

    def buses(self) -> Sequence[Bus]:
        return [Bus(BUS, (Slave(ROM, CODE, True),))]

    def check_raw(self, bus: str) -> None:
        """Nothing to say."""

    def exchange(self, bus: str, write: bytes, read: int, *, reset: bool = True) -> bytes | None:
        assert (bus, write, read, reset) == (BUS, b"\x55" + CODE + b"\xbe", 9, True)
        if isinstance(self.raw, OperationError):
            raise self.raw
        return self.raw

    def search_pass(self, bus: str, command: int, path: int) -> tuple[int, int] | None:
        return None

    def add(self, bus: str, code: bytes) -> None:
        """Nothing to add."""

    def attribute(self, device: str, name: str) -> str:
        shown: Any = self.attributes.get(name, FileNotFoundError(errno.ENOENT, "no such file", name))
        if isinstance(shown, list):
            shown = shown.pop(0) if len(shown) > 1 else shown[0]
        if isinstance(shown, OSError):
            raise shown
        return str(shown)

    def set_attribute(self, device: str, name: str, value: str) -> None:
        self.written.append((name, value))
        refusal = self.attributes.get(f"set {name}")
        if isinstance(refusal, OSError):
            raise refusal


def thermometer(backend: Sysfs, code: bytes = CODE, *, driven: bool = True) -> Thermometer:
    return Thermometer(backend, Line(backend, BUS), Slave(ROM, code, driven))


def dump(scratchpad: bytes, millidegrees: int, verdict: str = "YES") -> str:
    octets = scratchpad.hex(" ")
    return f"{octets} : crc={crc8(scratchpad[:8]):02x} {verdict}\n{octets} t={millidegrees}\n"


def scratchpad(word: int, *rest: int) -> bytes:
    data = word.to_bytes(2, "little", signed=True) + bytes(rest)
    return data + bytes([crc8(data)])


def test_a_reading_has_temperature_and_resolution() -> None:
    data = scratchpad(-162, 0x4B, 0x46, 0x3F, 0xFF, 0x0E, 0x10)
    reading = thermometer(Sysfs({"w1_slave": dump(data, -10125)})).measure()
    assert reading == {"temperature": -10.125, "resolution": 10}


def test_a_ds18s20_has_no_resolution() -> None:
    data = scratchpad(0x0032, 0x4B, 0x46, 0xFF, 0xFF, 0x0C, 0x10)
    backend = Sysfs({"w1_slave": dump(data, 25000)})
    assert thermometer(backend, rom_code(0x10, 5)).measure() == {"temperature": 25.0}


def test_85_degrees_from_power_on_is_no_temperature() -> None:
    waiting = scratchpad(0x0550, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10)
    with pytest.raises(HardwareError, match="did not measure") as failed:
        thermometer(Sysfs({"w1_slave": dump(waiting, 85000)})).measure()
    assert failed.value.details["errno"] == "EIO"
    hot = scratchpad(0x0550, 0x4B, 0x46, 0x7F, 0xFF, 0x10, 0x10)
    assert thermometer(Sysfs({"w1_slave": dump(hot, 85000)})).measure()["temperature"] == 85.0


def test_a_wrong_crc_is_told_as_such_by_old_kernels_and_by_new_ones() -> None:
    damaged = bytes.fromhex("72 01 4b 46 7f ff 0e 10 58")
    old = Sysfs({"w1_slave": dump(damaged, 23125, "NO")})
    new = Sysfs({"w1_slave": ""}, raw=damaged)
    for backend in (old, new):
        with pytest.raises(HardwareError, match=r"checksum \(CRC\).*72 01 4b 46 7f ff 0e 10 58") as failed:
            thermometer(backend).measure()
        assert failed.value.details["errno"] == "EBADMSG"


@pytest.mark.parametrize("raw", [None, b"\xff" * 9])
def test_one_that_does_not_answer_is_gone(raw: bytes | None) -> None:
    with pytest.raises(DeviceGone, match="answer"):
        thermometer(Sysfs({"w1_slave": "", "w1_master_attempts": "1"}, raw=raw)).measure()


def test_a_line_held_low_has_a_right_crc_and_is_no_temperature() -> None:
    with pytest.raises(HardwareError, match="held low"):
        thermometer(Sysfs({"w1_slave": dump(bytes(9), 0)})).measure()


def test_without_raw_access_the_reason_is_one_of_two() -> None:
    backend = Sysfs({"w1_slave": ""}, raw=Unsupported("not from a container"))
    with pytest.raises(HardwareError, match=r"does not answer, or its data are damaged \(CRC\)"):
        thermometer(backend).measure()


def test_a_failure_that_is_over_says_so() -> None:
    backend = Sysfs({"w1_slave": ""}, raw=bytes.fromhex("72 01 4b 46 7f ff 0e 10 57"))
    with pytest.raises(HardwareError, match="try again"):
        thermometer(backend).measure()


def test_while_all_measure_together_it_waits() -> None:
    backend = Sysfs({"w1_slave": ["", "", GOOD], "therm_bulk_read": "-1\n"})
    assert thermometer(backend).measure() == {"temperature": 23.125, "resolution": 12}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, "no such file"), DeviceGone),
        (OSError(errno.ENODEV, "no such device"), DeviceGone),
        (OSError(errno.EIO, "input/output error"), HardwareError),
    ],
)
def test_one_that_was_removed_is_gone(error: OSError, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        thermometer(Sysfs({"w1_slave": error})).measure()


def test_what_the_kernel_has_no_driver_for_is_not_measured_with() -> None:
    with pytest.raises(Unsupported, match="w1_therm"):
        thermometer(Sysfs({}), driven=False)


ALL = {"resolution": "12\n", "ext_power": "0\n", "conv_time": "750\n", "alarms": "-5 30\n"}


def test_settings_are_what_the_kernel_shows() -> None:
    assert thermometer(Sysfs(ALL)).settings() == {
        "resolution": 12,
        "external_power": False,
        "conversion_time": 0.75,
        "alarm_low": -5,
        "alarm_high": 30,
    }
    assert thermometer(Sysfs({"ext_power": "1\n"})).settings() == {"external_power": True}


def test_settings_that_could_not_be_read_are_no_settings() -> None:
    backend = Sysfs({**ALL, "resolution": "-5\n", "alarms": "0 0\n"}, raw=b"\xff" * 9)
    with pytest.raises(DeviceGone):
        thermometer(backend).settings()


def test_changes_are_written_and_read_back() -> None:
    backend = Sysfs({**ALL, "resolution": ["12\n", "9\n"], "alarms": ["-5 30\n", "-5 20\n"]})
    after = thermometer(backend).configure(resolution=9, alarm_high=20, save=True)
    assert (after["resolution"], after["alarm_low"], after["alarm_high"]) == (9, -5, 20)
    assert backend.written == [("resolution", "9"), ("alarms", "-5 20"), ("eeprom_cmd", "save\n")]


def test_limits_in_the_wrong_order_change_nothing() -> None:
    backend = Sysfs(ALL)
    with pytest.raises(BadRequest) as refused:
        thermometer(backend).configure(resolution=9, alarm_low=31)
    assert refused.value.details["key"] == "alarm-low"
    assert backend.written == []


def test_a_resolution_that_it_cannot_have_leaves_the_one_before() -> None:
    refusal = OSError(errno.EIO, "input/output error")
    backend = Sysfs({**ALL, "resolution": ["12\n", "9\n"], "set resolution": refusal})
    with pytest.raises(HardwareError):  # this one refuses every write
        thermometer(backend).configure(resolution=13)
    assert backend.written == [("resolution", "13"), ("resolution", "12")]


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (OSError(errno.EINVAL, "invalid argument"), BadRequest, "cannot have resolution 14"),
        (OSError(errno.EIO, "input/output error"), BadRequest, "resolution of 14 bits"),
        (FileNotFoundError(errno.ENOENT, "no such file"), Unsupported, "no resolution"),
        (PermissionError(errno.EACCES, "permission denied"), HardwareError, "as root"),
        (OSError(errno.ENODEV, "no such device"), DeviceGone, "gone"),
    ],
)
def test_why_a_resolution_was_not_taken(error: OSError, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        thermometer(Sysfs({**ALL, "set resolution": error})).configure(resolution=14)


def test_limits_that_did_not_stick_are_told() -> None:
    with pytest.raises(HardwareError, match="did not take the alarm limits"):
        thermometer(Sysfs(ALL)).configure(alarm_high=20)
    with pytest.raises(Unsupported, match="no alarm limits"):
        thermometer(Sysfs({"resolution": "12\n"})).configure(alarm_high=20)
