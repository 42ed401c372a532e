"""1-Wire buses: search, bytes, thermometers (draft section 6.4.7).

Bytes go through the kernel's netlink interface, in which several commands are one access that neither the kernel
nor another program can come between. Temperatures come from sysfs, where the kernel knows how to feed a device that
lives on the data line while it measures.
"""

from .driver import OneWireDriver

__all__ = ["OneWireDriver"]
