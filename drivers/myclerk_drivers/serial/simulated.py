"""Simulated serial ports: real ptys with a device, or each other, at the far end.

The table ``[serial]`` of a board's description has one table for each port::

    [serial.console]
    device = "echo"        # sends back what it receives

    [serial.left]          # two ports, joined like by a null modem cable
    joined = "right"
    [serial.right]
    joined = "left"

A pty has no modem lines, and its baud rate is only remembered.
"""

from __future__ import annotations

import os
import tty
from collections.abc import Mapping
from typing import Any

from ..context import DriverContext

CHUNK = 65536
BACKLOG = 1 << 20
"""Bytes that wait for a far end that does not read; then the near one has to wait."""


class SimulatedSerial:
    """The ports of a simulated board. ``paths`` has the tty of each: port name -> path."""

    def __init__(self, far_ends: Mapping[str, str]) -> None:
        """``far_ends``: port name -> the port whose input its output is; itself for an echo."""
        self.paths: dict[str, str] = {}
        self._ttys: list[int] = []
        self._masters: dict[str, int] = {}
        self._waiting: dict[str, bytearray] = {name: bytearray() for name in far_ends}
        self._far_ends = dict(far_ends)
        self._context: DriverContext | None = None
        for name in far_ends:
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self.paths[name] = os.ttyname(slave)
            self._masters[name] = master
            self._ttys.append(slave)  # kept open: a master without a tty is always "readable"

    @classmethod
    def from_description(cls, table: Mapping[str, Any]) -> SimulatedSerial:
        """The ports that ``table`` tells of. Raises ValueError naming what is wrong."""
        far_ends = {}
        for name, port in table.items():
            if not isinstance(port, dict) or len(port) != 1 or not port.keys() <= {"device", "joined"}:
                raise ValueError(f'`serial.{name}` needs one key: device = "echo" or joined = "PORT"')
            if "device" in port:
                if port["device"] != "echo":
                    raise ValueError(f'`serial.{name}.device` can only be "echo"')
                far_ends[name] = name
            else:
                other = table.get(port["joined"]) if isinstance(port["joined"], str) else None
                if not isinstance(other, dict) or other.get("joined") != name or port["joined"] == name:
                    raise ValueError(
                        f"`serial.{name}.joined` must name another port that is joined with {name}"
                    )
                far_ends[name] = port["joined"]
        return cls(far_ends)

    def start(self, context: DriverContext) -> None:
        """Let bytes flow, on the event loop of ``context``."""
        self._context = context
        for name in self._masters:
            self._listen(name)

    def close(self) -> None:
        """Take the ports away. Idempotent."""
        masters, self._masters = self._masters, {}
        for name, master in masters.items():
            if self._context is not None:
                self._context.remove_reader(master)
                if self._waiting[name]:
                    self._context.remove_writer(master)
            os.close(master)
        while self._ttys:
            os.close(self._ttys.pop())

    def _listen(self, name: str) -> None:
        assert self._context is not None
        self._context.add_reader(self._masters[name], lambda: self._carry(name))

    def _carry(self, name: str) -> None:
        """What was written to a port goes to its far end."""
        assert self._context is not None
        target = self._far_ends[name]
        data = os.read(self._masters[name], CHUNK)
        waiting = self._waiting[target]
        if not waiting:
            self._context.add_writer(self._masters[target], lambda: self._deliver(name, target))
        waiting += data
        if len(waiting) >= BACKLOG:
            self._context.remove_reader(self._masters[name])

    def _deliver(self, source: str, target: str) -> None:
        assert self._context is not None
        waiting = self._waiting[target]
        full = len(waiting) >= BACKLOG
        try:
            del waiting[: os.write(self._masters[target], waiting)]
        except BlockingIOError:
            return
        if not waiting:
            self._context.remove_writer(self._masters[target])
        if full and len(waiting) < BACKLOG:
            self._listen(source)
