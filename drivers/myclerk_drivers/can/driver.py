"""The CAN driver: its interfaces, its settings, and how one is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from ..base import Access, Driver, Resource, resource_part, serves
from ..context import DriverContext
from .backend import CanBackend, Device, Reception
from .channel import CanChannel, reception, report
from .configuration import supported_modes
from .faults import opening_fault
from .interface import Interface

SMALLEST_BUFFER, LARGEST_BUFFER = 1 << 14, 1 << 28


class CanDriver(Driver):
    """CAN interfaces as ``can:NAME``, whatever makes them: controllers, USB adapters, vcan, slcan."""

    kind = "can"
    handles = (CanChannel,)
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "receive_buffer": (
            4 << 20,
            "Bytes of kernel memory for frames that wait to be read, per handle; about 800 for each frame.",
        ),
        "hide": ([], "Names of interfaces that are not offered, without `can:`."),
    }

    def __init__(self, context: DriverContext, backend: CanBackend | None = None) -> None:
        """``backend`` is the kernel if it is not given. Raises ValueError for settings that make no sense."""
        super().__init__(context)
        given = {name: context.settings.get(name, default) for name, (default, _) in self.settings.items()}
        self._receive_buffer, self._hidden = _checked(given)
        if backend is None:
            from .kernel import KernelCan

            backend = KernelCan()
        self._backend = backend
        self._interfaces: dict[str, Interface] = {}

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> CanDriver:
        """The driver on simulated buses (:mod:`.simulated`). Raises ValueError, naming the key at fault."""
        from .simulated import SimulatedCan

        return cls(context, SimulatedCan.from_description(table))

    def resources(self) -> Iterable[Resource]:
        """All interfaces there are now; none where the kernel has no CAN."""
        return [
            self._resource(device) for device in self._backend.devices() if device.name not in self._hidden
        ]

    @serves("CAN_INTERFACE_LIST", access=Access.READ, slow=True)
    def list_interfaces(self) -> Mapping[str, Any]:
        """{``interfaces``}: name and properties of every interface, its settings and condition.

        Raises HardwareError.
        """
        states = {state.name: state for state in self._backend.interfaces()}
        return {
            "interfaces": [
                {
                    "name": found.name,
                    "kind": state.kind,
                    "modes": supported_modes(state),
                    **found.properties,
                    **report(state),
                }
                for found in self.resources()
                if (state := states.get(found.properties["interface"])) is not None
            ]
        }

    @serves("CAN_INTERFACE_OPEN", access=Access.READ, slow=True, audit=True)
    def open_interface(
        self,
        resource: Resource,
        filters: Sequence[Mapping[str, Any]] | None = None,
        joined: bool | None = None,
        error_mask: int | None = None,
        receive_own: bool | None = None,
    ) -> CanChannel:
        """Open ``resource`` and receive from now on: all frames, without error frames and those sent here.

        What is given says otherwise, see :meth:`.channel.CanChannel.set_filters`. It may be down: configure it
        then. Raises BadRequest, NotFound, Unsupported, HardwareError, TooMany.
        """
        wanted = reception(Reception(), filters, joined, error_mask, receive_own)
        name = resource.properties["interface"]
        interface = self._interfaces.setdefault(name, Interface(self._backend, name, self.context.log))
        channel = CanChannel(resource, interface, self.context)
        interface.enter(channel)
        try:
            channel.open(wanted, self._receive_buffer)
        except OSError as error:
            interface.users.discard(channel)
            raise opening_fault(name, error) from None
        except BaseException:
            interface.users.discard(channel)
            raise
        return channel

    def close(self) -> None:
        """Put back what is still to be put back."""
        for interface in self._interfaces.values():
            interface.restore()

    def _resource(self, device: Device) -> Resource:
        known = self._interfaces.get(device.name)
        where = " ".join(part for part in (device.driver, device.location) if part)
        description = f"{where} ({device.name})" if where else f"CAN interface ({device.name})"
        properties = {
            "interface": device.name,
            "description": description,
            "in_use": known is not None and bool(known.users),
            **({"driver": device.driver} if device.driver else {}),
        }
        return Resource(
            f"can:{resource_part(device.name)}", description, parent=device.parent, properties=properties
        )


def _checked(given: Mapping[str, Any]) -> tuple[int, frozenset[str]]:
    size, hidden = given["receive_buffer"], given["hide"]
    if not SMALLEST_BUFFER <= size <= LARGEST_BUFFER:
        raise ValueError(
            f"the CAN driver's `receive-buffer` must lie between {SMALLEST_BUFFER} and {LARGEST_BUFFER} bytes"
        )
    if not all(isinstance(name, str) for name in hidden):
        raise ValueError("the CAN driver's `hide` must be a list of names")
    return size, frozenset(hidden)
