"""USB devices of a board: attached, transfers at URB level."""

from .device import UsbDevice, UsbDevices
from .poll import IsochronousPoll, UsbPoll
from .transfers import IsochronousResult, UrbResult, UsbTransfer

__all__ = [
    "IsochronousPoll",
    "IsochronousResult",
    "UrbResult",
    "UsbDevice",
    "UsbDevices",
    "UsbPoll",
    "UsbTransfer",
]
