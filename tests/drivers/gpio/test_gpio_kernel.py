"""The kernel's side as far as it shows without GPIO chips: the layout of events, errors, what /dev has."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

gpiod = pytest.importorskip("gpiod", reason="gpiod is not installed")

from myclerk_drivers.gpio.backend import EVENT_BUFFER, Edge, LineSettings  # noqa: E402
from myclerk_drivers.gpio.kernel import KernelGpio, KernelLineRequest, _configuration  # noqa: E402


class LineEvent(ctypes.Structure):
    """``struct gpio_v2_line_event`` of linux/gpio.h."""

    _fields_ = [
        ("timestamp_ns", ctypes.c_uint64),
        ("id", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("seqno", ctypes.c_uint32),
        ("line_seqno", ctypes.c_uint32),
        ("padding", ctypes.c_uint32 * 6),
    ]


class Request:
    """Stands where libgpiod's request is, on a pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.error: Exception | None = None

    def get_values(self, lines: Any) -> list[Any]:
        if self.error is not None:
            raise self.error
        return [gpiod.line.Value.ACTIVE, gpiod.line.Value.INACTIVE][: len(list(lines))]


def test_events_are_read_as_the_kernel_writes_them() -> None:
    read_end, write_end = os.pipe()
    request = KernelLineRequest(Request(read_end))
    try:
        assert request.read_edges() == []
        events = [LineEvent(10**18 + n, 1 + n % 2, 7, n + 100, n) for n in range(3)]
        os.write(write_end, b"".join(map(bytes, events)))
        assert request.read_edges() == [Edge(10**18 + n, 7, n % 2 == 0, n) for n in range(3)]
        assert request.read_edges() == []
    finally:
        os.close(read_end)
        os.close(write_end)


def test_the_bindings_errors_are_those_of_the_kernel() -> None:
    read_end, write_end = os.pipe()
    stand_in = Request(read_end)
    request = KernelLineRequest(stand_in)
    try:
        assert request.get([4, 5]) == [True, False]
        for kind, number in ((ValueError, errno.EINVAL), (NotImplementedError, errno.EOPNOTSUPP)):
            stand_in.error = kind(number, os.strerror(number))
            with pytest.raises(OSError, match=r".") as refusal:
                request.get([4])
            assert refusal.value.errno == number
        stand_in.error = ValueError("a mistake of ours")
        with pytest.raises(ValueError, match="ours"):
            request.get([4])
    finally:
        os.close(read_end)
        os.close(write_end)


def test_the_buffer_is_the_largest_that_the_kernel_gives() -> None:
    """linux/gpio.h: at most 16 events for each of GPIO_V2_LINES_MAX lines."""
    assert EVENT_BUFFER == 16 * 64


@pytest.mark.parametrize(
    "line",
    [
        LineSettings("output", True, True, "pull-up", "open-drain"),
        LineSettings("input", debounce=0.0025, event_clock="realtime", edges="both"),
        LineSettings("as-is"),
    ],
    ids=lambda line: line.direction,
)
def test_settings_are_what_libgpiod_calls_them(line: LineSettings) -> None:
    ((key, given),) = _configuration({3: line}).items()
    assert key == (3,)
    assert given.direction.name.lower().replace("_", "-") == line.direction
    assert given.bias.name.lower().replace("_", "-") == line.bias
    assert given.drive.name.lower().replace("_", "-") == line.drive
    assert given.event_clock.name.lower() == line.event_clock
    assert given.edge_detection.name.lower() == (line.edges or "none")
    assert given.debounce_period.total_seconds() == line.debounce
    assert (given.active_low, given.output_value is gpiod.line.Value.ACTIVE) == (line.active_low, line.value)


def test_what_is_no_chip_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    backend = KernelGpio(str(tmp_path))
    assert list(backend.chips()) == []
    (tmp_path / "dev" / "gpiochip0").touch()
    (tmp_path / "dev" / "gpiochip4").symlink_to("gpiochip0")
    assert list(backend.chips()) == []
    assert list(backend.pwm_chips()) == []
