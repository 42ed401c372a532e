"""I2C and SMBus through the kernel's i2c-dev (draft section 6.4.4).

driver.py         the operations
target.py         which bus and address a request means, and which addresses may be used
access.py         work on an open bus, each on its thread
scan.py           looking for devices as i2cdetect does
messages.py       the messages of a transfer
smbus.py          the SMBus protocols
functionality.py  what adapters can do
faults.py         what the kernel's errors mean
backend.py        what the driver needs of a bus; kernel.py and simulated.py have it
emulation.py      SMBus made of I2C messages, for simulated.py
"""

from .driver import I2cDriver

__all__ = ["I2cDriver"]
