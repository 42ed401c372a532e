"""An interface as all handles on it share it: who has it open, its last known state, what to restore."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from myclerk_protocol.status import BadRequest, Conflict, NotFound, OperationError, TooMany, Unsupported

from . import configuration
from .backend import CanBackend, Configuration, InterfaceState
from .faults import configuring_fault, fault, opening_fault

MOST_USERS = 32
"""Handles on one interface: each is a descriptor, a receive buffer of the kernel, and work for each frame."""


class Interface:
    """One interface for as long as the agent runs.

    ``lock`` is held while its configuration is looked at or changed, which may take long: the event loop
    never takes it. ``users`` are the open handles, ``state`` is the last look.
    """

    def __init__(self, backend: CanBackend, name: str, log: logging.Logger) -> None:
        self.backend = backend
        self.name = name
        self.lock = threading.Lock()
        self.users: set[object] = set()
        self.state: InterfaceState | None = None
        self.may_be_down = False
        """We took it down ourselves: nobody needs to be told."""
        self._log = log
        self._original: InterfaceState | None = None

    @property
    def must_restore(self) -> bool:
        """Whether nobody uses it any more, and somebody wished to have it back as it was."""
        return self._original is not None and not self.users

    @property
    def listens_only(self) -> bool:
        """Whether its controller sends nothing, by the last look."""
        return self.state is not None and self.state.configuration.has("listen_only")

    @property
    def restarts_by_itself(self) -> bool:
        """Whether it leaves bus-off without help, by the last look."""
        return self.state is not None and self.state.configuration.restart_ms > 0

    def look(self) -> InterfaceState:
        """Its state now. Raises DeviceGone, HardwareError."""
        try:
            self.state = self.backend.interface(self.name)
        except OSError as error:
            raise fault(self.name, "looking at it", error) from None
        return self.state

    def enter(self, user: object) -> InterfaceState:
        """Become a user, when what earlier ones left behind is put back. Raises NotFound, HardwareError, TooMany."""
        with self.lock:
            if len(self.users) >= MOST_USERS:
                raise TooMany(f"{self.name} is open {MOST_USERS} times already; close some of that")
            self._restore()
            try:
                self.state = self.backend.interface(self.name)
            except OSError as error:
                raise opening_fault(self.name, error) from None
            self.users.add(user)
            return self.state

    def configure(
        self, user: object, given: Mapping[str, Any], restart: bool, restore: bool
    ) -> InterfaceState:
        """Change what is ``given``, all or nothing, and restart when asked. ``restore`` remembers what was.

        Raises BadRequest, Unsupported; Conflict while others use it; NotFound when ``user`` has left;
        HardwareError, DeviceGone.
        """
        with self.lock:
            state = self.look()
            wanted = configuration.wanted(state, given)
            up = given.get("up", state.up)
            if restart:
                self._check_restart(state, given)
            if user not in self.users:
                raise NotFound(f"the handle on {self.name} was closed meanwhile", key="handle")
            if not configuration.is_in_force(state, given):
                self._check_alone()
                if restore and self._original is None:
                    self._original = state
                state = self._change(state, wanted, up)
            if restart:
                state = self._restart()
            self.state = state
            return state

    def restore(self) -> None:
        """Put back what was before, if it is wished and nobody uses it any more. Blocks; never raises."""
        with self.lock:
            self._restore()

    def _change(self, state: InterfaceState, wanted: Configuration, up: bool) -> InterfaceState:
        self.may_be_down = True
        try:
            return configuration.configure(self.backend, state, wanted, up)
        except OperationError:
            up = state.up
            raise
        finally:
            self.may_be_down = not up

    def _check_alone(self) -> None:
        if len(self.users) > 1:
            raise Conflict(
                f"{self.name} is open with another handle, too, and would go down under it; "
                "close that first, or ask for the settings in force",
                errno="EBUSY",
            )

    def _check_restart(self, state: InterfaceState, given: Mapping[str, Any]) -> None:
        if not state.has_controller:
            raise Unsupported(f"{self.name} is virtual: it has no controller to restart", key="restart")
        if given:
            raise BadRequest("`restart` goes alone, without settings", key="restart")
        if state.state != "bus-off":
            raise Conflict(f"{self.name} is {state.state}, not bus-off: there is nothing to restart")
        if state.configuration.restart_ms:
            raise Conflict(
                f"{self.name} restarts by itself, {state.configuration.restart_ms} ms after bus-off"
            )

    def _restart(self) -> InterfaceState:
        try:
            self.backend.restart(self.name)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise Unsupported(
                    f"the driver of {self.name} cannot restart it; take it down and up again", key="restart"
                ) from None
            raise configuring_fault(self.name, error) from None
        return self.look()

    def _restore(self) -> None:
        if not self.must_restore:
            return
        original, self._original = self._original, None
        assert original is not None
        self.may_be_down = True
        try:
            configuration.put_back(self.backend, original)
        except OSError as error:
            self._log.warning("%s could not be made what it was: %s", self.name, error.strerror)
        finally:
            self.may_be_down = not original.up
        with suppress(OSError):
            self.state = self.backend.interface(self.name)
