"""An attached USB device and the operations on it."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from myclerk_protocol.status import BadRequest, Conflict, DeviceGone, OperationError, TooLarge
from myclerk_protocol.usb_descriptors import IN, Endpoint

from ..base import Access, Handle, Resource, Stream, serves
from ..context import DriverContext
from .claims import Claims
from .engine import Engine
from .faults import fault, symbol
from .keeping import Records
from .listing import Listing, UsbDevice
from .memory import Memory
from .polling import IsochronousPoll, Poll
from .transfer import ControlTransfer, IsochronousTransfer, Transfer, setup_packet
from .usbfs import Flag

Answer = Mapping[str, Any]

MOST_ISOCHRONOUS = 512 << 10
"""Bytes of one isochronous transfer, so that the answer fits into a message."""
MOST_UNANSWERED = 16
"""Transfers that were done and whose answers wait for that of another one; their requests are in memory so long."""
DIRECT = 0xE0
"""All bits of a request type but the recipient."""
CLEAR_FEATURE, SET_ADDRESS, SET_CONFIGURATION, SET_INTERFACE = 1, 5, 9, 11
TO_DEVICE, TO_INTERFACE, TO_ENDPOINT = 0, 1, 2
ENDPOINT_HALT = 0


class AttachedDevice(Handle):
    """A device with all its interfaces in our hand. Its methods serve the operations on a handle.

    What may block is done by :meth:`.engine.Engine.exclusively`, in its place among the transfers. After an unplug
    everything raises DeviceGone.
    """

    def __init__(
        self,
        context: DriverContext,
        resource: Resource,
        device: UsbDevice,
        listing: Listing,
        records: Records,
        memory: Memory,
        claims: Claims,
    ) -> None:
        super().__init__(resource)
        self._context = context
        self._device = device
        self._listing = listing
        self._records = records
        self._memory = memory
        self._claims = claims
        self._engine: Engine | None = None
        self._returning: asyncio.Future[None] | None = None
        self._unanswered: list[tuple[asyncio.Future[Answer], Transfer]] = []
        self.given_back = threading.Event()
        """Set when the board's drivers have it again."""

    @property
    def engine(self) -> Engine:
        """Made at the first use: it belongs to the event loop's thread, where the device is not opened."""
        if self._engine is None:
            self._engine = Engine(self._context, self._claims.usbfs, self.resource.name, self._memory)
        return self._engine

    def describe(self) -> Answer:
        """What USB_DEVICE_LIST says of it, and its descriptors."""
        return {**self._info(), "descriptors": self._device.raw}

    def close(self) -> None:
        """Cancel all transfers and give the interfaces back, on a thread. Idempotent."""
        if self._returning is None:
            self._returning = self.engine.close(self._give_back)
            self._answer_unanswered()

    @property
    def is_closing(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._returning is not None

    @serves("USB_DEVICE_DETACH", access=Access.NONE, audit=True)
    async def detach(self) -> None:
        """Give the device back; answers when the kernel's drivers have bound again."""
        self.close()
        assert self._returning is not None
        await asyncio.shield(self._returning)

    # -- transfers -----------------------------------------------------------------------------------------

    @serves("USB_CONTROL_TRANSFER", access=Access.READ_WRITE)
    def control_transfer(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        data: bytes | None = None,
        length: int = 0,
        tag: int | None = None,
        timeout: float | None = None,
    ) -> Awaitable[Answer]:
        """A control transfer. Requests that the kernel has to know of are made by way of it. Raises BadRequest."""
        to_host = bool(request_type & IN)
        _check_direction(to_host, data, length)
        if not to_host and (change := self._change(request_type, request, value, index)) is not None:
            return self._by_kernel(self.engine.exclusively(change))
        size = length if to_host else len(data or b"")
        setup = setup_packet(request_type, request, value, index, size)
        return self._send(ControlTransfer(setup, data, length, tag=tag, timeout=timeout))

    @serves("USB_BULK_TRANSFER", access=Access.READ_WRITE)
    def bulk_transfer(
        self,
        endpoint: int,
        data: bytes | None = None,
        length: int = 0,
        short_not_ok: bool = False,
        zero_packet: bool = False,
        continued: bool = False,
        after: bool = False,
        lazy: bool = False,
        tag: int | None = None,
        timeout: float | None = None,
    ) -> Awaitable[Answer]:
        """A bulk transfer of up to 512 KiB. Raises BadRequest for an endpoint that cannot do it.

        ``lazy``: the answer to one that was sent in full may wait for another one, which spares a message.
        """
        data = self._checked(endpoint, "bulk", data, length)
        flags = (Flag.SHORT_NOT_OK if short_not_ok else 0) | (Flag.ZERO_PACKET if zero_packet else 0)
        return self._send(
            Transfer(
                "bulk",
                endpoint,
                data=data,
                length=length,
                flags=flags,
                continued=continued,
                after=after,
                tag=tag,
                timeout=timeout,
            ),
            lazy=lazy and data is not None,
        )

    @serves("USB_INTERRUPT_TRANSFER", access=Access.READ_WRITE)
    def interrupt_transfer(
        self,
        endpoint: int,
        data: bytes | None = None,
        length: int = 0,
        poll: bool = False,
        tag: int | None = None,
        timeout: float | None = None,
    ) -> Awaitable[Answer] | Stream:
        """An interrupt transfer; with ``poll`` a stream of them. Raises BadRequest."""
        if poll:
            _check_poll(endpoint, tag, timeout)
        data = self._checked(endpoint, "interrupt", data, length)

        def make() -> Transfer:
            return Transfer("interrupt", endpoint, data=data, length=length, tag=tag, timeout=timeout)

        if poll:
            if not length:
                raise BadRequest("`length` must be 1 or more to poll", key="length")
            return Poll(self._context, self.engine, self.resource.name, make)
        return self._send(make())

    @serves("USB_ISOCHRONOUS_TRANSFER", access=Access.READ_WRITE)
    def isochronous_transfer(
        self,
        endpoint: int,
        packets: Sequence[int],
        data: bytes | None = None,
        poll: bool = False,
        tag: int | None = None,
        timeout: float | None = None,
    ) -> Awaitable[Answer] | Stream:
        """1 to 128 packets of these sizes; with ``poll`` a stream of such transfers. Raises BadRequest, TooLarge."""
        if poll:
            _check_poll(endpoint, tag, timeout)
        size = sum(packets)
        if size > MOST_ISOCHRONOUS:
            raise TooLarge(f"the packets have {size} bytes, {MOST_ISOCHRONOUS} are the most", key="packets")
        data = self._checked(endpoint, "isochronous", data, 0 if data is not None else size)
        if data is not None and len(data) != size:
            raise BadRequest(f"`data` has {len(data)} bytes, the packets have {size}", key="data")

        def make() -> Transfer:
            return IsochronousTransfer(endpoint, packets, data, tag=tag, timeout=timeout)

        if poll:
            return IsochronousPoll(self._context, self.engine, self.resource.name, make)
        return self._send(make())

    # -- state ---------------------------------------------------------------------------------------------

    @serves("USB_SET_CONFIGURATION", access=Access.READ_WRITE, audit=True)
    def set_configuration(self, configuration: int) -> Awaitable[Answer]:
        """Choose a configuration by its value, 0 for none, and claim its interfaces. Raises BadRequest."""
        if configuration and self._device.descriptors.configuration(configuration) is None:
            raise BadRequest(
                f"{self.resource.name} has no configuration {configuration}", key="configuration"
            )
        changed = self._slowly("SET_CONFIGURATION", partial(self._claims.set_configuration, configuration))
        return self._then_info(changed)

    @serves("USB_SET_INTERFACE", access=Access.READ_WRITE)
    def set_interface(self, interface: int, alternate: int) -> Awaitable[None]:
        """Choose a setting of an interface; transfers on its endpoints are cancelled. Raises BadRequest."""
        doing = f"SET_INTERFACE {interface}.{alternate}"
        return self._slowly(doing, partial(self._claims.set_interface, interface, alternate))

    @serves("USB_CLEAR_HALT", access=Access.READ_WRITE)
    def clear_halt(
        self, endpoint: int | None = None, cancel: Sequence[int] | None = None
    ) -> Awaitable[None] | None:
        """Cancel transfers by their tags, now; then clear the halt of ``endpoint``. Raises BadRequest."""
        if endpoint is None and cancel is None:
            raise BadRequest("either `endpoint` or `cancel` is needed", key="endpoint")
        if cancel is not None:
            self.engine.cancel(cancel)
            self._answer_unanswered()
        if endpoint is None:
            return None
        self._endpoint(endpoint)
        return self._slowly(
            f"clearing the halt of 0x{endpoint:02x}", partial(self._claims.clear_halt, endpoint)
        )

    @serves("USB_RESET", access=Access.READ_WRITE, audit=True)
    def reset(self) -> Awaitable[Answer]:
        """Reset the port and claim the interfaces again. Raises DeviceGone when it is another device now."""
        return self._then_info(self._slowly("a reset", self._claims.reset))

    # -- helpers -------------------------------------------------------------------------------------------

    def _send(self, transfer: Transfer, *, lazy: bool = False) -> Awaitable[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.engine.submit(transfer, partial(self._done, future, lazy))
        return future

    def _done(self, future: asyncio.Future[Answer], lazy: bool, transfer: Transfer) -> None:
        if lazy and transfer.is_complete and len(self._unanswered) < MOST_UNANSWERED:
            self._unanswered.append((future, transfer))
            return
        if self._unanswered:
            self._answer_unanswered()
        _settle(future, transfer)

    def _answer_unanswered(self) -> None:
        unanswered, self._unanswered = self._unanswered, []
        for future, transfer in unanswered:
            _settle(future, transfer)

    def _slowly(self, doing: str, function: Callable[[], None]) -> Awaitable[None]:
        """A slow call, in its place in the order of the transfers."""
        return self._ended(doing, self.engine.exclusively(function))

    async def _ended(self, doing: str, call: Awaitable[None]) -> None:
        try:
            await call
        except OperationError:
            raise
        except OSError as error:
            raise fault(self.resource.name, doing, error) from None

    async def _then_info(self, changed: Awaitable[None]) -> Answer:
        await changed
        return self._info()

    def _change(self, request_type: int, request: int, value: int, index: int) -> Callable[[], None] | None:
        """The kernel's own call for a standard request that changes what it knows; None for other requests."""
        if request_type & DIRECT:
            return None
        recipient = request_type, request
        if recipient == (TO_DEVICE, SET_ADDRESS):
            raise BadRequest("SET_ADDRESS is the kernel's business", key="request")
        if recipient == (TO_DEVICE, SET_CONFIGURATION):
            return partial(self._claims.set_configuration, value & 0xFF)
        if recipient == (TO_INTERFACE, SET_INTERFACE):
            return partial(self._claims.set_interface, index & 0xFF, value)
        if recipient == (TO_ENDPOINT, CLEAR_FEATURE) and value == ENDPOINT_HALT and index & 0x0F:
            return partial(self._claims.clear_halt, index & 0xFF)
        return None

    async def _by_kernel(self, change: Awaitable[None]) -> Answer:
        """The answer of the control transfer that ``change`` stands for: what the kernel refuses stalls."""
        try:
            await change
        except OperationError:
            raise
        except OSError as error:
            refused = fault(self.resource.name, "a control transfer", error)
            if isinstance(refused, DeviceGone | Conflict):
                raise refused from None
            return {"transferred": 0, "errno": "EPIPE" if isinstance(refused, BadRequest) else symbol(error)}
        return {"transferred": 0}

    def _endpoint(self, address: int) -> Endpoint:
        endpoint = self._claims.endpoints.get(address)
        if endpoint is None:
            raise BadRequest(
                f"{self.resource.name} has no endpoint 0x{address:02x} in its present settings",
                key="endpoint",
            )
        return endpoint

    def _checked(self, address: int, kind: str, data: bytes | None, length: int) -> bytes | None:
        """What goes to the device; None on an IN endpoint. Raises BadRequest."""
        endpoint = self._endpoint(address)
        if endpoint.type != kind:
            raise BadRequest(
                f"endpoint 0x{address:02x} of {self.resource.name} is of type {endpoint.type}, not {kind}",
                key="endpoint",
            )
        _check_direction(endpoint.is_in, data, length)
        return None if endpoint.is_in else data or b""

    def _info(self) -> dict[str, Any]:
        return {"name": self.resource.name, **self._listing.describe(self._device), "in_use": True}

    def _give_back(self) -> None:
        try:
            if self._is_given_back():
                self._records.forget(self._device.name)
        finally:
            self.given_back.set()

    def _is_given_back(self) -> bool:
        try:
            self._claims.give_back()
        except OSError as error:
            if error.errno != errno.ENODEV:  # else it was unplugged, and nothing is left to be given back
                self._context.log.warning(
                    "%s could not be given back to the kernel's drivers; the next start of the agent tries again: %s",
                    self.resource.name, error.strerror,
                )  # fmt: skip
                return False
        return True


def _settle(future: asyncio.Future[Answer], transfer: Transfer) -> None:
    if future.done():
        return
    if transfer.error is not None:
        future.set_exception(transfer.error)
        future.exception()  # nobody may be left to ask
    else:
        future.set_result(transfer.result())


def _check_direction(to_host: bool, data: bytes | None, length: int) -> None:
    if to_host and data is not None:
        raise BadRequest("a transfer to the host has `length`, not `data`", key="data")
    if not to_host and length:
        raise BadRequest("a transfer to the device has `data`, not `length`", key="length")


def _check_poll(endpoint: int, tag: int | None, timeout: float | None) -> None:
    if not endpoint & IN:
        raise BadRequest("only an IN endpoint can be polled", key="endpoint")
    if tag is not None or timeout is not None:
        raise BadRequest("a poll has neither `tag` nor `timeout`: stop the stream", key="tag")
