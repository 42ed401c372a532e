"""Lines that are wired together, with the kernel's rules for requesting them and noting their edges."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from .backend import EVENT_BUFFER, MOST_LINES, Chip, Edge, LineInfo, LineSettings

Place = tuple[str, int]
"""A line: chip name, offset."""

_WRAP = 1 << 32


class _Line:
    """One line. ``outside`` is what drives it from outside, ``pull`` the resistor on it (True = up)."""

    def __init__(self, name: str, pull: bool | None) -> None:
        self.name = name
        self.pull = pull
        self.outside: bool | None = None
        self.settings = LineSettings()
        self.request: SimulatedLineRequest | None = None
        self.level = False
        self.sequence = 0
        self.debouncing: threading.Timer | None = None

    @property
    def settled(self) -> bool:
        """The level, debounced: one that is being looked at does not count yet."""
        return self.level is (self.debouncing is None)

    @property
    def drives(self) -> bool | None:
        """The level that its output puts on the wire; None when it lets go."""
        settings = self.settings
        if self.request is None or settings.direction != "output":
            return None
        level = settings.value is not settings.active_low
        lets_go = (settings.drive == "open-drain" and level) or (
            settings.drive == "open-source" and not level
        )
        return None if lets_go else level

    @property
    def pulls(self) -> bool | None:
        """The level that its bias or resistor pulls to."""
        if self.request is not None and self.settings.bias in ("pull-up", "pull-down"):
            return self.settings.bias == "pull-up"
        return self.pull


class SimulatedLineRequest:
    """Requested lines (:class:`.backend.LineRequest`); ``fd`` is an eventfd."""

    def __init__(self, board: SimulatedLines, places: Mapping[int, Place], consumer: str) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.sequences: dict[int, int] = {}
        self.consumer = consumer
        self._board = board
        self._places = places
        self._edges: deque[Edge] = deque(maxlen=EVENT_BUFFER)
        self._released = False

    def get(self, offsets: Sequence[int]) -> list[bool]:
        """Logical values."""
        return self._board.values([self._places[offset] for offset in offsets])

    def set(self, values: Mapping[int, bool]) -> None:
        """Set outputs, all at once. Raises OSError: EPERM for a line that is none."""
        self._board.drive({self._places[offset]: value for offset, value in values.items()})

    def configure(self, settings: Mapping[int, LineSettings]) -> None:
        """Change the settings. Raises OSError: EINVAL for some that do not go together."""
        self._board.configure({self._places[offset]: line for offset, line in settings.items()})

    def note(self, edge: Edge) -> None:
        """Keep an edge until it is read; when there are too many, the oldest falls out."""
        self._edges.append(edge)
        os.eventfd_write(self.fd, 1)

    def read_edges(self) -> list[Edge]:
        """The edges noted since the last call."""
        with self._board.lock:
            try:
                os.eventfd_read(self.fd)
            except BlockingIOError:
                return []
            edges = list(self._edges)
            self._edges.clear()
            return edges

    def release(self) -> None:
        """Drive no more. Idempotent."""
        with self._board.lock:
            if not self._released:
                self._released = True
                self._board.forget(self._places.values())
                os.close(self.fd)


class SimulatedLines:
    """All lines of a simulated board and the wires between them. Thread-safe, as the kernel is."""

    def __init__(
        self, chips: Sequence[Chip], wires: Sequence[Sequence[Place]], pulls: Mapping[Place, bool]
    ) -> None:
        self.lock = threading.RLock()
        self._chips = {chip.name: chip for chip in chips}
        self._lines: dict[Place, _Line] = {
            (chip.name, offset): _Line(name, pulls.get((chip.name, offset)))
            for chip in chips
            for offset, name in enumerate(chip.line_names)
        }
        self._wires: dict[Place, set[Place]] = {place: {place} for place in self._lines}
        for wire in wires:
            joined = set().union(*(self._wires[place] for place in wire))
            self._wires.update(dict.fromkeys(joined, joined))
        for line, place in ((line, place) for place, line in self._lines.items()):
            line.level = self._level(place)

    # -- the outside world ---------------------------------------------------------------------------------

    def push(self, chip: str, offset: int, level: bool | None) -> None:
        """Put a line on a level from outside, as a button would; None lets go of it."""
        with self.lock:
            self._lines[chip, offset].outside = level
            self._settle([(chip, offset)])

    def level(self, chip: str, offset: int) -> bool:
        """The electrical level of a line, True = high."""
        with self.lock:
            return self._lines[chip, offset].level

    # -- what the driver asks ------------------------------------------------------------------------------

    def chips(self) -> Sequence[Chip]:
        """The GPIO chips."""
        return list(self._chips.values())

    def line_info(self, chip: str, offsets: Iterable[int]) -> list[LineInfo]:
        """What is known of lines."""
        with self.lock:
            return [self._info(offset, self._lines[chip, offset]) for offset in offsets]

    def _info(self, offset: int, line: _Line) -> LineInfo:
        settings, request = line.settings, line.request
        return LineInfo(
            offset,
            line.name,
            request is not None,
            request.consumer if request is not None else "",
            "output" if settings.direction == "output" else "input",
            settings.active_low,
            "unknown" if settings.bias == "as-is" else settings.bias,
            settings.drive,
            settings.edges,
            settings.event_clock,
            settings.debounce,
        )

    def request(self, chip: str, settings: Mapping[int, LineSettings], consumer: str) -> SimulatedLineRequest:
        """Request lines. Raises OSError: EBUSY when one is in use, EINVAL for settings that make no sense."""
        places = {offset: (chip, offset) for offset in settings}
        with self.lock:
            _require(len(places) <= MOST_LINES, errno.EINVAL)
            _require(all(place in self._lines for place in places.values()), errno.ENODEV)
            _require(all(self._lines[place].request is None for place in places.values()), errno.EBUSY)
            _check(settings.values())
            request = SimulatedLineRequest(self, places, consumer)
            for place in places.values():
                line = self._lines[place]
                line.request, line.sequence = request, 0
            self.configure({places[offset]: line for offset, line in settings.items()})
            return request

    def configure(self, settings: Mapping[Place, LineSettings]) -> None:
        """Change the settings of requested lines, all or none. Raises OSError."""
        _check(settings.values())
        with self.lock:
            for place, wanted in settings.items():
                line, before = self._lines[place], self._lines[place].settings
                if wanted.direction == "as-is":
                    level = before.value is not before.active_low
                    wanted = replace(
                        before, value=level is not wanted.active_low, active_low=wanted.active_low
                    )
                line.settings = replace(wanted, edges=before.edges)
            self._settle(settings)  # what its own bias does to a line is no edge yet
            for place, wanted in settings.items():
                line = self._lines[place]
                line.settings = replace(line.settings, edges=wanted.edges)

    def values(self, places: Iterable[Place]) -> list[bool]:
        """Logical values."""
        with self.lock:
            lines = [self._lines[place] for place in places]
            return [line.settled is not line.settings.active_low for line in lines]

    def drive(self, values: Mapping[Place, bool]) -> None:
        """Set outputs. Raises OSError: EPERM when one of them is an input."""
        with self.lock:
            lines = {place: self._lines[place] for place in values}
            _require(all(line.settings.direction == "output" for line in lines.values()), errno.EPERM)
            for place, line in lines.items():
                line.settings = replace(line.settings, value=values[place])
            self._settle(values)

    def forget(self, places: Iterable[Place]) -> None:
        """Lines were released: they are inputs without bias."""
        with self.lock:
            places = list(places)
            for place in places:
                line = self._lines[place]
                line.request, line.settings = None, LineSettings()
                _stop(line)
            self._settle(places)

    # -- levels and edges ----------------------------------------------------------------------------------

    def _level(self, place: Place) -> bool:
        """The level of a wire: what drives it, else what pulls it, else low."""
        lines = [self._lines[other] for other in self._wires[place]]
        driven = {level for line in lines for level in (line.drives, line.outside) if level is not None}
        pulled = {level for line in lines if (level := line.pulls) is not None}
        return min(driven) if driven else any(pulled)

    def _settle(self, places: Iterable[Place]) -> None:
        """Let the wires of these lines come to their level, and note the edges."""
        now = {"monotonic": time.monotonic_ns(), "realtime": time.time_ns()}
        for place in self._affected(places):
            line, level = self._lines[place], self._level(place)
            if line.level is level:
                continue
            line.level = level
            if line.settings.debounce:
                self._debounce(place, line)
            else:
                self._note(place, line, level, now[line.settings.event_clock])

    def _affected(self, places: Iterable[Place]) -> Iterator[Place]:
        seen: set[Place] = set()
        for place in places:
            for other in sorted(self._wires[place] - seen):
                seen.add(other)
                yield other

    def _note(self, place: Place, line: _Line, level: bool, timestamp: int) -> None:
        rising = level is not line.settings.active_low
        if line.request is None or line.settings.edges not in ("both", "rising" if rising else "falling"):
            return
        line.sequence = (line.sequence + 1) % _WRAP
        line.request.note(Edge(timestamp, place[1], rising, line.sequence))

    def _debounce(self, place: Place, line: _Line) -> None:
        """Note the edge once the level has stood still for the period; one that went back is none."""
        if line.debouncing is not None:
            _stop(line)
            return
        timer = threading.Timer(line.settings.debounce, lambda: self._debounced(place, line, timer))
        timer.daemon = True
        line.debouncing = timer
        timer.start()

    def _debounced(self, place: Place, line: _Line, timer: threading.Timer) -> None:
        with self.lock:
            if line.debouncing is timer:
                line.debouncing = None
                clock = time.time_ns if line.settings.event_clock == "realtime" else time.monotonic_ns
                self._note(place, line, line.level, clock())


def _stop(line: _Line) -> None:
    if line.debouncing is not None:
        line.debouncing.cancel()
        line.debouncing = None


def _check(settings: Iterable[LineSettings]) -> None:
    """The rules of the kernel (gpio_v2_line_flags_validate in drivers/gpio/gpiolib-cdev.c)."""
    for line in settings:
        _require(line.edges is None or line.direction == "input", errno.EINVAL)
        _require(line.drive == "push-pull" or line.direction == "output", errno.EINVAL)
        _require(line.bias == "as-is" or line.direction != "as-is", errno.EINVAL)
        _require(not line.debounce or line.direction == "input", errno.EINVAL)
        _require(line.event_clock != "hte", errno.EOPNOTSUPP)


def _require(condition: bool, number: int) -> None:
    if not condition:
        raise OSError(number, os.strerror(number))
