"""The LM75 temperature sensor: 9 bits (National LM75) or 11 (NXP LM75A/B).

Its thermostat output is not modelled, the registers are.
"""

from __future__ import annotations

TEMPERATURE, CONFIGURATION, HYSTERESIS, OVER_TEMPERATURE = range(4)
"""The registers, as their pointers."""

SHUTDOWN = 0x01
"""Bit of the configuration register: no conversions, the last temperature stays."""

LIMIT_MASK = 0xFF80
"""Limits have 9 bits in all variants."""


class Lm75:
    """An LM75; ``bits`` of temperature is 9 or 11."""

    def __init__(self, celsius: float = 25.0, *, bits: int = 9) -> None:
        """Raises ValueError for other ``bits`` or a temperature out of range."""
        if bits not in (9, 11):
            raise ValueError(f"an LM75 has 9 or 11 bits of temperature, not {bits}")
        self.bits = bits
        self._words = {TEMPERATURE: 0, HYSTERESIS: _word(75.0), OVER_TEMPERATURE: _word(80.0)}
        self._configuration = 0
        self._pointer = TEMPERATURE
        self.temperature = celsius

    @property
    def temperature(self) -> float:
        """What is around the chip, in degrees Celsius, -55 to 125. Setting raises ValueError."""
        return self._celsius

    @temperature.setter
    def temperature(self, celsius: float) -> None:
        if not -55 <= celsius <= 125:
            raise ValueError(f"an LM75 measures -55 to 125 degrees Celsius, not {celsius}")
        self._celsius = celsius
        self._convert()

    @property
    def limits(self) -> tuple[float, float]:
        """The hysteresis and over-temperature limits (T_HYST, T_OS) in degrees Celsius."""
        return _degrees(self._words[HYSTERESIS]), _degrees(self._words[OVER_TEMPERATURE])

    def write(self, data: bytes) -> None:
        """Set the pointer, and the register that it points to; the temperature is read-only.

        A register takes what it has room for; further bytes are ignored.
        """
        if not data:
            return
        self._pointer = data[0] & 3
        value = data[1:]
        if not value or self._pointer == TEMPERATURE:
            return
        if self._pointer == CONFIGURATION:
            self._configuration = value[0] & 0x1F
            self._convert()
        else:
            low = value[1] if len(value) > 1 else self._words[self._pointer] & 0xFF
            self._words[self._pointer] = (value[0] << 8 | low) & LIMIT_MASK

    def read(self, size: int) -> bytes:
        """The register pointed to, from its first byte, again and again."""
        if self._pointer == CONFIGURATION:
            return bytes([self._configuration]) * size
        word = self._words[self._pointer].to_bytes(2, "big")
        return (word * (size // 2 + 1))[:size]

    def _convert(self) -> None:
        if not self._configuration & SHUTDOWN:
            self._words[TEMPERATURE] = _word(self._celsius, self.bits)


def _word(celsius: float, bits: int = 9) -> int:
    """Two's complement of 1/2 (9 bits) or 1/8 degree (11 bits), left-aligned in 16 bits."""
    return round(celsius * (1 << bits - 8)) << (16 - bits) & 0xFFFF


def _degrees(word: int) -> float:
    return int.from_bytes(word.to_bytes(2, "big"), "big", signed=True) / 256
