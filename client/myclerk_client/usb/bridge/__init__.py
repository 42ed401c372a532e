"""The bridge between a device of the board and a host that speaks USB/IP, and what hides the network's latency."""

from .bridge import Bridge, Monitor
from .tricks import Switch, Tricks

__all__ = ["Bridge", "Monitor", "Switch", "Tricks"]
