"""Input devices: keyboards, mice, touch screens, joysticks, switches (evdev)."""

from .driver import HidDriver

__all__ = ["HidDriver"]
