"""The control pipe: requests as they are, except standard ones that the board's kernel has to know of."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

from myclerk_protocol.status import HardwareError, MyClerkError
from myclerk_protocol.usb_descriptors import CONFIGURATION, DEVICE, IN

from ..device import UsbDevice
from ..transfers import UrbResult, UsbTransfer
from ..usbip.urbs import Submit
from .pipes import LOST, Host, Pipe, outcome

_SETUP = struct.Struct("<BBHHH")

# Request type and request (USB 2.0, table 9-4).
CLEAR_ENDPOINT_FEATURE = (0x02, 1)
SET_ADDRESS = (0x00, 5)
GET_DESCRIPTOR = (0x80, 6)
SET_CONFIGURATION = (0x00, 9)
SET_INTERFACE = (0x01, 11)
SET_PORT_FEATURE = (0x23, 3)
"""A hub's request. USB/IP hosts send it to the device and mean the port that it is plugged into."""
MASS_STORAGE_RESET = (0x21, 0xFF)

ENDPOINT_HALT, PORT_RESET = 0, 4
"""Features."""

Work = Callable[[], Awaitable[object]]


class Setup(NamedTuple):
    """The eight bytes that begin a control transfer."""

    request_type: int
    request: int
    value: int
    index: int  # type: ignore[assignment]  # the name of USB's field hides tuple.index
    length: int


class Pipes(Protocol):
    """What the control pipe sees of the others."""

    @property
    def ahead(self) -> bool:
        """Whether the host takes transfers for done that are under way."""

    async def settle(self, address: int | None = None) -> None:
        """Have one of them, or all, end what they do of their own accord."""

    async def reset(self, interface: int | None = None) -> None:
        """Have those of one interface, or all, begin anew."""

    def renew(self, interface: int | None = None) -> None:
        """Their endpoints are now others, as the device has them."""


class ControlPipe(Pipe):
    """Endpoint 0. Requests are done one behind the other, in the order in which they came.

    With ``descriptors`` those for descriptors of the device and its configurations are answered here.
    """

    def __init__(self, host: Host, device: UsbDevice, pipes: Pipes, *, descriptors: bool) -> None:
        self._host = host
        self._device = device
        self._pipes = pipes
        self._transfers: dict[int, UsbTransfer] = {}
        self._waiting: deque[Submit] = deque()
        self._working: asyncio.Task[None] | None = None
        self._worked_for: Submit | None = None
        """The request that work goes on for, None when the host has given it up."""
        self._known = known_descriptors(device.descriptors) if descriptors else {}

    def submit(self, urb: Submit) -> None:
        if self._working is not None:
            self._waiting.append(urb)
            return
        setup = Setup(*_SETUP.unpack(urb.setup))
        request = setup[:2]
        if request == GET_DESCRIPTOR and (known := self._known.get(setup.value)) is not None:
            data = known[: min(setup.length, urb.length)]
            self._host.answer(urb, UrbResult(data, len(data)))
        elif work := self._operation(setup):
            self._begin(urb, self._operate(urb, work))
        elif work := self._preparation(setup):
            self._begin(urb, self._transfer_behind(urb, setup, work))
        else:
            self._transfer(urb, setup)

    def unlink(self, urb: Submit) -> None:
        if urb in self._waiting:
            self._waiting.remove(urb)
            self._host.answer(urb, UrbResult(errno="ECONNRESET"))
        elif (transfer := self._transfers.get(urb.seqnum)) is not None:
            transfer.cancel()
        else:  # the work goes on, and what the host asks next waits for it; the host need not wait
            self._worked_for = None
            self._host.answer(urb, UrbResult(errno="ECONNRESET"))

    async def close(self) -> None:
        self._waiting.clear()
        if self._working is not None:
            self._working.cancel()

    # -- transfers -----------------------------------------------------------------------------------------

    def _transfer(self, urb: Submit, setup: Setup) -> None:
        request_type, request, value, index, length = setup
        if length and bool(request_type & IN) != urb.is_in:
            self._host.answer(urb, UrbResult(errno="EINVAL"))
            return
        submit = partial(self._device.submit_control, request_type, request, value, index)
        is_in = request_type & IN
        transfer = submit(length=min(length, urb.length)) if is_in else submit(data=urb.data[:length])
        self._transfers[urb.seqnum] = transfer
        transfer.add_done_callback(partial(self._done, urb))

    def _done(self, urb: Submit, transfer: UsbTransfer) -> None:
        del self._transfers[urb.seqnum]
        result = outcome(transfer, self._host)
        if result is not None:
            self._host.answer(urb, result)

    # -- work ----------------------------------------------------------------------------------------------

    def _operation(self, setup: Setup) -> Work | None:
        """What a request is done by instead of a transfer."""
        request, value, index = setup[:2], setup.value, setup.index
        if request == SET_CONFIGURATION:
            return partial(self._set_configuration, value & 0xFF)
        if request == SET_INTERFACE:
            return partial(self._set_interface, index & 0xFF, value & 0xFF)
        if request == CLEAR_ENDPOINT_FEATURE and value == ENDPOINT_HALT:
            return partial(self._clear_halt, index & 0xFF)
        if request == SET_PORT_FEATURE and value == PORT_RESET:
            return self._reset_device
        if request == SET_ADDRESS:
            return _nothing  # it has one; the host's is for the host
        return None

    def _preparation(self, setup: Setup) -> Work | None:
        """What a request has to wait for."""
        if setup[:2] == MASS_STORAGE_RESET and self._is_storage(setup.index & 0xFF):
            return partial(self._pipes.reset, setup.index & 0xFF)
        return self._pipes.settle if self._pipes.ahead else None

    def _is_storage(self, interface: int) -> bool:
        found = self._device.info["interfaces"]
        return any(i["number"] == interface and i["class"] == 8 for i in found)

    def _begin(self, urb: Submit, work: Coroutine[Any, Any, None]) -> None:
        self._worked_for = urb
        self._working = asyncio.get_running_loop().create_task(self._work(work))

    async def _work(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, then go on with what came meanwhile."""
        try:
            await work
        except LOST as error:
            self._host.lost(error)
            return
        finally:
            self._working = None
        while self._waiting and self._working is None:
            self.submit(self._waiting.popleft())

    async def _operate(self, urb: Submit, operation: Work) -> None:
        errno = None
        try:
            await operation()
        except LOST:
            raise
        except HardwareError as error:
            errno = str(error.details.get("errno", "EPIPE"))
        except MyClerkError:
            errno = "EPIPE"  # as a device says that it does not know what was asked
        if self._worked_for is urb:
            self._host.answer(urb, UrbResult(errno=errno))

    async def _transfer_behind(self, urb: Submit, setup: Setup, preparation: Work) -> None:
        await preparation()
        if self._worked_for is urb:
            self._transfer(urb, setup)

    async def _set_configuration(self, value: int) -> None:
        await self._pipes.reset()
        await self._device.set_configuration(value)
        self._pipes.renew()

    async def _set_interface(self, number: int, alternate: int) -> None:
        await self._pipes.reset(number)
        await self._device.set_interface(number, alternate)
        self._pipes.renew(number)

    async def _clear_halt(self, address: int) -> None:
        await self._pipes.settle(address)
        await self._device.clear_halt(address)

    async def _reset_device(self) -> None:
        await self._pipes.reset()
        await self._device.reset()
        self._pipes.renew()


async def _nothing() -> None:
    """There is nothing to do."""


def known_descriptors(data: bytes) -> Mapping[int, bytes]:
    """The descriptors that USB_DEVICE_ATTACH gave, by what GET_DESCRIPTOR has in wValue: type and index."""
    found = {DEVICE << 8: data[: data[0]]}
    position, index = data[0], 0
    while position + 4 <= len(data) and data[position + 1] == CONFIGURATION:
        end = position + int.from_bytes(data[position + 2 : position + 4], "little")
        if end > len(data):
            break
        found[CONFIGURATION << 8 | index] = data[position:end]
        position, index = max(end, position + 9), index + 1
    return found
