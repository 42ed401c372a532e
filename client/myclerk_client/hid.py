"""Input devices of a board: keyboards, mice, touch screens, joysticks, switches (evdev)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .link import Link
from .shared import Routed
from .streams import EventStream

WINDOW = 512
"""Reports that the board may push ahead of what was read here."""
EV_LED = 0x11


class HidDevice(Routed, EventStream):
    """The reports of an input device, as long as they are routed here.

    >>> async with await board.hid.open("event3") as device:
    ...     async for report in device:
    ...         print(report["events"])

    Events are reports {timestamp_ns, events}, ``events`` being [type, code, value] each, by the numbers of
    linux/input-event-codes.h; with ``resync`` a report says where things are, after some were dropped or at the
    start. Between them {active, holder} tells when the stream comes and goes. ``description`` has names, identity
    and capabilities of the device.
    """

    def __init__(self, link: Link, resource: str) -> None:
        super().__init__(link, WINDOW, resource)
        self.description: dict[str, Any] = {}

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push."""
        super().pushed(fields)
        if self._note_routing(fields):
            self._events.append({"active": self.active, "holder": self.holder})

    async def set_lights(self, lights: Mapping[int, bool]) -> None:
        """Switch lights of a keyboard on or off, by LED_ numbers: 0 num lock, 1 caps lock, 2 scroll lock.

        Raises BadRequest for lights that it does not have, Conflict while the stream is another client's.
        """
        await self.send([(EV_LED, code, int(on)) for code, on in lights.items()])

    async def send(self, events: Iterable[tuple[int, int, int]]) -> None:
        """Send lights and sounds (type, code, value). Raises as :meth:`set_lights`."""
        await self._ask("STREAM_DATA", {"events": [list(event) for event in events]})


class HidDevices:
    """The input devices of a board; ``board.hid``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[dict[str, Any]]:
        """The devices, each with name, path, description, kinds (keyboard, mouse, ...) and identity."""
        found = (await self._link.request("DEVICE_LIST", {"kind": "hid"}))["devices"]
        return [{"name": device["name"], **device.get("properties", {})} for device in found]

    async def open(self, device: str, *, grab: bool = False) -> HidDevice:
        """The reports of a device by resource name ("hid:event3") or short name ("event3").

        ``grab`` keeps them from everybody else on the board, as long as the stream is ours. Others may have the
        stream open, too: routes say whose it is. Raises NotFound; Conflict when another program has grabbed it.
        """
        resource = device if device.startswith("hid:") else f"hid:{device}"
        stream = HidDevice(self._link, resource)
        fields = {"resource": resource, "type": 3, "hid": {"grab": True} if grab else None}
        stream.description = (await stream.open("STREAM_START", fields))["hid"]
        return stream
