"""Simulated CAN interfaces, joined to buses, behind real descriptors.

The table ``[can]`` of a board's description has one table for each interface, by name::

    [can.can0]
    bus = "vehicle"          # interfaces with the same word are on one bus; default: "bus"
    clock = 40_000_000       # hertz, of the controller; default 80 MHz
    modes = ["fd", "listen-only", "one-shot"]   # what the controller can do; default: everything

    [can.can1]
    bus = "vehicle"
    bitrate = 500_000        # with this the interface is configured from the start,
    data-bitrate = 2_000_000 # with this for CAN FD,
    up = true                # and with this it is up

    [can.vcan0]
    kind = "vcan"            # default: "can"
    fd = true                # default: true

The interface at the other end of a bus plays the device: a test opens it, too, and answers.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..description import check_keys, get
from .backend import (
    BIT_RATE_SWITCH,
    CAN_MTU,
    CANFD_MTU,
    ERROR,
    ERROR_STATE_INDICATOR,
    FD_FRAME,
    INVERTED,
    LOCAL,
    MODES,
    OWN,
    BitTiming,
    Configuration,
    Device,
    InterfaceState,
    Received,
    Reception,
)
from .bit_timing import calculate
from .netlink import CAN_STATISTICS, STATISTICS
from .simulated_bus import TX_QUEUE_LENGTH, Bus, Controller, Sent

CAN_KEYS = ("kind", "bus", "clock", "modes", "bitrate", "sample-point", "data-bitrate", "up")
VCAN_KEYS = ("kind", "fd", "up")
LONGEST_NAME = 15
FD_FLAGS = BIT_RATE_SWITCH | ERROR_STATE_INDICATOR

_HEAD = struct.Struct("=QIIIB")  # nanoseconds, frames dropped so far, errno, can-id, flags


class SimulatedCan:
    """Buses in memory; a :class:`.backend.CanBackend`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.controllers: dict[str, Controller] = {}
        self.sockets: list[SimulatedSocket] = []

    @classmethod
    def from_description(cls, table: Mapping[str, Any]) -> SimulatedCan:
        """What the table ``[can]`` describes. Raises ValueError, naming the key at fault."""
        simulation, buses = cls(), dict[str, Bus]()
        for name in table:
            where = f"can.{name}"
            if not 1 <= len(name.encode()) <= LONGEST_NAME or "/" in name:
                raise ValueError(f"`{where}` is no name of an interface: 1 to {LONGEST_NAME} bytes, no /")
            entry = get(table, "can", name, dict)
            kind = get(entry, where, "kind", str, "can")
            if kind not in ("can", "vcan"):
                raise ValueError(f"`{where}.kind` must be can or vcan, not {kind!r}")
            if kind == "vcan":
                check_keys(entry, where, VCAN_KEYS)
                controller = Controller(name, Bus(), virtual=True)
                fd = get(entry, where, "fd", bool, True)
                controller.configuration = Configuration(modes=MODES["fd"] if fd else 0)
            else:
                check_keys(entry, where, CAN_KEYS)
                controller = _described(name, where, entry, buses)
            simulation.controllers[name] = controller
            if get(entry, where, "up", bool, kind == "vcan"):
                try:
                    controller.set_up(True)
                except OSError:
                    raise ValueError(f"`{where}.up` needs a `bitrate`") from None
        return simulation

    def devices(self) -> list[Device]:
        """All interfaces."""
        driver = None if not self.controllers else "simulated"
        return [Device(name, None if c.virtual else driver) for name, c in self.controllers.items()]

    def interfaces(self) -> list[InterfaceState]:
        """A look at each of them."""
        return [self.interface(name) for name in self.controllers]

    def interface(self, name: str) -> InterfaceState:
        """A look at one of them."""
        with self.lock:
            controller = self._controller(name)
            controller.is_running()
            real = not controller.virtual
            names = (*STATISTICS, *CAN_STATISTICS) if real else STATISTICS
            return InterfaceState(
                name=name,
                kind="can" if real else "vcan",
                up=controller.up,
                mtu=CANFD_MTU if controller.configuration.has("fd") else CAN_MTU,
                tx_queue_length=TX_QUEUE_LENGTH,
                configuration=controller.configuration,
                statistics={name: controller.statistics.get(name, 0) for name in names},
                state=controller.state if real else None,
                clock=controller.clock if real else None,
                supported_modes=controller.supported if real else None,
                tx_errors=controller.tx_errors if real else None,
                rx_errors=controller.rx_errors if real else None,
            )

    def open(self, name: str, reception: Reception, receive_buffer: int) -> SimulatedSocket:
        """A socket on it."""
        with self.lock:
            return SimulatedSocket(self, self._controller(name), reception, receive_buffer)

    def configure(self, name: str, current: Configuration, wanted: Configuration) -> None:
        """Set everything, if it is down. Raises OSError EBUSY, EOPNOTSUPP, EINVAL."""
        with self.lock:
            controller = self._controller(name)
            if controller.up:
                raise OSError(errno.EBUSY, "Device or resource busy")
            if wanted.modes & ~controller.supported or (wanted.has("fd") and wanted.data_timing is None):
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            controller.configuration = replace(
                wanted,
                timing=_timing(controller.clock, wanted.timing),
                data_timing=_timing(controller.clock, wanted.data_timing),
            )

    def set_mtu(self, name: str, mtu: int) -> None:
        """Make a virtual interface one for CAN FD, or not."""
        with self.lock:
            controller = self._controller(name)
            modes = MODES["fd"] if mtu >= CANFD_MTU else 0
            controller.configuration = replace(controller.configuration, modes=modes)

    def set_up(self, name: str, up: bool) -> None:
        """Take it up or down; sockets on it are told of the latter."""
        with self.lock:
            controller = self._controller(name)
            was_up = controller.up
            controller.set_up(up)
            if was_up and not up:
                self.fail(controller, errno.ENETDOWN)

    def restart(self, name: str) -> None:
        """Leave bus-off. Raises OSError EBUSY when it is not in it."""
        with self.lock:
            controller = self._controller(name)
            if controller.state != "bus-off":
                raise OSError(errno.EBUSY, "Device or resource busy")
            controller.restart()

    def unplug(self, name: str) -> None:
        """Take an interface away, as pulling its adapter does."""
        with self.lock:
            controller = self.controllers.pop(name)
            controller.set_up(False)
            controller.bus.controllers.remove(controller)
            self.fail(controller, errno.ENODEV)

    def fail(self, controller: Controller, number: int) -> None:
        """Tell all sockets on a controller of an error."""
        for opened in tuple(self.sockets):
            if opened.controller is controller:
                opened.fail(number)

    def _controller(self, name: str) -> Controller:
        if name not in self.controllers:
            raise OSError(errno.ENODEV, "No such device")
        return self.controllers[name]


class SimulatedSocket:
    """A raw CAN socket in memory; a :class:`.backend.CanSocket`."""

    def __init__(
        self, simulation: SimulatedCan, controller: Controller, reception: Reception, receive_buffer: int
    ) -> None:
        self.controller = controller
        self._simulation = simulation
        self._reception = reception
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, receive_buffer // 2)
        for end in (self._ours, self._theirs):
            end.setblocking(False)
        self._dropped = self._told = 0
        simulation.sockets.append(self)
        controller.listeners.append(self._heard)

    def fileno(self) -> int:
        """The descriptor."""
        return self._ours.fileno()

    def receive(self, limit: int) -> Received:
        """At most ``limit`` frames, in the order they came."""
        received = Received()
        for _ in range(limit):
            try:
                packet = self._ours.recv(256)
            except BlockingIOError:
                break
            timestamp, dropped, number, can_id, flags = _HEAD.unpack_from(packet)
            if number:
                received.error = OSError(number, errno.errorcode[number])
                break
            received.dropped += dropped - self._told
            self._told = dropped
            received.frames.append((timestamp, can_id, flags, packet[_HEAD.size :]))
        return received

    def send(self, can_id: int, flags: int, data: bytes) -> None:
        """Queue one frame. Raises OSError."""
        with self._simulation.lock:
            self._check()
            wire_flags = (flags & FD_FLAGS) | FD_FRAME if flags & FD_FRAME else 0
            self.controller.send(Sent(can_id, wire_flags, bytes(data), self))

    def is_up(self) -> bool:
        """Whether the interface is up."""
        with self._simulation.lock:
            self._check()
            return self.controller.up

    def is_running(self) -> bool:
        """Whether it is up and its controller is not in bus-off."""
        with self._simulation.lock:
            self._check()
            return self.controller.is_running()

    def receive_only(self, reception: Reception) -> None:
        """Let in only what ``reception`` says."""
        with self._simulation.lock:
            self._reception = reception

    def fail(self, number: int) -> None:
        """Say that nothing comes any more."""
        self._put(number, 0, 0, b"")

    def close(self) -> None:
        """Close both ends. Idempotent."""
        with self._simulation.lock:
            if self in self._simulation.sockets:
                self._simulation.sockets.remove(self)
                self.controller.listeners.remove(self._heard)
        self._ours.close()
        self._theirs.close()

    def _check(self) -> None:
        if self._simulation.controllers.get(self.controller.name) is not self.controller:
            raise OSError(errno.ENODEV, "No such device")

    def _heard(self, can_id: int, flags: int, data: bytes, sender: object) -> None:
        if sender is not None:
            flags |= LOCAL
            if sender is self:
                if not self._reception.receive_own:
                    return
                flags |= OWN
        if self._passes(can_id):
            self._put(0, can_id, flags, data)

    def _passes(self, can_id: int) -> bool:
        reception = self._reception
        if can_id & ERROR:
            return bool(can_id & reception.error_mask)
        fits = [_fits(can_id, *pair) for pair in reception.filters]
        return bool(fits) and (all(fits) if reception.joined else any(fits))

    def _put(self, number: int, can_id: int, flags: int, data: bytes) -> None:
        try:
            self._theirs.send(_HEAD.pack(time.time_ns(), self._dropped, number, can_id, flags) + data)
        except BlockingIOError:
            self._dropped += 1


def _described(name: str, where: str, entry: Mapping[str, Any], buses: dict[str, Bus]) -> Controller:
    bus = buses.setdefault(get(entry, where, "bus", str, "bus"), Bus())
    controller = Controller(name, bus, clock=get(entry, where, "clock", int, 80_000_000))
    if not 1_000_000 <= controller.clock <= 1_000_000_000:
        raise ValueError(f"`{where}.clock` must lie between 1 MHz and 1 GHz")
    given = {str(key).replace("-", "_") for key in get(entry, where, "modes", list, list(MODES))}
    if unknown := given - set(MODES):
        known = ", ".join(mode.replace("_", "-") for mode in MODES)
        raise ValueError(f"`{where}.modes` knows no {sorted(unknown)[0]}; there are: {known}")
    controller.supported = sum(MODES[mode] for mode in given)
    bitrate, data_bitrate = (get(entry, where, key, int) for key in ("bitrate", "data-bitrate"))
    sample_point = get(entry, where, "sample-point", (int, float))
    if sample_point is not None and not 0.001 <= sample_point <= 0.999:
        raise ValueError(f"`{where}.sample-point` must lie between 0.001 and 0.999")
    sample_point = round((sample_point or 0) * 1000)
    if data_bitrate is not None and (bitrate is None or "fd" not in given):
        raise ValueError(f"`{where}.data-bitrate` needs a `bitrate`, and `fd` among the modes")
    for key, rate in (("bitrate", bitrate), ("data-bitrate", data_bitrate)):
        if rate is not None and not 1 <= rate <= controller.clock // 4:
            raise ValueError(f"`{where}.{key}` must lie between 1 and a quarter of the clock")
    try:
        controller.configuration = Configuration(
            None if bitrate is None else calculate(controller.clock, bitrate, sample_point),
            None if data_bitrate is None else calculate(controller.clock, data_bitrate),
            0 if data_bitrate is None else MODES["fd"],
        )
    except OSError as error:
        raise ValueError(f"`{where}` cannot be: {error.strerror}") from None
    return controller


def _timing(clock: int, wanted: BitTiming | None) -> BitTiming | None:
    """As the kernel does it: what has time quanta is taken as it is."""
    if wanted is None or wanted.tq:
        return wanted
    return calculate(clock, wanted.bitrate, wanted.sample_point)


def _fits(can_id: int, wanted: int, mask: int) -> bool:
    """Whether a filter lets a frame pass."""
    inverted = bool(wanted & INVERTED)
    return ((can_id & mask) == (wanted & mask & ~INVERTED)) is not inverted
