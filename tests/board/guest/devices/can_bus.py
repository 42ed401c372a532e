"""A CAN bus: controllers that are joined, and an analyser on the bench that hears, acknowledges and sends.

Frames cross at once. What is kept of a real bus is who acknowledges whom, the error counters with their states
(ISO 11898-1, fault confinement), and that an unacknowledged frame stays in the controller and is tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ACTIVE, WARNING, PASSIVE, BUS_OFF, STOPPED = range(5)
"""States as the kernel counts them (enum can_state)."""

ERR_CONTROLLER, ERR_PROTOCOL, ERR_ACKNOWLEDGE, ERR_BUS_OFF, ERR_BUS, ERR_COUNTERS = (
    0x4,
    0x8,
    0x20,
    0x40,
    0x80,
    0x200,
)
"""Classes of an error frame (linux/can/error.h)."""
RX_OVERFLOW, RX_WARNING, TX_WARNING, RX_PASSIVE, TX_PASSIVE, BACK_ACTIVE = 0x01, 0x04, 0x08, 0x10, 0x20, 0x40
"""Byte 1 of an error frame of class ERR_CONTROLLER."""
PROTOCOL_KINDS = {"bit": 0x01, "form": 0x02, "stuff": 0x04}
"""Byte 2 of an error frame of class ERR_PROTOCOL."""
CRC_SEQUENCE = 0x08
"""Byte 3: where it happened."""


@dataclass(frozen=True)
class Frame:
    """A frame; ``length`` is what its data length code says, also of a remote frame."""

    identifier: int
    data: bytes = b""
    extended: bool = False
    remote: bool = False
    fd: bool = False
    bitrate_switch: bool = False
    error: bool = False
    length: int = -1

    def __post_init__(self) -> None:
        if self.length < 0:
            object.__setattr__(self, "length", len(self.data))


class Bus:
    """The wire between ``channels``. ``analyser`` False takes the bench's node off, so that nobody but them
    acknowledges."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.analyser = True
        self.heard: list[tuple[int, Frame]] = []

    def carry(self, sender: Channel, frame: Frame) -> bool:
        """Deliver ``frame`` to all who understand it; whether somebody acknowledged."""
        others = [
            channel
            for channel in self.channels
            if channel is not sender and channel.understands(sender, frame)
        ]
        acknowledged = self.analyser or any(not channel.listen_only for channel in others)
        if acknowledged:
            if self.analyser:
                self.heard.append((self.channels.index(sender), frame))
            for channel in others:
                channel.heard(frame)
        return acknowledged

    def inject(self, frame: Frame, channel: Channel | None = None) -> int:
        """The analyser sends ``frame``, to one channel or to all; how many of them took it.

        Its bit rates are those of whoever listens.
        """
        hearing = [
            node for node in self.channels if channel in (None, node) and node.understands(node, frame)
        ]
        for node in hearing:
            node.heard(frame)
        return len(hearing)

    def retry(self) -> None:
        """Somebody joined: try what is waiting."""
        for channel in self.channels:
            channel.flush()


class Channel:
    """A CAN controller. ``receive`` gets frames for the host, ``sent`` the token and frame of a completed
    transmission."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.receive: Callable[[Frame], None] = lambda frame: None
        self.sent: Callable[[int, Frame], None] = lambda token, frame: None
        self.bitrate = self.data_bitrate = 0
        self.listen_only = self.loopback = self.one_shot = self.fd = self.reports_errors = False
        self.state = STOPPED
        self.receive_errors = self.transmit_errors = 0
        self._pending: list[tuple[int, Frame]] = []
        bus.channels.append(self)

    @property
    def running(self) -> bool:
        """Whether it takes part in the bus's traffic."""
        return self.state not in (STOPPED, BUS_OFF)

    def start(self) -> None:
        """Join the bus with fresh error counters."""
        self.state = ACTIVE
        self.receive_errors = self.transmit_errors = 0
        self._pending.clear()
        self.bus.retry()

    def stop(self) -> None:
        """Leave the bus; what was to be sent is forgotten."""
        self.state = STOPPED
        self._pending.clear()

    def understands(self, sender: Channel, frame: Frame) -> bool:
        """Whether a frame of ``sender`` is one for this controller: same bit rates, FD only if FD is on."""
        if not self.running or self.bitrate != sender.bitrate or (frame.fd and not self.fd):
            return False
        return not frame.bitrate_switch or self.data_bitrate == sender.data_bitrate

    def heard(self, frame: Frame) -> None:
        """A good frame came over the wire."""
        if not self.running:
            return
        self.receive_errors = max(self.receive_errors - 1, 0)
        self.receive(frame)
        self._update()

    def transmit(self, frame: Frame, token: int) -> None:
        """Queue a frame of the host."""
        self._pending.append((token, frame))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as long as somebody acknowledges."""
        while self._pending and self.running and not self.listen_only:
            token, frame = self._pending[0]
            if not self.loopback and not self.bus.carry(self, frame):
                self._unacknowledged()
                if not self.one_shot:
                    return
            elif self.loopback:
                self.receive(frame)
            del self._pending[0]
            self.transmit_errors = max(self.transmit_errors - 1, 0)
            self.sent(token, frame)
            self._update()

    def go_bus_off(self) -> None:
        """The transmit error counter went beyond 255."""
        if not self.running:
            return
        self.transmit_errors = 256
        self.state = BUS_OFF
        self._pending.clear()
        self._report(ERR_BUS_OFF)

    def fail(self, kind: str) -> None:
        """An error on the wire: "bit", "form", "stuff", "crc" or "ack", as the transmitter or receiver sees it."""
        if not self.running:
            return
        if kind == "ack":
            self._unacknowledged()
            return
        self.receive_errors += 1
        if self.reports_errors:
            where = CRC_SEQUENCE if kind == "crc" else 0
            self._report(ERR_PROTOCOL | ERR_BUS, kind=PROTOCOL_KINDS.get(kind, 0), where=where)
        self._update()

    def set_errors(self, transmit: int, receive: int) -> None:
        """Set the error counters, 0 to 255, and report a change of state that comes of it."""
        if self.running:
            self.transmit_errors, self.receive_errors = transmit, receive
            self._update()

    def lose(self) -> None:
        """The controller's buffer overflowed: frames were lost."""
        if self.running:
            self._report(ERR_CONTROLLER, controller=RX_OVERFLOW)

    def _unacknowledged(self) -> None:
        """A transmitter's counter rises by 8 for each try, but not any more when it is error passive."""
        if self.transmit_errors < 128:
            self.transmit_errors = min(self.transmit_errors + 8 * 16, 128)  # it retries until then
        if self.reports_errors:
            self._report(ERR_ACKNOWLEDGE | ERR_BUS)
        self._update()

    def _update(self) -> None:
        worst = max(self.transmit_errors, self.receive_errors)
        state = PASSIVE if worst >= 128 else WARNING if worst >= 96 else ACTIVE
        if state == self.state or not self.running:
            return
        self.state = state
        transmitting = self.transmit_errors >= self.receive_errors
        bits = {
            ACTIVE: BACK_ACTIVE,
            WARNING: TX_WARNING if transmitting else RX_WARNING,
            PASSIVE: TX_PASSIVE if transmitting else RX_PASSIVE,
        }
        self._report(ERR_CONTROLLER, controller=bits[state])

    def _report(self, classes: int, *, controller: int = 0, kind: int = 0, where: int = 0) -> None:
        counters = bytes([min(self.transmit_errors, 255), min(self.receive_errors, 255)])
        data = bytes([0, controller, kind, where, 0, 0]) + counters
        self.receive(Frame(classes | ERR_COUNTERS, data, error=True))
