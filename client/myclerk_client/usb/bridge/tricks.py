"""What hides the network's latency from the host's drivers; each has a name and a switch (docs/usb.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from myclerk_protocol.status import LocalError

BULK_ONLY = (0x08, 0x50)
"""Class and protocol of a mass storage interface with bulk-only transport."""
POLLED_CLASSES = frozenset({0x01, 0x02, 0x03, 0x0E, 0xE0})
"""Audio, communication, HID, video, wireless: their drivers ask an interrupt endpoint again at once, always."""


class Switch(StrEnum):
    """``auto`` is: where it is known to be safe."""

    OFF = "off"
    AUTO = "auto"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Tricks:
    """Which tricks are played.

    ``descriptors`` answers requests for the device's descriptors from what the board told at attach. ``storage``
    pipelines the commands of mass storage (bulk-only transport). ``early_out`` completes bulk and interrupt OUT
    transfers before the board has done them; of its own accord never. ``polling`` has the board poll interrupt IN
    endpoints: those of classes whose drivers always ask again.
    """

    descriptors: Switch = Switch.AUTO
    storage: Switch = Switch.AUTO
    early_out: Switch = Switch.AUTO
    polling: Switch = Switch.AUTO

    @classmethod
    def parse(cls, words: Iterable[str]) -> Tricks:
        """From words like "polling=off" and "early-out=on"; "off" alone is all of them. Raises LocalError."""
        tricks = cls()
        for word in words:
            name, equals, value = word.rpartition("=")
            field = name.replace("-", "_")
            if value not in set(Switch) or (equals and field not in cls.__slots__):
                names = ", ".join(slot.replace("_", "-") for slot in cls.__slots__)
                raise LocalError(f"{word!r}: write NAME=off, NAME=auto or NAME=on, NAME being one of {names}")
            fields = [field] if equals else cls.__slots__
            tricks = replace(tricks, **{key: Switch(value) for key in fields})
        return tricks
