"""Requested lines and the operations on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from myclerk_protocol.status import BadRequest, NotFound

from ..base import Access, Handle, Resource, Stream, serves
from ..context import DriverContext
from .backend import Chip, LineRequest
from .faults import fault, watch_fault
from .keeping import Keeper
from .settings import Wanted
from .watching import EdgeReader


class GpioHandle(Handle):
    """Lines or a PWM output: what GPIO_LINE_RELEASE releases."""

    @serves("GPIO_LINE_RELEASE", access=Access.NONE, audit=True)
    def release(self) -> None:
        """Nothing to do beside what the agent does for every handle that is closed: :meth:`close`."""


class Lines(GpioHandle):
    """Lines of one chip that were requested together, as ``wanted`` says: offset -> settings."""

    def __init__(
        self,
        resource: Resource,
        parts: Sequence[Resource],
        chip: Chip,
        wanted: Mapping[int, Wanted],
        request: LineRequest,
        keeper: Keeper,
        context: DriverContext,
    ) -> None:
        super().__init__(resource, parts)
        self._chip = chip
        self._wanted = dict(wanted)
        self._request = request
        self._keeper = keeper
        self._context = context
        self._order = list(wanted)
        self._inputs = [o for o, line in wanted.items() if line.settings.direction == "input"]
        self._names = {offset: chip.line_names[offset] for offset in wanted}
        self._closed = False
        self._reader = EdgeReader(context, resource.name, request, self._names, self._detect)

    def describe(self) -> Mapping[str, Any]:
        """The lines in the order of the request."""
        chip = self.parts[0].parent
        lines = [{"offset": offset, "name": self._names[offset] or None} for offset in self._order]
        return {"chip": chip, "lines": lines}

    def close(self) -> None:
        """End the watching and leave each line as it was asked to be left."""
        if self._closed:
            return
        self._closed = True
        self._reader.close()
        left_as = {offset: line.left_as or line.settings for offset, line in self._wanted.items()}
        keep = {offset for offset, line in self._wanted.items() if line.keeps_level}
        try:
            if all(line.left_as is None and not line.keeps_level for line in self._wanted.values()):
                self._request.release()
            else:
                self._keeper.release(self._chip.name, self._request, left_as, keep)
        except OSError as error:
            self._context.log.warning("%s could not be left as asked: %s", self.resource.name, error)

    @serves("GPIO_LINE_SET", access=Access.WRITE)
    def set(self, values: Sequence[bool], lines: Sequence[int] | None = None) -> None:
        """Set outputs, all at once: ``lines``, or all in the order of the request, to logical ``values``.

        Quick, except on expanders behind I2C or SPI, where the kernel waits for a transfer. Raises BadRequest
        for an input, HardwareError, DeviceGone; nothing was set then.
        """
        offsets = self._order if lines is None else self._checked(lines)
        if len(offsets) != len(values):
            raise BadRequest(f"{len(values)} values do not fit {len(offsets)} lines", key="values")
        for offset in offsets:
            if self._wanted[offset].settings.direction == "input":
                raise BadRequest(f"{self._called(offset)} is an input; request it as output", key="lines")
        given = dict(zip(offsets, values, strict=True))
        try:
            self._request.set(given)
        except PermissionError:
            raise BadRequest("a line that was requested as-is is an input", key="lines") from None
        except OSError as error:
            raise fault(self.resource.name, "setting lines", error) from None
        for offset, value in given.items():
            line = self._wanted[offset]
            if line.settings.value is not value:
                self._wanted[offset] = replace(line, settings=replace(line.settings, value=value))

    @serves("GPIO_LINE_GET", access=Access.READ)
    def get(self, lines: Sequence[int] | None = None) -> Mapping[str, Any]:
        """{``values``}: logical, of ``lines`` or of all in the order of the request, by one call of the kernel.

        Raises NotFound, HardwareError, DeviceGone.
        """
        offsets = self._order if lines is None else self._checked(lines)
        try:
            return {"values": self._request.get(offsets)}
        except OSError as error:
            raise fault(self.resource.name, "reading lines", error) from None

    @serves("GPIO_LINE_WATCH", access=Access.READ)
    def watch(self, lines: Sequence[int] | None = None, edges: str = "both") -> Stream:
        """A stream of edges of ``lines``, or of all inputs: "rising", "falling" or "both".

        Raises NotFound; BadRequest for a line that is no input; Unsupported where the chip has no interrupt.
        """
        offsets = self._inputs if lines is None else self._checked(lines)
        for offset in offsets:
            if offset not in self._inputs:
                raise BadRequest(f"{self._called(offset)} is no input; request it as one", key="lines")
        if not offsets:
            raise BadRequest("there is no input to watch among these lines", key="lines")
        try:
            return self._reader.watch(dict.fromkeys(offsets, edges))
        except OSError as error:
            raise watch_fault(self.resource.name, error) from None

    def _detect(self, edges: Mapping[int, str]) -> None:
        """Have the kernel detect these edges and no others; everything else stays. Raises OSError."""
        if self._closed:
            return
        self._request.configure(
            {offset: replace(line.settings, edges=edges.get(offset)) for offset, line in self._wanted.items()}
        )

    def _checked(self, lines: Sequence[int]) -> Sequence[int]:
        for offset in lines:
            if offset not in self._wanted:
                raise NotFound(f"line {offset} was not requested with this handle", key="lines")
        if len(set(lines)) != len(lines):
            raise BadRequest("a line is named twice", key="lines")
        return lines

    def _called(self, offset: int) -> str:
        return self._names[offset] or f"line {offset} of {self._chip.name}"
