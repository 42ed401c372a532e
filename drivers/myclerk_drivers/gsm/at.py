"""The dialogue with a modem: commands out, response lines and unsolicited result codes in (ITU-T V.250, TS 27.007).

:class:`Dialogue` does no I/O and knows no time. It tells what answers the command under way from what the modem says by
itself, whatever comes between the lines of a response: a line is information only if the command expects lines of that
form, and ``NO CARRIER`` and its like are final only for the commands that place a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

LONGEST_LINE = 2048
"""Bytes of a line; the longest that a modem sends, a PDU, has some 360. Longer ones are noise."""

MOST_LINES = 16
"""Lines of USSD text, which has 182 characters at most."""

ESCAPE, SUBMIT = b"\x1b", b"\x1a"
"""Leave a prompt without sending; send what was typed at it."""

CALL_RESULTS = frozenset({"NO CARRIER", "BUSY", "NO ANSWER", "NO DIALTONE", "NO DIAL TONE", "CONNECT"})
_FAILURE = re.compile(r"ERROR|COMMAND NOT SUPPORT|\+CM[ES] ERROR: ?.*")
_HEX = re.compile(r"[0-9A-Fa-f]{2,}")
_WITH_PDU = re.compile(r"\+(CDS|CMT|CBM): ?(?!.*\")")
"""Unsolicited codes whose second line is a PDU; +CMTI has its memory in quotes."""
_WORDS = re.compile(
    r"RING|RDY|START|PB DONE|SMS DONE|Call Ready|SMS Ready|POWERED DOWN|NORMAL POWER DOWN|.*VOLTAGE.*|"
    r"NO CARRIER|BUSY|NO ANSWER|VOICE CALL: ?.*|MISSED_CALL: ?.*|[+*^#].*"
)
FREE = re.compile(r"(?!(?:" + _WORDS.pattern + r")$).+")
"""Information without a prefix: any text that is no unsolicited result code."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line (``text``, with its AT) and what answers it.

    ``information`` is the form of the lines of its response, None if it has none; with ``required`` an OK without any
    is taken for that of an earlier command. ``payload`` is sent at the prompt. ``places_call``: NO CARRIER and its
    like are final codes. ``timeout`` is in seconds.
    """

    text: str
    information: re.Pattern[str] | None = None
    required: bool = False
    payload: bytes | None = None
    places_call: bool = False
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Unsolicited:
    """What the modem said by itself; ``pdu`` is the second line of those that have one."""

    line: str
    pdu: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The modem waits for the payload."""


@dataclass(frozen=True, slots=True)
class Done:
    """The command is over: its lines, and the final result code."""

    lines: list[str]
    final: str

    @property
    def succeeded(self) -> bool:
        """Whether the final code is no error."""
        return self.final in ("OK", "CONNECT")


Event = Unsolicited | Prompt | Done


@dataclass(slots=True)
class _Active:
    command: Command
    lines: list[str] = field(default_factory=list)
    at_prompt: bool = False


class Dialogue:
    """One modem, one command at a time. ``echoes`` counts commands that came back, ``discarded`` bytes of noise."""

    def __init__(self) -> None:
        self.echoes = 0
        self.discarded = 0
        self.stray = 0
        self._buffer = bytearray()
        self._noisy = False
        self._active: _Active | None = None
        self._headline = ""
        self._quoted: list[str] = []

    @property
    def busy(self) -> bool:
        """Whether a command is under way."""
        return self._active is not None

    def start(self, command: Command) -> bytes:
        """Begin a command; what to send. None may be under way."""
        assert self._active is None
        self._active = _Active(command)
        return command.text.encode("ascii") + b"\r"

    def payload(self) -> bytes:
        """What to send at the prompt."""
        assert self._active is not None
        assert self._active.command.payload is not None
        return self._active.command.payload + SUBMIT

    def abandon(self) -> bytes:
        """Give up the command under way; what to send so that the modem leaves its prompt, if it has one."""
        active, self._active = self._active, None
        return ESCAPE if active is not None and active.command.payload is not None else b""

    def receive(self, data: bytes) -> list[Event]:
        """What ``data`` completes, in the order in which it came."""
        self._buffer += data
        events = []
        for line in self._split():
            event = self._judge(line)
            if event is not None:
                events.append(event)
        if self._sees_prompt():
            events.append(Prompt())
        return events

    def _split(self) -> Iterator[str]:
        while (end := _line_end(self._buffer)) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if self._noisy:
                self._noisy = False
                self.discarded += len(line)
                continue
            text = line.replace(b"\0", b"").decode("utf-8", "replace").strip()
            if text:
                yield text
        if len(self._buffer) > LONGEST_LINE:
            self.discarded += len(self._buffer)
            self._buffer.clear()
            self._noisy = True

    def _sees_prompt(self) -> bool:
        active = self._active
        if active is None or active.command.payload is None or active.at_prompt:
            return False
        if bytes(self._buffer).strip(b"\0 \n") != b">":
            return False
        self._buffer.clear()
        active.at_prompt = True
        return True

    def _judge(self, line: str) -> Event | None:
        if self._quoted:
            if (whole := self._continue(line)) is not None:
                return whole
            if self._quoted:
                return None
        elif line.startswith("+CUSD:") and line.count('"') == 1:
            self._quoted = [line]
            return None
        if self._headline and _HEX.fullmatch(line):
            headline, self._headline = self._headline, ""
            return Unsolicited(headline, line)
        active = self._active
        if active is None:
            return self._by_itself(line)
        if self._is_echo(active, line):
            self.echoes += 1
            return None
        command = active.command
        if line == "OK":
            return self._ok(active)
        if _FAILURE.fullmatch(line) or (command.places_call and line in CALL_RESULTS):
            self._active = None
            return Done(active.lines, line)
        if command.information is not None and command.information.fullmatch(line):
            active.lines.append(line)
            return None
        return self._by_itself(line)

    def _continue(self, line: str) -> Unsolicited | None:
        """A line within the quotes of USSD text; a final code among them says that their end was lost."""
        if line == "OK" or _FAILURE.fullmatch(line) or len(self._quoted) >= MOST_LINES:
            self._quoted = []
            return None
        self._quoted.append(line)
        if '"' not in line:
            return None
        text, self._quoted = "\n".join(self._quoted), []
        return Unsolicited(text)

    def _ok(self, active: _Active) -> Done | None:
        if active.command.required and not active.lines:
            self.stray += 1
            return None
        self._active = None
        return Done(active.lines, "OK")

    def _by_itself(self, line: str) -> Unsolicited | None:
        if line == "OK" or _FAILURE.fullmatch(line):  # the late end of a command that was given up
            self.stray += 1
            return None
        if _WITH_PDU.match(line):
            self._headline = line
            return None
        return Unsolicited(line)

    def _is_echo(self, active: _Active, line: str) -> bool:
        if line == active.command.text:
            return True
        payload = active.command.payload
        return payload is not None and active.at_prompt and line.strip("> \x1a") == payload.decode("ascii")


def _line_end(buffer: bytearray) -> int:
    """Where a line ends: at a carriage return or line feed, whichever is first; -1 if nowhere."""
    ends = [at for at in (buffer.find(b"\r"), buffer.find(b"\n")) if at >= 0]
    return min(ends, default=-1)


def fields(line: str) -> list[str]:
    """The parameters behind the colon, quotes taken off; a comma within quotes is none that parts."""
    found = re.findall(r'\s*(?:"([^"]*)"|([^,]*))\s*(?:,|$)', line.partition(":")[2].strip())
    values = [quoted or plain.strip() for quoted, plain in found]
    return values[:-1] if values and not values[-1] and not line.rstrip().endswith(",") else values


def number(text: str, default: int | None = None) -> int | None:
    """A parameter as an integer; ``default`` if it is none."""
    try:
        return int(text)
    except ValueError:
        return default


FIRMWARE = re.compile(r"\+CGMR: ?.*|" + FREE.pattern)
"""What answers AT+CGMR: bare, or with a prefix on SIM7600."""
