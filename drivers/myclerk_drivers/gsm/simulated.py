"""Simulated modems: each a real pty with a modem at its far end.

The table ``[gsm]`` of a board's description has one table for each modem::

    [gsm.gate]
    family = "sim7600"            # or sim800, sim868 (with GNSS), ec25
    pin = "1234"                  # the SIM wants it; default: none
    number = "+491701234567"      # the subscriber's; what is sent there comes back
    loop-back = true              # whatever is sent comes back
    registration-time = 2.5       # seconds until the network takes it; default 0
    latitude = 52.52              # degrees, where its GNSS receiver is
    longitude = 13.405
    time-to-fix = 5.0             # seconds
    sim = false                   # no SIM is inserted

    [gsm.gate.ussd]               # code = answer
    "*100#" = "Balance: 12.34 EUR"

    [gsm.gate.calls]              # number = how it answers: answer, busy, no-answer, no-carrier
    "+491700000000" = "busy"

    [gsm.gate.faults]             # how many of its commands go wrong, 0.0 to 1.0
    lose-final = 0.01             # also lose-all, noise, interrupt, truncate, error, hang, restart
"""

from __future__ import annotations

import os
import re
import tty
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..context import DriverContext, Timer
from ..description import check_keys, get
from ..models.modem import Modem
from ..models.modem_families import FAMILIES
from ..models.modem_parts import KINDS

CHUNK = 65536
KEYS = (
    "family", "pin", "number", "loop-back", "registration-time", "latitude", "longitude", "time-to-fix", "sim",
    "ussd", "calls", "faults",
)  # fmt: skip
ANSWERS = ("answer", "busy", "no-answer", "no-carrier")


class SimulatedModems:
    """The modems of a simulated board. ``paths`` has the tty of each."""

    def __init__(self, modems: Mapping[str, Modem]) -> None:
        self.modems = dict(modems)
        self.paths: dict[str, str] = {}
        self._lines = {name: Line(modem) for name, modem in modems.items()}
        for name, line in self._lines.items():
            self.paths[name] = line.path

    @classmethod
    def from_description(cls, table: Mapping[str, Any]) -> SimulatedModems:
        """The modems that ``table`` tells of. Raises ValueError naming what is wrong."""
        modems = {}
        for name, given in table.items():
            if not isinstance(given, dict):
                raise ValueError(f"`gsm.{name}` must be a table")
            modems[name] = _modem(given, f"gsm.{name}")
        return cls(modems)

    def start(self, context: DriverContext) -> None:
        """Let bytes flow, on the event loop of ``context``."""
        for line in self._lines.values():
            line.start(context)

    def close(self) -> None:
        """Take the modems away. Idempotent."""
        for line in self._lines.values():
            line.close()


class Line:
    """A pty between a modem and who opens ``path``."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self._master, self._slave = os.openpty()  # kept open: a master without a tty is always "readable"
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._context: DriverContext | None = None
        self._waiting = bytearray()
        self._timer: Timer | None = None
        self._open = True

    def start(self, context: DriverContext) -> None:
        """Let bytes flow."""
        self._context = context
        self._modem.wake = self._pump
        context.add_reader(self._master, self._readable)
        self._pump()

    def close(self) -> None:
        """Hang up. Idempotent."""
        if not self._open:
            return
        self._open = False
        self._modem.wake = lambda: None
        if self._timer is not None:
            self._timer.cancel()
        if self._context is not None:
            self._context.remove_reader(self._master)
            self._context.remove_writer(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _readable(self) -> None:
        with suppress(BlockingIOError):
            self._modem.receive(os.read(self._master, CHUNK))

    def _pump(self) -> None:
        """Send what the modem says, and come back when it has something to say."""
        if self._context is None or not self._open:
            return
        had = bool(self._waiting)
        self._waiting += self._modem.read()
        if self._waiting and not had:
            self._write()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (due := self._modem.due()) is not None:
            self._timer = self._context.call_later(due + 0.001, self._pump)

    def _write(self) -> None:
        assert self._context is not None
        with suppress(BlockingIOError):
            del self._waiting[: os.write(self._master, self._waiting)]
        self._context.remove_writer(self._master)
        if self._waiting:
            self._context.add_writer(self._master, self._write)


def _modem(given: Mapping[str, Any], where: str) -> Modem:
    check_keys(given, where, KEYS)
    family = get(given, where, "family", str, "sim7600")
    if family not in FAMILIES:
        raise ValueError(f"`{where}.family` must be one of: {', '.join(FAMILIES)}")
    seconds = _seconds(given, where, "registration-time")
    modem = Modem(family, registration_time=seconds)
    pin = get(given, where, "pin", str)
    if pin is not None and not re.fullmatch(r"[0-9]{4,8}", pin):
        raise ValueError(f"`{where}.pin` must have 4 to 8 digits")
    modem.sim.pin = pin
    modem.sim.present = get(given, where, "sim", bool, True)
    number = get(given, where, "number", str, modem.sim.number)
    if not re.fullmatch(r"\+?[0-9]{3,15}", number):
        raise ValueError(f"`{where}.number` must be a telephone number, not {number!r}")
    modem.sim.number = number
    modem.messages.loop_back = get(given, where, "loop-back", bool, False)
    _place(modem, given, where)
    _services(modem, given, where)
    return modem


def _seconds(given: Mapping[str, Any], where: str, key: str) -> float:
    value = float(get(given, where, key, (int, float), 0.0))
    if not 0 <= value <= 3600:
        raise ValueError(f"`{where}.{key}` must lie between 0 and 3600 seconds")
    return value


def _place(modem: Modem, given: Mapping[str, Any], where: str) -> None:
    gnss = modem.gnss
    gnss.time_to_fix = _seconds(given, where, "time-to-fix")
    gnss.latitude = float(get(given, where, "latitude", (int, float), gnss.latitude))
    gnss.longitude = float(get(given, where, "longitude", (int, float), gnss.longitude))
    if not (-90 <= gnss.latitude <= 90 and -180 <= gnss.longitude <= 180):
        raise ValueError(f"`{where}.latitude` and `longitude` must be a place on Earth, in degrees")


def _services(modem: Modem, given: Mapping[str, Any], where: str) -> None:
    for code, answer in get(given, where, "ussd", dict, {}).items():
        if not isinstance(answer, str):
            raise ValueError(f'`{where}.ussd."{code}"` must be a text')
        modem.ussd.answers[code] = answer
    for number, answer in get(given, where, "calls", dict, {}).items():
        if answer not in ANSWERS:
            raise ValueError(f'`{where}.calls."{number}"` must be one of: {", ".join(ANSWERS)}')
        modem.calls.numbers[number] = answer
    faults = get(given, where, "faults", dict, {})
    check_keys(faults, f"{where}.faults", KINDS)
    for kind, rate in faults.items():
        if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 <= rate <= 1:
            raise ValueError(f"`{where}.faults.{kind}` must lie between 0 and 1")
        modem.faults.rates[kind] = float(rate)
