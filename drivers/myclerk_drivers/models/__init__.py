"""Models of well-known chips in plain Python: what answers on a simulated bus.

They are shared by simulated boards (``myclerk-agent run --simulate``) and by the virtual board that tests run on. A
model does no I/O and starts no thread. Where a chip needs time, it asks a clock: ``time.monotonic`` unless told
otherwise.

    interfaces.py   what a bus expects of a chip
    eeprom.py       24Cxx serial EEPROMs                (I2C)
    lm75.py         LM75 temperature sensor             (I2C)
    registers.py    a chip of 256 registers             (I2C)
    onewire.py      ROM layer and CRC of 1-Wire devices
    ds18b20.py      DS18B20 temperature sensor          (1-Wire)
    flash.py        W25Qxx serial NOR flash             (SPI)
    modem.py        a cellular modem, with modem_*.py   (serial; not imported here, as few need it)
"""

from .ds18b20 import Ds18b20
from .eeprom import Eeprom
from .flash import Flash
from .interfaces import Clock, I2cTarget, Nack, OneWireSlave, SpiPeripheral
from .lm75 import Lm75
from .onewire import crc8, rom_code
from .registers import Registers

__all__ = [
    "Clock",
    "Ds18b20",
    "Eeprom",
    "Flash",
    "I2cTarget",
    "Lm75",
    "Nack",
    "OneWireSlave",
    "Registers",
    "SpiPeripheral",
    "crc8",
    "rom_code",
]
