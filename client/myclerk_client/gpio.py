"""GPIO lines and PWM outputs of a board (operations 0x0620-0x0629)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from myclerk_protocol.status import LocalError, NotFound

from .held import Held, opened
from .link import Link
from .streams import EventStream

EDGE_WINDOW = 8192
"""Edges that may be on their way: 0.8 s at 10 kHz. The agent keeps no more for a stream."""
NANOSECONDS = 10**9
RELEASE = "GPIO_LINE_RELEASE"
"""Closes lines and PWM outputs."""


class Lines(Held):
    """Lines of one chip that were requested together. Values are logical: True is active.

    ``offsets`` says which offset each line has; its keys are the lines as they were asked for, and are what
    the methods take and give.
    """

    closing = RELEASE

    def __init__(self, link: Link, asked: Iterable[str | int], answer: Mapping[str, Any]) -> None:
        super().__init__(link, answer["chip"], answer["handle"])
        lines = answer["lines"]
        self.offsets: dict[str | int, int] = dict(zip(asked, (line["offset"] for line in lines), strict=True))
        self.names: dict[int, str] = {line["offset"]: line.get("name", "") for line in lines}

    async def set(self, values: Mapping[str | int, bool]) -> None:
        """Set outputs, all at once: ``await lines.set({"LED": True, "RELAY": False})``.

        Raises BadRequest for an input, NotFound for a line that was not requested here.
        """
        fields = {"lines": self._resolved(values), "values": [bool(value) for value in values.values()]}
        await self._request("GPIO_LINE_SET", fields)

    async def get(self, *lines: str | int) -> dict[str | int, bool]:
        """Values of these lines, or of all, read at once."""
        wanted = lines or tuple(self.offsets)
        answer = await self._request("GPIO_LINE_GET", {"lines": self._resolved(wanted)})
        return dict(zip(wanted, answer["values"], strict=True))

    async def value(self, line: str | int | None = None) -> bool:
        """The value of one line; without ``line`` of the only one."""
        if line is None:
            if len(self.offsets) != 1:
                raise LocalError("say which line: there are several")
            line = next(iter(self.offsets))
        return (await self.get(line))[line]

    async def watch(self, *lines: str | int, edges: str = "both") -> EventStream:
        """Edges of these lines, or of all inputs: "rising" (it became active), "falling" or "both".

        Events are {timestamp_ns, line (offset), name, edge, sequence}: the kernel's time, by the line's
        ``event_clock``, and its count of this line's edges. ``stream.dropped`` counts lost ones. Stop the
        stream when done; there may be several. Raises Unsupported where the chip cannot detect edges.
        """
        self._check()
        stream = EventStream(self._link, EDGE_WINDOW)
        wanted = self._resolved(lines) if lines else None
        await stream.open("GPIO_LINE_WATCH", {"handle": self._handle, "lines": wanted, "edges": edges})
        return stream

    def _resolved(self, lines: Iterable[str | int]) -> list[int]:
        try:
            return [self.offsets[line] for line in lines]
        except KeyError as error:
            raise NotFound(f"{error.args[0]!r} is not among the lines that were requested here") from None


class PwmOutput(Held):
    """A PWM output. ``state`` is what it does, as the agent said last: {source, period_ns, duty_ns, ...}."""

    closing = RELEASE

    def __init__(self, link: Link, resource: str, answer: Mapping[str, Any]) -> None:
        super().__init__(link, resource, answer["handle"])
        self.state: dict[str, Any] = {key: value for key, value in answer.items() if key != "handle"}

    async def set(
        self,
        duty: float | None = None,
        *,
        duty_ns: int | None = None,
        frequency: float | None = None,
        period_ns: int | None = None,
        polarity: str | None = None,
        enabled: bool | None = None,
    ) -> dict[str, Any]:
        """Change what is given; what it does then. ``duty`` is a part of the period, 0 to 1.

        A new frequency (in hertz) or period alone leaves that part as it is. Raises BadRequest, Unsupported.
        """
        changes = {
            "duty": duty,
            "duty_ns": duty_ns,
            "period_ns": _period(frequency, period_ns),
            "polarity": polarity,
            "enabled": enabled,
        }
        self.state = await self._request("GPIO_PWM_SET", changes)
        return self.state


class Gpio:
    """The GPIO chips of a board; ``board.gpio``.

    >>> async with await board.gpio.request(["LED", "RELAY"], direction="output") as lines:
    ...     await lines.set({"LED": True, "RELAY": False})
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def pwm_chips(self) -> list[dict[str, Any]]:
        """The chips for hardware PWM, each with name, label and channels."""
        return list((await self._link.request("GPIO_CHIP_LIST", {}))["pwm_chips"])

    async def info(self, target: str | int | None = None, *, chip: str | None = None) -> list[dict[str, Any]]:
        """What the kernel says of a line, of all lines of a chip, or of all lines of the board.

        Each with chip, offset, name, used, consumer, direction, active_low, bias, drive. Leaves the hardware
        alone, so there are no values; those take requesting a line. Raises NotFound.
        """
        if target is not None:
            names = [_resource(target, chip)]
        else:
            names = [_chip(chip)] if chip else [found["name"] for found in await self.list()]
        answers = [await self._link.request("GPIO_LINE_INFO", {"resource": name}) for name in names]
        return [{"chip": answer["chip"], **line} for answer in answers for line in answer["lines"]]

    async def request(
        self,
        lines: str | int | Iterable[str | int] | Mapping[str | int, bool | Mapping[str, Any]],
        *,
        chip: str | None = None,
        consumer: str | None = None,
        **settings: Any,
    ) -> Lines:
        """Request lines of one chip, 1 to 64, to set, read and watch together: ``board.gpio.request("LED")``.

        ``lines`` are names, with ``chip`` also offsets; a mapping gives some their own settings, or makes them
        outputs with a value: ``{"LED": True, "BUTTON": {"bias": "pull-up"}}``. Settings: ``direction`` input,
        output, as-is; ``value`` (an output's first one), ``active_low``, ``bias`` disabled/pull-up/pull-down,
        ``drive`` push-pull/open-drain/open-source, ``debounce`` (seconds), ``event_clock`` monotonic/realtime/hte,
        ``on_release`` input/hold/low/high: what a line is left as, an output by default as an input.

        Raises NotFound, BadRequest, Conflict with the holder, Unsupported for what the chip cannot do.
        """
        wanted = _settings_by_line(lines)
        places = {line: _place(line, chip) for line in wanted}
        chips = {where for where, _ in places.values() if where is not None}
        if len(chips) > 1:
            raise LocalError(f"one request takes lines of one chip, not of {' and '.join(sorted(chips))}")
        resource = chips.pop() if chips else _resource(next(iter(wanted)), None)
        requested = [{"line": places[line][1], **own} for line, own in wanted.items()]
        fields = {"resource": resource, "lines": requested, "consumer": consumer, **settings}
        answer = await opened(self._link, "GPIO_LINE_REQUEST", fields, RELEASE)
        return Lines(self._link, wanted, answer)

    async def pwm(
        self,
        output: str | int,
        *,
        frequency: float | None = None,
        period_ns: int | None = None,
        duty: float | None = None,
        duty_ns: int | None = None,
        polarity: str = "normal",
        enabled: bool = True,
        chip: str | None = None,
    ) -> PwmOutput:
        """Start PWM on a channel of a PWM chip ("pwmchip0/1", exact), or on any line, by software up to 200 Hz.

        ``frequency`` in hertz or ``period_ns``; ``duty`` as a part of the period, 0 to 1, or ``duty_ns``;
        ``polarity`` normal or inversed. It stops when it is closed. Raises NotFound, BadRequest, Conflict,
        Unsupported for what the channel cannot do.
        """
        resource = _resource(output, chip)
        fields = {
            "resource": resource,
            "period_ns": _period(frequency, period_ns),
            "duty": duty,
            "duty_ns": duty_ns,
            "polarity": polarity,
            "enabled": enabled,
        }
        if fields["period_ns"] is None:
            raise LocalError("PWM needs a frequency or a period")
        answer = await opened(self._link, "GPIO_PWM_CONFIGURE", fields, RELEASE)
        return PwmOutput(self._link, resource, answer)

    async def list(self) -> list[dict[str, Any]]:
        """The chips, each with name, label, path and line_names by offset."""
        return list((await self._link.request("GPIO_CHIP_LIST", {}))["chips"])


def _settings_by_line(
    lines: str | int | Iterable[str | int] | Mapping[str | int, bool | Mapping[str, Any]],
) -> dict[str | int, Mapping[str, Any]]:
    if isinstance(lines, str | int):
        lines = [lines]
    if isinstance(lines, Mapping):
        found = {
            line: {"direction": "output", "value": own} if isinstance(own, bool) else own
            for line, own in lines.items()
        }
    else:
        found = {line: {} for line in lines}
    if not found:
        raise LocalError("no lines are named")
    return found


def _place(line: str | int, chip: str | None) -> tuple[str | None, str | int]:
    """The chip's resource name, None where only the agent knows it, and the line's offset or name there."""
    if chip is not None:
        return _chip(chip), int(line) if isinstance(line, str) and line.isdecimal() else line
    if isinstance(line, int):
        raise LocalError(f"line {line} of which chip? give chip=, or gpiochip0/{line}")
    where, _, name = line.removeprefix("gpio:").rpartition("/")
    if line.startswith("gpio:"):
        name = unquote(name)
    if not where:
        return None, name
    return (f"gpio:{where}" if line.startswith("gpio:") else _chip(where)), int(
        name
    ) if name.isdecimal() else name


def _resource(line: str | int, chip: str | None) -> str:
    """The resource that a line, a PWM channel or (without ``chip``) a chip is."""
    where, name = _place(line, chip)
    return f"gpio:{_part(str(name))}" if where is None else f"{where}/{_part(str(name))}"


def _chip(name: str) -> str:
    return name if name.startswith("gpio:") else f"gpio:{_part(name)}"


def _part(text: str) -> str:
    """One part of a resource name (docs/protocol.md)."""
    return quote(text, safe="").replace("~", "%7E")


def _period(frequency: float | None, period_ns: int | None) -> int | None:
    if frequency is None:
        return period_ns
    if period_ns is not None:
        raise LocalError("give a frequency or a period, not both")
    if not frequency > 0:
        raise LocalError("a frequency must be above 0")
    return round(NANOSECONDS / frequency)
