"""The short messages of a simulated modem: its memory, and a network that delivers what is sent (TS 27.005)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .modem_parts import AtPrompt

if TYPE_CHECKING:
    from .modem import Modem

UNREAD, READ, UNSENT, SENT = range(4)
CENTER = "07919471227210F4"
"""The service centre in what is received, with the length of its address."""


@dataclass(slots=True)
class Stored:
    """A message in memory: <stat> of TS 27.005 and the PDU, hexadecimal."""

    status: int
    pdu: str

    @property
    def length(self) -> int:
        """Octets of the TPDU: without the service centre."""
        return len(self.pdu) // 2 - 1 - int(self.pdu[:2], 16)


def semi_octets(text: str) -> str:
    """Digits in pairs, each swapped."""
    return "".join(text[at + 1] + text[at] for at in range(0, len(text), 2))


def time_stamp(seconds: float) -> str:
    """A time stamp of a service centre in UTC."""
    return semi_octets(time.strftime("%y%m%d%H%M%S", time.gmtime(seconds)) + "00")


@dataclass(slots=True)
class Submitted:
    """The fields of an SMS-SUBMIT that a network looks at, hexadecimal where not numbers."""

    first: int
    address: str
    identifier: str
    scheme: int
    data: str

    @classmethod
    def parse(cls, pdu: str) -> Submitted:
        """Take a PDU with service centre apart. Raises ValueError, IndexError."""
        octets = bytes.fromhex(pdu)
        at = 1 + octets[0]
        first = octets[at]
        digits = octets[at + 2]
        end = at + 4 + (digits + 1) // 2
        validity = (0, 7, 1, 7)[first >> 3 & 3]
        tail = end + 2 + validity
        if first & 3 != 1 or tail >= len(octets):
            raise ValueError("no SMS-SUBMIT")
        return cls(
            first,
            octets[at + 2 : end].hex().upper(),
            f"{octets[end]:02X}",
            octets[end + 1],
            octets[tail:].hex().upper(),
        )

    @property
    def recipient(self) -> str:
        """The number, with + if it is international."""
        digits = semi_octets(self.address[4:])[: int(self.address[:2], 16)]
        return ("+" if self.address[2:4] == "91" else "") + digits

    def delivered(self, sender: str, moment: float) -> str:
        """The SMS-DELIVER that ``sender`` (an address as in a PDU) makes of it."""
        header = 0x40 if self.first & 0x40 else 0
        return f"{CENTER}{0x04 | header:02X}{sender}{self.identifier}{self.scheme:02X}{time_stamp(moment)}{self.data}"


class Messages:
    """Memory and network. ``sent`` has the PDUs that the network took, in order; ``waiting`` what finds no room."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.memory: dict[int, Stored] = {}
        self.size = modem.family.size
        self.sent: list[str] = []
        self.waiting: list[str] = []
        self.indications = True
        self.loop_back = False
        self.status = 0
        self._reference = 0
        self._mode = (0, 0)
        self._tells_full = False
        self.restarted()

    def restarted(self) -> None:
        """The memory stays; how new messages are shown is as delivered."""
        self._mode = (0, 0)
        self._tells_full = self._modem.family.name == "sim7600"

    def tell_full(self, wanted: bool) -> list[str]:
        """Whether to say that there is no room."""
        self._tells_full = wanted
        return []

    def handlers(self) -> dict[str, Any]:
        """The commands."""
        return {
            "+CMGF": lambda _: [], "+CSMS": lambda _: ["+CSMS: 1,1,1"], "+CNMI": self._set_mode,
            "+CPMS": self._preferred, "+CMGL": self._list, "+CMGR": self._read, "+CMGD": self._delete,
            "+CMGW": self._write, "+CMSS": self._send_stored, "+CMGS": self._send, "+CNMA": lambda _: [],
        }  # fmt: skip

    # -- the network ---------------------------------------------------------------------------------------

    def deliver(self, pdu: str) -> None:
        """A message comes from the network; without room for it the network keeps it."""
        scheme = _scheme_of_deliver(pdu)
        if scheme & 0xF3 == 0x10 or scheme & 0xF3 == 0xF0:  # class 0: shown at once, not stored
            self._modem.say(f"+CMT: ,{Stored(0, pdu).length}", pdu)
        elif len(self.memory) >= self.size:
            self.waiting.append(pdu)
            if self._tells_full:
                self._modem.say(self._modem.family.full)
        else:
            index = self._store(Stored(UNREAD, pdu))
            if self._mode[0] and self.indications:
                self._modem.say(f'+CMTI: "{self._modem.family.memory}",{index}')

    def _store(self, message: Stored) -> int:
        index = next(at for at in range(self.size) if at not in self.memory)
        self.memory[index] = message
        return index

    def _take(self, pdu: str) -> int:
        """The network takes a message; its reference."""
        if not self._modem.is_registered:
            raise self._modem.refuse(331, "CMS")
        try:
            submitted = Submitted.parse(pdu)
        except (ValueError, IndexError):
            raise self._modem.refuse(304, "CMS") from None
        self._reference = (self._reference + 1) % 256
        self.sent.append(pdu)
        now = time.time()
        own = self._modem.sim.number
        if self.loop_back or submitted.recipient == own:
            digits = own.removeprefix("+")
            sender = f"{len(digits):02X}91{semi_octets(digits + 'F' * (len(digits) % 2))}"
            self._modem.after(0.0, lambda: self.deliver(submitted.delivered(sender, now)))
        if submitted.first & 0x20:
            report = (
                f"{CENTER}06{self._reference:02X}{submitted.address}{time_stamp(now) * 2}{self.status:02X}"
            )
            if self._mode[1] == 1:
                self._modem.after(0.0, lambda: self._modem.say(f"+CDS: {Stored(0, report).length}", report))
        return self._reference

    # -- commands ------------------------------------------------------------------------------------------

    def _set_mode(self, given: str) -> list[str]:
        values = [int(value) for value in re.findall(r"\d", given)]
        self._mode = (values[1], values[3])
        return []

    def _preferred(self, given: str) -> list[str]:
        self._modem.needs_sim("CMS")
        name, used = self._modem.family.memory, f"{len(self.memory)},{self.size}"
        if given == "?":
            return ["+CPMS: " + ",".join([f'"{name}",{used}'] * 3)]
        if re.findall(r'"(\w+)"', given)[0] != name:
            raise self._modem.refuse(302, "CMS")
        return [f"+CPMS: {used},{used},{used}"]

    def _list(self, given: str) -> list[str]:
        self._modem.needs_sim("CMS")
        wanted = int(given.strip("=") or 0)
        lines = []
        for index, message in sorted(self.memory.items()):
            if wanted in (4, message.status):
                lines += [f"+CMGL: {index},{message.status},,{message.length}", message.pdu]
                message.status = READ if message.status == UNREAD else message.status
        return lines

    def _get(self, given: str) -> tuple[int, Stored]:
        self._modem.needs_sim("CMS")
        index = int(re.findall(r"\d+", given)[0])
        if index not in self.memory:
            raise self._modem.refuse(321, "CMS")
        return index, self.memory[index]

    def _read(self, given: str) -> list[str]:
        _, message = self._get(given)
        status = message.status
        message.status = READ if status == UNREAD else status
        return [f"+CMGR: {status},,{message.length}", message.pdu]

    def _delete(self, given: str) -> list[str]:
        index, _ = self._get(given)
        del self.memory[index]
        if self.waiting:
            pdu = self.waiting.pop(0)
            self._modem.after(0.0, lambda: self.deliver(pdu))
        return []

    def _write(self, given: str) -> Any:
        self._modem.needs_sim("CMS")

        def store(pdu: str) -> list[str]:
            if len(self.memory) >= self.size:
                raise self._modem.refuse(322, "CMS")
            return [f"+CMGW: {self._store(Stored(UNSENT, pdu))}"]

        return AtPrompt(store)

    def _send_stored(self, given: str) -> list[str]:
        _, message = self._get(given)
        reference = self._take(message.pdu)
        message.status = SENT
        return [f"+CMSS: {reference}"]

    def _send(self, given: str) -> Any:
        self._modem.needs_sim("CMS")
        return AtPrompt(lambda pdu: [f"+CMGS: {self._take(pdu)}"])


def _scheme_of_deliver(pdu: str) -> int:
    octets = bytes.fromhex(pdu)
    at = 1 + octets[0]
    if octets[at] & 3:
        return 0
    return octets[at + 3 + (octets[at + 1] + 1) // 2 + 1]
