"""USSD: codes to the network and its answers, in one step or several (TS 27.007 section 7.15)."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any

from myclerk_protocol.status import BadRequest, Conflict, OperationError, OperationTimeout, ServiceUnavailable

from ..serial.tty import settle
from .alphabet import Alphabet
from .at import Unsolicited, fields, number
from .channel import AtChannel
from .faults import AtError, NoAnswer
from .modem import Modem
from .septets import unpack_ussd
from .sim import Sim

STATES = {0: "done", 1: "waiting", 2: "terminated", 3: "elsewhere", 4: "unsupported", 5: "timeout"}
"""<m>; "waiting" is for a reply."""
LONGEST = 182
"""Characters of a USSD string (TS 23.038 section 6.1.2.3)."""
GSM7, UCS2 = 15, 72
"""Coding schemes: the default alphabet in no language, and UCS-2 (TS 23.038 section 5)."""
_PLAIN = re.compile(r"[0-9A-Za-z*#+ .,:;!?()/-]+")
_PACKED = re.compile(r"(?=.*[A-F])(?:[0-9A-F]{2}){4,}")
"""Seven-bit text that the modem left packed; nobody writes such a word."""


class Ussd:
    """One dialogue with the network at a time."""

    def __init__(self, modem: Modem, sim: Sim) -> None:
        self._modem = modem
        self._sim = sim
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._waiting = False
        modem.listen(self._heard, lost=self._lost)

    async def send(self, code: str, timeout: float) -> dict[str, Any]:
        """Begin a dialogue; one that is open is ended. {``state``, ``text``}.

        Raises BadRequest for what is no code, OperationTimeout, ServiceUnavailable without network.
        """
        if not re.fullmatch(r"[0-9*#+]{1,182}", code):
            raise BadRequest("`code` consists of digits, * and #: *100#", key="code")
        async with self._turn, self._modem.use("a USSD code") as channel:
            await self._sim.require(channel)
            if self._waiting:
                await self._end(channel)
            return await self._exchange(channel, f'AT+CUSD=1,"{code}",{GSM7}', timeout)

    async def reply(self, text: str, timeout: float) -> dict[str, Any]:
        """Answer what the network asked. Raises Conflict when it asked nothing."""
        if not 1 <= len(text) <= LONGEST:
            raise BadRequest(f"`text` must have 1 to {LONGEST} characters", key="text")
        async with self._turn, self._modem.use("a USSD reply") as channel:
            if not self._waiting:
                raise Conflict(
                    f"no USSD dialogue waits for a reply on {self._modem.name}; begin one with a code"
                )
            if _PLAIN.fullmatch(text):
                return await self._exchange(channel, f'AT+CUSD=1,"{text}",{GSM7}', timeout)
            coded = text.encode("utf-16-be").hex().upper()
            await channel.run('AT+CSCS="UCS2"')
            try:
                return await self._exchange(channel, f'AT+CUSD=1,"{coded}",{UCS2}', timeout)
            finally:
                try:
                    await channel.run('AT+CSCS="IRA"')
                except (AtError, NoAnswer, OperationError):
                    channel.restarted = True  # it is set up anew before anything else is read

    async def cancel(self) -> None:
        """End the dialogue, if there is one."""
        async with self._turn, self._modem.use("ending a USSD dialogue") as channel:
            await self._end(channel)

    async def _end(self, channel: AtChannel) -> None:
        self._waiting = False
        await channel.run("AT+CUSD=2", timeout=10)

    async def _exchange(self, channel: AtChannel, command: str, timeout: float) -> dict[str, Any]:
        answer: asyncio.Future[dict[str, Any]] = channel.tty.waiter()
        self._answer, self._waiting = answer, False
        try:
            with suppress(NoAnswer):  # the network's answer says more than the modem's OK
                await channel.run(command, timeout=min(timeout, 15.0))
            if not await channel.tty.within(answer, timeout):
                with suppress(OperationError, NoAnswer):
                    await self._end(channel)
                raise OperationTimeout("the network did not answer the USSD code in time")
            found = answer.result()
        finally:
            self._answer = None
        if found["state"] == "unsupported":
            raise ServiceUnavailable("the network does not know this USSD code")
        self._waiting = found["state"] == "waiting"
        return found

    def _heard(self, code: Unsolicited) -> None:
        if not code.line.startswith("+CUSD:"):
            return
        found = parse_cusd(code.line)
        if self._answer is not None:
            settle(self._answer, found)
        else:
            self._waiting = found["state"] == "waiting"

    def _lost(self, _error: OperationError) -> None:
        self._waiting = False


def parse_cusd(line: str) -> dict[str, Any]:
    """+CUSD: <m>[,<str>[,<dcs>]] as {``state``, ``text``}."""
    found = re.fullmatch(r'\+CUSD: ?(\d+)(?:, ?"(.*)"(?:, ?(\d+))?)?.*', line, re.DOTALL)
    if found is None:
        values = fields(line)
        return {"state": STATES.get(number(values[0], 2) or 0, "terminated") if values else "terminated"}
    answer: dict[str, Any] = {"state": STATES.get(int(found[1]), "terminated")}
    if found[2] is not None:
        answer["text"] = decode_text(found[2], int(found[3] or GSM7))
    return answer


def decode_text(text: str, scheme: int) -> str:
    """What a modem shows of a USSD string: plain text, UCS-2 in hexadecimal digits, or packed septets in these."""
    if is_ucs2(scheme):
        with suppress(ValueError):
            return bytes.fromhex(text).decode("utf-16-be", "replace")
    elif _PACKED.fullmatch(text):
        return Alphabet().decode(unpack_ussd(bytes.fromhex(text))).rstrip("\r")
    return text


def is_ucs2(scheme: int) -> bool:
    """Whether a coding scheme of cell broadcast and USSD is UCS-2 (TS 23.038 section 5)."""
    return (
        scheme == 0x11
        or (scheme >> 6 == 1 and scheme >> 2 & 3 == 2)
        or (scheme >> 4 == 9 and scheme >> 2 & 3 == 2)
    )
