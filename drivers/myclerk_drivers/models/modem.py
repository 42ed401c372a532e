"""A cellular modem behind a serial line: SIM7600, SIM800, SIM868 or EC25, with a SIM and a network of its own.

What the host writes goes to :meth:`Modem.receive`; what the modem says is taken with :meth:`Modem.read`. Where the
modem needs time it notes what is to happen; ``wake`` is called when something can be read, and :meth:`Modem.due` says
when to ask again. :class:`Faults` makes it misbehave as real ones do.
"""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Callable, Sequence
from itertools import count

from .interfaces import Clock
from .modem_families import FAMILIES
from .modem_gnss import Gnss
from .modem_messages import Messages
from .modem_network import Network
from .modem_parts import AtPrompt, Faults, Handler, Refused, Reply, Sim
from .modem_services import Calls, Ussd

_COMMAND = re.compile(r"AT(\+[A-Z]+|\^[A-Z]+|&[A-Z]|[A-Z])(.*)", re.IGNORECASE | re.DOTALL)
_NOISE = b"\xff\xfe\x00~\x81#\x80"


class Modem:
    """The modem. ``registration_time`` and ``boot_time`` are in seconds; see the parts for what else can be set."""

    def __init__(
        self,
        family: str = "sim7600",
        *,
        sim: Sim | None = None,
        registration_time: float = 0.0,
        boot_time: float = 0.0,
        clock: Clock = time.monotonic,
    ) -> None:
        """Raises KeyError for a family that is none of FAMILIES."""
        self.family = FAMILIES[family]
        self.sim = sim or Sim()
        self.imei = "867584030012345"
        self.clock = clock
        self.boot_time = boot_time
        self.wake: Callable[[], None] = lambda: None
        self.faults = Faults()
        self.commands: list[str] = []
        self.restarts = 0
        self._order = count()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._output = bytearray()
        self._line = bytearray()
        self._prompt: AtPrompt | None = None
        self.network = Network(self, registration_time)
        self.messages = Messages(self)
        self.calls, self.ussd, self.gnss = Calls(self), Ussd(self), Gnss(self)
        self._parts = (self.network, self.messages, self.calls, self.ussd, self.gnss)
        self._handlers: dict[str, Handler] = {}
        for part in self._parts:
            self._handlers |= part.handlers()
        self.power_on(silent=True)

    # -- the line ------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """The host writes. A modem that is deaf or off does not notice."""
        if self.clock() < self._deaf_until:
            return
        for byte in data:
            self._take(byte)
        self.wake()

    def read(self, size: int = 1 << 16) -> bytes:
        """What the modem says; empty if nothing is there."""
        self._advance()
        data = bytes(self._output[:size])
        del self._output[:size]
        return data

    def due(self) -> float | None:
        """Seconds until something happens by itself, None if nothing will."""
        return max(self._later[0][0] - self.clock(), 0.0) if self._later else None

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen later; not if the modem starts again before."""
        start = self.restarts

        def act() -> None:
            if start == self.restarts:
                action()

        heapq.heappush(self._later, (self.clock() + seconds, next(self._order), act))
        self.wake()

    def say(self, *lines: str) -> None:
        """Unsolicited result codes."""
        if self.clock() >= self._deaf_until:
            self._output += b"".join(b"\r\n" + line.encode() + b"\r\n" for line in lines)
            self.wake()

    def power_on(self, *, silent: bool = False) -> None:
        """Start afresh: settings are as delivered, the SIM is locked again. ``silent`` has nothing said of it."""
        self.restarts += 1
        self.echo = True
        self.error_mode = 0
        self.character_set = "IRA"
        self._deaf_until = self.clock()
        self._line.clear()
        self._prompt = None
        if not silent:
            self._output.clear()
        self.sim.unlocked = False
        booting = 0.0 if silent else self.boot_time
        self.ready_at = self.clock() + booting
        for part in self._parts:
            part.restarted()
        if not silent:
            self.say(*self.family.boot)
            self.after(booting, self.sim_is_read)

    def hang(self, seconds: float) -> None:
        """Be deaf and dumb for some time."""
        self._deaf_until = self.clock() + seconds

    def _advance(self) -> None:
        while self._later and self._later[0][0] <= self.clock():
            heapq.heappop(self._later)[2]()

    def sim_is_read(self) -> None:
        """Say so, if there is one that is unlocked."""
        if self.sim.present and self.sim.state == "READY":
            self.say(*self.family.ready)

    # -- commands ------------------------------------------------------------------------------------------

    def _take(self, byte: int) -> None:
        if self.echo:
            self._output.append(byte)
        if self._prompt is not None:
            self._take_payload(byte)
        elif byte == 0x0D:
            line, self._line = self._line.decode("ascii", "replace").strip(), bytearray()
            if line:
                self._run(line)
        elif byte == 0x1B:
            self._line.clear()
        elif byte != 0x0A:
            self._line.append(byte)

    def _take_payload(self, byte: int) -> None:
        if byte == 0x1B:
            self._prompt = None
            self._line.clear()
            self._output += b"\r\nOK\r\n"
        elif byte == 0x1A:
            prompt, self._prompt = self._prompt, None
            payload, self._line = self._line.decode("ascii", "replace").strip(), bytearray()
            assert prompt is not None
            self._answer("PAYLOAD", lambda: prompt.take(payload))
        else:
            self._line.append(byte)

    def _run(self, line: str) -> None:
        self.commands.append(line)
        if line.upper() == "AT":
            self._answer("AT", list)
            return
        found = _COMMAND.fullmatch(line)
        handler = self._handlers.get(found[1].upper()) if found else None
        if found is None or handler is None:
            self._finish([], "ERROR", self.faults.draw(line))
            return
        self._answer(found[1].upper(), lambda: handler(found[2]))

    def _answer(self, name: str, work: Callable[[], Reply]) -> None:
        fault = self.faults.draw(name)
        if fault == "error":
            self._finish([], self.error(100), None)
            return
        try:
            reply = work()
        except Refused as refused:
            self._finish([], refused.final, fault)
            return
        if isinstance(reply, AtPrompt):
            if fault in ("lose-all", "lose-final"):
                return
            self._prompt = reply
            self._output += b"\r\n> "
            return
        self._finish(reply, "OK", fault)

    def _finish(self, lines: Sequence[str], final: str, fault: str | None) -> None:
        if fault == "restart":
            self.power_on()
            return
        if fault == "hang":
            self.hang(self.faults.hang_time)
            return
        if fault == "lose-all":
            return
        shown = list(lines)
        if fault == "truncate" and shown:
            shown[-1] = shown[-1][: len(shown[-1]) // 2]
        for at, line in enumerate([*shown, final]):
            if fault == "noise" and at == len(shown) // 2:
                self._output += b"\r\n" + _NOISE + b"\r\n"
            if fault == "interrupt" and at == len(shown) // 2:
                self.say(f"+CREG: {self.network.stat}")
            if fault == "lose-final" and at == len(shown):
                break
            self._output += f"\r\n{line}\r\n".encode()

    @property
    def is_registered(self) -> bool:
        """Whether the network has taken it."""
        return self.network.is_registered

    def error(self, code: int, kind: str = "CME") -> str:
        """A final code in the form that AT+CMEE asked for."""
        return f"+{kind} ERROR: {code}" if self.error_mode or kind == "CMS" else "ERROR"

    def refuse(self, code: int, kind: str = "CME") -> Refused:
        """What to raise so that a command fails with this code."""
        return Refused(self.error(code, kind))

    def needs_sim(self, kind: str = "CME") -> None:
        """Raise Refused while there is no SIM that can be used."""
        codes = (10, 11, 12, 14) if kind == "CME" else (310, 311, 316, 314)
        if not self.sim.present:
            raise self.refuse(codes[0], kind)
        if self.sim.state != "READY":
            raise self.refuse(codes[1 if self.sim.state == "SIM PIN" else 2], kind)
        if self.clock() < self.ready_at:
            raise self.refuse(codes[3], kind)
