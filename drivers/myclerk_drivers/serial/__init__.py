"""Serial ports: UARTs, USB adapters, RS-485, pseudo-terminals (draft section 6.4.2).

Everything goes through the tty's own ioctls (ioctl_tty(2)); a port is a non-blocking descriptor on the
event loop. The numbers of these ioctls are those of asm-generic: x86, ARM and RISC-V.
"""

from .driver import SerialDriver

__all__ = ["SerialDriver"]
