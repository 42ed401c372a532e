"""The DS18B20 temperature sensor (Maxim datasheet 19-7487)."""

from __future__ import annotations

import time

from .interfaces import Clock
from .onewire import Slave, crc8, rom_code

FAMILY = 0x28
CONVERT, WRITE_SCRATCHPAD, READ_SCRATCHPAD = 0x44, 0x4E, 0xBE
COPY_SCRATCHPAD, RECALL, READ_POWER_SUPPLY = 0x48, 0xB8, 0xB4

CONVERSION_TIME = {9: 0.09375, 10: 0.1875, 11: 0.375, 12: 0.75}
"""Seconds of a conversion at most, by bits of resolution."""

COPY_TIME = 0.01
"""Seconds of writing the EEPROM at most."""

POWER_ON = 0x0550
"""The temperature register before the first conversion: 85 degrees."""

POWER_ON_REMAIN = 0x0C
"""Byte 6 of the scratchpad before the first conversion; behind one it is what the temperature lacks to a whole degree.

The data sheet calls it reserved; the kernel (w1_therm, "features") tells 85 degrees from a missing conversion by it.
"""

_FACTORY = bytes([75, 70, 0x7F])
"""TH, TL and configuration (12 bits) as delivered."""


class Ds18b20(Slave):
    """A DS18B20 with this 48-bit serial number.

    ``temperature`` is what is around it. ``parasite``: powered by the data line, so that it cannot show when it is
    done. ``crc_fault``: the scratchpad is sent with a wrong CRC, as on a disturbed line. ``time_scale`` stretches
    or shortens conversions and copies; 0 makes them finish at once.
    """

    def __init__(
        self,
        serial: int,
        celsius: float = 20.0,
        *,
        parasite: bool = False,
        time_scale: float = 1.0,
        clock: Clock = time.monotonic,
    ) -> None:
        """Raises ValueError for a temperature out of range, OverflowError for a serial beyond 48 bits."""
        super().__init__(rom_code(FAMILY, serial))
        self.temperature = celsius
        self.parasite = parasite
        self.crc_fault = False
        self._time_scale = time_scale
        self._clock = clock
        self._eeprom = _FACTORY
        self.power_on()

    @property
    def temperature(self) -> float:
        """What is around the sensor, in degrees Celsius, -55 to 125. Setting raises ValueError."""
        return self._celsius

    @temperature.setter
    def temperature(self, celsius: float) -> None:
        if not -55 <= celsius <= 125:
            raise ValueError(f"a DS18B20 measures -55 to 125 degrees Celsius, not {celsius}")
        self._celsius = celsius

    @property
    def resolution(self) -> int:
        """Bits of resolution, 9 to 12."""
        return 9 + (self._registers[2] >> 5 & 3)

    @property
    def limits(self) -> tuple[int, int]:
        """The alarm limits TH and TL in the scratchpad, in whole degrees Celsius."""
        high, low = (byte - 256 if byte > 127 else byte for byte in self._registers[:2])
        return high, low

    @property
    def alarm(self) -> bool:
        """Whether the last conversion gave TH or more, or TL or less."""
        self._settle()
        return self._alarm

    @property
    def scratchpad(self) -> bytes:
        """The nine bytes that a read of the scratchpad gives, the CRC last."""
        self._settle()
        data = self._word.to_bytes(2, "little") + self._registers + bytes([0xFF, self._remain, 0x10])
        return data + bytes([crc8(data) ^ (0xFF if self.crc_fault else 0)])

    def power_on(self) -> None:
        """Begin as after power was off: 85 degrees, no alarm, limits and resolution from the EEPROM."""
        self._word = POWER_ON
        self._remain = POWER_ON_REMAIN
        self._registers = self._eeprom
        self._alarm = False
        self._converted: int | None = None
        self._busy_until = 0.0
        self._command = 0
        self._written = b""
        self.deselect()

    def reset(self) -> None:
        """A reset pulse. It ends an unfinished write, not a conversion."""
        super().reset()
        self._command, self._written = 0, b""

    def function(self, byte: int) -> int:
        """A function command, or a byte that follows one."""
        self._settle()
        if self._command == 0:
            self._begin(byte)
            return byte
        if self._command == WRITE_SCRATCHPAD:
            self._take_register(byte)
            return byte
        if self._command == READ_POWER_SUPPLY:
            return 0x00 if self.parasite else 0xFF
        if self._command in (CONVERT, COPY_SCRATCHPAD, RECALL):
            return 0x00 if self._busy and not self.parasite else 0xFF
        return 0xFF

    def _begin(self, command: int) -> None:
        self._command = command
        if command == CONVERT:
            self._converted = self._measured()
            self._busy_for(CONVERSION_TIME[self.resolution])
        elif command == READ_SCRATCHPAD:
            self.reply(self.scratchpad)
        elif command == COPY_SCRATCHPAD:
            self._eeprom = self._registers
            self._busy_for(COPY_TIME)
        elif command == RECALL:
            self._registers = self._eeprom
        elif command not in (WRITE_SCRATCHPAD, READ_POWER_SUPPLY):
            self.deselect()

    def _take_register(self, byte: int) -> None:
        """TH, TL, configuration, in this order; each counts as soon as it is there."""
        index = len(self._written)
        if index == 3:
            return
        self._written += bytes([byte])
        if index == 2:
            byte = byte & 0x60 | 0x1F  # only R1 and R0 can be written
        self._registers = self._registers[:index] + bytes([byte]) + self._registers[index + 1 :]

    def _measured(self) -> int:
        """The temperature register for what is around the sensor; unused bits are 0."""
        unused = (1 << 12 - self.resolution) - 1
        return round(self._celsius * 16) & ~unused & 0xFFFF

    def _busy_for(self, seconds: float) -> None:
        self._busy_until = self._clock() + seconds * self._time_scale

    @property
    def _busy(self) -> bool:
        return self._clock() < self._busy_until

    def _settle(self) -> None:
        """Take over the result of a conversion whose time is over, and compare it with the limits."""
        if self._converted is None or self._busy:
            return
        self._word, self._converted = self._converted, None
        self._remain = 0x10 - (self._word & 0x0F)
        degrees = int.from_bytes(self._word.to_bytes(2, "little"), "little", signed=True) >> 4
        high, low = self.limits
        self._alarm = degrees >= high or degrees <= low
