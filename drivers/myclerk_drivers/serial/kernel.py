"""The tty ioctls that have no function in the standard library (asm-generic/ioctls.h, ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import select
import struct
import termios

TCSBRK = 0x5409
TCFLSH = 0x540B
TIOCSBRK = 0x5427
TIOCCBRK = 0x5428
TIOCGEXCL = 0x80045440

FLUSH = {"input": termios.TCIFLUSH, "output": termios.TCOFLUSH, "both": termios.TCIOFLUSH}
_INT = struct.Struct("i")


def get_int(fd: int, request: int) -> int:
    """An ioctl that reports an int. Raises OSError."""
    return int(_INT.unpack(fcntl.ioctl(fd, request, bytes(4)))[0])


def set_int(fd: int, request: int, value: int) -> None:
    """An ioctl that takes a pointer to an int. Raises OSError."""
    fcntl.ioctl(fd, request, _INT.pack(value))


def wait_int(fd: int, request: int, value: int) -> None:
    """An ioctl that takes an int and may block; a signal does not end it early. Raises OSError."""
    while True:
        try:
            fcntl.ioctl(fd, request, value)
            return
        except InterruptedError:
            continue


def input_waiting(fd: int) -> int:
    """Bytes received and not yet read."""
    return get_int(fd, termios.FIONREAD)


def output_waiting(fd: int) -> int:
    """Bytes that the kernel holds for the transmitter; its FIFO is not counted. 0 on a pty, always."""
    return get_int(fd, termios.TIOCOUTQ)


def flush(fd: int, which: str) -> None:
    """Discard what the kernel holds: "input", "output" or "both"."""
    fcntl.ioctl(fd, TCFLSH, FLUSH[which])


def drain(fd: int) -> None:
    """Block until the transmitter is empty, its FIFO included (tcdrain)."""
    wait_int(fd, TCSBRK, 1)


def is_exclusive(fd: int) -> bool:
    """Whether opening this tty once more is refused to all but root."""
    return bool(get_int(fd, TIOCGEXCL))


def set_exclusive(fd: int, exclusive: bool) -> None:
    """Refuse further opens of this tty (TIOCEXCL), or allow them again."""
    fcntl.ioctl(fd, termios.TIOCEXCL if exclusive else termios.TIOCNXCL)


def is_hung_up(fd: int) -> bool:
    """Whether the device or the other end has left for good."""
    poller = select.poll()
    poller.register(fd, 0)
    return any(events & (select.POLLHUP | select.POLLNVAL) for _, events in poller.poll(0))
