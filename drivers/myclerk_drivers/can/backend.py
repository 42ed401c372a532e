"""What the driver needs of SocketCAN: the seam between its logic and the kernel, or a simulation of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

# Identifiers (linux/can.h)
EXTENDED = 0x80000000
REMOTE = 0x40000000
ERROR = 0x20000000
INVERTED = 0x20000000  # of a filter
STANDARD_MASK = 0x7FF
EXTENDED_MASK = 0x1FFFFFFF

# Flags of frames: those of canfd_frame, then what the socket says
BIT_RATE_SWITCH = 0x01
ERROR_STATE_INDICATOR = 0x02
FD_FRAME = 0x04
LOCAL = 0x40
OWN = 0x80

CAN_MTU, CANFD_MTU = 16, 72

STATES = ("error-active", "error-warning", "error-passive", "bus-off", "stopped", "sleeping")
"""Of a controller, by the kernel's numbers (enum can_state)."""

MODES: Mapping[str, int] = {
    "loopback": 0x01,
    "listen_only": 0x02,
    "triple_sampling": 0x04,
    "one_shot": 0x08,
    "berr_reporting": 0x10,
    "fd": 0x20,
}
"""Settings that are true or false, and their bits in struct can_ctrlmode."""

Frame: TypeAlias = Sequence[object]
"""[can-id, flags, data] to send; [nanoseconds, can-id, flags, data] when received; as in ``can.cddl``."""


@dataclass(frozen=True, slots=True)
class BitTiming:
    """struct can_bittiming. To ask for one, ``bitrate`` (and ``sample_point``, in tenths of a percent) is
    enough; one that is in force has all, except where the hardware knows fixed bit rates only."""

    bitrate: int
    sample_point: int = 0
    tq: int = 0
    prop_seg: int = 0
    phase_seg1: int = 0
    phase_seg2: int = 0
    sjw: int = 0
    brp: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that can be set while an interface is down. ``modes`` has bits of :data:`MODES`, maybe more."""

    timing: BitTiming | None = None
    data_timing: BitTiming | None = None
    modes: int = 0
    restart_ms: int = 0

    def has(self, mode: str) -> bool:
        """Whether a setting of :data:`MODES` is on."""
        return bool(self.modes & MODES[mode])


@dataclass(frozen=True, slots=True)
class Device:
    """What is behind an interface: the kernel's driver, the device's name on its bus, the resource it hangs on.
    All but the name may be missing; virtual interfaces have none of it."""

    name: str
    driver: str | None = None
    location: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """One look at an interface. What only controllers have is None for a virtual one."""

    name: str
    kind: str
    up: bool
    mtu: int
    tx_queue_length: int
    configuration: Configuration
    statistics: Mapping[str, int]
    state: str | None = None
    clock: int | None = None
    supported_modes: int | None = None
    tx_errors: int | None = None
    rx_errors: int | None = None

    @property
    def has_controller(self) -> bool:
        """Whether there is bit timing at all."""
        return self.state is not None


@dataclass(frozen=True, slots=True)
class Reception:
    """What a socket receives. ``filters`` are pairs (can-id, can-mask), the id with INVERTED where it is."""

    filters: tuple[tuple[int, int], ...] = ((0, 0),)
    joined: bool = False
    error_mask: int = 0
    receive_own: bool = False


@dataclass(slots=True)
class Received:
    """What came together, how many frames were lost before the last of it, and what ended it if not silence:
    ENETDOWN when the interface went down, ENODEV when it is gone, each told once."""

    frames: list[Frame] = field(default_factory=list)
    dropped: int = 0
    error: OSError | None = None


class CanSocket(Protocol):
    """A raw CAN socket bound to one interface; never blocks. For the event loop's thread once it is open."""

    def fileno(self) -> int:
        """The descriptor: readable when something came or the interface went down."""

    def receive(self, limit: int) -> Received:
        """At most ``limit`` frames; none when none are there."""

    def send(self, can_id: int, flags: int, data: bytes) -> None:
        """Queue one frame. Raises OSError: EAGAIN and ENOBUFS when there is no room, EINVAL for a CAN FD frame
        where only classic ones are, ENETDOWN, ENXIO."""

    def is_up(self) -> bool:
        """Whether the interface is up. Raises OSError when it is gone."""

    def is_running(self) -> bool:
        """Whether it is up and its controller takes part in the bus; frames sent otherwise vanish."""

    def receive_only(self, reception: Reception) -> None:
        """Let in only what ``reception`` says. Raises OSError."""

    def close(self) -> None:
        """Close the descriptor. Idempotent."""


class CanBackend(Protocol):
    """SocketCAN. All methods may be called on any thread and raise OSError; ENODEV: there is no such interface.

    All but :meth:`devices` and what a socket does may have to wait for whoever configures the network.
    """

    def devices(self) -> list[Device]:
        """All CAN interfaces there are, at once."""

    def interfaces(self) -> list[InterfaceState]:
        """A look at each of them."""

    def interface(self, name: str) -> InterfaceState:
        """A look at one of them."""

    def open(self, name: str, reception: Reception, receive_buffer: int) -> CanSocket:
        """A socket bound to it; ``receive_buffer`` is in bytes of kernel memory."""

    def configure(self, name: str, current: Configuration, wanted: Configuration) -> None:
        """Set everything, while it is down. The error's text says what the kernel objects to, if it does."""

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set the MTU of a virtual interface, while it is down."""

    def set_up(self, name: str, up: bool) -> None:
        """Take it up or down."""

    def restart(self, name: str) -> None:
        """Leave bus-off."""
