"""A keyboard and mouse made with uinput."""

from __future__ import annotations

from typing import Any

NAME = "board-keys"


class Keyboard:
    """Types what it is told. evdev is imported late: it takes half a second on the board."""

    def __init__(self) -> None:
        self._device: Any = None

    def set_up(self) -> None:
        """Make the device: all keys of a keyboard, three buttons, two axes."""
        from evdev import UInput, ecodes

        keys = [*range(1, 128), ecodes.BTN_LEFT, ecodes.BTN_RIGHT, ecodes.BTN_MIDDLE]
        events = {ecodes.EV_KEY: keys, ecodes.EV_REL: [ecodes.REL_X, ecodes.REL_Y]}
        self._device = UInput(events, name=NAME, vendor=0x1D6B, product=0x0E01, version=1)

    async def key(self, code: str, pressed: bool) -> None:
        """Press or release a key or button: "KEY_A", "BTN_LEFT"."""
        from evdev import ecodes

        if code not in ecodes.ecodes:
            raise LookupError(f"no key {code}: names are those of linux/input-event-codes.h")
        self._device.write(ecodes.EV_KEY, ecodes.ecodes[code], int(pressed))
        self._device.syn()

    async def move(self, x: int = 0, y: int = 0) -> None:
        """Move the mouse, in counts."""
        from evdev import ecodes

        self._device.write(ecodes.EV_REL, ecodes.REL_X, x)
        self._device.write(ecodes.EV_REL, ecodes.REL_Y, y)
        self._device.syn()

    async def input_device(self) -> str:
        """The path of its event device."""
        return str(self._device.device.path)
