"""USB devices at URB level, through the kernel's usbfs (draft section 6.4.1).

``driver.py`` says what there is and attaches; ``device.py`` is an attached device with its operations; ``engine.py``
carries its transfers, those that ``polling.py`` repeats among them; ``usbfs.py`` is the kernel's interface. What a
device is comes from sysfs (``listing.py``), what the board itself needs it for from ``usage.py``; ``keeping.py``
remembers what has to be given back.
"""

from .driver import UsbDriver

__all__ = ["UsbDriver"]
