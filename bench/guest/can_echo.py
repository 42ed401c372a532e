"""A node on a CAN bus that answers each frame 0x100 with the same bytes under 0x101. Its argument is the interface."""

from __future__ import annotations

import sys

from .world import CAN_FRAME, can_socket

ASKED, ANSWERED = 0x100, 0x101


def main(interface: str) -> None:
    """Answer for ever."""
    with can_socket(interface, only=ASKED) as raw:
        print("ready", flush=True)
        while True:
            _, length, data = CAN_FRAME.unpack(raw.recv(CAN_FRAME.size))
            raw.send(CAN_FRAME.pack(ANSWERED, length, data))


if __name__ == "__main__":
    main(sys.argv[1])
