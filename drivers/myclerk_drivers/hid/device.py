"""An open input device, and the stream of its reports."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from myclerk_protocol.status import BadRequest, Conflict

from ..base import Resource, Stream, StreamHandle
from ..context import DriverContext, StreamSink
from .backend import InputDevice
from .events import EV_LED, EV_SND, EVENT_SIZE, Assembler, Change, Report, State
from .faults import fault

WRITABLE = frozenset({EV_LED, EV_SND})
LARGEST_VALUE = (1 << 31) - 1
READ_SIZE = 64 * EVENT_SIZE


class OpenInput(StreamHandle):
    """One open device. What a session asks with ``grab`` holds as long as the stream is its."""

    def __init__(self, resource: Resource, device: InputDevice, context: DriverContext) -> None:
        """Raises OSError; the device stays open then."""
        super().__init__(resource)
        self._device = device
        self._description = device.describe()
        self._stream = ReportStream(self, device, context)
        self._grabbed = False
        self._closed = False

    def describe_stream(self) -> Mapping[str, Any]:
        """{``hid``}: identity and capabilities, all that is needed to make such a device elsewhere."""
        return {"hid": self._description}

    def open_stream(self) -> Stream:
        """The stream of its reports."""
        return self._stream

    def pass_to(self, options: Mapping[str, Any]) -> None:
        """Grab the device or give it back, as the next session wants. Raises Conflict when it is grabbed."""
        wanted = bool(options.get("grab"))
        if wanted != self._grabbed:
            try:
                self._device.grab(wanted)
            except OSError as error:
                raise fault(self.resource.name, "grabbing", error) from None
            self._grabbed = wanted
        self._stream.begin_anew()

    def write_events(self, events: Sequence[Sequence[int]]) -> None:
        """Set lights and sounds (EV_LED, EV_SND). Raises BadRequest for what the device does not have."""
        changes: list[Change] = [(kind, code, value) for kind, code, value in events]
        had = {row["type"]: row["codes"] for row in self._description["capabilities"]}
        for kind, code, value in changes:
            if kind not in WRITABLE or code not in had.get(kind, ()) or not 0 <= value <= LARGEST_VALUE:
                raise BadRequest(
                    f"{self.resource.name} takes lights and sounds that it has, not type {kind} code {code} value"
                    f" {value}",
                    key="events",
                )
        try:
            self._device.write(changes)
        except BlockingIOError:
            raise Conflict(f"{self.resource.name} does not take more at the moment", errno="EAGAIN") from None
        except OSError as error:
            raise fault(self.resource.name, "writing", error) from None

    def close(self) -> None:
        """Close the device, which gives a grabbed one back. Idempotent."""
        if not self._closed:
            self._closed = True
            self._stream.close()
            self._device.close()


class ReportStream(Stream):
    """Reports as events {``timestamp_ns``, ``events``}, ``events`` being [type, code, value] each.

    The device is read without credit, too, so that the kernel's small buffer does not run over; what found no
    credit is counted and made good by one report with ``resync``: it leads from the state that was told last to
    the present one, so that no key stays down. The first report tells where axes, switches and lights are.
    """

    def __init__(self, handle: OpenInput, device: InputDevice, context: DriverContext) -> None:
        self._handle = handle
        self._device = device
        self._context = context
        self._assembler = Assembler()
        self._sink: StreamSink | None = None
        self._now = device.state()
        self._told = State()
        self._behind = True
        self._lost = 0
        self.begin_anew()

    def start(self, sink: StreamSink) -> None:
        """Begin, with where everything is."""
        self._sink = sink
        self._context.add_reader(self._device.fd, self._readable)
        self._catch_up()

    def resume(self) -> None:
        """There is credit again: make good what was missed."""
        self._catch_up()

    def close(self) -> None:
        """Read no more. Idempotent."""
        sink, self._sink = self._sink, None
        if sink is not None:
            self._context.remove_reader(self._device.fd)

    def begin_anew(self) -> None:
        """Who gets the reports from now on knows nothing yet; of keys only those that are pressed then."""
        self._told = self._now.copy()
        self._told.levels = {}
        self._behind = True

    def _readable(self) -> None:
        sink = self._sink
        if sink is None:
            return
        try:
            data = os.read(self._device.fd, READ_SIZE)
            reports, lost = self._assembler.feed(data)
            for report in reports:
                self._now.apply(report.changes)
            self._tell(reports)
            if lost:
                self._lost += lost
                self._behind = True
                self._now = self._device.state()
                self._catch_up()
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            sink.end(fault(self._handle.resource.name, "reading", error))

    def _tell(self, reports: list[Report]) -> None:
        """Push what there is credit for; the rest is told as what it led to."""
        assert self._sink is not None
        fitting = [] if self._behind else reports[: self._sink.credit]
        missed = len(reports) - len(fitting)
        if fitting:
            for report in fitting:
                self._told.apply(report.changes)
            self._push([_event(*report) for report in fitting])
        if missed:
            self._lost += missed
            self._behind = True
            self._catch_up()

    def _catch_up(self) -> None:
        sink = self._sink
        if sink is None or not self._behind or sink.credit <= 0:
            return
        changes = self._told.changes_to(self._now)
        self._told = self._now.copy()
        self._behind = False
        if changes or self._lost:
            self._push([{**_event(time.time_ns(), changes), "resync": True}] if changes else [])

    def _push(self, events: list[Mapping[str, Any]]) -> None:
        assert self._sink is not None
        lost, self._lost = self._lost, 0
        self._sink.push_events(events, lost)


def _event(timestamp_ns: int, changes: Sequence[Change]) -> dict[str, Any]:
    return {"timestamp_ns": timestamp_ns, "events": changes}
