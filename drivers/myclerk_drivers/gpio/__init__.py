"""GPIO lines and PWM outputs (draft section 6.4.3), through libgpiod 2 and /sys/class/pwm.

The driver's logic knows a narrow :class:`.backend.GpioBackend`; behind it is the kernel, or a simulation.
"""

from .driver import GpioDriver

__all__ = ["GpioDriver"]
