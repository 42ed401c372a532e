"""What all 1-Wire devices have in common: the CRC, the ROM code, and the ROM commands."""

from __future__ import annotations

from collections.abc import Iterable

READ_ROM, MATCH_ROM, SKIP_ROM = 0x33, 0x55, 0xCC
SEARCH_ROM, ALARM_SEARCH = 0xF0, 0xEC

_IDLE, _ROM, _MATCHING, _SELECTED = range(4)


def crc8(data: bytes | bytearray) -> int:
    """Maxim's CRC of ROM codes and scratchpads: x^8 + x^5 + x^4 + 1, reflected (application note 27).

    Over data with its CRC behind it, it is 0.
    """
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


def rom_code(family: int, serial: int) -> bytes:
    """A ROM code: family, 48 bits of serial number, least significant byte first, and the CRC.

    Raises OverflowError if ``serial`` has more than 48 bits.
    """
    body = bytes([family]) + serial.to_bytes(6, "little")
    return body + bytes([crc8(body)])


class Slave:
    """The ROM layer of a device: hands bytes to :meth:`function` while it is the one addressed.

    Searches are bit by bit; the model of the bus does them from ``rom`` and ``alarm``, and this device
    keeps quiet for a search command.
    """

    def __init__(self, rom: bytes) -> None:
        """Raises ValueError if ``rom`` is not 8 bytes with a matching CRC."""
        if len(rom) != 8 or crc8(rom) != 0:
            raise ValueError(f"{rom.hex()} is no ROM code: 8 bytes, the last one the CRC of the others")
        self.rom = rom
        self._state = _IDLE
        self._matched = b""
        self._reply = b""

    @property
    def alarm(self) -> bool:
        """Whether it answers an alarm search."""
        return False

    def reset(self) -> None:
        """A reset pulse: a ROM command comes next."""
        self._state, self._matched, self._reply = _ROM, b"", b""

    def exchange(self, byte: int) -> int:
        """Eight time slots; see :class:`.interfaces.OneWireSlave`."""
        if self._reply:
            answer, self._reply = self._reply[0], self._reply[1:]
            return answer & byte
        if self._state == _SELECTED:
            return self.function(byte) & byte
        if self._state == _ROM:
            self._rom_command(byte)
        elif self._state == _MATCHING:
            self._matched += bytes([byte])
            if len(self._matched) == 8:
                self._state = _SELECTED if self._matched == self.rom else _IDLE
        return byte

    def function(self, byte: int) -> int:
        """A byte for this device alone; what it leaves of it. A device without functions leaves everything."""
        return 0xFF

    def reply(self, data: bytes) -> None:
        """Answer the next read slots with ``data``."""
        self._reply = data

    def deselect(self) -> None:
        """Take no further bytes until a reset."""
        self._state = _IDLE

    def _rom_command(self, command: int) -> None:
        self._state = {READ_ROM: _SELECTED, SKIP_ROM: _SELECTED, MATCH_ROM: _MATCHING}.get(command, _IDLE)
        if command == READ_ROM:
            self._reply = self.rom


class BitSearch:
    """What devices with these ROM codes answer to a search, slot by slot (application note 187)."""

    def __init__(self, codes: Iterable[bytes]) -> None:
        self._left = [int.from_bytes(code, "little") for code in codes]
        self._slots = 0

    def slot(self, bit: int) -> int:
        """One time slot: the master writes ``bit``, 1 to read; what is on the line.

        First their bit and its complement, which all devices show at once, then the direction: those with another bit
        are out.
        """
        at, step = divmod(self._slots, 3)
        self._slots += 1
        if step < 2:
            return bit & all((code >> at & 1) != step for code in self._left)
        self._left = [code for code in self._left if code >> at & 1 == bit]
        return bit
