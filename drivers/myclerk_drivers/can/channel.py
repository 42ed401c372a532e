"""An open interface and the operations on it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from myclerk_protocol.status import BadRequest, NotFound

from ..base import Access, Handle, Resource, Stream, serves
from ..context import DriverContext
from . import configuration
from .backend import ERROR, INVERTED, CanSocket, InterfaceState, Reception
from .faults import fault
from .frames import check as check_frames
from .interface import Interface
from .sending import Sender
from .streams import Reader


class CanChannel(Handle):
    """One handle on an interface: a socket of its own. CAN is a broadcast bus, so several stand side by side."""

    shared = True

    def __init__(self, resource: Resource, interface: Interface, context: DriverContext) -> None:
        super().__init__(resource)
        self._interface = interface
        self._context = context
        self._socket: CanSocket | None = None
        self._reception = Reception()

    def open(self, reception: Reception, receive_buffer: int) -> None:
        """Make the socket. Raises OSError. May block."""
        interface = self._interface
        self._socket = interface.backend.open(interface.name, reception, receive_buffer)
        self._reception = reception
        self._reader = Reader(self._context, self._socket, interface)
        self._sender = Sender(self._context, self._socket, interface, self._reader.failed)

    def describe(self) -> Mapping[str, Any]:
        """The settings in force and the condition of the interface."""
        state = self._interface.state
        return {} if state is None else report(state)

    def close(self) -> None:
        """Close the socket; what was not handed over is not sent. The last handle on an interface has it put
        back, on a thread, if that was asked for."""
        socket, self._socket = self._socket, None
        if socket is not None:
            self._sender.close(NotFound(f"{self.resource.name} was closed"))
            if self._reader.stream is not None:
                self._reader.stream.close()
            socket.close()
        self._interface.users.discard(self)
        if self._interface.must_restore:
            self._context.run_blocking(self._interface.restore)

    @serves("CAN_INTERFACE_CLOSE", access=Access.NONE, audit=True)
    def close_interface(self) -> None:
        """Nothing to do beside what the agent does for every handle that is closed: :meth:`close`."""

    @serves("CAN_CONFIGURE", access=Access.WRITE, slow=True, audit=True)
    def configure(self, restart: bool = False, restore: bool = False, **settings: Any) -> Mapping[str, Any]:
        """Change the settings given, all or none; what is in force then.

        Settings: ``bitrate``, ``sample_point``, ``fd``, ``data_bitrate``, ``data_sample_point``,
        ``listen_only``, ``loopback``, ``one_shot``, ``triple_sampling``, ``berr_reporting``, ``restart_ms``
        (:mod:`.configuration`) and ``up``. The interface goes down for a change and up again if it was up.
        ``restart`` leaves bus-off now. ``restore`` puts back what was before when the last handle is closed.
        Raises BadRequest, Unsupported, HardwareError, DeviceGone; Conflict while another handle is open on
        the interface, unless nothing has to change. Then everything is as before.
        """
        return report(self._interface.configure(self, settings, restart, restore))

    @serves("CAN_ERROR_STATUS", access=Access.READ, slow=True)
    def status(self) -> Mapping[str, Any]:
        """The settings in force, the controller's state and error counters, and statistics."""
        return report(self._interface.look())

    @serves("CAN_FILTER_SET", access=Access.READ)
    def set_filters(
        self,
        filters: Sequence[Mapping[str, Any]] | None = None,
        joined: bool | None = None,
        error_mask: int | None = None,
        receive_own: bool | None = None,
    ) -> None:
        """Let in only what is wanted from now on; frames that are in the kernel's buffer already still come.

        Raises BadRequest, and then nothing has changed.
        """
        wanted = reception(self._reception, filters, joined, error_mask, receive_own)
        try:
            self._opened.receive_only(wanted)
        except OSError as error:
            raise fault(self._interface.name, "setting filters", error) from None
        self._reception = wanted

    @serves("CAN_FRAME_SEND", access=Access.WRITE)
    def send(
        self, frames: Sequence[Sequence[Any]], timeout: float | None = None
    ) -> Mapping[str, int] | Awaitable[Mapping[str, int]]:
        """Hand frames to the kernel, behind all that was sent before with this handle: {``sent``}.

        Answers at once when there is room, else with an awaitable. ``timeout`` is in seconds, None = no limit.
        What the kernel took is in the interface's queue: it leaves when the bus is free, and is lost when the
        interface goes down or bus-off before. Raises BadRequest, and then nothing was sent; OperationTimeout,
        Unsupported, HardwareError, DeviceGone with ``sent``.
        """
        check_frames(frames)
        if timeout is not None and not 0 <= timeout < float("inf"):
            raise BadRequest("`timeout` must be 0 or more seconds", key="timeout")
        _ = self._opened
        if self._interface.listens_only:
            raise BadRequest(f"{self._interface.name} is configured to listen only; it sends nothing")
        return self._sender.send(frames, timeout)

    @serves("CAN_FRAME_RECEIVE", access=Access.READ)
    def receive(self) -> Stream:
        """Everything received since the handle was opened, as a stream of events with up to 64 frames each."""
        _ = self._opened
        return self._reader.open()

    @property
    def _opened(self) -> CanSocket:
        if self._socket is None:
            raise NotFound(f"{self.resource.name} was closed", key="handle")
        return self._socket


def report(state: InterfaceState) -> dict[str, Any]:
    """Settings and condition in one map, for answers."""
    found = {**configuration.settings(state), **configuration.condition(state)}
    return {name: value for name, value in found.items() if value is not None}


def reception(
    current: Reception,
    filters: Sequence[Mapping[str, Any]] | None,
    joined: bool | None,
    error_mask: int | None,
    receive_own: bool | None,
) -> Reception:
    """``current`` with what is not None. Raises BadRequest, its ``key`` naming the filter at fault."""
    changes: dict[str, Any] = {"joined": joined, "error_mask": error_mask, "receive_own": receive_own}
    if filters is not None:
        changes["filters"] = tuple(_filter(index, given) for index, given in enumerate(filters))
    return replace(current, **{name: value for name, value in changes.items() if value is not None})


def _filter(index: int, given: Mapping[str, Any]) -> tuple[int, int]:
    can_id, mask = given["can_id"], given["can_mask"]
    if (can_id | mask) & ERROR:
        raise BadRequest(
            "filters are for data and remote frames; error frames are chosen by `error-mask`",
            key=f"filters[{index}]",
        )
    return (can_id | INVERTED if given.get("inverted") else can_id, mask)
