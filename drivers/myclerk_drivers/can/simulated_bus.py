"""CAN buses and the controllers on them, as far as programs can tell them from real ones.

A frame wants an acknowledgement from another controller of the same bit rate that does not only listen; else
it is repeated and errors are counted (ISO 11898-1): up to error-passive where nobody is there, up to bus-off
where somebody with another bit rate destroys it. Time plays no part, but for the automatic restart.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .backend import BIT_RATE_SWITCH, ERROR, FD_FRAME, MODES, STATES, BitTiming, Configuration

WARNING, PASSIVE, BUS_OFF = 96, 128, 256
TX_QUEUE_LENGTH = 10

# linux/can/error.h
ERR_CRTL, ERR_PROT, ERR_ACK, ERR_BUSOFF, ERR_BUSERROR = 0x004, 0x008, 0x020, 0x040, 0x080
ERR_RESTARTED, ERR_CNT = 0x100, 0x200
CRTL_RX, CRTL_TX = (0x00, 0x04, 0x10), (0x00, 0x08, 0x20)
CRTL_ACTIVE = 0x40
PROT_BIT, PROT_FORM, PROT_TX = 0x01, 0x02, 0x80

Listener = Callable[[int, int, bytes, object], None]
"""Gets can-id, flags, data, and the socket that the frame was sent with, or None if it came from the bus."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame in the queue of a controller, with the socket that sent it."""

    can_id: int
    flags: int
    data: bytes
    sender: object


class Bus:
    """Controllers that hear each other."""

    def __init__(self) -> None:
        self.controllers: list[Controller] = []

    def run(self) -> None:
        """Let every controller send what it can send now."""
        while any(controller.transmit() for controller in self.controllers):
            pass


@dataclass(slots=True, eq=False)
class Controller:
    """One simulated interface. ``virtual`` ones have no bit timing and need nobody's acknowledgement."""

    name: str
    bus: Bus
    virtual: bool = False
    clock: int = 80_000_000
    supported: int = sum(MODES.values())
    configuration: Configuration = field(default_factory=Configuration)
    up: bool = False
    state: str = "stopped"
    tx_errors: int = 0
    rx_errors: int = 0
    queue: deque[Sent] = field(default_factory=deque)
    listeners: list[Listener] = field(default_factory=list)
    statistics: dict[str, int] = field(default_factory=dict)
    _bus_off_at: float = 0.0

    def __post_init__(self) -> None:
        self.bus.controllers.append(self)

    # -- what the kernel does with it ----------------------------------------------------------------------

    def set_up(self, up: bool) -> None:
        """Start or stop. What was not sent yet is lost then. Raises OSError EINVAL without a bit rate."""
        if up is self.up:
            return
        if up and not self.virtual and self.configuration.timing is None:
            raise OSError(errno.EINVAL, "bit-timing not yet defined")
        self.up = up
        self.queue.clear()
        self.tx_errors = self.rx_errors = 0
        self.state = "error-active" if up else "stopped"
        self.bus.run()

    def send(self, frame: Sent) -> None:
        """Queue a frame. Raises OSError ENETDOWN, EINVAL, ENOBUFS."""
        if not self.up:
            raise OSError(errno.ENETDOWN, "Network is down")
        if frame.flags & FD_FRAME and not self.configuration.has("fd"):
            raise OSError(errno.EINVAL, "Invalid argument")
        if not self.is_running():
            return  # as with a real one
        if len(self.queue) >= TX_QUEUE_LENGTH:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        self.queue.append(frame)
        self.bus.run()

    def is_running(self) -> bool:
        """Whether it is up and not bus-off; the automatic restart happens here, when it is due."""
        due = self._bus_off_at + self.configuration.restart_ms / 1000
        if self.state == "bus-off" and self.configuration.restart_ms and time.monotonic() >= due:
            self.restart()
        return self.up and self.state != "bus-off"

    def restart(self) -> None:
        """Leave bus-off."""
        self.tx_errors = self.rx_errors = 0
        self.state = "error-active"
        self._count("restarts")
        self._report(ERR_RESTARTED)
        self.bus.run()

    # -- what happens on the bus ---------------------------------------------------------------------------

    def transmit(self) -> bool:
        """Try the first frame in the queue; whether it made progress."""
        if not self.queue or not self.up or self.state == "bus-off":
            return False
        frame = self.queue[0]
        if self.virtual or self.configuration.has("loopback"):
            self._sent([])
            return True
        others = [other for other in self.bus.controllers if other is not self and other.hears]
        deaf = [other for other in others if not other.fits(self, frame)]
        if any(not other.configuration.has("listen_only") for other in deaf):
            self._failed(ERR_PROT | ERR_BUSERROR, PROT_BIT | PROT_TX, BUS_OFF)
        else:
            fitting = [other for other in others if other not in deaf]
            if any(not other.configuration.has("listen_only") for other in fitting):
                self._sent(fitting)
            elif self.state != "error-passive" or self.configuration.has("one_shot"):
                self._failed(ERR_ACK | ERR_BUSERROR, 0, PASSIVE)
            else:
                return False  # it repeats the frame for ever, until somebody comes
        for other in deaf:
            other.disturb()
        return True

    @property
    def hears(self) -> bool:
        """Whether it takes part in the bus."""
        return self.up and self.state != "bus-off" and not self.configuration.has("loopback")

    def fits(self, other: Controller, frame: Sent) -> bool:
        """Whether it understands such a frame from ``other``."""
        mine, theirs = self.configuration, other.configuration
        if frame.flags & FD_FRAME and not mine.has("fd"):
            return False
        rates = [(mine.timing, theirs.timing)]
        if frame.flags & BIT_RATE_SWITCH:
            rates.append((mine.data_timing, theirs.data_timing))
        return all(_same_rate(one, another) for one, another in rates)

    def disturb(self) -> None:
        """Something was on the bus that is no frame to it."""
        self.rx_errors = min(self.rx_errors + 1, PASSIVE)
        self._errors(ERR_PROT | ERR_BUSERROR, PROT_FORM)

    def _sent(self, receivers: list[Controller]) -> None:
        frame = self.queue.popleft()
        self.tx_errors = max(self.tx_errors - 1, 0)
        self._count("tx_packets")
        self._count("tx_bytes", len(frame.data))
        for listener in tuple(self.listeners):
            listener(frame.can_id, frame.flags, frame.data, frame.sender)
        for receiver in receivers:
            receiver.rx_errors = max(receiver.rx_errors - 1, 0)
            receiver._count("rx_packets")
            receiver._count("rx_bytes", len(frame.data))
            receiver._errors(0, 0)
            for listener in tuple(receiver.listeners):
                listener(frame.can_id, frame.flags, frame.data, None)
        self._errors(0, 0)

    def _failed(self, error_class: int, violation: int, limit: int) -> None:
        self.tx_errors = min(self.tx_errors + 8, limit)
        if self.configuration.has("one_shot"):
            self.queue.popleft()
            self._count("tx_errors")
        self._errors(error_class, violation)

    def _errors(self, error_class: int, violation: int) -> None:
        """Count a bus error, if it is one, and tell when the state changes."""
        if error_class:
            self._count("bus_errors")
            if self.configuration.has("berr_reporting"):
                self._report(error_class, violation=violation)
        level = max(_level(self.tx_errors), _level(self.rx_errors))
        state = STATES[3 if self.tx_errors >= BUS_OFF else level]
        if state == self.state or self.virtual:
            return
        self.state = state
        self._count({"error-warning": "error_warnings", "error-passive": "error_passives", "bus-off": "bus_offs"}
                    .get(state))  # fmt: skip
        if state == "bus-off":
            self._bus_off_at = time.monotonic()
            self.queue.clear()
            self._report(ERR_BUSOFF)
        else:
            crtl = CRTL_RX[level if _level(self.rx_errors) == level else 0]
            crtl |= CRTL_TX[level if _level(self.tx_errors) == level else 0]
            self._report(ERR_CRTL, controller=crtl or CRTL_ACTIVE)

    def _report(self, error_class: int, *, controller: int = 0, violation: int = 0) -> None:
        counters = (min(self.tx_errors, 255), min(self.rx_errors, 255))
        data = bytes((0, controller, violation, 0, 0, 0, *counters))
        for listener in tuple(self.listeners):
            listener(ERROR | ERR_CNT | error_class, 0, data, None)

    def _count(self, what: str | None, number: int = 1) -> None:
        if what is not None:
            self.statistics[what] = self.statistics.get(what, 0) + number


def _level(errors: int) -> int:
    return 2 if errors >= PASSIVE else 1 if errors >= WARNING else 0


def _same_rate(one: BitTiming | None, another: BitTiming | None) -> bool:
    """Whether two bit rates are near enough for resynchronisation to make up for the difference."""
    if one is None or another is None:
        return False
    return abs(one.bitrate - another.bitrate) <= 0.005 * one.bitrate
