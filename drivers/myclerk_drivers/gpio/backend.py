"""What the GPIO driver needs of the kernel, or of a simulation in its place. Failures are raised as OSError."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

MOST_LINES = 64
"""Lines of one request (GPIO_V2_LINES_MAX in linux/gpio.h)."""

EVENT_BUFFER = 1024
"""Edges of one request that the kernel keeps at most: 16 for each of the most lines. The oldest fall out first."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A GPIO chip: kernel name, the driver's label, names of its lines by offset ("" for none).

    ``aliases`` are further names in /dev; ``parent`` is the resource that it hangs on, if that is one.
    """

    name: str
    label: str
    line_names: tuple[str, ...]
    path: str | None = None
    aliases: tuple[str, ...] = ()
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class LineInfo:
    """What the kernel says of a line, in the words of the schema; ``debounce`` in seconds."""

    offset: int
    name: str
    used: bool
    consumer: str
    direction: str
    active_low: bool
    bias: str
    drive: str
    edges: str | None
    event_clock: str
    debounce: float


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How a line is requested, in the words of the schema; ``debounce`` in seconds, ``value`` logical."""

    direction: str = "input"
    value: bool = False
    active_low: bool = False
    bias: str = "as-is"
    drive: str = "push-pull"
    debounce: float = 0.0
    event_clock: str = "monotonic"
    edges: str | None = None


class Edge(NamedTuple):
    """An edge as the kernel noted it. ``sequence`` counts from 1 per line and request, and wraps at 2^32."""

    timestamp_ns: int
    offset: int
    rising: bool
    sequence: int


@dataclass(frozen=True, slots=True)
class PwmChip:
    """A PWM chip: kernel name ("pwmchip0"), the device that it is, how many channels it has."""

    name: str
    label: str
    channels: int


@dataclass(frozen=True, slots=True)
class Waveform:
    """What a PWM output does. Times are in nanoseconds, 0 <= ``duty_ns`` <= ``period_ns``."""

    period_ns: int
    duty_ns: int = 0
    inversed: bool = False
    enabled: bool = True


class LineRequest(Protocol):
    """Lines that were requested together. ``fd`` can be read when there are edges.

    ``sequences`` is the reader's: the last sequence number seen of each line. They go on for as long as the lines
    stay requested, whoever has them.
    """

    fd: int
    sequences: dict[int, int]

    def get(self, offsets: Sequence[int]) -> list[bool]:
        """Logical values, by one call of the kernel."""

    def set(self, values: Mapping[int, bool]) -> None:
        """Set logical values, by one call of the kernel."""

    def configure(self, settings: Mapping[int, LineSettings]) -> None:
        """Change the settings of all lines; outputs get their ``value``."""

    def read_edges(self) -> list[Edge]:
        """The edges noted since the last call, at most :data:`EVENT_BUFFER`; never waits."""

    def release(self) -> None:
        """Give the lines back to the kernel, in whatever state its driver leaves them. Idempotent."""


class PwmOutput(Protocol):
    """A PWM output that is held."""

    def apply(self, waveform: Waveform) -> None:
        """Do that from now on, or from the next period on."""

    def release(self) -> None:
        """Stop, output inactive, and give it back. Idempotent."""


class GpioBackend(Protocol):
    """The chips of a board."""

    def chips(self) -> Sequence[Chip]:
        """What there is now, in natural order; empty when there is none. Never raises."""

    def line_info(self, chip: str, offsets: Iterable[int]) -> list[LineInfo]:
        """What the kernel says of lines; leaves the hardware alone."""

    def request(self, chip: str, settings: Mapping[int, LineSettings], consumer: str) -> LineRequest:
        """Request lines of one chip together, with room for :data:`EVENT_BUFFER` edges."""

    def pwm_chips(self) -> Sequence[PwmChip]:
        """The PWM chips there are now, in natural order. Never raises."""

    def pwm(self, chip: str, channel: int) -> PwmOutput:
        """Take a channel, which stands still until a waveform is applied. May wait up to a second."""
