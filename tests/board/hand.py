"""The host's end of the bench hand: the outside world of the virtual board, played by method calls.

Every public coroutine of the guest's ``hand.py`` is a method here, by the same name and with keyword arguments:
``hand.gpio_pull(line="BUTTON", pull="up")``. What the guest cannot do to itself (cutting its power, pulling its
network cable, plugging QEMU's own USB devices) is done through QEMU.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

from .machine import Machine, MachineError

CALL_TIMEOUT = 60.0
"""Seconds that a call may take beyond the ``timeout`` that it names itself."""


class HandError(RuntimeError):
    """The hand could not do it; the message is the guest's."""


class Hand:
    """A connection to the hand of ``machine``. Calls may come from several threads; they take turns."""

    def __init__(self, machine: Machine, ready_within: float = 60.0) -> None:
        """Wait until the hand answers. Raises MachineError."""
        self._machine = machine
        self._connection = machine.connect_hand()
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=1 << 30)
        self._lock = threading.Lock()
        self._identifier = 0
        try:
            self._await_guest(ready_within)
        except BaseException:
            self.close()
            raise

    def call(self, method: str, /, **parameters: Any) -> Any:
        """Call ``method`` in the guest; its result. Raises HandError, MachineError."""
        with self._lock:
            self._identifier += 1
            identifier = self._identifier
            self._connection.settimeout(CALL_TIMEOUT + float(parameters.get("timeout") or 0))
            self._connection.sendall(msgpack.packb([identifier, method, parameters]))
            try:
                while True:
                    number, error, result = self._receive()
                    if number == identifier:
                        break
            except TimeoutError:
                words = self._machine.last_words()
                raise MachineError(
                    f"{method}: the hand did not answer; the board said last: {words}"
                ) from None
        if error is not None:
            raise HandError(f"{method}: {error}")
        return result

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda **parameters: self.call(method, **parameters)

    def check(self, *argv: str, **options: Any) -> str:
        """Run a program in the guest; what it printed. Raises HandError when it fails."""
        result = self.call("run", argv=list(argv), **options)
        if result["code"] != 0:
            said = (result["stdout"] + result["stderr"]).decode(errors="replace")
            raise HandError(f"{' '.join(argv)} ended with {result['code']}:\n{said}")
        return str(result["stdout"].decode())

    def python(self, program: str, *arguments: str, **options: Any) -> str:
        """Run a Python program in the guest; what it printed. Raises HandError when it fails."""
        return self.check("python3", "-c", program, *arguments, **options)

    def cut_power(self) -> None:
        """Kill the machine: what was not written is lost."""
        self._machine.kill()

    def pull_cable(self) -> None:
        """Take the network cable out. Connections stall; they are not closed."""
        self._machine.qmp("set_link", name="net0", up=False)

    def plug_cable(self) -> None:
        """Put the network cable back."""
        self._machine.qmp("set_link", name="net0", up=True)

    def qemu_plug(self, driver: str, name: str, **properties: Any) -> None:
        """Plug one of QEMU's own USB devices in ("usb-kbd", "usb-audio"); ``name`` is for :meth:`qemu_unplug`."""
        self._machine.qmp("device_add", driver=driver, id=name, bus="xhci.0", **properties)

    def qemu_unplug(self, name: str) -> None:
        """Pull it out again."""
        self._machine.qmp("device_del", id=name)

    def qemu_keys(self, *keys: str) -> None:
        """Press and release keys of QEMU's keyboard, by QEMU's names ("a", "ret", "shift")."""
        events: list[Mapping[str, Any]] = []
        for down in (True, False):
            events += [
                {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": key}}} for key in keys
            ]
        self._machine.qmp("input-send-event", events=events)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _await_guest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._connection.settimeout(0.5)
        while True:
            self._identifier += 1
            try:
                self._connection.sendall(msgpack.packb([self._identifier, "ping", {}]))
                number, _, _ = self._receive()
                while number < self._identifier:
                    number, _, _ = self._receive()
                return
            except TimeoutError:
                if time.monotonic() > deadline or not self._machine.running:
                    words = self._machine.last_words()
                    raise MachineError(f"the hand did not answer within {seconds:g} s: {words}") from None

    def _receive(self) -> Sequence[Any]:
        while True:
            for message in self._unpacker:
                return list(message)
            try:
                data = self._connection.recv(1 << 18)
            except ConnectionError:
                data = b""
            if not data:
                raise MachineError(f"the virtual board is gone: {self._machine.last_words()}")
            self._unpacker.feed(data)
