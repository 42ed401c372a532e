"""An attached USB device, and the USB devices of a board (operations 0x0600-0x060B)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from myclerk_protocol.status import BadRequest
from myclerk_protocol.usb_descriptors import IN, Endpoint, parse

from ..held import opened
from ..link import Link
from ..streams import EventStream
from .poll import IsochronousPoll, UsbPoll
from .transfers import IsochronousResult, UrbResult, UsbTransfer
from .urbs import PIECE, Urbs

RUN = 2 * PIECE
AHEAD = 4
"""Runs of :data:`RUN` bytes that reads and writes keep on their way."""


class UsbDevice(Urbs):
    """A USB device of the board that this session has for itself, taken from the drivers of the board's kernel.

    ``info`` is what the board lists of it (a new one after a reset or a change of the configuration), ``descriptors``
    its device descriptor and all configurations as bytes; :func:`myclerk_protocol.usb_descriptors.parse` reads them.

    Transfers may be many at once: those on one endpoint are done in the order sent, those on several side by side.
    All methods raise DeviceGone when it was unplugged, SessionLost when the session is over.
    """

    closing = "USB_DEVICE_DETACH"

    def __init__(self, link: Link, answer: Mapping[str, Any]) -> None:
        super().__init__(link, answer["name"], answer["handle"])
        self.descriptors: bytes = answer["descriptors"]
        self.info: dict[str, Any] = {k: v for k, v in answer.items() if k not in ("handle", "descriptors")}
        self._parsed = parse(self.descriptors)
        self._endpoints = self._endpoints_in_force()

    async def detach(self) -> None:
        """Give it back to the board; its drivers have bound again when this returns. Idempotent."""
        await self.close()

    # -- transfers ---------------------------------------------------------------------------------------------

    async def control(
        self,
        request_type: int,
        request: int,
        value: int = 0,
        index: int = 0,
        data_or_length: bytes | int = 0,
        *,
        timeout: float | None = None,
    ) -> bytes | int:
        """A control transfer: to the host (bit 7 of ``request_type``) the bytes of at most ``data_or_length``.

        To the device it sends ``data_or_length``, if bytes, and gives how many were sent. ``timeout`` is in seconds,
        None = no limit. Raises OperationTimeout; HardwareError, with ``details["errno"]`` "EPIPE" when the device
        does not know the request; in ``details`` there is what was transferred, too.
        """
        if request_type & IN:
            length = data_or_length if isinstance(data_or_length, int) else len(data_or_length)
            transfer = self.submit_control(
                request_type, request, value, index, length=length, timeout=timeout
            )
        else:
            data = b"" if isinstance(data_or_length, int) else bytes(data_or_length)
            transfer = self.submit_control(request_type, request, value, index, data=data, timeout=timeout)
        result = await self._finished(transfer, f"control request 0x{request:02x}")
        return result.data if request_type & IN else result.transferred

    async def read(self, endpoint: int, length: int, *, timeout: float | None = None) -> bytes:
        """Read from a bulk or interrupt endpoint until ``length`` bytes or a short packet came.

        ``length`` should be a multiple of the packet size; any length will do otherwise. ``timeout`` as in
        :meth:`control`. Raises as :meth:`control`.
        """
        what = f"reading endpoint 0x{endpoint:02x}"
        if self._type_of(endpoint, IN) == "interrupt":
            return (await self._finished(self.submit_interrupt(endpoint, length, timeout=timeout), what)).data
        found: list[bytes] = []

        def run(start: int) -> UsbTransfer:
            size = min(RUN, length - start)
            short_not_ok = (
                start + size < length
            )  # what follows must not swallow what belongs to another transfer
            return self.submit_bulk(
                endpoint, size, timeout=timeout, short_not_ok=short_not_ok, continued=start > 0
            )

        await self._runs(run, length, what, found)
        return b"".join(found)

    async def write(
        self, endpoint: int, data: bytes, *, timeout: float | None = None, zero_packet: bool = False
    ) -> int:
        """Write ``data`` to a bulk or interrupt endpoint; how many bytes, all of them.

        ``zero_packet`` sends an empty packet behind data that fills its last packet. Raises as :meth:`control`;
        ``details["transferred"]`` counts what was sent before.
        """
        what = f"writing endpoint 0x{endpoint:02x}"
        if self._type_of(endpoint, 0) == "interrupt":
            transfer = self.submit_interrupt(endpoint, bytes(data), timeout=timeout)
            return (await self._finished(transfer, what)).transferred
        view = memoryview(data)

        def run(start: int) -> UsbTransfer:
            return self.submit_bulk(
                endpoint,
                bytes(view[start : start + RUN]),
                timeout=timeout,
                zero_packet=zero_packet and start + RUN >= len(view),
                continued=start > 0,
            )

        return await self._runs(run, len(view), what, [])

    async def isochronous(
        self,
        endpoint: int,
        packets: Sequence[int],
        data: bytes | None = None,
        *,
        timeout: float | None = None,
    ) -> IsochronousResult:
        """One isochronous transfer of 1 to 128 packets of these sizes; ``data`` goes out in them.

        A packet that failed is no error: see the result. Raises OperationTimeout, HardwareError.
        """
        transfer = self.submit_isochronous(endpoint, packets, data, timeout=timeout)
        result = await self._finished(transfer, f"isochronous endpoint 0x{endpoint:02x}")
        assert isinstance(result, IsochronousResult)
        return result

    async def poll(self, endpoint: int, length: int) -> UsbPoll:
        """Let the board ask an interrupt endpoint for up to ``length`` bytes again and again: ``async for data in``.

        The board keeps transfers queued, so nothing is missed, and pushes what comes, at no round trip. Without
        anybody reading here it stops asking. The poll ends with HardwareError when the endpoint stalls.
        """
        stream = EventStream(self._link, UsbPoll.window)
        await self._open_stream(stream, "USB_INTERRUPT_TRANSFER", endpoint=endpoint, length=length)
        return UsbPoll(stream)

    async def poll_isochronous(self, endpoint: int, packets: Sequence[int]) -> IsochronousPoll:
        """The same for an isochronous endpoint: ``async for result in``, each as of :meth:`isochronous`."""
        stream = EventStream(self._link, IsochronousPoll.window)
        await self._open_stream(stream, "USB_ISOCHRONOUS_TRANSFER", endpoint=endpoint, packets=list(packets))
        return IsochronousPoll(stream)

    # -- state -------------------------------------------------------------------------------------------------

    async def set_configuration(self, value: int) -> dict[str, Any]:
        """Choose a configuration by its bConfigurationValue (0: none); the new :attr:`info`.

        The board's drivers are kept off its interfaces, too. Raises BadRequest, HardwareError.
        """
        self._adopt(await self._request("USB_SET_CONFIGURATION", {"configuration": value}))
        return self.info

    async def set_interface(self, number: int, alternate: int) -> None:
        """Choose a setting of an interface; transfers on its endpoints are cancelled.

        Raises BadRequest, HardwareError.
        """
        await self._request("USB_SET_INTERFACE", {"interface": number, "alternate": alternate})
        self.note_setting(number, alternate)

    async def clear_halt(self, endpoint: int) -> None:
        """End the stall of an endpoint, at the device and at the host. Raises BadRequest, HardwareError."""
        await self._request("USB_CLEAR_HALT", {"endpoint": endpoint})

    async def reset(self) -> dict[str, Any]:
        """Reset it; the new :attr:`info`. Its configuration stays, its settings are the first ones again.

        Transfers in flight are cancelled. Raises DeviceGone when it came back as another device: attach that then.
        """
        self._adopt(await self._request("USB_RESET", {}))
        return self.info

    def note_setting(self, number: int, alternate: int) -> None:
        """A setting of an interface was chosen by a control transfer."""
        for interface in self.info["interfaces"]:
            if interface["number"] == number:
                interface["alternate"] = alternate
        self._endpoints = self._endpoints_in_force()

    def endpoint(self, address: int) -> Endpoint | None:
        """What the descriptors say of an endpoint in the settings in force; None where there is none."""
        return self._endpoints.get(address)

    # -- helpers -----------------------------------------------------------------------------------------------

    async def _finished(self, transfer: UsbTransfer, what: str) -> UrbResult:
        try:
            result = await transfer.future
        except asyncio.CancelledError:
            transfer.cancel()
            raise
        result.check(f"{self.resource}, {what}")
        return result

    async def _runs(self, submit: Any, size: int, what: str, found: list[bytes]) -> int:
        """Transfer ``size`` bytes in runs, several sent ahead by ``submit(start)``; how many were transferred."""
        transfers: deque[UsbTransfer] = deque()
        transferred = start = 0
        short = False
        try:
            while transfers or (start < max(size, 1) and not short):
                while start < max(size, 1) and len(transfers) < AHEAD and not short:
                    transfers.append(submit(start))
                    start += RUN
                result = await transfers[0].future
                transfers.popleft()
                found.append(result.data)
                transferred += result.transferred
                if short:
                    continue
                if (
                    result.errno == "EREMOTEIO"
                ):  # a short packet ends the read; what was sent ahead is cancelled
                    short = True
                    continue
                UrbResult(b"".join(found), transferred, result.errno).check(f"{self.resource}, {what}")
        finally:
            for transfer in transfers:
                transfer.cancel()
        return transferred

    def _type_of(self, endpoint: int, direction: int) -> str:
        found = self._endpoints.get(endpoint)
        if found is None or endpoint & IN != direction or found.type not in ("bulk", "interrupt"):
            way = "IN" if direction else "OUT"
            raise BadRequest(
                f"{self.resource} has no bulk or interrupt {way} endpoint 0x{endpoint:02x} in its present settings",
                key="endpoint",
            )
        return found.type

    def _endpoints_in_force(self) -> dict[int, Endpoint]:
        configuration = self._parsed.configuration(self.info.get("configuration", -1))
        if configuration is None:
            return {}
        settings = (configuration.setting(i["number"], i["alternate"]) for i in self.info["interfaces"])
        return {e.address: e for setting in settings if setting is not None for e in setting.endpoints}

    def _adopt(self, info: dict[str, Any]) -> None:
        self.info = info
        self._endpoints = self._endpoints_in_force()

    async def _open_stream(self, stream: EventStream, operation: str, **fields: Any) -> None:
        self._check()
        await stream.open(operation, {"handle": self._handle, "poll": True, **fields})


class UsbDevices:
    """The USB devices of a board; ``board.usb``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[dict[str, Any]]:
        """The devices but hubs: IDs, strings, speed, the interfaces with their endpoints and the board's drivers.

        ``used_for`` says what the board itself needs one for.
        """
        return list((await self._link.request("USB_DEVICE_LIST", {}))["devices"])

    async def attach(self, device: str) -> UsbDevice:
        """Take a device from the board's drivers, by its place ("1-1.4") or ID ("0403:6001", with ":SERIAL").

        Raises NotFound; Conflict when somebody has it; Forbidden when the board lives on it; Unsupported for a hub.
        """
        fields = {"resource": _resource(device)}
        return UsbDevice(self._link, await opened(self._link, "USB_DEVICE_ATTACH", fields, UsbDevice.closing))

    async def descriptor(
        self, device: str, type: int, index: int = 0, language: int = 0, length: int | None = None
    ) -> bytes:
        """A descriptor of a device, which need not be attached; ``length`` bytes of it at most.

        Raises HardwareError with errno EPIPE when it has none of that kind.
        """
        fields = {"type": type, "index": index, "language": language, "length": length}
        answer = await self._link.request("USB_GET_DESCRIPTOR", {"resource": _resource(device), **fields})
        return bytes(answer["data"])


def _resource(device: str) -> str:
    return device if device.startswith("usb:") else f"usb:{device}"
