"""The HID driver: input devices, and how the stream of one is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..base import Access, Driver, Resource, StreamType
from ..context import DriverContext
from .backend import HidBackend
from .device import OpenInput
from .faults import fault
from .simulated import SimulatedHid


class HidDriver(Driver):
    """Input devices as ``hid:eventN``, each also under the names of the links that udev made for it.

    They have no operations of their own: DEVICE_LIST shows them, STREAM_START gives their reports.
    """

    kind = "hid"
    stream_type = StreamType.HID
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "hide": ([], "Names of devices that are not offered, without `hid:`: the board's own keyboard."),
    }

    def __init__(self, context: DriverContext, backend: HidBackend | None = None) -> None:
        """Raises ValueError for settings that make no sense."""
        super().__init__(context)
        self._hidden = context.settings.get("hide", [])
        if not all(isinstance(name, str) for name in self._hidden):
            raise ValueError("the HID driver's `hide` must be a list of names")
        self._backend = backend or _kernel()

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> HidDriver:
        """The driver of the devices that ``table`` describes (:mod:`.simulated`)."""
        return cls(context, SimulatedHid.from_description(table, context))

    def resources(self) -> Iterable[Resource]:
        """All devices there are now."""
        hidden = {f"hid:{name}" for name in self._hidden}
        return [found for found in self._backend.resources() if not hidden & {found.name, *found.aliases}]

    def stream_access(self, options: Mapping[str, Any]) -> Access:
        """Reading leaves a device as it is; grabbing takes it away from the board."""
        return Access.READ_WRITE if options.get("grab") else Access.READ

    def open_stream_handle(self, resource: Resource, options: Mapping[str, Any]) -> OpenInput:
        """Open a device. Raises NotFound, DeviceGone, HardwareError."""
        try:
            device = self._backend.open(resource.properties["path"])
        except OSError as error:
            raise fault(resource.name, "opening", error) from None
        try:
            return OpenInput(resource, device, self.context)
        except OSError as error:
            device.close()
            raise fault(resource.name, "opening", error) from None

    def close(self) -> None:
        """Let simulated keyboards rest."""
        self._backend.close()


def _kernel() -> HidBackend:
    from .kernel import KernelInput

    return KernelInput()
