"""GPIO chips of the kernel, through libgpiod 2 (Documentation/userspace-api/gpio/chardev.rst)."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import gpiod
from gpiod.line import Bias, Clock, Direction, Drive, Value
from gpiod.line import Edge as Edges

from ..base import resource_part
from .backend import EVENT_BUFFER, Chip, Edge, LineInfo, LineSettings, PwmChip, PwmOutput
from .pwm_sysfs import SysfsPwm, list_pwm_chips, natural

_EVENT = struct.Struct("=QIIII24x")
"""``struct gpio_v2_line_event``: timestamp_ns, id, offset, seqno, line_seqno. libgpiod's objects for the same cost
four times as much (1.2 us an edge against 0.3), which is what limits the rate on a small board."""
_RISING = 1

_DIRECTIONS = {"input": Direction.INPUT, "output": Direction.OUTPUT, "as-is": Direction.AS_IS}
_BIASES = {
    "as-is": Bias.AS_IS,
    "disabled": Bias.DISABLED,
    "pull-up": Bias.PULL_UP,
    "pull-down": Bias.PULL_DOWN,
}
_DRIVES = {
    "push-pull": Drive.PUSH_PULL,
    "open-drain": Drive.OPEN_DRAIN,
    "open-source": Drive.OPEN_SOURCE,
}
_CLOCKS = {"monotonic": Clock.MONOTONIC, "realtime": Clock.REALTIME, "hte": Clock.HTE}
_EDGES = {None: Edges.NONE, "rising": Edges.RISING, "falling": Edges.FALLING, "both": Edges.BOTH}


@contextmanager
def _kernel_errors() -> Iterator[None]:
    """The binding raises ValueError for EINVAL and NotImplementedError for EOPNOTSUPP; both keep the errno."""
    try:
        yield
    except (ValueError, NotImplementedError) as error:
        if len(error.args) == 2 and isinstance(error.args[0], int):
            raise OSError(*error.args) from None
        raise


class KernelLineRequest:
    """Requested lines (:class:`.backend.LineRequest`)."""

    def __init__(self, request: gpiod.LineRequest) -> None:
        self._request = request
        self.fd = request.fd
        self.sequences: dict[int, int] = {}
        os.set_blocking(self.fd, False)

    def get(self, offsets: Sequence[int]) -> list[bool]:
        """Logical values. Raises OSError."""
        with _kernel_errors():
            return [value is Value.ACTIVE for value in self._request.get_values(offsets)]

    def set(self, values: Mapping[int, bool]) -> None:
        """Set logical values. Raises OSError; EPERM for a line that is no output."""
        with _kernel_errors():
            self._request.set_values(
                {offset: Value.ACTIVE if value else Value.INACTIVE for offset, value in values.items()}
            )

    def configure(self, settings: Mapping[int, LineSettings]) -> None:
        """Change the settings of all lines. Raises OSError."""
        with _kernel_errors():
            self._request.reconfigure_lines(_configuration(settings))

    def read_edges(self) -> list[Edge]:
        """The edges noted since the last call. Raises OSError; ENODEV when the chip is gone."""
        try:
            data = os.read(self.fd, _EVENT.size * EVENT_BUFFER)
        except BlockingIOError:
            return []
        return [
            Edge(timestamp, offset, kind == _RISING, sequence)
            for timestamp, kind, offset, _, sequence in _EVENT.iter_unpack(data)
        ]

    def release(self) -> None:
        """Close the request's descriptor. Idempotent."""
        self._request.release()


class KernelGpio:
    """The GPIO and PWM chips of this machine (:class:`.backend.GpioBackend`)."""

    def __init__(self, root: str = "/") -> None:
        self._root = Path(root)
        self._known: dict[str, tuple[tuple[int, ...], Chip]] = {}
        self._listed = -1

    def chips(self) -> Sequence[Chip]:
        """Every chip that the agent may open; links in /dev (gpiochip4 on a Raspberry Pi 5) are aliases.

        This is asked for each name that a request has; a node that comes or goes changes the time of /dev.
        """
        listed = os.stat(self._root / "dev").st_mtime_ns
        if listed != self._listed:
            self._known, complete = self._look()
            self._listed = listed if complete else -1
        return [chip for _, chip in self._known.values()]

    def _look(self) -> tuple[dict[str, tuple[tuple[int, ...], Chip]], bool]:
        """What is there, and whether all of it could be asked."""
        links: dict[str, list[str]] = {}
        paths = []
        for path in sorted(self._root.glob("dev/gpiochip*"), key=lambda path: natural(path.name)):
            if path.is_symlink():
                links.setdefault(path.resolve().name, []).append(path.name)
            else:
                paths.append(path)
        found = {}
        for path in paths:
            with suppress(
                OSError
            ):  # gone meanwhile, or not for this user, perhaps until udev has done its work
                found[str(path)] = self._chip(path, tuple(links.get(path.name, ())))
        return found, len(found) == len(paths)

    def _chip(self, path: Path, aliases: tuple[str, ...]) -> tuple[tuple[int, ...], Chip]:
        """Names of lines never change, so a chip is asked again only when its node is another one."""
        status = path.stat()
        identity = (status.st_rdev, status.st_ino, status.st_ctime_ns)
        known = self._known.get(str(path))
        if known is not None and known[0] == identity and known[1].aliases == aliases:
            return known
        with _kernel_errors(), gpiod.Chip(str(path)) as chip:
            info = chip.get_info()
            names = tuple(chip.get_line_info(offset).name or "" for offset in range(info.num_lines))
        return identity, Chip(path.name, info.label, names, str(path), aliases, self._parent(path.name))

    def _parent(self, name: str) -> str | None:
        """The USB device that the chip belongs to, as a resource."""
        device = (self._root / "sys/bus/gpio/devices" / name).resolve()
        usb = next((d for d in device.parents if (d / "idVendor").is_file()), None)
        return None if usb is None else f"usb:{resource_part(usb.name)}"

    def line_info(self, chip: str, offsets: Iterable[int]) -> list[LineInfo]:
        """What the kernel says of lines. Raises OSError."""
        with _kernel_errors(), gpiod.Chip(self._path(chip)) as opened:
            return [_line_info(opened.get_line_info(offset)) for offset in offsets]

    def request(self, chip: str, settings: Mapping[int, LineSettings], consumer: str) -> KernelLineRequest:
        """Request lines. Raises OSError; EBUSY when one is in use, EINVAL for settings the chip cannot do."""
        with _kernel_errors(), gpiod.Chip(self._path(chip)) as opened:
            return KernelLineRequest(
                opened.request_lines(
                    _configuration(settings), consumer=consumer, event_buffer_size=EVENT_BUFFER
                )
            )

    def _path(self, chip: str) -> str:
        return str(self._root / "dev" / chip)

    def pwm_chips(self) -> Sequence[PwmChip]:
        """Every PWM chip."""
        return list_pwm_chips(self._root / "sys/class/pwm")

    def pwm(self, chip: str, channel: int) -> PwmOutput:
        """Export a channel. Raises OSError; EBUSY when another program has it."""
        return SysfsPwm(self._root / "sys/class/pwm" / chip, channel)


def _configuration(settings: Mapping[int, LineSettings]) -> Any:
    """Keys are tuples, which every version takes, whatever its types say."""
    return {(offset,): _settings(line) for offset, line in settings.items()}


def _settings(line: LineSettings) -> gpiod.LineSettings:
    return gpiod.LineSettings(
        direction=_DIRECTIONS[line.direction],
        edge_detection=_EDGES[line.edges],
        bias=_BIASES[line.bias],
        drive=_DRIVES[line.drive],
        active_low=line.active_low,
        debounce_period=timedelta(seconds=line.debounce),
        event_clock=_CLOCKS[line.event_clock],
        output_value=Value.ACTIVE if line.value else Value.INACTIVE,
    )


def _line_info(info: gpiod.LineInfo) -> LineInfo:
    return LineInfo(
        info.offset,
        _text(info.name),
        info.used,
        _text(info.consumer),
        _word(info.direction),
        info.active_low,
        _word(info.bias),
        _word(info.drive),
        None if info.edge_detection is Edges.NONE else _word(info.edge_detection),
        _word(info.event_clock),
        info.debounce_period.total_seconds() if info.debounced else 0.0,
    )


def _word(member: Bias | Clock | Direction | Drive | Edges) -> str:
    """``pull-up`` for ``Bias.PULL_UP``."""
    return member.name.lower().replace("_", "-")


def _text(text: str | None) -> str:
    """Without what cannot be printed: device trees and programs choose these names."""
    return re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]", "", text or "")
