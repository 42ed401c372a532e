"""What the SPI driver needs of spidev. kernel.py has this machine's, simulated.py simulated devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .segments import Segment
from .settings import KernelSettings


@dataclass(frozen=True, slots=True)
class Device:
    """A chip select of a bus. What is not known of it is None.

    ``parent`` is the resource that it hangs on; ``maximum_speed_hz`` is what the device tree allows.
    """

    bus: int
    chip_select: int
    path: str
    modalias: str | None = None
    controller: str | None = None
    maximum_speed_hz: int | None = None
    parent: str | None = None

    @property
    def name(self) -> str:
        """Its short name, ``0.1``."""
        return f"{self.bus}.{self.chip_select}"


class OpenDevice(Protocol):
    """An open device, for one thread at a time. What fails raises OSError with the kernel's errno."""

    def settings(self) -> KernelSettings:
        """What is in force."""

    def set_mode(self, mode: int) -> None:
        """Set the mode bits, all at once."""

    def set_bits_per_word(self, bits: int) -> None:
        """Set the length of a word."""

    def set_speed(self, hertz: int) -> None:
        """Set the clock rate of segments that name none."""

    def message(self, segments: Sequence[Segment]) -> list[bytes]:
        """Send all in one message; what was received, for each segment that receives."""

    def close(self) -> None:
        """Let go of the device."""


class Backend(Protocol):
    """The devices of a machine."""

    @property
    def buffer_size(self) -> int:
        """Bytes of one message at most, in each direction."""

    def devices(self) -> Sequence[Device]:
        """All devices, by bus and chip select."""

    def device(self, name: str) -> Device | None:
        """The device of this short name, or None."""

    def open(self, device: Device) -> OpenDevice:
        """Open a device. Raises OSError."""
