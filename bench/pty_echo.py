"""The device at the far end of a serial port: a pty that sends back what it receives. Prints its path."""

from __future__ import annotations

import os
import tty


def main() -> None:
    """Echo until terminated."""
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)  # the open slave keeps the pty alive between its users
    while data := os.read(master, 65536):
        while data:
            data = data[os.write(master, data) :]


if __name__ == "__main__":
    main()
