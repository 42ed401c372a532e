"""CAN interfaces (draft section 6.4.6): raw sockets of python-can, configuration by rtnetlink.

Everything goes through SocketCAN (Documentation/networking/can.rst); an open interface is a non-blocking
socket on the event loop. The kernel comes in behind :class:`.backend.CanBackend`, as does the simulation.
"""

from .driver import CanDriver

__all__ = ["CanDriver"]
