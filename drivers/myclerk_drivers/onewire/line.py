"""One bus as the driver uses it: one access after the other, and what is selected on it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from myclerk_protocol.status import Conflict, DeviceGone, HardwareError, OperationError

from ..bus_thread import BusThread
from ..models.onewire import ALARM_SEARCH, SEARCH_ROM
from .backend import OneWireBackend
from .rom import is_intact
from .search import search

READ_ROM = b"\x33"
CODE = 8
SILENCE = 0xFF
"""What is read when nobody pulls the line down."""


@dataclass(frozen=True, slots=True)
class Selection:
    """``command`` selects, behind a reset; ``owner`` is the resource on which that was asked for."""

    number: int
    owner: str
    command: bytes


class Line:
    """What is done on a bus, all of it on ``thread``, so in the order asked for, whoever asks.

    Each access begins with a reset and the selection, so that nothing goes to the wrong device whoever used the bus
    before. Only :meth:`receive` continues, and makes sure that it can.
    """

    def __init__(self, backend: OneWireBackend, bus: str) -> None:
        self.bus = bus
        self.thread = BusThread(f"myclerk w1:{bus}")
        self._backend = backend
        self._selection: Selection | None = None
        self._continues = ""

    def interrupt(self) -> None:
        """Something else is done on the bus: nothing continues that was going on."""
        self._continues = ""

    def reset(self) -> bool:
        """Reset the bus; whether a device is there.

        Some adapters report no presence pulse, so that is found out by asking for a ROM code. Raises HardwareError
        when the line is held low.
        """
        self.interrupt()
        present = self._ask_rom() is not None
        self._backend.exchange(self.bus, b"", 0)
        return present

    def read_rom(self) -> bytes:
        """The ROM code of the only device. Raises DeviceGone when there is none, HardwareError when several are."""
        self.interrupt()
        code = self._ask_rom()
        if code is None:
            raise DeviceGone(f"no device answers on {self.bus}", errno="ENODEV")
        if not is_intact(code):
            raise HardwareError(
                f"the checksum (CRC) of the ROM code is wrong: {code.hex(' ')}; several devices answer at once, or the "
                f"line is disturbed: search {self.bus} instead",
                errno="EBADMSG",
            )
        return code

    def _ask_rom(self) -> bytes | None:
        """What all devices together send as their ROM code; None if there is no device."""
        answer = self._backend.exchange(self.bus, READ_ROM, CODE + 1)
        if answer is None or answer == bytes([SILENCE]) * len(answer):
            return None
        if answer[CODE] != SILENCE:  # behind its ROM a device lets go
            raise HardwareError(f"the line of {self.bus} is held low; look for a short circuit", errno="EIO")
        return answer[:CODE]

    def search(self, *, alarm: bool) -> tuple[list[bytes], int]:
        """The ROM codes of all devices, or of those in alarm, and how many others came damaged.

        The kernel is told of those that it does not know yet, up to the number that it would find by itself.
        """
        self.interrupt()
        known = [slave.code for bus in self._backend.buses() if bus.name == self.bus for slave in bus.slaves]
        command = ALARM_SEARCH if alarm else SEARCH_ROM
        found = search(partial(self._backend.search_pass, self.bus, command), known)
        codes = [code for code in found if is_intact(code)]
        new = [code for code in codes if code not in known]
        for code in new[: self._room(len(known))]:
            with suppress(OperationError):
                self._backend.add(self.bus, code)
        return codes, len(found) - len(codes)

    def _room(self, known: int) -> int:
        """How many more devices the kernel shall know; a bus may have, or make up, thousands."""
        try:
            return max(int(self._backend.attribute(self.bus, "w1_master_max_slave_count")) - known, 0)
        except (OSError, ValueError):
            return 0

    def select(self, owner: str, command: bytes) -> int:
        """Reset and select; the number of this selection. Raises DeviceGone when there is no device at all."""
        self._begin(command, 0)
        number = secrets.randbits(32)  # nobody else can guess it, and none from before a restart fits
        self._selection = Selection(number, owner, command)
        return number

    def transfer(self, command: bytes, data: bytes, read: int) -> bytes:
        """Reset, select with ``command``, write ``data``, read. Raises DeviceGone when there is no device at all."""
        self.interrupt()
        return self._exchange(command + data, read)

    def send(self, owner: str, number: int, data: bytes, read: int) -> bytes:
        """:meth:`transfer` to a selection. Raises Conflict when another one was made since."""
        return self._begin(self._command(owner, number) + data, read)

    def receive(self, owner: str, number: int, size: int) -> bytes:
        """What the selected device sends next. Raises Conflict when the bus was used since."""
        self._command(owner, number)
        before, self._continues = self._continues, ""
        data = self._backend.exchange(self.bus, b"", size, reset=False) if before else None
        if data is None or self._searches() != before:
            raise Conflict(
                f"{self.bus} was used for something else since; write the command again, or ask for the bytes in "
                "the same request (`read`)"
            )
        self._continues = before
        return data

    def _command(self, owner: str, number: int) -> bytes:
        selection = self._selection
        if selection is None or (selection.number, selection.owner) != (number, owner):
            raise Conflict(f"selection {number} on {self.bus} has been replaced by another; select again")
        return selection.command

    def _begin(self, write: bytes, read: int) -> bytes:
        """An access that :meth:`receive` can continue until the bus is used again."""
        self.interrupt()
        before = self._searches()
        data = self._exchange(write, read)
        self._continues = before
        return data

    def _exchange(self, write: bytes, read: int) -> bytes:
        data = self._backend.exchange(self.bus, write, read)
        if data is None:
            raise DeviceGone(f"no device answers on {self.bus}", errno="ENODEV")
        return data

    def _searches(self) -> str:
        """How often the kernel has searched this bus; waits while it does."""
        try:
            return self._backend.attribute(self.bus, "w1_master_attempts").strip()
        except OSError:
            raise DeviceGone(f"{self.bus} is gone", errno="ENODEV") from None
