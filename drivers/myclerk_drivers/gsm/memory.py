"""The message memory of a modem in PDU mode (TS 27.005): every answer is checked, every doubt is looked into."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from .at import fields, number
from .channel import AtChannel
from .faults import AtError, NoAnswer
from .modem import Modem
from .sim import Sim

UNREAD, READ, UNSENT, SENT = range(4)
"""<stat> in PDU mode."""
STATUS = {UNREAD: "unread", READ: "read", UNSENT: "unsent", SENT: "sent"}
ATTEMPTS = 4
LIST_TIMEOUT = 60.0
SETTLING = 15.0
"""Seconds after the start in which a modem may say that its SIM is busy."""
_LISTED = re.compile(r"\+CMGL: ?\d+, ?\d.*|[0-9A-Fa-f]{4,}")
_READ = re.compile(r"\+CMGR: ?\d.*|[0-9A-Fa-f]{4,}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in memory; ``pdu`` is in capitals."""

    index: int
    status: int
    pdu: str

    @property
    def digest(self) -> str:
        """Names the message, whatever place it has: 16 hexadecimal digits of its SHA-256."""
        return digest(self.pdu)


def digest(pdu: str) -> str:
    """As :attr:`Stored.digest`."""
    return sha256(pdu.upper().encode()).hexdigest()[:16]


class Damaged(Exception):
    """An answer lacks a line, or a part of one."""


class Memory:
    """The memory that the modem keeps received and outgoing messages in; all steps under :attr:`turn`."""

    def __init__(self, modem: Modem, sim: Sim) -> None:
        self.turn = asyncio.Lock()
        self.name = ""
        self.used = self.size = 0
        self.reports = False
        self._modem = modem
        self._sim = sim
        self._prepared = -1

    async def prepare(self, channel: AtChannel) -> None:
        """Have the modem use PDUs, its memory, and tell of what comes. Raises Conflict while the SIM is locked."""
        if self._prepared == self._modem.generation:
            return
        generation = self._modem.generation
        await self._sim.require(channel)
        deadline = asyncio.get_running_loop().time() + SETTLING
        while True:
            try:
                with suppress(
                    AtError
                ):  # else each message wants an acknowledgement (TS 27.005 section 3.2.1)
                    await channel.run("AT+CSMS=0", "+CSMS:")
                await channel.run("AT+CMGF=0")
                await self._choose(channel)
                break
            except AtError as error:
                if not error.is_passing or asyncio.get_running_loop().time() > deadline:
                    raise
                await channel.tty.pause(0.5)
        self.reports = await self._indicate(channel)
        self._prepared = generation

    async def _choose(self, channel: AtChannel) -> None:
        wanted = dict.fromkeys((self._modem.dialect.memory, "SM"))
        for last, name in enumerate(wanted, 1):
            try:
                lines = await channel.run(
                    f'AT+CPMS="{name}","{name}","{name}"', "+CPMS:", required=True, timeout=10
                )
            except AtError as error:
                if error.is_passing or last == len(wanted):
                    raise
                continue
            self.name = name
            counts = [number(value) for value in fields(lines[0])]
            self.used, self.size = (counts[0] or 0, counts[1] or 0) if len(counts) > 1 else (0, 0)
            return

    async def _indicate(self, channel: AtChannel) -> bool:
        """Let messages be stored and announced, reports be shown; whether the modem does the latter."""
        for reports in (1, 0):
            try:
                await channel.run(f"AT+CNMI=2,1,0,{reports},0")
                return bool(reports)
            except AtError:
                if not reports:
                    raise
        return False

    async def listing(self, channel: AtChannel, statuses: Collection[int] = tuple(STATUS)) -> list[Stored]:
        """All messages with these statuses. One whose lines came damaged is read again. Raises AtError, NoAnswer.

        Nothing at all where something was is asked again: it may have been the late OK of another command.
        """
        before, found = self.used, await self._list(channel, statuses)
        return found or (await self._list(channel, statuses) if before else found)

    async def _list(self, channel: AtChannel, statuses: Collection[int]) -> list[Stored]:
        wanted = next(iter(statuses)) if len(statuses) == 1 else 4
        for _ in range(ATTEMPTS - 1):
            try:
                lines = await channel.run(f"AT+CMGL={wanted}", _LISTED, timeout=LIST_TIMEOUT)
                break
            except NoAnswer:
                continue
        else:
            lines = await channel.run(f"AT+CMGL={wanted}", _LISTED, timeout=LIST_TIMEOUT)
        found, damaged = _parse_list(lines)
        for index in damaged:
            if (message := await self.read(channel, index)) is not None:
                found.append(message)
        if len(statuses) == len(STATUS):
            self.used = len(found)
        return sorted((m for m in found if m.status in statuses), key=lambda message: message.index)

    async def read(self, channel: AtChannel, index: int) -> Stored | None:
        """The message at ``index``, None if there is none. Raises AtError, NoAnswer."""
        for attempt in range(ATTEMPTS):
            try:
                for _ in range(2):  # an OK alone may be a late one
                    lines = await channel.run(f"AT+CMGR={index}", _READ, timeout=10)
                    if lines:
                        return _parse_read(index, lines)
                return None
            except AtError as error:
                if error.code in (321, 21, 22):
                    return None
                if attempt + 1 == ATTEMPTS:
                    raise
            except (NoAnswer, Damaged):
                if attempt + 1 == ATTEMPTS:
                    raise NoAnswer(f"AT+CMGR={index}") from None
        return None

    async def delete(self, channel: AtChannel, digests: Iterable[str]) -> list[str]:
        """Delete every message with one of ``digests``; those that were there. Raises AtError, NoAnswer."""
        wanted, done = set(digests), dict[str, None]()
        failure: Exception | None = None
        for _ in range(ATTEMPTS + 1):
            left = [message for message in await self.listing(channel) if message.digest in wanted]
            done.update(dict.fromkeys(message.digest for message in left))
            if not left:
                return list(done)
            failure = None
            for message in left:
                try:
                    await channel.run(f"AT+CMGD={message.index}", timeout=25)
                except (AtError, NoAnswer) as error:  # looked at again: it may be gone nevertheless
                    failure = error
        raise failure or NoAnswer("AT+CMGD")


def _parse_list(lines: list[str]) -> tuple[list[Stored], list[int]]:
    """Messages, and the indices of those that came damaged."""
    found: list[Stored] = []
    damaged: list[int] = []
    header: tuple[int, int, int] | None = None
    for line in [*lines, "+CMGL: "]:
        if line.startswith("+CMGL:"):
            if header is not None:
                damaged.append(header[0])
            header = _header(line)
        elif header is not None:
            index, status, length = header
            if _fits(line, length):
                found.append(Stored(index, status, line.upper()))
            else:
                damaged.append(index)
            header = None
    return found, damaged


def _header(line: str) -> tuple[int, int, int] | None:
    values = fields(line)
    if len(values) < 3:
        return None
    index, status, length = number(values[0]), number(values[1]), number(values[-1])
    return None if index is None or status is None else (index, status, -1 if length is None else length)


def _parse_read(index: int, lines: list[str]) -> Stored:
    """The answer to AT+CMGR. Raises Damaged."""
    if len(lines) != 2 or not lines[0].startswith("+CMGR:"):
        raise Damaged
    values = fields(lines[0])
    status, length = number(values[0]), number(values[-1])
    if status is None or length is None or not _fits(lines[1], length):
        raise Damaged
    return Stored(index, status, lines[1].upper())


def _fits(pdu: str, length: int) -> bool:
    """Whether a PDU is whole: ``length`` counts the octets behind the service centre."""
    if len(pdu) % 2 or len(pdu) < 4 or not re.fullmatch("[0-9A-Fa-f]+", pdu):
        return False
    return len(pdu) // 2 - 1 - int(pdu[:2], 16) == length
