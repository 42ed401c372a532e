"""The I2C driver: buses, and the operations on them and on single addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

from ..base import Access, Driver, Resource, Stream, serves
from ..context import DriverContext
from . import messages as transfers
from . import smbus
from .access import BusAccess
from .backend import Adapter, Backend, Bus
from .faults import gone
from .functionality import Functionality, names
from .messages import Flag, Message
from .scan import Probe, Report, Scan, ScanStream
from .target import Target

Fields = Mapping[str, Any]


class I2cDriver(Driver):
    """Buses as ``i2c:1``, each 7-bit address on one as ``i2c:1/0x48``, whether a device is there or not.

    Everything on one bus runs in the order asked, on a thread of its own: a scan is never beside a transfer. An
    address that the kernel gave to a driver is refused, as is one that the specification reserves (outside 0x08 to
    0x77), unless the request has ``force``.

    Reading takes write access, too: a register's number is a byte that is written, which sets the outputs of a
    PCF8574 and the channels of a multiplexer, and a byte received moves pointers and clears flags.
    """

    kind = "i2c"

    def __init__(self, context: DriverContext, backend: Backend | None = None) -> None:
        """``backend`` is where the buses are; None: this machine's."""
        super().__init__(context)
        if backend is None:
            from .kernel import KernelI2c  # a simulated board needs no smbus2

            backend = KernelI2c()
        self._backend = backend
        self._access = BusAccess(backend)

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> I2cDriver:
        """This driver on the buses that ``table`` describes (:mod:`.simulated`). Raises ValueError."""
        from .simulated import SimulatedI2c

        return cls(context, SimulatedI2c.from_description(table))

    def resources(self) -> Iterable[Resource]:
        """All buses. The addresses on them are not listed: looking for devices is a scan's business."""
        return [self._resource(adapter) for adapter in self._backend.adapters()]

    def find(self, name: str) -> Resource | None:
        """A bus, or any address on it."""
        target = Target.parse(name)
        adapter = None if target is None else self._backend.adapter(target.number)
        if target is None or adapter is None:
            return None
        if target.address is None:
            return self._resource(adapter)
        text = f"address 0x{target.address:02x} on {adapter.name}"
        return Resource(target.name, text, parent=target.bus, properties={"address": target.address})

    def parts_of(self, resource: Resource, fields: Mapping[str, Any]) -> Sequence[Resource]:
        """The addresses that a request names: a lock on one keeps nobody off the others."""
        target = _target(resource)
        named = [fields.get("address"), *(m.get("address") for m in fields.get("messages", ()))]
        addresses = {address for address in named if address is not None and address <= 0x7F}
        parts = [self.find(Target(target.number, address).name) for address in sorted(addresses)]
        return [part for part in parts if part is not None] or [resource]

    def parts(self, resource: Resource) -> Iterable[Resource]:
        """All addresses on a bus."""
        target = _target(resource)
        if target.address is not None:
            return []
        addresses = (Target(target.number, address) for address in range(0x80))
        return [Resource(address.name, parent=target.bus) for address in addresses]

    @staticmethod
    def _resource(adapter: Adapter) -> Resource:
        properties = {"bus": adapter.number, "path": adapter.path, "adapter": adapter.name}
        return Resource(f"i2c:{adapter.number}", adapter.name, parent=adapter.parent, properties=properties)

    def close(self) -> None:
        """Let the threads end."""
        self._access.close()

    # -- buses ---------------------------------------------------------------------------------------------

    @serves("I2C_BUS_LIST", access=Access.READ)
    def list_buses(self) -> Fields:
        """{``buses``}: each with adapter, ``functionality`` and the ``clients`` that the kernel knows of."""
        return {"buses": [self._listed(adapter) for adapter in self._backend.adapters()]}

    def _listed(self, adapter: Adapter) -> Fields:
        resource = self._resource(adapter)
        clients = [
            {"address": c.address, "name": c.name, **({"driver": c.driver} if c.driver else {})}
            for c in self._backend.clients(adapter.number)
        ]
        listed = {"name": resource.name, **resource.properties, "clients": clients}
        with suppress(OSError), closing(self._backend.open(adapter.number)) as bus:
            listed["functionality"] = names(bus.functionality)
        return listed

    @serves("I2C_BUS_SCAN", access=Access.READ_WRITE)
    def scan(
        self,
        resource: Resource,
        first: int | None = None,
        last: int | None = None,
        method: str = "auto",
        force: bool = False,
        watch: bool = False,
    ) -> asyncio.Future[Fields] | Stream:
        """Look for devices from ``first`` to ``last`` (0x08 to 0x77): {``probes``}, or with ``watch`` a stream of them.

        A quick write or a received byte may disturb a device (:mod:`.scan`). Raises BadRequest; Unsupported for an
        adapter that can do neither; HardwareError when every address times out, as on a bus that is held low.
        """
        target = _target(resource)
        scan = Scan.of(target, first, last, method, force)
        if watch:
            return ScanStream(
                scan, lambda report: self._access.run(target, partial(self._scan, target, scan, report))
            )
        probes: list[Probe] = []

        def work(bus: Bus) -> Fields:
            self._scan(target, scan, probes.append, bus)
            return {"probes": probes}

        future = self._access.run(target, work)
        future.add_done_callback(lambda _: scan.stopped.set())
        return future

    def _scan(self, target: Target, scan: Scan, report: Report, bus: Bus) -> None:
        def named(probe: Probe) -> None:
            driver = (
                self._access.driver_of(target.number, probe["address"]) if probe["state"] == "busy" else None
            )
            report({**probe, "driver": driver} if driver else probe)

        try:
            scan.run(bus, named)
        except OSError as error:
            raise self._access.fault(target, scan.addresses[:1], error) from None
        if not self._access.exists(target):  # nobody answers any more, which is not the same as absent
            raise gone(target.bus)

    # -- transfers -----------------------------------------------------------------------------------------

    @serves("I2C_TRANSFER", access=Access.READ_WRITE)
    def transfer(
        self, resource: Resource, messages: Sequence[Fields], force: bool = False
    ) -> asyncio.Future[Fields]:
        """Send ``messages`` (1 to 42, of up to 8192 bytes) as one transfer: {``received``}, in their order.

        Raises BadRequest; Conflict for an address that a kernel driver has; Unsupported for a flag that the adapter
        lacks and for one without plain I2C; HardwareError when nobody answers (ENXIO, EREMOTEIO, ENODEV) and the like.
        """
        target = _target(resource)
        wanted = transfers.parse(messages, target.address)
        for i, message in enumerate(wanted):
            ten_bit = Flag.TEN_BIT in message.flags
            target.check(message.address, force=force, ten_bit=ten_bit, key=f"messages[{i}].address")
        return self._access.run(
            target, lambda bus: {"received": self._access.transfer(target, bus, wanted, force)}
        )

    # -- bytes and blocks ----------------------------------------------------------------------------------

    @serves("I2C_WRITE_BYTE", access=Access.WRITE)
    def write_byte(
        self,
        resource: Resource,
        value: int,
        address: int | None = None,
        register: int | None = None,
        pec: bool = False,
        force: bool = False,
    ) -> asyncio.Future[Fields]:
        """SMBus "write byte data", without ``register`` "send byte". Raises as :meth:`smbus_command`."""
        protocol = "write-byte" if register is None else "write-byte-data"
        return self._smbus(resource, address, force, protocol, command=register, value=value, pec=pec)

    @serves("I2C_READ_BYTE", access=Access.READ_WRITE)
    def read_byte(
        self,
        resource: Resource,
        address: int | None = None,
        register: int | None = None,
        pec: bool = False,
        force: bool = False,
    ) -> asyncio.Future[Fields]:
        """{``value``}: SMBus "read byte data", without ``register`` "receive byte". Raises as :meth:`smbus_command`."""
        protocol = "read-byte" if register is None else "read-byte-data"
        return self._smbus(resource, address, force, protocol, command=register, pec=pec)

    @serves("I2C_WRITE_BLOCK", access=Access.WRITE)
    def write_block(
        self,
        resource: Resource,
        data: bytes,
        address: int | None = None,
        register: int | None = None,
        force: bool = False,
    ) -> asyncio.Future[Fields]:
        """Write ``register``, if given, and ``data`` (1 to 8191 bytes) in one message.

        An adapter without plain I2C takes up to 32 bytes behind a register. Raises as :meth:`transfer`.
        """
        target = _target(resource)
        device = target.resolve(address, force=force)
        head = b"" if register is None else bytes([register])

        def work(bus: Bus) -> Fields:
            if Functionality.I2C in bus.functionality:
                self._access.transfer(target, bus, [Message(device, head + data)], force)
            else:
                self._access.i2c_block(target, device, force, register, data, bus)
            return {}

        return self._access.run(target, work)

    @serves("I2C_READ_BLOCK", access=Access.READ_WRITE)
    def read_block(
        self,
        resource: Resource,
        size: int,
        address: int | None = None,
        register: int | None = None,
        force: bool = False,
    ) -> asyncio.Future[Fields]:
        """{``data``}: ``size`` bytes (1 to 8192), behind ``register`` if given and a repeated start.

        An adapter without plain I2C reads up to 32 bytes behind a register. Raises as :meth:`transfer`.
        """
        target = _target(resource)
        device = target.resolve(address, force=force)
        head = [] if register is None else [Message(device, bytes([register]))]

        def work(bus: Bus) -> Fields:
            if Functionality.I2C in bus.functionality:
                return {
                    "data": self._access.transfer(target, bus, [*head, Message(device, size=size)], force)[0]
                }
            return self._access.i2c_block(target, device, force, register, size, bus)

        return self._access.run(target, work)

    # -- SMBus ---------------------------------------------------------------------------------------------

    @serves("I2C_SMBUS_COMMAND", access=Access.READ_WRITE)
    def smbus_command(
        self,
        resource: Resource,
        protocol: str,
        address: int | None = None,
        command: int | None = None,
        value: int | None = None,
        data: bytes | None = None,
        size: int | None = None,
        pec: bool = False,
        force: bool = False,
    ) -> asyncio.Future[Fields]:
        """One command of any SMBus ``protocol`` (:data:`.smbus.PROTOCOLS`): {``value``} or {``data``} or nothing.

        Raises BadRequest for operands that the protocol does not have; Conflict for an address that a kernel driver
        has; Unsupported where the adapter lacks the protocol; HardwareError when nobody answers (ENXIO,
        EREMOTEIO), for a wrong checksum (EBADMSG) and the like.
        """
        operands = {"command": command, "value": value, "data": data, "size": size}
        return self._smbus(resource, address, force, protocol, pec=pec, **operands)

    def _smbus(
        self, resource: Resource, address: int | None, force: bool, protocol: str, **operands: Any
    ) -> asyncio.Future[Fields]:
        target = _target(resource)
        device = target.resolve(address, force=force)
        wanted = smbus.command(protocol, **operands)
        return self._access.run(target, partial(self._access.smbus, target, device, force, wanted))


def _target(resource: Resource) -> Target:
    target = Target.parse(resource.name)
    assert target is not None, "find() made this resource"
    return target
