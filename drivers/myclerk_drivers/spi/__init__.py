"""SPI through the kernel's spidev (draft section 6.4.5).

driver.py     the devices, and opening one
device.py     an open device: the operations on it
settings.py   mode, clock and words: the kernel's bits and the schema's names
segments.py   the segments of a transfer
faults.py     what the kernel's errors mean
backend.py    what the driver needs of spidev; kernel.py and simulated.py have it
"""

from .driver import SpiDriver

__all__ = ["SpiDriver"]
