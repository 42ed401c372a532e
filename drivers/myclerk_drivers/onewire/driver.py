"""The 1-Wire driver: buses, ROM codes, bytes in one access, thermometers."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from myclerk_protocol.status import BadRequest, DeviceGone, OperationError

from ..base import Access, Driver, Resource, serves
from ..context import DriverContext
from .backend import Bus, OneWireBackend, Slave
from .kernel import KernelOneWire
from .line import Line
from .rom import FAMILIES, code_of, rom_of
from .simulated import SimulatedOneWire
from .thermometer import MATCH_ROM, Thermometer, check

SKIP_ROM = b"\xcc"
LONGEST_TIMEOUT = 3600.0

Answer = Awaitable[Mapping[str, Any]]


class OneWireDriver(Driver):
    """Buses as ``w1:w1_bus_master1``, their devices below them as ``w1:28-0000075f4d2c``."""

    kind = "w1"
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "timeout": (
            60.0,
            "Seconds that the kernel may take for one access to a bus, waiting for its turn included.",
        ),
    }

    def __init__(self, context: DriverContext, backend: OneWireBackend | None = None) -> None:
        """Raises ValueError for settings that make no sense."""
        super().__init__(context)
        timeout = context.settings.get("timeout", self.settings["timeout"][0])
        if not 1 <= timeout <= LONGEST_TIMEOUT:
            raise ValueError(
                f"the onewire driver's `timeout` must lie between 1 and {LONGEST_TIMEOUT:g} seconds"
            )
        self._backend = backend or KernelOneWire(float(timeout))
        self._lines: dict[str, Line] = {}

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> OneWireDriver:
        """The driver of the buses that ``table`` describes (:mod:`.simulated`)."""
        return cls(context, SimulatedOneWire.from_description(table))

    def resources(self) -> Iterable[Resource]:
        """All buses and the devices that the kernel knows there."""
        for bus in self._backend.buses():
            parent = f"w1:{bus.name}"
            yield Resource(parent, f"1-Wire bus with {_count(len(bus.slaves), 'device')}")
            for slave in bus.slaves:
                fields = _slave_fields(slave)
                description = f"{fields.get('type', 'device')} on {bus.name}"
                yield Resource(fields.pop("name"), description, parent=parent, properties=fields)

    def whole_of(self, resource: Resource) -> str | None:
        """A device is a part of its bus: who has that can do everything to it."""
        return resource.parent

    def parts(self, resource: Resource) -> Iterable[Resource]:
        """The devices on a bus that the kernel knows."""
        return [other for other in self.resources() if other.parent == resource.name]

    def parts_of(self, resource: Resource, fields: Mapping[str, Any]) -> Sequence[Resource]:
        """The device that a request for a bus names, known or not."""
        rom = fields.get("rom")
        if rom is None or resource.parent is not None:
            return (resource,)
        name = f"w1:{rom.lower()}"
        return (self.find(name) or Resource(name, parent=resource.name),)

    @serves("ONEWIRE_BUS_LIST", access=Access.READ, slow=True)
    def list_buses(self) -> Mapping[str, Any]:
        """{``buses``}: each with its devices and what the kernel says of it."""
        return {"buses": [self._bus_fields(bus) for bus in self._backend.buses()]}

    @serves("ONEWIRE_SEARCH", access=Access.READ_WRITE)
    def search(self, resource: Resource, alarm: bool = False) -> Answer:
        """Ask all devices, or those in alarm, for their ROM codes; {``devices``, ``corrupt``}.

        The kernel makes resources of what is new. Raises BadRequest, Unsupported, HardwareError, OperationTimeout.
        """
        line = self._bus(resource)

        def search() -> Mapping[str, Any]:
            codes, corrupt = line.search(alarm=alarm)
            return {"devices": [_device_fields(code) for code in codes], "corrupt": corrupt or None}

        return line.thread.submit(search)

    @serves("ONEWIRE_RESET", access=Access.WRITE)
    def reset(self, resource: Resource) -> Answer:
        """Reset a bus; {``presence``}: whether a device is there. Raises as :meth:`search`."""
        line = self._bus(resource)
        return line.thread.submit(lambda: {"presence": line.reset()})

    @serves("ONEWIRE_READ_ROM", access=Access.READ_WRITE)
    def read_rom(self, resource: Resource) -> Answer:
        """{``device``}: the only one on a bus.

        Raises DeviceGone when there is none, HardwareError (EBADMSG) when there are several, and as :meth:`search`.
        """
        line = self._bus(resource)
        return line.thread.submit(lambda: {"device": _device_fields(line.read_rom())})

    @serves("ONEWIRE_MATCH_ROM", access=Access.WRITE)
    def match_rom(self, resource: Resource, rom: str | None = None) -> Answer:
        """Select one device; {``selection``} names that. Raises DeviceGone if the bus is empty, as :meth:`search`."""
        return self._select(resource, self._match(resource, rom))

    @serves("ONEWIRE_SKIP_ROM", access=Access.WRITE)
    def skip_rom(self, resource: Resource) -> Answer:
        """Select all devices on a bus; {``selection``}. Raises as :meth:`match_rom`."""
        return self._select(resource, self._skip(resource))

    def _select(self, resource: Resource, command: bytes) -> Answer:
        line = self._line(resource)
        return line.thread.submit(lambda: {"selection": line.select(resource.name, command)})

    @serves("ONEWIRE_READ", access=Access.READ)
    def read(
        self,
        resource: Resource,
        temperature: bool = False,
        settings: bool = False,
        selection: int | None = None,
        size: int | None = None,
    ) -> Answer:
        """{``readings``} of thermometers, {``settings``} of one, or {``data``}: what a selected device sends next.

        Raises BadRequest; Conflict when the bus was used since the selection; Unsupported for what is no thermometer;
        HardwareError (EBADMSG: wrong CRC; EIO: value from power-on, line held low), DeviceGone.
        """
        if [temperature, settings, size is not None].count(True) != 1:
            raise BadRequest("ask for one of `temperature`, `settings` and `size`", key="size")
        if (selection is None) is not (size is None):
            raise BadRequest("`size` and `selection` go together", key="selection")
        line = self._line(resource)
        if selection is not None and size is not None:
            return line.thread.submit(lambda: {"data": line.receive(resource.name, selection, size)})
        if settings:
            thermometer = self._thermometer(resource)
            return line.thread.submit(lambda: {"settings": thermometer.settings()})
        if resource.parent is None:
            return line.thread.submit(lambda: {"readings": self._temperatures(line.bus)})
        thermometer = self._thermometer(resource)
        return line.thread.submit(lambda: {"readings": [{"name": resource.name, **thermometer.measure()}]})

    @serves("ONEWIRE_WRITE", access=Access.WRITE)
    def write(
        self,
        resource: Resource,
        rom: str | None = None,
        skip_rom: bool = False,
        selection: int | None = None,
        data: bytes | None = None,
        read: int | None = None,
        check_crc: bool = False,
        **changes: Any,
    ) -> Answer:
        """Reset, select, write ``data`` and read ``read`` bytes in one access; or change a thermometer's settings.

        ``changes``: ``resolution``, ``alarm_low``, ``alarm_high``, ``save``. {``data``} if bytes were read,
        {``settings``} as they are now. Raises BadRequest, Conflict for a selection that was replaced, HardwareError
        (EBADMSG: wrong CRC), DeviceGone, Unsupported, OperationTimeout.
        """
        selected = [rom is not None, skip_rom, selection is not None].count(True)
        line = self._line(resource)
        if changes:
            if selected or check_crc or data is not None or read is not None:
                raise BadRequest("write either bytes or settings, in two requests", key="data")
            thermometer = self._thermometer(resource)
            return line.thread.submit(lambda: {"settings": thermometer.configure(**changes)})
        if selected > 1:
            raise BadRequest("give one of `rom`, `skip-rom` and `selection`", key="selection")
        if data is None and read is None:
            raise BadRequest("give `data` to write, or how many bytes to `read`", key="data")
        if check_crc and read is None:
            raise BadRequest("`check-crc` needs `read`", key="check-crc")
        sent, size = data or b"", read or 0
        if selection is not None:
            transfer = partial(line.send, resource.name, selection, sent, size)
        else:
            command = self._skip(resource) if skip_rom else self._match(resource, rom)
            transfer = partial(line.transfer, command, sent, size)

        def write() -> Mapping[str, Any]:
            received = transfer()
            if check_crc:
                check(rom or resource.name.removeprefix("w1:"), received)
            return {"data": received or None}

        return line.thread.submit(write)

    def close(self) -> None:
        """Let the threads of the buses end."""
        for line in self._lines.values():
            line.thread.close()

    # -- resources -----------------------------------------------------------------------------------------

    def _line(self, resource: Resource) -> Line:
        bus = (resource.parent or resource.name).removeprefix("w1:")
        if bus not in self._lines:
            self._lines[bus] = Line(self._backend, bus)
        return self._lines[bus]

    def _bus(self, resource: Resource) -> Line:
        if resource.parent is not None:
            raise BadRequest(f"{resource.name} is a device; name its bus, {resource.parent}", key="resource")
        return self._line(resource)

    def _slave(self, resource: Resource) -> Slave:
        rom = resource.name.removeprefix("w1:")
        for bus in self._backend.buses():
            for slave in bus.slaves:
                if slave.rom == rom:
                    return slave
        raise DeviceGone(f"{rom} is gone", errno="ENODEV")

    def _match(self, resource: Resource, rom: str | None) -> bytes:
        if resource.parent is not None:
            if rom is not None:
                raise BadRequest(f"{resource.name} is a device already; `rom` goes with a bus", key="rom")
            return MATCH_ROM + self._slave(resource).code
        if rom is None:
            raise BadRequest("say which device: `rom`", key="rom")
        try:
            code = code_of(rom)
        except ValueError as error:
            raise BadRequest(str(error), key="rom") from None
        known = {slave.rom: slave.code for bus in self._backend.buses() for slave in bus.slaves}
        return MATCH_ROM + known.get(rom.lower(), code)

    def _skip(self, resource: Resource) -> bytes:
        self._bus(resource)  # with a device as the resource, others there would listen, too
        return SKIP_ROM

    # -- thermometers --------------------------------------------------------------------------------------

    def _thermometer(self, resource: Resource) -> Thermometer:
        if resource.parent is None:
            raise BadRequest(f"{resource.name} is a bus; name a thermometer on it", key="resource")
        return Thermometer(self._backend, self._line(resource), self._slave(resource))

    def _temperatures(self, bus: str) -> list[dict[str, Any]]:
        found = next((each for each in self._backend.buses() if each.name == bus), None)
        if found is None:
            raise DeviceGone(f"{bus} is gone", errno="ENODEV")
        slaves = [slave for slave in found.slaves if slave.thermometer]
        self._lines[bus].interrupt()
        if len(slaves) > 1:  # one conversion for all; a kernel that cannot do that does them one by one
            with suppress(OSError):
                self._backend.set_attribute(bus, "therm_bulk_read", "trigger\n")
        return [self._reading(bus, slave) for slave in slaves]

    def _reading(self, bus: str, slave: Slave) -> dict[str, Any]:
        name = f"w1:{slave.rom}"
        try:
            return {"name": name, **Thermometer(self._backend, self._lines[bus], slave).measure()}
        except OperationError as error:
            return {"name": name, "message": error.message}

    # -- fields of answers ---------------------------------------------------------------------------------

    def _bus_fields(self, bus: Bus) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "name": f"w1:{bus.name}",
            "slaves": [_slave_fields(slave) for slave in bus.slaves],
            "raw": True,
        }
        try:
            self._backend.check_raw(bus.name)
        except OperationError as error:
            fields.update(raw=False, reason=error.message)
        for key, attribute in _BUS_ATTRIBUTES.items():
            with suppress(OSError, ValueError):
                fields[key] = int(self._backend.attribute(bus.name, f"w1_master_{attribute}"))
        if "strong_pullup" in fields:
            fields["strong_pullup"] = bool(fields["strong_pullup"])
        return fields


_BUS_ATTRIBUTES = {
    "searches": "search",
    "search_interval": "timeout",
    "search_count": "attempts",
    "max_slave_count": "max_slave_count",
    "strong_pullup": "pullup",
}


def _slave_fields(slave: Slave) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": f"w1:{slave.rom}", "rom": slave.rom, **_family(slave.code)}
    return {**fields, "thermometer": slave.thermometer}


def _device_fields(code: bytes) -> dict[str, Any]:
    return {"rom": rom_of(code), "code": code, **_family(code)}


def _family(code: bytes) -> dict[str, Any]:
    known = {"type": FAMILIES[code[0]]} if code[0] in FAMILIES else {}
    return {"family": code[0], **known}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
