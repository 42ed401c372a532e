"""Work on buses: each on its thread, opened for one request, with addresses and abilities checked first."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from myclerk_protocol.status import OperationError, Unsupported

from ..bus_thread import BusThread
from . import messages, smbus
from .backend import Backend, Bus
from .faults import fault, gone, opening_fault, taken
from .messages import MAX_BLOCK, Flag, Message
from .target import Target

T = TypeVar("T")
Fields = Mapping[str, Any]


class BusAccess:
    """The buses of a backend. :meth:`run` is for the event loop; the rest is work on the bus that it opened."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._threads: dict[int, BusThread] = {}

    def run(self, target: Target, work: Callable[[Bus], T]) -> asyncio.Future[T]:
        """Do ``work`` with the bus open, behind everything that was asked of this bus before."""
        thread = self._threads.get(target.number)
        if thread is None:
            thread = self._threads[target.number] = BusThread(f"myclerk {target.bus}")
        return thread.submit(partial(self._opened, target, work))

    def close(self) -> None:
        """Let the threads end."""
        for thread in self._threads.values():
            thread.close()

    def _opened(self, target: Target, work: Callable[[Bus], T]) -> T:
        try:
            bus = self._backend.open(target.number)
        except OSError as error:
            raise opening_fault(str(error.filename or target.bus), error) from None
        with closing(bus):
            return work(bus)

    def transfer(self, target: Target, bus: Bus, wanted: Sequence[Message], force: bool) -> list[bytes]:
        """Send messages as one transfer. Raises Unsupported, Conflict, HardwareError, DeviceGone."""
        messages.check(wanted, bus.functionality, target.bus)
        if not force:  # I2C_RDWR itself never asks whose an address is
            for address, ten_bit in {(m.address, Flag.TEN_BIT in m.flags) for m in wanted}:
                self._select(target, bus, address, ten_bit=ten_bit)
        try:
            return bus.transfer(wanted)
        except OSError as error:
            raise self.fault(target, (message.address for message in wanted), error) from None

    def smbus(self, target: Target, address: int, force: bool, wanted: smbus.Command, bus: Bus) -> Fields:
        """Execute one SMBus command; the response's fields. Raises as :meth:`transfer`."""
        smbus.check(wanted, bus.functionality, target.bus)
        self._select(target, bus, address, force=force)
        try:
            return bus.smbus(wanted).fields()
        except OSError as error:
            raise self.fault(target, [address], error) from None

    def i2c_block(
        self,
        target: Target,
        address: int,
        force: bool,
        register: int | None,
        block: bytes | int,
        bus: Bus,
    ) -> Fields:
        """Write the bytes of a ``block``, or read that many, on an adapter that has SMBus only."""
        size = block if isinstance(block, int) else len(block)
        if register is None or size > MAX_BLOCK:
            raise Unsupported(
                f"the adapter of {target.bus} sends no plain I2C messages: its blocks have a `register`"
                f" and at most {MAX_BLOCK} bytes"
            )
        if isinstance(block, int):
            wanted = smbus.command("read-i2c-block-data", command=register, size=block)
        else:
            wanted = smbus.command("write-i2c-block-data", command=register, data=block)
        return self.smbus(target, address, force, wanted, bus)

    def driver_of(self, number: int, address: int, ten_bit: bool = False) -> str | None:
        """The kernel driver that has an address; behind a multiplexer it may be on another bus, then None."""
        wanted = address | 0xA000 if ten_bit else address
        return next((c.driver for c in self._backend.clients(number) if c.address == wanted), None)

    def fault(self, target: Target, addresses: Iterable[int], error: OSError) -> OperationError:
        """The error to raise for ``error``: some adapters have the same for a missing device and when unplugged."""
        return fault(target.bus, addresses, error) if self.exists(target) else gone(target.bus, error)

    def exists(self, target: Target) -> bool:
        """Whether the bus is still there."""
        return self._backend.adapter(target.number) is not None

    def _select(
        self, target: Target, bus: Bus, address: int, *, force: bool = False, ten_bit: bool = False
    ) -> None:
        try:
            bus.select(address, force=force, ten_bit=ten_bit)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise taken(target.bus, address, self.driver_of(target.number, address, ten_bit)) from None
            raise self.fault(target, [address], error) from None
