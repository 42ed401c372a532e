"""PWM outputs: channels of PWM chips, and GPIO lines that a thread switches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from myclerk_protocol.status import BadRequest

from ..base import Access, Resource, serves
from .backend import LineRequest, LineSettings, PwmOutput, Waveform
from .faults import pwm_fault
from .lines import GpioHandle

NANOSECONDS = 10**9
LATE = 20
"""An edge counts as late by more than a 20th of the period."""


class SoftwarePwm:
    """PWM on a GPIO line by a thread (:class:`.backend.PwmOutput`).

    A new waveform begins with the next period, as with hardware; a change of polarity and an end begin at once. The
    thread sleeps until each edge, so an edge is late by what the kernel takes to wake it, some 0.1 ms, and by up
    to 5 ms when the agent is busy (the switch interval of the interpreter). ``late_edges`` counts. ``released`` is
    called once at the end.
    """

    def __init__(self, request: LineRequest, offset: int, released: Callable[[], object]) -> None:
        self.late_edges = 0
        self._request = request
        self._offset = offset
        self._released = released
        self._waveform = Waveform(NANOSECONDS, enabled=False)
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._ended = False
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="myclerk PWM")
        self._thread.start()

    def apply(self, waveform: Waveform) -> None:
        """Do that from the next period on. Raises OSError."""
        with self._lock:
            if self._failure is not None:
                raise OSError(*self._failure.args)
            if waveform.inversed is not self._waveform.inversed:
                self._request.configure({self._offset: settings(waveform.inversed)})
            still = _is_still(self._waveform) or not waveform.enabled
            self._waveform = waveform
        if still:
            self._changed.set()

    def release(self) -> None:
        """Make the line an input again. Idempotent."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._changed.set()
            with suppress(OSError):  # a chip that is gone
                self._request.configure({self._offset: LineSettings()})
            self._request.release()
        self._released()

    def _run(self) -> None:
        due = time.monotonic_ns()
        try:
            while (waveform := self._set(None)) is not None:
                if _is_still(waveform):
                    self._set(waveform.enabled and waveform.duty_ns > 0)
                    self._changed.wait()
                    self._changed.clear()
                    due = time.monotonic_ns()
                    continue
                self._set(True)
                self._wait(due + waveform.duty_ns, waveform)
                self._set(False)
                due = self._wait(due + waveform.period_ns, waveform)
        except OSError as error:  # the chip is gone: what is asked next says so
            self._failure = error

    def _set(self, value: bool | None) -> Waveform | None:
        """Set the line (None: leave it); what to do, or None at the end. Raises OSError."""
        with self._lock:
            if self._ended:
                return None
            if value is not None:
                self._request.set({self._offset: value and self._waveform.enabled})
            return self._waveform

    def _wait(self, due: int, waveform: Waveform) -> int:
        """Sleep until ``due``, or a change that begins at once; when the next edge counts from."""
        while (left := due - time.monotonic_ns()) > 0:
            if self._changed.wait(left / NANOSECONDS):
                self._changed.clear()
                return time.monotonic_ns()
        if -left > waveform.period_ns // LATE:
            self.late_edges += 1
        return due if -left < waveform.period_ns else due - left


def _is_still(waveform: Waveform) -> bool:
    return not waveform.enabled or waveform.duty_ns in (0, waveform.period_ns)


def settings(inversed: bool) -> LineSettings:
    """How a line is requested for software PWM: an inactive output."""
    return LineSettings("output", active_low=inversed)


class Pwm(GpioHandle):
    """A PWM output that does ``waveform``. ``shortest_ns`` is the shortest period that it can do."""

    def __init__(self, resource: Resource, output: PwmOutput, waveform: Waveform, shortest_ns: int) -> None:
        """Start it. Raises status errors; the output is released then."""
        super().__init__(resource)
        self._output = output
        self._shortest_ns = shortest_ns
        self._waveform = waveform
        try:
            self._apply(waveform)
        except BaseException:
            output.release()
            raise

    def describe(self) -> Mapping[str, Any]:
        """What it does now."""
        waveform = self._waveform
        software = isinstance(self._output, SoftwarePwm)
        return {
            "source": "software" if software else "hardware",
            "period_ns": waveform.period_ns,
            "duty_ns": waveform.duty_ns,
            "polarity": "inversed" if waveform.inversed else "normal",
            "enabled": waveform.enabled,
            "late_edges": self._output.late_edges if isinstance(self._output, SoftwarePwm) else None,
        }

    def close(self) -> None:
        """Stop, output inactive, and give it back."""
        self._output.release()

    @serves("GPIO_PWM_SET", access=Access.WRITE)
    def set(
        self,
        duty: float | None = None,
        duty_ns: int | None = None,
        period_ns: int | None = None,
        polarity: str | None = None,
        enabled: bool | None = None,
    ) -> Mapping[str, Any]:
        """Change what is given; what it does then. ``duty`` is a part of the period, 0 to 1.

        A new period alone leaves that part as it is. Raises BadRequest, Unsupported, HardwareError, DeviceGone.
        """
        now = self._waveform
        if duty is None and duty_ns is None:
            duty = now.duty_ns / now.period_ns
        period_ns = now.period_ns if period_ns is None else period_ns
        inversed = now.inversed if polarity is None else polarity == "inversed"
        enabled = now.enabled if enabled is None else enabled
        self._apply(waveform(period_ns, duty, duty_ns, inversed, enabled))
        return self.describe()

    def _apply(self, waveform: Waveform) -> None:
        check_period(self.resource.name, waveform.period_ns, self._shortest_ns)
        try:
            self._output.apply(waveform)
        except OSError as error:
            raise pwm_fault(self.resource.name, error) from None
        self._waveform = waveform


def waveform(
    period_ns: int, duty: float | None, duty_ns: int | None, inversed: bool, enabled: bool
) -> Waveform:
    """A waveform from a request. Raises BadRequest for a duty cycle that is given twice or exceeds the period."""
    if duty is not None and duty_ns is not None:
        raise BadRequest("give `duty` or `duty-ns`, not both", key="duty-ns")
    if duty_ns is None:
        duty_ns = round((duty or 0.0) * period_ns)
    if not 0 <= duty_ns <= period_ns:
        raise BadRequest(f"`duty-ns` must lie between 0 and the period, {period_ns}", key="duty-ns")
    return Waveform(period_ns, duty_ns, inversed, enabled)


def check_period(name: str, period_ns: int, shortest_ns: int) -> None:
    """Raise BadRequest for a period that software on a GPIO line cannot keep."""
    if period_ns < shortest_ns:
        raise BadRequest(
            f"{name} does PWM by software, up to {NANOSECONDS / shortest_ns:g} Hz; "
            "use a channel of a PWM chip for more",
            key="period-ns",
        )
