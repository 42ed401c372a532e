"""Parts of a simulated modem: its card, its misbehaviour, and how a command ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

KINDS = ("lose-final", "lose-all", "noise", "interrupt", "truncate", "error", "hang", "restart")
"""What :class:`Faults` can do."""


class Refused(Exception):
    """A command ends with another final code than OK."""

    def __init__(self, final: str = "ERROR") -> None:
        super().__init__(final)
        self.final = final


@dataclass(slots=True)
class AtPrompt:
    """A command wants a payload: ``take`` gets it, and gives the lines of the response."""

    take: Callable[[str], list[str]]


Reply = list[str] | AtPrompt
Handler = Callable[[str], Reply]


class Faults:
    """Misbehaviour: ``next`` is done to the next commands, one each; beyond that each of ``rates`` by its probability.

    "lose-final": the final code is lost. "lose-all": the whole response is. "noise": bytes of noise between lines.
    "interrupt": an unsolicited code between lines. "truncate": the last line of the information is cut. "error": the
    command fails and is not done. "hang": the modem is deaf for ``hang_time`` seconds, after doing the command.
    "restart": it starts again, after doing it. ``spare`` has names of commands that are always answered properly.
    """

    def __init__(self, seed: int = 0) -> None:
        self.next: list[str] = []
        self.rates: dict[str, float] = {}
        self.spare: set[str] = set()
        self.hang_time = 1.0
        self.done: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.random = Random(seed)

    def draw(self, name: str) -> str | None:
        """What goes wrong with this command."""
        if name in self.spare:
            return None
        kind = self.next.pop(0) if self.next else None
        if kind is None:
            kind = next((kind for kind, rate in self.rates.items() if self.random.random() < rate), None)
        if kind is not None:
            self.done[kind] += 1
        return kind


@dataclass(slots=True)
class Sim:
    """The card. ``pin`` None: it wants none. Codes that were tried wrongly are in ``refused``."""

    pin: str | None = None
    puk: str = "12345678"
    iccid: str = "89490200001234567890"
    imsi: str = "262011234567890"
    number: str = "+491701234567"
    present: bool = True
    pin_tries: int = 3
    puk_tries: int = 10
    unlocked: bool = False
    attempts: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """As AT+CPIN? says it."""
        if self.unlocked or self.pin is None:
            return "READY"
        return "SIM PIN" if self.pin_tries else "SIM PUK"

    def enter(self, pin: str) -> bool:
        """Try a PIN; whether it was right."""
        self.attempts.append(pin)
        if pin == self.pin and self.pin_tries:
            self.pin_tries, self.unlocked = 3, True
            return True
        self.pin_tries = max(self.pin_tries - 1, 0)
        return False

    def unblock(self, puk: str, pin: str) -> bool:
        """Try a PUK with a new PIN; whether it was right."""
        self.attempts.append(puk)
        if puk == self.puk and self.puk_tries:
            self.pin, self.pin_tries, self.puk_tries, self.unlocked = pin, 3, 10, True
            return True
        self.puk_tries = max(self.puk_tries - 1, 0)
        return False
