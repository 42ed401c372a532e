"""The bridge: one device of the board, one host at a stream socket that speaks USB/IP to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Protocol, cast

from myclerk_protocol.status import MalformedMessage
from myclerk_protocol.usb_descriptors import Endpoint, Interface, parse

from ..device import UsbDevice
from ..transfers import IsochronousResult, UrbResult
from ..usbip.urbs import (
    CommandReader,
    PacketResult,
    Submit,
    Unlink,
    ret_submit,
    ret_submit_isochronous,
    ret_unlink,
    status_of,
)
from .control import ControlPipe
from .early_out import EarlyOutPipe
from .mass_storage import mass_storage
from .pipes import BulkPipe, InterruptPipe, IsochronousPipe, Pipe, packet_results
from .polling import PolledPipe
from .tricks import BULK_ONLY, POLLED_CLASSES, Switch, Tricks

log = logging.getLogger("myclerk.usb")

DRAIN = 5.0
"""Seconds that a detach waits for data which the host takes for sent."""


class Monitor(Protocol):
    """Sees every URB come and go."""

    def submitted(self, urb: Submit) -> None:
        """The host sent it."""

    def completed(self, urb: Submit, result: UrbResult) -> None:
        """It is given back. One that was unlinked ends with ECONNRESET."""


class Bridge(asyncio.Protocol):
    """Gives the URBs of a host to ``device``, and their results back.

    ``ended`` is done when the host is gone, with None, or when the device or the board is, with the error.
    """

    def __init__(self, device: UsbDevice, tricks: Tricks, monitor: Monitor | None = None) -> None:
        self.device = device
        self.ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._tricks = tricks
        self._monitor = monitor
        self._reader = CommandReader()
        self._transport: asyncio.Transport | None = None
        self._urbs: dict[int, tuple[Submit, Pipe]] = {}
        self._unlinks: dict[int, Unlink] = {}
        self._is_over = False
        self._descriptors = parse(device.descriptors)
        self._control = ControlPipe(self, device, self, descriptors=tricks.descriptors is not Switch.OFF)
        self._pipes: dict[int, Pipe] = {}
        self._interfaces: dict[int, int] = {}
        """Of each address with a pipe, the interface's number."""

    # -- the socket ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for command in self._reader.feed(data):
                if isinstance(command, Submit):
                    self._submit(command)
                else:
                    self._unlink(command)
        except MalformedMessage as error:
            self.lost(error)

    def pause_writing(self) -> None:
        """The host takes no answers, so it asks no more either."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.ended.done():
            self.ended.set_result(None)

    async def close(self) -> None:
        """Hang up; what the host takes for sent goes to the board, if that is soon. Idempotent."""
        is_lost = self.ended.done() and self.ended.result() is not None
        if self._transport is not None:  # also one that is closing, but whose other end takes nothing
            self._transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if is_lost else DRAIN):
                while self.ahead:
                    await self.settle()
        for pipe in {self._control, *self._pipes.values()}:
            await pipe.close()

    # -- URBs ----------------------------------------------------------------------------------------------

    def _submit(self, urb: Submit) -> None:
        if urb.seqnum in self._urbs:
            raise MalformedMessage(f"USB/IP: sequence number {urb.seqnum} is used twice")
        if self._monitor is not None:
            self._monitor.submitted(urb)
        if self._is_over:
            self._refuse(urb, "ESHUTDOWN")
            return
        pipe = self._pipe(urb.address)
        if pipe is None:
            self._refuse(urb, "ENOENT")
        elif isinstance(pipe, IsochronousPipe) is not bool(urb.packets):
            self._refuse(urb, "EINVAL")
        else:
            self._urbs[urb.seqnum] = urb, pipe
            pipe.submit(urb)

    def _refuse(self, urb: Submit, errno: str) -> None:
        self._urbs[urb.seqnum] = urb, self._control
        self.answer(urb, UrbResult(errno=errno))

    def _unlink(self, unlink: Unlink) -> None:
        found = self._urbs.get(unlink.victim)
        if found is None or unlink.victim in self._unlinks:
            self._write([ret_unlink(unlink, 0)])
            return
        self._unlinks[unlink.victim] = unlink
        urb, pipe = found
        pipe.unlink(urb)

    def answer(self, urb: Submit, result: UrbResult) -> None:
        """Give an URB back to the host. One that is cancelled before anything was transferred has no RET_SUBMIT."""
        if self._urbs.pop(urb.seqnum, None) is None or self.ended.done():
            return
        if self._monitor is not None:
            self._monitor.completed(urb, result)
        unlink = self._unlinks.pop(urb.seqnum, None)
        if unlink is None:
            self._write(_returned(urb, result))
        elif result.errno == "ECONNRESET" and not result.transferred:
            self._write([ret_unlink(unlink, status_of(result.errno))])
        else:
            self._write([*_returned(urb, result), ret_unlink(unlink, 0)])

    def lost(self, error: BaseException) -> None:
        """The device is gone, or the board, or the host makes no sense: for the host that is a device pulled out."""
        if not self.ended.done():
            log.debug("%s: %s", self.device.resource, error)
            self.give_up()
            self.ended.set_result(error)
            if self._transport is not None:
                self._transport.close()

    def give_up(self) -> None:
        """End all URBs as those of a device that was pulled out, and those that still come.

        A kernel that is left without answers waits for its control requests, 5 s each, and keeps the port meanwhile.
        """
        self._is_over = True
        for urb, _ in list(self._urbs.values()):
            self.answer(urb, UrbResult(errno="ESHUTDOWN"))

    def _write(self, pieces: list[bytes]) -> None:
        # asyncio's own loop, told to write behind a close, would watch whatever has the descriptor's number next
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(pieces)

    # -- pipes ---------------------------------------------------------------------------------------------

    @property
    def ahead(self) -> bool:
        """Whether the host takes transfers for done that are under way."""
        return any(pipe.ahead for pipe in self._pipes.values())

    async def settle(self, address: int | None = None) -> None:
        """Have one endpoint, or all, end what they do of their own accord."""
        for known, pipe in list(self._pipes.items()):
            if address is None or known == address:
                await pipe.settle()

    async def reset(self, interface: int | None = None) -> None:
        """Have the endpoints of one interface, or all, begin anew."""
        for address, pipe in list(self._pipes.items()):
            if interface is None or self._interfaces[address] == interface:
                await pipe.reset()

    def renew(self, interface: int | None = None) -> None:
        """The endpoints of one interface, or all, are now as the device has them."""
        for address in list(self._pipes):
            if interface is None or self._interfaces[address] == interface:
                del self._pipes[address], self._interfaces[address]

    def _pipe(self, address: int) -> Pipe | None:
        if not address & 0x0F:
            return self._control
        pipe = self._pipes.get(address)
        if pipe is None and (found := self._endpoint(address)) is not None:
            self._make(*found)
            pipe = self._pipes[address]
        return pipe

    def _endpoint(self, address: int) -> tuple[Interface, Endpoint] | None:
        """An endpoint in the settings in force, and the interface that it belongs to."""
        configuration = self._descriptors.configuration(self.device.info.get("configuration", 0))
        if configuration is None:
            return None
        for known in self.device.info["interfaces"]:
            setting = configuration.setting(known["number"], known["alternate"])
            if setting is not None:
                for endpoint in setting.endpoints:
                    if endpoint.address == address:
                        return setting, endpoint
        return None

    def _make(self, interface: Interface, endpoint: Endpoint) -> None:
        """The pipe of an endpoint, and of its companion if there is one."""
        made = {endpoint.address: self._single(interface, endpoint)}
        if self._tricks.storage is not Switch.OFF and (interface.kind, interface.protocol) == BULK_ONLY:
            bulk = [e for e in interface.endpoints if e.type == "bulk"]
            incoming, outgoing = ([e for e in bulk if e.is_in is way] for way in (True, False))
            if endpoint in incoming[:1] + outgoing[:1] and incoming and outgoing:
                pipes = mass_storage(self, self.device, incoming[0], outgoing[0])
                made = dict(zip((incoming[0].address, outgoing[0].address), pipes, strict=True))
        self._pipes |= made
        self._interfaces |= dict.fromkeys(made, interface.number)

    def _single(self, interface: Interface, endpoint: Endpoint) -> Pipe:
        address, kind, tricks = endpoint.address, endpoint.type, self._tricks
        if kind == "isochronous":
            return IsochronousPipe(self, self.device, address)
        if not endpoint.is_in and tricks.early_out is Switch.ON:
            return EarlyOutPipe(self, self.device, address, bulk=kind == "bulk")
        if kind == "interrupt":
            always = tricks.polling is Switch.ON
            if endpoint.is_in and (
                always or (tricks.polling is Switch.AUTO and interface.kind in POLLED_CLASSES)
            ):
                return PolledPipe(self, self.device, address)
            return InterruptPipe(self, self.device, address)
        return BulkPipe(self, self.device, address)


def _returned(urb: Submit, result: UrbResult) -> list[bytes]:
    """The RET_SUBMIT for a result, or for one that makes no sense, which the host must not see."""
    status = status_of(result.errno)
    try:
        if not urb.packets:
            return ret_submit(urb, status, result.transferred, result.data)
        lengths, errors = packet_results(result, len(urb.packets))
        results = [PacketResult(size, status_of(errors.get(number))) for number, size in enumerate(lengths)]
        start = result.start_frame if isinstance(result, IsochronousResult) else 0
        return ret_submit_isochronous(urb, status, results, result.data, start)
    except ValueError as error:
        log.error("the board's answer makes no sense: %s", error)
        status = status_of("EPROTO")
        if not urb.packets:
            return ret_submit(urb, status, 0)
        return ret_submit_isochronous(urb, status, [PacketResult(0, status)] * len(urb.packets))
