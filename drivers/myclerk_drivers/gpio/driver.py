"""The GPIO driver: chips, lines and PWM outputs, and how they are requested."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from myclerk_protocol.status import BadRequest, OperationError, TooMany

from ..base import Access, Driver, Resource, serves
from ..context import DriverContext
from . import pwm
from .backend import Chip, GpioBackend, LineInfo, PwmOutput
from .faults import fault, pwm_fault, request_fault
from .keeping import Keeper
from .lines import GpioHandle, Lines
from .naming import KIND, Names
from .settings import Wanted, wanted
from .simulated import SimulatedGpio

CONSUMER = "myclerk"

MOST_SOFTWARE_PWM = 16
"""Outputs that may have PWM by software at once: each is a thread, and all take turns in the interpreter."""


class GpioDriver(Driver):
    """GPIO chips as ``gpio:gpiochip0``, their lines as ``gpio:gpiochip0/17``, PWM as ``gpio:pwmchip0/1``."""

    kind = KIND
    handles = (GpioHandle, Lines, pwm.Pwm)
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "software_pwm_limit": (200.0, "Highest frequency of PWM by software, on GPIO lines, in hertz."),
    }

    def __init__(self, context: DriverContext, backend: GpioBackend | None = None) -> None:
        """Raises ValueError for settings that make no sense, ImportError without libgpiod's Python binding."""
        super().__init__(context)
        limit = context.settings.get("software_pwm_limit", self.settings["software_pwm_limit"][0])
        if not 0 < limit <= 10_000:
            raise ValueError("the gpio driver's `software-pwm-limit` must lie between 0 and 10000 Hz")
        self._shortest_ns = round(pwm.NANOSECONDS / limit)
        self._backend = backend or _kernel()
        self._keeper = Keeper(self._backend)
        self._software_pwm = threading.BoundedSemaphore(MOST_SOFTWARE_PWM)

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> GpioDriver:
        """The chips that ``table`` describes (:mod:`.simulated`). Raises ValueError."""
        return cls(context, SimulatedGpio.from_description(table))

    def close(self) -> None:
        """Let go of the lines that are kept."""
        self._keeper.close()

    def resources(self) -> Iterable[Resource]:
        """Chips and PWM channels; the lines of a chip are found by name (:meth:`find`)."""
        return self._names().resources()

    def find(self, name: str) -> Resource | None:
        """A chip, line, PWM chip or channel by any of its names. Raises BadRequest for an ambiguous one."""
        return self._names().find(name)

    def parts_of(self, resource: Resource, fields: Mapping[str, Any]) -> Sequence[Resource]:
        """The lines that a request names. Raises NotFound, BadRequest."""
        if "lines" not in fields:
            return (resource,)
        names = self._names()
        chip = names.chip_of(resource)
        return [names.line(chip, names.offset(chip, _line_id(line))) for line in fields["lines"]]

    def parts(self, resource: Resource) -> Iterable[Resource]:
        """The lines of a chip, the channels of a PWM chip."""
        return self._names().parts(resource)

    @serves("GPIO_CHIP_LIST", access=Access.READ)
    def list_chips(self) -> Mapping[str, Any]:
        """{``chips``, ``pwm_chips``}: name, label and what they have."""
        names = self._names()
        chips = [(chip.name, chip.properties) for chip in map(names.chip, names.chips)]
        pwm_chips = [(chip.name, chip.properties) for chip in map(names.pwm_chip, names.pwm_chips)]
        return {
            "chips": [{"name": name, **properties} for name, properties in chips],
            "pwm_chips": [{"name": name, **properties} for name, properties in pwm_chips],
        }

    @serves("GPIO_LINE_INFO", access=Access.READ)
    def line_info(self, resource: Resource, lines: Sequence[int] | None = None) -> Mapping[str, Any]:
        """{``chip``, ``lines``}: what the kernel says of a line, of ``lines`` of a chip, or of all.

        The hardware does not notice; values are not read, as that would take requesting the lines. Raises
        NotFound, BadRequest, HardwareError, DeviceGone.
        """
        names = self._names()
        chip = names.chip_of(resource)
        offset = resource.properties.get("offset")
        if lines is not None:
            offsets = [names.offset(chip, line) for line in lines]
            if len(set(offsets)) != len(offsets):
                raise BadRequest("a line is named twice", key="lines")
        else:
            offsets = list(range(len(chip.line_names))) if offset is None else [offset]
        kept = self._keeper.lines(chip.name)
        try:
            infos = self._backend.line_info(chip.name, offsets)
        except OSError as error:
            raise fault(resource.name, "asking about lines", error) from None
        return {"chip": names.chip(chip).name, "lines": [_shown(info, info.offset in kept) for info in infos]}

    @serves("GPIO_LINE_REQUEST", access=Access.WRITE, audit=True)
    def request_lines(
        self,
        resource: Resource,
        lines: Sequence[Mapping[str, Any]] | None = None,
        consumer: str = CONSUMER,
        **common: Any,
    ) -> Lines:
        """Request ``lines`` of a chip, 1 to 64, or the line that ``resource`` is.

        Each has its own settings beside those in ``common`` (:mod:`.settings`). Raises BadRequest, NotFound;
        Conflict when one is in use, also by another program or the kernel; Unsupported for settings that the
        chip cannot do; HardwareError, DeviceGone. Nothing is requested then, and nothing has changed.
        """
        names = self._names()
        chip = names.chip_of(resource)
        if not consumer.isprintable():
            raise BadRequest("`consumer` must be printable", key="consumer")
        if lines is None:
            if "offset" not in resource.properties:
                raise BadRequest("say which `lines` of the chip", key="lines")
            lines = [{"line": resource.properties["offset"]}]
        requested: dict[int, Wanted] = {}
        for line in lines:
            offset = names.offset(chip, line["line"])
            if offset in requested:
                raise BadRequest(f"line {offset} of {chip.name} is named twice", key="lines")
            own = {name: value for name, value in line.items() if name != "line"}
            requested[offset] = wanted({**common, **own})
        parts = [names.line(chip, offset) for offset in requested]
        shown = parts[0] if len(parts) == 1 else names.chip(chip)
        settings = {offset: line.settings for offset, line in requested.items()}
        try:
            request = self._keeper.request(chip.name, settings, consumer)
        except OSError as error:
            raise request_fault(shown.name, self._users(chip, requested), error) from None
        return Lines(shown, parts, chip, requested, request, self._keeper, self.context)

    @serves("GPIO_PWM_CONFIGURE", access=Access.WRITE, slow=True, audit=True)
    def configure_pwm(
        self,
        resource: Resource,
        period_ns: int,
        duty: float | None = None,
        duty_ns: int | None = None,
        polarity: str = "normal",
        enabled: bool = True,
    ) -> pwm.Pwm:
        """Start PWM on a channel of a PWM chip, or by software on a GPIO line up to ``software_pwm_limit``.

        ``duty`` is a part of the period, 0 to 1. Raises BadRequest; Conflict when it is in use; TooMany for more
        than :data:`MOST_SOFTWARE_PWM` by software; Unsupported for what the channel cannot do; HardwareError,
        DeviceGone. The output is given back then.
        """
        asked = pwm.waveform(period_ns, duty, duty_ns, polarity == "inversed", enabled)
        if "channel" in resource.properties:
            return pwm.Pwm(resource, self._channel(resource), asked, 1)
        if "offset" not in resource.properties:
            raise BadRequest(f"{resource.name} is no PWM channel and no line", key="resource")
        pwm.check_period(resource.name, period_ns, self._shortest_ns)
        chip, offset = self._names().chip_of(resource), resource.properties["offset"]
        settings = {offset: pwm.settings(asked.inversed)}
        if not self._software_pwm.acquire(blocking=False):
            raise TooMany(
                f"the agent does PWM by software on {MOST_SOFTWARE_PWM} lines at most; end one of them"
            )
        try:
            request = self._keeper.request(chip.name, settings, f"{CONSUMER} PWM")
        except OSError as error:
            self._software_pwm.release()
            raise request_fault(resource.name, self._users(chip, settings), error) from None
        output = pwm.SoftwarePwm(request, offset, self._software_pwm.release)
        return pwm.Pwm(resource, output, asked, self._shortest_ns)

    def _channel(self, resource: Resource) -> PwmOutput:
        chip = (resource.parent or "").removeprefix(f"{KIND}:")
        try:
            return self._backend.pwm(chip, resource.properties["channel"])
        except OSError as error:
            raise pwm_fault(resource.name, error) from None

    def _names(self) -> Names:
        return Names(self._backend.chips(), self._backend.pwm_chips())

    def _users(self, chip: Chip, offsets: Iterable[int]) -> str:
        """Who uses these lines, as they say themselves."""
        with suppress(OSError, OperationError):
            infos = [info for info in self._backend.line_info(chip.name, offsets) if info.used]
            return ", ".join(
                f"{info.consumer or 'the kernel'} ({info.name or f'line {info.offset}'})" for info in infos
            )
        return ""


def _kernel() -> GpioBackend:
    try:
        from .kernel import KernelGpio
    except ImportError as error:
        raise ImportError(f"the Python package gpiod (libgpiod 2.1 or newer) is missing: {error}") from None
    return KernelGpio()


def _line_id(line: Any) -> int | str:
    found: int | str = line["line"] if isinstance(line, Mapping) else line
    return found


def _shown(info: LineInfo, kept: bool) -> dict[str, Any]:
    return {
        "offset": info.offset,
        "name": info.name or None,
        "used": info.used,
        "consumer": info.consumer or None,
        "direction": info.direction,
        "active_low": info.active_low,
        "bias": info.bias,
        "drive": info.drive,
        "edges": info.edges,
        "event_clock": info.event_clock if info.edges else None,
        "debounce": info.debounce or None,
        "kept": kept or None,
    }
