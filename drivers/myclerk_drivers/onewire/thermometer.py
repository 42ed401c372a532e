"""Thermometers as the kernel's w1_therm driver shows them (Documentation/w1/slaves/w1_therm.rst, its sysfs ABI).

``w1_slave`` measures and gives all nine bytes of the scratchpad beside the temperature, so that the CRC, the
resolution and the value from power-on can be seen; ``temperature`` is the last number of it.
"""

from __future__ import annotations

import errno
import re
import time
from typing import Any

from myclerk_protocol.status import BadRequest, DeviceGone, HardwareError, OperationError, Unsupported

from ..models.onewire import crc8
from .backend import OneWireBackend, Slave
from .line import Line

MATCH_ROM, READ_SCRATCHPAD = b"\x55", b"\xbe"
SCRATCHPAD = 9
POWER_ON = b"\x50\x05"
"""85 degrees Celsius, the temperature before the first conversion."""

UNCONVERTED = 0x0C
"""Byte 6 of the scratchpad before the first conversion; behind one it is 16 - (byte 0 & 15)."""

WITHOUT_RESOLUTION = 0x10
"""Family of the DS18S20, which has no configuration register."""

BULK_SECONDS = 5.0
BULK_POLL = 0.05

_DUMP = re.compile(r"((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (?:YES|NO)\n.* t=(-?\d+)\n", re.DOTALL)


class Thermometer:
    """One thermometer on a bus. Everything here may take as long as a measurement, up to two seconds."""

    def __init__(self, backend: OneWireBackend, line: Line, slave: Slave) -> None:
        """Raises Unsupported for what the kernel does not measure with."""
        if not slave.thermometer:
            raise Unsupported(
                f"the kernel has no thermometer driver for {slave.rom}; if it is a thermometer, load w1_therm"
            )
        self._backend = backend
        self._line = line
        self._slave = slave
        self._rom = slave.rom

    def measure(self) -> dict[str, Any]:
        """``temperature`` in degrees Celsius, and ``resolution`` in bits where it can be set.

        Raises HardwareError (EBADMSG: wrong CRC; EIO: the value from power-on, which says that nothing was
        measured) and DeviceGone.
        """
        self._line.interrupt()
        match = _DUMP.fullmatch(self._dump())
        if match is None:
            raise self._diagnosis()
        scratchpad = bytes.fromhex(match[1])
        check_scratchpad(self._rom, scratchpad)
        if scratchpad[:2] == POWER_ON and scratchpad[6] == UNCONVERTED:
            raise HardwareError(
                f"{self._rom} did not measure: it still gives 85 degrees, its value from power-on; check its supply",
                errno="EIO",
            )
        reading: dict[str, Any] = {"temperature": int(match[2]) / 1000}
        if self._slave.code[0] != WITHOUT_RESOLUTION:
            reading["resolution"] = min(9 + (scratchpad[4] >> 5), 14)
        return reading

    def settings(self) -> dict[str, Any]:
        """Resolution, alarm limits, supply and conversion time, as far as the kernel gives them."""
        self._line.interrupt()
        found: dict[str, Any] = {}
        if (resolution := self._number("resolution")) is not None:
            found["resolution"] = resolution
        if (external := self._number("ext_power")) is not None:
            found["external_power"] = bool(external)
        if (milliseconds := self._number("conv_time")) is not None:
            found["conversion_time"] = milliseconds / 1000
        limits = self._text("alarms").split()
        if len(limits) == 2:
            found["alarm_low"], found["alarm_high"] = map(int, limits)
        return found

    def configure(
        self,
        *,
        resolution: int | None = None,
        alarm_low: int | None = None,
        alarm_high: int | None = None,
        save: bool = False,
    ) -> dict[str, Any]:
        """Change what is given, in its memory, and ``save`` that to its EEPROM; the settings afterwards.

        Raises BadRequest for limits in the wrong order or what the device cannot have, Unsupported,
        HardwareError. The kernel does not say whether saving worked.
        """
        before = self.settings()
        low = before.get("alarm_low") if alarm_low is None else alarm_low
        high = before.get("alarm_high") if alarm_high is None else alarm_high
        changes_alarm = alarm_low is not None or alarm_high is not None
        if changes_alarm and (low is None or high is None):
            raise Unsupported(f"{self._rom}, or this kernel, has no alarm limits to set")
        if changes_alarm and low is not None and high is not None and low > high:
            raise BadRequest(f"`alarm-low` {low} lies above `alarm-high` {high}", key="alarm-low")
        if resolution is not None:
            self._set_resolution(resolution, before.get("resolution"))
        if changes_alarm:
            self._set("alarms", f"{low} {high}")
        if save:
            self._set("eeprom_cmd", "save\n")
        after = self.settings()
        if changes_alarm and (after.get("alarm_low"), after.get("alarm_high")) != (low, high):
            raise HardwareError(f"{self._rom} did not take the alarm limits", errno="EIO")
        return after

    def _set_resolution(self, bits: int, before: int | None) -> None:
        """The kernel reads it back, and fails when the device has something else then."""
        try:
            self._set("resolution", str(bits))
        except HardwareError as error:
            now = self._number("resolution")
            if now is None or error.details.get("errno") != "EIO":
                raise
            if before not in (None, now):
                self._set("resolution", str(before))
            raise BadRequest(
                f"{self._rom} cannot have a resolution of {bits} bits", key="resolution"
            ) from None

    def _dump(self) -> str:
        """What ``w1_slave`` gives; waits while somebody lets all thermometers of the bus measure."""
        deadline = time.monotonic() + BULK_SECONDS
        while not (text := self._text("w1_slave")) and time.monotonic() < deadline:
            try:
                measuring = self._backend.attribute(self._line.bus, "therm_bulk_read").strip() == "-1"
            except OSError:
                measuring = False
            if not measuring:
                break
            time.sleep(BULK_POLL)
        return text

    def _diagnosis(self) -> OperationError:
        """Why the kernel, after five attempts, gave nothing: it does not say, so ask the device."""
        try:
            scratchpad = self._line.transfer(MATCH_ROM + self._slave.code, READ_SCRATCHPAD, SCRATCHPAD)
        except DeviceGone as error:
            return error
        except OperationError:  # no raw access
            return HardwareError(
                f"{self._rom} does not answer, or its data are damaged (CRC); check the wiring", errno="EIO"
            )
        try:
            check_scratchpad(self._rom, scratchpad)
        except OperationError as error:
            return error
        return HardwareError(f"{self._rom} gave nothing, but it answers now; try again", errno="EIO")

    def _number(self, attribute: str) -> int | None:
        """A number, None where there is no such attribute. Raises what a negative one stands for."""
        text = self._text(attribute).strip()
        if not text:
            return None
        if (number := int(text)) < 0:
            raise self._diagnosis()
        return number

    def _text(self, attribute: str) -> str:
        """An attribute's text; empty where this kernel or this device has none."""
        try:
            return self._backend.attribute(self._rom, attribute)
        except FileNotFoundError:
            if attribute == "w1_slave":
                raise DeviceGone(f"{self._rom} is gone", errno="ENOENT") from None
            return ""
        except OSError as error:
            raise self._failed(attribute, error) from None

    def _set(self, attribute: str, value: str) -> None:
        try:
            self._backend.set_attribute(self._rom, attribute, value)
        except FileNotFoundError:
            raise Unsupported(f"{self._rom}, or this kernel, has no {attribute} to set") from None
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise BadRequest(f"{self._rom} cannot have {attribute} {value}", key=attribute) from None
            raise self._failed(attribute, error) from None

    def _failed(self, attribute: str, error: OSError) -> OperationError:
        name = errno.errorcode.get(error.errno or 0)
        if error.errno == errno.ENODEV:
            return DeviceGone(f"{self._rom} is gone", errno=name)
        if error.errno in (errno.EACCES, errno.EPERM):
            return HardwareError(
                f"the agent may not use the {attribute} of {self._rom}; run it as root", errno=name
            )
        return HardwareError(f"the {attribute} of {self._rom} failed: {error.strerror}", errno=name)


def check(sender: str, data: bytes) -> None:
    """Raise DeviceGone if nobody sent these bytes, HardwareError if their last one is not the CRC of the others."""
    if data == b"\xff" * len(data):
        raise DeviceGone(f"{sender} does not answer; check the wiring", errno="ENODEV")
    if crc8(data) != 0:
        raise HardwareError(
            f"the checksum (CRC) of what {sender} sent is wrong: {data.hex(' ')}", errno="EBADMSG"
        )


def check_scratchpad(rom: str, data: bytes) -> None:
    """:func:`check`, and raise HardwareError for all zeros, whose CRC would be right."""
    check(rom, data)
    if not any(data):
        raise HardwareError(f"only zeros came from {rom}: is the data line held low?", errno="EIO")
