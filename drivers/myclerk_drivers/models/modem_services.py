"""USSD and voice calls of a simulated modem."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .modem_parts import Refused

if TYPE_CHECKING:
    from .modem import Modem

ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


@dataclass(frozen=True, slots=True)
class Menu:
    """A USSD answer that asks: ``choices`` lead on, by what is replied."""

    text: str
    choices: Mapping[str, str | Menu]


class Ussd:
    """The network's answers by code; ``delay`` in seconds."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.answers: dict[str, str | Menu] = {
            "*100#": "Balance: 12.34 EUR",
            "*101#": Menu(
                "1 Balance\n2 Data", {"1": "Balance: 12.34 EUR", "2": Menu("Pack?\n1 1GB", {"1": "Done"})}
            ),
        }
        self.delay = 0.0
        self._menu: Menu | None = None

    def restarted(self) -> None:
        """A dialogue is over."""
        self._menu = None

    def handlers(self) -> dict[str, Any]:
        """The commands."""
        return {"+CUSD": self._dial}

    def _dial(self, given: str) -> list[str]:
        found = re.fullmatch(r'=(\d)(?:,"([^"]*)"(?:,(\d+))?)?', given)
        if found is None:
            return []
        if found[1] == "2":
            self._menu = None
            return []
        if found[2] is None:
            return []
        self._modem.needs_sim()
        if not self._modem.is_registered:
            raise self._modem.refuse(30)
        text = found[2]
        if self._modem.character_set == "UCS2":
            text = bytes.fromhex(text).decode("utf-16-be")
        self._modem.after(self.delay, lambda: self._answer(text))
        return []

    def _answer(self, text: str) -> None:
        source: Mapping[str, str | Menu] = self._menu.choices if self._menu else self.answers
        answer = source.get(text)
        self._menu = answer if isinstance(answer, Menu) else None
        if answer is None:
            self._modem.say("+CUSD: 4" if source is self.answers else "+CUSD: 2")
        elif isinstance(answer, Menu):
            self._modem.say(f"+CUSD: 1,{self._coded(answer.text)}")
        else:
            self._modem.say(f"+CUSD: 0,{self._coded(answer)}")

    def _coded(self, text: str) -> str:
        way = self._modem.family.ussd
        if way == "ucs2" or self._modem.character_set == "UCS2" or any(c not in ALPHABET for c in text):
            return f'"{text.encode("utf-16-be").hex().upper()}",72'
        if way == "packed":
            bits = sum(ALPHABET.index(c) << 7 * at for at, c in enumerate(text))
            if len(text) % 8 == 7:
                bits |= 0x0D << 7 * len(text)
            return f'"{bits.to_bytes((len(text) * 7 + 7) // 8, "little").hex().upper()}",15'
        return f'"{text}",15'


@dataclass(slots=True)
class Call:
    """A call as AT+CLCC shows it: <dir> 1 was received, <stat> of TS 27.007."""

    number: str
    direction: int
    state: int


ACTIVE, HELD, DIALING, ALERTING, INCOMING = range(5)


class Calls:
    """One call at a time. ``numbers`` says how a number answers: "answer", "busy", "no-answer" or "no-carrier"."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.current: Call | None = None
        self.numbers: dict[str, str] = {}
        self.delay = 0.02
        self.ring_interval = 3.0
        self.dialed: list[str] = []
        self._shows_caller = False

    def restarted(self) -> None:
        """The call is lost."""
        self.current = None
        self._shows_caller = False

    def handlers(self) -> dict[str, Any]:
        """The commands."""
        return {
            "D": self._dial, "A": self._answer, "H": self._hang_up, "+CHUP": self._hang_up,
            "+CLCC": self._list, "+CLIP": self._show_caller, "+CVHU": lambda _: [],
        }  # fmt: skip

    @property
    def rings(self) -> bool:
        """Whether a call wants to be answered."""
        return self.current is not None and self.current.state == INCOMING

    def ring(self, number: str) -> None:
        """Somebody calls."""
        self.current = Call(number, 1, INCOMING)
        self._ring(self.current)

    def far_end_hangs_up(self) -> None:
        """The other one ends it."""
        if self.current is not None:
            was_active = self.current.state == ACTIVE
            self._over("NO CARRIER" if was_active or self.current.direction else "NO ANSWER")

    def _ring(self, call: Call) -> None:
        if self.current is call and call.state == INCOMING:
            self._modem.say("RING", *([f'+CLIP: "{call.number}",145,,,,0'] if self._shows_caller else []))
            self._modem.after(self.ring_interval, lambda: self._ring(call))

    def _show_caller(self, given: str) -> list[str]:
        self._shows_caller = given == "=1"
        return []

    def _dial(self, given: str) -> list[str]:
        self._modem.needs_sim()
        found = re.fullmatch(r"([+0-9*#A-D]+);", given)
        if found is None or not self._modem.is_registered:
            raise self._modem.refuse(30)
        if self.current is not None:
            raise self._modem.refuse(3)
        call = self.current = Call(found[1], 0, DIALING)
        self.dialed.append(call.number)
        outcome = self.numbers.get(call.number, "answer")
        self._modem.after(
            self.delay, lambda: self._proceed(call, ALERTING if outcome != "busy" else None, "BUSY")
        )
        if outcome == "answer":
            self._modem.after(2 * self.delay, lambda: self._proceed(call, ACTIVE, ""))
        elif outcome != "busy":
            final = {"no-answer": "NO ANSWER", "no-carrier": "NO CARRIER"}[outcome]
            self._modem.after(2 * self.delay, lambda: self._proceed(call, None, final))
        return []

    def _proceed(self, call: Call, state: int | None, final: str) -> None:
        if self.current is not call:
            return
        if state is None:
            self._over(final)
            return
        call.state = state
        if state == ACTIVE and self._modem.family.begins:
            self._modem.say(self._modem.family.begins)

    def _over(self, final: str) -> None:
        was_active = self.current is not None and self.current.state == ACTIVE
        self.current = None
        ends = self._modem.family.ends
        self._modem.say(ends if ends and was_active else final)

    def _answer(self, _: str) -> list[str]:
        if self.current is None or self.current.state != INCOMING:
            raise Refused("NO CARRIER")
        self.current.state = ACTIVE
        if self._modem.family.begins:
            self._modem.after(0.0, lambda: self._modem.say(self._modem.family.begins))
        return []

    def _hang_up(self, _: str) -> list[str]:
        if self.current is not None and self._modem.family.ends and self.current.state == ACTIVE:
            self._modem.after(0.0, lambda: self._modem.say(self._modem.family.ends))
        self.current = None
        return []

    def _list(self, _: str) -> list[str]:
        call = self.current
        kind = 145 if call and call.number.startswith("+") else 129
        return [f'+CLCC: 1,{call.direction},{call.state},0,0,"{call.number}",{kind}'] if call else []
